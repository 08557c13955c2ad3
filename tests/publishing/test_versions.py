"""Published versions: immutable, complete or absent, with what each of them changed."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from tests.compat.test_old_home import ARCHIVE
from tests.support.paths import DATA, ROOT
from tests.support.rows import manifest_row
from wavcaps_assets.publishing.command import diff as diff_command
from wavcaps_assets.publishing.command import versions as versions_command
from wavcaps_assets.publishing.compare_versions import compare_versions
from wavcaps_assets.publishing.publish_version import Publication, publish_version
from wavcaps_assets.publishing.version_diff import diff
from wavcaps_assets.store.storage import Store, StoreError
from wavcaps_assets.tables import DROPPED, MANIFEST
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_assets.tables.set_versions import FOLDER, DamagedSetVersion, SetVersions, UnknownSetVersion
from wavcaps_assets.tables.stage import Stage, drop

NOW = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)
RELEASED = DATA / "wavcaps" / "sb_final.json"
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def released() -> Rows:
    """SoundBible as released: the captions that ChatGPT wrote, and the raw descriptions."""
    if not RELEASED.exists():
        pytest.skip("the released captions of SoundBible are not at hand (shared/data)")
    return [
        manifest_row(
            f"soundbible-{clip['id']}",
            "soundbible",
            source_id=clip["id"],
            title=clip["title"],
            text=clip["description"],
            caption=clip["caption"],
            author=clip["author"],
            duration_s=float(clip["duration"]),
        )
        for clip in json.loads(RELEASED.read_text())["data"]
    ]


def publish(tables: TableStore, rows: Rows, *dropped: dict[str, str | None]) -> Publication:
    stage = Stage(MANIFEST.from_rows(rows), DROPPED.from_rows(dropped))
    return publish_version(tables, stage, ["soundbible"], "run", NOW)


def changed(rows: Rows, **changes: Any) -> Rows:
    """The rows, with new values for some clips."""
    return [{**row, **changes.get(row["clip_id"], {})} for row in rows]


def files_of(store: Store) -> dict[str, bytes]:
    return {name: store.read_bytes(f"{FOLDER}/{name}") for name in store.sizes(FOLDER)}


def test_versions_are_read_back_and_never_change(store: Store, released: Rows) -> None:
    """In a folder, and in a bucket."""
    tables, versions = TableStore(store), SetVersions(store)
    first = publish(tables, released)
    assert (first.new, first.version.previous, first.version.clips) == (True, None, len(released))
    before = files_of(store)
    other = changed(released, **{released[3]["clip_id"]: {"caption": "A bell rings."}})
    second = publish(tables, other)
    assert second.version.previous == first.version.name
    assert [version.name for version in versions.all()] == [first.version.name, second.version.name]
    assert before.items() <= files_of(store).items()
    for publication, rows in ((first, released), (second, other)):
        assert versions.read(versions.find(publication.version.name)).equals(MANIFEST.from_rows(rows))
    assert versions.find("v1") == versions.find("1") == first.version
    assert versions.find("latest") == second.version
    with pytest.raises(StoreError, match="a version never changes"):
        versions.write(first.version, MANIFEST.empty(), first.changes, "")
    with pytest.raises(UnknownSetVersion, match=rf"no version 'v9' .*{first.version.name}"):
        versions.find("v9")


def test_a_version_is_published_only_if_the_content_differs(tmp_path: Path, released: Rows) -> None:
    tables = TableStore(Store(tmp_path))
    first = publish(tables, released)
    again = publish(tables, list(reversed(released)))
    assert (again.new, again.version) == (False, first.version)
    back = changed(released, **{released[0]["clip_id"]: {"caption": "A bell rings."}})
    names = [first.version.name, publish(tables, back).version.name, publish(tables, released).version.name]
    # The content of the first version is published again, as a version of its own.
    assert [name.partition("-")[0] for name in names] == ["v1", "v2", "v3"]
    assert names[0].partition("-")[2] == names[2].partition("-")[2]


def test_runs_that_publish_at_once_make_one_version_after_another(store: Store, released: Rows) -> None:
    tables, versions = TableStore(store), SetVersions(store)
    contents = [released[number:] for number in range(4)]
    with ThreadPoolExecutor(len(contents)) as pool:
        made = list(pool.map(lambda rows: publish(tables, rows).version, contents))
    published = versions.all()
    assert {version.name for version in made} == {version.name for version in published}
    assert [version.number for version in published] == [1, 2, 3, 4]
    before: list[str | None] = [version.name for version in published]
    assert [version.previous for version in published] == [None, *before[:-1]]
    assert all(versions.read(version).num_rows == version.clips for version in published)


def test_every_kind_of_change_is_told(tmp_path: Path, released: Rows) -> None:
    """What changed is known, because it is changed here, one clip for each kind."""
    tables, ids = TableStore(Store(tmp_path)), [row["clip_id"] for row in released]
    publish(tables, released[1:])
    after = changed(
        released[:-1],
        **{
            ids[1]: {"caption": "A bell | rings.\n<b>", "model": "another", "licence_id": "CC-BY-4.0"},
            ids[2]: {"gen_ai_preference": "no-gen-ai"},
            ids[3]: {"samples_sha256": "other samples"},
            ids[4]: {"title": "another title"},
            # Where the audio is in the store is no change of the clip.
            ids[5]: {"audio_path": "audio/soundbible/moved.flac"},
            ids[6]: {"other_captions": [further("tags", "bell")]},
        },
    )
    second = publish(tables, after)
    found = {
        (row["clip_id"], row["change"]): (row["before"], row["after"]) for row in second.changes.to_pylist()
    }
    assert found == {
        (ids[0], "added"): (None, released[0]["caption"]),
        (ids[-1], "removed"): (released[-1]["caption"], None),
        (ids[1], "recaptioned"): (released[1]["caption"], "A bell | rings.\n<b>"),
        (ids[1], "relicensed"): ("CC0-1.0", "CC-BY-4.0"),
        (ids[2], "preference_changed"): (None, "no-gen-ai"),
        (ids[3], "audio_changed"): (None, None),
        (ids[4], "details_changed"): (None, None),
        (ids[6], "other_captions_changed"): (None, "tags: bell"),
    }
    assert second.version.changes == dict.fromkeys(second.version.changes, 1)
    (recaptioned,) = (row for row in second.changes.to_pylist() if row["change"] == "recaptioned")
    assert recaptioned["detail"] == "test, prompt 1 → another, prompt 1"
    page = tables.store.read_bytes(f"{FOLDER}/{second.version.name}.changelog.md").decode()
    # Crawled text cannot act as markup on the page.
    assert f"| {ids[1]} | " in page and "A bell \\| rings. &lt;b&gt; |" in page
    assert SetVersions(tables.store).changes(second.version).equals(second.changes)


def test_a_clip_of_another_source_is_told(tmp_path: Path, released: Rows) -> None:
    """It is a new version, so it may not read as if nothing had changed."""
    tables, clip_id = TableStore(Store(tmp_path)), released[0]["clip_id"]
    publish(tables, released)
    moved = publish(tables, changed(released, **{clip_id: {"source": "another_source"}}))
    assert moved.new
    (row,) = moved.changes.to_pylist()
    assert (row["clip_id"], row["source"], row["change"]) == (
        clip_id,
        released[0]["source"],
        "details_changed",
    )


def further(kind: str, text: str, prompt: str = "1") -> dict[str, str]:
    return {"text": text, "kind": kind, "model": "test", "prompt_version": prompt}


def test_a_change_of_further_captions_is_told_as_such(tmp_path: Path, released: Rows) -> None:
    tables, ids = TableStore(Store(tmp_path)), [row["clip_id"] for row in released]
    query, tags = further("query", "dog | bark"), further("tags", "dog, animal")
    before = [{**released[0]}, *({**row, "other_captions": [query, tags]} for row in released[1:6])]
    publish(tables, before)
    after = changed(
        before,
        **{
            ids[0]: {"other_captions": [query]},
            ids[1]: {"other_captions": None},
            ids[2]: {"other_captions": [further("query", "a dog"), tags], "caption": "Another."},
            # Another prompt that gave the same text.
            ids[3]: {"other_captions": [further("query", "dog | bark", "2"), tags]},
            ids[4]: {"other_captions": [query, {**tags}]},
        },
    )
    second = publish(tables, after)
    both = "query: dog | bark\ntags: dog, animal"
    assert [
        (row["clip_id"], row["before"], row["after"])
        for row in sorted(second.changes.to_pylist(), key=lambda row: ids.index(row["clip_id"]))
        if row["change"] == "other_captions_changed"
    ] == [
        (ids[0], None, "query: dog | bark"),
        (ids[1], both, None),
        (ids[2], both, "query: a dog\ntags: dog, animal"),
    ]
    others = {
        (row["clip_id"], row["change"])
        for row in second.changes.to_pylist()
        if row["change"] != "other_captions_changed"
    }
    assert others == {(ids[2], "recaptioned"), (ids[3], "details_changed")}
    page = tables.store.read_bytes(f"{FOLDER}/{second.version.name}.changelog.md").decode()
    assert "## Changed further captions" in page and "query: dog \\| bark" in page


def test_it_says_why_clips_were_removed(tmp_path: Path, released: Rows) -> None:
    tables, ids = TableStore(Store(tmp_path)), [row["clip_id"] for row in released]
    other = manifest_row("bbc_sound_effects-1", "bbc_sound_effects")
    publish(tables, [*released, other])

    def dropped(asset: list[str], partition: str, *clips: tuple[str, str]) -> None:
        path = "/".join(["tables", *asset, partition])
        rows = [drop(clip, "soundbible", asset[-1], reason, "detail") for clip, reason in clips]
        tables.store.write_table(f"{path}.dropped.parquet", DROPPED.from_rows(rows), DROPPED)
        schema = pa.schema([("clip_id", pa.string())])
        with tables.store.writing(f"{path}.parquet") as file:
            pq.write_table(schema.empty_table(), file)

    dropped(["soundbible", "raw_clips"], "catalogue", (ids[0], "gone"), ("soundbible-0", "gone"))
    dropped(["soundbible", "audio"], "catalogue", (ids[1], "audio_gone"), (ids[2], "unreadable_audio"))
    # Stage 1 repeats what happened to the audio: the first stage counts.
    stage_1 = [(ids[2], "unreadable_audio"), (ids[3], "licence_not_allowed"), (ids[4], "too_short")]
    dropped(["filtered_clips"], "soundbible", *stage_1)
    dropped(["captions"], "soundbible", (ids[5], "banned_words"))
    dropped(["manifest"], "soundbible", (ids[6], "not_listed"), (ids[7], "no_audio_yet"))
    second = publish(
        tables, released[10:], drop(ids[8], "soundbible", "wavcaps", "same_sound", "the same as")
    )
    why = {row["clip_id"]: row["why"] for row in second.changes.to_pylist()}
    assert why == {
        ids[0]: "gone",
        ids[1]: "gone",
        ids[2]: "audio",
        ids[3]: "licence",
        ids[4]: "rule",
        ids[5]: "rule",
        ids[6]: "gone",
        ids[7]: "audio",
        ids[8]: "same_sound",
        ids[9]: "unknown",
        "bbc_sound_effects-1": "source",
    }
    assert second.version.removed["gone"] == 3
    (row,) = (row for row in second.changes.to_pylist() if row["clip_id"] == ids[5])
    assert row["detail"] == "captions: banned_words: detail"


def test_any_two_versions_are_compared(tmp_path: Path, released: Rows) -> None:
    tables, ids = TableStore(Store(tmp_path)), [row["clip_id"] for row in released]
    states = [
        released,
        changed(released[1:], **{ids[1]: {"caption": "One."}}),
        changed(released[2:], **{ids[3]: {"caption": "Two."}}),
    ]
    leaving = [drop(clip, "soundbible", "wavcaps", "same_sound") for clip in ids[:2]]
    one, two, three = [publish(tables, rows, *leaving).version for rows in states]
    known = SetVersions(tables.store)
    far = compare_versions(known, one, three)
    assert [(row["clip_id"], row["change"], row["why"]) for row in far.to_pylist()] == sorted(
        [(ids[0], "removed", "same_sound"), (ids[1], "removed", "same_sound"), (ids[3], "recaptioned", None)]
    )
    back = compare_versions(known, three, one)
    assert {(row["clip_id"], row["change"]) for row in back.to_pylist()} == {
        (ids[0], "added"),
        (ids[1], "added"),
        (ids[3], "recaptioned"),
    }
    assert not compare_versions(known, two, two).num_rows


def test_a_version_of_an_older_project_is_compared_and_read(tmp_path: Path, released: Rows) -> None:
    """Columns that were added since are no change."""
    new = MANIFEST.from_rows(released).set_column(
        MANIFEST.arrow.get_field_index("synthetic"), "synthetic", pa.array([False] * len(released))
    )
    older = tmp_path / "older.parquet"
    pq.write_table(new.select(sorted(MANIFEST.names_in(1))), older)
    assert not diff(older, new).num_rows and not diff(new, older).num_rows
    # Further captions are: the older version had none.
    more = MANIFEST.from_rows([{**new.to_pylist()[0], "other_captions": [further("tags", "dog")]}])
    assert diff(older, pa.concat_tables([more, new.slice(1)]))["change"].to_pylist() == [
        "other_captions_changed"
    ]


@pytest.mark.slow
def test_the_set_of_an_older_project_becomes_the_first_version(tmp_path: Path) -> None:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    tables = TableStore(Store(tmp_path / "store"))
    old = tables.read(["wavcaps"], [WHOLE])
    found = publish_version(tables, Stage(old.slice(1), DROPPED.empty()), ["freesound"], "run", NOW)
    versions = SetVersions(tables.store)
    assert versions.read(versions.find("v1")).equals(old)
    assert (found.version.number, found.version.previous) == (2, versions.find("v1").name)
    assert found.changes["change"].to_pylist() == ["removed"]
    # Published without a change, it stays the only one.
    other = tmp_path / "other"
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(other, filter="data")
    same = publish_version(TableStore(Store(other / "store")), Stage(old, DROPPED.empty()), [], "run", NOW)
    assert (same.new, same.version.number) == (False, 1)


KILLED_AT = """
import os, signal, sys
from datetime import UTC, datetime
from pathlib import Path
import pyarrow.parquet as pq
from wavcaps_assets.publishing.publish_version import publish_version
from wavcaps_assets.store.folder import Folder
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import DROPPED
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage

