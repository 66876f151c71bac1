"""The comparison's pure parts: what is sent, what counts as right, and how figures come from rounds."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import struct
import sys
import zlib
from pathlib import Path

import click
import msgspec
import numpy as np
import pytest
from PIL import Image

from benchmarks.client import Fault, Outcome, get
from benchmarks.drawings import STROKES, Digit, Drawing, encode_canvas, imitate, shrink
from benchmarks.load import Load, Tally
from benchmarks.payloads import predict_body
from benchmarks.report import make_report
from benchmarks.servers import ServerFailed
from benchmarks.speed.contenders import CONTENDERS, DEMONSTRATION, OURS, Contender, environment
from benchmarks.speed.cores import running_on, two_cores
from benchmarks.speed.environments import REQUIREMENTS, ROOT
from benchmarks.speed.figures import Gauge, SpeedReport, capacity, make_figures, make_rows
from benchmarks.speed.plot import draw_plot
from benchmarks.speed.processes import cpu_s, memory_kb, run_contender
from benchmarks.speed.profile import parse_timing, split
from benchmarks.speed.readme import END, START, as_markdown, rewrite_readme
from benchmarks.speed.rounds import QUICK, Limit, OwnRound, Round, ServerMemory, ServerRound, alternating
from benchmarks.speed.samples import Sample, WorkersSample, refuse_failures, saturate, saturate_workers
from benchmarks.speed.scaling import POWERS, Point, ScalingReport, draw_scaling
from benchmarks.speed.stages import measure_stages
from benchmarks.speed.workloads import Workload, check_digits, check_tensors, make_batches
from service.models import ModelStore
from service.preprocessing import prepare_image
from service.settings import Settings

DIGITS = msgspec.json.decode(STROKES.read_bytes(), type=list[Digit])
PROBABILITIES = np.eye(10, dtype=np.float32)[[7, 3]] * np.float32(0.9)
GONE = 2**22 + 1
"""No process has this number: it is above the kernel's highest."""


def sample(rate: float = 100.0, p50: float = 1.0, p99: float = 2.0) -> Sample:
    return Sample(images_per_s=rate, images_per_cpu_s=2 * rate, p50_ms=p50, p99_ms=p99, client_share=0.1)


def server_round(rate: float, start_s: float) -> ServerRound:
    return ServerRound(
        start_s=start_s, start_cpu_s=2 * start_s, lone=sample(), full=sample(rate), rss_mb=100.0, pss_mb=80.0
    )


def whole_round(drift: float = 1.0) -> Round:
    """A round in which all targets are met exactly, or nearly; the machine is so much faster as `drift` says."""
    servers = {contender.name: server_round(50 * drift, 3.0) for contender in CONTENDERS}
    servers[DEMONSTRATION] = server_round(100 * drift, 3.0)
    servers[OURS] = server_round(300 * drift, 0.6)
    ours = OwnRound(
        page=sample(500 * drift),
        tensor=sample(1000 * drift),
        batch=sample(850 * drift),
        half=sample(p50=1.0, p99=3.0),
        one_worker=WorkersSample(sample(100.0), busier_share=1.0),
        two_workers=WorkersSample(sample(90.0), busier_share=0.5),
        stages_limit=Limit(400 * drift, 800 * drift),
        batch_limit=Limit(1000 * drift, 2000 * drift),
    )
    return Round(servers, ours)


SEVEN_SERVER = """
import http.server, sys

class Seven(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "11")
        self.end_headers()
        self.wfile.write(b'{"digit":7}')

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Seven).serve_forever()
"""
SEVEN = Workload([get("/")], lambda _, body: body == b'{"digit":7}')
SIZES = {contender.name: 400.0 for contender in CONTENDERS} | {OURS: 100.0}


