from __future__ import annotations

from collections.abc import Callable

import pytest

from service.door import FAREWELL_S
from service.settings import Settings


@pytest.fixture
def longest_stop_s() -> Callable[[Settings], float]:
    """How long a stop may take, by the settings; what stops the server waits longer."""
    return lambda settings: settings.drain_s + FAREWELL_S + settings.shutdown_timeout_s
