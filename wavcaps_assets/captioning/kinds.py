"""The kinds of further captions: their rules, and how each is made."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wavcaps_assets.captioning.prompts import PromptError, load_further, prompt_files
from wavcaps_assets.rules.settings import RULE_PRESETS, RuleSettings
from wavcaps_assets.rules.table import RULES_WITHOUT_PARSER
from wavcaps_assets.tables.columns import CAPTION_KINDS

# Made without a model: of the tags or labels, and of the times of the labels.
TAGS, TEMPORAL = "tags", "temporal"
# Captions that an import came with, beside the first.
OTHER = "other"
MOST_TAGS = 30
PAPER = RULE_PRESETS["paper"]


class KindSettings(BaseModel):
    """The table `[further]` of a prompt: what the captions of this kind must be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    min_words: int = Field(PAPER.min_words, description="the fewest words")
    max_words: int = Field(PAPER.max_words, description="the most words")
    without_rules: tuple[str, ...] = Field((), description="rules of the preset `paper` that do not hold")
    without_repairs: tuple[str, ...] = Field((), description="repairs of the preset that are not made")
    max_tokens: int = Field(60, ge=8, description="the longest answer about one text (tokens)")

    @property
    def rules(self) -> RuleSettings:
        return RuleSettings(
            enabled=tuple(name for name in PAPER.enabled if name not in self.without_rules),
            repairs=tuple(name for name in PAPER.repairs if name not in self.without_repairs),
            min_words=self.min_words,
            max_words=self.max_words,
            second_questions=0,
        )


# Tags are no sentence. What their users write is kept, if it can be shown.
OF_TAGS = RuleSettings(
    enabled=("too_short", "control_characters"),
    repairs=("entities", "invisible", "composed", "whitespace"),
    min_words=1,
    second_questions=0,
)
# The template's sentences have a subject and a verb.
OF_TEMPLATE = RuleSettings(
    enabled=tuple(name for name in PAPER.enabled if name in RULES_WITHOUT_PARSER), second_questions=0
)


def known_kinds() -> list[str]:
    """The kinds that can be made: without a model, and those whose prompt has a table `[further]`."""
    by_prompt = [name for name in prompt_files() if load_further(name) is not None]
    names = {TAGS, TEMPORAL, *by_prompt}
    return [*(kind for kind in CAPTION_KINDS if kind in names), *sorted(names - {*CAPTION_KINDS})]


def kind_settings(kind: str) -> KindSettings:
    """The settings of a kind that a model makes.

    Raises:
        PromptError: its prompt has no table `[further]`, or a wrong one.
    """
    given = load_further(kind)
    if given is None:
        raise PromptError(f"the prompt {kind!r} has no table [further], so it is no kind of further captions")
    try:
        settings = KindSettings.model_validate(given)
        assert settings.rules
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise PromptError(f"the table [further] of the prompt {kind!r}: {problems}") from error
    return settings


def require_known(kinds: Sequence[str]) -> None:
    """Checks the names of kinds.

    Raises:
        ValueError: there is no such kind; says which there are.
    """
    files = prompt_files()
    unknown = [
        kind
        for kind in kinds
        if kind not in (TAGS, TEMPORAL) and (kind not in files or load_further(kind) is None)
    ]
    if unknown:
        raise ValueError(
            f"there is no kind {', '.join(unknown)} of further captions; there are {', '.join(known_kinds())}"
        )
