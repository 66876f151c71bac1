"""TensorFlow and its friends, imported without their chatter."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


def import_tensorflow() -> ModuleType:
    """Import TensorFlow on the CPU, silent unless something fails.

    The comparison is of arithmetic, so it runs where every reader can repeat it; an accelerator rounds differently. For
    the same reason oneDNN's kernels are on, which TensorFlow leaves off on processors without AVX-512; there it also
    fuses grouped convolutions in float64 and then refuses them (seen with 2.21).
    """
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    with silent_stderr():
        import tensorflow as tf

        tf.get_logger().setLevel(logging.ERROR)
        return tf  # type: ignore[no-any-return]


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Drop what C++ code and warnings write to standard error; a failure is told by its exception."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - a device, not a file
        os.dup2(nowhere.fileno(), 2)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
