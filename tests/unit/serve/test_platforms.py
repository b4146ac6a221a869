import pytest

from inferlab.errors import UserError
from inferlab.serve.platforms import VertexRoutes

ROUTES = {"AIP_HEALTH_ROUTE": "/health", "AIP_PREDICT_ROUTE": "/predict"}


def test_routes_come_from_the_environment_that_vertex_ai_sets() -> None:
    assert VertexRoutes.of({}) is None
    assert VertexRoutes.of({"AIP_HEALTH_ROUTE": "/health"}) is None
    assert VertexRoutes.of(ROUTES) == VertexRoutes("/health", "/predict", None)
    assert VertexRoutes.of({**ROUTES, "AIP_HTTP_PORT": "8080"}) == VertexRoutes("/health", "/predict", 8080)


@pytest.mark.parametrize(
    ("name", "value"),
    [("AIP_HEALTH_ROUTE", "health"), ("AIP_PREDICT_ROUTE", ""), ("AIP_HTTP_PORT", "0"), ("AIP_HTTP_PORT", "٣")],
)
def test_what_is_wrong_is_named(name: str, value: str) -> None:
    with pytest.raises(UserError, match=name):
        VertexRoutes.of({**ROUTES, name: value})
