"""Trains the network and writes it: data, pools, fit, calibration, SavedModel, `run.json`.

A run can be killed at any moment and resumed: after each epoch its state goes to a hidden folder beside the version
that it will become. What an epoch does depends on the seed, the epoch's number and that state alone, so a resumed
run ends where an uninterrupted one would have.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version as package_version
from typing import TYPE_CHECKING, NamedTuple

import keras
import msgspec
import numpy as np
import tensorflow as tf

from service.contract import SCHEMA_VERSION, DatasetRecord, TrainingRun
from service.preprocessing import DIGITS
from training.calibration import (
    RECORDED_SOURCES,
    Adjustment,
    Judged,
    hash_sources,
    learn_calibration,
    number_validation,
    recall_calibration,
)
from training.checkpoints import MAKE_ROOM, Progress, keep_others_out, read_progress, write_progress
from training.corrections import load_corrections, make_correction_pools
from training.data import Digits, load_mnist, prepare_digits, split_rows, tensor_from_images
from training.errors import DataError, VersionTaken, writing
from training.evaluate import score_answers, softmax
from training.fitting import EVALUATION_BATCH, fit
from training.model import (
    LABELS,
    build_model,
    build_normalised,
    divide_logits,
    fold_normalised,
    hash_weights,
    logits_model,
)
from training.pools import Sources, make_pools
from training.protocol import PLAIN, draw_condition, repeat_placements
from training.saved_model import publish
from training.unipen import PEN_FILE, load_pen_digits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from training.calibration import Calibration
    from training.config import Recipe
    from training.corrections import Corrections
    from training.data import Pixels
    from training.unipen import PenDigit

TOOLS = ("keras", "numpy", "pillow", "scipy", "tensorflow")
FEWEST_JUDGES = 2
"""Held-out writers; each half is judged with what the other teaches."""


class Order(NamedTuple):
    """What is asked of a training run."""

    recipe: Recipe
    data_dir: Path | None
    out: Path
    name: str
    version: int
    seed: int
    extra: tuple[Path, ...] = ()
    """Files and folders of corrections to learn from, too."""

    @property
    def target(self) -> Path:
        """The folder of the version."""
        return self.out / self.name / str(self.version)

    @property
    def workshop(self) -> Path:
        """The hidden folder in which an unfinished run keeps its state."""
        return self.out / self.name / f".{self.version}.unfinished"

    @property
    def command(self) -> str:
        """The command line that repeats the run."""
        return (
            f"livedigit train --recipe {self.recipe.name} --epochs {self.recipe.epochs} --seed {self.seed} "
            f"--name {self.name} --version {self.version}"
            + "".join(f" --extra {path.resolve().name}" for path in self.extra)
        )


class Examples(NamedTuple):
    """What a run learns from, what it is judged by on the way, and where both come from."""

    sources: Sources
    validation: Digits
    """Prepared; empty where nothing is held out."""
    held_out: list[PenDigit]
    records: tuple[DatasetRecord, ...]
    test: Digits
    """MNIST's test split as it comes: it decides nothing, but is missed before the hour that a run takes."""
    test_record: DatasetRecord


def train(order: Order, resume: bool = False, report: Callable[[str], None] = print) -> TrainingRun:
    """Fit the network as ordered and write SavedModel, `model.keras` and `run.json` to the version's folder.

    Raises `DataError`, `VersionTaken`, `NothingToResume` or `OutputUnwritable`.
    """
    corrections = load_corrections(order.extra, order.recipe)
    examples = gather_examples(order, report)
    begun = Progress(
        recipe=order.recipe,
        seed=order.seed,
        extra=corrections.records,
        datasets=(*examples.records, examples.test_record),
    )
    with open_workshop(order, resume, begun) as progress:
        return carry_out(order, examples, corrections, progress, report)


def carry_out(
    order: Order, examples: Examples, corrections: Corrections, progress: Progress, report: Callable[[str], None]
) -> TrainingRun:
    """Go from where `progress` stands to the finished version."""
    keras.utils.set_random_seed(order.seed)
    tf.config.experimental.enable_op_determinism()
    pools = make_pools(order.recipe, examples.sources, report)
    model = build_model(order.recipe.l2)
    network = build_normalised(order.recipe.dropout) if order.recipe.batch_norm else logits_model(model)
    extra = make_correction_pools(order.recipe, order.seed, corrections.digits, report)
    fit(network, [*pools, *extra], examples.validation, order.workshop, progress)
    if order.recipe.batch_norm:
        fold_normalised(network, model)
    metrics = calibrate(model, order.recipe, examples, corrections, report) | measure_progress(progress)
    records = (*examples.records, *corrections.records, examples.test_record)
    run = describe_run(order, progress, model, records, metrics | measure_test(model, examples.test))
    publish(model, run, order.workshop, order.target)
    return run


