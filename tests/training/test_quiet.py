from __future__ import annotations

import importlib
import os

import pytest

from training.quiet import FAST_KERNELS, LEAST_SEVERE, import_tensorflow


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str | None]]:
    """The settings that TensorFlow finds each time it is imported; none are there before."""
    found: list[dict[str, str | None]] = []
    for name in (FAST_KERNELS, LEAST_SEVERE):
        # Set first, so that what the import sets is undone as well.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(
        importlib, "import_module", lambda _: found.append({n: os.environ.get(n) for n in (FAST_KERNELS, LEAST_SEVERE)})
    )
    return found


def test_tensorflow_is_imported_with_fast_kernels_and_in_silence(seen):
    import_tensorflow()
    assert seen == [{FAST_KERNELS: "1", LEAST_SEVERE: "3"}]


def test_what_the_user_has_set_holds(seen, monkeypatch):
    monkeypatch.setenv(FAST_KERNELS, "0")
    import_tensorflow()
    assert seen == [{FAST_KERNELS: "0", LEAST_SEVERE: "3"}]


def test_a_user_who_wants_to_hear_it_hears_it(seen, monkeypatch):
    monkeypatch.setenv(LEAST_SEVERE, "0")
    import_tensorflow()
    assert seen == []
    assert os.environ[FAST_KERNELS] == "1"
