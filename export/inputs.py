"""The images on which two models are compared."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from export.answers import OPEN_SIDES, noise_images
from export.errors import UsageError
from export.quiet import import_tensorflow
from export.runtimes import Images, Runtime
from service.contract import PreprocessingSpec
from service.errors import ImageError
from service.files import DAMAGED_ARCHIVE
from service.preprocessing import prepare_image

if TYPE_CHECKING:
    import onnx

Shape = tuple[int, int, int]
"""(H, W, C)."""

NOISE_IMAGES = 16
LEVELS = ((0.0, 255.0), (0.0, 255.0), (0.0, 255.0), (0.0, 255.0), (-1.0, 1.0), (-1.0, 1.0))
"""Darkest and brightest of each row of noise, for models that scale pixels themselves."""
DENORMAL = 1e-40
RAW_SCALE = 255.0
INTEGERS = "iu"
NUMERIC = "b" + INTEGERS + "f"
"""NumPy's kinds of real numbers; dates, complex numbers and strings are none."""
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")


class InputSet(NamedTuple):
    """Named images."""

    name: str
    images: Images
    labels: tuple[str, ...] = ()
    """What each row is: a file's name, or how the image was made."""
    is_typical: bool = False
    """What the model is made for: here its logits have their usual size."""
    logit_floor: float = 0.0
    """Rows whose logits are all smaller are measured against this, if it is more than the comparison's own."""


class LabelledImages(NamedTuple):
    """Images and what they show."""

    images: Images
    labels: NDArray[np.int64]
    """(N,) index of the output column."""


class Drawing(NamedTuple):
    """An encoded image of our own."""

    name: str
    """`<label>-<what>.<format>`."""
    data: bytes


def read_drawings() -> list[Drawing]:
    """Read the drawings that come with this package, in a fixed order."""
    folder = resources.files("export") / "drawings"
    files = sorted((file for file in folder.iterdir() if file.name.endswith(IMAGE_SUFFIXES)), key=lambda f: f.name)
    return [Drawing(file.name, file.read_bytes()) for file in files]


def drawn_inputs(drawings: list[Drawing], spec: PreprocessingSpec) -> InputSet:
    """Take drawings through the whole pipeline, from encoded bytes."""
    tensors = [prepare_image(drawing.data, spec).tensor for drawing in drawings]
    return InputSet("drawings", np.stack(tensors), tuple(drawing.name for drawing in drawings), is_typical=True)


