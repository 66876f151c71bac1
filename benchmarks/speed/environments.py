"""A virtual environment for each contender, exact versions, kept between runs; and one as a user of ours would have."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from benchmarks.footprint import disk_bytes

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = ROOT / ".bench"
REQUIREMENTS = ROOT / "benchmarks/contenders/requirements"
UV = (sys.executable, "-m", "uv")
STAMP = "requirements.sha256"


def prepare_environment(name: str, requirements: Path) -> Path:
    """Make the environment unless it stands already with these requirements, and give its folder."""
    folder = CACHE / name
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    stamp = folder / STAMP
    if not stamp.exists() or stamp.read_text(encoding="ascii") != wanted:
        click.echo(f"setting up {folder.relative_to(ROOT)}", err=True)
        run(*UV, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
        install(folder, "--require-hashes", "-r", str(requirements))
        stamp.write_text(wanted, encoding="ascii")
    return folder


def prepare_ours() -> Path:
    """Make the environment that `pip install livedigit` makes, with the wheel of this checkout."""
    folder = prepare_environment("livedigit", ROOT / "requirements/serve.txt")
    with tempfile.TemporaryDirectory(prefix="livedigit-wheel-") as wheels:
        run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", wheels, str(ROOT))
        (wheel,) = Path(wheels).glob("*.whl")
        install(folder, "--no-deps", "--reinstall", str(wheel))
    return folder


def install(folder: Path, *what: str) -> None:
    """Install and compile, as pip does."""
    run(*UV, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(folder / "bin/python"), *what)


def run(*command: str) -> str:
    """Run a command and give what it prints. Raises `click.ClickException` with that where it fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def size_mb(folder: Path) -> float:
    """Weigh what is installed in an environment, pip left out."""
    (packages,) = folder.glob("lib/python*/site-packages")
    return (disk_bytes(packages) - sum(map(disk_bytes, packages.glob("pip*")))) / 1e6
