"""The settings of captioning, and their presets."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from wavcaps_assets.captioning.prompts import Form
from wavcaps_assets.captioning.texts import MAX_CHARS, TEXT_FROM, ClipField
from wavcaps_assets.llm.settings import RequestLimits
from wavcaps_assets.rules.settings import RULE_PRESETS, RuleSettings


class Method(StrEnum):
    """What writes captions: a language model, a template for labelled sound events, or rules for texts.

    Or nothing: an imported clip keeps the caption that it came with.
    """

    MODEL = "model"
    TEMPLATE = "template"
    RULES = "rules"
    GIVEN = "given"


# Settings of captions in temporal order.
TEMPORAL = ("temporal", "max_events", "least_overlap")


class CaptioningSettings(BaseModel):
    """How clips are captioned. The defaults are the preset `paper` (Table I)."""

    model_config = ConfigDict(frozen=True)

    method: Method = Field(
        Method.MODEL,
        description="`template` (of AudioSet's labelled events) and `rules` (of texts) need no model; "
        "`given` keeps the captions of an imported set",
    )
    prompt: str = Field(
        "paper",
        description="the prompt: a file in captioning/prompts or in WAVCAPS_PROMPTS, by its name",
    )
    second_prompt: str = Field(
        "paper",
        description="the prompt of second questions: a file in `second` in these folders, by its name",
    )
    form: Form = Field(
        Form.NUMBERED_LIST,
        description="the paper's numbered list, a list with a JSON schema, or one text in a request",
    )
    batch_size: int = Field(20, ge=1, le=200, description="texts in a list; the paper does not say")
    echo: bool = Field(
        False,
        description="ask the model to repeat the first words of each text of a list before its caption: "
        "they show which text the caption is about; the paper: no",
    )
    text_from: tuple[ClipField, ...] = Field(
        TEXT_FROM,
        min_length=1,
        description="fields for the text, of which the first that is not empty is used: `events`, "
        "`timed_events`, `description`, `title`, `tags`",
    )
    added: tuple[ClipField, ...] = Field(
        (),
        description="fields to append to the text, in brackets, such as `title` and `tags`; the paper: none",
    )
    temporal: bool = Field(
        False,
        description="AudioSet's captions in temporal order: with the prompt `temporal`, or by the template; "
        "other sources have no labelled events, and are captioned as without it; the paper: no",
    )
    max_events: int = Field(
        4, ge=1, le=20, description="with `temporal`: the most sounds in a caption by the template"
    )
    least_overlap: float = Field(
        0.5,
        gt=0,
        le=1,
        description="with `temporal`: the share of the shorter of two sounds in which the template says that "
        "one is heard while the other is: half, so that most of a short sound is heard with the other",
    )
    first_sentence_only: bool = Field(False, description="give the model only the first sentence of a text")
    max_text_chars: int = Field(MAX_CHARS, ge=20, description="longer texts are cut at the end of a word")
    english_only: bool = Field(True, description="drop texts in other languages without asking the model")
    max_attempts: int = Field(
        3,
        ge=1,
        le=10,
        description="the most attempts for a text in a request of its own; the text of a list is asked about "
        "in the list, in half of it, and once alone",
    )
    temperature: float = Field(
        0.0, ge=0, le=2, description="temperature of the first attempt; the paper does not say"
    )
    retry_temperature: float = Field(
        0.4, ge=0, le=2, description="temperature of later attempts, so that they differ"
    )
    max_tokens: int = Field(
        60, ge=8, description="the longest answer for one text (tokens); 20 words are about 30"
    )
    seed: int = Field(0, ge=0, description="seed of the model's sampling; each attempt adds one")
    concurrency: int = Field(
        32,
        ge=1,
        le=1000,
        description="the most requests in flight; fewer if the endpoint refuses them",
    )
    requests_per_minute: int | None = Field(
        None, ge=1, description="the most requests per minute; none: what the endpoint reports, if anything"
    )
    tokens_per_minute: int | None = Field(
        None, ge=1, description="the most tokens per minute, in and out; none: as above"
    )
    rules: RuleSettings = Field(
        RULE_PRESETS["answers"],
        description="the rules for the model's answers. Stage 2 asks again if an answer is not a caption; "
        "stage 3 asks about bad captions, and says what is wrong",
    )

    @model_validator(mode="after")
    def _keeps_what_is_added(self) -> Self:
        if self.added and self.first_sentence_only:
            raise ValueError(
                "first_sentence_only would cut off what is added: set it to false, or leave `added` empty"
            )
        return self

    @property
    def stored(self) -> str:
        """As JSON, for the table's file.

        Without the settings of temporal order where they have no effect: a table that an older version of the
        project made has the same version of its data.
        """
        return self.model_dump_json(exclude=None if self.temporal else set(TEMPORAL))

    @property
    def limits(self) -> RequestLimits:
        """For a `Session`."""
        return RequestLimits(self.concurrency, self.requests_per_minute, self.tokens_per_minute)

    @property
    def first_group(self) -> int:
        """The number of texts in the first request about them."""
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
    """A setting that a choice may leave to the preset."""
    return Field(
        None, description=f"{CaptioningSettings.model_fields[name].description}; none: as the preset"
    )


class CaptioningChoice(BaseModel):
    """Captioning settings to override. The others come from the preset."""

    preset: str = Field(
        "",
        description="`paper`, or `small` for small models; empty: `small` for the embedded one",
    )
    method: str = Field(
        "",
        description="`model`; `template` for AudioSet's events; `rules` for texts; `given`: the captions "
        "imported clips came with; empty: `given` for imported clips, the template for AudioSet's events "
        "with the embedded model, else the model",
    )
    prompt: str | None = _open("prompt")
    second_prompt: str | None = _open("second_prompt")
    form: str | None = Field(
        None, description="`numbered_list`, `structured` (a JSON schema) or `single`; none: as the preset"
    )
    batch_size: int | None = _open("batch_size")
    echo: bool | None = _open("echo")
    text_from: list[str] | None = Field(
        None,
        description=f"{CaptioningSettings.model_fields['text_from'].description}; none: as in the prompt's "
        "file, else the events, the description or the title",
    )
    added: list[str] | None = Field(
        None,
        description="fields to append to the text, in brackets, such as `title` and `tags`; none: as in the "
        "prompt's file, else nothing",
    )
    temporal: bool | None = _open("temporal")
    max_events: int | None = _open("max_events")
    least_overlap: float | None = _open("least_overlap")
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
        """The settings that it overrides, without the method."""
        given = {name: getattr(self, name) for name in CaptioningChoice.model_fields}
        return {
            name: value
            for name, value in given.items()
            if name not in {"preset", "method"} and value not in (None, "")
        }
