"""What a backup has and has not, what a restore refuses, and that both work for a folder and a bucket."""

from __future__ import annotations

import io
import json
import sqlite3
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.support.s3 import S3Bucket
from wavcaps_assets.backup import archive as archives
from wavcaps_assets.backup import store_files
from wavcaps_assets.backup.archive import Archive
from wavcaps_assets.backup.backup import BackedUp, back_up
from wavcaps_assets.backup.kinds import Kind, kind_of
from wavcaps_assets.backup.layout import BackupError, DamagedBackup
from wavcaps_assets.backup.restore import Restored, Target, restore
from wavcaps_assets.clock import utc_now
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.llm import spending_totals
from wavcaps_assets.llm.batch.log import BATCHES, BatchLog
from wavcaps_assets.llm.budget import open_totals
from wavcaps_assets.llm.ledger import ANSWERS
from wavcaps_assets.llm.reservations import Reservation
from wavcaps_assets.network.pages import Page, PageLog
from wavcaps_assets.network.quotas import Limit, Quotas
from wavcaps_assets.network.shared_quotas import open_quotas
from wavcaps_assets.sources.freesound_oauth import FILE as TOKENS
from wavcaps_assets.store.append_log import AppendLog
from wavcaps_assets.store.restoring import MARKER
from wavcaps_assets.store.storage import Store, StoreError

FILES = {
    "report.html": b"<html>",
    "tables/freesound/raw_clips/2022-09.parquet": b"table",
    "tables/freesound/raw_clips/2022-09.dropped.parquet": b"dropped",
    "versions/wavcaps/v1-12345678.parquet": b"set",
    "versions/wavcaps/v1-12345678.json": b"{}",
    "quality/captions/freesound.json": b"{}",
    "sets/birds/train.csv": b"file,caption\n",
    "log/answers/20261128T000000000000-aa.jsonl": b'{"key":"1"}\n{"key":"2"}\n',
}
LARGE = {
    "audio/freesound/2022-09/freesound-1.flac": (b"f" * 1000, Kind.AUDIO),
    "audio_flac_48000/freesound/2022-09/freesound-1.flac": (b"f" * 2000, Kind.AUDIO),
    "sets/birds/audio/one.WAV": (b"w" * 500, Kind.AUDIO),
    "checkpoints/a/b/c/model.safetensors": (b"c" * 3000, Kind.CHECKPOINTS),
    "exports/v1-12345678/json/all.json": (b"e" * 100, Kind.EXPORTS),
}


def filled(store: Store) -> Store:
    for path, data in [*FILES.items(), *((path, data) for path, (data, _) in LARGE.items())]:
        store.write_bytes(path, data)
    return store


def content_of(store: Store) -> dict[str, bytes]:
    return {file.path: store.read_bytes(file.path) for file in store.files()}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


def backed_up(store: Store, tmp_path: Path, *included: Kind) -> BackedUp:
    return back_up(tmp_path / "b.tar.zst", store, tmp_path / "state", tmp_path / "home", included)


def restored(tmp_path: Path, store: Store, name: str = "b.tar.zst") -> Restored:
    return restore(Archive(tmp_path / name), Target(store, tmp_path / "new_state", tmp_path / "new_home"))


def test_a_folder_becomes_a_bucket_and_back(tmp_path: Path, home: Path, bucket: S3Bucket) -> None:
    s3, folder = Store(bucket.root, bucket.client), Store(tmp_path / "restored")
    done = backed_up(filled(Store(tmp_path / "store")), tmp_path)
    assert restored(tmp_path, s3).files == len(FILES)
    assert content_of(s3) == FILES
    assert {kind: (size.files, size.bytes) for kind, size in done.left_out.items()} == {
        "audio": (3, 3500),
        "checkpoints": (1, 3000),
        "exports": (1, 100),
    }
    (tmp_path / "b.tar.zst").unlink()
    backed_up(s3, tmp_path)
    assert restored(tmp_path, folder).files == len(FILES)
    assert content_of(folder) == FILES
    # Nothing remains of the work itself.
    left = {path.name for path in tmp_path.rglob(".*")} | set(s3.hidden("log", "."))
    assert left == set() and not s3.exists(MARKER)


