"""Versions that are kept in a file: used for the same code, and only for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from wavcaps_assets.definitions import build
from wavcaps_assets.settings import Settings
from wavcaps_assets.versions import known as module
from wavcaps_assets.versions.code import folder_of
from wavcaps_assets.versions.known import KnownVersions

BROKEN = ["", "{", "[]", '{"code": 1}', "\0\xff", "null"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return tmp_path / "home" / "state" / "code_versions" / "toy.json"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that stands for ours, with a module and a file of data."""
    folder = tmp_path / "root" / "toy"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("A = 1\n")
    (folder / "words.toml").write_text("a = 1\n")
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.setattr(module, "PACKAGES", ("toy",))
    folder_of.cache_clear()
    return folder


def keep(file: Path, own: Path | None = None) -> None:
    versions = known(file, own)
    versions.add("toy.made", ["source"], "key", "0123")
    versions.save()


def known(file: Path, own: Path | None = None) -> KnownVersions:
    return KnownVersions(file, {"toy.read": own} if own else {})


@pytest.mark.usefixtures("package")
def test_versions_are_kept_for_the_same_code(file: Path) -> None:
    assert known(file).version("key") is None
    keep(file)
    assert (known(file).version("key"), known(file).reads("toy.made")) == ("0123", ["source"])
    assert [path.name for path in file.parent.iterdir()] == ["toy.json"]


@pytest.mark.usefixtures("package")
def test_versions_are_kept_where_the_models_are_not_installed(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PACKAGES", ("toy", "toy_models_that_are_not_installed"))
    keep(file)
    assert known(file).version("key") == "0123"


EDITS: dict[str, Callable[[Path], object]] = {
    "a module, at the same size and time": lambda folder: (folder / "__init__.py").write_text("A = 2\n"),
    "data": lambda folder: (folder / "words.toml").write_text("a = 2\n"),
    "a new module": lambda folder: (folder / "more.py").write_text(""),
    "a removed file": lambda folder: (folder / "words.toml").unlink(),
    "a new name": lambda folder: (folder / "words.toml").rename(folder / "other.toml"),
    "the user's file": lambda folder: (folder.parent / "own.toml").write_text("a = 2\n"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_forgets_them(edit: str, file: Path, package: Path) -> None:
    own = package.parent / "own.toml"
    own.write_text("a = 1\n")
    keep(file, own)
    assert known(file, own).version("key") == "0123"
    EDITS[edit](package)
    assert known(file, own).version("key") is None


def test_versions_of_code_that_was_edited_meanwhile_are_not_kept(file: Path, package: Path) -> None:
    versions = known(file)
    (package / "__init__.py").write_text("A = 2\n")
    versions.add("toy.made", [], "key", "0123")
    versions.save()
    assert not file.exists()


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("content", BROKEN)
def test_a_broken_file_is_ignored_and_replaced(content: str, file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.write_text(content)
    assert known(file).version("key") is None
    keep(file)
    assert known(file).version("key") == "0123"


@pytest.mark.usefixtures("package")
def test_where_nothing_can_be_written_nothing_is_lost(tmp_path: Path) -> None:
    keep(tmp_path / "no home" / "state" / "code_versions" / "toy.json")
    (tmp_path / "a file").touch()
    keep(tmp_path / "a file" / "code_versions" / "toy.json")
    assert not (tmp_path / "no home").exists()


@pytest.mark.slow
def test_definitions_use_kept_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    computed = versions()
    file = tmp_path / "state" / "code_versions" / "wavcaps_assets.json"
    content = json.loads(file.read_text())
    assert versions() == computed == set(content["versions"].values())
    content["versions"] = dict.fromkeys(content["versions"], "kept")
    file.write_text(json.dumps(content))
    assert versions() == {"kept"}
    file.write_text("{}")
    assert versions() == computed
    # They were written again.
    assert set(json.loads(file.read_text())["versions"].values()) == computed


def versions() -> set[str | None]:
    graph = build(Settings()).resolve_asset_graph()
    return {graph.get(key).code_version for key in graph.materializable_asset_keys}
