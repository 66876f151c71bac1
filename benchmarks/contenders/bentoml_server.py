"""BentoML: `bentoml serve benchmarks.contenders.bentoml_server:Digits`.

One worker, without the access log and the metrics that its documentation lets one turn off. The endpoint is a coroutine
that does the work itself: through BentoML's thread pool it took more CPU time.
"""

from typing import Any

import bentoml

from benchmarks.contenders.digits import OnnxModel, read_digit


@bentoml.service(workers=1, logging={"access": {"enabled": False}}, metrics={"enabled": False})
class Digits:
    """One endpoint."""

    def __init__(self) -> None:
        self.model = OnnxModel()

    @bentoml.api(route="/predict")
    async def predict(self, image: str) -> dict[str, Any]:
        """Read the digit in a data URL."""
        return read_digit(self.model, image)
