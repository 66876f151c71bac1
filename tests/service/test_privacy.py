"""The server tells nobody about its users, and neither does the library that it stands on."""

from __future__ import annotations

import os
import subprocess
import sys

# In these ONNX Runtime keeps quiet of its own accord, which would hide that it talks elsewhere.
SUPPRESSING = {"CI", "GITHUB_ACTIONS", "ORT_RUNNING_UNIT_TESTS", "ORT_DISABLE_TELEMETRY", "TF_BUILD", "GITLAB_CI"}


def test_onnx_runtime_neither_reports_nor_identifies_the_machine(repo_root, published, tmp_path):
    """Where it reports, it also leaves an identifier and a queue of reports in the user's cache folder."""
    kept = {name: value for name, value in os.environ.items() if name not in SUPPRESSING}
    subprocess.run(
        [sys.executable, "-m", "service", "models", "check", str(published)],
        cwd=repo_root,
        env={**kept, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")},
        check=True,
        capture_output=True,
    )
    assert [path.name for path in tmp_path.rglob("*")] == []
