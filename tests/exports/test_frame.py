"""What all formats share: complete or absent, resumed after a kill, in a folder and in a bucket."""

from __future__ import annotations

import shutil
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest

from tests.exports.sets import NOW, publish
from tests.support.s3 import S3Bucket
from wavcaps_assets.exports import alone
from wavcaps_assets.exports.description import DESCRIPTION, read_description
from wavcaps_assets.exports.export import Export, NotEmpty, export
from wavcaps_assets.exports.export_folder import ExportFolder, NotEnoughSpace, Part
from wavcaps_assets.exports.exported_set import ExportedSet
from wavcaps_assets.exports.format import ExportFormat, FormatSettings
from wavcaps_assets.exports.formats import all_formats
from wavcaps_assets.store import exclusive, machines, shared_leases
from wavcaps_assets.store.shared_state import Document, SharedState
from wavcaps_assets.store.storage import Store, StoreError

CLIPS = [{"clip_id": f"freesound-{number}"} for number in range(6)]


class LetterSettings(FormatSettings):
    letter: str = "a"


class Killed(BaseException):
    """As a killed process: nothing catches it."""


def letters(kill_at: int | None = None, written: list[str] | None = None) -> ExportFormat[LetterSettings]:
    """A format of three files, which is killed before one of them, or writes all."""

    def write(exported: ExportedSet, settings: LetterSettings, folder: ExportFolder) -> None:
        def write_part(number: int, part: Part) -> None:
            with part.stream(f"texts/{number}.txt") as file:
                file.write(settings.letter.encode())
                if number == kill_at:
                    raise Killed
                file.write(exported.name.encode())
            part.clips = 2
            if written is not None:
                written.append(str(number))

        for number in range(3):
            folder.add(f"{number}", partial(write_part, number))

    return ExportFormat("letters", "Three files.", LetterSettings, write)


def files_of(done: Export) -> dict[str, bytes]:
    return {file.name: done.store.read_bytes(f"{done.folder}/{file.name}") for file in done.description.files}


def test_an_export_is_absent_until_it_is_complete_and_goes_on_after_a_kill(store: Store) -> None:
    exported = publish(store, CLIPS)
    for kill_at in range(3):
        with pytest.raises(Killed):
            export(exported, letters(kill_at), LetterSettings(), NOW)
        assert read_description(store, f"exports/{exported.name}/letters") is None
    written: list[str] = []
    done = export(exported, letters(written=written), LetterSettings(), NOW)
    assert written == ["2"]
    assert done.new and done.description.clips == 6
    assert done.description == read_description(store, done.folder)
    assert files_of(done)["texts/1.txt"] == f"a{exported.name}".encode()
    under = {file.path for file in store.files() if file.path.startswith("exports/")}
    assert under == {
        f"{done.folder}/{name}" for name in [*(file.name for file in done.description.files), DESCRIPTION]
    }

    again: list[str] = []
    assert not export(exported, letters(written=again), LetterSettings(), NOW).new
    assert not again


def test_a_long_export_says_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("wavcaps_assets.exports.export_folder.LOG_EVERY_S", 0.0)
    with caplog.at_level("INFO", "wavcaps_assets.exports"):
        export(publish(Store(tmp_path), CLIPS), letters(), LetterSettings(), NOW)
    assert [line for line in caplog.messages if "of 6 clips" in line] == [
        *(f"exported {clips} of 6 clips, 0.0 MB" for clips in (2, 4, 6, 6)),
    ]


def test_other_settings_or_a_lost_file_make_the_export_again(store: Store) -> None:
    exported = publish(store, CLIPS)
    done = export(exported, letters(), LetterSettings(), NOW)
    store.remove(f"{done.folder}/texts/1.txt")
    repaired = export(exported, letters(), LetterSettings(), NOW)
    assert repaired.new and len(files_of(repaired)) == 4

    other = export(exported, letters(), LetterSettings(letter="b"), NOW)
    assert other.new and files_of(other)["texts/0.txt"].startswith(b"b")


def test_an_unfinished_export_of_other_settings_is_not_gone_on_with(store: Store) -> None:
    exported = publish(store, CLIPS)
    with pytest.raises(Killed):
        export(exported, letters(2), LetterSettings(), NOW)
    done = export(exported, letters(), LetterSettings(letter="b"), NOW)
    assert files_of(done)["texts/0.txt"].startswith(b"b")


def test_a_slice_that_has_other_clips_now_is_another_export(store: Store) -> None:
    """Its settings are the same: its audio was measured again, or a rule changed."""
    whole = publish(store, CLIPS)
    before, now = (ExportedSet(store, whole.version, whole.table.slice(at, 2), "one") for at in (0, 2))
    with pytest.raises(Killed):
        export(before, letters(2), LetterSettings(), NOW)
    written: list[str] = []
    export(now, letters(written=written), LetterSettings(), NOW)
    assert written == ["0", "1", "2"]
    assert not export(now, letters(), LetterSettings(), NOW).new
    assert export(before, letters(), LetterSettings(), NOW).new


def test_a_finished_part_whose_file_is_lost_is_written_again(store: Store) -> None:
    exported = publish(store, CLIPS)
    with pytest.raises(Killed):
        export(exported, letters(2), LetterSettings(), NOW)
    store.write_bytes(f"exports/{exported.name}/letters/texts/0.txt", b"shorter")
    written: list[str] = []
    export(exported, letters(written=written), LetterSettings(), NOW)
    assert written == ["0", "2"]


