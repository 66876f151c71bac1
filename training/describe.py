"""An evaluation in words and tables, as a part of the model card: what for, from what, how good, and how not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from service.contract import TrainingRun
    from training.assessment import Assessment, StrokeFigures
    from training.evaluate import Scores

EVALUATION_FILE = "evaluation.md"
"""Beside a SavedModel's `run.json`; `livedigit export` makes it part of the model card."""

INTENDED_USE = """\
## Intended use

Reading one digit from 0 to 9 as people write it with a finger, a pen or a mouse, where a person sees the answer: on
the page, in teaching, in forms that are checked. Not for cheques, marks, addresses or anything else that nobody looks
at again; not for letters, other scripts or printed digits.
"""

DATA = """\
## Data

- MNIST, Y. LeCun, C. Cortes, C. J. C. Burges, as its distributors state under CC BY-SA 3.0: digits by employees of the
  US Census Bureau and by high-school students, about 1990.
- Pen-Based Recognition of Handwritten Digits, E. Alpaydin, F. Alimoglu, UCI Machine Learning Repository,
  doi 10.24432/C5MG6K, CC BY 4.0: strokes of 30 writers on one tablet, in one laboratory.
- Drawings that are no digit, of the project's own: taps, scribbles, letters and symbols, digits side by side, pieces of
  digits. They teach the network to be unsure.

All distorted before the shared preprocessing.
"""

UNSEEN = "has not seen these writers"
LEARNT_FROM = "has learnt from these writers or some of them"

LIMITS = """\
## Known limits

Everybody in the data wrote in one of two places, so digits as they are written elsewhere, by children, or by hands that
shake are not measured; neither is the mouse. What is no digit gets an answer too, mostly an uncertain one.
"""


def describe(figures: Assessment, run: TrainingRun | None) -> str:
    """Write the sections. `run` is that of the model which was asked."""
    sections = [INTENDED_USE, DATA, describe_scores(figures, run)]
    if figures.strokes:
        sections.append(describe_strokes(figures.strokes))
    return "\n".join([*sections, LIMITS])


def describe_scores(figures: Assessment, run: TrainingRun | None) -> str:
    """Say who was asked, and give the score of each data set."""
    rows = [("MNIST test images", figures.mnist)]
    if figures.mnist_disputed:
        rows.append(("the same without 15 labels that people dispute", figures.mnist_disputed.undisputed))
    if strokes := figures.strokes:
        rows += [
            (f"pen strokes of {len(strokes.writers)} writers", strokes.plain),
            ("as drawn", strokes.as_drawn),
            ("filling the canvas", strokes.filling),
        ]
    asked = f"Of a network trained by `{run.command}`" if run else f"Of {figures.model}"
    acquaintance = ""
    if strokes and run:
        acquaintance = f", which {LEARNT_FROM if has_learnt_from(strokes.writers, run) else UNSEEN}"
    lines = (
        f"| {name} | {each.accuracy:.2%} | {each.errors} of {each.examples:,} | {each.calibration_error:.2%} |"
        for name, each in rows
    )
    return f"## Evaluation\n\n{asked}{acquaintance}.\n\n" + tabulate(
        ("", "Right", "Errors", "Expected calibration error"), lines
    )


def has_learnt_from(writers: tuple[int, ...], run: TrainingRun) -> bool:
    """Tell whether a network has learnt from any of the writers whom it is judged by."""
    learns_from_strokes = run.config.get("stroke_copies", 0)
    return bool(learns_from_strokes) and not set(writers) <= set(run.config.get("held_out_writers", ()))


def describe_strokes(figures: StrokeFigures) -> str:
    """Give the accuracy under each condition and of each writer, and how well non-digits are told."""
    conditions = tabulate(("Condition", "Right"), list_scores(figures.by_condition))
    writers = tabulate(
        ("Writer", "Right"), (f"| {writer} | {share:.2%} |" for writer, share in figures.by_writer.items())
    )
    kinds = figures.rejection | {f"parts of numbers: {kind}": area for kind, area in figures.pieces.items()}
    rest = tabulate(("No digit", "AUROC"), (f"| {kind} | {area:.4f} |" for kind, area in kinds.items()))
    crossed = figures.cross_fitted_calibration_error
    calibration = (
        f"\nWith a temperature fitted to other writers than those it is judged on, the strokes' expected calibration "
        f"error is {crossed:.2%}.\n"
        if crossed is not None
        else ""
    )
    return f"{conditions}\n{writers}\n{rest}{calibration}"


def list_scores(scores: dict[str, Scores]) -> Iterable[str]:
    """Write a row for each."""
    return (f"| {name} | {each.accuracy:.2%} |" for name, each in scores.items())


def tabulate(head: tuple[str, ...], rows: Iterable[str]) -> str:
    """Write a table in Markdown."""
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *rows, ""])
