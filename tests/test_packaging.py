"""The distribution: what an index page and an installer read."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import metadata
from pathlib import Path

import grid

ROOT = Path(__file__).parents[1]
FILE = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = FILE["project"]


def test_the_version_is_said_once() -> None:
    assert metadata("actor-grid")["Version"] == grid.__version__
    assert PROJECT["dynamic"] == ["version"]


def test_the_license_and_the_authors_are_named() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text()
    assert PROJECT["authors"] == [{"name": "the actor-grid developers"}]
    assert {"Documentation", "Homepage", "Issues", "Source"} <= set(PROJECT["urls"])


def test_extras_are_for_users_and_groups_for_developers() -> None:
    extras = set(PROJECT["optional-dependencies"])
    assert "test" in extras
    assert not {"bench", "dev"} & extras
    assert {"bench", "dev"} <= set(FILE["dependency-groups"])


def test_classifiers_name_the_platforms_and_supported_interpreters() -> None:
    said = PROJECT["classifiers"]
    assert "Operating System :: POSIX :: Linux" in said
    assert "Operating System :: MacOS" in said
    assert not [one for one in said if "Windows" in one]
    assert "Programming Language :: Python :: 3.11" in said


def test_the_image_is_built_of_all_that_the_wheel_holds() -> None:
    """Without an engine the image is not built, so its file is looked at."""
    packed = FILE["tool"]["hatch"]["build"]["targets"]["wheel"]
    copied = re.findall(r"^COPY (\S+) \./\1$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    let_in = (ROOT / ".dockerignore").read_text().splitlines()
    for path in [*packed["packages"], *packed["force-include"]]:
        folder = path.partition("/")[0]
        assert folder in copied, f"the Dockerfile does not copy {folder}"
        assert f"!{folder}" in let_in, f".dockerignore keeps {folder} out"
    for path in packed["force-include"]:
        assert f"!{path}" in let_in, f".dockerignore keeps {path} out"
