"""`make env` takes an interpreter that pyproject.toml allows, or says in a sentence what is missing."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.paths import ROOT

# Uses the real interpreter, whose version is another one.
PYTHON = """#!/bin/sh
[ "$1" = --version ] && echo "Python {version}.1" && exit
[ "$2" = venv ] && exit {venv}
exec {real} "$1" "import sys; sys.version_info = ({major}, {minor}, 1)
$2"
"""
# What uv does here: it makes .venv with the interpreter that it found.
UV = """#!/bin/sh
echo "$@" >> calls.txt
[ "$1" != venv ] && exit
[ -n "$FOUND" ] || exit 2
mkdir -p .venv/bin && cp "$FOUND" .venv/bin/python
"""


def executable(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def python(path: Path, version: str, *, venv: bool = True) -> Path:
    major, minor = version.split(".")
    return executable(
        path,
        PYTHON.format(version=version, major=major, minor=minor, venv=int(not venv), real=sys.executable),
    )


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """What `make env` reads, with a uv that installs nothing."""
    for name in ("Makefile", "pyproject.toml", "requirements/uv.txt", "requirements/all.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    executable(tmp_path / ".cache" / "uv" / "bin" / "uv", UV)
    return tmp_path


def make_env(clone: Path, *arguments: str, found: Path | None = None) -> tuple[int, str]:
    environment = {"PATH": f"{clone / 'bin'}:/usr/bin:/bin", "FOUND": str(found or "")}
    done = subprocess.run(
        ["make", "env", *arguments], cwd=clone, env=environment, capture_output=True, text=True
    )
    return done.returncode, done.stdout + done.stderr


def test_the_range_is_that_of_the_project_and_of_the_workflow() -> None:
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    least, beyond = map(int, re.fullmatch(r">=3\.(\d+),<3\.(\d+)", needed).groups())  # type: ignore[union-attr]
    assert least <= sys.version_info.minor < beyond
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    tested = {int(minor) for minor in re.findall(r'"3\.(\d+)"', workflow)}
    assert {min(tested), max(tested)} == {least, beyond - 1}


def test_an_interpreter_that_uv_finds_is_used_and_named(clone: Path) -> None:
    code, output = make_env(clone, found=python(clone / "found", "3.12"))
    assert code == 0, output
    assert "into .venv, for Python 3.12.1" in output
    assert (
        (clone / "calls.txt")
        .read_text()
        .startswith("venv --quiet --clear --python-preference system .venv\n")
    )


def test_an_environment_of_another_python_is_made_again(clone: Path) -> None:
    python(clone / ".venv" / "bin" / "python", "3.10")
    code, output = make_env(clone, found=python(clone / "found", "3.13"))
    assert code == 0 and "for Python 3.13.1" in output, output


def test_a_suitable_environment_stays(clone: Path) -> None:
    python(clone / ".venv" / "bin" / "python", "3.12")
    code, output = make_env(clone)
    assert code == 0 and "for Python 3.12.1" in output, output
    assert not re.search("^venv", (clone / "calls.txt").read_text(), re.MULTILINE)


def test_a_named_interpreter_that_is_too_old_is_refused(clone: Path) -> None:
    code, output = make_env(clone, f"PYTHON={python(clone / 'old', '3.9')}", found=clone / "old")
    assert code != 0 and not (clone / ".venv").exists()
    assert "old is Python 3.9.1; needed is Python >=3.11," in output


def test_no_suitable_interpreter_is_a_sentence(clone: Path) -> None:
    code, output = make_env(clone)
    assert code != 0
    assert "There is no Python >=3.11," in output and "make PYTHON=/path/to/python3.12" in output


def test_an_interpreter_without_venv_is_a_sentence(clone: Path) -> None:
    shutil.rmtree(clone / ".cache")
    bare = python(clone / "bare", "3.12", venv=False)
    code, output = make_env(clone, f"PYTHON={bare}")
    assert code != 0
    assert f"can make virtual environments: {bare}" in output and "apt-get install python3-venv" in output


def test_clean_removes_the_demo_and_leaves_what_is_live(clone: Path) -> None:
    live = [
        clone / "dagster_home" / name for name in ("store/report.html", "history/runs.db", "dagster.yaml")
    ]
    for file in (*live, clone / "dagster_home" / "demo" / "store" / "report.html"):
        executable(file, "")
    done = subprocess.run(["make", "clean"], cwd=clone, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not (clone / "dagster_home" / "demo").exists()
    assert all(file.exists() for file in live)
