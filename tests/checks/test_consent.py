"""Clips whose licence or author's preference forbids more than at the crawl before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from wavcaps_assets.checks.consent import check_consent_kept
from wavcaps_assets.checks.outcome import CheckOutcome
from wavcaps_assets.crawl.crawl import crawl
from wavcaps_assets.network.client import Network
from wavcaps_assets.sources.base import Record, Source
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore

MONTH = "2022-01"
CC0, BY, BY_NC = (
    "http://creativecommons.org/publicdomain/zero/1.0/",
    "https://creativecommons.org/licenses/by/4.0/",
    "https://creativecommons.org/licenses/by-nc/4.0/",
)
DOG = Record(
    "1", "http://a/1", description="a dog", licence=CC0, gen_ai_preference="no-additional-preferences"
)
UNRESTRICTED = "no-additional-preferences"
CAT = Record("2", "http://a/2", description="a cat", licence=BY, gen_ai_preference="no-gen-ai")


class Scripted(Source):
    name = "freesound"
    title = "FreeSound"

    def __init__(self, found: tuple[Record, ...]) -> None:
        self._found = found

    def partitions(self) -> list[str]:
        return [MONTH]

    def records(self, network: Network, partition: str) -> Iterator[Record]:
        yield from self._found


@pytest.fixture
def tables(tmp_path: Path) -> TableStore:
    return TableStore(Store(tmp_path / "store"))


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    with Network(tmp_path / "state") as client:
        yield client


def after(tables: TableStore, network: Network, *found: Record) -> CheckOutcome:
    """The check after a crawl."""
    result = crawl(Scripted(found), MONTH, network, tables)
    tables.write(["freesound", "raw_clips"], MONTH, result.stage)
    return check_consent_kept(tables, "freesound", MONTH)


def test_what_forbids_more_is_named_once(tables: TableStore, network: Network) -> None:
    assert after(tables, network, DOG, CAT).passed
    relicensed = replace(DOG, licence=BY_NC)
    found = after(tables, network, relicensed, CAT)
    assert not found.passed and found.numbers["clips"] == 1
    assert "freesound-1: CC0-1.0 → CC-BY-NC-4.0, not for commercial" in found.description
    # At the next crawl it is no news, and neither is the other record's title.
    assert after(tables, network, relicensed, replace(CAT, title="Cat")).passed
    withdrawn = after(tables, network, replace(relicensed, gen_ai_preference="no-gen-ai"), CAT)
    assert "no-additional-preferences → no-gen-ai" in withdrawn.description


@pytest.mark.parametrize(
    "change",
    [
        {"licence": BY_NC, "gen_ai_preference": UNRESTRICTED},
        {"description": "a grey cat"},
        {"licence": CC0, "gen_ai_preference": "open-source-models"},
    ],
)
def test_what_permits_the_same_or_more_is_no_news(
    tables: TableStore, network: Network, change: dict[str, str]
) -> None:
    first = replace(CAT, licence=BY_NC)
    after(tables, network, DOG, first)
    assert after(tables, network, DOG, replace(first, **change)).passed  # type: ignore[arg-type]


def test_clips_that_are_gone_are_not_meant(tables: TableStore, network: Network) -> None:
    after(tables, network, DOG, CAT)
    assert after(tables, network, DOG).passed
