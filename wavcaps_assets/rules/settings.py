"""Which rules hold for a caption, what their complaints lead to, and their limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from wavcaps_assets.rules.repairs import BEFORE_RULES, RULES_WITH_REPAIR
from wavcaps_assets.rules.rule import Preset
from wavcaps_assets.rules.table import RULES
from wavcaps_assets.rules.word_lists import WORDS


def _of_preset(preset: Preset) -> tuple[str, ...]:
    return tuple(name for name, rule in RULES.items() if preset in rule.presets)


def _verdicts(preset: Preset) -> dict[str, Literal["accept", "repair", "ask_again", "drop"]]:
    return {
        name: rule.preset_verdicts[preset].value
        for name, rule in RULES.items()
        if preset in rule.preset_verdicts
    }


class RuleSettings(BaseModel):
    """The defaults are the preset `paper`, a reconstruction of the paper's third stage.

    The rules are the demands of Table I. The released captions do not all follow them (65 of SoundBible's
    1,232 contain "heard", and the longest caption of the set has 38 words): undesirable captions were
    "refined" by asking again, and not always dropped.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: tuple[str, ...] = Field(_of_preset("paper"), description="names of the rules that hold")
    verdicts: Mapping[str, Literal["accept", "repair", "ask_again", "drop"]] = Field(
        {},
        description="verdicts that differ from a rule's own, by the rule's name; `accept` publishes the "
        "caption and records the complaint, `repair` removes what "
        f"{' and '.join(RULES_WITH_REPAIR)} complain of",
    )
    repairs: tuple[str, ...] = Field(
        BEFORE_RULES, description="names of the repairs that are made before the rules are applied"
    )
    second_questions: int = Field(
        1, ge=0, le=5, description="how often stage 3 asks about a caption again, and says what is wrong"
    )
    min_words: int = Field(2, ge=1, description="the released captions have 2 words or more")
    max_words: int = Field(19, ge=1, description='"less than 20 words" (Table I)')
    banned_words: tuple[str, ...] = Field(
        tuple(WORDS["banned"]), description='"do not use “heard”, “recorded”" (Table I)'
    )
    meta_words: tuple[str, ...] = Field(
        tuple(WORDS["meta"]), description="words about a clip, not about its sounds"
    )
    opinions: tuple[str, ...] = Field(
        tuple(WORDS["opinions"]),
        description='words that judge a sound; rule `opinion` ("Only describe the sound events", Table I)',
    )
    harmless: tuple[str, ...] = Field(
        tuple(WORDS["harmless"]),
        description="phrases in which banned, meta, profane words and opinions are allowed",
    )
    profanity: tuple[str, ...] = Field(
        tuple(WORDS["profanity"]), description="words that a caption must not contain; rule `profanity`"
    )
    silent_verbs: tuple[str, ...] = Field(
        tuple(WORDS["silent_verbs"]),
        description="main verbs (lemmas) that do not describe a sound; rule `silent_verb`",
    )

    @model_validator(mode="after")
    def _exist(self) -> Self:
        _require("rule", {*self.enabled, *self.verdicts}, tuple(RULES))
        _require("repair", self.repairs, BEFORE_RULES)
        repaired = {name for name, verdict in self.verdicts.items() if verdict == "repair"}
        if beyond := sorted(repaired - {*RULES_WITH_REPAIR}):
            raise ValueError(
                f"there is no repair for {', '.join(beyond)}: choose accept, ask_again or drop; "
                f"only {' and '.join(RULES_WITH_REPAIR)} may be `repair`"
            )
        if self.min_words > self.max_words:
            raise ValueError(f"min_words, {self.min_words}, is above max_words, {self.max_words}")
        return self

    @property
    def compares_prompt(self) -> bool:
        """Whether a rule needs to know what else the model was shown (`Candidate.prompt`)."""
        return any(RULES[name].compares_prompt for name in self.enabled)

    @property
    def all_repairs(self) -> frozenset[str]:
        """The repairs before the rules, and those of rules whose verdict is `repair`."""
        own = (name for name in self.enabled if self.verdicts.get(name) == "repair")
        return frozenset({*self.repairs, *own})


def _require(what: str, named: Iterable[str], there: Sequence[str]) -> None:
    if unknown := sorted({*named} - {*there}):
        raise ValueError(f"there is no {what} {', '.join(unknown)}; there are {', '.join(there)}")


# The preset of captions that imported clips came with, and keep.
AS_GIVEN = "as_given"
# `answers` judges the answers of stage 2. Stage 3 judges them by the other rules, and asks again.
RULE_PRESETS = {
    "paper": RuleSettings(),
    "strict": RuleSettings(enabled=_of_preset("strict"), min_words=3, verdicts=_verdicts("strict")),
    "small": RuleSettings(enabled=_of_preset("small"), min_words=3, second_questions=0),
    "answers": RuleSettings(enabled=_of_preset("answers"), second_questions=0),
    AS_GIVEN: RuleSettings(enabled=(), repairs=(), second_questions=0),
}


class RuleChoice(BaseModel):
    """The rules of a run of stage 3. What is left open is as in the preset."""

    model_config = ConfigDict(extra="forbid")

    preset: str = Field(
        "",
        description="`paper` (a reconstruction), `strict`, `small` for a small model, or `as_given`: no "
        "rule; empty: `as_given` for captions that imported clips came with, else `paper`",
    )
    second_questions: int | None = Field(
        None,
        description="how often a rejected caption is asked about again; none: as in the preset, and never "
        "with the embedded model",
    )
    enabled: list[str] | None = Field(
        None, description="names of the rules that hold, instead of the preset's; none: the preset's"
    )
    verdicts: dict[str, str] = Field(
        {},
        description="verdicts to override, by the rule's name: accept, repair, ask_again or drop; other "
        "rules keep the preset's",
    )
    repairs: list[str] | None = Field(
        None,
        description="names of the repairs that are made before the rules are applied; none: the preset's",
    )
    min_words: int | None = Field(None, description="the fewest words of a caption; none: the preset's")
    max_words: int | None = Field(None, description="the most words of a caption; none: the preset's")
