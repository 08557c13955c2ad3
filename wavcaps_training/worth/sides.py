"""The two sides of a comparison, as people write them: `v3 without source=freesound`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import StrEnum

# What clips can be left out by, and their column in `tables.MANIFEST`.
COLUMNS = {"source": "source", "licence": "licence_id", "model": "model", "prompt": "prompt_version"}
FILTER = "filter"
KINDS = (*COLUMNS, FILTER)
BEFORE_STAGE_1, AFTER_STAGE_1 = "before_stage_1", "after_stage_1"
RAW = "raw"
FORM = (
    "write a version (`latest`, `v3`) or a stage (`before_stage_1`, `after_stage_1`); then, if you like, "
    f"`without KIND=VALUE[,VALUE]`, where KIND is {', '.join(KINDS)}; and `with captions=raw`, or the kind "
    "of a further caption, such as `with captions=query`"
)


class Each(StrEnum):
    """Of what each value is left out in a loop.

    Each name equals its value, because a run's config gives an enum by name.
    """

    none = "none"
    source = "source"
    licence = "licence"
    model = "model"
    prompt = "prompt"
    filter = "filter"

    @property
    def kind(self) -> str:
        """Of `KINDS`; empty: no loop."""
        return "" if self is Each.none else self.value


class BadSide(ValueError):
    """A side is not written as one."""


@dataclass(frozen=True)
class Side:
    """One side of a comparison.

    Attributes:
        base: a published version, or a stage.
        without: what is left out: a kind of `KINDS`, and its values.
        captions: what takes the place of the captions: `raw`, or a kind of further captions; empty: nothing.
    """

    base: str
    without: tuple[tuple[str, tuple[str, ...]], ...] = ()
    captions: str = ""

    def __str__(self) -> str:
        parts = [self.base]
        parts += [f"without {kind}={shlex.quote(','.join(values))}" for kind, values in self.without]
        return " ".join([*parts, *([f"with captions={shlex.quote(self.captions)}"] if self.captions else [])])


def parse_side(text: str) -> Side:
    """Reads a side.

    Raises:
        BadSide: says what is wrong, and how a side is written.
    """
    try:
        base, *rest = shlex.split(text)
    except ValueError as error:
        raise BadSide(f"{text!r} is not a side of a comparison: {FORM}") from error
    if len(rest) % 2 or base in ("with", "without"):
        raise BadSide(f"{text!r} is not a side of a comparison: {FORM}")
    without: list[tuple[str, tuple[str, ...]]] = []
    captions = ""
    for word, what in zip(rest[::2], rest[1::2], strict=True):
        kind, _, value = what.partition("=")
        values = tuple(one.strip() for one in value.split(",") if one.strip())
        if word == "without" and kind in KINDS and values:
            without.append((kind, values))
        elif word == "with" and kind == "captions" and value and not captions:
            captions = value
        else:
            raise BadSide(f"{word} {what} in {text!r} is not understood: {FORM}")
    return Side(base, tuple(without), captions)
