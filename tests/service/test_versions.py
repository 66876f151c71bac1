from __future__ import annotations

from service.versions import list_versions, next_version


def test_versions_are_folders_with_a_number_for_a_name(tmp_path):
    for name in ("2", "10", "0", "007", "²", "٣", "-4", "latest", ".publishing-x", ".11.unfinished"):
        (tmp_path / name).mkdir()
    (tmp_path / "12").touch()
    assert list_versions(tmp_path) == [2, 10]


def test_no_folder_holds_no_version(tmp_path):
    assert list_versions(tmp_path / "digits") == []
    assert next_version(tmp_path / "digits") == 1


def test_the_version_after_the_highest_is_next_and_no_name_that_is_taken(tmp_path):
    (tmp_path / "2").mkdir()
    assert next_version(tmp_path) == 3
    (tmp_path / "10").touch()
    assert next_version(tmp_path) == 11
