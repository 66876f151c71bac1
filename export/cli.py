"""`livedigit export` and `livedigit verify`. Light to import: what is heavy is imported when a command runs."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from export.errors import UsageError
from service.contract import MODEL_NAME, MODEL_NAME_IN_WORDS

if TYPE_CHECKING:
    from export.exporting import Finished
    from export.parity import ParityReport

BATCH_SIZE = re.compile(r"[1-9][0-9]{0,2}")
Progress = Callable[[str], None]


@click.command(context_settings={"max_content_width": 110})
@click.argument("model")
@click.option("--name", required=True, help="Name of the published model; its folder under --out.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("artifacts/models"),
    show_default=True,
    help="Folder of the published models.",
)
@click.option("--version", "number", type=click.IntRange(min=1), help="Version number.  [default: the next free one]")
@click.option(
    "--labels", type=click.Path(path_type=Path), help="Text file with one label per line, in the order of the outputs."
)
@click.option(
    "--preprocessing",
    type=click.Choice(["digits", "none"]),
    default="none",
    show_default=True,
    help="Image pipeline of a model that has no run.json beside it.",
)
@click.option(
    "--signature", help="Signature of the SavedModel.  [default: serve, else serving_default, else the only one]"
)
@click.option("--opset", type=click.IntRange(13, 24), default=18, show_default=True, help="ONNX operator set.")
@click.option(
    "--variant",
    type=click.Choice(["int8", "fp16"]),
    help="Publish a smaller form as NAME-VARIANT, if it decides alike on --data.",
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Labelled images for --variant: an .npz of at least 1,256 tensors and as many integers.",
)
@click.option("--dry-run", is_flag=True, help="Do everything but publish.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def export(
    model: str,
    name: str,
    out: Path,
    number: int | None,
    labels: Path | None,
    preprocessing: str,
    signature: str | None,
    opset: int,
    variant: Literal["int8", "fp16"] | None,
    data: Path | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Export MODEL to ONNX, prove that it agrees with TensorFlow, and publish it.

    MODEL is a SavedModel folder, a .keras or .h5 file, or module:function returning a Keras model. Nothing is published
    that does not agree, and no version is ever overwritten.

    Exit codes: 0 published; 1 disagreement, or writing failed; 2 usage; 3 cannot be exported; 4 a file is damaged.
    """
    from export.exporting import ExportOrder, export_model
    from service.preprocessing import DIGITS

    order = ExportOrder(
        model=model,
        name=check_name(name),
        out=out,
        version=number,
        labels=read_labels(labels) if labels else None,
        preprocessing=DIGITS if preprocessing == "digits" else None,
        signature=signature,
        opset=opset,
        variant=variant,
        data=data,
        dry_run=dry_run,
    )
    with show_progress() as progress:
        finished = export_model(order, progress)
    click.echo(encode_finished(finished) if as_json else describe_finished(finished))


