"""Makes the pools of images that a recipe asks for, on every processor, and caches them: it takes minutes.

A pool holds drawings of all examples, in the data's order, and depends on the data, the recipe's counts and the seed
alone. What a recipe holds out is left out only afterwards, so that recipes which differ in that share their pools.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from service.files import replacing
from training.augment import distort_image, redraw_strokes
from training.data import Digits, Pixels, prepare_digits
from training.errors import DataError, writing
from training.negatives import draw_not_digits
from training.pieces import draw_pieces, find_unlike, name_kinds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.config import Recipe
    from training.data import Labels
    from training.negatives import NotDigit
    from training.unipen import PenDigit

NOT_A_DIGIT = -1
"""The label of a drawing that is no digit."""
CHUNK = 500
"""Images made by one call in a worker."""
FEW_CALLS = 8
"""So many are done sooner than worker processes have started."""
KNOWN_DIGITS = 4000
"""Of MNIST and of the pen digits each, with which pieces are compared."""
POOL_FORMAT = 1
"""To be raised when drawings change, so that cached pools are not taken for the new ones."""

OTHER_CACHE = "make room there, or name another folder in XDG_CACHE_HOME"
PR_SET_PDEATHSIG = 1
"""As Linux's `prctl.h` has it."""

Seed = tuple[int, ...]


class Pool(NamedTuple):
    """Prepared images, of which each epoch sees so many."""

    images: Pixels
    """(N, 28, 28) uint8, laid out by the shared preprocessing."""
    labels: Labels
    """(N,), 0 to 9 or `NOT_A_DIGIT`."""
    rows: NDArray[np.int64]
    """Which of them may be shown."""
    per_epoch: int
    distorted_rows: NDArray[np.int64] = np.empty(0, np.int64)
    """Which may be shown of the distorted copies, where they take turns with the originals in `rows`."""
    distorted: tuple[float, float] = (0.0, 0.0)
    """Their share in the first epoch and in the last."""


class Sources(NamedTuple):
    """All examples, and which of them a run may learn from."""

    mnist: Digits
    """As they come, not yet prepared."""
    mnist_rows: NDArray[np.int64]
    pen_digits: list[PenDigit]
    """Empty where the recipe asks for none."""
    pen_rows: NDArray[np.int64]


class Job(NamedTuple):
    """A pool's images to make: chunks in order, each a call in a worker."""

    name: str
    key: tuple[object, ...]
    """What the images depend on, beside the code."""
    calls: list[tuple[Callable[..., Pixels], tuple[Any, ...]]]


def make_pools(recipe: Recipe, sources: Sources, report: Callable[[str], None]) -> list[Pool]:
    """Make the pools of a run, or find them in the cache."""
    images, labels = sources.mnist
    if not recipe.image_copies:
        learnt = prepare_digits(images[sources.mnist_rows])
        return [Pool(learnt, labels[sources.mnist_rows], np.arange(len(learnt)), len(learnt))]
    mnist, strokes = make_images(recipe, sources, report), make_strokes(recipe, sources, report)
    return [
        mnist,
        strokes,
        make_not_digits(recipe, sources, report),
        make_pieces(recipe, sources, mnist, strokes, report),
    ]


def make_images(recipe: Recipe, sources: Sources, report: Callable[[str], None]) -> Pool:
    """Make the pool of MNIST's images and their distorted copies."""
    images, labels = sources.mnist
    return Pool(
        find_or_make(plan_images(recipe, images), report),
        np.tile(labels, recipe.image_copies + 1),
        sources.mnist_rows,
        len(sources.mnist_rows),
        repeat_rows(sources.mnist_rows, len(labels), recipe.image_copies) + len(labels),
        recipe.distorted,
    )


def make_strokes(recipe: Recipe, sources: Sources, report: Callable[[str], None]) -> Pool:
    """Make the pool of recorded digits."""
    labels = np.array([digit.label for digit in sources.pen_digits])
    rows = repeat_rows(sources.pen_rows, len(labels), recipe.stroke_copies)
    return Pool(
        find_or_make(plan_strokes(recipe, sources.pen_digits), report),
        np.tile(labels, recipe.stroke_copies),
        rows,
        min(recipe.strokes_per_epoch, len(rows)),
    )


