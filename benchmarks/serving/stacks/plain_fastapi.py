"""What most people write: a synchronous handler, a pydantic body, a list in the answer."""

import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

app = FastAPI()


class Body(BaseModel):
    """128 token ids."""

    input_ids: list[int]


@app.post("/predict/noop")
def predict(body: Body):  # type: ignore[no-untyped-def]
    assert len(body.input_ids) == 128
    return {"embedding": [0.0] * 384}


if __name__ == "__main__":
    uvicorn.run(app, port=8101, log_level="warning", access_log=False)
