"""The folder for temporary files, found without a file that a killed process would leave."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from grid.temporary import temporary_folder

_VARIABLES = ("TMPDIR", "TEMP", "TMP")


def _without_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    for name in _VARIABLES:
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", _VARIABLES)
def test_it_is_the_one_that_tempfile_finds(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _without_a_choice(monkeypatch)
    assert str(temporary_folder()) == tempfile.gettempdir()
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv(name, str(tmp_path))
    assert temporary_folder() == tmp_path
    assert str(temporary_folder()) == tempfile.gettempdir()


def test_a_folder_that_is_not_there_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _without_a_choice(monkeypatch)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "none"))
    monkeypatch.setenv("TMP", str(tmp_path))
    assert temporary_folder() == tmp_path
    assert str(temporary_folder()) == tempfile.gettempdir()


def test_a_choice_of_the_process_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert temporary_folder() == tmp_path
