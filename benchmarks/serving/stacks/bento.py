"""BentoML: `bentoml serve bento:Noop`."""

import bentoml


@bentoml.service(workers=1, traffic={"timeout": 60})
class Noop:
    """Does nothing."""

    @bentoml.api(route="/predict/noop")
    def predict(self, input_ids: list[int]) -> dict[str, list[float]]:
        assert len(input_ids) == 128
        return {"embedding": [0.0] * 384}
