from __future__ import annotations

import errno
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple
from unittest.mock import Mock

import msgspec
import numpy as np
import pytest

from service.contract import TrainingRun
from training.config import find_recipe
from training.errors import DataError, NothingToResume, OutputUnwritable, VersionTaken

if TYPE_CHECKING:
    from collections.abc import Iterator

    from training.checkpoints import Progress
    from training.config import Recipe
    from training.train import Order

pytestmark = [
    pytest.mark.tensorflow,
    # Keras turns TensorFlow tensors into arrays without the keyword that NumPy 2 asks for.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

EPOCHS = 2
TRAIN_AND_DIE = """
import os
import signal
import sys
from pathlib import Path
import msgspec
from training.checkpoints import Checkpoints
from training.config import Recipe
from training.train import Order, train
save = Checkpoints.on_epoch_end
def save_and_die(checkpoints, epoch, logs=None):
    save(checkpoints, epoch, logs)
    os.kill(os.getpid(), signal.SIGKILL)
Checkpoints.on_epoch_end = save_and_die
# One import for all runs; the fork is safe as long as there are no threads.
assert len(os.listdir("/proc/self/task")) == 1
for recipe, data_dir, out, name, version, seed in msgspec.json.decode(sys.argv[1]):
    runner = os.fork()
    if not runner:
        train(Order(msgspec.convert(recipe, Recipe), Path(data_dir), Path(out), name, version, seed))
    status = os.waitpid(runner, 0)[1]
    if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
        sys.exit(f"{recipe}: ended with {status}")
"""


class Finished(NamedTuple):
    """A run that nothing interrupted."""

    order: Order
    run: TrainingRun


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def baseline(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    return finish(place_order(shared_data, tmp_path_factory.mktemp("baseline")))


@pytest.fixture(scope="module")
def strokes(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """With normalised batches, shifts, shares that change from epoch to epoch, dropout, and one cycle of the rate."""
    order = place_order(shared_data, tmp_path_factory.mktemp("strokes"))
    return finish(order._replace(recipe=shrink_strokes()))


def place_order(data_dir: Path, out: Path) -> Order:
    from training.train import Order

    return Order(find_recipe("baseline", EPOCHS), data_dir, out, "bars", version=1, seed=7)


def shrink_strokes() -> Recipe:
    """The recipe for pen strokes, all of whose parts are small."""
    return msgspec.structs.replace(
        find_recipe("strokes-held-out", EPOCHS),
        image_copies=1,
        stroke_copies=2,
        strokes_per_epoch=40,
        not_digits=8,
        not_digits_per_epoch=8,
        pieces=10,
        pieces_per_epoch=5,
    )


def finish(order: Order) -> Finished:
    from training.train import train

    return Finished(order, train(order, report=lambda _: None))


@pytest.fixture(scope="module")
def killed(baseline: Finished, strokes: Finished, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Order]:
    """The same runs, each in a process that ended as by a power cut once the first epoch's state was on disk."""
    out = tmp_path_factory.mktemp("killed")
    orders = {
        recipe: whole.order._replace(out=out / recipe)
        for recipe, whole in (("baseline", baseline), ("strokes", strokes))
    }
    arguments = [
        (order.recipe, str(order.data_dir), str(order.out), order.name, order.version, order.seed)
        for order in orders.values()
    ]
    ended = subprocess.run(
        [sys.executable, "-c", TRAIN_AND_DIE, msgspec.json.encode(arguments).decode()],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return orders


@pytest.mark.parametrize("recipe", ["baseline", "strokes"])
def test_a_killed_run_resumes_to_the_weights_of_an_uninterrupted_one(
    recipe: str, killed: dict[str, Order], request: pytest.FixtureRequest
) -> None:
    from training.train import train

    whole: Finished = request.getfixturevalue(recipe)
    order = killed[recipe]
    epochs_done = len(json.loads((order.workshop / "progress.json").read_text())["history"])
    assert 0 < epochs_done < EPOCHS
    assert not order.target.exists()
    resumed = train(order, resume=True, report=lambda _: None)
    assert resumed.weights_sha256 == whole.run.weights_sha256
    assert not order.workshop.exists()


def test_the_saved_model_serves_named_outputs_and_a_record(baseline: Finished) -> None:
    import keras
    import tensorflow as tf

    from training.model import hash_weights

    order, run = baseline
    image = np.random.default_rng(0).random((3, 28, 28, 1), np.float32)
    endpoint = tf.saved_model.load(order.target).signatures["serve"]
    once, twice = endpoint(image=tf.constant(image)), endpoint(image=tf.constant(image))
    assert set(once) == {"logits", "probabilities"}
    np.testing.assert_array_equal(once["logits"], twice["logits"], "dropout must be off")
    np.testing.assert_allclose(once["probabilities"], tf.nn.softmax(once["logits"]), atol=1e-6)
    rebuilt = keras.models.load_model(order.target / "model.keras")
    assert hash_weights(rebuilt.get_weights()) == run.weights_sha256
    np.testing.assert_allclose(rebuilt.predict(image, verbose=0)["logits"], once["logits"], atol=1e-5)
    stored = msgspec.json.decode((order.target / "run.json").read_bytes(), type=TrainingRun)
    assert msgspec.to_builtins(stored) == msgspec.to_builtins(run)
    assert stored.command == f"livedigit train --recipe baseline --epochs {EPOCHS} --seed 7 --name bars --version 1"
    assert str(order.out) not in (order.target / "run.json").read_text()


def test_the_stroke_recipe_saves_the_plain_network_calibrated_by_held_out_writers(strokes: Finished) -> None:
    import keras

    order, run = strokes
    model = keras.models.load_model(order.target / "model.keras")
    assert run.parameters == model.count_params() == 167_114
    assert not any(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers)
    assert {"temperature", "uncertain_threshold", "held_out_strokes_accuracy"} <= set(run.metrics)
    assert [(record.name, record.split, record.examples) for record in run.datasets] == [
        ("MNIST", "train", 320),
        ("Pen-Based Recognition of Handwritten Digits", "train", 40),
        ("MNIST", "test", 40),
    ]
    assert run.seed == order.seed
    assert run.metrics["epochs_run"] == EPOCHS


def test_the_saved_logits_are_divided_by_the_temperature(strokes: Finished) -> None:
    """The threshold of doubt is one of the answers that the saved network gives to held-out writers."""
    import keras

    from training.evaluate import low_confidence, softmax
    from training.protocol import PLAIN, draw_condition
    from training.train import gather_examples, predict_logits

    order, run = strokes
    model = keras.models.load_model(order.target / "model.keras")
    logits = predict_logits(model, draw_condition(gather_examples(order).held_out, PLAIN))
    threshold = run.metrics["uncertain_threshold"]
    assert low_confidence(softmax(logits)) == pytest.approx(threshold, abs=1e-5)
    assert abs(low_confidence(softmax(logits * np.float32(run.metrics["temperature"]))) - threshold) > 1e-3


@pytest.mark.parametrize(
    ("recipe", "writers", "held_out_writers"), [("baseline", [], []), ("strokes-held-out", [1, 2], [5, 10])]
)
def test_what_is_held_out_is_not_learnt_from(
    recipe: str, writers: list[int], held_out_writers: list[int], shared_data: Path, tmp_path: Path
) -> None:
    from training.data import prepare_digits
    from training.train import gather_examples

    order = place_order(shared_data, tmp_path)._replace(recipe=find_recipe(recipe))
    (mnist, learnt, pen_digits, pen_rows), validation, held_out, *_ = gather_examples(order)
    rest = np.delete(np.arange(320), learnt)
    assert len(learnt) == len(set(learnt.tolist())) == 320 - len(validation.labels)
    assert len(rest) == len(validation.labels) == round(320 * order.recipe.validation_share)
    in_order = np.argsort(validation.labels)
    np.testing.assert_array_equal(validation.labels[in_order], np.sort(mnist.labels[rest]))
    expected = prepare_digits(mnist.images[rest[np.argsort(mnist.labels[rest])]])
    np.testing.assert_array_equal(validation.images[in_order], expected)
    assert sorted({pen_digits[row].writer for row in pen_rows}) == writers
    assert sorted({digit.writer for digit in held_out}) == held_out_writers
    assert len(pen_rows) + len(held_out) == len(pen_digits) == 10 * len(writers + held_out_writers)


@pytest.mark.parametrize("missing", [(10,), (5, 10)], ids=["one is left", "none is left"])
def test_too_few_held_out_writers_are_missed_before_the_fit(
    tiny_data: Path, tmp_path: Path, missing: tuple[int, ...]
) -> None:
    from training.train import gather_examples

    recording = tiny_data / "pendigits" / "pendigits-orig.tra"
    head, *segments = recording.read_text().split(".SEGMENT")
    kept = [text for text in segments if not any(f" {writer} 1\n" in text for writer in missing)]
    recording.write_text(".SEGMENT".join([head, *kept]))
    order = place_order(tiny_data, tmp_path)
    with pytest.raises(DataError, match="fewer than 2 of the writers 5, 10"):
        gather_examples(order._replace(recipe=find_recipe("strokes-held-out")))
    assert len(gather_examples(order._replace(recipe=find_recipe("strokes"))).sources.pen_digits) == len(kept)


@pytest.mark.parametrize(("recipe", "chosen"), [("baseline", 1), ("strokes-held-out", 2)])
def test_the_epoch_that_counts_is_the_best_or_the_last_as_the_schedule_says(recipe: str, chosen: int) -> None:
    from training.checkpoints import Progress

    history = [{"val_loss": loss} for loss in (0.9, 0.2, 0.4)]
    assert Progress(recipe=find_recipe(recipe), seed=7, history=history).chosen_epoch == chosen


def test_a_version_is_never_overwritten(tiny_mnist: Path, tmp_path: Path) -> None:
    from training.train import train

    order = place_order(tiny_mnist, tmp_path)
    order.target.mkdir(parents=True)
    with pytest.raises(VersionTaken, match="never overwritten"):
        train(order)


def test_an_unfinished_run_is_not_started_anew(tiny_mnist: Path, tmp_path: Path) -> None:
    from training.train import train

    order = place_order(tiny_mnist, tmp_path)
    order.workshop.mkdir(parents=True)
    with pytest.raises(VersionTaken, match="--resume"):
        train(order)


def test_a_place_that_cannot_be_written_is_named(tiny_mnist: Path, tmp_path: Path) -> None:
    from training.train import train

    (tmp_path / "out").write_text("a file, not a folder")
    with pytest.raises(OutputUnwritable, match="--out"):
        train(place_order(tiny_mnist, tmp_path / "out"))


def test_resume_without_an_unfinished_run_says_so(tiny_mnist: Path, tmp_path: Path) -> None:
    from training.train import train

    with pytest.raises(NothingToResume, match="without --resume"):
        train(place_order(tiny_mnist, tmp_path), resume=True)


def test_resume_refuses_another_recipe(tiny_mnist: Path, tmp_path: Path) -> None:
    from training.checkpoints import Progress, write_progress
    from training.train import train

    order = place_order(tiny_mnist, tmp_path)
    order.workshop.mkdir(parents=True)
    write_progress(order.workshop, Progress(recipe=order.recipe, seed=order.seed + 1))
    with pytest.raises(NothingToResume, match="seed 8"):
        train(order, resume=True)


def begin(order: Order, **changes: object) -> Progress:
    from training.checkpoints import Progress

    return Progress(recipe=order.recipe, seed=order.seed, **changes)


@pytest.mark.parametrize("resume", [True, False], ids=["resumed", "started"])
def test_a_run_that_is_at_work_is_left_alone(tiny_mnist: Path, tmp_path: Path, resume: bool) -> None:
    from training.train import open_workshop, train

    order = place_order(tiny_mnist, tmp_path)
    with open_workshop(order, False, begin(order)) as begun:
        with pytest.raises(VersionTaken, match="a run is at work there"):
            train(order, resume=resume)
        assert order.workshop.exists()
    with open_workshop(order, True, begun) as found:
        assert found == begun


def refuse_to_lock(*_: object) -> None:
    raise OSError(errno.ENOLCK, "No locks available")


@pytest.mark.parametrize("fcntl", [None, SimpleNamespace(LOCK_EX=2, LOCK_NB=4, flock=refuse_to_lock)])
def test_a_run_needs_no_locks(
    tiny_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fcntl: SimpleNamespace | None
) -> None:
    """Windows has no fcntl, and some network file systems refuse."""
    from training.train import open_workshop

    monkeypatch.setitem(sys.modules, "fcntl", fcntl)
    order = place_order(tiny_mnist, tmp_path)
    with open_workshop(order, False, begin(order)) as begun, open_workshop(order, True, begun) as found:
        assert found == begun


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_test_images_are_missed_before_the_fit(tiny_mnist: Path, tmp_path: Path, damage: str) -> None:
    from training.train import train

    images = tiny_mnist / "mnist/t10k-images-idx3-ubyte.gz"
    if damage == "missing":
        images.unlink()
    else:
        images.write_bytes(images.read_bytes()[:100])
    order = place_order(tiny_mnist, tmp_path)
    with pytest.raises(DataError):
        train(order)
    assert not order.workshop.exists()


def test_resume_refuses_other_data(tiny_mnist: Path, tmp_path: Path) -> None:
    from training.train import gather_examples, open_workshop, train

    order = place_order(tiny_mnist, tmp_path)
    with open_workshop(order, False, begin(order, datasets=gather_examples(order).records)):
        pass
    labels = tiny_mnist / "mnist/train-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(gzip.decompress(labels.read_bytes()), mtime=1))
    with pytest.raises(NothingToResume, match="--data-dir"):
        train(order, resume=True)


def test_a_run_that_the_disk_has_no_room_to_begin_is_named_and_can_be_resumed(
    tiny_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.train import open_workshop

    order = place_order(tiny_mnist, tmp_path)
    with monkeypatch.context() as full:
        full.setattr("training.checkpoints.write_whole", Mock(side_effect=OSError(errno.ENOSPC, "full")))
        with (
            pytest.raises(OutputUnwritable, match=r"No space left.*--resume"),
            open_workshop(order, False, begin(order)),
        ):
            pass
    with open_workshop(order, True, begin(order)) as progress:
        assert progress == begin(order)
        assert (order.workshop / "progress.json").is_file()


def test_an_unfinished_run_that_cannot_be_written_is_named(tiny_mnist: Path, tmp_path: Path) -> None:
    from training.train import train

    order = place_order(tiny_mnist, tmp_path)
    # Nobody may write a folder as a file, be it root.
    (order.workshop / "lock").mkdir(parents=True)
    with pytest.raises(OutputUnwritable, match="make it writable"):
        train(order, resume=True)


def test_a_run_that_was_begun_before_data_were_recorded_can_be_resumed(tiny_mnist: Path, tmp_path: Path) -> None:
    from training.train import gather_examples, open_workshop

    order = place_order(tiny_mnist, tmp_path)
    with open_workshop(order, False, begin(order)):
        pass
    with open_workshop(order, True, begin(order, datasets=gather_examples(order).records)) as progress:
        assert progress.history == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on files")
def test_a_disk_that_is_full_at_a_checkpoint_is_named(tmp_path: Path) -> None:
    import resource

    from training.checkpoints import Checkpoints, Progress
    from training.model import build_model

    model = build_model(0.0)
    model.compile("adam")
    checkpoints = Checkpoints(tmp_path, Progress(recipe=find_recipe("baseline"), seed=1), [])
    checkpoints.set_model(model)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(OutputUnwritable, match=r"too large.*--resume"):
            checkpoints.on_epoch_end(0, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["missing", "cut", "of another network"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, damage: str) -> None:
    from training.checkpoints import Checkpoints, Progress
    from training.model import build_model

    model = build_model(0.0)
    model.compile("adam")
    model.optimizer.build(model.trainable_variables)
    checkpoints = Checkpoints(tmp_path, Progress(recipe=find_recipe("baseline"), seed=1), [])
    checkpoints.set_model(model)
    checkpoints.on_epoch_end(0, {"val_loss": 1.0})
    path = checkpoints.weights_path(0)
    checkpoints.restore(model, 0)
    if damage == "missing":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:100_000])
    else:
        np.savez(path, np.zeros(3))
    with pytest.raises(DataError, match="train anew") as caught:
        checkpoints.restore(model, 0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("is_tensorflows", [True, False])
def test_a_disk_that_is_full_at_the_end_is_named_and_the_run_can_be_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_tensorflows: bool
) -> None:
    import keras
    import tensorflow as tf

    from training.saved_model import publish

    words = "{{function_node}} variables/part-00000-of-00001; No space left on device [Op:SaveV2]"
    error = tf.errors.ResourceExhaustedError(None, None, words) if is_tensorflows else OSError(errno.ENOSPC, "full")
    archive = Mock(**{"write_out.side_effect": error})
    monkeypatch.setattr(keras.export, "ExportArchive", lambda: archive)
    workshop = tmp_path / ".1.unfinished"
    workshop.mkdir()
    with pytest.raises(OutputUnwritable, match=r"No space left on device\): make room, .* --resume$"):
        publish(Mock(), Mock(), workshop, tmp_path / "1")
    assert [path.name for path in tmp_path.iterdir()] == [workshop.name]
