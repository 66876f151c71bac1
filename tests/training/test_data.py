from __future__ import annotations

import errno
import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from training.data import (
    MNIST_SHA256,
    download_mnist,
    find_mnist,
    load_mnist,
    prepare_digits,
    split_rows,
    tensor_from_images,
)
from training.errors import DataError

TRAIN_IMAGES = "train-images-idx3-ubyte.gz"


def test_the_files_may_lie_in_the_folder_itself_or_in_mnist(tiny_mnist: Path) -> None:
    (inside, record), (above, _) = load_mnist(tiny_mnist / "mnist", "test"), load_mnist(tiny_mnist, "test")
    np.testing.assert_array_equal(inside.images, above.images)
    assert (record.name, record.split, record.examples) == ("MNIST", "test", 40)
    assert set(record.sha256) == {"t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"}


def test_idx_files_may_be_unpacked(tiny_mnist: Path) -> None:
    packed, _ = load_mnist(tiny_mnist, "train")
    for path in list((tiny_mnist / "mnist").iterdir()):
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    unpacked, _ = load_mnist(tiny_mnist, "train")
    np.testing.assert_array_equal(packed.images, unpacked.images)


def test_npz_and_idx_give_the_same(tiny_mnist: Path, tmp_path: Path) -> None:
    (train, _), (test, _) = load_mnist(tiny_mnist, "train"), load_mnist(tiny_mnist, "test")
    np.savez(tmp_path / "mnist.npz", x_train=train.images, y_train=train.labels, x_test=test.images, y_test=test.labels)
    found, _ = load_mnist(tmp_path, "test")
    np.testing.assert_array_equal(found.images, test.images)
    np.testing.assert_array_equal(found.labels, test.labels)


def write_csv(path: Path, rows: np.ndarray) -> None:
    header = ",".join(["label", *(f"pixel{number}" for number in range(rows.shape[1] - 1))])
    np.savetxt(path, rows, "%d", delimiter=",", header=header, comments="")


def test_kaggle_rows_are_split_because_its_test_file_has_no_labels(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).integers(0, 256, (12, 785))
    rows[:, 0] = np.arange(12) % 10
    write_csv(tmp_path / "train.csv", rows)
    (train, _), (test, _) = load_mnist(tmp_path, "train"), load_mnist(tmp_path, "test")
    assert train.labels.tolist() == list(range(10))
    assert test.labels.tolist() == [0, 1]
    np.testing.assert_array_equal(test.images.reshape(2, 784), rows[10:, 1:])


def test_no_data_names_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no MNIST train split.*train\.csv"):
        load_mnist(tmp_path, "train")


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    plain = gzip.decompress(content)
    path.write_bytes(
        {
            "cut gzip": content[: len(content) // 2],
            "flipped byte": content[:-4] + bytes([content[-4] ^ 1]) + content[-3:],
            "not gzip": b"hello",
            "cut inside": gzip.compress(plain[:-100]),
            "too long": gzip.compress(plain + b"x"),
            "cut header": gzip.compress(plain[:6]),
            "empty": gzip.compress(b""),
            "other magic": gzip.compress(b"\1" + plain[1:]),
            "other shape": gzip.compress(plain[:8] + np.array([14, 56], ">u4").tobytes() + plain[16:]),
        }[how]
    )


@pytest.mark.parametrize(
    "how",
    [
        "cut gzip",
        "flipped byte",
        "not gzip",
        "cut inside",
        "too long",
        "cut header",
        "empty",
        "other magic",
        "other shape",
    ],
)
def test_a_damaged_idx_file_is_named_in_one_line(tiny_mnist: Path, how: str) -> None:
    damage(tiny_mnist / "mnist" / TRAIN_IMAGES, how)
    with pytest.raises(DataError, match=TRAIN_IMAGES) as caught:
        load_mnist(tiny_mnist, "train")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "label,pixel0\n", "label,pixel0\n1,2\n", "label,pixel0\nx,y\n"])
def test_a_damaged_csv_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "train.csv").write_text(content)
    with pytest.raises(DataError, match=r"train\.csv"):
        load_mnist(tmp_path, "train")


@pytest.mark.parametrize("content", [b"", b"PK\3\4cut", b"hello"])
def test_a_damaged_npz_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mnist.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"mnist\.npz"):
        load_mnist(tmp_path, "train")


