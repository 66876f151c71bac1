"""FastAPI: `python -m benchmarks.contenders.fastapi_server PORT onnxruntime|tensorflow`.

uvicorn with uvloop and httptools and without access log, as its documentation has it for production; one worker, since
it gets one core. The handler is a coroutine that does the work itself: through FastAPI's thread pool it took more CPU
time.
"""

import sys
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from benchmarks.contenders.digits import Model, OnnxModel, TensorFlowModel, read_digit
from benchmarks.contenders.schemas import DrawnImage, Prediction

MODELS: dict[str, Callable[[], Model]] = {"onnxruntime": OnnxModel, "tensorflow": TensorFlowModel}


def create_app(engine: str) -> FastAPI:
    """Load the model and wire the one endpoint."""
    app = FastAPI()
    model = MODELS[engine]()

    @app.post("/predict")
    async def predict(drawn: DrawnImage) -> Prediction:
        prediction: Prediction = Prediction.model_validate(read_digit(model, drawn.image))
        return prediction

    return app


if __name__ == "__main__":
    _, port, engine = sys.argv
    uvicorn.run(
        create_app(engine), port=int(port), loop="uvloop", http="httptools", access_log=False, log_level="warning"
    )
