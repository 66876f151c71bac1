"""`livedigit models`: look at published versions, and choose which one is served."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from service.cli import given_settings, settings_options
from service.settings import models_folder

if TYPE_CHECKING:
    from service.contract import Manifest


@click.group()
def models() -> None:
    """List, check, pin and prune published models."""


@models.command("list")
@click.option("--json", "as_json", is_flag=True, help="A JSON array.")
def list_models(as_json: bool, **options: Any) -> None:
    """List every version with its figures and its parity verdict."""
    from service.artifacts import MANIFEST, choose_version, read_document
    from service.contract import Manifest
    from service.versions import list_versions

    folder = models_folder(given_settings(options))
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir()) if folder.is_dir() else []
    rows = [
        describe_version(
            read_document(folder / name / str(version) / MANIFEST, Manifest),
            served=version == choose_version(folder, name),
        )
        for name in names
        for version in list_versions(folder / name)
    ]
    if as_json:
        click.echo(msgspec.json.encode(rows))
    else:
        print_versions(rows)


settings_options("models_dir")(list_models)


def describe_version(manifest: Manifest, served: bool) -> dict[str, Any]:
    """Collect what one wants to know of a version."""
    return {
        "name": manifest.name,
        "version": manifest.version,
        "served": served,
        "created": manifest.created,
        "sha256": manifest.model.sha256,
        "parity": manifest.parity.verdict,
        "metrics": manifest.training.metrics if manifest.training else {},
    }


def print_versions(rows: list[dict[str, Any]]) -> None:
    """Print a table."""
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
            row["parity"],
            "\n".join(accuracies),
        )
    Console().print(table)


@models.command("check")
@click.argument("folder", type=click.Path(path_type=Path))
def check_model(folder: Path) -> None:
    """Check a published version: hashes, schema, graph, golden examples."""
    from service.artifacts import load_classifier

    manifest = load_classifier(folder.resolve()).manifest
    reference = "this variant did when it was published" if manifest.variant else "TensorFlow did"
    click.echo(
        f"{manifest.name} {manifest.version}: intact, and {manifest.golden.examples} golden examples answered as "
        f"{reference}"
    )


@models.command("pin")
@click.argument("version", type=click.IntRange(min=1))
def pin(version: int, **options: Any) -> None:
    """Serve VERSION whatever the highest is, from the next start or look for versions on."""
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
    """Pin the version before the served one."""
    from service.artifacts import pin_version, previous_version

    folder, name = model_location(options)
    version = previous_version(folder, name)
    pin_version(folder, name, version)
    click.echo(f"{name}: version {version} is pinned")


@models.command("prune")
@click.option("--keep", type=click.IntRange(min=1), required=True, help="How many of the highest versions to keep.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def prune(keep: int, yes: bool, **options: Any) -> None:
    """Delete all but the highest versions; the served one always stays."""
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
