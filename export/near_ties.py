"""Searches for images whose decision hangs by a thread: that is where rounding could turn a label."""

from __future__ import annotations

from typing import Any

import numpy as np

from export.inputs import InputSet
from export.quiet import import_tensorflow, silent_stderr
from export.runtimes import Images, Runtime, TensorFlowRuntime

STEPS = 20
HALVINGS = 30
SMALLEST_GRADIENT = 1e-12


def search_near_ties(runtime: TensorFlowRuntime, start: Images) -> InputSet:
    """Move images to where two labels are all but equal: along the gradient, or where there is none by bisection.

    TensorFlow has no gradient of grouped convolutions on the CPU, nor of some activations and of loops once frozen.
    """
    tf = import_tensorflow()
    try:
        with silent_stderr():
            found = descend(runtime, start)
    except (AttributeError, TypeError, ValueError, LookupError, tf.errors.OpError):
        found = bisect(runtime, start)
    if not np.isfinite(found).all():  # a gradient that is no number, as that of a root at zero
        found = bisect(runtime, start)
    return InputSet("near-ties", found, tuple(f"near-tie {row}" for row in range(len(found))))


def descend(runtime: TensorFlowRuntime, start: Images, steps: int = STEPS) -> Images:
    """Walk down the gradient of the margin between the two largest logits, within the images' own range.

    Each step is the one that would close the margin if the model were linear.

    Source: Moosavi-Dezfooli, Fawzi, Frossard, DeepFool, CVPR 2016.
    """
    tf = import_tensorflow()
    images = tf.constant(start, runtime.dtype)
    low, high = tf.reduce_min(images), tf.reduce_max(images)
    for _ in range(steps):
        margin, gradient = margin_and_gradient(runtime, images)
        length = tf.reduce_sum(gradient**2, axis=[1, 2, 3], keepdims=True) + SMALLEST_GRADIENT
        images = tf.clip_by_value(images - tf.reshape(margin, (-1, 1, 1, 1)) * gradient / length, low, high)
    return np.asarray(images.numpy(), np.float32)


def margin_and_gradient(runtime: TensorFlowRuntime, images: Any) -> tuple[Any, Any]:
    """Measure the distance between the two largest logits, and which way it grows."""
    tf = import_tensorflow()
    with tf.GradientTape() as tape:
        tape.watch(images)
        top = tf.math.top_k(runtime.function(images)[0], 2).values
        margin = top[:, 0] - top[:, 1]
    gradient = tape.gradient(margin, images)
    return margin, tf.zeros_like(images) if gradient is None else gradient


def bisect(runtime: Runtime, start: Images, halvings: int = HALVINGS) -> Images:
    """Halve the way from each image to one of another label, until the label turns within a rounding of it.

    Where all images have the same label they go to their negatives, and may stay without a tie.
    """
    labels = runtime.answer(start).logits.argmax(axis=1)
    others = np.argmax(labels[:, np.newaxis] != labels, axis=1)
    near = start.astype(np.float64)
    far = start[others].astype(np.float64) if len(set(labels)) > 1 else start.max() + start.min() - near
    for _ in range(halvings):
        middle = (near + far) / 2
        kept = runtime.answer(middle.astype(np.float32)).logits.argmax(axis=1) == labels
        near[kept], far[~kept] = middle[kept], middle[~kept]
    return near.astype(np.float32)
