"""Ray Serve with a FastAPI ingress."""

import time

import ray
from fastapi import FastAPI
from pydantic import BaseModel
from ray import serve

app = FastAPI()


class Body(BaseModel):
    """128 token ids."""

    input_ids: list[int]


@serve.deployment(num_replicas=1, ray_actor_options={"num_cpus": 0}, max_ongoing_requests=128)
@serve.ingress(app)
class Noop:
    """Does nothing."""

    @app.post("/predict/noop")
    def predict(self, body: Body) -> dict[str, list[float]]:
        assert len(body.input_ids) == 128
        return {"embedding": [0.0] * 384}


if __name__ == "__main__":
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": 8101})
    serve.run(Noop.bind())
    while True:
        time.sleep(3600)
