"""TensorFlow without the greetings that it writes to stderr before any setting of its own can stop it."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path


def import_tensorflow() -> None:
    """Import TensorFlow silently, unless the user has set how much it is to say."""
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        importlib.import_module("tensorflow")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
