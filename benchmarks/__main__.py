"""`python -m benchmarks SCENARIO ...`: a table of figures, exit 1 where one misses its target."""

from __future__ import annotations

import signal
import sys
from typing import Any

import click

from benchmarks.footprint import footprint
from benchmarks.reading import reading
from benchmarks.resilience.cli import resilience
from benchmarks.speed.cli import speed
from benchmarks.speed.profile import profile
from benchmarks.speed.scaling import scaling
from benchmarks.variants import variants
from service.errors import LiveDigitError


class Measurements(click.Group):
    """Says an expected error in one line, and takes the servers that it has started along when SIGTERM ends it."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a measurement."""
        before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
        ctx.call_on_close(lambda: signal.signal(signal.SIGTERM, before))
        try:
            return super().invoke(ctx)
        except LiveDigitError as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=Measurements, context_settings={"help_option_names": ["-h", "--help"]})
def benchmarks() -> None:
    """Measure the server. The server under test is a process of its own on a free loopback port."""


benchmarks.add_command(footprint)
benchmarks.add_command(resilience)
benchmarks.add_command(speed)
benchmarks.add_command(profile)
benchmarks.add_command(scaling)
benchmarks.add_command(variants)
benchmarks.add_command(reading)

if __name__ == "__main__":
    benchmarks(prog_name="python -m benchmarks")
