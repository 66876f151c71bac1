from __future__ import annotations

import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import ClassVar

import httpx
import pytest


class Collector(BaseHTTPRequestHandler):
    """Takes spans as an OpenTelemetry collector does."""

    received: ClassVar[list[tuple[str, bytes]]] = []
    arrived = threading.Event()

    def do_POST(self) -> None:
        self.received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
        self.arrived.set()
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector():
    with HTTPServer(("127.0.0.1", 0), Collector) as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()


def test_spans_arrive_at_the_collector_with_the_route(start_server, collector):
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "OTEL_BSP_SCHEDULE_DELAY": "10"}
    server = start_server("--otel", environment=environment)
    httpx.post(f"{server.url}/predict", json={})
    assert Collector.arrived.wait(30)
    server.stop()
    assert {path for path, _ in Collector.received} == {"/v1/traces"}
    spans = b"".join(body for _, body in Collector.received)
    assert b"livedigit" in spans
    assert b"/predict" in spans


def test_without_the_extra_the_start_says_what_to_install(repo_root):
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "sys.argv = ['livedigit', 'serve', '--port', '0', '--otel']\n"
        "from service.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=repo_root, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'livedigit[otel]'" in done.stderr.splitlines()[-1]
