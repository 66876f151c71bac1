from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec
import numpy as np
import pytest

from training.config import BASELINE, STROKES, Recipe
from training.data import Digits
from training.errors import DataError, OutputUnwritable
from training.pools import (
    FEW_CALLS,
    NOT_A_DIGIT,
    Job,
    Pool,
    Sources,
    make_pieces,
    make_pools,
    plan_images,
    run_calls,
)
from training.unipen import PenDigit

RECIPE = msgspec.structs.replace(
    STROKES,
    image_copies=1,
    stroke_copies=2,
    strokes_per_epoch=3,
    not_digits=5,
    not_digits_per_epoch=4,
    pieces=10,
    pieces_per_epoch=2,
)


def draw_sources() -> Sources:
    images = np.zeros((6, 28, 28), np.uint8)
    images[:, 5:20, 10:14] = 255
    stroke = np.array([[100.0, 100.0], [140.0, 180.0], [120.0, 260.0]])
    pens = [PenDigit(label, writer=label, strokes=(stroke * (1 + label / 10),)) for label in range(4)]
    return Sources(Digits(images, np.arange(6)), np.array([0, 2, 3]), pens, np.array([1, 3]))


def ignore(_: str) -> None:
    pass


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "livedigit"


def test_pools_hold_all_copies_and_show_only_what_is_learnt(cache: Path) -> None:
    images, strokes, rest, pieces = make_pools(RECIPE, draw_sources(), ignore)
    assert images.images.shape == (12, 28, 28)
    assert images.rows.tolist() == [0, 2, 3]
    assert images.distorted_rows.tolist() == [6, 8, 9]
    assert images.labels[images.distorted_rows].tolist() == [0, 2, 3]
    assert images.per_epoch == 3
    assert strokes.labels[strokes.rows].tolist() == [1, 3, 1, 3]
    assert (strokes.per_epoch, rest.per_epoch) == (3, 4)
    assert set(rest.labels) == set(pieces.labels) == {NOT_A_DIGIT}
    assert pieces.images.shape == (10, 28, 28)


def test_pieces_and_pairs_are_made_of_learnt_digits_alone(cache: Path) -> None:
    sources = draw_sources()
    other = np.array([[40.0, 300.0], [300.0, 310.0], [60.0, 320.0]])
    pens = [
        digit if row in sources.pen_rows else digit._replace(strokes=(other,))
        for row, digit in enumerate(sources.pen_digits)
    ]
    first, second = (make_pools(RECIPE, each, ignore) for each in (sources, sources._replace(pen_digits=pens)))
    for name, expected, found in zip(("not digits", "pieces"), first[2:], second[2:], strict=True):
        np.testing.assert_array_equal(found.images, expected.images, name)
        np.testing.assert_array_equal(found.rows, expected.rows, name)


def test_pieces_are_compared_with_learnt_digits_alone(cache: Path) -> None:
    """A digit that is held out may be just like a piece."""
    sources = draw_sources()
    mnist, strokes, _, pieces = make_pools(RECIPE, sources, ignore)
    assert pieces.rows.size
    piece = pieces.images[pieces.rows[0]]
    for pool, learnt in ((mnist, sources.mnist_rows), (strokes, sources.pen_rows)):
        pool.images[np.setdiff1d(np.arange(len(pool.images)), learnt)] = piece
    compared = make_pieces(RECIPE, sources, mnist, strokes, ignore)
    np.testing.assert_array_equal(compared.rows, pieces.rows)


def test_recipes_that_hold_out_different_examples_share_their_pools(cache: Path) -> None:
    said: list[str] = []
    sources = draw_sources()
    make_pools(RECIPE, sources, said.append)
    assert len(said) == len(list(cache.iterdir())) == 4
    make_pools(RECIPE, sources._replace(mnist_rows=np.arange(6)), said.append)
    assert len(said) == 4
    make_pools(msgspec.structs.replace(RECIPE, drawing_seed=2), sources, said.append)
    assert len(said) == 8


def test_worker_processes_draw_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    job = plan_images(RECIPE, draw_sources().mnist.images)
    here = np.concatenate(list(run_calls(job)))
    monkeypatch.setattr("training.pools.FEW_CALLS", 0)
    np.testing.assert_array_equal(np.concatenate(list(run_calls(job))), here)


def test_a_damaged_pool_is_named(cache: Path) -> None:
    make_pools(RECIPE, draw_sources(), ignore)
    (images,) = cache.glob("images-*")
    images.write_bytes(images.read_bytes()[:1000])
    with pytest.raises(DataError, match="delete it"):
        make_pools(RECIPE, draw_sources(), ignore)


def test_the_baseline_takes_images_as_they_are() -> None:
    (pool,) = make_pools(BASELINE, draw_sources(), ignore)
    assert pool.labels.tolist() == [0, 2, 3]
    assert pool.per_epoch == 3


def still(**changes: object) -> Recipe:
    return msgspec.structs.replace(BASELINE, **changes)


