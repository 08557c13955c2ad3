"""Where the language model is, and what it may cost."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator


class ModelSettings(BaseModel):
    """The language model: any endpoint that speaks OpenAI's chat completions."""

    # An error must not show the key; see `wavcaps_assets.settings.Settings` as well.
    model_config = ConfigDict(hide_input_in_errors=True)

    base_url: str = Field("", description="such as https://api.openai.com/v1; empty: by `sources`")
    model: str = Field("", description="the model's name there; empty: by `sources`")
    api_key: SecretStr = Field(
        SecretStr(""), description="the endpoint's key; servers of one's own need none"
    )
    timeout_s: float = Field(120.0, gt=0, description="how long one answer may take (s)")
    prices: Path | None = Field(
        None, description="TOML file of prices, as llm/prices.toml, which it replaces"
    )
    free: bool | None = Field(
        None,
        description="whether answers cost nothing; unset: a model without a price does, where the "
        "endpoint is on this machine or in a private network",
    )
    budget_run_usd: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="most that one run may cost (USD); 0: no limit"
    )
    budget_month_usd: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="most that a calendar month (UTC) may cost; 0: no limit"
    )

    @field_validator("api_key")
    @classmethod
    def _key_is_one_word(cls, key: SecretStr) -> SecretStr:
        word = key.get_secret_value().strip()
        if not all("!" <= char <= "~" for char in word):
            raise ValueError("the key holds a space, a line break or another character that no key has")
        return SecretStr(word)
