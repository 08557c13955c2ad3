"""How clips are captioned: the settings, and the presets among them."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from wavcaps_assets.captioning.prompts import Form
from wavcaps_assets.captioning.texts import MAX_CHARS
from wavcaps_assets.postprocessing.rule_settings import RuleSettings
from wavcaps_assets.postprocessing.rules import RULE_PRESETS


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
    prompt: str = Field("paper", description="prompt preset: a file in captioning/prompts")
    second_prompt: str = Field(
        "paper", description="prompt of stage 3's second question: a file in captioning/prompts/second"
    )
    form: Form = Field(
        Form.NUMBERED_LIST,
        description="the paper's numbered list, a list with a JSON schema, or one text a request",
    )
    batch_size: int = Field(20, ge=1, le=200, description="texts a request in a list; the paper does not say")
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
