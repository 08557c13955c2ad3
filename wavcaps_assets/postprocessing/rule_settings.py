"""Which rules hold for a caption, and their limits."""

from __future__ import annotations

import tomllib
from importlib import resources

from pydantic import BaseModel, ConfigDict, Field

PAPER_RULES = (
    "failure",
    "too_short",
    "too_long",
    "several_sentences",
    "banned_words",
    "meta_words",
    "digits",
    "markup",
    "foreign_language",
    "named_entity",
    "no_verb",
    "echo",
)
SMALL_MODEL_RULES = (*PAPER_RULES, "definition", "silent_verb", "ungrounded", "repeats")
WORDS = tomllib.loads((resources.files("wavcaps_assets.postprocessing") / "words.toml").read_text("utf-8"))


class RuleSettings(BaseModel):
    """The defaults are the preset `paper`, a reconstruction: the text of the paper's third stage is lost."""

    model_config = ConfigDict(frozen=True)

    enabled: tuple[str, ...] = Field(PAPER_RULES, description="names of the rules that hold")
    min_words: int = Field(3, ge=1, description="the released SoundBible captions have 3 words or more")
    max_words: int = Field(19, ge=1, description='"less than 20 words" (Table I)')
    banned_words: tuple[str, ...] = Field(
        tuple(WORDS["banned"]), description='"do not use “heard”, “recorded”" (Table I)'
    )
    meta_words: tuple[str, ...] = Field(
        tuple(WORDS["meta"]), description="words about a clip rather than about what sounds in it"
    )
    silent_verbs: tuple[str, ...] = Field(
        tuple(WORDS["silent_verbs"]),
        description="main verbs (lemmas) of sentences that tell of no sound; rule `silent_verb`",
    )