root, table, limit = Path(sys.argv[1]), pq.read_table(sys.argv[2]), int(sys.argv[3])
replace, done = Path.replace, []

def counting(self, target):
    if len(done) == limit:
        os.kill(os.getpid(), signal.SIGKILL)
    done.append(target)
    return replace(self, target)

Path.replace = counting
stage = Stage(table, DROPPED.empty())
publish_version(TableStore(Store(root)), stage, ["soundbible"], "run", datetime(2026, 11, 28, tzinfo=UTC))
"""


@pytest.mark.slow
def test_a_killed_run_leaves_a_version_complete_or_absent(tmp_path: Path, released: Rows) -> None:
    """Killed before each of its four files becomes visible, and after the last."""
    store = Store(tmp_path / "store")
    tables, versions = TableStore(store), SetVersions(store)
    first = publish(tables, released)
    table = tmp_path / "next.parquet"
    pq.write_table(MANIFEST.from_rows(released[1:]), table)
    for files in range(4):
        command = [sys.executable, "-c", KILLED_AT, str(store.root), str(table), str(files)]
        assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
        assert versions.all() == [first.version]
        assert versions.read(first.version).num_rows == len(released)
    second = publish(tables, released[1:])
    assert [version.name for version in versions.all()] == [first.version.name, second.version.name]
    assert versions.read(second.version).num_rows == len(released) - 1
    assert second.version.changes["removed"] == 1


@contextmanager
def full_disk(largest: int) -> Iterator[None]:
    """A limit on the size of files stands in for a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)


