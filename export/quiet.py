"""TensorFlow and its friends, imported without their chatter."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from export.errors import LiveDigitError


def import_tensorflow() -> ModuleType:
    """Import TensorFlow on the CPU, silent unless something fails.

    The comparison is of arithmetic, so it runs where every reader can repeat it; an accelerator rounds differently.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    with silent_stderr():
        import tensorflow as tf

        tf.get_logger().setLevel(logging.ERROR)
        return tf  # type: ignore[no-any-return]


@contextmanager
def silent_stderr() -> Iterator[None]:
    """Hold back what C++ code writes to standard error; show it after all if the block fails unexpectedly."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except LiveDigitError:
            raise
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
