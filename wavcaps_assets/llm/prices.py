"""What models cost: a table with a date. `WAVCAPS_LLM__PRICES` names a file that replaces it."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wavcaps_assets.llm.records import Answer, answer_in
from wavcaps_assets.llm.settings import ModelSettings

MILLION = 1_000_000
# The name of a model's snapshot ends in its date: gpt-4o-mini-2024-07-18.
SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")


class PriceError(ValueError):
    """A required price is not known, or the table of prices cannot be read."""


@dataclass(frozen=True)
class Price:
    """USD per million tokens.

    Attributes:
        batch_share: the share of these prices that a batch interface charges (0 to 1).
    """

    input: float
    output: float
    batch_share: float = 1.0

    def cost(self, prompt_tokens: float, completion_tokens: float, batch: bool = False) -> float:
        """The cost of this many tokens (USD). Discounts for cached prompts are not counted."""
        whole = (prompt_tokens * self.input + completion_tokens * self.output) / MILLION
        return whole * self.batch_share if batch else whole

    def cost_of(self, answer: Answer) -> float | None:
        """The cost of an answer (USD); None: the endpoint does not report its tokens."""
        if self == FREE:
            return 0.0
        if answer.prompt_tokens is None or answer.completion_tokens is None:
            return None
        return self.cost(answer.prompt_tokens, answer.completion_tokens, answer.batch)


FREE = Price(0.0, 0.0)


class ModelPrice(BaseModel):
    """A model's entry in a table of prices (USD per million tokens)."""

    model_config = ConfigDict(extra="forbid")

    input: float = Field(ge=0, allow_inf_nan=False)
    output: float = Field(ge=0, allow_inf_nan=False)


class Prices(BaseModel):
    """A table of prices, with the day it was read and its source."""

    model_config = ConfigDict(extra="forbid")

    source: str
    read: date
    batch_share: float = Field(1.0, gt=0, le=1)
    models: dict[str, ModelPrice]

    def price(self, model: str) -> Price | None:
        """A model's price, by its name or its name without a snapshot's date; None: not in the table."""
        entry = self.models.get(model) or self.models.get(SNAPSHOT.sub("", model))
        return None if entry is None else Price(entry.input, entry.output, self.batch_share)

    def price_for(self, settings: ModelSettings) -> Price | None:
        """The price of the model in the settings; None: not known.

        `free` decides if it is set. A price in the table comes next: a gateway in your own network may
        pass requests on to a paid model. A model without a price is free on this machine and in a
        private network.
        """
        if settings.free:
            return FREE
        priced = self.price(settings.model)
        if priced is None and settings.free is None and is_own_host(settings.base_url):
            return FREE
        return priced


def load_prices(path: Path | None = None) -> Prices:
    """The table of prices: the user's own file, or the one that comes with the package.

    Raises:
        PriceError: the file does not exist, or is not a table of prices.
    """
    if path is None:
        text = (resources.files("wavcaps_assets.llm") / "prices.toml").read_text(encoding="utf-8")
        return Prices.model_validate(tomllib.loads(text))
    try:
        return Prices.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PriceError(f"WAVCAPS_LLM__PRICES names {path}, where {where!r}: {first['msg']}") from error
    except (OSError, ValueError) as error:
        raise PriceError(f"WAVCAPS_LLM__PRICES names {path}, which cannot be read: {error}") from error


def record_cost(record: Mapping[str, Any], prices: Prices) -> float | None:
    """The cost of a ledger record (USD), as recorded or by the table; None: not known."""
    answer = answer_in(record)
    if answer is None or answer.cost_usd is not None:
        return None if answer is None else answer.cost_usd
    price = prices.price(str(record["question"].get("model")))
    return None if price is None else price.cost_of(answer)


def is_own_host(url: str) -> bool:
    """Whether a URL is on this machine or in a private network, judging by its name."""
    host = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        # A name without a dot is a machine in the local network, such as a container.
        return bool(host) and ("." not in host or host.endswith((".localhost", ".local", ".internal")))
    return address.is_private or address.is_loopback
