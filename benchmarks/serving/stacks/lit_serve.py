"""LitServe; the first argument is its max_batch_size, 1 for no batching."""

import sys

import litserve


class Noop(litserve.LitAPI):
    """Does nothing."""

    def setup(self, device: str) -> None:
        self.embedding = [0.0] * 384

    def decode_request(self, request: dict[str, list[int]]) -> list[int]:
        assert len(request["input_ids"]) == 128
        return request["input_ids"]

    def predict(self, ids: object) -> object:
        return [self.embedding] * len(ids) if BATCH > 1 else self.embedding  # type: ignore[arg-type]

    def encode_response(self, output: list[float]) -> dict[str, list[float]]:
        return {"embedding": output}


BATCH = int(sys.argv[1])

if __name__ == "__main__":
    api = Noop(max_batch_size=BATCH, batch_timeout=0.002, api_path="/predict/noop")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(port=8101, log_level="error", generate_client_file=False, access_log=False)