def make_not_digits(recipe: Recipe, sources: Sources, report: Callable[[str], None]) -> Pool:
    """Make the pool of drawings that are no digit."""
    drawn = find_or_make(plan_not_digits(recipe, learnt_digits(sources)), report)
    return Pool(
        drawn,
        np.full(len(drawn), NOT_A_DIGIT),
        np.arange(len(drawn)),
        min(recipe.not_digits_per_epoch, len(drawn)),
    )


def make_pieces(recipe: Recipe, sources: Sources, mnist: Pool, strokes: Pool, report: Callable[[str], None]) -> Pool:
    """Make the pool of pieces of digits and of touching ones, of which those are shown that are like no digit."""
    drawn = find_or_make(plan_pieces(recipe, learnt_digits(sources)), report)
    known = [spread(mnist.images, sources.mnist_rows), spread(strokes.images, sources.pen_rows)]
    rows = find_unlike(drawn, name_kinds(len(drawn)), np.concatenate(known))
    return Pool(drawn, np.full(len(drawn), NOT_A_DIGIT), rows, min(recipe.pieces_per_epoch, len(rows)))


def spread(images: Pixels, rows: NDArray[np.int64], count: int = KNOWN_DIGITS) -> Pixels:
    """Take some images, evenly spread over the rows."""
    chosen: Pixels = images[np.sort(rows)[:: max(1, len(rows) // count)]]
    return chosen


def learnt_digits(sources: Sources) -> list[PenDigit]:
    """List the recorded digits that a run may learn from."""
    return [sources.pen_digits[row] for row in sources.pen_rows]


def repeat_rows(rows: NDArray[np.int64], size: int, copies: int) -> NDArray[np.int64]:
    """Give the rows in each of the copies that follow each other."""
    return (rows + size * np.arange(copies)[:, np.newaxis]).ravel()


def find_or_make(job: Job, report: Callable[[str], None]) -> Pixels:
    """Load a job's images from the cache, or make and save them. Raises `DataError` or `OutputUnwritable`."""
    digest = hashlib.sha256(repr((POOL_FORMAT, job.name, job.key)).encode()).hexdigest()
    path = cache_folder() / f"{job.name}-{digest[:16]}.npy"
    if not path.exists():
        report(f"drawing {job.name} into {path}")
        # Before the minutes that drawing takes: the folder may be out of reach.
        with writing(path.parent, OTHER_CACHE):
            path.parent.mkdir(parents=True, exist_ok=True)
        save_images(path, np.concatenate(list(run_calls(job))))
    try:
        images: Pixels = np.load(path)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: cannot be read ({error}): delete it, and it is made anew") from error
    return images


def save_images(path: Path, images: Pixels) -> None:
    """Write images and give them their name in one step, so that a kill leaves no half file of that name.

    Raises `OutputUnwritable`.
    """
    with writing(path.parent, OTHER_CACHE), replacing(path) as file:
        np.save(file, images)


def cache_folder() -> Path:
    """Where pools are kept between runs."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "livedigit"


def run_calls(job: Job) -> Iterator[Pixels]:
    """Run a job's calls, on every processor where there are many, and give their results in order."""
    if len(job.calls) <= FEW_CALLS:
        yield from (function(*arguments) for function, arguments in job.calls)
        return
    # Not forked: TensorFlow's threads do not survive a fork.
    executor = ProcessPoolExecutor(os.cpu_count(), get_context("spawn"), end_with, (os.getpid(),))
    try:
        with shielding_processes():
            futures = [executor.submit(function, *arguments) for function, arguments in job.calls]
        for future in futures:
            yield future.result()
    finally:
        # Who interrupts this does not wait for the minutes that the calls still to come would take.
        executor.shutdown(cancel_futures=True)


@contextmanager
def shielding_processes() -> Iterator[None]:
    """Have the processes that are started in the block pass over Ctrl-C, where the system can.

    A terminal sends it to the workers, too: each would print a traceback, or take it for the result of one call and go
    on with the next.
    """
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with(parent: int) -> None:
    """Have this worker end when the process that started it is killed, where the system offers that: on Linux."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        # It was killed before this was asked for.
        os._exit(1)


def plan_images(recipe: Recipe, images: Pixels) -> Job:
    """Plan MNIST's images as they are, and then so many distorted copies of all."""
    starts = range(0, len(images), CHUNK)
    seed = recipe.drawing_seed
    originals = [(prepare_digits, (images[start : start + CHUNK],)) for start in starts]
    copies = [
        (distort_images, (images[start : start + CHUNK], (seed, 1, copy, start)))
        for copy in range(recipe.image_copies)
        for start in starts
    ]
    return Job("images", (seed, recipe.image_copies, hash_bytes(images.tobytes())), [*originals, *copies])


def plan_strokes(recipe: Recipe, digits: Sequence[PenDigit]) -> Job:
    """Plan so many drawings of every recorded digit."""
    seed = recipe.drawing_seed
    calls = [
        (redraw_digits, (digits[start : start + CHUNK], (seed, 2, copy, start)))
        for copy in range(recipe.stroke_copies)
        for start in range(0, len(digits), CHUNK)
    ]
    return Job("strokes", (seed, recipe.stroke_copies, hash_strokes(digits)), calls)


def plan_not_digits(recipe: Recipe, digits: Sequence[PenDigit]) -> Job:
    """Plan drawings that are no digit; the pairs are made of `digits`."""
    seed = recipe.drawing_seed
    calls = [
        (redraw_not_digits, (min(CHUNK, recipe.not_digits - start), digits, (seed, 3, start)))
        for start in range(0, recipe.not_digits, CHUNK)
    ]
    return Job("not-digits", (seed, recipe.not_digits, hash_strokes(digits)), calls)


def plan_pieces(recipe: Recipe, digits: Sequence[PenDigit]) -> Job:
    """Plan drawings of pieces of `digits`, and of touching ones."""
    seed = recipe.drawing_seed
    calls = [
        (redraw_pieces, (min(CHUNK, recipe.pieces - start), digits, (seed, 4, start)))
        for start in range(0, recipe.pieces, CHUNK)
    ]
    return Job("pieces", (seed, recipe.pieces, hash_strokes(digits)), calls)


def hash_bytes(content: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def hash_strokes(digits: Sequence[PenDigit]) -> str:
    """SHA-256 of all points."""
    return hash_bytes(b"".join(stroke.tobytes() for digit in digits for stroke in digit.strokes))


def distort_images(images: Pixels, seed: Seed) -> Pixels:
    """Distort and lay out images: (N, 28, 28) uint8 in and out."""
    generator = np.random.default_rng(seed)
    return np.stack([distort_image(image, generator) for image in images])


def redraw_digits(digits: Sequence[PenDigit], seed: Seed) -> Pixels:
    """Draw recorded digits anew: (N, 28, 28) uint8."""
    generator = np.random.default_rng(seed)
    return np.stack([redraw_strokes(digit.strokes, generator) for digit in digits])


def redraw_not_digits(count: int, digits: Sequence[PenDigit], seed: Seed) -> Pixels:
    """Draw what is no digit: (count, 28, 28) uint8."""
    generator = np.random.default_rng(seed)
    return redraw_all(draw_not_digits(count, "training", digits, generator), generator)


def redraw_pieces(count: int, digits: Sequence[PenDigit], seed: Seed) -> Pixels:
    """Draw pieces of digits and touching ones: (count, 28, 28) uint8."""
    generator = np.random.default_rng(seed)
    return redraw_all(draw_pieces(count, digits, generator), generator)


def redraw_all(drawings: Sequence[NotDigit], generator: np.random.Generator) -> Pixels:
    """Draw with varied pens: (N, 28, 28) uint8."""
    return np.stack([redraw_strokes(drawing.strokes, generator, taps=0) for drawing in drawings])
