"""What held-out writers teach about confidence: temperature, threshold of doubt, and how far both can be trusted.

What is fitted to some writers says little about itself on the same ones, so the figures are cross-fitted: each half of
the writers is judged with what the other half teaches. What is then used is fitted to all of them.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Annotated, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta

from service.contract import TrainingRun
from training.config import Recipe
from training.evaluate import accuracy_by_group, calibration_error, fit_temperature, low_confidence, softmax
from training.pools import hash_bytes, hash_strokes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from training.evaluate import Labels, Probabilities
    from training.pools import Sources

EVEN_VALIDATION, ODD_VALIDATION = -2, -1
"""Stand for two more writers, who wrote the validation digits."""
RECORDED_SOURCES = "41bba1e2769c17cc820e352c0ee52f7901cafa686724af5797e0b7d02f59e65f"
"""Of the run on record: MNIST and the pen strokes as they are published."""


class Adjustment(msgspec.Struct, frozen=True, kw_only=True):
    """How a network's answers are to be taken."""

    temperature: Annotated[float, Meta(gt=0)]
    """Divides the logits of the saved network."""
    uncertain_threshold: Annotated[float, Meta(ge=0, lt=1)]
    """An answer with a lower highest probability is uncertain: so is one in a hundred of the held-out digits."""


class Calibration(Adjustment, frozen=True, kw_only=True):
    """What the writers that a recipe holds out teach: metrics of that run, and of the one that holds out none."""

    held_out_strokes_accuracy: float
    held_out_strokes_worst_writer: float
    held_out_strokes_calibration_error: float
    """Cross-fitted."""
    held_out_strokes_uncertain: float
    """Share of digits called uncertain, cross-fitted."""


class Judged(NamedTuple):
    """Examples with the network's logits."""

    logits: NDArray[np.float32]
    """(N, 10)."""
    labels: Labels
    writers: Labels


def learn_calibration(pens: Judged, validation: Judged) -> Calibration:
    """Fit temperature and threshold to held-out writers, the temperature to validation digits, too."""
    logits = np.concatenate([pens.logits, validation.logits])
    labels = np.concatenate([pens.labels, validation.labels])
    writers = np.concatenate([pens.writers, validation.writers])
    temperature = fit_temperature(logits, labels)
    answers = softmax(pens.logits / np.float32(temperature))
    crossed = cross_fit(logits, labels, writers)[: len(pens.labels)]
    return Calibration(
        temperature=temperature,
        uncertain_threshold=low_confidence(answers),
        held_out_strokes_accuracy=float(np.mean(answers.argmax(1) == pens.labels)),
        held_out_strokes_worst_writer=min(accuracy_by_group(answers, pens.labels, pens.writers).values()),
        held_out_strokes_calibration_error=calibration_error(crossed, pens.labels),
        held_out_strokes_uncertain=cross_doubt(answers, pens.writers),
    )


def number_validation(count: int) -> Labels:
    """Give the validation digits their two writers in turn."""
    return np.where(np.arange(count) % 2, ODD_VALIDATION, EVEN_VALIDATION)


def cross_fit(logits: NDArray[np.float32], labels: Labels, writers: Labels) -> Probabilities:
    """Give each half of the writers the probabilities under the temperature that the other half teaches."""
    answers = np.empty_like(logits)
    for judged, teaching in halve(writers):
        answers[judged] = softmax(logits[judged] / np.float32(fit_temperature(logits[teaching], labels[teaching])))
    return answers


def cross_doubt(answers: Probabilities, writers: Labels) -> float:
    """Give the share of answers below the threshold that the other half of the writers teaches."""
    below = [answers[judged].max(1) < low_confidence(answers[teaching]) for judged, teaching in halve(writers)]
    return float(np.concatenate(below).mean())


def halve(writers: Labels) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """Give each half of the writers, of whom there are two at least, with the other."""
    first = np.isin(writers, np.unique(writers)[::2])
    yield first, ~first
    yield ~first, first


def recall_calibration(recipe: Recipe) -> Calibration | None:
    """Read what the run of the recipe's held-out form has taught, from its `run.json`; None where there was none.

    The form differs from the recipe in its name and in what it holds out, and in nothing else.
    """
    record = files("training").joinpath(f"{recipe.name}-held-out.run.json")
    if not record.is_file():
        return None
    run = msgspec.json.decode(record.read_bytes(), type=TrainingRun)
    taught_by = msgspec.convert(run.config, Recipe)
    held_out_form = msgspec.structs.replace(
        recipe,
        name=taught_by.name,
        validation_share=taught_by.validation_share,
        held_out_writers=taught_by.held_out_writers,
    )
    return msgspec.convert(run.metrics, Calibration) if taught_by == held_out_form else None


def hash_sources(sources: Sources) -> str:
    """SHA-256 of the examples themselves, however their files are packed."""
    images, labels = sources.mnist
    people = np.array([(digit.label, digit.writer) for digit in sources.pen_digits], np.int64)
    parts = [hash_bytes(array.tobytes()) for array in (images, labels, people)]
    return hash_bytes("".join([*parts, hash_strokes(sources.pen_digits)]).encode())