def test_large_files_are_included_where_asked(tmp_path: Path, home: Path) -> None:
    done = backed_up(filled(Store(tmp_path / "store")), tmp_path, Kind.AUDIO, Kind.EXPORTS)
    assert set(done.left_out) == {"checkpoints"}
    store = Store(tmp_path / "restored")
    restored(tmp_path, store)
    wanted = {path: data for path, (data, kind) in LARGE.items() if kind is not Kind.CHECKPOINTS}
    assert content_of(store) == FILES | wanted


def test_the_kinds_are_those_of_the_files() -> None:
    assert {path: kind_of(path) for path in LARGE} == {path: kind for path, (_, kind) in LARGE.items()}
    assert {kind_of(path) for path in FILES} == {None}
    # Of text to sound: 13 GB for AudioCaps.
    assert kind_of(f"latents/{'0a' * 8}.safetensors") is Kind.CHECKPOINTS


def test_anybody_can_unpack_it_and_only_its_owner_can_read_it(tmp_path: Path, home: Path) -> None:
    backed_up(filled(Store(tmp_path / "store")), tmp_path)
    path = tmp_path / "b.tar.zst"
    assert path.stat().st_mode & 0o777 == 0o600
    with (
        pa.CompressedInputStream(str(path), "zstd") as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):
        names = [member.name for member in tar]
    assert (names[0], names[-1]) == ("about.json", "complete.json")
    # In the reverse of the order in which a run writes: a table never has more than its log.
    assert names.index("store/report.html") < names.index("store/log/answers/20261128T000000000000-aa.jsonl")
    assert names.index("store/tables/freesound/raw_clips/2022-09.parquet") < names.index("store/report.html")
    versions = [name for name in names if "/versions/" in name]
    assert versions[-1].endswith(".json")


def test_an_existing_file_is_not_replaced(tmp_path: Path, home: Path) -> None:
    (tmp_path / "b.tar.zst").write_bytes(b"precious")
    with pytest.raises(BackupError, match="exists already"):
        backed_up(filled(Store(tmp_path / "store")), tmp_path)
    assert (tmp_path / "b.tar.zst").read_bytes() == b"precious"


def test_a_store_without_files_is_no_success(tmp_path: Path, home: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "mistyped"):
        with pytest.raises(BackupError, match="has no files: set WAVCAPS_STORE"):
            backed_up(Store(tmp_path / name), tmp_path)
    assert not (tmp_path / "b.tar.zst").exists()


def test_a_backup_is_not_in_its_own_store(tmp_path: Path, home: Path) -> None:
    store = filled(Store(tmp_path / "old"))
    (tmp_path / "link").symlink_to(tmp_path / "old")
    for folder in (tmp_path / "old", tmp_path / "link"):
        with pytest.raises(BackupError, match="choose another place"):
            backed_up(store, folder)
    assert not list((tmp_path / "old").glob("*.zst"))


