"""Options that several measurements have, checked before minutes are spent on measuring."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

COUNT = click.IntRange(min=1)


class Duration(click.FloatRange):
    """More than nothing, and not for ever."""

    name = "number"

    def __init__(self) -> None:
        super().__init__(min=0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Refuse what is no finite number, too: no range holds it, and none refuses it."""
        duration: float = super().convert(value, param, ctx)
        if not math.isfinite(duration):
            self.fail(f"{value} is not finite.", param, ctx)
        return duration


def file_option(flag: str, name: str, words: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add a file to write at the end; that it can be written is found out at the start."""
    return click.option(
        flag, name, type=click.Path(dir_okay=False, writable=True, path_type=Path), callback=make_folder, help=words
    )


def make_folder(_: click.Context, param: click.Parameter, file: Path | None) -> Path | None:
    """Make the folder of a file that is to be written. Raises `click.BadParameter`."""
    if file is None:
        return None
    if not file.name:
        raise click.BadParameter("expected the name of a file", param=param)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Tells more than the folder's mode does.
        file.with_name(f".{file.name}.new").touch()
        file.with_name(f".{file.name}.new").unlink()
    except OSError as error:
        raise click.BadParameter(f"{file}: cannot be written ({error.strerror})", param=param) from error
    return file


json_option = file_option("--json", "json_file", "Also write the report here.")
