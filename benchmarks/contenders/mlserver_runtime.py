"""MLServer: `mlserver start benchmarks/contenders/mlserver_digits`.

No parallel workers, debugging, metrics or compression, which its documentation lets one turn off; the endpoint is a
custom handler, which spares it the conversion of the image into a tensor of bytes.
"""

from mlserver import MLModel
from mlserver.handlers import custom_handler

from benchmarks.contenders.digits import OnnxModel, read_digit
from benchmarks.contenders.schemas import DrawnImage, Prediction


class DigitRuntime(MLModel):
    """One model, one custom endpoint."""

    async def load(self) -> bool:
        """Load the model."""
        self.model = OnnxModel()
        return True

    @custom_handler(rest_path="/predict")
    async def predict_digit(self, drawn: DrawnImage) -> Prediction:
        """Read the digit in a data URL."""
        prediction: Prediction = Prediction.model_validate(read_digit(self.model, drawn.image))
        return prediction
