"""The words of `words.toml`, for settings and single rules, and the names of `names.toml`."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any


def _file(name: str) -> dict[str, Any]:
    return tomllib.loads((resources.files("wavcaps_assets.rules") / name).read_text("utf-8"))


WORDS = _file("words.toml")
_LISTS = _file("names.toml")
# In lower case.
NAMES = frozenset(_LISTS["names"].split()) - {*WORDS["not_names"]} | {*WORDS["more_names"]}
ACCENTED = frozenset(_LISTS["accented"].split())
