"""Kills while the segments of a log in a bucket are merged: no record is lost, and none counts twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.support.s3 import S3Bucket
from wavcaps_assets.crawl.history import Event, History
from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.llm.records import Answer, Request
from wavcaps_assets.network.pages import Page, PageLog
from wavcaps_assets.store import log_objects
from wavcaps_assets.store.storage import Store

pytestmark = pytest.mark.slow

CLIPS = 6
FOLDER = "log/pages/freesound/2022-11"


class Killed(BaseException):
    """Ends a process at once, for what it does with its store."""


def killed_after(removed: int | None) -> Callable[[Store, Sequence[str]], None]:
    """In place of `Store.remove_files`: removes a part of the files; None: killed before that."""

    def remove_files(self: Store, relatives: Sequence[str]) -> None:
        for relative in relatives[: removed or 0]:
            self.remove(relative)
        raise Killed

    return remove_files


def asked(number: int) -> Request:
    return Request("prompt", "model", {}, [f"text {number}"])


def write_pages(store: Store) -> None:
    with PageLog(store, FOLDER, None) as pages:
        for number in range(CLIPS):
            pages.add(f"page {number}", "http://a", Page(200, b"x" * number))
        pages.add_failure("a page that fails")
        pages.forget_failures()
        pages.add_failure("a page that fails")
        pages.add_failure("a page that fails")


def write_others(store: Store) -> None:
    with History(store, "freesound", "2022-11") as history:
        for number in range(CLIPS):
            history.add(
                Event.FAILED, f"freesound-{number}", "1", reason="download_failed", asked_for=[number]
            )
    with ResponseLedger(store, "log/answers") as ledger:
        for number in range(CLIPS):
            ledger.record(asked(number), Answer(f"caption {number}", "stop", 10, 5, 0.1))


def pages_in(store: Store) -> list[object]:
    """What the next run of the crawl knows. A page that failed three times is skipped."""
    with PageLog(store, FOLDER, None) as pages:
        read = [pages.get(f"page {number}") for number in range(CLIPS)]
        return [*read, pages.has_failed_too_often("a page that fails"), bool(pages.crawl)]


def others_in(store: Store) -> list[object]:
    """What the next fetch and the next captioning know."""
    with History(store, "freesound", "2022-11") as history:
        events = sorted((event["clip_id"], event["event"]) for event in history)
    with ResponseLedger(store, "log/answers") as ledger:
        answers = [ledger.get(asked(number)) for number in range(CLIPS)]
        return [events, answers, sorted(str(record["key"]) for record in ledger.records())]


@pytest.mark.parametrize("removed", [None, 7])
def test_a_kill_of_a_reader_that_merges(
    bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch, removed: int | None
) -> None:
    store = Store(bucket.root, bucket.client)
    with monkeypatch.context() as unmerged:
        unmerged.setattr(log_objects.ObjectWriter, "close", lambda self: None)
        write_pages(store)
        write_others(store)
    for read in (pages_in, others_in):
        whole = read(store)
        with monkeypatch.context() as killing:
            killing.setattr(log_objects, "MAX_SMALL_SEGMENTS", 2)
            killing.setattr(Store, "remove_files", killed_after(removed))
            with pytest.raises(Killed):
                read(store)
        assert read(store) == whole
        # The next reader merges what is left.
        with monkeypatch.context() as merging:
            merging.setattr(log_objects, "MAX_SMALL_SEGMENTS", 2)
            assert [read(store), read(store)] == [whole, whole]


@pytest.mark.parametrize("removed", [None, 1, 7])
def test_a_kill_of_a_writer_that_merges(
    bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch, removed: int | None
) -> None:
    store, clean = Store(bucket.root, bucket.client), Store(f"{bucket.root}/clean", bucket.client)
    write_pages(clean)
    with monkeypatch.context() as killing:
        killing.setattr(Store, "remove_files", killed_after(removed))
        with pytest.raises(Killed):
            write_pages(store)
    assert pages_in(store) == pages_in(clean)
    assert pages_in(clean)[-2] is False
