"""A Keras model rebuilt in another precision, with the same weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from export.tracing import input_shape

if TYPE_CHECKING:
    import keras

PRECISIONS = ("float64", "float32", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16")
DTYPE_KEYS = ("dtype", "name")
"""Where a Keras configuration holds a precision: a layer's `dtype`, a policy's `name`."""


def rebuild(model: keras.Model, precision: str) -> keras.Model:
    """Rebuild a model from its configuration with every policy set to `precision`; raises whatever Keras raises."""
    import keras

    with default_precision(precision):
        configuration = with_precision(keras.saving.serialize_keras_object(model), precision)
        twin = keras.saving.deserialize_keras_object(configuration, safe_mode=False)
        if not twin.built:
            twin.build(input_shape(model))
        twin.set_weights([weight.astype(precision) for weight in model.get_weights()])
        for layer in twin._flatten_layers():  # the public `layers` stops at the first level
            if hasattr(layer, "finalize_state"):
                layer.finalize_state()
    return twin


def with_precision(configuration: Any, precision: str) -> Any:
    """Replace every dtype in a Keras configuration."""
    if isinstance(configuration, dict):
        return {
            key: precision if key in DTYPE_KEYS and value in PRECISIONS else with_precision(value, precision)
            for key, value in configuration.items()
        }
    if isinstance(configuration, list | tuple):
        return type(configuration)(with_precision(item, precision) for item in configuration)
    return configuration


@contextmanager
def default_precision(precision: str) -> Iterator[None]:
    """Let Keras create layers of a precision; `floatx` alone silently leaves policies at float32."""
    import keras

    policy, floatx = keras.config.dtype_policy(), keras.config.floatx()
    keras.config.set_floatx(precision)
    keras.config.set_dtype_policy(precision)
    try:
        yield
    finally:
        keras.config.set_floatx(floatx)
        keras.config.set_dtype_policy(policy)


def is_single(model: keras.Model) -> bool:
    """Say whether every layer computes in float32."""
    return all(layer.compute_dtype == "float32" for layer in model._flatten_layers())
