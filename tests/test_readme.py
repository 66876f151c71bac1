"""What the README tells a newcomer to type, typed."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import httpx
import msgspec
import pytest

from service.cli import livedigit, setting_description
from service.settings import Settings, flag_name, spell_value, variable_name

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
ADDRESS = "http://127.0.0.1:8000"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands(program: str) -> list[str]:
    lines = "\n".join(blocks("bash")).replace("\\\n", " ").splitlines()
    return [line.partition("#")[0].strip() for line in lines if re.search(rf"(^|\| ){program} ", line)]


@pytest.mark.parametrize("command", commands("curl"))
def test_every_curl_example_is_answered(server, command):
    script = command.replace("curl -s", "curl -sS --fail-with-body").replace(ADDRESS, server.url)
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", script],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert b'"error"' not in done.stdout
    if "/predict" in command:
        assert b'"digit":7' in done.stdout


def test_the_answer_shown_is_the_answer_given(server):
    """But for the last digits, which differ between processors, and for the predictions that "..." stands for."""
    shown = json.loads(blocks("json")[0])
    image = (ROOT / "export/drawings/7-canvas.png").read_bytes()
    given = httpx.post(f"{server.url}/predict", content=image, headers={"Content-Type": "image/png"}).json()
    *first, rest = shown.pop("top_predictions")
    assert rest == "..."
    for one, other in zip(first, given.pop("top_predictions"), strict=False):
        assert one == pytest.approx(other, abs=1e-5)
    assert shown.pop("confidence") == pytest.approx(given.pop("confidence"), abs=1e-5)
    assert shown == given


@pytest.mark.parametrize("program", blocks("python"))
def test_every_python_example_runs(server, program):
    subprocess.run([sys.executable, "-c", program.replace(ADDRESS, server.url)], cwd=ROOT, check=True)


@pytest.mark.parametrize("command", commands("livedigit"))
def test_every_livedigit_command_has_the_flags_that_it_is_shown_with(command, monkeypatch):
    monkeypatch.chdir(ROOT)
    _, *arguments = shlex.split(command)
    group: click.Command = livedigit
    while isinstance(group, click.Group):
        found = group.get_command(click.Context(group), arguments.pop(0))
        assert found is not None, command
        group = found
    group.make_context(command, arguments)


@pytest.mark.parametrize("command", [c for c in commands("livedigit") if re.match("livedigit (predict|models)", c)])
def test_quick_livedigit_commands_work(command):
    _, *arguments = shlex.split(command)
    subprocess.run([sys.executable, "-m", "service", *arguments], cwd=ROOT, check=True, capture_output=True)


def test_every_make_target_named_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE))
    assert {"serve", "test"} <= named <= targets


def test_the_table_of_settings_is_the_settings():
    table = README.partition("<!-- settings -->")[2].partition("<!-- /settings -->")[0].strip().splitlines()[2:]
    expected = [
        f"| `{flag_name(field.name)}` | `{variable_name(field.name)}` "
        f"| {f'`{value}`' if (value := spell_value(field.default)) else 'empty'} | {setting_description(field)} |"
        for field in msgspec.structs.fields(Settings)
    ]
    assert table == expected


def test_every_link_into_the_repository_leads_somewhere():
    links = re.findall(r"\]\((?!https?:)([^)]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