def report_of(*rounds: Round) -> SpeedReport:
    figures = make_figures(rounds, ServerMemory(90.0, 60.0), SIZES, Gauge(by_cpu=False))
    return SpeedReport(
        **msgspec.structs.asdict(make_report("speed", figures)) | {"machine": {"cpu": "a processor", "python": "3.11"}},
        measured="2026-01-01",
        by_cpu=False,
        drawings="nobody",
        plan=QUICK,
        contenders=make_rows(rounds, SIZES, Gauge(by_cpu=False)),
        rounds=rounds,
    )


def test_an_imitated_canvas_is_encoded_as_chromium_does():
    canvas, _ = imitate(DIGITS[0].strokes)
    image = Image.open(io.BytesIO(canvas))
    assert (image.size, image.mode) == ((280, 280), "RGBA")
    rows = zlib.decompress(idat_of(canvas))
    assert set(rows[:: 280 * 4 + 1]) == {2}


def idat_of(png: bytes) -> bytes:
    start = png.index(b"IDAT")
    (length,) = struct.unpack(">I", png[start - 4 : start])
    return png[start + 4 : start + 4 + length]


@pytest.mark.parametrize("digit", [DIGITS[0], DIGITS[-1]], ids=lambda digit: digit.label)
def test_canvas_and_page_of_a_drawing_are_the_same_picture(digit):
    canvas, page = imitate(shrink(digit.strokes))
    assert len(page) < len(canvas)
    np.testing.assert_array_equal(prepare_image(canvas).tensor, prepare_image(page).tensor)


def test_the_up_filter_gives_the_pixels_back():
    grey = np.random.default_rng(1).integers(0, 256, (5, 7), np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode_canvas(grey))).convert("L")), grey)


@pytest.mark.parametrize(
    ("digit", "confidence", "is_right"), [(7, 0.9, True), (7, 0.90001, True), (7, 0.8, False), (3, 0.9, False)]
)
def test_an_answer_is_right_by_digit_and_confidence(digit, confidence, is_right):
    body = msgspec.json.encode({"digit": digit, "confidence": confidence, "top_predictions": []})
    assert check_digits(PROBABILITIES)(0, body) is is_right


@pytest.mark.parametrize(("index", "is_right"), [(0, True), (1, False)])
def test_a_binary_answer_is_right_by_its_last_tensor(index, is_right):
    body = b'{"outputs": []}' + PROBABILITIES[0].tobytes()
    assert check_tensors(PROBABILITIES[:, np.newaxis])(index, body) is is_right


@pytest.mark.parametrize(
    "outcome", [Outcome(503, 0.1, 1.0), Outcome(0, 0.1, 1.0, Fault.DROPPED), Outcome(0, 0.1, 1.0, Fault.REFUSED)]
)
def test_a_failed_answer_ends_the_run(outcome):
    tally = Tally()
    tally.add(outcome)
    with pytest.raises(click.ClickException, match="1 failed"):
        refuse_failures(tally)


def test_a_run_without_answers_does_not_count():
    with pytest.raises(click.ClickException, match="does not count"):
        refuse_failures(Tally())


def test_a_wrong_answer_ends_the_run():
    with pytest.raises(click.ClickException, match="1 are wrong"):
        refuse_failures(load_with_check(lambda index, body: index != 1 or body != b"ok"))


def test_right_answers_let_it_go_on():
    refuse_failures(load_with_check(lambda _, body: body == b"ok"))