def edge_inputs(shape: tuple[int, int, int]) -> InputSet:
    """Make the images that real data never holds: flat, extreme, single pixels, patterns; shape (H, W, C)."""
    height, width, _ = shape
    rows, columns = np.mgrid[:height, :width][..., np.newaxis]
    images = {
        "zeros": np.zeros(shape),
        "ones": np.ones(shape),
        "halves": np.full(shape, 0.5),
        "denormal": np.full(shape, DENORMAL),
        "checkerboard": np.broadcast_to((rows + columns) % 2, shape),
        "ramp": np.broadcast_to(columns / max(width - 1, 1), shape),
        "raw levels": np.broadcast_to(RAW_SCALE * rows / max(height - 1, 1), shape),
        "negative": np.full(shape, -1.0),
        "first pixel": one_pixel(shape, 0, 0),
        "middle pixel": one_pixel(shape, height // 2, width // 2),
        "last pixel": one_pixel(shape, height - 1, width - 1),
    }
    return InputSet("edges", np.stack(list(images.values())).astype(np.float32), tuple(images))


def one_pixel(shape: tuple[int, int, int], row: int, column: int) -> Images:
    """Light a single pixel."""
    image = np.zeros(shape, np.float32)
    image[row, column] = 1
    return image


def noise_inputs(shape: tuple[int, int, int], count: int = NOISE_IMAGES) -> InputSet:
    """Make seeded uniform noise in [0, 1); shape (H, W, C)."""
    return InputSet("noise", noise_images(shape, count), tuple(f"noise {row}" for row in range(count)))


def level_inputs(shape: Shape) -> InputSet:
    """Make seeded noise at the other usual ranges of pixels, 0 to 255 and -1 to 1; shape (H, W, C).

    On noise in [0, 1) a model that begins by dividing by 255 may answer by its biases alone.
    """
    low, high = np.asarray(LEVELS, np.float32).T[:, :, np.newaxis, np.newaxis, np.newaxis]
    labels = tuple(f"noise from {darkest:g} to {brightest:g}" for darkest, brightest in LEVELS)
    return InputSet("levels", low + (high - low) * noise_images(shape, len(LEVELS)), labels)


def image_sides(model: onnx.ModelProto) -> Shape:
    """Read (H, W, C) from the graph's input; 0 where the caller chooses."""
    height, width, channels = (side.dim_value for side in model.graph.input[0].type.tensor_type.shape.dim[1:])
    return height, width, channels


def image_shape(model: onnx.ModelProto, side: int = OPEN_SIDES[0]) -> Shape:
    """Read (H, W, C) from the graph's input; an open side gets one that we choose."""
    height, width, channels = image_sides(model)
    return height or side, width or side, channels


def answered_shape(model: onnx.ModelProto, runtime: Runtime) -> Shape:
    """Choose the smallest open sides at which the model answers, else the largest that we try."""
    shapes = [image_shape(model, side) for side in OPEN_SIDES]
    if 0 not in image_sides(model):
        return shapes[0]
    return next((shape for shape in shapes if is_answered(runtime, shape)), shapes[-1])


def is_answered(runtime: Runtime, shape: Shape) -> bool:
    """Say whether images of a shape get finite logits; TensorFlow pools nothing to not-a-number, or refuses it."""
    tf = import_tensorflow()
    try:
        return bool(np.isfinite(runtime.answer(noise_inputs(shape, 1).images).logits).all())
    except (ValueError, tf.errors.OpError):
        return False


def fits(shape: tuple[int, ...], sides: Shape) -> bool:
    """Say whether images of a shape suit a model's sides, 0 where it takes any."""
    return len(shape) == len(sides) and all(side in (0, found) for found, side in zip(shape, sides, strict=True))


def describe_sides(sides: Sequence[int]) -> str:
    """Name a shape in a graph, `?` for what the caller chooses, which is 0."""
    return f"({', '.join(str(side or '?') for side in sides)})"


def read_data(path: Path, sides: Shape, spec: PreprocessingSpec | None) -> InputSet:
    """Read a user's images: a folder of encoded ones, or an .npz whose first array of rank 4 holds tensors.

    Raises `UsageError`.
    """
    inputs = read_folder(path, spec) if path.is_dir() else read_npz(path)
    if not fits(inputs.images.shape[1:], sides):
        raise UsageError(
            f"{path}: holds images of shape {inputs.images.shape[1:]}; the model takes {describe_sides(sides)}"
        )
    return inputs._replace(is_typical=True)


def read_npz(path: Path) -> InputSet:
    """Read tensors as they are. Raises `UsageError`."""
    for array in read_arrays(path):
        if array.ndim == len(("batch", "height", "width", "channels")) and len(array) and array.dtype.kind in NUMERIC:
            return InputSet(path.name, array.astype(np.float32), tuple(f"row {row}" for row in range(len(array))))
    raise UsageError(f"{path}: holds no array of real numbers of shape (images, height, width, channels)")


def read_arrays(path: Path) -> list[NDArray[Any]]:
    """Read all arrays of an archive. Raises `UsageError`, whatever NumPy and zipfile make of a damaged one."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return [archive[name] for name in archive.files]
    except DAMAGED_ARCHIVE as error:
        raise UsageError(f"{path}: not a folder of images, nor an .npz of arrays, or a damaged one") from error


def read_labelled(path: Path, sides: Shape, classes: int) -> LabelledImages:
    """Read labelled tensors: an .npz with (N, H, W, C) images and (N,) integers. Raises `UsageError`."""
    images = read_npz(path).images
    vectors = [array for array in read_arrays(path) if array.shape == (len(images),)]
    labels = next((vector.astype(np.int64) for vector in vectors if vector.dtype.kind in INTEGERS), None)
    if labels is None:
        raise UsageError(f"{path}: holds no array of {len(images)} integers, the images' labels")
    if not fits(images.shape[1:], sides) or labels.min() < 0 or labels.max() >= classes:
        raise UsageError(
            f"{path}: the model takes images of {describe_sides(sides)} and answers with labels 0 to {classes - 1}"
        )
    return LabelledImages(images, labels)


def read_folder(folder: Path, spec: PreprocessingSpec | None) -> InputSet:
    """Take every image below a folder through the pipeline. Raises `UsageError`."""
    if spec is None:
        raise UsageError(f"{folder}: the model has no preprocessing, so it takes tensors: give an .npz")
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise UsageError(f"{folder}: holds no images ({', '.join(IMAGE_SUFFIXES)})")
    try:
        tensors = [prepare_image(file.read_bytes(), spec).tensor for file in files]
    except ImageError as error:
        raise UsageError(f"{folder}: {error}") from error
    return InputSet(folder.name, np.stack(tensors), tuple(str(file.relative_to(folder)) for file in files))
