"""Request parameters as a model's family and the user's settings want them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

# The parameters of the longest answer, in tokens.
LONGEST = ("max_tokens", "max_completion_tokens")


class Family(BaseModel):
    """What a family of models changes; see `families.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rename: dict[str, str] = {}
    omit: list[str] = []
    add: dict[str, Any] = {}
    extra_tokens: int = Field(0, ge=0)


@lru_cache(maxsize=1)
def families() -> Mapping[str, Family]:
    """The families by name."""
    text = (resources.files("wavcaps_assets.llm") / "families.toml").read_text(encoding="utf-8")
    return {name: Family.model_validate(family) for name, family in tomllib.loads(text).items()}


@dataclass(frozen=True)
class ParameterChanges:
    """Changes of request parameters. They are a part of a request, and so of its key in the ledger.

    Attributes:
        family: name of a family; empty: none.
        own: parameters to add or replace, as JSON; null leaves one out.
    """

    family: str = ""
    own: str = "{}"

    def apply(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters to send. Without changes they are the same, in the same order."""
        family = families()[self.family] if self.family else Family()
        changed = {
            family.rename.get(name, name): value + family.extra_tokens if name in LONGEST else value
            for name, value in parameters.items()
            if name not in family.omit
        }
        changed |= family.add
        changed |= json.loads(self.own)
        return {name: value for name, value in changed.items() if value is not None}


NO_CHANGES = ParameterChanges()
