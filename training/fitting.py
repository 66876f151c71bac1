"""Fits a network by a recipe: loss, optimizer, schedule, callbacks, checkpoints."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import keras
from keras import ops

from training.batches import Batches
from training.checkpoints import Checkpoints
from training.data import tensor_from_images

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from training.checkpoints import Progress
    from training.config import Recipe
    from training.data import Digits
    from training.pools import Pool

EVALUATION_BATCH = 1000
WARM_UP_SHARE = 0.15
"""Of a one-cycle run."""
FIRST_RATE_SHARE = 0.04
"""Of the highest rate, with which a one-cycle run begins."""


def fit(network: keras.Model, pools: Sequence[Pool], validation: Digits, folder: Path, progress: Progress) -> None:
    """Train `network`, which gives logits, in place, from where `progress` stands to the weights that count.

    `validation` holds prepared digits, or none.
    """
    recipe, first_epoch = progress.recipe, len(progress.history)
    batches = Batches(pools, recipe, progress.seed, first_epoch)
    network.compile(
        build_optimizer(recipe, batches.steps_per_epoch), build_loss(recipe), metrics=["accuracy"], jit_compile=False
    )
    followers = build_followers(recipe)
    checkpoints = Checkpoints(folder, progress, followers)
    if not progress.finished:
        network.fit(
            batches,
            steps_per_epoch=batches.steps_per_epoch,
            shuffle=False,
            epochs=recipe.epochs,
            initial_epoch=first_epoch,
            validation_data=(tensor_from_images(validation.images), validation.labels)
            if len(validation.labels)
            else None,
            validation_batch_size=EVALUATION_BATCH,
            callbacks=[*followers, checkpoints],
            verbose=1 if sys.stdout.isatty() else 2,
        )
    checkpoints.restore(network, progress.chosen_epoch)


def build_optimizer(recipe: Recipe, steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Build the optimizer with its schedule."""
    if recipe.schedule == "plateau":
        return keras.optimizers.Adam(recipe.learning_rate)
    steps = recipe.epochs * steps_per_epoch
    warm_up = int(WARM_UP_SHARE * steps)
    rate = keras.optimizers.schedules.CosineDecay(
        FIRST_RATE_SHARE * recipe.learning_rate,
        steps - warm_up,
        warmup_target=recipe.learning_rate,
        warmup_steps=warm_up,
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=recipe.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta"])
    return optimizer


def build_loss(recipe: Recipe) -> keras.losses.Loss:
    """Build the loss on logits: cross-entropy, which wants every digit equally likely where there is none.

    Source: A. R. Dhamija et al., Reducing Network Agnostophobia, NeurIPS 2018 (the entropic open-set loss).
    """
    if not recipe.not_digits:
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def entropic_loss(labels: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
        labels = ops.reshape(labels, (-1,))
        classes = ops.shape(logits)[-1]
        is_digit = ops.cast(labels >= 0, logits.dtype)[:, None]
        # `one_hot` of -1 is all zeros.
        targets = ops.one_hot(labels, classes, dtype=logits.dtype) + (1 - is_digit) / classes
        return ops.categorical_crossentropy(targets, logits, from_logits=True)

    return entropic_loss


def build_followers(recipe: Recipe) -> list[keras.callbacks.Callback]:
    """Build the callbacks that look at the validation loss."""
    if recipe.schedule == "one_cycle":
        return []
    return [
        keras.callbacks.EarlyStopping(patience=recipe.stop_patience),
        keras.callbacks.ReduceLROnPlateau(factor=recipe.plateau_factor, patience=recipe.plateau_patience),
    ]
