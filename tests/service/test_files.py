"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import nullcontext
from pathlib import Path

import pytest

from service.files import replacing, write_whole


@pytest.mark.parametrize("is_durable", [True, False])
def test_a_file_takes_the_place_of_the_one_before(tmp_path: Path, is_durable: bool) -> None:
    path = tmp_path / "file.json"
    for content in (b"first, and longer", b"second"):
        write_whole(path, content, is_durable)
        assert path.read_bytes() == content
        assert list(tmp_path.iterdir()) == [path]


def test_what_fails_amid_writing_leaves_the_file_before(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(b"before")

    def write_half() -> None:
        with replacing(path) as file:
            file.write(b"half of the ne")
            assert path.read_bytes() == b"before"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_file_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "file.json"
    path.write_bytes(b"before")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_whole(path, b"new")
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(os.name == "nt", reason="Windows syncs no folders")
@pytest.mark.parametrize("number", [errno.EINVAL, errno.EBADF, errno.EIO])
def test_a_file_is_written_where_folders_cannot_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """As on shared folders; that the disk fails is told."""
    sync = os.fsync

    def sync_files(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", sync_files)
    path = tmp_path / "file.json"
    with pytest.raises(OSError, match="output error") if number == errno.EIO else nullcontext():
        write_whole(path, b"new")
    assert path.read_bytes() == b"new"
