"""What a run will ask and cost, before it asks anything."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import NamedTuple

from wavcaps_assets.llm.ledger import Request, ResponseLedger
from wavcaps_assets.llm.messages import Message
from wavcaps_assets.llm.prices import Prices
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.llm.tokens import Rates, counted_by_server, learn, size

# Questions that a server is asked to count.
SAMPLE = 50


class Planned(NamedTuple):
    """A question that a run is about to ask, and the messages that ask it."""

    question: Request
    messages: Sequence[Message]


@dataclass(frozen=True)
class Estimate:
    """What is left to ask, and what that will take.

    Attributes:
        requests: questions that the ledger has no answer to, each asked once.
        answered: questions that it has one to, which cost nothing.
        input_tokens: of those requests.
        output_tokens: of those requests, at the length that is expected.
        cost_low_usd: every question asked once, at the lower end; None: the price is not known.
        cost_high_usd: every answer as long as it may be, and as many questions asked again as before;
            in the first run all of them, as often as the settings allow.
        how: how the tokens were counted.
        price: the price that was taken, with its date.
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
    planned: Iterable[Planned],
    ledger: ResponseLedger,
    prices: Prices,
    settings: ModelSettings,
    batch: bool = False,
    max_attempts: int = 1,
) -> Estimate:
    """What the questions will take that the ledger has no answer to.

    The tokens are counted by the model's server where it is one's own and can: of all questions, or of
    50 drawn at random. Else they are taken from what the model counted of earlier questions, or from a
    rule of thumb.

    Args:
        planned: the questions of a run, which are read once.
        batch: whether they go through a batch interface, at its price.
        max_attempts: how often a text is asked about at most.
    """
    chance = random.Random(0)
    sample: list[Sequence[Message]] = []
    requests = answered = sizes = texts = most_output = 0
    for question, messages in planned:
        if question in ledger:
            answered += 1
            continue
        requests += 1
        sizes += size(messages)
        texts += len(question.inputs)
        most_output += most_completion(question) or 0
        if len(sample) < SAMPLE:
            sample.append(messages)
        elif (place := chance.randrange(requests)) < SAMPLE:
            sample[place] = messages
    rates = learn(ledger, settings.model)
    if (counts := counted_by_server(settings, sample)) is not None:
        rates = _measured(rates, sample, counts, requests)
    input_tokens = round(sizes * rates.per_size)
    output_tokens = round(texts * rates.output_a_text)
    price = prices.price_for(settings)
    low = high = None
    if price is not None:
        low = price.cost(input_tokens * (1 - rates.uncertainty), output_tokens * 0.5, batch)
        high = price.cost(input_tokens * (1 + rates.uncertainty), max(most_output, output_tokens), batch)
        high *= max_attempts if rates.asked_again is None else 1 + rates.asked_again
    named = "no price is known for this model" if price is None else _named(prices, settings, batch)
    return Estimate(requests, answered, input_tokens, output_tokens, low, high, rates.how, named)


def most_completion(question: Request) -> int | None:
    """The longest answer that a question allows (tokens); None: it sets no limit."""
    limit = question.parameters.get("max_completion_tokens", question.parameters.get("max_tokens"))
    return int(limit) if limit is not None else None


def _measured(
    rates: Rates, sample: Sequence[Sequence[Message]], counts: Sequence[int], requests: int
) -> Rates:
    per_size = sum(counts) / sum(size(messages) for messages in sample)
    if requests == len(sample):
        return replace(rates, per_size=per_size, uncertainty=0.0, how="by the model's own tokenizer")
    how = f"by the model's own tokenizer, {len(sample)} of the requests"
    return replace(rates, per_size=per_size, uncertainty=0.1, how=how)


def _named(prices: Prices, settings: ModelSettings, batch: bool) -> str:
    price = prices.price_for(settings)
    if price is None or settings.free or prices.price(settings.model) is None:
        return "a server of one's own, free"
    by_batch = f", times {price.batch_share:g} by batch" if batch else ""
    read: date = prices.read
    return (
        f"{price.input:g} and {price.output:g} USD a million tokens in and out{by_batch}, as read on {read}"
    )
