"""Every command of the README is run by a test, and every setting of the pages' commands exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from wavcaps_assets.environment import PREFIX, require_known_variables

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
# Commands by the file that runs them. `make demo` and `make ui` are these subcommands of `wavcaps`.
RUN_BY = {
    "dagster dev": "tests/defs/test_web_server.py",
    "make clean": "tests/docs/test_makefile.py",
    "make demo": "tests/demo/test_readme.py",
    "make demo-sound": "tests/demo/test_readme.py",
    "make env": "tests/docs/test_makefile.py",
    "make test": ".ci/run",
    "make ui": "tests/defs/test_web_server.py",
    "wavcaps alerts": "tests/defs/test_status.py",
    "wavcaps audit": "tests/importing/test_audit.py",
    "wavcaps backup": "tests/backup/test_command.py",
    "wavcaps check": "tests/checks/test_command.py",
    "wavcaps demo": "tests/demo/test_readme.py",
    "wavcaps diff": "tests/publishing/test_versions.py",
    "wavcaps export": "tests/exports/test_command.py",
    "wavcaps freesound-login": "tests/sources/test_freesound_oauth.py",
    "wavcaps import": "tests/importing/test_import_command.py",
    "wavcaps provenance": "tests/provenance/test_provenance.py",
    "wavcaps rate": "tests/validation/test_assets.py",
    "wavcaps restore": "tests/backup/test_command.py",
    "wavcaps run": "tests/lane/test_run.py",
    "wavcaps score": "tests/training/scoring/test_files.py",
    "wavcaps search": "tests/training/search/test_index.py",
    "wavcaps slice": "tests/slices/test_slices.py",
    "wavcaps sources": "tests/sources/test_taking_part.py",
    "wavcaps status": "tests/defs/test_status.py",
    "wavcaps ui": "tests/defs/test_web_server.py",
    "wavcaps worth": "tests/training/worth/test_worth.py",
    "wavcaps versions": "tests/publishing/test_versions.py",
}
COMMAND = re.compile(r"(?:^|[`/])((?:make|wavcaps|dagster) [a-z][\w-]+)", re.MULTILINE)
EXPORTED = re.compile(rf"\b({PREFIX}\w+)=")


def test_every_command_of_the_readme_is_run_by_a_test() -> None:
    commands = set(COMMAND.findall(README))
    assert len(commands) > 10
    assert commands - RUN_BY.keys() == set()


def test_the_files_that_run_them_do_so() -> None:
    for command, file in RUN_BY.items():
        text = (ROOT / file).read_text(encoding="utf-8")
        assert re.search(rf"\b{command.rpartition(' ')[2].replace('-', '[-_]')}\b", text), (command, file)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_settings_that_a_page_exports_exist(page: Path) -> None:
    require_known_variables(dict.fromkeys(EXPORTED.findall(page.read_text(encoding="utf-8")), "{}"))
