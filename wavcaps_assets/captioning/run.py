"""A source's captions as a run makes them: estimated, within a budget, told of as it goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pyarrow as pa

from wavcaps_assets.captioning.batches import BatchModel, BatchRequest
from wavcaps_assets.captioning.budget import Budget
from wavcaps_assets.captioning.chat import ChatModel
from wavcaps_assets.captioning.comparison import ComparisonResult, compare
from wavcaps_assets.captioning.engine import caption_clips, first_questions
from wavcaps_assets.captioning.estimate import Planned, estimate
from wavcaps_assets.captioning.ledger import Ledger
from wavcaps_assets.captioning.prices import load_prices
from wavcaps_assets.captioning.progress import Standing, Tell
from wavcaps_assets.captioning.settings import CaptioningSettings, Method
from wavcaps_assets.settings import ModelSettings
from wavcaps_assets.stages import Stage
from wavcaps_assets.storage import Store

# Between two lines of the log (s).
TOLD_EVERY_S = 60.0


class Provider(StrEnum):
    """How the model is asked: a request at a time, or through OpenAI's Batch API at half the price."""

    ONLINE = "online"
    BATCH = "batch"


@dataclass(frozen=True)
class Captioned:
    """A source's captions, and what is worth knowing of how they were made."""

    stage: Stage
    facts: Mapping[str, str | int | float]


def caption_source(
    clips: pa.Table,
    source: str,
    settings: CaptioningSettings,
    llm: ModelSettings,
    store: Store,
    ledger: Ledger,
    provider: Provider = Provider.ONLINE,
    tell: Tell | None = None,
    say: Callable[[str], object] = lambda line: None,
) -> Captioned:
    """Captions a source within the budget of `llm`; see `engine.caption_clips`.

    Through batches, what their answers leave open is asked online.

    Args:
        say: told what a person wants to read in the log: the estimate, and how far it is.

    Raises:
        Paused: a budget is used up, or a batch takes its time; what was answered stays.
        EndpointError, PromptError, PriceError, BudgetTooSmall: see there.
    """
    if settings.method is not Method.MODEL:
        return Captioned(caption_clips(clips, source, settings, None, ledger), {})
    prices = load_prices(llm.prices)
    model = ChatModel(llm)
    planned = [Planned(*asked) for asked in first_questions(clips, source, settings, model.name)]
    before = estimate(planned, ledger, prices, llm, provider is Provider.BATCH, settings.max_attempts)
    say(before.summary)
    facts: dict[str, str | int | float] = dict(before.metadata())
    with Budget(prices, model.name, ledger, llm) as budget:
        if provider is Provider.BATCH:
            by_batch(planned, llm, store, ledger, budget)
        standing = Reporter(say)
        stage = caption_clips(clips, source, settings, model, ledger, tell, budget, standing.hear)
        facts |= standing.facts()
        facts["spent by this run (USD)"] = budget.run_usd
    return Captioned(stage, facts)


@dataclass(frozen=True)
class Way:
    """A way of captioning: the settings, and the model."""

    settings: CaptioningSettings
    llm: ModelSettings


def compare_ways(
    clips: pa.Table,
    source: str,
    ways: tuple[Way, Way],
    most: int,
    store: Store,
    ledger: Ledger,
    say: Callable[[str], object] = lambda line: None,
) -> ComparisonResult:
    """Captions the same clips in two ways, and compares them.

    Args:
        most: how many clips, evenly drawn.

    Raises:
        As `caption_source`.
    """
    step = max(1, -(-clips.num_rows // most))
    drawn = clips.take(list(range(0, clips.num_rows, step)))
    first, second = (
        caption_source(drawn, source, way.settings, way.llm, store, ledger, say=say).stage for way in ways
    )
    return compare(first, second, {record["key"]: record for record in ledger.newest()})


def by_batch(
    planned: Sequence[Planned], llm: ModelSettings, store: Store, ledger: Ledger, budget: Budget
) -> None:
    """Has the questions answered by batches, as far as the budget goes."""
    requests = [BatchRequest(question, messages) for question, messages in planned]
    open_requests = [request for request in requests if request.question not in ledger]
    # The whole of it must fit: a batch, once submitted, is paid for.
    reserved = [
        budget.reserve(request.messages, request.question.parameters, batch=True) for request in open_requests
    ]
    try:
        BatchModel(llm, store).answer_all(requests, ledger)
    finally:
        for request, reservation in zip(open_requests, reserved, strict=True):
            answer = ledger.get(request.question)
            if answer is None:
                budget.release(reservation)
            else:
                budget.settle(answer, reservation)


class Reporter:
    """Says now and then how far the asking is, and keeps the last word for the asset's page."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._said_at = time.monotonic()
        self._last: Standing | None = None

    def hear(self, standing: Standing) -> None:
        self._last = standing
        now = time.monotonic()
        if now - self._said_at >= TOLD_EVERY_S:
            self._said_at = now
            left = "" if standing.left_s is None else f", some {standing.left_s / 60:.0f} minutes left"
            self._say(
                f"{standing.done} of {standing.total} texts, {standing.rate:.1f} a second, "
                f"{standing.prompt_tokens + standing.completion_tokens} tokens{left}"
            )

    def facts(self) -> dict[str, Any]:
        if self._last is None:
            return {}
        return {
            "requests made": self._last.requests,
            "tokens in": self._last.prompt_tokens,
            "tokens out": self._last.completion_tokens,
            "texts a second": round(self._last.rate, 2),
        }