def gather_examples(order: Order, report: Callable[[str], None] = print) -> Examples:
    """Read the data and hold out what the recipe says. Raises `DataError`."""
    recipe = order.recipe
    mnist, record = load_mnist(order.data_dir, "train")
    test, test_record = load_mnist(order.data_dir, "test")
    learnt, held_out = split_rows(len(mnist.labels), recipe.validation_share, order.seed)
    validation = Digits(prepare_digits(mnist.images[held_out]), mnist.labels[held_out])
    if not recipe.stroke_copies:
        sources = Sources(mnist, learnt, [], np.empty(0, np.int64))
        return Examples(sources, validation, [], (record,), test, test_record)
    pen_digits, pen_record = load_pen_digits(order.data_dir, report)
    writers = np.array([digit.writer for digit in pen_digits])
    out_of_reach = np.isin(writers, recipe.held_out_writers)
    if recipe.held_out_writers and len(np.unique(writers[out_of_reach])) < FEWEST_JUDGES:
        raise DataError(
            f"the pen strokes hold digits by fewer than {FEWEST_JUDGES} of the writers "
            f"{', '.join(map(str, recipe.held_out_writers))}, by whom recipe {recipe.name} is judged: "
            f"use the whole of {PEN_FILE}"
        )
    return Examples(
        Sources(mnist, learnt, pen_digits, np.flatnonzero(~out_of_reach)),
        validation,
        [pen_digits[row] for row in np.flatnonzero(out_of_reach)],
        (record, pen_record),
        test,
        test_record,
    )


@contextmanager
def open_workshop(order: Order, resume: bool, begun: Progress) -> Iterator[Progress]:
    """Make the folder for the run's state, or find it again, and keep other runs out of it until the block ends.

    `begun` is the state of the run before its first epoch. Raises `VersionTaken`, `NothingToResume` or
    `OutputUnwritable`.
    """
    if order.target.exists():
        raise VersionTaken(f"{order.target}: already there, and never overwritten: choose another --version")
    if not resume:
        make_workshop(order.workshop)
    with keep_others_out(order.workshop):
        progress = read_progress(order.workshop, begun) if resume else begun
        with writing(order.workshop, MAKE_ROOM):
            write_progress(order.workshop, progress)
        yield progress


def make_workshop(folder: Path) -> None:
    """Make the folder for a run's state. Raises `VersionTaken` or `OutputUnwritable`."""
    with writing(folder, "choose another --out"):
        try:
            folder.mkdir(parents=True)
        except FileExistsError as error:
            with keep_others_out(folder):
                raise VersionTaken(
                    f"{folder}: an unfinished run is there: continue it with --resume, or delete the folder"
                ) from error


def calibrate(
    model: keras.Model, recipe: Recipe, examples: Examples, corrections: Corrections, report: Callable[[str], None]
) -> dict[str, float]:
    """Divide the logits by the temperature that held-out writers teach, and give that and their other lessons.

    Where a recipe holds out none, they are those of its held-out form, if a run of that is on record; what that run
    was worth is only said of one that learns from the same.
    """
    calibration = judge_held_out(model, examples) if examples.held_out else recall_calibration(recipe)
    if calibration is None:
        report("not calibrated: there is no record of the same recipe with writers held out")
        return {}
    divide_logits(model, calibration.temperature)
    lessons = msgspec.structs.asdict(calibration)
    if examples.held_out or (not corrections.digits and hash_sources(examples.sources) == RECORDED_SOURCES):
        return lessons
    report(
        "calibrated as without corrections and with the published data: what held-out writers make of this run is not "
        f"known, and that of {recipe.name}-held-out with the same data and --extra would tell"
    )
    return {name: lessons[name] for name in Adjustment.__struct_fields__}


def judge_held_out(model: keras.Model, examples: Examples) -> Calibration:
    """Ask the model about held-out writers and validation digits, and learn from the answers."""
    pens = Judged(
        predict_logits(model, draw_condition(examples.held_out, PLAIN)),
        repeat_placements([digit.label for digit in examples.held_out]),
        repeat_placements([digit.writer for digit in examples.held_out]),
    )
    images, labels = examples.validation
    return learn_calibration(pens, Judged(predict_logits(model, images), labels, number_validation(len(labels))))


def predict_logits(model: keras.Model, images: Pixels) -> NDArray[np.float32]:
    """Run prepared images, (N, 28, 28) uint8, through the model: (N, 10) float32."""
    logits: NDArray[np.float32] = model.predict(tensor_from_images(images), EVALUATION_BATCH, verbose=0)["logits"]
    return logits


def measure_progress(progress: Progress) -> dict[str, float]:
    """Say how long the run was, and how good on validation digits, where there were any."""
    chosen = progress.history[progress.chosen_epoch]
    metrics = {"epochs_run": float(len(progress.history))}
    return metrics | {"mnist_validation_accuracy": chosen["val_accuracy"]} if "val_accuracy" in chosen else metrics


def measure_test(model: keras.Model, digits: Digits) -> dict[str, float]:
    """Score the finished model on the MNIST test split."""
    scores = score_answers(softmax(predict_logits(model, prepare_digits(digits.images))), digits.labels)
    return {
        "mnist_test_accuracy": scores.accuracy,
        "mnist_test_errors": float(scores.errors),
        "mnist_test_calibration_error": scores.calibration_error,
    }


def describe_run(
    order: Order,
    progress: Progress,
    model: keras.Model,
    datasets: tuple[DatasetRecord, ...],
    metrics: dict[str, float],
) -> TrainingRun:
    """Put together `run.json`."""
    return TrainingRun(
        schema_version=SCHEMA_VERSION,
        recipe=order.recipe.name,
        command=order.command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=order.seed,
        epochs=order.recipe.epochs,
        duration_s=round(progress.duration_s, 1),
        parameters=model.count_params(),
        weights_sha256=hash_weights(model.get_weights()),
        labels=LABELS,
        preprocessing=DIGITS,
        config=msgspec.json.decode(msgspec.json.encode(order.recipe)),
        datasets=datasets,
        metrics={name: round(value, 6) for name, value in metrics.items()},
        tools={name: package_version(name) for name in TOOLS},
    )
