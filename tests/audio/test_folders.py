"""A folder of clips that is moved away, not mounted, or has only a part of the files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from tests.audio.fetching import PARTITION, Fetching, Folder, reasons, wav
from tests.support.rows import raw_row
from wavcaps_assets.audio.local_files import WrongFolder
from wavcaps_assets.crawl.history import History
from wavcaps_assets.tables import RAW_CLIPS

NAMES = [f"{number}.wav" for number in range(6)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "clips"
    made.mkdir()
    for number, name in enumerate(NAMES):
        (made / name).write_bytes(wav(0.25, level=0.1 + number / 100))
    return made


def clips_of(names: list[str]) -> pa.Table:
    return RAW_CLIPS.from_rows(
        raw_row(f"freesound-{number}", audio_url=name) for number, name in enumerate(names)
    )


@pytest.mark.parametrize("away", ["moved", "not mounted"])
def test_stored_audio_is_kept_while_the_folder_is_away(
    fetching: Fetching, folder: Path, caplog: pytest.LogCaptureFixture, away: str
) -> None:
    clips = clips_of(NAMES)
    before = fetching.fetch(clips, source=Folder(folder))
    folder.rename(folder.with_name("elsewhere"))
    if away == "not mounted":
        folder.mkdir()
    kept = fetching.fetch(clips, source=Folder(folder))
    assert kept.kept.equals(before.kept)
    assert "6 files of FreeSound are no longer in its folder, first that of freesound-0" in caplog.text
    if away == "not mounted":
        folder.rmdir()
    folder.with_name("elsewhere").rename(folder)
    assert fetching.fetch(clips, source=Folder(folder)).kept.equals(before.kept)
    with History(fetching.tables.store, "freesound", PARTITION) as history:
        assert [event["event"] for event in history] == ["stored"] * 6


def test_half_of_the_files_present_loses_no_clip(fetching: Fetching, folder: Path) -> None:
    before = fetching.fetch(clips_of(NAMES), source=Folder(folder))
    for name in NAMES[3:]:
        (folder / name).unlink()
    # The listing may name a missing file in another way, as AudioSet's does.
    half = clips_of([*NAMES[:3], *(f"usual-{name}" for name in NAMES[3:])])
    assert fetching.fetch(half, source=Folder(folder)).kept.equals(before.kept)
    (folder / "usual-3.wav").write_bytes(wav(0.5))
    again = fetching.fetch(half, source=Folder(folder)).kept
    assert again["duration_s"].to_pylist() == [0.25, 0.25, 0.25, 0.5, 0.25, 0.25]


@pytest.mark.parametrize("away", ["moved", "not mounted"])
def test_a_folder_that_is_away_fails_the_first_fetch_and_no_clip(
    fetching: Fetching, folder: Path, away: str
) -> None:
    folder.rename(folder.with_name("elsewhere"))
    if away == "not mounted":
        folder.mkdir()
    for _ in range(2):
        with pytest.raises(WrongFolder, match="6 clips of this partition are not stored yet: is its disk"):
            fetching.fetch(clips_of(NAMES), source=Folder(folder))
    if away == "not mounted":
        folder.rmdir()
    folder.with_name("elsewhere").rename(folder)
    assert fetching.fetch(clips_of(NAMES), source=Folder(folder)).kept.num_rows == 6


def test_a_file_that_is_missing_in_a_folder_with_others_is_listed(fetching: Fetching, folder: Path) -> None:
    stage = fetching.fetch(clips_of([*NAMES, "never copied.wav"]), source=Folder(folder))
    assert (stage.kept.num_rows, reasons(stage)) == (6, {"freesound-6": "audio_gone"})
