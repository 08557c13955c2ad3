"""A source's captions as a run makes them: estimated, within a budget, told of as it goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import pyarrow as pa

from wavcaps_assets.captioning.batch_money import Reserved
from wavcaps_assets.captioning.batches import BatchModel, BatchRequest, BatchSettings
from wavcaps_assets.captioning.budget import Budget, Reservation
from wavcaps_assets.captioning.chat import ChatModel
from wavcaps_assets.captioning.comparison import ComparisonResult, compare
from wavcaps_assets.captioning.engine import caption_clips, first_questions
from wavcaps_assets.captioning.estimate import Planned, estimate
from wavcaps_assets.captioning.ledger import Ledger
from wavcaps_assets.captioning.prices import load_prices
from wavcaps_assets.captioning.progress import Account, Facts, Standing, Tell
from wavcaps_assets.captioning.settings import CaptioningSettings, Method
from wavcaps_assets.captioning.tokens import size
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
    facts: Facts


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
    account: Account | None = None,
) -> Captioned:
    """Captions a source within the budget of `llm`; see `engine.caption_clips`.

    Through batches, what their answers leave open is asked online.

    Args:
        say: told what a person wants to read in the log: the estimate, and how far it is.
        account: told the estimate before anything is asked, and what was spent, whatever the end.

    Raises:
        Paused: a budget is used up, or a batch takes its time; what was answered stays.
        EndpointError, PromptError, PriceError, BudgetTooSmall: see there.
    """
    if settings.method is not Method.MODEL:
        return Captioned(caption_clips(clips, source, settings, None, ledger), {})
    prices = load_prices(llm.prices)
    model = ChatModel(llm)
    planned = [Planned(*asked) for asked in first_questions(clips, source, settings, model.name, ledger)]
    before = estimate(planned, ledger, prices, llm, provider is Provider.BATCH, settings.max_attempts)
    say(before.summary)
    account = account or Account()
    account.estimated(before.metadata())
    standing = Reporter(say)
    with Budget(prices, model.name, ledger, llm) as budget:
        try:
            if provider is Provider.BATCH:
                by_batch(planned, source, llm, store, ledger, budget)
            stage = caption_clips(clips, source, settings, model, ledger, tell, budget, standing.hear)
        finally:
            account.spent({**standing.facts(), "spent by this run (USD)": budget.run_usd})
    return Captioned(stage, account.facts)


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
    accounts: tuple[Account | None, Account | None] = (None, None),
) -> ComparisonResult:
    """Captions the same clips in two ways, and compares them.

    Args:
        most: how many clips, evenly drawn.
        accounts: of each way, as in `caption_source`.

    Raises:
        As `caption_source`.
    """
    step = max(1, -(-clips.num_rows // most))
    drawn = clips.take(list(range(0, clips.num_rows, step)))
    first, second = (
        caption_source(drawn, source, way.settings, way.llm, store, ledger, say=say, account=account).stage
        for way, account in zip(ways, accounts, strict=True)
    )
    return compare(first, second, {record["key"]: record for record in ledger.newest()})


def by_batch(
    planned: Sequence[Planned],
    source: str,
    llm: ModelSettings,
    store: Store,
    ledger: Ledger,
    budget: Budget,
    limits: BatchSettings | None = None,
) -> None:
    """Has the questions answered by batches, as far as the budget goes.

    What is submitted is paid for, whether or not this run lives to collect it: it stays set aside in the
    month's counter until a run has.

    Raises:
        As `BatchModel.answer_all`, and BudgetExhausted: not all of it fits; nothing is submitted.
    """
    requests = [BatchRequest(question, messages, source, size(messages)) for question, messages in planned]
    # In a bucket there is no counter that outlives a run: all is set aside anew.
    lasting = bool(llm.budget_month_usd) and store.is_folder
    with Reserved(store) if lasting else nullcontext() as reserved:
        held: dict[str, Reservation] = {}
        fresh: dict[str, Reservation] = {}
        try:
            for question, messages in planned:
                earlier = reserved.get(question.key) if reserved else None
                if earlier is not None:
                    held[question.key] = earlier
                elif question not in ledger:
                    fresh[question.key] = budget.reserve(messages, question.parameters, batch=True)
        except BaseException:
            for reservation in fresh.values():
                budget.release(reservation)
            raise
        held |= fresh
        if reserved:
            reserved.hold(fresh)
        try:
            BatchModel(llm, store, limits=limits).answer_all(requests, ledger)
        except BaseException:
            _settle(requests, held, ledger, budget, reserved, ended=not reserved)
            raise
        _settle(requests, held, ledger, budget, reserved, ended=True)


def _settle(
    requests: Sequence[BatchRequest],
    held: Mapping[str, Reservation],
    ledger: Ledger,
    budget: Budget,
    reserved: Reserved | None,
    ended: bool,
) -> None:
    """Replaces what was set aside by what was paid; what has no answer is given back if all has ended."""
    done = []
    for request in requests:
        reservation = held.get(request.question.key)
        answer = ledger.get(request.question)
        if reservation is None or (answer is None and not ended):
            continue
        if answer is None:
            budget.release(reservation)
        else:
            budget.settle(answer, reservation)
        done.append(request.question.key)
    if reserved:
        reserved.end(done)


class Reporter:
    """Says now and then how far the asking is, and keeps the last word for the asset's page.

    One reporter may hear of several askings, one after the other: it adds them up.
    """

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._said_at = time.monotonic()
        self._ended: list[Standing] = []
        self._last: Standing | None = None

    def next_asking(self) -> None:
        """What is heard from now on is of another asking."""
        if self._last is not None:
            self._ended.append(self._last)
        self._last = None

    def hear(self, standing: Standing) -> None:
        self._last = standing
        now = time.monotonic()
        if now - self._said_at >= TOLD_EVERY_S:
            self._said_at = now
            left = "" if standing.left_s is None else f", some {standing.left_s / 60:.0f} minutes left"
            cost = "" if self._cost is None else f", {self._cost:.4g} USD so far"
            self._say(
                f"{standing.done} of {standing.total} texts, {standing.rate:.1f} a second, "
                f"{standing.prompt_tokens + standing.completion_tokens} tokens{cost}{left}"
            )

    @property
    def _all(self) -> list[Standing]:
        return [*self._ended, *([self._last] if self._last else [])]

    @property
    def _cost(self) -> float | None:
        """What the askings have cost (USD); None where it is not known."""
        known = [standing.cost_usd for standing in self._all if standing.cost_usd is not None]
        return sum(known) if known else None

    def facts(self) -> dict[str, Any]:
        every = self._all
        if not every:
            return {}
        known = {
            "requests made": sum(standing.requests for standing in every),
            "tokens in": sum(standing.prompt_tokens for standing in every),
            "tokens out": sum(standing.completion_tokens for standing in every),
            "texts a second": round(every[-1].rate, 2),
        }
        return known if self._cost is None else {**known, "cost of the answers (USD)": self._cost}
