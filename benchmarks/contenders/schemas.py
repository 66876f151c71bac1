"""The request and the answer for the contenders that describe them with Pydantic."""

from pydantic import BaseModel


class DrawnImage(BaseModel):
    """An image as a data URL."""

    image: str


class Candidate(BaseModel):
    """One digit and its probability."""

    digit: int
    confidence: float


class Prediction(Candidate):
    """The likeliest digit, and the five likeliest."""

    top_predictions: list[Candidate]
