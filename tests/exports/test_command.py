"""`wavcaps export`, as docs/exports.md shows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.exports.sets import publish
from tests.support.paths import ROOT
from wavcaps_assets.exports.command import export
from wavcaps_assets.exports.formats import all_formats
from wavcaps_assets.store.storage import Store

COMMAND = re.compile(r"^wavcaps export(.*?)(?: *#.*)?$", re.MULTILINE)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(export, arguments)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("WAVCAPS_STORE", str(tmp_path / "store"))
    return Store(tmp_path / "store")


def test_the_commands_of_the_page_work(store: Store, tmp_path: Path) -> None:
    wish = {"gen_ai_preference": "no-additional-preferences"}
    publish(store, [{"clip_id": f"freesound-{number}", **wish} for number in range(3)])
    commands = COMMAND.findall((ROOT / "docs" / "exports.md").read_text(encoding="utf-8"))
    assert len(commands) >= 4
    for command in commands:
        result = run(*command.replace("FOLDER", str(tmp_path / f"{len(command)}")).split())
        assert result.exit_code == 0, (command, result.output)


def test_the_formats_are_listed_with_their_settings() -> None:
    output = run().output
    for name, fmt in all_formats().items():
        assert f"{name}: " in output
        assert all(f"    {setting}=" in output for setting in fmt.settings.model_fields)


def test_what_is_wrong_is_said(store: Store) -> None:
    assert "there is no format 'webdatset'" in run("webdatset").output
    assert "no version 'latest' of the set; there are none" in run("webdataset").output
    refused = run("webdataset", "--set", "shards=1")
    assert refused.exit_code == 2 and "shards: Extra inputs are not permitted" in refused.output
    assert "The settings of webdataset are: check_samples, shard_mb" in refused.output
    assert "shard_mb: Input should be greater than" in run("webdataset", "--set", "shard_mb=0").output
