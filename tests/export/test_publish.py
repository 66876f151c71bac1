"""A version is there whole or not at all, and what was published before is never touched."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path

import pytest

from export.errors import PublishFailed, UsageError
from export.publish import ABANDONED_S, PREFIX, check_destination, check_version, publish


def write_version(folder: Path, version: int) -> None:
    (folder / "golden").mkdir()
    (folder / "golden" / "image").write_bytes(b"pixels")
    (folder / "manifest").write_text(str(version))


def names(folder: Path) -> list[str]:
    return sorted(child.name for child in folder.iterdir())


def test_versions_count_up(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "digits"
    assert [publish(folder, None, write_version).name for _ in range(3)] == ["1", "2", "3"]
    assert (folder / "3" / "manifest").read_text() == "3"
    assert names(folder) == ["1", "2", "3"]


def test_a_version_is_never_overwritten(tmp_path: Path) -> None:
    publish(tmp_path, 4, write_version)
    before = (tmp_path / "4" / "manifest").stat()
    with pytest.raises(UsageError, match="4"):
        publish(tmp_path, 4, write_version)
    assert (tmp_path / "4" / "manifest").stat().st_mtime_ns == before.st_mtime_ns
    assert names(tmp_path) == ["4"]


def test_a_full_disk_in_the_middle_leaves_nothing_behind(tmp_path: Path) -> None:
    publish(tmp_path, None, write_version)

    def fill_disk(folder: Path, version: int) -> None:
        write_version(folder, version)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(PublishFailed, match="No space left"):
        publish(tmp_path, None, fill_disk)
    assert names(tmp_path) == ["1"]


def test_a_crash_in_the_middle_leaves_no_version(tmp_path: Path) -> None:
    def crash(folder: Path, version: int) -> None:
        write_version(folder, version)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        publish(tmp_path, None, crash)
    assert names(tmp_path) == []


def test_two_exports_at_the_same_moment_both_publish(tmp_path: Path) -> None:
    """Both chose version 1 before either was done; the second one moves on."""
    both_chose = threading.Barrier(2)
    chosen: list[int] = []

    def write_together(folder: Path, version: int) -> None:
        write_version(folder, version)
        if version == 1:
            chosen.append(version)
            both_chose.wait(30)

    threads = [threading.Thread(target=publish, args=(tmp_path, None, write_together)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert chosen == [1, 1]
    assert {name: (tmp_path / name / "manifest").read_text() for name in names(tmp_path)} == {"1": "1", "2": "2"}


def test_an_empty_folder_with_the_version_s_name_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    with pytest.raises(UsageError, match="1"):
        publish(tmp_path, 1, write_version)
    assert list((tmp_path / "1").iterdir()) == []


def test_a_taken_version_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    with pytest.raises(UsageError, match="never overwritten"):
        check_version(tmp_path, 7)
    check_version(tmp_path, 8)
    check_destination(tmp_path / "not" / "there" / "yet")


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Permissions do not stop root, so the answer of the system is simulated."""
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UsageError, match="cannot be written"):
        check_destination(tmp_path)


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("")
    with pytest.raises(UsageError, match="not a folder"):
        check_destination(tmp_path / "models" / "digits")


def test_nothing_temporary_survives(tmp_path: Path) -> None:
    publish(tmp_path, None, write_version)
    assert not [name for name in names(tmp_path) if name.startswith(PREFIX)]


def test_what_a_killed_export_has_left_is_removed_a_day_later_and_one_at_work_is_let_alone(tmp_path: Path) -> None:
    abandoned, at_work = tmp_path / f"{PREFIX}abandoned", tmp_path / f"{PREFIX}at-work"
    for work in (abandoned, at_work):
        work.mkdir()
        write_version(work, 1)
    yesterday = time.time() - ABANDONED_S - 1
    os.utime(abandoned, (yesterday, yesterday))
    publish(tmp_path, None, write_version)
    assert names(tmp_path) == [at_work.name, "1"]
