"""The table of the sources' states, and what is left of the month's budget."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from wavcaps_assets.crawl.freshness import Freshness, Overdue
from wavcaps_assets.llm.budget import Budget
from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger
from wavcaps_assets.llm.messages import Message
from wavcaps_assets.llm.month import left_of_month
from wavcaps_assets.llm.prices import load_prices
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.status.disk import disk_left
from wavcaps_assets.status.table import Pause, Room, SourceState, lines, status_table
from wavcaps_assets.store.storage import Store

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
UNLIMITED = Room(None, None, 5_000_000_000)


def source(found: Freshness, pace: float | None = None, pause: Pause | None = None) -> SourceState:
    return SourceState("freesound", "FreeSound", found, pace, pause, ["captions: repeated"])


def test_a_source_that_is_behind_and_paused() -> None:
    overdue = (Overdue("2026-02", NOW - timedelta(days=3, hours=4), True),)
    found = Freshness(4, 1, overdue, NOW - timedelta(days=9), True)
    pause = Pause(NOW + timedelta(hours=2), "crawl: quota")
    table = status_table([source(found, 2.0, pause)], Room(20.0, 0.0, None), NOW)
    (row,) = table.to_pylist()
    assert (row["state"], row["overdue"], row["behind_by_h"]) == ("behind", 1, 76.0)
    assert (row["days_left"], row["budget_left_usd"], row["schedule"]) == (1.5, 0.0, "on")
    (line,) = lines(table)
    assert line["behind"] == "1 partition, 3 d 4 h"
    assert line["paused"] == "2026-03-10 14:00 UTC (crawl: quota)"
    assert (line["budget"], line["disk"]) == ("0.00 of 20.00 USD", "not known")
    assert line["blocked"] == "captions: repeated"


def test_what_is_not_known_says_so_and_no_limit_is_no_number() -> None:
    never = Freshness(3, 0, (), None, False)
    (row,) = status_table([source(never)], UNLIMITED, NOW).to_pylist()
    assert (row["state"], row["schedule"], row["newest_crawl"]) == ("never crawled", "off", None)
    assert (row["behind_since"], row["behind_by_h"], row["days_left"]) == (None, None, None)
    assert (row["budget_month_usd"], row["budget_left_usd"]) == (None, None)
    unknown = Freshness(1, 0, (Overdue("catalogue", None, True),), None, True)
    (line,) = lines(status_table([source(unknown)], UNLIMITED, NOW))
    assert line["behind"] == "1 partition, not known"
    assert (line["days"], line["budget"], line["disk"]) == ("not known", "no limit", "5.0 GB")


def test_a_source_whose_schedule_is_off_is_fresh_only_if_nothing_is_missing() -> None:
    states = [
        status_table([source(Freshness(300, finished, (), NOW, promised))], UNLIMITED, NOW).to_pylist()[0][
            "state"
        ]
        for finished, promised in ((1, False), (300, False), (1, True))
    ]
    assert states == ["partly crawled", "fresh", "fresh"]


def test_no_source_takes_part() -> None:
    assert lines(status_table([], UNLIMITED, NOW)) == []


def test_the_disk_is_that_of_the_folder_or_of_the_nearest_one_that_exists(tmp_path: Path) -> None:
    known = disk_left([tmp_path])
    later = disk_left([tmp_path / "not" / "there"])
    assert known is not None and later is not None and known > 0
    assert abs(known - later) < 1e9
    assert disk_left([]) is None


def test_the_budget_left_is_that_of_the_runs(store: Store) -> None:
    settings = ModelSettings(model="gpt-4o-mini", budget_month_usd=1.0)
    assert left_of_month(store, ModelSettings(), NOW) is None
    assert left_of_month(store, settings, NOW) == 1.0
    message = Message(role="user", content="rain")
    with (
        ResponseLedger(store, ANSWERS) as ledger,
        Budget(load_prices(), "gpt-4o-mini", ledger, settings, lambda: NOW) as budget,
    ):
        held = budget.reserve([message], {"max_tokens": 1000})
        used = budget.month_usd
        assert used > 0
        budget.write_off(held)
    left = left_of_month(store, settings, NOW)
    assert left is not None and abs(left - (1.0 - used)) < 1e-9
    # Another month has its own.
    assert left_of_month(store, settings, NOW + timedelta(days=30)) == 1.0
    assert left_of_month(store, settings.model_copy(update={"budget_month_usd": used / 2}), NOW) == 0.0
