"""inferlab's server: a FastAPI app for everything that is asked now and then, and the hot paths in front of it.

A request of a hot path is found by one look into a dict and answered without FastAPI's routing, solving of parameters
and middleware, which together take longer than everything else that the server does for it. FastAPI knows these paths
too, so that /docs and the OpenAPI document describe them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from inferlab import __version__
from inferlab.errors import InferlabError, near_match
from inferlab.serve.access import Access
from inferlab.serve.answers import ReplyResponse, error_reply, json_reply, send_reply
from inferlab.serve.batcher import ClosedError, QueueFullError
from inferlab.serve.bounded_http import Connections
from inferlab.serve.exchange import Route, admit, exchange
from inferlab.serve.infer import infer_route
from inferlab.serve.meter import metrics_page
from inferlab.serve.openapi import INFER, NO_MODEL, NOT_READY, PREDICT, describe
from inferlab.serve.openinference import VERSION
from inferlab.serve.platforms import VertexRoutes, instances_route, invocation_route
from inferlab.serve.predict import predict_route
from inferlab.serve.rest import Rest

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from inferlab.serve.answers import Reply
    from inferlab.serve.deployment import Deployment

MODEL = "/v2/models/{model}"
MODEL_VERSION = f"{MODEL}/versions/{{version}}"
EXTENSIONS = ["binary_tensor_data", "model_configuration", "model_repository"]


class Server:
    """The ASGI app. Batchers are started and closed by whoever made them; `draining` is set by whoever stops it."""

    def __init__(
        self,
        deployments: Mapping[str, Deployment],
        access: Access,
        vertex: VertexRoutes | None = None,
        connections: Connections | None = None,
    ) -> None:
        self.deployments = deployments
        self.connections = connections or Connections()
        self.draining = False
        self._access = access
        self._rest = Rest([deployment.batcher for deployment in deployments.values()])
        self._vertex = vertex
        self._strays: Counter[int] = Counter()
        """By HTTP status: refused requests that reached no deployment."""
        self._hot: dict[str, Route] = {}
        for name, deployment in deployments.items():
            route = infer_route(deployment)
            self._hot[f"/v2/models/{name}/infer"] = route
            self._hot[f"/v2/models/{name}/versions/{VERSION}/infer"] = route
            self._hot[f"/predict/{name}"] = predict_route(deployment)
        first = next(iter(deployments.values()))
        self._hot["/invocations"] = invocation_route(first)
        if vertex is not None:
            self._hot[vertex.predict] = instances_route(first)
        self.app = self._create_app()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        route = self.route(scope["path"]) if scope["method"] == "POST" else None
        if route is not None:
            await send_reply(send, await self.answer(route, scope, receive))
            return
        refusal = self._access.refusal(scope)
        if refusal is not None:
            self._count_refusal(scope["path"], refusal.status)
            await send_reply(send, refusal)
            return
        await self.app(scope, receive, send)

    def route(self, target: str) -> Route | None:
        """The hot path that a request's target names exactly."""
        return self._hot.get(target)

    def refusal(self, route: Route, scope: Scope) -> Reply | None:
        """The 503 where a deployment's queue has no room for the request, for everybody where no token is asked for."""
        if not self._access.is_open:
            return None
        try:
            admit(route, scope, self._rest.came_s())
        except QueueFullError as error:
            reply = error_reply(error)
            route.deployment.meter.failed(reply.status)
            self._rest.after_refusal()
            return reply
        except (ClosedError, HTTPException):  # `answer` says more of it
            return None
        return None

    @property
    def ready(self) -> bool:
        """Whether every deployment has a replica that can take a request now."""
        return not self.draining and all(deployment.batcher.accepts for deployment in self.deployments.values())

    async def answer(self, route: Route, scope: Scope, receive: Receive) -> Reply:
        """The answer to a request on a hot path, whatever happens."""
        refusal = self._access.refusal(scope)
        if refusal is not None:
            route.deployment.meter.failed(refusal.status)
            return refusal
        try:
            return await exchange(route, scope, receive, self._rest.came_s())
        except Exception as error:  # noqa: BLE001 (each becomes an answer; those that nobody foresaw are logged)
            reply = error_reply(error)
            route.deployment.meter.failed(reply.status)
            if self.draining:
                reply.headers.append((b"connection", b"close"))
            return reply

    def _count_refusal(self, path: str, status: int) -> None:
        """Under the deployment whose hot path it is; other paths are the client's words, and no label of a metric."""
        route = self._hot.get(path)
        if route is None:
            self._strays[status] += 1
        else:
            route.deployment.meter.failed(status)

    def _find(self, name: str, version: str = VERSION) -> Deployment:
        if name not in self.deployments:
            near = near_match(name, self.deployments)
            hint = f"; did you mean {near!r}?" if near else ""
            raise HTTPException(404, f"unknown model {name[:80]!r}; known: {', '.join(self.deployments)}{hint}")
        if version != VERSION:
            raise HTTPException(404, f"unknown version {version[:20]!r} of model {name!r}; known: {VERSION}")
        return self.deployments[name]

    def _create_app(self) -> FastAPI:
        app = FastAPI(title="inferlab", version=__version__, redoc_url=None)
        self._add_health(app)
        self._add_models(app)
        self._add_hot(app)

        summary = "Counts and histograms for Prometheus"

        @app.get("/metrics", tags=["operation"], summary=summary, response_class=PlainTextResponse)
        async def metrics() -> Response:
            content, content_type = metrics_page(self.deployments, self.connections, self._strays)
            return Response(content, headers={"content-type": content_type})

        async def error(request: Request, error: Exception) -> Response:
            reply = error_reply(error)
            self._count_refusal(request.scope["path"], reply.status)
            return ReplyResponse(reply)

        for kind in (HTTPException, InferlabError, Exception):
            app.add_exception_handler(kind, error)
        describe(app, self.deployments)
        return app

    def _add_health(self, app: FastAPI) -> None:
        @app.get("/v2/health/live", tags=["health"], summary="Whether the server answers")
        async def live() -> dict[str, bool]:
            return {"live": True}

        async def ready() -> Response:
            return _ready(self.ready)

        routes = ["/v2/health/ready", "/ping", *([self._vertex.health] if self._vertex else [])]
        for route in dict.fromkeys(routes):
            summary = "Whether every deployment can take a request now"
            app.add_api_route(route, ready, methods=["GET"], tags=["health"], summary=summary, responses=NOT_READY)
            app.add_api_route(route, ready, methods=["HEAD"], include_in_schema=False)

    def _add_models(self, app: FastAPI) -> None:
        @app.get("/v2", tags=["models"], summary="Server metadata")
        async def server_metadata() -> dict[str, Any]:
            return {"name": "inferlab", "version": __version__, "extensions": EXTENSIONS}

        @app.post("/v2/repository/index", tags=["models"], summary="Every deployment and its state")
        async def index() -> list[dict[str, str]]:
            return [
                {"name": name, "version": VERSION, "state": "READY" if deployment.batcher.accepts else "UNAVAILABLE"}
                for name, deployment in self.deployments.items()
            ]

        def add(suffix: str, ask: Callable[[Deployment], Any], **described: Any) -> None:
            """One path for the model, and one for its only version."""

            async def of_model(model: str) -> Any:
                return ask(self._find(model))

            async def of_version(model: str, version: str) -> Any:
                return ask(self._find(model, version))

            for path, asked in ((MODEL, of_model), (MODEL_VERSION, of_version)):
                app.add_api_route(f"{path}{suffix}", asked, methods=["GET"], response_model=None, **described)

        def ready(deployment: Deployment) -> Response:
            return _ready(not self.draining and deployment.batcher.accepts)

        add("", lambda deployment: deployment.metadata(), tags=["models"], summary="Metadata", responses=NO_MODEL)
        add(
            "/config",
            lambda deployment: deployment.config(),
            tags=["models"],
            summary="Configuration",
            responses=NO_MODEL,
        )
        add("/ready", ready, tags=["health"], summary="Readiness", responses=NO_MODEL | NOT_READY)

    def _add_hot(self, app: FastAPI) -> None:
        """The hot paths as FastAPI knows them: for the document, other methods (405) and unknown names (404)."""

        async def of_model(request: Request, model: str) -> Response:
            self._find(model)
            return ReplyResponse(await self.answer(self._hot[request.scope["path"]], request.scope, request.receive))

        async def of_version(request: Request, model: str, version: str) -> Response:
            self._find(model, version)
            return await of_model(request, model)

        app.add_api_route(f"{MODEL}/infer", of_model, methods=["POST"], **INFER)
        app.add_api_route(f"{MODEL_VERSION}/infer", of_version, methods=["POST"], **INFER)
        for path, route in self._hot.items():
            if not path.startswith("/v2/"):
                app.add_api_route(path, self._endpoint(route), methods=["POST"], **PREDICT)
        app.add_api_route("/predict/{model}", of_model, methods=["POST"], include_in_schema=False)

    def _endpoint(self, route: Route) -> Callable[[Request], Awaitable[Response]]:
        async def called(request: Request) -> Response:
            return ReplyResponse(await self.answer(route, request.scope, request.receive))

        return called


def _ready(ready: bool) -> Response:
    return ReplyResponse(json_reply({"ready": ready}, 200 if ready else 503))
