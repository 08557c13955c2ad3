"""A crawl and the one before it: what is new, what changed, what is gone; and nothing overwritten."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr

from tests.simulation.stepped_clock import SteppedClock
from tests.support.rude_server import answer, in_turn, rude_server
from wavcaps_assets.crawl.crawl import CrawlResult, crawl
from wavcaps_assets.crawl.history import History
from wavcaps_assets.crawl.ledger import ledger_of, statuses
from wavcaps_assets.crawl.settings import CrawlSettings
from wavcaps_assets.network.client import Network
from wavcaps_assets.network.errors import BadAnswer, HostDown, NotAllowed
from wavcaps_assets.network.links import host_of
from wavcaps_assets.network.settings import UNLIMITED, NetworkSettings
from wavcaps_assets.sources.base import Blanks, Record, Source, Unread, read_part
from wavcaps_assets.sources.freesound import Freesound
from wavcaps_assets.sources.freesound_settings import FreesoundSettings
from wavcaps_assets.store.migration import SCHEMA_VERSION
from wavcaps_assets.store.row_hash import rows_hash
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import RAW_CLIPS
from wavcaps_assets.tables.asset_tables import NewerVersion, TableStore, path_of
from wavcaps_assets.tables.shrinking import FarFewerRows

PARTITION = "2022-11"
KEY = ["freesound", "raw_clips"]
DOG = Record("1", "http://a/1", title="Dog", description="a dog", author="ann", licence="CC0")
CAT = Record("2", "http://a/2", description="a cat")


class Scripted(Source):
    """A source that lists what a test gives it."""

    name = "freesound"
    title = "FreeSound"

    def __init__(self, found: Sequence[Record | Unread | Blanks]) -> None:
        self.found = found

    def partitions(self) -> list[str]:
        return [PARTITION]

    def records(self, network: Network, partition: str) -> Iterator[Record | Unread | Blanks]:
        yield from self.found


@pytest.fixture
def network(tmp_path: Path) -> Iterator[Network]:
    with Network(tmp_path / "state") as client:
        yield client


@pytest.fixture
def tables(tmp_path: Path) -> TableStore:
    return TableStore(Store(tmp_path / "store"))


def crawled(
    tables: TableStore, network: Network, *found: Record | Unread | Blanks, written: bool = True
) -> CrawlResult:
    result = crawl(Scripted(found), PARTITION, network, tables)
    if written:
        tables.write(KEY, PARTITION, result.stage)
    return result


def kept(result: CrawlResult) -> dict[str, tuple[int, str | None]]:
    return {row["clip_id"]: (row["version"], row["description"]) for row in result.stage.kept.to_pylist()}


def dropped(result: CrawlResult) -> dict[str, str]:
    return {row["clip_id"]: row["reason"] for row in result.stage.dropped.to_pylist()}


def test_what_is_listed_again_stays_as_it_was(tables: TableStore, network: Network) -> None:
    first = crawled(tables, network, DOG, CAT)
    again = crawled(tables, network, CAT, DOG)
    assert first.changes.clips == {"listed": 2}
    assert again.changes.clips == {}
    by_id = [("clip_id", "ascending")]
    assert again.stage.kept.sort_by(by_id).equals(first.stage.kept.sort_by(by_id))
    assert again.stage.crawl_id != first.stage.crawl_id


def test_what_changed_is_a_new_version_and_the_old_one_is_kept(tables: TableStore, network: Network) -> None:
    first = crawled(tables, network, DOG)
    changed = crawled(tables, network, replace(DOG, description="a wolf"))
    assert kept(changed) == {"freesound-1": (2, "a wolf")}
    assert changed.changes.clips == {"changed": 1}
    (row,) = changed.stage.kept.to_pylist()
    (old,) = first.stage.kept.to_pylist()
    assert row["first_crawled_at"] == old["first_crawled_at"] < row["crawled_at"]
    (event,) = [
        event
        for event in ledger_of(tables, "freesound", PARTITION).to_pylist()
        if event["event"] == "changed"
    ]
    before = json.loads(event["before"])
    assert (before["description"], before["version"]) == ("a dog", 1)


def test_what_is_gone_leaves_a_tombstone_and_can_come_back(tables: TableStore, network: Network) -> None:
    crawled(tables, network, DOG, CAT)
    crawled(tables, network, replace(DOG, title="Hound"), CAT)
    gone = crawled(tables, network, CAT)
    assert (kept(gone), dropped(gone)) == ({"freesound-2": (1, "a cat")}, {"freesound-1": "gone"})
    # The tombstone stays for as long as the clip does not come back.
    assert dropped(crawled(tables, network, CAT)) == {"freesound-1": "gone"}
    back = crawled(tables, network, CAT, DOG)
    assert (kept(back)["freesound-1"], dropped(back)) == ((3, "a dog"), {})
    events = [
        (row["event"], row["version"])
        for row in ledger_of(tables, "freesound", PARTITION).to_pylist()
        if row["clip_id"] == "freesound-1"
    ]
    assert events == [("listed", 1), ("changed", 2), ("gone", 2), ("returned", 3)]


def test_the_ledger_says_what_is_so_after_the_clock_was_set_back(
    tables: TableStore, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SteppedClock(datetime(2026, 11, 2, tzinfo=UTC), monkeypatch)
    crawled(tables, network, DOG, CAT)
    clock.set(datetime(2026, 11, 1, tzinfo=UTC))
    crawled(tables, network, DOG)
    ledger = ledger_of(tables, "freesound", PARTITION)
    found = {row["clip_id"]: row["status"] for row in statuses(ledger).to_pylist()}
    assert found == {"freesound-1": "waiting", "freesound-2": "gone"}
    assert ledger.column("at").to_pylist() == sorted(ledger.column("at").to_pylist())


def test_nobody_is_called_gone_while_a_page_could_not_be_read(tables: TableStore, network: Network) -> None:
    crawled(tables, network, DOG, CAT)
    partly = crawled(tables, network, CAT, Unread("page-2", "answers 500"))
    assert kept(partly).keys() == {"freesound-1", "freesound-2"}
    assert dropped(partly) == {"freesound-2022-11-page-2": "unread"}
    whole = crawled(tables, network, CAT)
    assert dropped(whole) == {"freesound-1": "gone"}


def test_a_clip_whose_record_makes_no_sense_today_is_not_gone(tables: TableStore, network: Network) -> None:
    crawled(tables, network, DOG, CAT)
    bad = crawled(tables, network, Record("1", "", problem="duration is no number"), CAT)
    assert kept(bad).keys() == {"freesound-1", "freesound-2"}
    assert dropped(bad) == {"freesound-2022-11-1#1": "bad_record"}


def test_what_was_set_aside_stays_so_while_a_page_could_not_be_read(
    tables: TableStore, network: Network
) -> None:
    crawled(tables, network, Record("1", "", problem="no preview"), CAT)
    partly = crawled(tables, network, CAT, Unread("page-2", "answers 500"))
    assert dropped(partly) == {
        "freesound-2022-11-page-2": "unread",
        "freesound-2022-11-1#1": "bad_record",
    }


def test_too_many_gone_at_once_are_believed_when_it_is_said_twice(
    tables: TableStore, network: Network
) -> None:
    many = [Record(str(number), f"http://a/{number}") for number in range(20)]
    crawled(tables, network, *many)
    emptied = crawled(tables, network)
    assert len(kept(emptied)) == 20
    assert dropped(emptied) == {"freesound-2022-11-vanished": "unread"}
    assert dropped(crawled(tables, network, *many)) == {}
    crawled(tables, network)
    assert list(dropped(crawled(tables, network)).values()) == ["gone"] * 20


def test_a_crawl_that_is_refused_for_its_losses_leaves_no_trace(tables: TableStore, network: Network) -> None:
    many = [Record(str(number), f"http://a/{number}") for number in range(200)]
    few, lost = many[:60], f"would go from {len(many)} rows to 60"
    crawled(tables, network, *many)
    crawled(tables, network, *few)
    refused = []
    for _ in range(2):
        with pytest.raises(FarFewerRows, match=lost):
            crawl(Scripted(few), PARTITION, network, tables, smallest_share=0.5)
        # What is left is read as a page log by the next crawl, which would replay the outage.
        refused.append(tables.store.sizes(f"log/pages/freesound/{PARTITION}"))
    assert refused == [{}, {}]
    crawled(tables, network, *many)
    states = statuses(ledger_of(tables, "freesound", PARTITION)).column("status").to_pylist()
    assert states == ["waiting"] * len(many)


def test_a_damaged_table_is_crawled_again(tables: TableStore, network: Network) -> None:
    first = crawled(tables, network, DOG, CAT)
    tables.store.write_bytes(path_of(KEY, PARTITION), b"PAR1 of a full disk")
    again = crawled(tables, network, DOG, CAT)
    assert kept(again) == kept(first)


def test_a_table_of_another_version_does_not_lose_what_is_known(tables: TableStore, network: Network) -> None:
    crawled(tables, network, DOG, CAT)
    crawled(tables, network, replace(DOG, title="Hound"), CAT)
    path = tables.store.path("tables/freesound/raw_clips/2022-11.parquet")
    pq.write_table(pq.read_table(path).drop_columns("start_s"), path)
    result = crawled(tables, network, DOG)
    assert kept(result) == {"freesound-1": (2, "a dog")}
    assert dropped(result) == {"freesound-2": "gone"}


def test_a_table_of_a_newer_version_is_not_overwritten(tables: TableStore, network: Network) -> None:
    crawled(tables, network, DOG)
    path = tables.store.path("tables/freesound/raw_clips/2022-11.parquet")
    table = pq.read_table(path)
    newer = {**table.schema.metadata, SCHEMA_VERSION.encode(): b"99"}
    pq.write_table(table.replace_schema_metadata(newer), path)
    with pytest.raises(NewerVersion, match=r"a newer version .* wrote it .*update the project"):
        crawled(tables, network, DOG, CAT)


def as_the_first_version_wrote(tables: TableStore) -> None:
    """Takes from the stored table what the first version of its schema did not have."""
    path = tables.store.path("tables/freesound/raw_clips/2022-11.parquet")
    added_since = set(RAW_CLIPS.arrow.names) - RAW_CLIPS.names_in(1)
    table = pq.read_table(path).drop_columns(sorted(added_since))
    metadata = {k: v for k, v in table.schema.metadata.items() if k != SCHEMA_VERSION.encode()}
    hashes = {
        f"freesound-{record.source_id}": hashlib.sha256(
            repr([(name, value) for name, value in vars(record).items() if value]).encode()
        ).hexdigest()
        for record in (DOG, CAT)
    }
    place = table.schema.get_field_index("record_sha256")
    old = pa.array([hashes[clip_id] for clip_id in table["clip_id"].to_pylist()])
    pq.write_table(
        table.set_column(place, table.schema.field(place), old).replace_schema_metadata(metadata), path
    )


def events_of(tables: TableStore, clip_id: str) -> list[tuple[str, str | None]]:
    return [
        (row["event"], row["gen_ai_preference"])
        for row in ledger_of(tables, "freesound", PARTITION).to_pylist()
        if row["clip_id"] == clip_id
    ]


def test_a_field_that_is_read_for_the_first_time_is_no_change(tables: TableStore, network: Network) -> None:
    first = crawled(tables, network, DOG, CAT)
    as_the_first_version_wrote(tables)
    old = tables.read(KEY, [PARTITION])
    assert old["gen_ai_preference"].null_count == old.num_rows == 2
    permitted = replace(DOG, gen_ai_preference="no-additional-preferences", is_explicit=False)
    # The second clip is kept as it was: its page cannot be read.
    partly = crawled(tables, network, permitted, Unread("page-2", "answers 500"))
    assert partly.changes.clips == {}
    dog, cat = partly.stage.kept.sort_by("clip_id").to_pylist()
    assert (dog["gen_ai_preference"], dog["is_explicit"], dog["version"]) == (
        "no-additional-preferences",
        False,
        1,
    )
    assert dog["crawled_at"] == first.stage.kept.to_pylist()[0]["crawled_at"]
    assert (cat["gen_ai_preference"], cat["version"]) == (None, 1)
    # It was read last by the older version, so its preference is not a change either.
    whole = crawled(tables, network, permitted, replace(CAT, gen_ai_preference="no-gen-ai"))
    assert whole.changes.clips == {}
    assert (
        crawled(tables, network, permitted, replace(CAT, gen_ai_preference="no-gen-ai")).changes.clips == {}
    )
    assert events_of(tables, "freesound-1") == [
        ("listed", None),
        ("fields_added", "no-additional-preferences"),
    ]
    assert events_of(tables, "freesound-2") == [("listed", None), ("fields_added", "no-gen-ai")]


def test_a_source_without_the_fields_has_the_same_data(tables: TableStore, network: Network) -> None:
    crawled(tables, network, DOG, CAT)
    as_the_first_version_wrote(tables)
    old = rows_hash(tables.read(KEY, [PARTITION]), RAW_CLIPS)
    assert rows_hash(crawled(tables, network, DOG, CAT).stage.kept, RAW_CLIPS) == old
    said = replace(CAT, gen_ai_preference="no-gen-ai")
    assert rows_hash(crawled(tables, network, DOG, said).stage.kept, RAW_CLIPS) != old


def test_a_checksum_that_is_read_for_the_first_time_is_no_change(
    tables: TableStore, network: Network
) -> None:
    dog = replace(DOG, gen_ai_preference="no-gen-ai", is_remix=False)
    crawled(tables, network, dog)
    # As the second version of the table's schema wrote it: these fields, and its number, were hashed.
    path = tables.store.path("tables/freesound/raw_clips/2022-11.parquet")
    table = pq.read_table(path).drop_columns(["claimed_crc32", "recording", "event_mids"])
    added_later = {"gen_ai_preference", "is_remix"}
    fields = [
        (name, value)
        for name, value in vars(dog).items()
        if value or (name in added_later and value is not None)
    ]
    old = pa.array([hashlib.sha256(repr([2, fields]).encode()).hexdigest()])
    table = table.set_column(table.schema.get_field_index("record_sha256"), "record_sha256", old)
    metadata = {**table.schema.metadata, SCHEMA_VERSION.encode(): b"2"}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    assert tables.read(KEY, [PARTITION])["claimed_crc32"].to_pylist() == [None]
    again = crawled(tables, network, replace(dog, claimed_crc32="0000abcd"))
    assert again.changes.clips == {}
    (row,) = again.stage.kept.to_pylist()
    assert (row["claimed_crc32"], row["version"]) == ("0000abcd", 1)
    assert events_of(tables, "freesound-1") == [("listed", "no-gen-ai")]
    # From then on, another checksum is a change.
    changed = crawled(tables, network, replace(dog, claimed_crc32="1111abcd"))
    assert changed.changes.clips == {"changed": 1}


def test_a_preference_that_changes_is_a_change(tables: TableStore, network: Network) -> None:
    crawled(tables, network, DOG, CAT)
    as_the_first_version_wrote(tables)
    values = ("no-additional-preferences", "no-gen-ai", None, "open-source-models")
    changes = [
        crawled(tables, network, replace(DOG, gen_ai_preference=value), CAT).changes.clips for value in values
    ]
    assert changes == [{}, {"changed": 1}, {"changed": 1}, {"changed": 1}]
    assert events_of(tables, "freesound-1")[1:] == [
        ("fields_added", "no-additional-preferences"),
        ("changed", "no-gen-ai"),
        ("changed", None),
        ("changed", "open-source-models"),
    ]
    last = ledger_of(tables, "freesound", PARTITION).to_pylist()[-2]
    assert json.loads(last["before"])["gen_ai_preference"] == "no-gen-ai"


def test_no_and_nothing_are_different_answers(tables: TableStore, network: Network) -> None:
    crawled(tables, network, DOG)
    explicit = crawled(tables, network, replace(DOG, is_explicit=False))
    assert explicit.changes.clips == {"changed": 1}


def test_what_an_old_table_has_and_the_site_changed_is_one_change(
    tables: TableStore, network: Network
) -> None:
    crawled(tables, network, DOG)
    as_the_first_version_wrote(tables)
    result = crawled(tables, network, replace(DOG, title="Hound", gen_ai_preference="no-gen-ai"))
    assert result.changes.clips == {"changed": 1}
    assert events_of(tables, "freesound-1") == [("listed", None), ("changed", "no-gen-ai")]


def test_what_is_no_clip_is_set_aside_with_its_reason(tables: TableStore, network: Network) -> None:
    result = crawled(
        tables,
        network,
        Record("../../etc/passwd", "http://a/"),
        Record("3", "http://a/", title="nul\0byte", description="lone \ud800 surrogate"),
        Record("3", "http://a/"),
        Record("4", "", problem="no preview"),
        Record("", "", problem="id is a list"),
        Record("a b", "", problem="an id has no blanks"),
    )
    (row,) = result.stage.kept.to_pylist()
    assert (row["title"], row["description"]) == ("nulbyte", "lone ? surrogate")
    assert dropped(result) == {
        "freesound-2022-11-record#1": "bad_id",
        "freesound-2022-11-3#1": "listed_twice",
        "freesound-2022-11-4#1": "bad_record",
        "freesound-2022-11-record#2": "bad_record",
        "freesound-2022-11-record#3": "bad_id",
    }


def test_what_was_repaired_is_no_longer_dropped(tables: TableStore, network: Network) -> None:
    crawled(tables, network, Record("4", "", problem="no preview"), DOG)
    crawled(tables, network, Record("4", "http://a/4"), DOG)
    found = statuses(ledger_of(tables, "freesound", PARTITION))
    assert dict(zip(found["clip_id"].to_pylist(), found["status"].to_pylist(), strict=True)) == {
        "freesound-1": "waiting",
        "freesound-4": "waiting",
    }


def test_a_crawl_killed_before_its_table_was_written_says_nothing_twice(
    tables: TableStore, network: Network
) -> None:
    crawled(tables, network, DOG, CAT)
    changed = replace(DOG, description="a wolf")
    killed = crawled(tables, network, changed, written=False)
    resumed = crawled(tables, network, changed)
    assert resumed.stage.crawl_id == killed.stage.crawl_id
    assert resumed.stage.kept.equals(killed.stage.kept)
    with History(tables.store, "freesound", PARTITION) as history:
        assert [(event["clip_id"], event["event"]) for event in history] == [
            ("freesound-1", "listed"),
            ("freesound-2", "listed"),
            ("freesound-1", "changed"),
            ("freesound-2", "gone"),
        ]


def test_records_without_content_may_be_the_clips_that_are_missing(
    tables: TableStore, network: Network
) -> None:
    crawled(tables, network, DOG, CAT)
    blank = crawled(tables, network, CAT, Blanks(1))
    assert (kept(blank).keys(), dropped(blank)) == ({"freesound-1", "freesound-2"}, {})
    assert dropped(crawled(tables, network, CAT)) == {"freesound-1": "gone"}


def test_one_of_two_missing_clips_is_listed_without_content_and_neither_is_gone(
    tables: TableStore, network: Network
) -> None:
    # One of them is deleted, and it is not known which.
    fox = Record("3", "http://a/3", description="a fox")
    crawled(tables, network, DOG, CAT, fox)
    blank = crawled(tables, network, CAT, Blanks(1))
    assert (len(kept(blank)), dropped(blank)) == (3, {})
    assert dropped(crawled(tables, network, CAT, fox)) == {"freesound-1": "gone"}


def test_a_clip_that_is_missing_for_a_week_is_gone_although_some_records_have_no_content(
    tables: TableStore, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SteppedClock(datetime(2026, 11, 1, tzinfo=UTC), monkeypatch)
    fox = Record("3", "http://a/3", description="a fox")

    def on(day: int, *records: Record | Blanks) -> dict[str, str]:
        clock.set(datetime(2026, 11, day, day, tzinfo=UTC))
        return dropped(crawled(tables, network, *records))

    assert on(1, DOG, CAT, fox) == {}
    # The dog is missing from the 2nd on; the fox is listed again on the 6th.
    assert on(2, CAT, Blanks(2)) == {}
    assert on(6, CAT, fox, Blanks(1)) == {}
    assert on(8, CAT, Blanks(2)) == {}
    assert on(9, CAT, Blanks(2)) == {"freesound-1": "gone"}
    assert on(14, CAT, Blanks(2)) == {"freesound-1": "gone"}
    assert on(15, CAT, Blanks(2)) == {"freesound-1": "gone", "freesound-3": "gone"}
    # It returns as any other clip does.
    assert on(16, CAT, fox, Blanks(1)) == {"freesound-1": "gone"}
    events = ledger_of(tables, "freesound", PARTITION)
    assert "missing" in events.column("event").to_pylist()
    assert set(statuses(events).column("status").to_pylist()) == {"waiting", "gone"}


def test_a_listing_of_unusable_records_fails_and_books_nothing(tables: TableStore, network: Network) -> None:
    known = [Record(str(number), f"http://a/{number}") for number in range(8)]
    crawled(tables, network, *known)
    changed = [Record(str(number), "", problem="no link to preview-hq-ogg") for number in range(8)]
    with pytest.raises(BadAnswer, match=r"8 of the 8 records .* no link to preview-hq-ogg"):
        crawl(Scripted(changed), PARTITION, network, tables)
    events = ledger_of(tables, "freesound", PARTITION).column("event").to_pylist()
    assert events == ["listed"] * 8
    # A few bad records are their own fault, and the limit is a setting.
    assert len(dropped(crawled(tables, network, *changed[:3], *known[3:]))) == 3
    patient = CrawlSettings(most_bad_share=1.0)
    assert crawl(Scripted(changed), PARTITION, network, tables, patient).stage.dropped.num_rows == 8


def test_every_clip_says_whom_to_credit_and_under_which_licence(tables: TableStore, network: Network) -> None:
    by = "http://creativecommons.org/licenses/by/3.0/"
    result = crawled(tables, network, replace(DOG, licence=by, page_url="https://freesound.org/s/1/"))
    (row,) = result.stage.kept.to_pylist()
    assert (row["licence"], row["licence_id"], row["licence_class"]) == (by, "CC-BY-3.0", "BY")
    for part in ("Dog", "ann", "https://freesound.org/s/1/"):
        assert part in row["attribution"]


def test_a_part_that_cannot_be_read_costs_itself_only() -> None:
    def broken() -> int:
        raise BadAnswer("page 3 is no JSON")

    def refused() -> int:
        raise NotAllowed("wrong key")

    assert read_part("page-3", lambda: 7) == 7
    assert read_part("page-3", broken) == Unread("page-3", "page 3 is no JSON")
    with pytest.raises(NotAllowed):
        read_part("page-3", refused)


def test_a_page_on_maintenance_is_not_met_again_and_again(tables: TableStore, tmp_path: Path) -> None:
    good = b'{"count": 1, "results": [{"id": 1, "previews": {"preview-hq-ogg": "http://a/1.ogg"}}]}'
    with rude_server() as server:
        server.answers["/apiv2/search/"] = in_turn(answer(b'{"detail": "maintenance"}'), answer(good))
        settings = FreesoundSettings(
            base_url=server.url, token="key", first_month=PARTITION, last_month=PARTITION
        )
        source = Freesound(settings, tmp_path / "state")
        local = NetworkSettings(private_hosts=frozenset({host_of(server.url)}), other_quota=UNLIMITED)
        with Network(tmp_path / "state", local) as network:
            with pytest.raises(BadAnswer):
                crawl(source, PARTITION, network, tables)
            assert kept(crawl(source, PARTITION, network, tables)) == {"freesound-1": (1, None)}
        assert len(server.asked) == 2


@pytest.mark.slow
def test_a_listing_that_failed_often_is_requested_by_every_run(tables: TableStore, tmp_path: Path) -> None:
    listing = json.dumps({"count": 0, "results": []}).encode()
    with rude_server() as server:
        server.answers["/apiv2/search/"] = in_turn(
            *[answer(status="503 Busy")] * 5, answer(listing, headers={"Content-Type": "application/json"})
        )
        source = Freesound(
            FreesoundSettings(
                base_url=server.url, token=SecretStr("a-token"), first_month=PARTITION, last_month=PARTITION
            ),
            tmp_path,
        )
        settings = NetworkSettings(
            attempts=1,
            failures_in_a_row=100,
            private_hosts=frozenset({host_of(server.url)}),
            other_quota=UNLIMITED,
        )
        for _ in range(5):
            with Network(tmp_path / "state", settings) as network, pytest.raises(HostDown):
                crawl(source, PARTITION, network, tables)
        with Network(tmp_path / "state", settings) as network:
            assert crawl(source, PARTITION, network, tables).stage.kept.num_rows == 0


def test_an_unknown_partition_is_refused(tables: TableStore, network: Network) -> None:
    with pytest.raises(ValueError, match="no partition '1999-01'"):
        crawl(Scripted([]), "1999-01", network, tables)