def test_a_full_disk_leaves_no_version(tmp_path: Path, released: Rows) -> None:
    tables, versions = TableStore(Store(tmp_path)), SetVersions(Store(tmp_path))
    first = publish(tables, released)
    before = files_of(tables.store)
    for largest in (1_000, 30_000):
        with full_disk(largest), pytest.raises(StoreError, match="free some space"):
            publish(tables, released[1:])
        assert versions.all() == [first.version] and files_of(tables.store) == before
    assert publish(tables, released[1:]).version.number == 2


def test_a_damaged_version_is_named(tmp_path: Path, released: Rows) -> None:
    tables, versions = TableStore(Store(tmp_path)), SetVersions(Store(tmp_path))
    version = publish(tables, released).version
    path = f"{FOLDER}/{version.name}.parquet"
    # Fewer rows, and as many with another caption.
    for rows in (released[1:], changed(released, **{released[0]["clip_id"]: {"caption": "No."}})):
        tables.store.write_table(path, MANIFEST.from_rows(rows), MANIFEST)
        with pytest.raises(DamagedSetVersion, match=f"not the table that was published as {version.name}"):
            versions.read(version)
    tables.store.write_bytes(path, b"PAR1")
    with pytest.raises(DamagedSetVersion, match=r"cannot be read: .*damaged"):
        versions.read(version)
    (tmp_path / FOLDER / f"{version.name}.json").write_text("{")
    with pytest.raises(DamagedSetVersion, match="is not the description"):
        versions.all()


