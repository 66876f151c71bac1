from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from service.cli import livedigit
from service.errors import LiveDigitError


def invoke(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(livedigit, arguments, input=stdin)


def test_help_lists_every_command_with_a_line_of_its_own():
    output = invoke("--help").output
    for command in ("serve", "predict", "models", "train", "evaluate", "export", "verify"):
        assert f"\n  {command} " in output


def test_predict_reads_files_and_standard_input(tmp_path: Path, seven, encode):
    path = tmp_path / "seven.png"
    path.write_bytes(encode(seven))
    assert invoke("predict", str(path)).output.startswith(f"{path}: 7 (")
    assert invoke("predict", "-", stdin=encode(seven)).output.startswith("-: 7 (")


def test_predict_prints_json_for_programs(tmp_path: Path, seven, encode):
    path = tmp_path / "seven.png"
    path.write_bytes(encode(seven))
    answer = json.loads(invoke("predict", "--json", str(path)).output)
    assert (answer["file"], answer["digit"], len(answer["top_predictions"])) == (str(path), 7, 5)


def test_predict_reads_whole_numbers(tmp_path: Path, seven, encode):
    path = tmp_path / "number.png"
    pair = Image.new("L", (560, 280), 10)
    for left in (0, 280):
        pair.paste(seven, (left, 0))
    path.write_bytes(encode(pair))
    assert invoke("predict", "--number", str(path)).output.startswith(f"{path}: 77 (")
    answer = json.loads(invoke("predict", "--number", "--json", str(path)).output)
    assert (answer["file"], answer["number"], len(answer["digits"])) == (str(path), "77", 2)


def test_predict_reads_what_it_can_and_fails_for_the_rest(tmp_path: Path, seven, encode):
    good, bad = tmp_path / "seven.png", tmp_path / "notes.txt"
    good.write_bytes(encode(seven))
    bad.write_text("no image")
    result = invoke("predict", str(bad), str(tmp_path / "missing.png"), str(good))
    assert f"{good}: 7" in result.output
    assert f"{bad}: not an image" in result.output
    assert "missing.png: No such file" in result.output
    assert isinstance(result.exception, LiveDigitError)
    assert "2 of 3" in str(result.exception)


def run_failing(command: str, program: str) -> subprocess.CompletedProcess[str]:
    """Run a command whose body is `program`, as the installed `livedigit` would."""
    code = (
        "import sys; import service.cli as cli\n"
        f"def fail(**_):\n    {program}\n"
        f"command = cli.livedigit.get_command(None, {command!r})\n"
        f"command.callback, command.params = fail, []\nsys.argv = ['livedigit', {command!r}]\ncli.main()"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("command", "program", "status", "words"),
    [
        ("train", "import nowhere_to_be_found", 1, "pip install 'livedigit[training]'"),
        ("verify", "import nowhere_to_be_found", 1, "pip install 'livedigit[export]'"),
        ("predict", "import nowhere_to_be_found", 1, "install livedigit again"),
        ("predict", "1 / 0", 70, "internal error: ZeroDivisionError"),
    ],
)
def test_whatever_goes_wrong_is_one_line_and_a_status(command, program, status, words):
    done = run_failing(command, program)
    assert done.returncode == status
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
