"""The `livedigit` command and the subcommands that need nothing but the slim install.

Exit codes: 0 done; 1 failed, or verification found a disagreement; 2 usage; 3 cannot export; 4 an artifact's
integrity; 70 a defect of ours. An expected error carries its own as `exit_code`, whichever package it comes from.
"""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint, entry_points
from typing import NoReturn

import click

INTERNAL_ERROR = 70


class CommandGroup(click.Group):
    """Finds subcommands through the entry points `livedigit.commands`, so that packages need not import each other."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name every command that an installed package contributes."""
        return sorted(installed_commands())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        entry_point = installed_commands().get(cmd_name)
        return entry_point.load() if entry_point else None


def installed_commands() -> dict[str, EntryPoint]:
    """Map command name to entry point."""
    return {entry_point.name: entry_point for entry_point in entry_points(group="livedigit.commands")}


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="livedigit")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def livedigit(debug: bool) -> None:
    """Draw a digit; a slim server that runs nothing but ONNX Runtime reads it."""


def main() -> NoReturn:
    """Run the command line: one line on stderr and an exit code for whatever goes wrong."""
    try:
        livedigit.main()
    except Exception as error:  # noqa: BLE001 - the last handler of a process
        if "--debug" in sys.argv:
            raise
        click.echo(f"livedigit: {describe_error(error)}", err=True)
        sys.exit(getattr(error, "exit_code", INTERNAL_ERROR))
    sys.exit(0)


def describe_error(error: Exception) -> str:
    """Say in one line what happened, and what to do where it is known."""
    if isinstance(error, ModuleNotFoundError):
        return f"{error.name} is not installed; `pip install 'livedigit[training,export]'` brings it"
    if hasattr(error, "exit_code"):
        return str(error)
    return f"internal error: {type(error).__name__}: {error} (run with --debug for the traceback)"
