"""A Keras model as a SavedModel whose endpoint is inference and nothing else.

`keras.Model.export` traces layers with their default `training`, which bakes random augmentation into what is served;
here the endpoint says `training=False`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.errors import CannotExport, one_line
from export.graph import IMAGE
from export.quiet import import_tensorflow, silent_stderr

if TYPE_CHECKING:
    import keras

RANK = 4
"""Batch, height, width, channels."""
CHANNELS = range(1, 5)


def write_saved_model(model: keras.Model, folder: Path, signature: str) -> None:
    """Trace a Keras model into `folder` under one signature. Raises `CannotExport`."""
    tf = import_tensorflow()
    import keras

    specification = tf.TensorSpec(input_shape(model), tf.float32, name=IMAGE)
    archive = keras.export.ExportArchive()
    archive.track(model)
    try:
        with silent_stderr(), without_xla(tf):
            archive.add_endpoint(
                signature, lambda image: {"output": only_output(model, image)}, input_signature=[specification]
            )
            archive.write_out(str(folder), verbose=False)
    except CannotExport:
        raise
    except Exception as error:  # a user's layer may raise anything
        raise CannotExport(f"the model `{model.name}` cannot be traced: {one_line(error)}") from error


def only_output(model: keras.Model, image: Any) -> Any:
    """Answer images with the one tensor that a model returns, maybe in a list or dictionary. Raises `CannotExport`."""
    import keras

    outputs = keras.tree.flatten(model(image, training=False))
    if len(outputs) != 1:
        raise CannotExport(f"the model `{model.name}` has {len(outputs)} outputs; expected one, a score per label")
    return outputs[0]


def input_shape(model: keras.Model) -> tuple[int | None, ...]:
    """Find the one input's shape, the batch open. Raises `CannotExport`."""
    shapes = input_shapes(model)
    if len(shapes) != 1:
        raise CannotExport(f"the model `{model.name}` has {len(shapes)} inputs; expected one, the image")
    shape = shapes[0]
    if len(shape) != RANK or shape[-1] not in CHANNELS:
        raise CannotExport(
            f"the model `{model.name}` takes {shape}; expected (batch, height, width, channels), 1 to 4 channels"
        )
    return (None, *shape[1:])


def input_shapes(model: keras.Model) -> list[tuple[int | None, ...]]:
    """List the shapes of all inputs; of a subclassed model, those that it was built with. Raises `CannotExport`."""
    if getattr(model, "inputs", None):
        return [tuple(tensor.shape) for tensor in model.inputs]
    built = model.get_build_config() or {}
    shapes: dict[str, Any] = built.get("shapes_dict") or {"input": built.get("input_shape")}
    if not model.built or None in shapes.values():
        raise CannotExport(
            f"the model `{model.name}` does not know its input's shape: "
            "call model.build((None, height, width, channels))"
        )
    return [tuple(shape) for shape in shapes.values()]


@contextmanager
def without_xla(tf: Any) -> Iterator[None]:
    """Trace without `jit_compile`: Keras wraps grouped convolutions in it, and tf2onnx cannot look inside.

    May go when tf2onnx inlines such calls (tensorflow-onnx#2347).
    """
    original = tf.function

    def function(func: Any = None, **options: Any) -> Any:
        options.pop("jit_compile", None)
        return original(func, **options) if func is not None else original(**options)

    tf.function = function
    try:
        yield
    finally:
        tf.function = original
