"""Fits the weights of `service.numbers.weights`: what each feature of a candidate counts.

    python -m training.numbers_fitting MODEL --data-dir DATA

MODEL is a SavedModel or an artifact. The weights make the right numbers as likely as they can be on numbers composed
from the strokes of the writers that recipes learn from; the writers that are held out have no part in it. Which way of
taking a number apart is right is not said: every way that spells the right number counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logsumexp

from service.errors import ImageError
from service.numbers.geometry import Features
from service.numbers.lattice import Candidate, find_ways
from service.numbers.reading import Examined, Model, examine, examine_image
from service.numbers.strokes import Canvas, take_strokes_apart
from service.numbers.weights import INK, STROKES
from training.cli import DATA_DIR
from training.config import HELD_OUT_WRITERS
from training.errors import told_by_click
from training.numbers import SPACINGS, ComposedNumber, compose_numbers
from training.numbers_assessment import single_digits
from training.runners import load_runner
from training.unipen import PenDigit, load_pen_digits

NUMBERS = 400
"""Of each spacing, and digits of several strokes that stand alone."""
SEED = 1
"""Not the one of the questions by which the reading is judged."""
WAYS = 150
"""Of taking a number apart, the likeliest under the weights before."""
ROUNDS = 2
STRENGTH = 1e-3
"""Of the pull of each weight towards nothing."""
NOTHING = -1e9
"""Logarithm of no probability at all."""


class Case(NamedTuple):
    """A number taken apart in every likely way."""

    features: NDArray[np.float64]
    """(ways, features): the sums over each way's candidates."""
    truth: NDArray[np.float64]
    """(ways,): logarithm of the probability that each way's labels are the right ones."""


@click.command()
@click.argument("model", type=click.Path(exists=True, file_okay=False, path_type=Path))
@DATA_DIR
@told_by_click()
def fit(model: Path, data_dir: Path | None) -> None:
    """Print the weights that MODEL wants, for strokes and for ink."""
    reader = Model(load_runner(model))
    digits = [digit for digit in load_pen_digits(data_dir)[0] if digit.writer not in HELD_OUT_WRITERS]
    numbers = draw_lots(digits)
    for name, weights in (("STROKES", STROKES), ("INK", INK)):
        examined = list(examine_numbers(numbers, reader, as_image=name == "INK"))
        for _ in range(ROUNDS):
            cases = list(list_cases(examined, weights))
            weights, surprise = fit_weights(cases, weights)
        click.echo(f"{name}: {len(cases):,} of {len(numbers):,} numbers, surprise {surprise:.4f}")
        click.echo(", ".join(f"{feature}={weight:.3f}" for feature, weight in weights._asdict().items()))


def draw_lots(digits: Sequence[PenDigit]) -> list[ComposedNumber]:
    """Compose the numbers to learn from."""
    alone = single_digits(digits)
    chosen = np.random.default_rng(SEED).permutation(len(alone))[:NUMBERS]
    composed = [number for spacing in SPACINGS for number in compose_numbers(digits, spacing, NUMBERS, SEED)]
    return composed + [alone[index] for index in chosen]


def examine_numbers(numbers: Sequence[ComposedNumber], model: Model, as_image: bool) -> Iterator[tuple[str, Examined]]:
    """Take numbers apart, and ask the model; those that are refused teach nothing."""
    for number in numbers:
        try:
            yield number.text, examine_number(number, model, as_image)
        except ImageError:
            continue


def examine_number(number: ComposedNumber, model: Model, as_image: bool) -> Examined:
    """Take a number's image or strokes apart."""
    if as_image:
        return examine_image(number.draw(), model)
    return examine(take_strokes_apart(number.strokes, Canvas(number.width, number.height)), model)


def list_cases(examined: Sequence[tuple[str, Examined]], weights: Features) -> Iterator[Case]:
    """List the ways of those numbers that can be taken apart rightly."""
    for text, one in examined:
        case = list_ways(text, one, weights)
        if case.truth.max() > NOTHING:
            yield case


def list_ways(text: str, examined: Examined, weights: Features) -> Case:
    """List the likeliest ways to take a number apart, whatever the labels."""
    features = np.array(examined.features)
    candidates = [
        Candidate(group, float(score), ((0, 0.0),))
        for group, score in zip(examined.pieces.groups, features @ np.array(weights), strict=True)
    ]
    logarithms = np.log(np.maximum(examined.probabilities.astype(np.float64), 1e-12))
    middles = [examined.pieces.frame(group).middle for group in examined.pieces.groups]
    sums, truth = [], []
    for way in find_ways(len(examined.pieces.boxes), candidates, WAYS):
        chosen = sorted((index for index, _ in way.steps), key=lambda index: middles[index])
        sums.append(features[chosen].sum(axis=0))
        fits = len(chosen) == len(text)
        truth.append(logarithms[chosen, list(map(int, text))].sum() if fits else NOTHING)
    return Case(np.array(sums), np.array(truth))


def fit_weights(cases: Sequence[Case], start: Features) -> tuple[Features, float]:
    """Find the weights under which the right numbers are likeliest, and the mean surprise that is left."""
    most = max(len(case.truth) for case in cases)
    features = np.stack([pad(case.features, most, 0.0) for case in cases])
    truth = np.stack([pad(case.truth, most, NOTHING) for case in cases])
    present = np.stack([pad(np.zeros(len(case.truth)), most, NOTHING) for case in cases])

    def measure_surprise(weights: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scores = features @ weights
        wanted, all_ways = logsumexp(scores + truth, axis=1), logsumexp(scores + present, axis=1)
        shares = np.exp(scores + present - all_ways[:, np.newaxis]) - np.exp(scores + truth - wanted[:, np.newaxis])
        gradient = np.einsum("nw,nwf->f", shares, features) / len(cases)
        return (
            float((all_ways - wanted).mean() + STRENGTH * weights @ weights),
            gradient + 2 * STRENGTH * weights,
        )

    found = minimize(measure_surprise, np.array(start), jac=True, method="L-BFGS-B")
    return Features(*map(float, found.x)), float(found.fun)


def pad(values: NDArray[np.float64], length: int, filler: float) -> NDArray[np.float64]:
    """Lengthen the first axis."""
    return np.concatenate([values, np.full((length - len(values), *values.shape[1:]), filler)])


if __name__ == "__main__":
    fit()
