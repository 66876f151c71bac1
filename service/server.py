"""Runs the application under uvicorn: one process, or a supervisor with several."""

from __future__ import annotations

import logging.config
import os
import signal
import socket
import tempfile
import time
from typing import Any

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from service.door import ACCEPTED_ALONE, ACCEPTED_BY_EACH, bar
from service.errors import LiveDigitError
from service.logs import log_config
from service.metrics import MULTIPROCESS_DIR
from service.protocol import ImpatientProtocol, ServiceConfig
from service.settings import Settings, as_environment
from service.startup import REPLACEMENT, start_app

logger = logging.getLogger(__name__)

BACKLOG = 2048
WORKER_TIMEOUT_S = 30
"""A worker that has not answered its supervisor for so long hangs; importing alone takes seconds on a busy core."""


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises `LiveDigitError` where the port cannot be had, before a worker starts, or the model cannot be served.
    """
    logging.config.dictConfig(log_config(settings))
    with bind(settings.host, settings.port) as listener:
        if settings.workers == 1:
            serve_alone(settings, listener)
        else:
            serve_with_workers(settings, listener)


def serve_alone(settings: Settings, listener: socket.socket) -> None:
    """Serve from this process."""
    server = uvicorn.Server(ServiceConfig(start_app(settings), **uvicorn_options(settings)))
    # uvicorn finishes what is in flight and then raises the signal again; a server that was asked to stop and did
    # so has done nothing wrong, so let that second signal pass and exit with 0.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    announce(listener)
    server.run(sockets=[listener])


def serve_with_workers(settings: Settings, listener: socket.socket) -> None:
    """Serve from several processes that share one listening socket.

    Raises `LiveDigitError` where the first of them cannot start, or have no folder for their metrics.
    """
    with metrics_folder() as metrics_dir:
        os.environ.update(as_environment(settings) | {MULTIPROCESS_DIR: metrics_dir})
        config = ServiceConfig(
            "service.startup:start_worker", factory=True, workers=settings.workers, **uvicorn_options(settings)
        )
        announce(listener)
        supervisor = Supervisor(config, listener, settings.drain_s)
        supervisor.run()
        if supervisor.has_failed:
            # What keeps every worker from starting is told here, once: this process meets it as they did.
            start_app(settings)
            raise LiveDigitError("a worker could not start, and starting it here shows no reason: see the log")


def metrics_folder() -> tempfile.TemporaryDirectory[str]:
    """Make the folder of the workers' metrics, which goes with the server. Raises `LiveDigitError`."""
    try:
        return tempfile.TemporaryDirectory(prefix="livedigit-metrics-")
    except OSError as error:
        raise LiveDigitError(
            f"no folder for the workers' metrics: {error.strerror}; name one in TMPDIR that can be written, "
            "or serve with --workers 1"
        ) from error


class Supervisor(Multiprocess):
    """uvicorn's supervisor; it bars the door that its workers share, and hands SIGHUP on instead of restarting them.

    It loads no model itself: that the first workers can is what they find out, and `has_failed` tells.
    """

    def __init__(self, config: ServiceConfig, listener: socket.socket, drain_s: float) -> None:
        super().__init__(config, sockets=[listener])
        self._listener = listener
        self._drain_s = drain_s

    @property
    def has_failed(self) -> bool:
        """Whether it stopped because one of the first workers could not start."""
        return any(process.exitcode == STARTUP_FAILURE for process in self.processes)

    def init_processes(self) -> None:
        """Start the first workers; whichever comes later replaces one while the others serve."""
        super().init_processes()
        self._leave_pipes_to_workers()
        os.environ[REPLACEMENT] = "true"

    def keep_subprocess_alive(self) -> None:
        """Replace the workers that have ended, and say how they did, or end where one could not start."""
        before = list(self.processes)
        super().keep_subprocess_alive()
        for process in before:
            if process not in self.processes:
                logger.warning("worker %s has ended (%s) and is replaced", process.pid, name_end(process.exitcode))
        self._leave_pipes_to_workers()

    def _leave_pipes_to_workers(self) -> None:
        """Close this process's copies of the workers' ends of the pipes over which it asks how they are.

        As long as it holds them open, it waits for `WORKER_TIMEOUT_S` for the answer of a worker that ends meanwhile.
        """
        for process in self.processes:
            process.child_conn.close()

    def terminate_all(self) -> None:
        """Tell the workers to leave, and bar the door when they start to."""
        super().terminate_all()
        time.sleep(self._drain_s)
        bar(self._listener.fileno())

    def handle_hup(self) -> None:
        """Have every worker look for a new version; one that is just starting reads the newest anyway."""
        for process in self.processes:
            if process.pid is not None and process.is_ready():
                os.kill(process.pid, signal.SIGHUP)


def name_end(exitcode: int | None) -> str:
    """Name the signal that has ended a process, or its exit status."""
    return signal.Signals(-exitcode).name if exitcode is not None and exitcode < 0 else f"status {exitcode}"


def uvicorn_options(settings: Settings) -> dict[str, Any]:
    """Translate the settings to uvicorn's."""
    return {
        "loop": "service.door:AcceptingLoop",
        "backlog": ACCEPTED_ALONE if settings.workers == 1 else ACCEPTED_BY_EACH,
        "http": ImpatientProtocol,
        "ws": "none",
        "interface": "asgi3",
        "log_config": log_config(settings),
        "access_log": False,
        "server_header": False,
        "timeout_keep_alive": settings.keep_alive_s,
        "timeout_graceful_shutdown": settings.shutdown_timeout_s,
        "timeout_worker_healthcheck": WORKER_TIMEOUT_S,
        "header_timeout_s": settings.body_timeout_s,
    }


def bind(host: str, port: int) -> socket.socket:
    """Listen, or say what stands in the way. Raises `LiveDigitError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise LiveDigitError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; choose another with --host and --port"
        ) from error
    listener.set_inheritable(True)
    return listener


def announce(listener: socket.socket) -> None:
    """Log where to point the browser."""
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    logger.info("listening on http://%s:%d", shown, port)
