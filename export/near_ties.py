"""Searches for images whose decision hangs by a thread: that is where rounding could turn a label."""

from __future__ import annotations

from typing import Any

import numpy as np

from export.inputs import InputSet
from export.quiet import import_tensorflow
from export.runtimes import Images, TensorFlowRuntime

STEPS = 20
SMALLEST_GRADIENT = 1e-12


def search_near_ties(runtime: TensorFlowRuntime, start: Images, steps: int = STEPS) -> InputSet:
    """Walk images down the gradient of the margin between their two largest logits, within their own range.

    Each step is the one that would close the margin if the model were linear (DeepFool's).

    Source: Moosavi-Dezfooli, Fawzi, Frossard, DeepFool, CVPR 2016.
    """
    tf = import_tensorflow()
    images = tf.constant(start, runtime.dtype)
    low, high = tf.reduce_min(images), tf.reduce_max(images)
    for _ in range(steps):
        margin, gradient = margin_and_gradient(runtime, images)
        length = tf.reduce_sum(gradient**2, axis=[1, 2, 3], keepdims=True) + SMALLEST_GRADIENT
        images = tf.clip_by_value(images - tf.reshape(margin, (-1, 1, 1, 1)) * gradient / length, low, high)
    found = images.numpy().astype(np.float32)
    return InputSet("near-ties", found, tuple(f"near-tie {row}" for row in range(len(found))))


def margin_and_gradient(runtime: TensorFlowRuntime, images: Any) -> tuple[Any, Any]:
    """Measure the distance between the two largest logits, and which way it grows."""
    tf = import_tensorflow()
    with tf.GradientTape() as tape:
        tape.watch(images)
        top = tf.math.top_k(runtime.function(images)[0], 2).values
        margin = top[:, 0] - top[:, 1]
    gradient = tape.gradient(margin, images)
    return margin, tf.zeros_like(images) if gradient is None else gradient
