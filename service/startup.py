"""Builds the application of a process that serves; the models are loaded while the web framework is imported."""

from __future__ import annotations

import logging
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from service.errors import LiveDigitError
from service.process import begin_start, follow_parent, ignore_hangup
from service.settings import Settings, load_settings

if TYPE_CHECKING:
    from litestar import Litestar

logger = logging.getLogger(__name__)

REPLACEMENT = "LIVEDIGIT_IS_REPLACEMENT"
"""Set in the environment of a worker that is started while others serve."""
RETRY_S = 2.0


def start_worker() -> Litestar:
    """Build the application of a worker, or end the process.

    One of the first workers leaves it to its supervisor to say why, and with it the others end. A later one replaces
    a worker that has died while the others serve, so it says so itself, and its own replacement tries again.
    """
    ignore_hangup()
    follow_parent()
    try:
        return start_app(load_settings(), is_replacement=REPLACEMENT in os.environ)
    except Exception as error:
        if REPLACEMENT not in os.environ:
            from uvicorn.config import STARTUP_FAILURE

            sys.exit(STARTUP_FAILURE)
        logger.error("this worker cannot start: %s", error, exc_info=not isinstance(error, LiveDigitError))
        time.sleep(RETRY_S)
        sys.exit(1)


def start_app(settings: Settings, is_replacement: bool = False) -> Litestar:
    """Build the application of this process; the models are loaded while the web framework is imported.

    A replacement makes do with another version where the one to serve is missing or fails a check. Raises what
    `create_app` raises.
    """
    begin_start()
    from service.models import ModelStore

    models = ModelStore(settings)
    with ThreadPoolExecutor(1, thread_name_prefix="loading") as loader:
        loading = loader.submit(models.load, or_another=is_replacement)
        from service.app import create_app

        loading.result()
    return create_app(settings, models)
