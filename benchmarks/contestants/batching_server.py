"""LitServe with its own batching, one worker on the CPU. `python batching_server.py ARTIFACTS PORT`."""

import sys
from typing import Any

import litserve
import torch

from charlstm import Predictor


class SentimentAPI(litserve.LitAPI):  # type: ignore[misc]  # LitServe ships no types
    """The model behind LitServe's four hooks."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe passes it
        """Load the model in the worker."""
        torch.set_num_threads(1)
        self.predictor = Predictor.load(sys.argv[1], "cpu")

    def decode_request(self, request: dict[str, str]) -> str:
        """Take the text out."""
        return request["text"]

    def batch(self, inputs: list[str]) -> list[str]:
        """Texts stay a list."""
        return inputs

    def predict(self, texts: list[str]) -> list[float]:
        """Judge a batch, padded to its longest text."""
        return [prediction.probability_negative for prediction in self.predictor.predict(texts, truncate=True)]

    def unbatch(self, output: list[float]) -> list[float]:
        """One answer a text."""
        return output

    def encode_response(self, output: Any) -> dict[str, float]:
        """Name the figure."""
        return {"negative": output}


if __name__ == "__main__":
    api = SentimentAPI(max_batch_size=32, batch_timeout=0.005)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="warning")