def test_the_checksum_list_is_accepted_by_sha256sum(tmp_path: Path) -> None:
    exported = publish(Store(tmp_path / "store"), CLIPS)
    done = export(exported, letters(), LetterSettings(), NOW)
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    place = Path(done.place)
    assert subprocess.run(check, cwd=place, check=True, capture_output=True).stdout.count(b"OK") == 3
    (place / "texts/0.txt").write_bytes(b"other")
    assert subprocess.run(check, cwd=place, capture_output=True).returncode != 0


def test_a_folder_outside_of_the_store(tmp_path: Path) -> None:
    exported = publish(Store(tmp_path / "store"), CLIPS)
    to = tmp_path / "other" / "export"
    with pytest.raises(Killed):
        export(exported, letters(1), LetterSettings(), NOW, to)
    with pytest.raises(NotEmpty, match="name a new or empty folder"):
        export(
            exported, all_formats()["duckdb_file"], all_formats()["duckdb_file"].settings(), NOW, to / ".."
        )
    written: list[str] = []
    assert export(exported, letters(written=written), LetterSettings(), NOW, to).new
    assert written == ["1", "2"]
    assert {path.name for path in to.iterdir()} == {"texts", "SHA256SUMS", DESCRIPTION}
    assert not export(exported, letters(), LetterSettings(), NOW, to).new
    (to / "texts/1.txt").unlink()
    assert export(exported, letters(), LetterSettings(), NOW, to).new

    with pytest.raises(NotEmpty, match="has the export letters of v1-"):
        export(exported, letters(), LetterSettings(letter="b"), NOW, to)
    begun = tmp_path / "begun"
    with pytest.raises(Killed):
        export(exported, letters(1), LetterSettings(), NOW, begun)
    with pytest.raises(NotEmpty, match="has texts"):
        export(exported, letters(), LetterSettings(letter="b"), NOW, begun)
    # Nothing has been written yet.
    shutil.rmtree(begun / "texts")
    done = export(exported, letters(), LetterSettings(letter="b"), NOW, begun)
    assert files_of(done)["texts/0.txt"].startswith(b"b")
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.tex").write_text("precious")
    with pytest.raises(NotEmpty, match=r"has thesis\.tex"):
        export(exported, letters(), LetterSettings(), NOW, full)
    assert (full / "thesis.tex").read_text() == "precious"
    with pytest.raises(NotEmpty, match="is a file"):
        export(exported, letters(), LetterSettings(), NOW, full / "thesis.tex")


def test_too_little_space_is_an_error_before_anything_is_written(tmp_path: Path) -> None:
    def write(exported: ExportedSet, settings: FormatSettings, folder: ExportFolder) -> None:
        folder.require_space(10**17)
        folder.add("one", lambda part: part.write("one.txt", b"one"))

    exported = publish(Store(tmp_path), CLIPS)
    huge = ExportFormat("huge", "Too large.", FormatSettings, write)
    with pytest.raises(NotEnoughSpace, match=r"needs 100,000,000\.05 GB, and .* has .* GB free: free"):
        export(exported, huge, FormatSettings(), NOW)
    assert not (tmp_path / "exports" / exported.name / "huge" / "one.txt").exists()


def test_two_processes_do_not_write_one_export(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exclusive, "WAIT_S", 0.01)
    exported = publish(store, CLIPS)

    def write(exported: ExportedSet, settings: FormatSettings, folder: ExportFolder) -> None:
        with pytest.raises(StoreError, match="another process writes an export"):
            export(exported, letters(), LetterSettings(), NOW)
        folder.add("one", lambda part: part.write("one.txt", b"one"))

    outer = ExportFormat("letters", "It tries to write itself.", LetterSettings, write)
    assert export(exported, outer, LetterSettings(), NOW).new


def test_an_export_ends_when_another_process_has_taken_its_lease(
    bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an outage that is longer than a lease lasts."""
    monkeypatch.setattr(shared_leases, "BEAT_S", 0.04)
    store = Store(bucket.root, bucket.client)
    exported = publish(store, CLIPS)

    def taken_by_another(document: Document) -> None:
        _, entry = document["owners"].popitem()
        document["owners"]["another"] = entry

    def write(exported: ExportedSet, settings: FormatSettings, folder: ExportFolder) -> None:
        folder.add("one", lambda part: part.write("one.txt", b"one"))
        SharedState(store, alone.FOLDER, exclusive.LEASES).change(taken_by_another)
        time.sleep(0.04)
        folder.add("two", lambda part: part.write("two.txt", b"two"))

    outer = ExportFormat("letters", "It loses its lease.", LetterSettings, write)
    with pytest.raises(StoreError, match="another process may have taken it"):
        export(exported, outer, LetterSettings(), NOW)
    names = store.sizes(f"exports/{exported.name}/letters")
    assert list(names) == ["one.txt"]


def test_a_server_without_conditional_writes(bucket: S3Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """One machine exports at a time, and on it one process."""
    store = Store(bucket.root, bucket.client)
    exported = publish(store, CLIPS)
    monkeypatch.setitem(machines.KNOWN, store.describe(alone.FOLDER), False)

    def write(exported: ExportedSet, settings: FormatSettings, folder: ExportFolder) -> None:
        with pytest.raises(StoreError, match="another process writes an export"):
            export(exported, letters(), LetterSettings(), NOW)
        with monkeypatch.context() as other_machine:
            other_machine.setattr("socket.gethostname", lambda: "other")
            with pytest.raises(StoreError, match="works with"):
                export(exported, letters(), LetterSettings(), NOW)
        folder.add("one", lambda part: part.write("one.txt", b"one"))

    outer = ExportFormat("letters", "It tries to write itself.", LetterSettings, write)
    assert export(exported, outer, LetterSettings(), NOW).new
