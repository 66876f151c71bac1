"""The `livedigit` command and the subcommands that need nothing but the slim install.

Exit codes: 0 done; 1 failed, or verification found a disagreement; 2 usage; 3 cannot export; 4 an artifact's
integrity; 70 a defect of ours; 130 and 143 a training run that Ctrl-C or SIGTERM has ended and that can be resumed. An
expected error carries its own as `exit_code`, whichever package it comes from.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
import msgspec

from service.errors import LiveDigitError
from service.process import begin_start, ignore_hangup
from service.settings import (
    Settings,
    flag_name,
    load_settings,
    models_folder,
    spell_value,
    variable_name,
    without_secrets,
)

if TYPE_CHECKING:
    from service.classifier import Classifier
    from service.contract import PredictResponse, ReadResponse

INTERNAL_ERROR = 70


class CommandGroup(click.Group):
    """Finds subcommands by entry point, so that the packages need not import each other."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name every command that an installed package contributes."""
        return sorted(installed_commands())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        entry_point = installed_commands().get(cmd_name)
        return entry_point.load() if entry_point else None


@cache
def installed_commands() -> dict[str, EntryPoint]:
    """Map command name to entry point."""
    return {entry_point.name: entry_point for entry_point in entry_points(group="livedigit.commands")}


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="livedigit")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
def livedigit(debug: bool) -> None:
    """Read handwritten digits with ONNX Runtime; train, export and verify the models that do."""


def main() -> NoReturn:
    """Run the command line: one line on stderr and an exit code for whatever goes wrong."""
    try:
        livedigit.main()
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        status, words = describe_error(error)
        click.echo(f"livedigit: {words}", err=True)
        sys.exit(status)
    sys.exit(0)


def describe_error(error: Exception) -> tuple[int, str]:
    """Give the exit code, and in one line what happened and what to do about it."""
    if isinstance(error, ModuleNotFoundError):
        return 1, f"{error.name} is not installed: {remedy_for(sys.argv[1:])}"
    if hasattr(error, "exit_code"):
        return error.exit_code, str(error)
    return INTERNAL_ERROR, f"internal error: {type(error).__name__}: {error} (run with --debug for the traceback)"


def remedy_for(arguments: list[str]) -> str:
    """Say how to install what a command needs: the extra is named after the package that contributes the command."""
    modules = [installed_commands()[word].module for word in arguments if word in installed_commands()]
    package = modules[0].partition(".")[0] if modules else "service"
    return "install livedigit again" if package == "service" else f"pip install 'livedigit[{package}]'"


def settings_options(*names: str) -> Callable[[click.Command], click.Command]:
    """Add a flag for every named field of `Settings`; no names: for all of them."""

    def add(command: click.Command) -> click.Command:
        fields = [field for field in msgspec.structs.fields(Settings) if not names or field.name in names]
        command.params.extend(setting_option(field) for field in fields)
        return command

    return add


def setting_option(field: msgspec.structs.FieldInfo) -> click.Option:
    """Make the flag of one setting; its value is checked where the environment's is."""
    flag = flag_name(field.name)
    is_switch = isinstance(field.default, bool)
    return click.Option(
        [f"{flag}/--no-{flag[2:]}" if is_switch else flag],
        default=None,
        metavar=None if is_switch else value_kind(field.default),
        help=f"{setting_description(field)}  [{variable_name(field.name)}; {describe_default(field.default)}]",
    )


def describe_default(default: object) -> str:
    """Show what holds when nothing is given."""
    return f"default: {spell_value(default)}" if spell_value(default) else "default: empty"


def value_kind(default: object) -> str:
    """Name the kind of value that a flag takes."""
    return {int: "N", float: "SECONDS", tuple: "A,B,..."}.get(type(default), "TEXT")


def setting_description(field: msgspec.structs.FieldInfo) -> str:
    """Read the description beside a field's type."""
    return next(str(meta.description) for meta in field.type.__metadata__ if meta.description)


def given_settings(options: dict[str, Any]) -> Settings:
    """Combine the flags that were given with the environment. Raises `UsageError`."""
    return load_settings(overrides={name: value for name, value in options.items() if value is not None})


@click.command(context_settings={"max_content_width": 110})
@click.option("--print-config", is_flag=True, help="Print the settings as JSON and exit.")
def serve(print_config: bool, **options: Any) -> None:
    """Serve the page and the API: /predict, /read, /v2 (Open Inference Protocol), /health, /metrics, /schema."""
    settings = given_settings(options)
    if print_config:
        click.echo(msgspec.json.format(msgspec.json.encode(without_secrets(settings)), indent=2))
        return
    ignore_hangup()
    begin_start()
    from service.server import serve as run

    run(settings)


settings_options()(serve)


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--number", "whole", is_flag=True, help="Read whole numbers, of up to twelve digits on one line.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
def predict(files: tuple[str, ...], whole: bool, as_json: bool, **options: Any) -> None:
    """Read the digit, or the number, in image files; `-` is standard input."""
    settings = given_settings(options)
    model = load_served_model(settings)
    read = read_number if whole else read_digit
    failures = [file for file in files if not predict_file(read, model, file, settings.max_pixels, as_json)]
    if failures:
        raise LiveDigitError(f"{len(failures)} of {len(files)} files could not be read")


settings_options("models_dir", "model_name", "model_version", "max_pixels")(predict)


def load_served_model(settings: Settings) -> Classifier:
    """Load what the server would serve. Raises `ModelNotFound` or `ArtifactError`."""
    from service.artifacts import choose_version, load_classifier

    folder = models_folder(settings) / settings.model_name
    return load_classifier(folder / str(choose_version(folder.parent, folder.name, settings.model_version)))


def read_digit(model: Classifier, image: bytes, max_pixels: int) -> tuple[PredictResponse, str]:
    """Read the digit in an image, and write it out."""
    from service.prediction import predict_image

    answer = predict_image(model, image, max_pixels)
    return answer, f"{answer.digit} ({answer.confidence:.2%})"


def read_number(model: Classifier, image: bytes, max_pixels: int) -> tuple[ReadResponse, str]:
    """Read the number in an image, and write it out."""
    from service.reading import read_number_image

    answer = read_number_image(model, image, max_pixels).response
    return answer, f"{answer.number} ({answer.confidence:.2%})"


Read = Callable[["Classifier", bytes, int], tuple["PredictResponse | ReadResponse", str]]


def predict_file(read: Read, model: Classifier, file: str, max_pixels: int, as_json: bool) -> bool:
    """Print the answer for one file, or why there is none."""
    try:
        content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
        answer, words = read(model, content, max_pixels)
    except OSError as error:
        click.echo(f"{file}: {error.strerror}", err=True)
        return False
    except LiveDigitError as error:
        click.echo(f"{file}: {error}", err=True)
        return False
    if as_json:
        click.echo(msgspec.json.encode({"file": file, **msgspec.to_builtins(answer)}))
    else:
        click.echo(f"{file}: {words}")
    return True
