"""`livedigit models`: look at published versions, and choose which one is served."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import msgspec

from service.cli import given_settings, settings_options
from service.errors import LiveDigitError
from service.settings import models_folder


@click.group()
def models() -> None:
    """List, check, pin and prune published models."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_models(as_json: bool, **options: Any) -> None:
    """Check every version, and list it with its figures and its parity verdict, or with what is wrong with it."""
    from service.versions import list_versions

    folder = models_folder(given_settings(options))
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
    rows: list[dict[str, Any]] = []
    for name in names:
        if versions := list_versions(folder / name):
            served = version_to_serve(folder, name)
            rows += [describe_version(folder / name, version, version == served) for version in versions]
    if as_json:
        click.echo(msgspec.json.encode(rows))
    else:
        print_versions(rows)


settings_options("models_dir")(list_models)


def version_to_serve(folder: Path, name: str) -> int:
    """Give the number of the version to serve; 0 where there is no such version, and why on stderr."""
    from service.artifacts import choose_version

    try:
        return choose_version(folder, name)
    except LiveDigitError as error:
        click.echo(error, err=True)
        return 0


def describe_version(folder: Path, version: int, is_chosen: bool) -> dict[str, Any]:
    """Collect what one wants to know of a version; one that fails a check is never served."""
    from service.artifacts import load_classifier

    row = {"name": folder.name, "version": version, "served": is_chosen, "fault": ""}
    try:
        manifest = load_classifier(folder / str(version)).manifest
    except LiveDigitError as error:
        return row | {"served": False, "created": "", "sha256": "", "parity": "", "metrics": {}, "fault": str(error)}
    return row | {
        "created": manifest.created,
        "sha256": manifest.model.sha256,
        "parity": manifest.parity.verdict,
        "metrics": manifest.training.metrics if manifest.training else {},
    }


def print_versions(rows: list[dict[str, Any]]) -> None:
    """Print a table, and below it what is wrong with broken versions."""
    from rich.console import Console
    from rich.table import Column, Table

    table = Table("model", "version", "served", "created", "sha256", "parity", Column("accuracy", overflow="fold"))
    for row in rows:
        accuracies = [
            f"{value:.2%} {name.removesuffix('_accuracy').replace('_', ' ')}"
            for name, value in row["metrics"].items()
            if name.endswith("_accuracy")
        ]
        table.add_row(
            row["name"],
            str(row["version"]),
            "yes" if row["served"] else "",
            row["created"][:10],
            row["sha256"][:12],
            "broken" if row["fault"] else row["parity"],
            "\n".join(accuracies),
        )
    Console().print(table)
    for row in rows:
        if row["fault"]:
            click.echo(f"{row['name']} {row['version']}: {row['fault']}")


@models.command("check")
@click.argument("folder", type=click.Path(path_type=Path))
def check_model(folder: Path) -> None:
    """Check a published version: hashes, schema, graph, golden examples."""
    from service.artifacts import load_classifier

    # The path's own last names are the model's and the version's, wherever a link leads.
    manifest = load_classifier(Path(os.path.abspath(folder))).manifest  # noqa: PTH100
    reference = "this variant did when it was published" if manifest.variant else "TensorFlow did"
    click.echo(
        f"{manifest.name} {manifest.version}: intact, and {manifest.golden.examples} golden examples answered as "
        f"{reference}"
    )


@models.command("pin")
@click.argument("version", type=click.IntRange(min=1))
def pin(version: int, **options: Any) -> None:
    """Serve VERSION, even below the highest; a running server follows at its next check for a new version."""
    from service.artifacts import pin_version

    folder, name = model_location(options)
    pin_version(folder, name, version)
    click.echo(f"{name}: version {version} is pinned")


@models.command("unpin")
def unpin(**options: Any) -> None:
    """Serve the highest version again."""
    from service.artifacts import choose_version, remove_pin

    folder, name = model_location(options)
    remove_pin(folder, name)
    click.echo(f"{name}: version {choose_version(folder, name)} is the highest")


@models.command("rollback")
def rollback(**options: Any) -> None:
    """Pin the version before the one to serve."""
    from service.artifacts import pin_version, previous_version

    folder, name = model_location(options)
    version = previous_version(folder, name)
    pin_version(folder, name, version)
    click.echo(f"{name}: version {version} is pinned")


@models.command("prune")
@click.option(
    "--keep", type=click.IntRange(min=1), required=True, help="Versions to keep, of those that pass every check."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def prune(keep: int, yes: bool, **options: Any) -> None:
    """Delete the versions below the highest ones that pass every check.

    The version to serve always stays, and where it fails a check, nothing is deleted.
    """
    from service.artifacts import delete_version, superseded_versions

    folder, name = model_location(options)
    versions = superseded_versions(folder, name, keep)
    if not versions:
        click.echo(f"{name}: nothing to delete")
        return
    if not yes:
        click.confirm(f"{name}: delete versions {', '.join(map(str, versions))}?", abort=True)
    for version in versions:
        delete_version(folder, name, version)
        click.echo(f"{name}: version {version} is deleted")


for command in (pin, unpin, rollback, prune):
    settings_options("models_dir", "model_name")(command)


def model_location(options: dict[str, Any]) -> tuple[Path, str]:
    """Give the folder of models and the name of the one meant."""
    settings = given_settings(options)
    return models_folder(settings), settings.model_name
