"""`python -m benchmarks reading`: what a number of four digits costs the server, against its digits one by one."""

from __future__ import annotations

import asyncio
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click
import msgspec
import numpy as np

from benchmarks.client import Client, post
from benchmarks.drawings import STROKES, encode_canvas
from benchmarks.options import COUNT, json_option
from benchmarks.payloads import JSON
from benchmarks.report import Figure, at_most, publish
from benchmarks.servers import ServerProcess, run_server
from service.preprocessing import GreyImage
from service.rendering import CANVAS_SIZE, Stroke, render_strokes

NUMBERS = ("2026", "1047", "3859", "4610")
SCALE = 0.5
"""Of a digit in a number, against the same digit alone."""
GAP = 30.0
"""Between digits, in pixels."""
PER_ROUND = 50
RATIO_TARGET = 1.5


class Questions(NamedTuple):
    """Requests about the same numbers."""

    digits: list[bytes]
    """`/predict`, a digit each: four a number."""
    images: list[bytes]
    """`/read`, a picture of the number."""
    strokes: list[bytes]
    """`/read`, its strokes."""


@click.command()
@click.option("--rounds", type=COUNT, default=9, show_default=True, help="In each, all kinds of requests take turns.")
@json_option
def reading(rounds: int, json_file: Path | None) -> None:
    """Compare POST /read of four digits with four POST /predict, in processor time of the server."""
    questions = make_questions()
    with run_server() as server:
        costs = asyncio.run(measure(server, questions, rounds))
    singles = statistics.median(cost[0] for cost in costs)
    figures = [Figure("four digits, /predict", singles * 1000, "ms")]
    for place, form in ((1, "image"), (2, "strokes")):
        ratio = statistics.median(cost[place] / cost[0] for cost in costs)
        figures.append(Figure(f"their number, /read, {form}", ratio * singles * 1000, "ms"))
        figures.append(at_most(f"the same against four /predict, {form}", ratio, RATIO_TARGET))
    publish("reading", figures, json_file)


async def measure(server: ServerProcess, questions: Questions, rounds: int) -> list[tuple[float, ...]]:
    """Give, for each round, the seconds for a number as four digits, as an image, and as strokes."""
    client = Client(server.port)
    try:
        await ask(server, client, [request for kind in questions for request in kind])
        return [
            tuple([await ask(server, client, kind) / len(NUMBERS) / PER_ROUND for kind in repeat(questions)])
            for _ in range(rounds)
        ]
    finally:
        client.close()


def repeat(questions: Questions) -> list[list[bytes]]:
    """Ask each question as often as a round does."""
    return [kind * PER_ROUND for kind in questions]


async def ask(server: ServerProcess, client: Client, requests: Sequence[bytes]) -> float:
    """Send requests one after another, and give the processor seconds that the server took."""
    before = processor_seconds(server.process.pid)
    for request in requests:
        outcome = await client.send(request)
        if outcome.status != 200:
            raise click.ClickException(f"the server answered {outcome.status}: {outcome.body[:200]!r}")
    return processor_seconds(server.process.pid) - before


def processor_seconds(pid: int) -> float:
    """Add up what the kernel has counted for a process's threads."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text(encoding="ascii").split()[0]) for task in tasks) / 1e9


def make_questions() -> Questions:
    """Write the numbers with our own drawings, and ask about them in every form."""
    digits = load_digits()
    singles = [render_strokes(digits[label]) for number in NUMBERS for label in number]
    numbers = [compose([digits[label] for label in number]) for number in NUMBERS]
    return Questions(
        [image_request("/predict", single) for single in singles],
        [image_request("/read", draw(strokes, width)) for strokes, width in numbers],
        [strokes_request(strokes, width) for strokes, width in numbers],
    )


def load_digits() -> dict[str, list[Stroke]]:
    """Read the first of our drawings of each digit."""
    drawings = json.loads(STROKES.read_text(encoding="utf-8"))
    return {
        str(drawing["label"]): [np.array(stroke, np.float64) for stroke in drawing["strokes"]]
        for drawing in reversed(drawings)
    }


def compose(digits: Sequence[Sequence[Stroke]]) -> tuple[list[Stroke], int]:
    """Put digits side by side; the strokes, and the canvas' width."""
    strokes: list[Stroke] = []
    left = GAP
    for digit in digits:
        scaled = [stroke * SCALE for stroke in digit]
        low = min(float(stroke[:, 0].min()) for stroke in scaled)
        strokes += [stroke + np.array([left - low, CANVAS_SIZE / 4]) for stroke in scaled]
        left = max(float(stroke[:, 0].max()) for stroke in strokes) + GAP
    return strokes, int(np.ceil(left))


def draw(strokes: Sequence[Stroke], width: int) -> GreyImage:
    """Draw a number on a canvas of the usual height."""
    return render_strokes(strokes, canvas_size=max(width, CANVAS_SIZE))[:CANVAS_SIZE, :width]


def image_request(path: str, grey: GreyImage) -> bytes:
    """Send a canvas as a browser encodes it."""
    return post(path, "image/png", encode_canvas(grey))


def strokes_request(strokes: Sequence[Stroke], width: int) -> bytes:
    """Send strokes as the page does."""
    body = {"strokes": [stroke.round(2).tolist() for stroke in strokes], "width": width, "height": CANVAS_SIZE}
    return post("/read", JSON, msgspec.json.encode(body))
