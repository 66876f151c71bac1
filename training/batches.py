"""What the network is fed: an endless sequence of batches, drawn from pools of prepared images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np
from numpy.typing import NDArray

from training.data import tensor_from_images

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.config import Recipe
    from training.data import Labels, Pixels
    from training.pools import Pool

SHIFT_WEIGHTS = (0.25, 0.5, 0.25)
"""Of -1, 0 and 1 pixel."""


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """An endless sequence of training batches in which each epoch is a new random choice and order.

    Batch number i is a function of the seed and i alone, whatever has been read before.
    """

    def __init__(self, pools: Sequence[Pool], recipe: Recipe, seed: int, first_epoch: int) -> None:
        super().__init__()
        self.pools = pools
        self.recipe = recipe
        self.batch_size = recipe.batch_size
        self.seed = seed
        self.first_epoch = first_epoch
        self.plan = (-1, np.empty((0, 2), np.int64))

    @property
    def num_batches(self) -> None:
        """Endless, for Keras."""

    @property
    def steps_per_epoch(self) -> int:
        """The batches of an epoch; what does not fill one is left to the next."""
        return sum(pool.per_epoch for pool in self.pools) // self.batch_size

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32], Labels]:
        """Give a batch: (B, 28, 28, 1) float32 in [0, 1], and (B,) labels."""
        epoch, step = divmod(index, self.steps_per_epoch)
        rows = self.plan_epoch(epoch)[step * self.batch_size : (step + 1) * self.batch_size]
        images = np.stack([self.pools[pool].images[row] for pool, row in rows])
        if self.recipe.shift:
            # Not 0: a trailing 0 changes nothing in a seed, and the plan of the epoch has this one without it.
            images = shift_images(images, np.random.default_rng((self.seed, self.first_epoch + epoch, step + 1)))
        labels = np.array([self.pools[pool].labels[row] for pool, row in rows])
        return tensor_from_images(images), labels

    def plan_epoch(self, epoch: int) -> NDArray[np.int64]:
        """Give an epoch's (pool, row) pairs in their order, made once."""
        if self.plan[0] != epoch:
            generator = np.random.default_rng((self.seed, self.first_epoch + epoch))
            progress = (self.first_epoch + epoch) / max(1, self.recipe.epochs - 1)
            pairs = [choose_rows(pool, number, progress, generator) for number, pool in enumerate(self.pools)]
            self.plan = (epoch, generator.permutation(np.concatenate(pairs)))
        return self.plan[1]


def choose_rows(pool: Pool, number: int, progress: float, generator: np.random.Generator) -> NDArray[np.int64]:
    """Choose an epoch's rows of a pool, as (pool number, row) pairs; `progress` goes from 0 to 1."""
    first, last = pool.distorted
    distorted = round(pool.per_epoch * (first + progress * (last - first)))
    rows = np.concatenate(
        [sample(pool.rows, pool.per_epoch - distorted, generator), sample(pool.distorted_rows, distorted, generator)]
    )
    return np.stack([np.full(len(rows), number), rows], axis=1)


def sample(rows: NDArray[np.int64], count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Choose rows, none twice."""
    return rows if count == len(rows) else generator.choice(rows, count, replace=False)


def shift_images(images: Pixels, generator: np.random.Generator) -> Pixels:
    """Move each of (B, 28, 28) images by -1, 0 or 1 pixel each way; what leaves the frame is lost."""
    height, width = images.shape[1:]
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    corners = generator.choice(3, (len(images), 2), p=SHIFT_WEIGHTS)
    return np.stack(
        [image[top : top + height, left : left + width] for image, (top, left) in zip(padded, corners, strict=True)]
    )
