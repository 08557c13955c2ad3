"""The words of `words.toml`: defaults of the settings, and the vocabulary of single rules."""

from __future__ import annotations

import tomllib
from importlib import resources

WORDS = tomllib.loads((resources.files("wavcaps_assets.rules") / "words.toml").read_text("utf-8"))
