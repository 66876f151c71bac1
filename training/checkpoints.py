"""The state of an unfinished run, on disk after every epoch, so that a killed run can go on."""

from __future__ import annotations

import errno
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import keras
import msgspec
import numpy as np

from service.contract import UNREADABLE_JSON, DatasetRecord
from service.errors import first_line
from service.files import DAMAGED_ARCHIVE, replacing, write_whole
from training.config import Recipe
from training.errors import DataError, NothingToResume, VersionTaken, writing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import IO

PROGRESS_FILE = "progress.json"
LOCK_FILE = "lock"
MAKE_ROOM = "make room there, and continue with --resume"


class Progress(msgspec.Struct, kw_only=True):
    """`progress.json`: how far a run has come."""

    recipe: Recipe
    seed: int
    extra: tuple[DatasetRecord, ...] = ()
    """Corrections that are learnt from."""
    datasets: tuple[DatasetRecord, ...] = ()
    """The data sets; a run that was begun before they were recorded names none."""
    finished: bool = False
    duration_s: float = 0.0
    history: list[dict[str, float]] = []
    """What Keras measured in each epoch."""
    generators: dict[str, list[int]] = {}
    """State of the generator behind each dropout's masks, by layer, which Keras does not save with the weights."""

    @property
    def chosen_epoch(self) -> int:
        """The epoch whose weights count: by the plateau schedule the lowest validation loss, by one-cycle the last."""
        if self.recipe.schedule == "one_cycle":
            return len(self.history) - 1
        losses = [logs["val_loss"] for logs in self.history]
        return losses.index(min(losses))


class Checkpoints(keras.callbacks.Callback):  # type: ignore[misc]
    """Saves the state after each epoch and restores it before the first.

    Goes last in the list of callbacks. `followers` are the callbacks whose state is a function of the history,
    which Keras does not save: they are shown the history again.
    """

    def __init__(self, folder: Path, progress: Progress, followers: Sequence[keras.callbacks.Callback]) -> None:
        super().__init__()
        self.folder = folder
        self.progress = progress
        self.followers = followers
        self.resumed_at = time.monotonic()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Restore the weights, the optimizer and the other callbacks."""
        if not self.progress.history:
            return
        for epoch, past_logs in enumerate(self.progress.history):
            for callback in self.followers:
                callback.on_epoch_end(epoch, dict(past_logs))
        # After the replay, which has moved the learning rate that is restored here.
        self.restore(self.model, len(self.progress.history) - 1)
        for name, state in self.progress.generators.items():
            self.model.get_layer(name).seed_generator.state.assign(state)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Save everything, then point `progress.json` at it: a kill in between costs one epoch and no more.

        Raises `OutputUnwritable`.
        """
        now = time.monotonic()
        self.progress.duration_s += now - self.resumed_at
        self.resumed_at = now
        self.progress.history.append({name: float(value) for name, value in (logs or {}).items()})
        self.progress.generators = read_generators(self.model)
        self.progress.finished = self.model.stop_training or epoch + 1 == self.progress.recipe.epochs
        with writing(self.folder, MAKE_ROOM):
            self.save(self.weights_path(epoch))
            write_progress(self.folder, self.progress)
            self.remove_obsolete()

    def save(self, path: Path) -> None:
        """Save weights and optimizer. Raises `OSError`.

        Not by Keras: where the disk is full, HDF5 cannot close its file, and crashes when the process ends.
        """
        with replacing(path) as file:
            np.savez(file, *map(keras.ops.convert_to_numpy, list_state(self.model)))

    def restore(self, model: keras.Model, epoch: int) -> None:
        """Load the state at the end of an epoch. Raises `DataError`."""
        path = self.weights_path(epoch)
        model.optimizer.build(model.trainable_variables)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                for variable, array in zip(list_state(model), arrays.values(), strict=True):
                    variable.assign(array)
        except DAMAGED_ARCHIVE as error:
            reason = first_line(error)
            raise DataError(f"{path}: cannot be read ({reason}): delete {self.folder} and train anew") from error

    def weights_path(self, epoch: int) -> Path:
        """Where the state at the end of an epoch lies."""
        return self.folder / f"epoch-{epoch + 1:04}.npz"

    def remove_obsolete(self) -> None:
        """Keep the last epoch, to resume from, and the best so far, to end with."""
        kept = {self.weights_path(epoch) for epoch in (len(self.progress.history) - 1, self.progress.chosen_epoch)}
        for path in set(self.folder.glob("epoch-*.npz")) - kept:
            path.unlink()


def list_state(model: keras.Model) -> list[keras.Variable]:
    """List what an epoch changes, but for the generators, in an order that depends on the network alone."""
    return [*model.weights, *model.optimizer.variables]


def read_generators(model: keras.Model) -> dict[str, list[int]]:
    """Give the state of each dropout's generator, by layer; one that drops nothing has none."""
    dropouts = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout) and layer.rate > 0]
    return {layer.name: keras.ops.convert_to_numpy(layer.seed_generator.state).tolist() for layer in dropouts}


@contextmanager
def keep_others_out(folder: Path) -> Iterator[None]:
    """Hold the folder's lock until the block ends; a process that is killed lets go of it.

    Raises `VersionTaken` or `OutputUnwritable`.
    """
    if not folder.is_dir():
        yield
        return
    with open_lock(folder) as file:
        try:
            lock(file)
        except BlockingIOError as error:
            raise VersionTaken(
                f"{folder}: a run is at work there: wait until it has ended, or choose another --version"
            ) from error
        yield


def open_lock(folder: Path) -> IO[str]:
    """Open the file that is locked. Raises `OutputUnwritable`."""
    with writing(folder, "make it writable, and continue with --resume"):
        return (folder / LOCK_FILE).open("w")


def lock(file: IO[str]) -> None:
    """Lock a file until it is closed, where the system can. Raises `BlockingIOError` where another holds it."""
    try:
        import fcntl
    except ImportError:
        # Windows has none.
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Some network file systems have none.
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP):
            raise


def write_progress(folder: Path, progress: Progress) -> None:
    """Replace `progress.json` in one step."""
    write_whole(folder / PROGRESS_FILE, msgspec.json.format(msgspec.json.encode(progress)))


def read_progress(folder: Path, like: Progress) -> Progress:
    """Read the progress of a run that was begun like this one; it is this one if it has ended before it had any.

    Raises `NothingToResume`.
    """
    if not folder.is_dir():
        raise NothingToResume(f"{folder}: no unfinished run here: start it without --resume")
    path = folder / PROGRESS_FILE
    try:
        progress = msgspec.json.decode(path.read_bytes(), type=Progress)
    except FileNotFoundError:
        return like
    except UNREADABLE_JSON as error:
        raise NothingToResume(f"{path}: cannot be read ({error}): delete {folder} and train anew") from error
    if (progress.recipe, progress.seed) != (like.recipe, like.seed):
        raise NothingToResume(
            f"{folder}: the unfinished run has recipe {progress.recipe.name}, {progress.recipe.epochs} epochs and "
            f"seed {progress.seed}: resume it with these, or delete the folder"
        )
    if progress.extra != like.extra:
        raise NothingToResume(
            f"{folder}: the unfinished run learns from other corrections: resume it with the same --extra, or delete "
            "the folder"
        )
    if progress.datasets and progress.datasets != like.datasets:
        raise NothingToResume(
            f"{folder}: the unfinished run learns from other data sets: resume it with the same --data-dir, or delete "
            "the folder"
        )
    return progress
