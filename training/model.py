"""The network, fixed by the project: three convolutions and two dense layers, 167,114 parameters."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

INPUT_SHAPE = (28, 28, 1)
BLOCKS = ((32, 0.2), (64, 0.3), (128, 0.3))
"""Filters and dropout of each convolution."""
DENSE_UNITS = 64
DENSE_DROPOUT = 0.2
LABELS = tuple("0123456789")


def build_model(l2: float = 0.0) -> keras.Model:
    """Build the network with fresh weights.

    It takes `image`, (N, 28, 28, 1) float32 in [0, 1], 0 = paper, 1 = ink, and gives a dict of `logits` and
    `probabilities`, both (N, 10) float32. `l2` weighs the squared kernels in the loss.
    """
    penalty = keras.regularizers.L2(l2) if l2 else None
    image = features = keras.Input(INPUT_SHAPE, name="image")
    for index, (filters, dropout) in enumerate(BLOCKS, start=1):
        features = layers.Conv2D(
            filters, 3, padding="same", activation="relu", kernel_regularizer=penalty, name=f"conv{index}"
        )(features)
        features = layers.MaxPooling2D(2, name=f"pool{index}")(features)
        features = layers.Dropout(dropout, name=f"drop{index}")(features)
    features = layers.Flatten(name="flatten")(features)
    features = layers.Dense(DENSE_UNITS, activation="relu", kernel_regularizer=penalty, name="dense")(features)
    features = layers.Dropout(DENSE_DROPOUT, name="drop4")(features)
    logits = layers.Dense(len(LABELS), kernel_regularizer=penalty, name="logits")(features)
    probabilities = layers.Softmax(name="probabilities")(logits)
    return keras.Model(image, {"logits": logits, "probabilities": probabilities}, name="digits")


def logits_model(model: keras.Model) -> keras.Model:
    """The same layers with the logits as the only output, for losses that want them."""
    return keras.Model(model.input, model.output["logits"], name=model.name)


def build_normalised(dropout: float) -> keras.Model:
    """Build the same network for training with batch normalisation; it gives logits. `dropout` scales the rates.

    The normalisation comes after the pooling, where it costs a quarter. Without a learnt scale, which the next
    layer's kernel provides anyway, it is increasing, so it could as well come before: `fold_normalised` relies on it.
    """
    image = features = keras.Input(INPUT_SHAPE, name="image")
    for index, (filters, rate) in enumerate(BLOCKS, start=1):
        features = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"conv{index}")(features)
        features = layers.MaxPooling2D(2, name=f"pool{index}")(features)
        features = normalise_and_drop(features, f"conv{index}", rate * dropout)
    features = layers.Dense(DENSE_UNITS, use_bias=False, name="dense")(layers.Flatten(name="flatten")(features))
    features = normalise_and_drop(features, "dense", DENSE_DROPOUT * dropout)
    return keras.Model(image, layers.Dense(len(LABELS), name="logits")(features), name="normalised")


def normalise_and_drop(features: keras.KerasTensor, name: str, rate: float) -> keras.KerasTensor:
    """Batch normalisation, ReLU and dropout after the layer `name`."""
    features = layers.BatchNormalization(scale=False, name=f"{name}_norm")(features)
    return layers.Dropout(rate, name=f"{name}_drop")(layers.ReLU(name=f"{name}_relu")(features))


def fold_normalised(normalised: keras.Model, model: keras.Model) -> None:
    """Give `model`, as `build_model` makes it, weights with which it computes what `normalised` does in inference."""
    for name in (*(f"conv{index}" for index in range(1, len(BLOCKS) + 1)), "dense"):
        norm = normalised.get_layer(f"{name}_norm")
        beta, mean, variance = norm.get_weights()
        factor = 1 / np.sqrt(variance + norm.epsilon)
        (kernel,) = normalised.get_layer(name).get_weights()
        model.get_layer(name).set_weights([kernel * factor, beta - mean * factor])
    model.get_layer("logits").set_weights(normalised.get_layer("logits").get_weights())


def divide_logits(model: keras.Model, temperature: float) -> None:
    """Divide the logits by a temperature, through the last layer's weights."""
    layer = model.get_layer("logits")
    layer.set_weights([weights / np.float32(temperature) for weights in layer.get_weights()])


def hash_weights(weights: Sequence[NDArray[np.float32]]) -> str:
    """SHA-256 over float32 weights in their order, little-endian, rows first."""
    digest = hashlib.sha256()
    for array in weights:
        digest.update(np.ascontiguousarray(array, "<f4").tobytes())
    return digest.hexdigest()
