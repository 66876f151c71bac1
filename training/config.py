"""The recipes: everything that decides what a training run makes, apart from its data and its seed.

`baseline`: the plain network on MNIST alone.

    livedigit train --recipe baseline --data-dir DATA

On two cores it takes 10 to 20 minutes and reaches 99.4 to 99.5 % on the MNIST test set.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from training.errors import TrainingError

Share = Annotated[float, Meta(ge=0, lt=1)]
Positive = Annotated[float, Meta(gt=0)]


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How the network is fitted."""

    name: str
    epochs: Annotated[int, Meta(ge=1)]
    """The most; a recipe with patience may stop earlier."""
    batch_size: Annotated[int, Meta(ge=1)] = 128
    learning_rate: Positive = 1e-3
    l2: Annotated[float, Meta(ge=0)] = 0.0
    """Weight of the squared kernels in the loss."""
    validation_share: Share = 0.2
    """Of the training split; the test split decides nothing."""
    stop_patience: int = 10
    """Epochs without a lower validation loss after which training stops, and the best epoch's weights count."""
    plateau_patience: int = 5
    """Epochs without a lower validation loss after which the learning rate is reduced."""
    plateau_factor: Positive = 0.2


BASELINE = Recipe(name="baseline", epochs=60, l2=1e-4)

RECIPES = {recipe.name: recipe for recipe in (BASELINE,)}


def find_recipe(name: str, epochs: int | None = None) -> Recipe:
    """Look a recipe up, with another number of epochs where one is given. Raises `TrainingError`."""
    if name not in RECIPES:
        raise TrainingError(f"no recipe {name!r}: expected one of {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    return recipe if epochs is None else msgspec.structs.replace(recipe, epochs=epochs)
