"""Fits the network and writes it: data, callbacks, checkpoints, SavedModel, `run.json`.

A run can be killed at any moment and resumed: after each epoch its state goes to a hidden folder beside the version
that it will become. What an epoch does depends on the seed, the epoch's number and that state alone, so a resumed
run ends where an uninterrupted one would have.
"""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime
from importlib.metadata import version as package_version
from typing import TYPE_CHECKING, NamedTuple

import keras
import msgspec
import numpy as np
import tensorflow as tf

from service.contract import SCHEMA_VERSION, DatasetRecord, TrainingRun
from service.preprocessing import DIGITS
from training.checkpoints import Checkpoints, Progress, read_progress, write_progress
from training.data import Digits, load_mnist, prepare_digits, split_validation, tensor_from_images
from training.errors import VersionTaken
from training.evaluate import score_answers
from training.model import INPUT_SHAPE, LABELS, build_model, hash_weights, logits_model

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from training.config import Recipe

TOOLS = ("keras", "numpy", "pillow", "scipy", "tensorflow")
EVALUATION_BATCH = 1000


class Order(NamedTuple):
    """What is asked of a training run."""

    recipe: Recipe
    data_dir: Path | None
    out: Path
    name: str
    version: int
    seed: int

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
        )


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """An endless sequence of training batches in which each epoch is a new permutation.

    Batch number i is a function of the seed and i alone, whatever has been read before.
    """

    def __init__(self, digits: Digits, batch_size: int, seed: int, first_epoch: int) -> None:
        super().__init__()
        self.digits = digits
        self.batch_size = batch_size
        self.seed = seed
        self.first_epoch = first_epoch
        self.permutation = (-1, np.empty(0, np.int64))

    @property
    def num_batches(self) -> None:
        """Endless, for Keras."""

    @property
    def steps_per_epoch(self) -> int:
        """The batches of an epoch; what does not fill one is left to the next permutation."""
        return len(self.digits.labels) // self.batch_size

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Give a batch: (B, 28, 28, 1) float32 in [0, 1], and (B,) labels."""
        epoch, step = divmod(index, self.steps_per_epoch)
        rows = self.permute(epoch)[step * self.batch_size : (step + 1) * self.batch_size]
        return tensor_from_images(self.digits.images[rows]), self.digits.labels[rows]

    def permute(self, epoch: int) -> NDArray[np.int64]:
        """Give an epoch's permutation, made once."""
        if self.permutation[0] != epoch:
            generator = np.random.default_rng((self.seed, self.first_epoch + epoch))
            self.permutation = (epoch, generator.permutation(len(self.digits.labels)))
        return self.permutation[1]


def choose_version(out: Path, name: str) -> int:
    """Give the number after the highest one there."""
    folder = out / name
    taken = [int(path.name) for path in folder.iterdir() if path.name.isdigit()] if folder.is_dir() else []
    return max(taken, default=0) + 1


def train(order: Order, resume: bool = False) -> TrainingRun:
    """Fit the network as ordered and write SavedModel, `model.keras` and `run.json` to the version's folder.

    Raises `DataError`, `VersionTaken` or `NothingToResume`.
    """
    digits, train_record = load_mnist(order.data_dir, "train")
    progress = open_workshop(order, resume)
    keras.utils.set_random_seed(order.seed)
    tf.config.experimental.enable_op_determinism()
    model = build_model(order.recipe.l2)
    fit(model, Digits(prepare_digits(digits.images), digits.labels), order, progress)
    metrics, test_record = measure(model, order.data_dir)
    best = progress.history[progress.best_epoch]
    metrics |= {"epochs_run": float(len(progress.history)), "mnist_validation_accuracy": best["val_accuracy"]}
    run = describe_run(order, progress, model, (train_record, test_record), metrics)
    publish(order, model, run)
    return run


def open_workshop(order: Order, resume: bool) -> Progress:
    """Make the folder for the run's state, or find it again. Raises `VersionTaken` or `NothingToResume`."""
    if order.target.exists():
        raise VersionTaken(
            f"{order.target}: already there, and a version is never overwritten: choose another --version"
        )
    if resume:
        return read_progress(order.workshop, order.recipe, order.seed)
    try:
        order.workshop.mkdir(parents=True)
    except FileExistsError as error:
        raise VersionTaken(
            f"{order.workshop}: an unfinished run is there: continue it with --resume, or delete the folder"
        ) from error
    progress = Progress(recipe=order.recipe, seed=order.seed)
    write_progress(order.workshop, progress)
    return progress


def fit(model: keras.Model, digits: Digits, order: Order, progress: Progress) -> None:
    """Train `model` in place on prepared digits, up to the best epoch's weights."""
    recipe = order.recipe
    training, validation = split_validation(digits, recipe.validation_share, order.seed)
    trained = logits_model(model)
    trained.compile(
        keras.optimizers.Adam(recipe.learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    followers = [
        keras.callbacks.EarlyStopping(patience=recipe.stop_patience),
        keras.callbacks.ReduceLROnPlateau(factor=recipe.plateau_factor, patience=recipe.plateau_patience),
    ]
    checkpoints = Checkpoints(order.workshop, progress, followers)
    first_epoch = len(progress.history)
    batches = Batches(training, recipe.batch_size, order.seed, first_epoch)
    if not progress.finished:
        trained.fit(
            batches,
            steps_per_epoch=batches.steps_per_epoch,
            shuffle=False,
            epochs=recipe.epochs,
            initial_epoch=first_epoch,
            validation_data=(tensor_from_images(validation.images), validation.labels),
            validation_batch_size=EVALUATION_BATCH,
            callbacks=[*followers, checkpoints],
            verbose=1 if sys.stdout.isatty() else 2,
        )
    checkpoints.restore(trained, progress.best_epoch)


def measure(model: keras.Model, data_dir: Path | None) -> tuple[dict[str, float], DatasetRecord]:
    """Score the finished model on the MNIST test split, the one time that a run reads it."""
    digits, record = load_mnist(data_dir, "test")
    tensors = tensor_from_images(prepare_digits(digits.images))
    scores = score_answers(model.predict(tensors, EVALUATION_BATCH, verbose=0)["probabilities"], digits.labels)
    return {
        "mnist_test_accuracy": scores.accuracy,
        "mnist_test_errors": float(scores.errors),
        "mnist_test_calibration_error": scores.calibration_error,
    }, record


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
        config=msgspec.to_builtins(order.recipe),
        datasets=datasets,
        metrics={name: round(value, 6) for name, value in metrics.items()},
        tools={name: package_version(name) for name in TOOLS},
    )


def publish(order: Order, model: keras.Model, run: TrainingRun) -> None:
    """Write the version beside its place and move it there in one step. Raises `VersionTaken`."""
    finished = order.workshop / "finished"
    shutil.rmtree(finished, ignore_errors=True)
    write_saved_model(model, finished)
    (finished / "run.json").write_bytes(msgspec.json.format(msgspec.json.encode(run)) + b"\n")
    try:
        finished.rename(order.target)
    except OSError as error:
        raise VersionTaken(f"{order.target}: appeared during training; the new one is in {finished}") from error
    shutil.rmtree(order.workshop)


def write_saved_model(model: keras.Model, folder: Path) -> None:
    """Write a SavedModel with the endpoint `serve`, and the same model as `model.keras`.

    The endpoint states `training=False`: Keras's own export can leave random layers switched on.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serve",
        lambda image: model(image, training=False),
        input_signature=[tf.TensorSpec((None, *INPUT_SHAPE), tf.float32, name="image")],
    )
    archive.write_out(folder, verbose=False)
    model.save(folder / "model.keras")
