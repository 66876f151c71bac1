"""Writes a finished model as the files that export reads."""

from __future__ import annotations

import errno
import os
import shutil
from typing import TYPE_CHECKING

import keras
import msgspec
import tensorflow as tf

from training.errors import VersionTaken, writing
from training.model import INPUT_SHAPE

if TYPE_CHECKING:
    from pathlib import Path

    from service.contract import TrainingRun


def publish(model: keras.Model, run: TrainingRun, workshop: Path, target: Path) -> None:
    """Write the version in the run's folder, move it to its place in one step, and clear up.

    Raises `VersionTaken` or `OutputUnwritable`; the run can be resumed from its last epoch after either.
    """
    finished = workshop / "finished"
    shutil.rmtree(finished, ignore_errors=True)
    with writing(workshop, "make room, and finish the run with --resume"):
        write_saved_model(model, finished)
        (finished / "run.json").write_bytes(msgspec.json.format(msgspec.json.encode(run)) + b"\n")
    try:
        finished.rename(target)
    except OSError as error:
        raise VersionTaken(f"{target}: appeared during training; the new one is in {finished}") from error
    shutil.rmtree(workshop)


def write_saved_model(model: keras.Model, folder: Path) -> None:
    """Write a SavedModel with the endpoint `serve`, and the same model as `model.keras`.

    The endpoint states `training=False`: Keras's own export can leave random layers switched on. Raises `OSError`.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serve",
        lambda image: model(image, training=False),
        input_signature=[tf.TensorSpec((None, *INPUT_SHAPE), tf.float32, name="image")],
    )
    try:
        archive.write_out(folder, verbose=False)
    except tf.errors.ResourceExhaustedError as error:
        # What TensorFlow raises where the disk is full.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
    model.save(folder / "model.keras")