def test_a_backup_that_fails_leaves_nothing(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    store = filled(Store(tmp_path / "store"))
    monkeypatch.setattr(archives.ArchiveWriter, "add", full)
    with pytest.raises(BackupError, match="No space left"):
        backed_up(store, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"store", "home"}


def test_a_damaged_or_truncated_backup_is_refused_before_anything_is_written(
    tmp_path: Path, home: Path
) -> None:
    backed_up(filled(Store(tmp_path / "store")), tmp_path)
    whole = (tmp_path / "b.tar.zst").read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 0xFF
    target = Store(tmp_path / "restored")
    damaged = [whole[:size] for size in (0, 1, 20, len(whole) // 2, len(whole) - 1)]
    for data in (*damaged, bytes(changed), b"no backup at all"):
        (tmp_path / "bad.tar.zst").write_bytes(data)
        with pytest.raises(DamagedBackup):
            restored(tmp_path, target, "bad.tar.zst")
    with pytest.raises(BackupError, match="there is no file"):
        restored(tmp_path, target, "absent.tar.zst")
    assert not (tmp_path / "restored").exists() and not (tmp_path / "new_state").exists()


Change = Callable[[list[tuple[tarfile.TarInfo, bytes]]], object]


@contextmanager
def repacked(tmp_path: Path, change: Change) -> Iterator[None]:
    """The backup after a change of its members, compressed again."""
    members = []
    with (
        pa.CompressedInputStream(str(tmp_path / "b.tar.zst"), "zstd") as stream,
        tarfile.open(fileobj=stream, mode="r|") as tar,
    ):
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            members.append((member, content.read()))
    change(members)
    with (
        pa.CompressedOutputStream(str(tmp_path / "changed.tar.zst"), "zstd") as stream,
        tarfile.open(fileobj=stream, mode="w|") as tar,
    ):
        for member, data in members:
            tar.addfile(member, io.BytesIO(data) if member.isreg() else None)
    yield


def test_a_backup_that_was_cut_and_closed_again_is_refused(tmp_path: Path, home: Path) -> None:
    backed_up(filled(Store(tmp_path / "store")), tmp_path)
    for cut in (slice(-1, None), slice(3, 4), slice(0, 1)):
        without: Change = lambda members, cut=cut: members.__delitem__(cut)  # type: ignore[misc]  # noqa: E731
        with repacked(tmp_path, without), pytest.raises(DamagedBackup):
            restored(tmp_path, Store(tmp_path / "restored"), "changed.tar.zst")
    assert not (tmp_path / "restored").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/evil",
        "store/../../evil",
        "store/a/../../../evil",
        "store//evil",
        "store/.restoring",
        "state/freesound_oauth.json",
        "state/imported/../../evil",
        "instance/events/../../../evil.db",
        "elsewhere/evil",
        "store\\evil",
        "store/evil\n",
    ],
)
def test_a_hostile_name_is_refused(name: str, tmp_path: Path, home: Path) -> None:
    backed_up(filled(Store(tmp_path / "store")), tmp_path)

    def renamed(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        """With the right checksum: who changes a backup can compute that, too."""
        old = members[1][0].name
        complete = json.loads(members[-1][1])
        complete["files"][name] = complete["files"].pop(old)
        members[1][0].name = name
        members[-1] = members[-1][0], json.dumps(complete).encode()
        members[-1][0].size = len(members[-1][1])

    with repacked(tmp_path, renamed), pytest.raises(DamagedBackup):
        restored(tmp_path, Store(tmp_path / "restored"), "changed.tar.zst")
    assert not (tmp_path / "restored").exists() and not list(tmp_path.rglob("*evil*"))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE])
