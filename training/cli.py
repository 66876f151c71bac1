"""The commands `train` and `evaluate`. TensorFlow is imported when one of them runs, not before."""

from __future__ import annotations

import re
import signal
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from service.contract import MODEL_NAME, MODEL_NAME_IN_WORDS
from service.versions import next_version
from training.errors import Interrupted, writing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from service.contract import TrainingRun
    from training.assessment import Assessment
    from training.evaluate import Scores
    from training.numbers_assessment import NumberFigures
    from training.train import Order

OTHER_FOLDER = "choose another --out"
DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    envvar="LIVEDIGIT_DATA_DIR",
    help="Folder with the data sets; without it they are downloaded.  [env: LIVEDIGIT_DATA_DIR]",
)


def check_name(_: click.Context, __: click.Parameter, name: str) -> str:
    """Pass on what can be a folder's name and a model's. Raises `click.BadParameter`."""
    if not re.fullmatch(MODEL_NAME, name):
        raise click.BadParameter(f"{name!r}: expected {MODEL_NAME_IN_WORDS}")
    return name


@click.command()
@click.option("--recipe", default="strokes", show_default=True, help="strokes, strokes-held-out or baseline.")
@DATA_DIR
@click.option("--epochs", type=click.IntRange(min=1), help="Epochs to train for at most.  [default: the recipe's]")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=1,
    show_default=True,
    help="Seed of the weights and of what each epoch shows.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("artifacts/saved_models"),
    show_default=True,
    help="Folder for NAME/VERSION.",
)
@click.option("--name", default="digits", show_default=True, callback=check_name, help="Name of the model.")
@click.option("--version", type=click.IntRange(min=1), help="Version number.  [default: the next]")
@click.option(
    "--extra",
    type=click.Path(exists=True, path_type=Path),
    multiple=True,
    help="File or folder of corrections, checked by a person, to learn from as well. May be repeated.",
)
@click.option("--resume", is_flag=True, help="Continue the unfinished run of that version.")
def train(
    recipe: str,
    data_dir: Path | None,
    epochs: int | None,
    seed: int,
    out: Path,
    name: str,
    version: int | None,
    extra: tuple[Path, ...],
    resume: bool,
) -> None:
    """Train the digit classifier and write it as a SavedModel with its run.json."""
    from training.config import find_recipe
    from training.quiet import import_tensorflow

    chosen = find_recipe(recipe, epochs)
    import_tensorflow()
    from training import train as training

    with writing(out, OTHER_FOLDER):
        version = version or next_version(out / name)
    order = training.Order(chosen, data_dir, out, name, version, seed, extra)
    with telling_how_to_go_on(order):
        run = training.train(order, resume, click.echo)
    click.echo(f"{order.target}: {run.metrics['mnist_test_accuracy']:.2%} on the MNIST test set")


@contextmanager
def telling_how_to_go_on(order: Order) -> Iterator[None]:
    """Have SIGTERM clear up as Ctrl-C does, and say how the run goes on after either. Raises `Interrupted`."""
    received: list[int] = []

    def stop(number: int, _: object) -> NoReturn:
        received.append(number)
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    # What it was started to pass over, as a shell's `&` has it, it goes on to pass over.
    heeded = [each for each in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(each) != signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in heeded}
    try:
        yield
    # Whatever it is: amid the building of a graph, TensorFlow and Keras make another error of what `stop` raises.
    except BaseException as error:
        if not received or order.target.exists() or not order.workshop.exists():
            raise
        raise Interrupted(
            f"{order.workshop}: the run was interrupted: continue it with --version {order.version} --resume",
            128 + received[-1],
        ) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@click.command()
@click.argument("model", type=click.Path(exists=True, file_okay=False, path_type=Path))
@DATA_DIR
@click.option(
    "--all-writers",
    is_flag=True,
    help="Score on the strokes of all writers, not only of the six held-out ones.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for report.json and report.png, or with --numbers numbers.json and numbers.png.",
)
@click.option(
    "--card",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="SavedModel folder; the figures go into the model card that `livedigit export` writes of it.",
)
@click.option("--numbers", is_flag=True, help="Score on whole numbers instead, composed of held-out writers' strokes.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def evaluate(
    model: Path,
    data_dir: Path | None,
    all_writers: bool,
    out: Path | None,
    card: Path | None,
    numbers: bool,
    as_json: bool,
) -> None:
    """Score a model on MNIST's test images and on pen strokes, or on whole numbers.

    MODEL is the folder of a SavedModel or of a published artifact.
    """
    import msgspec

    if numbers:
        if all_writers or card:
            raise click.UsageError(
                "--numbers scores on the held-out writers alone, and writes no card: leave --all-writers and --card out"
            )
        evaluate_numbers(model, data_dir, out, as_json)
        return
    from training.assessment import assess
    from training.describe import EVALUATION_FILE, describe
    from training.runners import load_classifier, read_run

    run = read_run(model)
    if out:
        # Before the work of minutes: the folder may be out of reach, and matplotlib may be missing.
        from training.picture import draw_assessment

        make_folder(out)
    figures, answered = assess(
        load_classifier(model),
        "/".join(model.resolve().parts[-2:]),
        data_dir,
        all_writers,
        lambda step: click.echo(f"{step} ...", err=True),
    )
    encoded = msgspec.json.format(msgspec.json.encode(figures))
    # Before the files: the work of minutes is not lost where they cannot be written.
    click.echo(encoded if as_json else "\n".join(tabulate(figures)))
    if figures.strokes:
        warn_of_acquaintance(figures.strokes.writers, run)
    if out:
        with writing(out, OTHER_FOLDER):
            (out / "report.json").write_bytes(encoded + b"\n")
            draw_assessment(figures, answered, out / "report.png")
    if card:
        with writing(card, "choose another --card"):
            (card / EVALUATION_FILE).write_text(describe(figures, run), encoding="utf-8")


