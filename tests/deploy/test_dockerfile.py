"""The Dockerfile without Docker: what it promises, and its own commands in a clean folder and environment."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from service.settings import load_settings

ROOT = Path(__file__).resolve().parent.parent.parent
PREFIX = "/opt/livedigit"
NOBODY = 65534
START_TIMEOUT_S = 60


class Instruction(NamedTuple):
    name: str
    argument: str


def read_stages() -> list[list[Instruction]]:
    """The instructions of each stage; a backslash continues a line, and its comments are dropped."""
    text = re.sub(r"^#.*\n", "", (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = [line.strip() for line in text.replace("\\\n", " ").splitlines() if line.strip()]
    stages: list[list[Instruction]] = []
    for line in lines:
        name, _, argument = line.partition(" ")
        if name == "FROM":
            stages.append([])
        stages[-1].append(Instruction(name, argument.strip()))
    return stages


BUILD, FINAL = read_stages()


def arguments(stage: list[Instruction], name: str) -> list[str]:
    return [instruction.argument for instruction in stage if instruction.name == name]


def only(stage: list[Instruction], name: str) -> str:
    (argument,) = arguments(stage, name)
    return argument


def variables(stage: list[Instruction]) -> dict[str, str]:
    pairs = (pair.split("=", 1) for argument in arguments(stage, "ENV") for pair in argument.split())
    return dict(pairs)


def health_check() -> list[str]:
    return list(json.loads(only(FINAL, "HEALTHCHECK").partition("CMD ")[2]))


def test_every_command_is_in_exec_form():
    commands = [*arguments(BUILD, "RUN"), *arguments(FINAL, "RUN"), only(FINAL, "ENTRYPOINT"), only(FINAL, "CMD")]
    assert all(isinstance(json.loads(command), list) for command in commands)


def test_the_final_stage_runs_as_nobody_in_particular_and_installs_nothing():
    assert only(FINAL, "USER") == "10001:10001"
    assert arguments(FINAL, "COPY") == [f"--from=build {PREFIX} {PREFIX}"]
    assert not any("install" in json.loads(command) for command in arguments(FINAL, "RUN"))
    assert only(FINAL, "STOPSIGNAL") == "SIGTERM"


def test_packages_are_held_against_their_hashes():
    installs = [json.loads(command) for command in arguments(BUILD, "RUN") if "install" in command]
    assert [("--require-hashes" in command, "--no-deps" in command) for command in installs] == [
        (True, False),
        (False, True),
    ]


def test_the_settings_are_accepted_and_the_port_is_exposed():
    settings = load_settings(variables(FINAL))
    assert (settings.host, settings.log_format) == ("0.0.0.0", "json")  # noqa: S104
    assert only(FINAL, "EXPOSE") == str(settings.port)


def documented(command: str) -> list[str]:
    """The commands that the file's head names."""
    text = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8")
    return re.findall(rf"^# (docker {command} .*)$", text, re.MULTILINE)


def test_docker_waits_longer_than_a_stop_takes(longest_stop_s):
    longest_s = longest_stop_s(load_settings(variables(FINAL)))
    timeouts = [re.findall(r"--stop-timeout (\d+)", run) for run in documented("run")]
    assert timeouts
    assert all(len(given) == 1 and float(given[0]) > longest_s for given in timeouts)


@pytest.fixture
def free_port() -> int:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        return int(holder.getsockname()[1])


def check_health(port: int, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, *health_check()[1:]],
        env={**os.environ, "LIVEDIGIT_PORT": str(port), **environment},
        capture_output=True,
        check=False,
    )


def test_the_health_check_tells_a_live_server_from_none(server, free_port):
    for port, is_healthy in ((server.port, True), (free_port, False)):
        done = check_health(port)
        assert (done.returncode == 0) == is_healthy, done.stderr


def test_the_health_check_asks_no_proxy(server, free_port):
    """Docker's client sets these in every container where its user has a proxy, `no_proxy` as its manual has it."""
    done = check_health(server.port, http_proxy=f"http://127.0.0.1:{free_port}", no_proxy="127.0.0.0/8")
    assert done.returncode == 0, done.stderr


def copy_context(folder: Path) -> None:
    """Copy what `.dockerignore` lets through, as `COPY . .` does."""
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name in kept:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            shutil.copy(source, target)


def run_stage(stage: list[Instruction], source: Path, prefix: Path) -> None:
    """Carry out a stage's COPY and RUN with this Python, under another prefix."""
    python = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    environment = {**os.environ, **variables(stage)}
    for instruction in stage:
        if instruction.name == "COPY":
            copy_context(source)
        if instruction.name == "RUN":
            command = [argument.replace(PREFIX, str(prefix)) for argument in json.loads(instruction.argument)]
            assert command[0] == "python"
            subprocess.run([python, *command[1:]], cwd=source, env=environment, check=True)


@pytest.mark.skipif(not os.environ.get("CI"), reason="installs packages; `CI=1 pytest tests/deploy/test_dockerfile.py`")
def test_its_commands_make_a_server_that_needs_no_rights_and_no_place_to_write(tmp_path, free_port):
    """The image's content, built by the Dockerfile's commands, run by a user who may write nowhere."""
    prefix, source = tmp_path / "prefix", tmp_path / "source"
    source.mkdir()
    run_stage(BUILD, source, prefix)
    shutil.rmtree(source)
    assert not [path.name for path in prefix.glob("lib/python*/site-packages/*") if path.name in ("pip", "tensorflow")]
    environment = {**variables(FINAL), "PATH": f"{prefix}/bin:/usr/bin:/bin", "LIVEDIGIT_PORT": str(free_port)}
    command = [prefix / "bin" / json.loads(only(FINAL, "ENTRYPOINT"))[0], *json.loads(only(FINAL, "CMD"))]
    for folder in (prefix, tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    rights = rights_of_nobody(prefix / "bin/python")
    with subprocess.Popen(command, cwd="/", env=environment, **rights) as process:
        try:
            wait_until_ready(f"http://127.0.0.1:{free_port}/v2/health/ready")
            check = subprocess.run([prefix / "bin/python", *health_check()[1:]], env=environment, check=False, **rights)
            assert check.returncode == 0
        finally:
            process.terminate()
    assert process.returncode == 0


def rights_of_nobody(python: Path) -> dict[str, Any]:
    """Give up every right, where we have them and the interpreter lies where anybody may run it."""
    is_open = all(folder.stat().st_mode & 0o001 for folder in python.resolve().parents)
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 and is_open else {}


def wait_until_ready(url: str) -> None:
    transport = httpx.HTTPTransport(retries=10)
    with httpx.Client(transport=transport, timeout=START_TIMEOUT_S) as client:
        assert client.get(url).status_code == 200