def test_an_npz_with_a_changed_byte_is_read_or_named(tmp_path: Path) -> None:
    path = tmp_path / "mnist.npz"
    np.savez(path, x_train=np.zeros((1, 28, 28)), y_train=np.zeros(1))
    content = path.read_bytes()
    named = 0
    for place in (*range(200), *range(content.index(b"PK\1\2"), len(content))):
        for bits in (0x40, 0xFF):
            path.write_bytes(content[:place] + bytes([content[place] ^ bits]) + content[place + 1 :])
            try:
                load_mnist(tmp_path, "train")
            except DataError as error:
                named += "mnist.npz" in str(error)
    assert named > 0


def test_an_npz_without_the_split_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "mnist.npz", x_train=np.zeros((1, 28, 28)))
    with pytest.raises(DataError, match="y_train"):
        load_mnist(tmp_path, "train")


def test_labels_beyond_nine_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "mnist.npz", x_train=np.zeros((1, 28, 28)), y_train=np.array([11]))
    with pytest.raises(DataError, match="11"):
        load_mnist(tmp_path, "train")


def test_a_split_is_complete_and_follows_the_seed() -> None:
    first, held_out = split_rows(100, 0.2, seed=3)
    assert (len(first), len(held_out)) == (80, 20)
    assert sorted([*first, *held_out]) == list(range(100))
    np.testing.assert_array_equal(split_rows(100, 0.2, seed=3)[1], held_out)
    assert split_rows(100, 0.2, seed=4)[1].tolist() != held_out.tolist()


def test_training_images_go_through_the_shared_preprocessing() -> None:
    from service.preprocessing import prepare_grey

    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 2:9, 3:5] = 250
    prepared = prepare_digits(image)
    np.testing.assert_array_equal(tensor_from_images(prepared)[0], prepare_grey(image[0]).tensor)
    assert not np.array_equal(prepared, image)


@pytest.mark.tensorflow
def test_a_download_is_checked_against_its_hash(tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    for name in MNIST_SHA256:
        (mirror / name).write_bytes(b"something else")
    with pytest.raises(DataError, match="--data-dir"):
        download_mnist(f"{mirror.as_uri()}/", tmp_path / "cache")


@pytest.mark.tensorflow
def test_a_download_is_told_of_on_standard_error_without_what_tensorflow_says(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from training.data import download_mnist\n"
        "from training.errors import DataError\n"
        "try: download_mnist('file:///missing/', Path(sys.argv[1]))\n"
        "except DataError as error: print(error)"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[0].startswith("file:///missing/")
    assert "Downloading data from file:///missing/" in done.stderr
    assert "TensorFlow" not in done.stderr


@pytest.mark.data
@pytest.mark.tensorflow
def test_a_download_of_the_real_files_is_cached_and_read(data_dir: Path, tmp_path: Path) -> None:
    folder = download_mnist(f"{(data_dir / 'mnist').as_uri()}/", tmp_path)
    assert folder.is_relative_to(tmp_path)
    digits, record = load_mnist(folder, "test")
    assert record.examples == 10_000
    assert np.bincount(digits.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_no_image_is_learnt_from_and_asked_about_where_a_folder_holds_two_forms(tiny_mnist: Path) -> None:
    """Kaggle's rows are images of MNIST's training split, too."""
    folder = tiny_mnist / "mnist"
    for path in folder.glob("t10k-*"):
        path.unlink()
    rows = np.random.default_rng(0).integers(0, 256, (12, 785))
    rows[:, 0] = np.arange(12) % 10
    write_csv(folder / "train.csv", rows)
    splits = [load_mnist(tiny_mnist, split) for split in ("train", "test")]
    assert [set(record.sha256) for _, record in splits] == [{"train.csv"}] * 2
    assert [record.examples for _, record in splits] == [10, 2]


def test_test_images_may_be_there_alone(tiny_mnist: Path) -> None:
    for path in (tiny_mnist / "mnist").glob("train-*"):
        path.unlink()
    assert load_mnist(tiny_mnist, "test")[1].examples == 40
    with pytest.raises(DataError, match="no MNIST train split"):
        load_mnist(tiny_mnist, "train")


def test_a_folder_that_may_not_be_looked_into_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "is_file", refuse)
    with pytest.raises(DataError, match=r"cannot be read \(Permission denied\)"):
        find_mnist(tmp_path, "train")
