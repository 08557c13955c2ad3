"""Which rules hold for a caption, what follows from their complaints, and their limits."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

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
WORDS = tomllib.loads((resources.files("wavcaps_assets.postprocessing") / "words.toml").read_text("utf-8"))


class RuleSettings(BaseModel):
    """The defaults are the preset `paper`, a reconstruction: the text of the paper's third stage is lost.

    Its rules are what Table I demands of a caption. The released captions do not all obey them (65 of
    SoundBible's 1,232 say "heard", and the longest of the whole set has 38 words): what was undesirable
    was "refined" by asking again, and not always dropped.
    """

    model_config = ConfigDict(frozen=True)

    enabled: tuple[str, ...] = Field(PAPER_RULES, description="names of the rules that hold")
    verdicts: Mapping[str, Literal["accept", "ask_again", "drop"]] = Field(
        {},
        description="what follows from a rule's complaint, by the rule's name, where it is not the rule's "
        "own verdict; `accept` publishes the caption and notes the complaint",
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
