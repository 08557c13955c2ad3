"""Which rules hold for a caption, what follows from their complaints, and their limits."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from wavcaps_assets.rules.repairs import BEFORE_RULES, RULES_WITH_REPAIR

# The demands of Table I, and what is left of a prompt or a model's talk in an answer.
PAPER_RULES = (
    "failure",
    "too_short",
    "too_long",
    "several_sentences",
    "banned_words",
    "meta_words",
    "bracketed_number",
    "digits",
    "spelled_units",
    "markup",
    "control_characters",
    "foreign_language",
    "named_entity",
    "no_verb",
    "echo",
)
SMALL_MODEL_RULES = (*PAPER_RULES, "definition", "silent_verb", "ungrounded", "repeats")
STRICT_RULES = (*SMALL_MODEL_RULES, "echo_of_text", "profanity")
WORDS = tomllib.loads((resources.files("wavcaps_assets.rules") / "words.toml").read_text("utf-8"))


class RuleSettings(BaseModel):
    """The defaults are the preset `paper`, a reconstruction: the text of the paper's third stage is lost.

    Its rules are what Table I demands of a caption. The released captions do not all obey them (65 of
    SoundBible's 1,232 say "heard", and the longest of the whole set has 38 words): what was undesirable
    was "refined" by asking again, and not always dropped.
    """

    model_config = ConfigDict(frozen=True)

    enabled: tuple[str, ...] = Field(PAPER_RULES, description="names of the rules that hold")
    verdicts: Mapping[str, Literal["accept", "repair", "ask_again", "drop"]] = Field(
        {},
        description="what follows from a rule's complaint, by the rule's name, where it is not the rule's "
        "own verdict; `accept` publishes the caption and notes the complaint, `repair` takes away what "
        f"{' and '.join(RULES_WITH_REPAIR)} complain of",
    )
    repairs: tuple[str, ...] = Field(
        BEFORE_RULES, description="names of the repairs that are made before the rules look"
    )
    second_questions: int = Field(
        1, ge=0, le=5, description="how often stage 3 asks about a caption again, saying what is wrong"
    )
    min_words: int = Field(2, ge=1, description="the released captions have 2 words or more")
    max_words: int = Field(19, ge=1, description='"less than 20 words" (Table I)')
    banned_words: tuple[str, ...] = Field(
        tuple(WORDS["banned"]), description='"do not use “heard”, “recorded”" (Table I)'
    )
    meta_words: tuple[str, ...] = Field(
        tuple(WORDS["meta"]), description="words about a clip rather than about what sounds in it"
    )
    harmless: tuple[str, ...] = Field(
        tuple(WORDS["harmless"]), description="phrases in which no banned, meta or profane word is found"
    )
    profanity: tuple[str, ...] = Field(
        tuple(WORDS["profanity"]), description="words that no caption says; rule `profanity`"
    )
    silent_verbs: tuple[str, ...] = Field(
        tuple(WORDS["silent_verbs"]),
        description="main verbs (lemmas) of sentences that tell of no sound; rule `silent_verb`",
    )

    @model_validator(mode="after")
    def _exist(self) -> Self:
        _require("rule", {*self.enabled, *self.verdicts}, STRICT_RULES)
        _require("repair", self.repairs, BEFORE_RULES)
        mended = {name for name, verdict in self.verdicts.items() if verdict == "repair"}
        if beyond := sorted(mended - {*RULES_WITH_REPAIR}):
            raise ValueError(
                f"nothing repairs what {', '.join(beyond)} complains of: choose accept, ask_again or drop; "
                f"only {' and '.join(RULES_WITH_REPAIR)} may be `repair`"
            )
        if self.min_words > self.max_words:
            raise ValueError(f"min_words, {self.min_words}, is above max_words, {self.max_words}")
        return self

    @property
    def all_repairs(self) -> frozenset[str]:
        """The repairs that are made: those before the rules, and the rules' own."""
        own = (name for name in self.enabled if self.verdicts.get(name) == "repair")
        return frozenset({*self.repairs, *own})


def _require(what: str, named: Iterable[str], there: Sequence[str]) -> None:
    if unknown := sorted({*named} - {*there}):
        raise ValueError(f"there is no {what} {', '.join(unknown)}; there are {', '.join(there)}")


# `answers` is what stage 2 itself asks of an answer where stage 3 judges and asks again.
RULE_PRESETS = {
    "paper": RuleSettings(),
    # These two complain of more good captions than bad ones where a large model wrote them.
    "strict": RuleSettings(
        enabled=STRICT_RULES, min_words=3, verdicts={"ungrounded": "accept", "repeats": "accept"}
    ),
    "small": RuleSettings(enabled=SMALL_MODEL_RULES, min_words=3, second_questions=0),
    "answers": RuleSettings(enabled=("failure",), second_questions=0),
}


class RuleChoice(BaseModel):
    """What a run of stage 3 may be told; what it is not told is as in the preset."""

    preset: str = Field(
        "", description="`paper` (a reconstruction), `strict`, or `small` for a small model; empty: `paper`"
    )
    second_questions: int | None = Field(
        None,
        description="how often a caption that can be mended is asked about again; none: as the preset says, "
        "and never where the model is the embedded one",
    )
    enabled: list[str] | None = Field(
        None, description="names of the rules that hold, in place of the preset's; none: the preset's"
    )
    verdicts: dict[str, str] = Field(
        {},
        description="what follows from a rule's complaint, by the rule's name: accept, repair, ask_again or "
        "drop; a rule that is not named keeps the preset's",
    )
    repairs: list[str] | None = Field(
        None, description="names of the repairs that are made before the rules look; none: the preset's"
    )
    min_words: int | None = Field(None, description="the fewest words of a caption; none: the preset's")
    max_words: int | None = Field(None, description="the most words of a caption; none: the preset's")