@pytest.mark.tensorflow
def test_an_epoch_shows_each_chosen_row_once_and_the_next_another_order() -> None:
    from training.batches import Batches

    images = np.arange(40, dtype=np.uint8)[:, None, None].repeat(28, 1).repeat(28, 2)
    whole = Pool(images, np.arange(40), np.arange(40), 40)
    part = Pool(images, np.full(40, NOT_A_DIGIT), np.arange(20), 8)
    batches = Batches([whole, part], still(batch_size=16), seed=1, first_epoch=0)
    assert batches.steps_per_epoch == 3
    first, second = ([batches[index][1] for index in range(start, start + 3)] for start in (0, 3))
    shown = np.concatenate(first)
    assert sorted(shown[shown >= 0]) == list(range(40))
    assert np.sum(shown == NOT_A_DIGIT) == 8
    assert not np.array_equal(shown, np.concatenate(second))
    tensor, labels = batches[0]
    assert tensor.shape == (16, 28, 28, 1)
    digits = labels >= 0
    np.testing.assert_allclose(tensor[digits, 0, 0, 0] * 255, labels[digits], rtol=1e-6)


@pytest.mark.tensorflow
def test_distorted_copies_give_way_to_originals_from_the_first_epoch_to_the_last() -> None:
    from training.batches import Batches

    images = np.zeros((80, 28, 28), np.uint8)
    pool = Pool(images, np.repeat([0, 1], 40), np.arange(40), 40, np.arange(40, 80), (0.8, 0.2))
    batches = Batches([pool], still(batch_size=40, epochs=4), seed=1, first_epoch=0)
    assert [int(batches[epoch][1].sum()) for epoch in range(4)] == [32, 24, 16, 8]


@pytest.mark.tensorflow
def test_a_resumed_sequence_goes_on_where_the_other_was() -> None:
    from training.batches import Batches

    images = np.random.default_rng(0).integers(0, 256, (64, 28, 28)).astype(np.uint8)
    pool = Pool(images, np.arange(64), np.arange(32), 32, np.arange(32, 64), (0.5, 0.0))
    recipe = still(batch_size=8, shift=True)
    whole, resumed = Batches([pool], recipe, 1, first_epoch=0), Batches([pool], recipe, 1, first_epoch=2)
    for expected, found in zip(whole[2 * 4 + 3], resumed[3], strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.tensorflow
def test_shifted_images_move_by_a_pixel_at_most_and_never_around_the_edge() -> None:
    from training.batches import shift_images

    image = np.zeros((28, 28), np.uint8)
    image[0, 5] = image[14, 27] = 1
    moved = shift_images(np.tile(image, (300, 1, 1)), np.random.default_rng(0))
    assert np.unique(moved, axis=0).shape[0] == 9
    assert not moved[:, 20:].any()
    assert not moved[:, :, :4].any()
    assert not moved[:, 16:, :26].any()


def test_a_kill_while_images_are_drawn_leaves_nothing_in_the_cache(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(_: object) -> Iterator[np.ndarray]:
        assert list(cache.iterdir()) == []
        raise KeyboardInterrupt

    monkeypatch.setattr("training.pools.run_calls", look)
    with pytest.raises(KeyboardInterrupt):
        make_pools(RECIPE, draw_sources(), ignore)
    assert list(cache.iterdir()) == []


def test_a_full_disk_is_named_and_nothing_is_left_on_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(file: IO[bytes], _: object) -> None:
        file.write(b"some")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("training.pools.np.save", fill)
    with pytest.raises(OutputUnwritable, match=f"{cache}.*No space left"):
        make_pools(RECIPE, draw_sources(), ignore)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputUnwritable, match="XDG_CACHE_HOME"):
        make_pools(RECIPE, draw_sources(), ignore)


DRAW = """
import os, time
from training.pools import Job, run_calls
calls = [(os.write, (1, b"drawing")), *[(time.sleep, (WAIT_S,))] * 20]
list(run_calls(Job("slow", (), calls)))
"""
WAIT_S = 60
INTERRUPTED = """
import signal, subprocess
from training.pools import Job, run_calls
# Where the tests run behind a shell, they were started to pass over it.
signal.signal(signal.SIGINT, signal.default_int_handler)
calls = [(subprocess.run, (["sh", "-c", "echo drawing; sleep 0.2"],))] * CALLS
try:
    list(run_calls(Job("slow", (), calls)))
except KeyboardInterrupt:
    print("interrupted")
"""
# A pool has up to two calls of each worker in hand, which are finished.
CALLS = 100 + 4 * (os.cpu_count() or 1)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no groups of processes")
def test_an_interrupted_run_does_not_wait_for_the_calls_to_come(repo_root: Path) -> None:
    program = INTERRUPTED.replace("CALLS", str(CALLS))
    with subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=repo_root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdout.readline() == b"drawing\n"
        # To all of them, as a terminal does it.
        os.killpg(process.pid, signal.SIGINT)
        output, complaints = process.communicate(timeout=WAIT_S)
    assert (output.split()[-1], complaints) == (b"interrupted", b"")
    assert output.count(b"drawing") < CALLS - 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal masks")
def test_workers_leave_ctrl_c_to_the_run() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    look = (signal.pthread_sigmask, (signal.SIG_BLOCK, []))
    for blocked in run_calls(Job("masks", (), [look] * (FEW_CALLS + 1))):
        assert signal.SIGINT in blocked
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_workers_end_with_a_run_that_is_killed(repo_root: Path) -> None:
    program = DRAW.replace("WAIT_S", str(WAIT_S))
    with subprocess.Popen([sys.executable, "-c", program], cwd=repo_root, stdout=subprocess.PIPE) as process:
        assert process.stdout.read(7) == b"drawing"
        process.kill()
        # The pipe ends with the last process that could write to it.
        assert process.communicate(timeout=WAIT_S / 2) == (b"", None)