def test_the_commands_list_and_compare_versions(
    tmp_path: Path, released: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAVCAPS_STORE", str(tmp_path / "store"))
    run = CliRunner().invoke
    # They say where: the store may not be the one that a person means.
    assert f"No version has been published yet in {tmp_path / 'store'}" in run(versions_command).output
    assert f"no version 'latest' of the set; there are none in {tmp_path}" in run(diff_command).output
    tables = TableStore(Store(tmp_path / "store"))
    names = [publish(tables, released).version.name]
    alone = run(diff_command)
    assert alone.exit_code == 1 and f"{names[0]} is the first version" in alone.output
    names.append(publish(tables, released[1:]).version.name)
    listed = run(versions_command).output.splitlines()
    assert [line.split()[0] for line in listed[1:]] == names[::-1]
    assert listed[1].endswith("899  1 removed") and listed[2].endswith("900  the first version")
    page = run(diff_command).output
    assert page.startswith(f"# {names[0]} → {names[1]} (900 → 899 clips)")
    assert "| removed | 1 |" in page and f"| {released[0]['clip_id']} |" in page
    table = tmp_path / "changes.csv"
    assert "| added | 1 |" in run(diff_command, ["v2", "v1", "--table", str(table)]).output
    assert table.read_text().splitlines()[0].startswith('"clip_id","source","change"')
    tables.store.remove(f"{FOLDER}/{names[0]}.json")
    page = run(diff_command).output
    assert page.startswith(f"# {names[0]} (removed since) → {names[1]}\n") and "| removed | 1 |" in page
    result = run(diff_command, ["v2", "v7"])
    assert result.exit_code == 1 and f"no version 'v7' of the set; there are {names[1]}" in result.output
    assert run(diff_command, ["--table", "changes.xlsx"]).exit_code == 2
