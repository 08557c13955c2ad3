"""How clips are captioned: the settings, and the presets among them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from wavcaps_assets.captioning.prompts import Form
from wavcaps_assets.captioning.texts import MAX_CHARS, TEXT_FROM, ClipField
from wavcaps_assets.llm.settings import RequestLimits
from wavcaps_assets.rules.settings import RULE_PRESETS, RuleSettings


class Method(StrEnum):
    """What writes captions: a language model, a template over labelled sound events, or rules for texts."""

    MODEL = "model"
    TEMPLATE = "template"
    RULES = "rules"


class CaptioningSettings(BaseModel):
    """How clips are captioned. The defaults are the preset `paper` (Table I)."""

    model_config = ConfigDict(frozen=True)

    method: Method = Field(
        Method.MODEL,
        description="`template` (of AudioSet's labelled events) and `rules` (of texts) need no model",
    )
    prompt: str = Field(
        "paper", description="prompt: a file in captioning/prompts or in the folder WAVCAPS_PROMPTS, by name"
    )
    second_prompt: str = Field(
        "paper", description="prompt of stage 3's second question: a file in `second` in these folders"
    )
    form: Form = Field(
        Form.NUMBERED_LIST,
        description="the paper's numbered list, a list with a JSON schema, or one text a request",
    )
    batch_size: int = Field(20, ge=1, le=200, description="texts a request in a list; the paper does not say")
    text_from: tuple[ClipField, ...] = Field(
        TEXT_FROM,
        min_length=1,
        description="what stands for a clip's text: the first of `events`, `description`, `title` and `tags` "
        "here that says something",
    )
    added: tuple[ClipField, ...] = Field(
        (),
        description="what is put behind that text, in brackets, such as `title` and `tags`; the paper: none",
    )
    first_sentence_only: bool = Field(False, description="give the model the first sentence of a text only")
    max_text_chars: int = Field(MAX_CHARS, ge=20, description="longer texts are cut at a word")
    english_only: bool = Field(True, description="set texts in another language aside without asking")
    max_attempts: int = Field(3, ge=1, le=10, description="how often a text is asked about at most")
    temperature: float = Field(0.0, ge=0, le=2, description="of the first attempt; the paper does not say")
    retry_temperature: float = Field(0.4, ge=0, le=2, description="of later attempts, so that they differ")
    max_tokens: int = Field(
        60, ge=8, description="longest answer to one text (tokens); 20 words are about 30"
    )
    seed: int = Field(0, ge=0, description="of the model's sampling; each attempt adds one")
    concurrency: int = Field(
        32,
        ge=1,
        le=1000,
        description="requests at the same time at most; fewer where they are refused",
    )
    requests_per_minute: int | None = Field(
        None, ge=1, description="at most so many; none: what the endpoint's answers say, if they do"
    )
    tokens_per_minute: int | None = Field(
        None, ge=1, description="at most so many, of questions and answers; none: as above"
    )
    rules: RuleSettings = Field(
        RULE_PRESETS["answers"],
        description="which of the model's answers are taken: what is no caption is asked about again here, "
        "what is a bad one in stage 3, which says what is wrong",
    )

    @model_validator(mode="after")
    def _keeps_what_is_added(self) -> Self:
        if self.added and self.first_sentence_only:
            raise ValueError(
                "first_sentence_only would cut off what is added: set it to false, or add nothing"
            )
        return self

    @property
    def limits(self) -> RequestLimits:
        """For a `Session`."""
        return RequestLimits(self.concurrency, self.requests_per_minute, self.tokens_per_minute)

    @property
    def first_group(self) -> int:
        """How many texts the first request about them holds."""
        return 1 if self.form is Form.SINGLE else self.batch_size


CAPTIONING_PRESETS = {
    "paper": CaptioningSettings(),
    "small": CaptioningSettings(
        prompt="small",
        form=Form.SINGLE,
        first_sentence_only=True,
        max_text_chars=80,
        max_tokens=40,
        concurrency=1,
        rules=RULE_PRESETS["small"],
    ),
}


def _open(name: str) -> Any:
    """A setting that a choice may leave open."""
    return Field(
        None, description=f"{CaptioningSettings.model_fields[name].description}; none: as the preset"
    )


class CaptioningChoice(BaseModel):
    """What a person chooses of the captioning settings. What is left open is as the preset says."""

    preset: str = Field(
        "", description="`paper`, or `small` for a small model; empty: `small` for the embedded model only"
    )
    method: str = Field(
        "",
        description="`model`; `template` for AudioSet's events; `rules` for texts; empty: the template for "
        "these events where the model is the embedded one, else the model",
    )
    prompt: str | None = _open("prompt")
    second_prompt: str | None = _open("second_prompt")
    form: str | None = Field(
        None, description="`numbered_list`, `structured` (a JSON schema) or `single`; none: as the preset"
    )
    batch_size: int | None = _open("batch_size")
    text_from: list[str] | None = Field(
        None,
        description=f"{CaptioningSettings.model_fields['text_from'].description}; none: as the prompt's file "
        "says, else the events, the description or the title",
    )
    added: list[str] | None = Field(
        None,
        description="what is put behind that text, in brackets, such as `title` and `tags`; none: as the "
        "prompt's file says, else nothing",
    )
    first_sentence_only: bool | None = _open("first_sentence_only")
    max_text_chars: int | None = _open("max_text_chars")
    english_only: bool | None = _open("english_only")
    max_attempts: int | None = _open("max_attempts")
    temperature: float | None = _open("temperature")
    retry_temperature: float | None = _open("retry_temperature")
    max_tokens: int | None = _open("max_tokens")
    seed: int | None = _open("seed")
    concurrency: int | None = _open("concurrency")
    requests_per_minute: int | None = _open("requests_per_minute")
    tokens_per_minute: int | None = _open("tokens_per_minute")

    @property
    def chosen(self) -> dict[str, Any]:
        """The captioning settings that it names, besides the method."""
        given = {name: getattr(self, name) for name in CaptioningChoice.model_fields}
        return {
            name: value
            for name, value in given.items()
            if name not in {"preset", "method"} and value not in (None, "")
        }