@click.command(context_settings={"max_content_width": 110})
@click.argument("model", required=False)
@click.argument("onnx", required=False, type=click.Path(path_type=Path))
@click.option(
    "--golden",
    type=click.Path(path_type=Path),
    help="Folder of a published version to check instead; needs no TensorFlow.",
)
@click.option("--data", type=click.Path(path_type=Path), help="Your own images: a folder, or an .npz with tensors.")
@click.option(
    "--batch", "batches", default="1,2,7,64", show_default=True, help="Batch sizes to compare at, comma-separated."
)
@click.option("--signature", help="Signature of the SavedModel.")
@click.option(
    "--report",
    "folder",
    type=click.Path(path_type=Path),
    help="Folder for parity.json and, on failure, a reproduction.",
)
@click.option("--junit", type=click.Path(path_type=Path), help="File for a JUnit report.")
@click.option("--markdown", type=click.Path(path_type=Path), help="File for a Markdown report; appended to.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.pass_context
def verify(
    context: click.Context,
    model: str | None,
    onnx: Path | None,
    golden: Path | None,
    data: Path | None,
    batches: str,
    signature: str | None,
    folder: Path | None,
    junit: Path | None,
    markdown: Path | None,
    as_json: bool,
) -> None:
    """Prove that ONNX, a file, computes what MODEL computes; or say where they differ.

    MODEL is a SavedModel folder, a .keras or .h5 file, or module:function returning a Keras model.

    Exit codes: 0 they agree; 1 they do not; 2 usage; 3 cannot be compared; 4 a file is damaged.
    """
    if golden is not None:
        refuse_beside_golden(context)
        context.exit(check_golden(context, golden))
    if model is None or onnx is None:
        raise UsageError("verify takes a MODEL and an ONNX file, or --golden ARTIFACT")
    from export.report import describe_report, refuse_to_overwrite, write_reports
    from export.verifying import VerifyOrder, verify_model

    refuse_to_overwrite(folder, list(filter(None, (junit, markdown))), list(filter(None, (Path(model), onnx, data))))
    order = VerifyOrder(model=model, onnx=onnx, data=data, batches=read_batches(batches), signature=signature)
    with show_progress() as progress:
        verified = verify_model(order, progress)
    click.echo(encode_report(verified.report) if as_json else describe_report(verified.report))
    write_reports(verified, folder, junit, markdown)
    context.exit(0 if verified.report.verdict == "agree" else 1)


def refuse_beside_golden(context: click.Context) -> None:
    """Refuse what the replay of golden examples would ignore. Raises `UsageError`."""
    given = [
        parameter.opts[0] if isinstance(parameter, click.Option) else parameter.human_readable_name
        for parameter in context.command.params
        if parameter.name != "golden"
        and context.get_parameter_source(str(parameter.name)) is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        raise UsageError(f"--golden stands alone and writes no report: leave out {', '.join(given)}")


def check_golden(context: click.Context, folder: Path) -> int:
    """Hand over to `livedigit models check`, which the slim install brings. Raises `UsageError` without it."""
    root = context.find_root()
    group = root.command
    models = group.get_command(root, "models") if isinstance(group, click.Group) else None
    check = models.get_command(root, "check") if isinstance(models, click.Group) else None
    if check is None:
        raise UsageError("--golden needs the `livedigit` command with its `models check`")
    check.main([str(folder)], prog_name="livedigit models check", standalone_mode=False)
    return 0


def read_batches(text: str) -> tuple[int, ...]:
    """Read batch sizes separated by commas. Raises `UsageError`."""
    sizes = [part.strip() for part in text.split(",")]
    if not all(BATCH_SIZE.fullmatch(size) for size in sizes):
        raise UsageError(f"--batch {text!r}: expected numbers from 1 to 999 separated by commas")
    return tuple(map(int, sizes))


def encode_report(report: ParityReport) -> str:
    """Write a report for programs."""
    import msgspec

    return msgspec.json.encode(report).decode()


def check_name(name: str) -> str:
    """Refuse a name that is no plain folder name. Raises `UsageError`."""
    if not re.fullmatch(MODEL_NAME, name):
        raise UsageError(f"--name {name!r}: expected {MODEL_NAME_IN_WORDS}")
    return name


def read_labels(path: Path) -> tuple[str, ...]:
    """Read one label per line. Raises `UsageError`."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: cannot be read as labels: {error}") from error
    return tuple(line.strip() for line in lines if line.strip())


@contextmanager
def show_progress() -> Iterator[Progress]:
    """Report steps on standard error: a spinner on a terminal, a line per step elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda step: print(f"{step} ...", file=sys.stderr, flush=True)  # noqa: T201 - a program's log
        return
    with console.status("starting") as status:
        yield lambda step: status.update(f"{step} ...")


def describe_finished(finished: Finished) -> str:
    """Say what was published, for people."""
    place = (
        f"published {finished.folder}"
        if finished.folder
        else f"dry run of version {finished.version}: nothing published"
    )
    return f"{finished.report.summary}\n{place} ({finished.nodes} nodes, sha256 {finished.sha256[:12]})"


def encode_finished(finished: Finished) -> str:
    """Say what was published, for programs."""
    import msgspec

    fields = {
        "folder": str(finished.folder) if finished.folder else None,
        "version": finished.version,
        "sha256": finished.sha256,
        "nodes": finished.nodes,
        "verdict": finished.report.verdict,
        "summary": finished.report.summary,
        "differences": finished.report.differences,
    }
    return msgspec.json.encode(fields).decode()
