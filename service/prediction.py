"""From an encoded image to an answer, stage by stage; no HTTP."""

from __future__ import annotations

import io
import time
from base64 import b64encode
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.classifier import Classifier
from service.contract import PredictResponse, TopPrediction
from service.png import read_header
from service.preprocessing import PROFILE, GreyImage, decode_image, prepare_grey
from service.questions import Question, Steps, work_alone

TOP_K = 5
BRIEF_BYTES = 32 * 1024
BRIEF_PIXELS = 2 * 280 * 280
"""Of a canvas, twice."""
SLOW_CHUNKS = (PROFILE, b"zTXt", b"iTXt", b"eXIf")
"""Of a PNG: some bytes of them take Pillow milliseconds, as they unpack to a megabyte or hold thousands of tags."""
CONFIDENCE_DIGITS = 6


class StageClock:
    """Measures the stages of one request, each from the end of the one before."""

    __slots__ = ("_last", "stages")

    def __init__(self) -> None:
        self.stages: dict[str, float] = {}
        """Seconds by stage."""
        self._last = time.perf_counter()

    def mark(self, stage: str) -> None:
        """End a stage."""
        now = time.perf_counter()
        self.stages[stage] = now - self._last
        self._last = now


def is_brief(image: bytes) -> bool:
    """Say whether reading an encoded image takes about a millisecond, by its size and by what a PNG's header says."""
    header = read_header(image) if len(image) <= BRIEF_BYTES else None
    if header is None or header.width * header.height > BRIEF_PIXELS:
        return False
    return not any(kind in image for kind in SLOW_CHUNKS)


def predict_image(model: Classifier, image: bytes, max_pixels: int, debug: bool = False) -> PredictResponse:
    """Read the digit in an encoded image. Raises `ImageError`, `InferenceFailure` or `ModelUnavailable`."""
    return work_alone(predict_steps(model, image, max_pixels, debug, StageClock()))


def predict_steps(
    model: Classifier, image: bytes, max_pixels: int, debug: bool, clock: StageClock
) -> Steps[PredictResponse]:
    """Read the digit in an encoded image, and mark the stages. Raises `ImageError` or `ModelUnavailable`."""
    digits = model.digits
    clock.mark("queue")
    grey = decode_image(image, max_pixels)
    clock.mark("decode")
    prepared = prepare_grey(grey, model.preprocessing)
    clock.mark("preprocess")
    answer = yield Question(model, prepared.tensor[np.newaxis], partial(clock.mark, "gather"))
    clock.mark("infer")
    (probabilities,) = answer.probabilities
    top = rank_labels(probabilities, digits)
    return PredictResponse(
        digit=top[0].digit,
        confidence=top[0].confidence,
        top_predictions=top,
        cropped_image=png_base64(prepared.crop) if debug else None,
        final_image=png_base64(prepared.final) if debug else None,
        uncertain=bool(probabilities.max() < model.uncertain_below),
    )


def rank_labels(probabilities: NDArray[np.float32], digits: tuple[int, ...]) -> tuple[TopPrediction, ...]:
    """Give the likeliest digits, in descending order."""
    # Python sorts ten numbers in half the time that NumPy needs.
    by_digit = probabilities.tolist()
    order = sorted(range(len(by_digit)), key=by_digit.__getitem__, reverse=True)
    return tuple(TopPrediction(digits[index], round(by_digit[index], CONFIDENCE_DIGITS)) for index in order[:TOP_K])


def png_base64(grey: GreyImage) -> str:
    """Encode grey levels as a PNG in base64."""
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, "PNG")
    return b64encode(buffer.getvalue()).decode("ascii")
