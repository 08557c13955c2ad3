"""The built wheel, in a clean environment and without the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.checks.manifests import good_rows, write_parquet
from tests.support.paths import ROOT

PACKAGES = ("wavcaps_assets", "wavcaps_training")
BUILD = "from setuptools.build_meta import build_wheel; print(build_wheel('dist'))"

pytestmark = pytest.mark.slow


def run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    (source / "dist").mkdir()
    built = run(sys.executable, "-c", BUILD, folder=source)
    assert built.returncode == 0, built.stderr
    return source / "dist" / built.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment with the wheel.

    The dependencies are those of the environment that runs the tests, by a .pth file: installing them again
    would take minutes. The project itself is not importable from there.
    """
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    command = [str(python), "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", str(wheel)]
    installed = run(*command, folder=home)
    assert installed.returncode == 0, installed.stderr
    (packages,) = home.glob("lib/python*/site-packages")
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    where = run(str(python), "-c", "import wavcaps_assets; print(wavcaps_assets.__file__)", folder=home)
    assert Path(where.stdout.strip()).is_relative_to(packages), where
    return home / "bin"


def test_the_wheel_has_every_file_of_the_packages(wheel: Path) -> None:
    files = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    with zipfile.ZipFile(wheel) as archive:
        assert files - set(archive.namelist()) == set()


def test_captions_are_checked_without_the_repository(scripts: Path, tmp_path: Path) -> None:
    write_parquet(tmp_path / "manifest.parquet", good_rows())
    done = run(str(scripts / "wavcaps"), "check", "manifest.parquet", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "soundbible" in done.stdout


def test_every_subcommand_has_help(scripts: Path, tmp_path: Path) -> None:
    listed = run(str(scripts / "wavcaps"), "--help", folder=tmp_path).stdout
    names = [line.split()[0] for line in listed.partition("Commands:\n")[2].split("\n\n")[0].splitlines()]
    assert {"check", "demo", "freesound-login", "provenance", "rate", "ui"} <= set(names)
    for name in names:
        shown = run(str(scripts / "wavcaps"), name, "--help", folder=tmp_path)
        assert shown.returncode == 0 and f"Usage: wavcaps {name}" in shown.stdout, shown
        assert "cannot be imported" not in shown.stdout


def test_commands_are_completed_in_a_shell(scripts: Path, tmp_path: Path) -> None:
    script = run("env", "_WAVCAPS_COMPLETE=bash_source", str(scripts / "wavcaps"), folder=tmp_path).stdout
    assert "complete -o nosort -F _wavcaps_completion wavcaps" in script
    words = ["env", "_WAVCAPS_COMPLETE=bash_complete", "COMP_WORDS=wavcaps prov", "COMP_CWORD=1"]
    assert run(*words, str(scripts / "wavcaps"), folder=tmp_path).stdout.strip() == "plain,provenance"