def warn_of_acquaintance(writers: tuple[int, ...], run: TrainingRun | None) -> None:
    """Say so where the figures are of writers from whom the model has learnt."""
    from training.describe import LEARNT_FROM, has_learnt_from

    if run and has_learnt_from(writers, run):
        click.echo(f"The model {LEARNT_FROM}: how it does on others, their figures do not tell.", err=True)


def make_folder(out: Path) -> None:
    """Make the folder for the results. Raises `OutputUnwritable`."""
    with writing(out, OTHER_FOLDER):
        out.mkdir(parents=True, exist_ok=True)


def evaluate_numbers(model: Path, data_dir: Path | None, out: Path | None, as_json: bool) -> None:
    """Score a model on whole numbers."""
    import msgspec

    from service.numbers.reading import Model
    from training.numbers_assessment import assess_numbers
    from training.runners import load_runner, read_run

    run = read_run(model)
    if out:
        from training.numbers_picture import draw_worst_numbers

        make_folder(out)
    figures, answers = assess_numbers(
        Model(load_runner(model)),
        "/".join(model.resolve().parts[-2:]),
        data_dir,
        lambda step: click.echo(f"{step} ...", err=True),
    )
    encoded = msgspec.json.format(msgspec.json.encode(figures))
    click.echo(encoded if as_json else "\n".join(tabulate_numbers(figures)))
    warn_of_acquaintance(figures.writers, run)
    if out:
        with writing(out, OTHER_FOLDER):
            (out / "numbers.json").write_bytes(encoded + b"\n")
            draw_worst_numbers(answers, out / "numbers.png")


def tabulate_numbers(figures: NumberFigures) -> Iterator[str]:
    """Write the figures on whole numbers as lines for people."""
    yield f"{figures.model}: numbers of writers {', '.join(map(str, figures.writers))}"
    yield f"{'':26} {'':8} {'numbers':>8} {'right':>8} {'length':>8} {'worst writer':>13} {'confidence':>11} {'ECE':>7}"
    for row in figures.scores:
        yield (
            f"{row.name:26} {row.form:8} {row.numbers:8,} {row.accuracy:8.2%} {row.length_accuracy:8.2%} "
            f"{row.worst_writer:13.2%} {row.confidence:11.2%} {row.calibration_error:7.2%}"
        )
    for target in figures.targets:
        yield f"{target.name:56} {target.measured:8.2%} {target.wanted:8.1%}  {'met' if target.met else 'MISSED'}"


def tabulate(figures: Assessment) -> Iterator[str]:
    """Write the figures as lines for people."""
    strokes = figures.strokes
    yield figures.model
    yield from tabulate_scores("MNIST test", figures.mnist)
    if disputed := figures.mnist_disputed:
        yield f"  {'without the disputed labels':30} {disputed.undisputed.accuracy:8.2%}"
        yield f"  {'disputed: as labelled, as seen':30} {disputed.as_labelled}, {disputed.as_seen} of {disputed.images}"
    if strokes is None:
        return
    yield from tabulate_scores(f"pen strokes, {len(strokes.writers)} writers", strokes.plain)
    if strokes.cross_fitted_calibration_error is not None:
        yield f"{'  the same, cross-fitted':32} {strokes.cross_fitted_calibration_error:8.2%}"
    shares = {
        "as drawn": strokes.as_drawn.accuracy,
        "filling the canvas": strokes.filling.accuracy,
        "worst writer": strokes.worst_writer,
        **{name: scores.accuracy for name, scores in strokes.by_condition.items()},
    }
    for name, share in shares.items():
        yield f"  {name:30} {share:8.2%}"
    for kind, area in (strokes.rejection | {f"parts, {kind}": area for kind, area in strokes.pieces.items()}).items():
        yield f"  {f'not a digit, {kind}: AUROC':30} {area:8.4f}"


def tabulate_scores(name: str, scores: Scores) -> Iterator[str]:
    """Write accuracy and calibration of a data set."""
    yield f"{name:32} {scores.accuracy:8.2%}   {scores.errors} errors of {scores.examples:,}"
    yield f"{'  calibration error':32} {scores.calibration_error:8.2%}"
