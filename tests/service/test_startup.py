"""How a process starts, seen in a fresh interpreter each time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from service.process import call_c


@pytest.fixture
def fresh(repo_root: Path):
    """Run a program in a fresh interpreter; what it prints, read as JSON."""

    def run(program: str) -> Any:
        done = subprocess.run([sys.executable, "-c", program], cwd=repo_root, capture_output=True, check=True)
        return json.loads(done.stdout)

    return run


def test_an_application_starts_without_what_it_has_no_use_for(fresh):
    program = """
import json, os, sys
from service.settings import Settings
from service.startup import start_app
app = start_app(Settings())
name = app.state.service.models.serving().manifest.name
print(json.dumps([name, sorted(sys.modules), os.environ["OPENBLAS_NUM_THREADS"]]))
"""
    name, modules, threads = fresh(program)
    assert name == "digits"
    assert {"PIL.WebPImagePlugin", "litestar"} <= set(modules)
    assert not {"PIL.PdfImagePlugin", "yaml.dumper", "faker", "rich"} & set(modules)
    assert threads == "1"


def test_a_package_put_off_is_whole_once_it_is_used(fresh):
    program = """
import json, sys
from service.process import begin_start
begin_start()
import yaml
before = "yaml.dumper" in sys.modules
print(json.dumps([before, yaml.dump({"digit": 7}), yaml.safe_load("digit: 7")]))
"""
    assert fresh(program) == [False, "digit: 7\n", {"digit": 7}]


def test_garbage_is_collected_again_once_the_start_is_over(fresh):
    program = """
import gc, json
from service.process import begin_start, end_start
end_start()
untouched = gc.get_freeze_count()
begin_start()
during = gc.isenabled()
end_start()
print(json.dumps([untouched, during, gc.isenabled(), gc.get_freeze_count() > 1000]))
"""
    assert fresh(program) == [0, False, True, True]


def test_a_model_that_cannot_be_served_ends_the_start(fresh, models_dir):
    (models_dir / "digits/1/model.onnx").write_bytes(b"no model")
    program = f"""
import json
from service.errors import ArtifactError
from service.settings import Settings
from service.startup import start_app
try:
    start_app(Settings(models_dir={str(models_dir)!r}))
except ArtifactError as error:
    print(json.dumps(str(error)))
"""
    assert "sha256" in fresh(program)


def test_an_allocator_without_the_function_is_left_alone():
    call_c("no_such_function", 1)


def test_code_that_only_loading_needs_is_given_back_and_comes_again_when_it_is_called(fresh):
    """Seen in the mapping of ONNX Runtime, which is the largest: what loading executed is gone, and loading works."""
    program = """
import json
from itertools import islice
from pathlib import Path
from service.settings import Settings
from service.process import give_memory_back
from service.startup import start_app

def resident_kb():
    lines = iter(Path("/proc/self/smaps").read_text().splitlines())
    code = [line for line in lines if "r-xp" in line and "onnxruntime_pybind" in line
            for line in islice(lines, 4) if line.startswith("Rss:")]
    return sum(int(line.split()[1]) for line in code)

app = start_app(Settings())
loaded = resident_kb()
give_memory_back()
given_back = resident_kb()
models = app.state.service.models
models.load()
print(json.dumps([loaded, given_back, resident_kb(), models.serving().manifest.name]))
"""
    loaded, given_back, loaded_again, name = fresh(program)
    assert given_back < 0.1 * loaded
    assert loaded_again > 0.5 * loaded
    assert name == "digits"


def test_a_second_beginning_changes_nothing(fresh):
    program = """
import json, sys
from service.process import PutOff, begin_start
begin_start()
begin_start()
print(json.dumps(sys.meta_path.count(PutOff)))
"""
    assert fresh(program) == 1
