"""The commands `train` and `evaluate`. TensorFlow is imported when one of them runs, not before."""

from __future__ import annotations

import os
from pathlib import Path

import click

DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="LIVEDIGIT_DATA_DIR",
    help="Folder with the data sets; without it they are downloaded.  [env: LIVEDIGIT_DATA_DIR]",
)


def quiet_tensorflow() -> None:
    """Leave TensorFlow's greetings out, where the user has not asked for them."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@click.command()
@click.option("--recipe", default="baseline", show_default=True, help="A recipe of training/config.py.")
@DATA_DIR
@click.option("--epochs", type=click.IntRange(min=1), help="At most so many.  [default: the recipe's]")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("artifacts/saved_models"),
    show_default=True,
    help="Folder for NAME/VERSION.",
)
@click.option("--name", default="digits", show_default=True)
@click.option("--version", type=click.IntRange(min=1), help="[default: the next]")
@click.option("--resume", is_flag=True, help="Continue the unfinished run of that version.")
def train(
    recipe: str,
    data_dir: Path | None,
    epochs: int | None,
    seed: int,
    out: Path,
    name: str,
    version: int | None,
    resume: bool,
) -> None:
    """Train the digit classifier and write it as a SavedModel with its run.json."""
    quiet_tensorflow()
    from training import config
    from training import train as training

    order = training.Order(
        config.find_recipe(recipe, epochs), data_dir, out, name, version or training.choose_version(out, name), seed
    )
    run = training.train(order, resume)
    click.echo(f"{order.target}: {run.metrics['mnist_test_accuracy']:.2%} on the MNIST test set")
