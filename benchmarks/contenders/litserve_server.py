"""LitServe: `python -m benchmarks.contenders.litserve_server PORT`.

One API server and one inference worker, which it always keeps apart; ZeroMQ between them (`fast_queue`).
"""

import sys
from typing import Any

import litserve

from benchmarks.contenders.digits import OnnxModel, describe, tensor_from_data_url
from service.preprocessing import Tensor


class DigitAPI(litserve.LitAPI):
    """Decode, infer, encode."""

    def setup(self, device: str) -> None:
        """Load the model in the worker."""
        self.model = OnnxModel()

    def decode_request(self, request: dict[str, str]) -> Tensor:
        """Prepare the image."""
        return tensor_from_data_url(request["image"])

    def predict(self, x: Tensor) -> Any:
        """Infer."""
        return self.model.run(x)[0]

    def encode_response(self, output: Any) -> dict[str, Any]:
        """Answer."""
        return describe(output)


if __name__ == "__main__":
    server = litserve.LitServer(DigitAPI(), accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, log_level="warning", generate_client_file=False,
        access_log=False,
    )  # fmt: skip
