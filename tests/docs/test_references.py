"""The files, modules and commands that the documentation names exist."""

from __future__ import annotations

import re
import tomllib
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from tests.support.paths import ROOT
from wavcaps_assets.cli import main

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
# Where a path in a page may begin.
BASES = [ROOT, ROOT / "wavcaps_assets", ROOT / "wavcaps_training"]
FILE = re.compile(r"`([\w./-]+/[\w.-]+\.(?:py|toml|md|yml|yaml|csv|html|sql))(?::\w+)?`")
LINK = re.compile(r"\]\((?!https?://)([^)#]+)\)")
MODULE = re.compile(r"python -m ((?:wavcaps_\w+|benchmarks)(?:\.\w+)*)")
SUBCOMMAND = re.compile(r"(?:^|[`/])wavcaps ([a-z][\w-]*)", re.MULTILINE)
# Files of a page's own example, or of a user.
EXAMPLES = {
    "wavcaps_assets/rules/weather_rules.py",
    "dagster_home/demo/store/report.html",
    "/data/prompts/mine.toml",
}


def declared_commands() -> set[str]:
    """Those of `pyproject.toml`, which an environment has from the next `make env` on."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return set(project["entry-points"]["wavcaps.commands"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    files = {name for name in FILE.findall(text) if name not in EXAMPLES and "<" not in name}
    missing = {name for name in files if not any((base / name).exists() for base in BASES)}
    missing |= {link for link in LINK.findall(text) if not (page.parent / link).exists()}
    missing |= {module for module in MODULE.findall(text) if find_spec(module) is None}
    known = {*main.list_commands(click.Context(main)), *declared_commands()}
    missing |= {name for name in SUBCOMMAND.findall(text) if name not in known}
    assert missing == set()


def test_pages_name_many_files_modules_and_commands() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert len(set(FILE.findall(text))) > 30
    assert {"check", "demo", "provenance"} <= set(SUBCOMMAND.findall(text))
