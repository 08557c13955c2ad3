"""Where the language model is, what it may cost, and how fast requests are sent."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from wavcaps_assets.llm.parameters import ParameterChanges, families
from wavcaps_assets.masking import register_secret
from wavcaps_assets.network.links import without_credentials


@dataclass(frozen=True)
class RequestLimits:
    """How fast a session sends requests, and how long it keeps trying.

    Attributes:
        concurrency: the most requests in flight at the same time.
        requests_per_minute: the most requests in a minute; None: what the endpoint's headers report, if any.
        tokens_per_minute: the most tokens in a minute, in and out; None: as above.
        max_retries: retries of one request after a temporary fault (no connection, a broken response, 408,
            409, 425, 5xx).
        patience_s: how long an endpoint may refuse everything (429, 503, 529) before the session stops (s).
    """

    concurrency: int = 32
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    max_retries: int = 4
    patience_s: float = 600.0


class ModelSettings(BaseModel):
    """The language model: any endpoint that speaks OpenAI's chat completions."""

    # An error must not show the key; see `wavcaps_assets.settings.Settings` as well.
    model_config = ConfigDict(hide_input_in_errors=True)

    base_url: str = Field(
        "",
        description="such as https://api.openai.com/v1; `embedded`: the small model on this machine, which "
        "needs no key; empty: by `sources`",
    )
    model: str = Field("", description="the model's name there; empty: by `sources`")
    api_key: SecretStr = Field(SecretStr(""), description="the endpoint's key; your own servers need none")
    family: str = Field(
        "",
        description="family of the model, which decides which request parameters it takes: "
        "`openai_reasoning`, `qwen3`, `gpt_oss`, `thinking` (llm/families.toml); empty: none",
    )
    parameters: dict[str, Any] = Field(
        {},
        description="request parameters to add or replace, as JSON; null leaves one out: "
        '`{"seed": null, "reasoning_effort": "minimal"}`',
    )
    timeout_s: float = Field(120.0, gt=0, description="the longest that one answer may take (s)")
    prices: Path | None = Field(None, description="TOML file of prices that replaces llm/prices.toml")
    free: bool | None = Field(
        None,
        description="whether answers are free; unset: free if the model has no price and the endpoint is on "
        "this machine or in a private network",
    )
    budget_run_usd: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="the most that one run may cost (USD); 0: no limit"
    )
    budget_month_usd: float = Field(
        0.0,
        ge=0,
        allow_inf_nan=False,
        description="the most that a month (UTC) may cost (USD); 0: no limit",
    )

    @property
    def parameter_changes(self) -> ParameterChanges:
        """What `family` and `parameters` change."""
        return ParameterChanges(self.family, json.dumps(self.parameters, sort_keys=True))

    def of_model(self, model: str, family: str | None) -> ModelSettings:
        """The settings of another model at the same endpoint.

        Args:
            model: its name; empty: this one.
            family: its family, empty: none; None: this one's.

        Raises:
            ValueError: there is no such family.
        """
        changes = {"model": model or self.model, "family": self.family if family is None else family}
        return ModelSettings.model_validate({**self.model_dump(), **changes})

    @field_validator("family")
    @classmethod
    def _family_exists(cls, name: str) -> str:
        if name and name not in families():
            raise ValueError(f"there is no family {name!r:.40}; there are {', '.join(families())}")
        return name

    @field_validator("parameters")
    @classmethod
    def _of_the_session(cls, parameters: dict[str, Any]) -> dict[str, Any]:
        reserved = {"model", "messages", "stream", "n"} & parameters.keys()
        if reserved:
            raise ValueError(f"{', '.join(sorted(reserved))} cannot be set here")
        return parameters

    @field_validator("base_url")
    @classmethod
    def _without_credentials(cls, url: str) -> str:
        # Requests would not have a query as it is, and it may have a key.
        if "?" in url or "#" in url:
            raise ValueError("the address must end before its `?`; a key belongs in WAVCAPS_LLM__API_KEY")
        return without_credentials(url)

    @field_validator("api_key")
    @classmethod
    def _key_is_one_word(cls, key: SecretStr) -> SecretStr:
        word = key.get_secret_value().strip()
        if not all("!" <= char <= "~" for char in word):
            raise ValueError("the key contains a space, a line break or another character that no key has")
        register_secret(word)
        return SecretStr(word)
