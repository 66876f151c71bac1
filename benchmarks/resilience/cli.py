"""`python -m benchmarks resilience SCENARIO`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import click
import uvloop

from benchmarks.options import COUNT, Duration, json_option
from benchmarks.report import Figure, publish
from benchmarks.resilience.fuzz import fuzz
from benchmarks.resilience.kill import kill
from benchmarks.resilience.overload import overload
from benchmarks.resilience.sigterm import sigterm
from benchmarks.resilience.soak import soak
from benchmarks.resilience.swaps import swaps

workers_option = click.option(
    "--workers", type=COUNT, default=1, show_default=True, help="Worker processes of the server."
)


def minutes_option(default: float) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add `--minutes`."""
    return click.option(
        "--minutes", type=Duration(), default=default, show_default=True, help="How long the load lasts."
    )


def run(scenario: str, measuring: Coroutine[Any, Any, list[Figure]], json_file: Path | None) -> None:
    """Measure and publish."""
    publish(f"resilience {scenario}", uvloop.run(measuring), json_file)


@click.group()
def resilience() -> None:
    """Stress the server and hold what happens against what was promised."""


@resilience.command("soak")
@minutes_option(10.0)
@workers_option
@json_option
def soak_command(minutes: float, workers: int, json_file: Path | None) -> None:
    """80% load for long: zero errors, flat memory."""
    run("soak", soak(minutes * 60, workers), json_file)


@resilience.command("overload")
@minutes_option(1.0)
@workers_option
@json_option
def overload_command(minutes: float, workers: int, json_file: Path | None) -> None:
    """10x load: every request answered 200 or 503, none above 2 s, flat memory."""
    run("overload", overload(minutes * 60, workers), json_file)


@resilience.command("swaps")
@click.option("--count", type=COUNT, default=200, show_default=True, help="How many versions are published.")
@json_option
def swaps_command(count: int, json_file: Path | None) -> None:
    """New versions under load: zero failed requests."""
    run("swaps", swaps(count), json_file)


@resilience.command("sigterm")
@click.option("--rounds", type=COUNT, default=50, show_default=True, help="How many servers are stopped.")
@click.option("--seed", default=1, show_default=True, help="Of the moments at which they are stopped.")
@workers_option
@json_option
def sigterm_command(rounds: int, seed: int, workers: int, json_file: Path | None) -> None:
    """SIGTERM under load: zero dropped requests, exit status 0."""
    run("sigterm", sigterm(rounds, workers, seed), json_file)


@resilience.command("kill")
@click.option("--rounds", type=COUNT, default=5, show_default=True, help="How many workers are killed.")
@json_option
def kill_command(rounds: int, json_file: Path | None) -> None:
    """kill -9 of a worker under load: only what it held is lost, back within 2 s."""
    run("kill", kill(rounds), json_file)


@resilience.command("fuzz")
@click.option("--cases", type=COUNT, default=100_000, show_default=True, help="How many spoilt requests are sent.")
@click.option(
    "--first",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Number of the first; with --cases 1, repeats one.",
)
@click.option("--seed", default=1, show_default=True, help="Of how they are spoilt.")
@json_option
def fuzz_command(cases: int, first: int, seed: int, json_file: Path | None) -> None:
    """Spoilt images and tensors: zero 5xx other than 503, zero dead workers."""
    run("fuzz", fuzz(cases, first, seed), json_file)
