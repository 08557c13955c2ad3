"""A source's captions as a run makes them: estimated, within a budget, told of as it goes."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import pyarrow as pa

from wavcaps_assets.captioning.comparison import ComparisonResult, compare, paid_for
from wavcaps_assets.captioning.engine import ask, caption_clips, first_questions, group_texts
from wavcaps_assets.captioning.settings import CaptioningSettings, Method
from wavcaps_assets.captioning.source_texts import read_texts
from wavcaps_assets.llm.batch.paying import by_batch, told_failures
from wavcaps_assets.llm.budget import Budget
from wavcaps_assets.llm.chat import ChatModel
from wavcaps_assets.llm.estimate import estimate
from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.llm.prices import load_prices
from wavcaps_assets.llm.progress import Account, Facts, Standing, Watch
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.stage import Stage

# Between two lines of the log (s).
TOLD_EVERY_S = 60.0


class Provider(StrEnum):
    """How the model is asked: a request at a time, or through OpenAI's Batch API at half the price."""

    ONLINE = "online"
    BATCH = "batch"


@dataclass(frozen=True)
class Captioned:
    """A source's captions, and what is worth knowing of how they were made.

    Attributes:
        taken: see `engine.Outcome`.
    """

    stage: Stage
    facts: Facts
    taken: Mapping[str, int]


def caption_source(
    clips: pa.Table,
    source: str,
    settings: CaptioningSettings,
    llm: ModelSettings,
    store: Store,
    ledger: ResponseLedger,
    provider: Provider = Provider.ONLINE,
    show: Watch | None = None,
    say: Callable[[str], object] = lambda line: None,
    account: Account | None = None,
    run: str = "",
) -> Captioned:
    """Captions a source within the budget of `llm`; see `engine.caption_clips`.

    Through batches, what their answers leave open is asked online.

    Args:
        show: told after each answer how far it is, for the terminal.
        say: told what a person wants to read in the log: the estimate, and how far it is.
        account: told the estimate before anything is asked, and what was spent, whatever the end.
        run: the run that the budget is counted in, with all that it asks besides; empty: one of its own.

    Raises:
        Paused: a budget is used up, or a batch takes its time; what was answered stays.
        EndpointError, PromptError, PriceError, BudgetTooSmall: see there.
    """
    if settings.method is not Method.MODEL:
        return Captioned(caption_clips(clips, source, settings, None, ledger), {}, {})
    prices = load_prices(llm.prices)
    model = ChatModel(llm)
    found = read_texts(clips, source, settings)
    grouping = group_texts(found, source, settings, model.name, ledger)
    account = account or Account()
    standing = Reporter(say, show)
    with Budget(prices, model.name, ledger, llm, run=run) as budget:
        planned = first_questions(grouping, source, settings, model.name, ledger)
        before = estimate(planned, ledger, prices, llm, provider is Provider.BATCH, settings.max_attempts)
        say(before.summary)
        account.estimated(before.metadata())
        try:
            if provider is Provider.BATCH:
                planned = first_questions(grouping, source, settings, model.name, ledger)
                told = standing.of_batches(len(found.questions))
                failed = by_batch(planned, source, llm, store, ledger, budget, progress=told)
                account.spent({"requests without an answer by batch": len(failed)})
                if failed:
                    say(told_failures(failed))
            outcome = ask(
                found,
                grouping,
                source,
                settings,
                model,
                ledger,
                spending=budget,
                watch=standing.hear,
            )
        finally:
            account.spent({**standing.facts(), "spent by this run (USD)": budget.run_usd})
    return Captioned(outcome.stage, account.facts, outcome.taken)


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
    ledger: ResponseLedger,
    say: Callable[[str], object] = lambda line: None,
    accounts: tuple[Account | None, Account | None] = (None, None),
    run: str = "",
) -> ComparisonResult:
    """Captions the same clips in two ways, and compares them. Both are within one budget.

    Args:
        most: how many clips, evenly drawn.
        accounts: of each way, as in `caption_source`.
        run: as there.

    Raises:
        As `caption_source`.
    """
    step = max(1, -(-clips.num_rows // most))
    drawn = clips.take(list(range(0, clips.num_rows, step)))
    run = run or uuid.uuid4().hex
    first, second = (
        caption_source(drawn, source, way.settings, way.llm, store, ledger, say=say, account=account, run=run)
        for way, account in zip(ways, accounts, strict=True)
    )
    paid = tuple(
        paid_for(captioned.taken, ledger, load_prices(way.llm.prices))
        for captioned, way in ((first, ways[0]), (second, ways[1]))
    )
    return compare(first.stage, second.stage, (paid[0], paid[1]))


class Reporter:
    """Says now and then how far the asking is, and keeps the last word for the asset's page.

    One reporter may hear of several askings, one after the other: it adds them up.
    """

    def __init__(self, say: Callable[[str], object], show: Watch | None = None) -> None:
        self._say = say
        self._show = show
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
        told = replace(standing, cost_usd=self._cost)
        if self._show:
            self._show(told)
        now = time.monotonic()
        if now - self._said_at >= TOLD_EVERY_S:
            self._said_at = now
            self._say(f"{told.done} of {told.total} texts, {told.line}")

    def of_batches(self, texts: int) -> Callable[[int, int], None]:
        """What is to be told of the requests that batches have answered; they stand for all texts."""
        before = -1

        def hear(done: int, total: int) -> None:
            nonlocal before
            if done != before:
                before = done
                self._say(f"{done} of {total} requests are answered by batch")
                if self._show:
                    self._show(Standing(texts * done // max(total, 1), texts, 0, 0, 0, 0.0))

        return hear

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
