"""What requests will use and cost, before any is sent."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.llm.messages import Message
from wavcaps_assets.llm.prices import Prices
from wavcaps_assets.llm.records import Request
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.llm.tokens import (
    DEFAULT_UNCERTAINTY,
    Rates,
    bytes_beyond,
    counted_by_server,
    learn,
    longest_answer,
    size,
)

# Requests whose tokens a server is asked to count.
SAMPLE = 50


@dataclass(frozen=True)
class Estimate:
    """What is left to send, and what that will use and cost.

    Attributes:
        requests: those without an answer in the ledger, each sent once.
        answered: those with an answer, which cost nothing.
        input_tokens: of those requests.
        output_tokens: of those requests, at the expected length.
        cost_low_usd: every request sent once, at the low end; None: the price is not known.
        cost_high_usd: every answer as long as allowed, and every request sent that may follow. More is not
            spent, unless the endpoint loses answers, or counts more tokens than it is expected to.
        how: how the tokens were counted.
        price: the price in use, with its date.
    """

    requests: int
    answered: int
    input_tokens: int
    output_tokens: int
    cost_low_usd: float | None
    cost_high_usd: float | None
    how: str
    price: str

    @property
    def summary(self) -> str:
        """For the log and the terminal."""
        counted = (
            f"{self.requests:,} requests ({self.answered:,} answered already), about "
            f"{self.input_tokens:,} tokens in and {self.output_tokens:,} out (counted: {self.how})"
        )
        return f"{counted}: {self.cost} ({self.price})"

    @property
    def cost(self) -> str:
        if self.cost_low_usd is None or self.cost_high_usd is None:
            return "cost unknown"
        if self.cost_high_usd == 0:
            return "no cost"
        return f"{self.cost_low_usd:.4g} to {self.cost_high_usd:.4g} USD"

    def metadata(self) -> dict[str, str | int | float]:
        """For the asset's page."""
        known: dict[str, str | int | float] = {
            "requests to make": self.requests,
            "requests answered already": self.answered,
            "estimated input tokens": self.input_tokens,
            "estimated output tokens": self.output_tokens,
            "estimated cost": f"{self.cost} ({self.price})",
            "tokens counted": self.how,
        }
        if self.cost_low_usd is not None and self.cost_high_usd is not None:
            known["estimated cost, low (USD)"] = self.cost_low_usd
            known["estimated cost, high (USD)"] = self.cost_high_usd
        return known


def estimate(
    requests: Iterable[Request],
    ledger: ResponseLedger,
    prices: Prices,
    settings: ModelSettings,
    batch: bool = False,
    follow_ups: Iterable[Request] = (),
) -> Estimate:
    """Estimates the requests that have no answer in the ledger.

    Your own model server counts the tokens if it can: of all requests, or of 50 at random. Else they are
    estimated from what the model counted for earlier requests, or by a rule of thumb.

    Args:
        requests: read once.
        batch: whether they go through a batch interface, at its price.
        follow_ups: the requests that their answers may lead to, sent at the normal price. Read once.
    """
    chance = random.Random(0)
    sample: list[Sequence[Message]] = []
    count = answered = texts = 0
    first, later = Most(), Most()
    for request in requests:
        if request in ledger:
            answered += 1
            continue
        count += 1
        messages = request.messages
        first.add(request, messages)
        texts += len(request.inputs)
        if len(sample) < SAMPLE:
            sample.append(messages)
        elif (place := chance.randrange(count)) < SAMPLE:
            sample[place] = messages
    rates = learn(ledger, settings.model)
    if (counts := counted_by_server(settings, sample)) is not None:
        rates = _measured(rates, sample, counts, count)
    for request in follow_ups:
        if request not in ledger:
            later.add(request, request.messages)
    input_tokens = round(first.size * rates.per_size)
    output_tokens = round(texts * rates.output_a_text)
    price = prices.price_for(settings)
    low = high = None
    if price is not None:
        low = price.cost(input_tokens * (1 - rates.uncertainty), output_tokens * 0.5, batch)
        most_input = input_tokens * (1 + rates.uncertainty) + first.bytes_beyond
        high = price.cost(most_input, max(first.output, output_tokens), batch)
        # They may be shorter than the requests that the rates are known from, or longer.
        per_size = rates.per_size * (1 + DEFAULT_UNCERTAINTY)
        high += price.cost(later.size * per_size + later.bytes_beyond, later.output)
    named = "no price is known for this model" if price is None else _named(prices, settings, batch)
    return Estimate(count, answered, input_tokens, output_tokens, low, high, rates.how, named)


@dataclass
class Most:
    """The most that some requests can use.

    Attributes:
        size, bytes_beyond: of their messages, by the functions of `tokens`.
        output: the longest answers (tokens).
    """

    size: int = 0
    bytes_beyond: int = 0
    output: int = 0

    def add(self, request: Request, messages: Sequence[Message]) -> None:
        self.size += size(messages)
        self.bytes_beyond += bytes_beyond(messages)
        self.output += longest_answer(request.parameters) or 0


def _measured(rates: Rates, sample: Sequence[Sequence[Message]], counts: Sequence[int], total: int) -> Rates:
    per_size = sum(counts) / sum(size(messages) for messages in sample)
    if total == len(sample):
        return replace(rates, per_size=per_size, uncertainty=0.0, how="by the model's own tokenizer")
    how = f"by the model's own tokenizer, {len(sample)} of the requests"
    return replace(rates, per_size=per_size, uncertainty=0.1, how=how)


def _named(prices: Prices, settings: ModelSettings, batch: bool) -> str:
    price = prices.price_for(settings)
    if price is None or settings.free or prices.price(settings.model) is None:
        return "your own server, free"
    by_batch = f", times {price.batch_share:g} by batch" if batch else ""
    read: date = prices.read
    return (
        f"{price.input:g} and {price.output:g} USD a million tokens in and out{by_batch}, as read on {read}"
    )
