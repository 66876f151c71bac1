"""The Ray Serve application on a local Ray, where the extra `ray` is installed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="needs the extra `ray`")

# A process of its own: Ray leaves threads, signal handlers and warnings behind.
PROGRAM = """
import json, socket, sys, urllib.request
import ray
from ray import serve
sys.path.insert(0, "deploy")
from ray_serve import application

def ask(path, data=None):
    headers = {"Content-Type": "image/png"} if data else {}
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=data, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)

with socket.socket() as holder:
    holder.bind(("127.0.0.1", 0))
    port = holder.getsockname()[1]
runtime_env = {"working_dir": "deploy", "env_vars": {"LIVEDIGIT_MODEL_VERSION": "3"}}
ray.init(num_cpus=2, include_dashboard=False, configure_logging=False, log_to_driver=False, runtime_env=runtime_env)
try:
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(application)
    image = open(sys.argv[1], "rb").read()
    answers = [ask("/predict", image)["digit"] for _ in range(8)]
    ready = ask("/v2/health/ready")["ready"]
    version = ask("/health")["version"]
    json.dump({"ready": ready, "digits": answers, "version": version}, open(sys.argv[2], "w"))
finally:
    serve.shutdown()
    ray.shutdown()
"""


def test_it_answers_through_ray(repo_root: Path, tmp_path: Path):
    image, answers = repo_root / "export/drawings/7-canvas.png", tmp_path / "answers.json"
    command = [sys.executable, "-c", PROGRAM, str(image), str(answers)]
    done = subprocess.run(command, cwd=repo_root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(answers.read_text()) == {"ready": True, "digits": [7] * 8, "version": 3}