def load_with_check(check) -> Tally:
    """Three requests, each answered with `ok`."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError), contextlib.closing(writer):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async def main() -> Tally:
        async with await asyncio.start_server(converse, "127.0.0.1", 0) as server:
            load = Load(server.sockets[0].getsockname()[1], [get("/")] * 3, 1, check=check)
            return await load.pace(rate=300, duration_s=0.01, awake_s=0.001)

    return asyncio.run(main())


def test_targets_that_are_just_met_are_met():
    figures = report_of(whole_round()).figures
    assert [figure.name for figure in figures if not figure.passed] == []


def test_ratios_are_taken_within_a_round():
    drifting = report_of(whole_round(), whole_round(drift=0.5), whole_round(drift=2.0))
    assert [figure.value for figure in drifting.figures] == [
        figure.value for figure in report_of(whole_round()).figures
    ]


def test_a_figure_is_the_median_with_its_range():
    slow, fast = whole_round(), whole_round()
    slow.servers[OURS] = server_round(200.0, 0.6)
    fast.servers[OURS] = server_round(900.0, 0.6)
    figure = report_of(slow, whole_round(), fast).figures[0]
    assert (figure.value, figure.spread) == (3.0, (2.0, 9.0))


def test_workers_that_share_badly_are_as_slow_as_the_busier():
    unfair = whole_round()
    ours = msgspec.structs.replace(unfair.ours, two_workers=WorkersSample(sample(90.0), busier_share=0.9))
    assert capacity(ours.two_workers) == pytest.approx(capacity(ours.one_worker))


def test_a_missed_target_fails_the_report():
    slow = whole_round()
    slow.servers[OURS] = server_round(299.0, 0.6)
    report = report_of(slow)
    assert not report.passed
    assert "MISSED" in as_markdown(report)


def test_cpu_time_is_counted_where_asked_for():
    gauge = Gauge(by_cpu=True)
    assert gauge.rate(sample(100.0)) == 200.0
    assert gauge.limit(Limit(1.0, 2.0)) == 2.0
    assert gauge.start(server_round(1.0, 3.0)) == 6.0


def test_a_run_by_cpu_time_says_what_its_latencies_are():
    report = report_of(whole_round())
    busy = msgspec.structs.replace(report, by_cpu=True)
    assert ["by the clock" in as_markdown(each) for each in (report, busy)] == [False, True]


def test_a_report_survives_its_file():
    report = report_of(whole_round())
    assert msgspec.json.decode(msgspec.json.encode(report), type=SpeedReport) == report


def test_the_readme_is_rewritten_between_its_markers_alone(tmp_path: Path):
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{START}\nold\n{END}\nafter\n")
    rewrite_readme(readme, report_of(whole_round()))
    text = readme.read_text()
    assert text.startswith(f"before\n{START}\n| Server |")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text


def test_a_readme_without_markers_is_left_alone(tmp_path: Path):
    readme = tmp_path / "README.md"
    readme.write_text("nothing\n")
    with pytest.raises(click.ClickException, match="speed"):
        rewrite_readme(readme, report_of(whole_round()))
    assert readme.read_text() == "nothing\n"


def test_the_readme_shows_all_contenders_and_all_targets():
    table = (ROOT / "README.md").read_text(encoding="utf-8").partition(START)[2].partition(END)[0]
    report = report_of(whole_round())
    rows = [row.title for row in report.contenders] + [figure.name for figure in report.figures]
    assert [row for row in rows if f"| {row} |" not in table] == []


def test_the_plot_names_everybody_and_is_the_same_each_time(tmp_path: Path):
    files = [tmp_path / "first.svg", tmp_path / "second.svg"]
    for file in files:
        draw_plot(report_of(whole_round(), whole_round(drift=0.9)), file)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert [row.title for row in CONTENDERS if row.title not in files[0].read_text()] == []


def test_every_other_round_runs_the_other_way():
    assert alternating(CONTENDERS, 1) == list(CONTENDERS)[::-1] == alternating(alternating(CONTENDERS, 0), 1)


@pytest.mark.parametrize("contender", [each for each in CONTENDERS if each.name != OURS], ids=lambda each: each.name)
def test_contenders_have_exact_versions_with_hashes_and_without_addresses(contender):
    text = contender.requirements.read_text()
    assert (REQUIREMENTS / f"{contender.name}.in").exists()
    pins = [line for line in text.splitlines() if re.match("[a-z0-9]", line)]
    assert pins
    assert all(re.match(r"\S+==\S+ ", pin) for pin in pins)
    assert text.count("--hash=sha256:") >= len(pins)
    assert "//" not in text


def test_ours_is_started_as_it_comes_and_the_others_find_the_shared_modules(monkeypatch):
    monkeypatch.setenv("LIVEDIGIT_WORKERS", "9")
    by_name = {contender.name: environment(contender) for contender in CONTENDERS}
    assert "LIVEDIGIT_WORKERS" not in by_name[OURS]
    assert "PYTHONPATH" not in by_name[OURS]
    assert by_name[DEMONSTRATION]["PYTHONPATH"] == str(ROOT)


def test_one_core_is_refused_in_one_line():
    with running_on({min(os.sched_getaffinity(0))}), pytest.raises(click.ClickException, match="two cores"):
        two_cores()


def test_a_process_that_is_gone_uses_nothing():
    assert (cpu_s(GONE), memory_kb(GONE, "Rss")) == (0.0, 0)
    assert cpu_s(os.getpid()) > 0
    assert memory_kb(os.getpid(), "Rss") >= memory_kb(os.getpid(), "Pss") > 0


def python_contender(program: str) -> Contender:
    return Contender(OURS, "a program", lambda _, port: [sys.executable, "-c", program, str(port)])


def test_a_contender_is_timed_weighed_and_ended():
    cores = os.sched_getaffinity(0)
    with run_contender(python_contender(SEVEN_SERVER), ROOT, cores, SEVEN) as process:
        assert process.pids() == [process.pid]
        assert process.start_s > 0
        assert process.memory_mb("Rss") > 1
        found = saturate(process, SEVEN, 2, 0.05)
        assert found.p99_ms >= found.p50_ms > 0
        assert found.images_per_s > 0
        assert saturate_workers(process, SEVEN, 2, 0.05).busier_share == 1.0
    assert not Path(f"/proc/{process.pid}").exists()


def test_a_contender_that_ends_is_reported_with_its_words():
    program = "raise SystemExit('no model here')"
    with (
        pytest.raises(ServerFailed, match=r"(?s)ended with 1.*no model here"),
        run_contender(python_contender(program), ROOT, os.sched_getaffinity(0), SEVEN),
    ):
        pass


def drawings(count: int) -> tuple[Drawing, ...]:
    return tuple(Drawing(int(digit.label), *imitate(digit.strokes)) for digit in DIGITS[:count])


def test_batches_hold_every_drawing_once():
    workload = make_batches(drawings(4), 2)
    assert (len(workload.requests), workload.images) == (2, 2)


def test_a_misread_drawing_is_no_measure():
    (drawing,) = drawings(1)
    with pytest.raises(click.ClickException, match="misreads"):
        make_batches((msgspec.structs.replace(drawing, digit=5),), 1)


def test_the_stages_that_are_timed_are_those_of_the_server():
    store = ModelStore(Settings())
    store.load()
    images = [drawing.canvas for drawing in drawings(2)]
    stages = measure_stages(store.serving(), images, 0.0)
    assert set(stages) == {"decode", "preprocess", "infer", "five likeliest", "write the answer"}
    assert stages["decode"] > 0
    in_json = [predict_body(image) for image in images]
    assert set(measure_stages(store.serving(), in_json, 0.0)) == {"JSON and base64", *stages}


def test_the_parts_of_a_request_add_up():
    found = split("a request", 100.0, {"decode": 40.0, "infer": 20.0}, 15.0, {})
    assert sum(found.parts_us.values()) == found.cpu_us == 100.0
    assert min(found.parts_us.values()) == 15.0


def test_server_timing_is_read():
    assert parse_timing("decode;dur=0.512, total;dur=1.250") == {"decode": 0.512, "total": 1.25}


def test_every_curve_of_the_scaling_plot_is_in_sight():
    points = tuple(
        Point(load=load, workers=workers, connections=power, batch=power, sample=sample(power * rate))
        for load, workers, rate in (("/predict", 1, 10.0), ("/predict", 2, 1000.0), ("/v2", 1, 10.0))
        for power in POWERS
    )
    report = ScalingReport(**msgspec.structs.asdict(make_report("scaling", [])), points=points)
    connections, batches = draw_scaling(report).axes
    assert [len(axes.lines) for axes in (connections, batches)] == [2, 1]
    assert connections.get_ylim()[0] == 0
    assert connections.get_ylim()[1] >= 64_000