def test_links_and_devices_are_refused(kind: bytes, tmp_path: Path, home: Path) -> None:
    backed_up(filled(Store(tmp_path / "store")), tmp_path)

    def linked(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        member = tarfile.TarInfo("store/link")
        member.type, member.linkname = kind, "/etc/passwd"
        members.insert(2, (member, b""))

    with repacked(tmp_path, linked), pytest.raises(DamagedBackup):
        restored(tmp_path, Store(tmp_path / "restored"), "changed.tar.zst")


def test_a_newer_layout_is_named(tmp_path: Path, home: Path) -> None:
    backed_up(filled(Store(tmp_path / "store")), tmp_path)

    def newer(members: list[tuple[tarfile.TarInfo, bytes]]) -> None:
        about = json.loads(members[0][1]) | {"layout": 99}
        members[0] = members[0][0], json.dumps(about).encode()
        members[0][0].size = len(members[0][1])

    with repacked(tmp_path, newer), pytest.raises(BackupError, match="newer version"):
        restored(tmp_path, Store(tmp_path / "restored"), "changed.tar.zst")


def test_what_is_not_empty_is_refused(store: Store, tmp_path: Path, home: Path) -> None:
    backed_up(filled(Store(tmp_path / "elsewhere")), tmp_path)
    store.write_bytes("audio/x/y/z.flac", b"somebody's")
    with pytest.raises(BackupError, match="not empty"):
        restored(tmp_path, store)
    assert content_of(store) == {"audio/x/y/z.flac": b"somebody's"}


def test_quotas_are_kept_and_tokens_are_not(tmp_path: Path, home: Path) -> None:
    state = tmp_path / "state"
    limit = (Limit(requests=2, seconds=3600),)
    quotas = Quotas(state / "quotas.sqlite")
    quotas.acquire("freesound.org", limit)
    # Still open, and in its write-ahead log: as while a crawl runs.
    quotas.acquire("freesound.org", limit)
    (state / TOKENS).write_text('{"access_token": "planted-access-token"}')
    (state / "imported").mkdir()
    (state / "imported" / "sets.json").write_text("{}")
    (state / "partial").mkdir()
    done = backed_up(filled(Store(tmp_path / "store")), tmp_path)
    quotas.close()
    assert done.state_left_out == [TOKENS, "partial"]
    restored(tmp_path, Store(tmp_path / "restored"))
    new = tmp_path / "new_state"
    assert sorted(path.relative_to(new).as_posix() for path in new.rglob("*")) == [
        "imported",
        "imported/sets.json",
        "quotas.sqlite",
    ]
    again = Quotas(new / "quotas.sqlite")
    taken, wait_s = again.acquire("freesound.org", limit)
    again.close()
    assert taken is None and wait_s > 3000
    with pytest.raises(BackupError, match=r"has imported/sets.json, quotas.sqlite already"):
        restored(tmp_path, Store(tmp_path / "third"))


def test_what_other_machines_have_used_counts_in_a_new_bucket(
    tmp_path: Path, home: Path, bucket: S3Bucket
) -> None:
    limits = (Limit(requests=1, seconds=24 * 3600),)
    first = filled(Store(f"{bucket.root}/first", bucket.client))
    machine = open_quotas(tmp_path / "one" / "quotas.sqlite", first)
    assert machine.acquire("freesound.org", limits)[0] is not None
    # Taken on another machine, whose own file knows nothing.
    backed_up(first, tmp_path)
    machine.close()
    second = Store(f"{bucket.root}/second", bucket.client)
    restored(tmp_path, second)
    other = open_quotas(tmp_path / "two" / "quotas.sqlite", second)
    assert other.acquire("freesound.org", limits)[0] is None
    other.close()
    # Without the document, it would be allowed.
    empty = open_quotas(tmp_path / "three" / "quotas.sqlite", Store(f"{bucket.root}/third", bucket.client))
    assert empty.acquire("freesound.org", limits)[0] is not None
    empty.close()


class Killed(BaseException):
    """In place of a kill at that moment."""


@pytest.mark.parametrize("at", [0, 1, 4, 7])
def test_a_killed_restore_can_be_started_again(
    at: int, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "restored")
    (tmp_path / "state").mkdir()
    with sqlite3.connect(tmp_path / "state" / "quotas.sqlite") as quotas:
        quotas.execute("create table requests (id)")
    quotas.close()
    other = filled(Store(tmp_path / "elsewhere"))
    backed_up(other, tmp_path)
    writes = 0
    original = Store.writing

    def counted(*arguments: Any, **more: Any) -> Any:
        nonlocal writes
        writes += 1
        if writes > at:
            raise Killed
        return original(*arguments, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Store, "writing", counted)
        try:
            restored(tmp_path, store)
        except Killed:
            # Another backup does not go on there.
            if at:
                (tmp_path / "b.tar.zst").rename(tmp_path / "first.tar.zst")
                backed_up(other, tmp_path)
                with pytest.raises(BackupError, match="not empty"):
                    restored(tmp_path, store)
                (tmp_path / "first.tar.zst").replace(tmp_path / "b.tar.zst")
    if writes > at:
        # What is missing would be requested and paid for again.
        if at:
            with pytest.raises(StoreError, match="start it again with the same file"):
                StoreResource(root=str(store.root)).tables()
            with pytest.raises(StoreError, match="start it again with the same file"):
                back_up(tmp_path / "half.tar.zst", store, tmp_path / "state", home)
        restored(tmp_path, store)
    StoreResource(root=str(store.root)).tables()
    assert content_of(store) == FILES
    with pytest.raises(BackupError, match="not empty"):
        restored(tmp_path, store)


def test_a_line_that_is_being_written_is_left_to_the_next_backup(tmp_path: Path, home: Path) -> None:
    store = Store(tmp_path / "store")
    long = b'{"text": "' + b"x" * 200_000
    for name, data in {"a": b'{"n":1}\n{"n":2', "b": long, "c": b"", "d": b'{"n":3}\n' + long}.items():
        store.write_bytes(f"log/answers/{name}.jsonl", data)
    backed_up(store, tmp_path)
    new = Store(tmp_path / "restored")
    restored(tmp_path, new)
    assert sorted(content_of(new).values()) == [b"", b"", b'{"n":1}\n', b'{"n":3}\n']
    with AppendLog(new, "log/answers") as log:
        assert [record["n"] for record in log.read()] == [1, 3]


def test_a_page_log_that_is_started_again_meanwhile_is_not_mixed(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log of a new crawl with pages of the old one would take these for its own."""
    store = Store(tmp_path / "store")
    folder = "log/pages/freesound/2022-09"
    for number in range(2):
        with PageLog(store, folder, None) as pages:
            pages.add(f"old {number}", "http://site", Page(200, b"old"))
            first = pages.crawl
    add = store_files._add
    new: list[str] = []

    def added(store: Store, archive: archives.ArchiveWriter, path: str) -> bool:
        done = add(store, archive, path)
        if path.startswith(folder) and not new:
            with PageLog(store, folder, first) as pages:
                pages.add("new", "http://site", Page(200, b"new"))
                new.append(pages.crawl)
        return done

    monkeypatch.setattr(store_files, "_add", added)
    backed_up(store, tmp_path)
    target = Store(tmp_path / "restored")
    restored(tmp_path, target)
    with PageLog(target, folder, None) as pages:
        assert pages.crawl == new[0] != first
        assert pages.get("old 0") is None and pages.get("old 1") is None
        page = pages.get("new")
        assert page is not None and page.body == b"new"


def test_segments_that_are_merged_meanwhile_lose_no_record(
    tmp_path: Path, home: Path, bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(bucket.root, bucket.client)
    log = AppendLog(store, ANSWERS)
    for number in range(10):
        log.append({"n": number})
    add = store_files._add

    def added(store: Store, archive: archives.ArchiveWriter, path: str) -> bool:
        done = add(store, archive, path)
        if path.startswith(ANSWERS) and path.endswith("-000003.jsonl"):
            log.close()
        return done

    monkeypatch.setattr(store_files, "_add", added)
    backed_up(store, tmp_path)
    target = Store(tmp_path / "restored")
    restored(tmp_path, target)
    with AppendLog(target, ANSWERS) as copy:
        assert sorted(record["n"] for record in copy.read()) == list(range(10))


class Ledger:
    """The place of a ledger's totals."""

    folder = ANSWERS

    def __init__(self, store: Store) -> None:
        self.store = store


def test_what_a_month_has_cost_is_kept(tmp_path: Path, home: Path, bucket: S3Bucket) -> None:
    """Of a folder in a bucket, and of a bucket in a folder: reservations of batches are in no other file."""
    month = spending_totals.month(f"{utc_now():%Y-%m}")
    folder, s3, back = filled(Store(tmp_path / "a")), Store(bucket.root, bucket.client), Store(tmp_path / "b")
    totals = open_totals(Ledger(folder), "")
    totals.at_least(month, 123)
    totals.close()
    for before, after in ((folder, s3), (s3, back)):
        (tmp_path / "b.tar.zst").unlink(missing_ok=True)
        backed_up(before, tmp_path)
        restored(tmp_path, after)
        totals = open_totals(Ledger(after), "")
        assert totals.get(month) == 123
        totals.close()


def test_nothing_is_submitted_while_batches_are_copied(
    store: Store, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BatchLog(store, BATCHES) as log, log.locked(1):
        log.plan("one", "http://model/v1", [], Reservation("run", "2026-11", 5))
        monkeypatch.setattr(store_files, "LONGEST_WAIT_S", 0.1)
        with pytest.raises(BackupError, match="start the backup again"):
            backed_up(store, tmp_path)
    copied = store_files._copy_log

    def copying(*arguments: Any) -> None:
        with BatchLog(store, BATCHES) as other, pytest.raises(TimeoutError), other.locked(0.01):
            raise AssertionError
        copied(*arguments)

    monkeypatch.setattr(store_files, "_copy_log", copying)
    backed_up(store, tmp_path)
    target = Store(tmp_path / "restored")
    restored(tmp_path, target)
    with BatchLog(target, BATCHES) as log, log.locked(1) as state:
        assert list(state.open) == ["one"]


def test_a_bucket_that_is_gone_is_said(tmp_path: Path, home: Path, bucket: S3Bucket) -> None:
    store = Store(f"s3://{bucket.name}-gone", bucket.client)
    with pytest.raises(StoreError, match="gone"):
        backed_up(store, tmp_path)
    assert not (tmp_path / "b.tar.zst").exists()


def test_the_description_says_when_and_of_what(tmp_path: Path, home: Path) -> None:
    before = utc_now()
    about = backed_up(filled(Store(tmp_path / "store")), tmp_path).about
    assert before <= about.made <= utc_now() and isinstance(about.made, datetime)
    assert about.store == str(tmp_path / "store") and about.instance == "none"
    assert Archive(tmp_path / "b.tar.zst").about == about
