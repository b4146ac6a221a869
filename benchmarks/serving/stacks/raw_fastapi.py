"""The ceiling: a FastAPI route that takes the raw request, and orjson both ways."""

import orjson
import uvicorn
from fastapi import FastAPI, Request, Response

EMBEDDING = [0.0] * 384
app = FastAPI()


@app.post("/predict/noop")
async def predict(request: Request) -> Response:
    ids = orjson.loads(await request.body())["input_ids"]
    assert len(ids) == 128
    return Response(orjson.dumps({"embedding": EMBEDDING}), media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(app, port=8101, log_level="warning", access_log=False)
