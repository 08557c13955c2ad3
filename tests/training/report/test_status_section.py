"""The report begins with the state of the sources."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.training.report.report_store import SOURCES, Page
from wavcaps_assets.crawl.freshness import Freshness, Overdue
from wavcaps_assets.status.table import Pause, Room, SourceState, status_table
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_training.paper.experiments import DEMO_EXPERIMENT
from wavcaps_training.report.collect import collect
from wavcaps_training.report.render import render_report

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
BEHIND = Freshness(4, 1, (Overdue("2026-02", NOW - timedelta(hours=30), True),), NOW, True)


@pytest.fixture
def tables(tmp_path: Path) -> TableStore:
    return TableStore(Store(tmp_path / "store"))


def page_of(tables: TableStore) -> str:
    return render_report(collect(tables, SOURCES, DEMO_EXPERIMENT))


def test_it_is_the_first_section_and_shows_every_source(tables: TableStore) -> None:
    states = [
        SourceState("x", "<b>FreeSound</b>", BEHIND, 2.0, Pause(NOW, "crawl: quota"), ["captions: schema"]),
        SourceState("y", "SoundBible", Freshness(1, 0, (), None, False), None, None, []),
    ]
    tables.write(["status"], None, status_table(states, Room(20.0, 4.5, 5 * 10**9), NOW))
    html = page_of(tables)
    assert Page(html).unbalanced == []
    section = html.split("<section")[1]
    assert 'id="status"' in section and "As of 10 March 2026, 12:00 UTC" in section
    for said in ("1 partition, 1 d 6 h", "crawl: quota", "captions: schema", "4.50 of 20.00 USD", "5.0 GB"):
        assert said in section
    assert "never crawled" in section and "not known" in section and "<b>FreeSound" not in section


def test_without_the_table_and_without_sources(tables: TableStore) -> None:
    assert "The state of the sources (the asset status): not available yet." in page_of(tables)
    tables.write(["status"], None, status_table([], Room(None, None, None), NOW))
    assert "No source takes part." in page_of(tables)
