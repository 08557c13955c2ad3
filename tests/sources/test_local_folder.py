"""A user's own folder of sounds: what its list says, and what it must not be able to do."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from wavcaps_assets.audio.fetch import fetch_audio
from wavcaps_assets.audio.originals import Origin
from wavcaps_assets.audio.settings import FetchSettings
from wavcaps_assets.captioning.presets import choose_settings
from wavcaps_assets.captioning.prompts import load_prompt
from wavcaps_assets.captioning.settings import CAPTIONING_PRESETS, CaptioningChoice
from wavcaps_assets.captioning.texts import clip_text
from wavcaps_assets.crawl.crawl import crawl
from wavcaps_assets.filtering import FilterSettings, filter_clips
from wavcaps_assets.network.client import Network
from wavcaps_assets.network.errors import BadAnswer, NotThere
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.sources.base import SAFE_ID, Note, Record
from wavcaps_assets.sources.local_folder import CATALOGUE, LocalFolder
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_training.paper.experiments import DEMO_EXPERIMENT
from wavcaps_training.report.collect import collect


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "sounds"
    (path / "dogs").mkdir(parents=True)
    for name in ("dogs/barking.wav", "rain.flac"):
        soundfile.write(path / name, np.sin(np.arange(64_000) / 20) / 2, 32_000)
    return path


def all_listed(folder: Path, text: str | bytes) -> list[Record | Note]:
    (folder / "clips.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    with Network(folder.parent / "state") as network:
        return list(LocalFolder(folder).records(network, CATALOGUE))


def listed(folder: Path, text: str | bytes) -> list[Record]:
    return [found for found in all_listed(folder, text) if isinstance(found, Record)]


def problem(folder: Path, row: str, columns: str = "file") -> str:
    (record,) = listed(folder, f"{columns}\n{row}\n")
    return record.problem or ""


def test_all_that_a_row_says_is_read(folder: Path) -> None:
    text = (
        "file,id,title,description,tags,author,licence,page_url\r\n"
        'dogs/barking.wav,dog-1,Dogs,"Two dogs, one ""small"",\r\nbark.",dog; bark ;;yard,Ada,CC BY 4.0,'
        "https://example.org/dogs\r\n"
        "\r\n"
        "rain.flac,,,,,,,\r\n"
    )
    dogs, rain = listed(folder, text)
    assert dogs == Record(
        source_id="dog-1",
        audio_url="dogs/barking.wav",
        title="Dogs",
        description='Two dogs, one "small",\r\nbark.',
        tags=("dog", "bark", "yard"),
        author="Ada",
        licence="CC BY 4.0",
        page_url="https://example.org/dogs",
        claimed_format="wav",
        claimed_bytes=(folder / "dogs/barking.wav").stat().st_size,
    )
    assert rain == Record(
        source_id="rain",
        audio_url="rain.flac",
        claimed_format="flac",
        claimed_bytes=(folder / "rain.flac").stat().st_size,
    )


def test_a_list_from_a_spreadsheet_is_read(folder: Path) -> None:
    (record,) = listed(folder, "\ufeffFile, Description \nrain.flac, Rain on a tent. \n")
    assert (record.source_id, record.description) == ("rain", "Rain on a tent.")


def test_only_a_name_is_needed_and_a_missing_file_is_left_to_the_fetch(folder: Path) -> None:
    (record,) = listed(folder, "file\nnot/there.ogg\n")
    assert (record.audio_url, record.problem, record.claimed_bytes) == ("not/there.ogg", None, None)


@pytest.mark.parametrize(
    ("file", "source_id"),
    [
        ("rain.flac", "rain"),
        ("Rain_2-b.WAV", "Rain_2-b"),
        ("dogs/barking.wav", "dogs-barking-72ad6cdb"),
        ("dogs-barking.wav", "dogs-barking"),
    ],
)
def test_an_id_is_the_file_s_name_with_a_hash_where_that_loses_something(
    folder: Path, file: str, source_id: str
) -> None:
    (record,) = listed(folder, f"file\n{file}\n")
    assert (record.source_id, record.problem) == (source_id, None)


@pytest.mark.slow
def test_ids_are_safe_unique_and_do_not_depend_on_the_other_rows(folder: Path) -> None:
    files = [
        "a b.wav",
        "a-b.wav",
        "a/b.wav",
        "a_b.wav",
        "ä.wav",
        "ö.wav",
        "☂.wav",
        "a.b.wav",
        f"{'x' * 200}.wav",
    ]
    files += [f"{'x' * 201}.wav", "-.wav", "_.wav", "...wav"]
    together = {record.audio_url: record.source_id for record in listed(folder, "\n".join(["file", *files]))}
    assert len(set(together.values())) == len(files)
    assert all(SAFE_ID.fullmatch(source_id) for source_id in together.values())
    for file in files:
        (alone,) = listed(folder, f"file\n{file}\n")
        assert alone.source_id == together[file]


def test_two_rows_with_one_id_are_told_apart_from_a_clip(folder: Path) -> None:
    records = listed(folder, "file,id\nrain.flac,\nrain.wav,\ndogs/barking.wav,rain\n")
    assert [record.source_id for record in records] == ["rain"] * 3
    assert records[0].problem is None
    assert "line 3: line 2 has the same id" in (records[1].problem or "")
    assert "line 4: line 2 has the same id" in (records[2].problem or "")


@pytest.mark.slow
@pytest.mark.parametrize(
    "file",
    [
        "../secret.wav",
        "dogs/../../secret.wav",
        "/etc/passwd",
        "..",
        "dogs\\..\\..\\secret.wav",
        "C:\\secret.wav",
        "link.wav",
        "outside/secret.wav",
        "nul\0byte.wav",
        "bell\x07.wav",
        "right\u202eto-left.wav",
        "loop/x.wav",
    ],
)
def test_a_file_outside_the_folder_is_never_named(folder: Path, file: str) -> None:
    secret = folder.parent / "secret.wav"
    shutil.copy(folder / "dogs/barking.wav", secret)
    (folder / "link.wav").symlink_to(secret)
    (folder / "outside").symlink_to(folder.parent)
    (folder / "loop").symlink_to(folder / "loop")
    said = problem(folder, f'"{file}"')
    assert said.startswith("clips.csv, line 2: ")


@pytest.mark.parametrize(
    ("row", "columns", "message"),
    [
        (" ", "file", "the row names no file"),
        (",x", "file,title", "the row names no file"),
        ("rain.flac,a,b", "file,title", "3 cells instead of 2"),
        ("rain.flac", "file,title", "1 cells instead of 2"),
        ("rain.flac,../x", "file,id", "id '../x'"),
        (f"rain.flac,{'x' * 65}", "file,id", "letters, digits, _ and -"),
        ("rain.flac,javascript:alert(1)", "file,page_url", "not an http(s) link"),
    ],
)
def test_a_row_that_is_none_says_why(folder: Path, row: str, columns: str, message: str) -> None:
    assert message in problem(folder, row, columns)


def test_only_a_row_whose_id_is_at_fault_has_one(folder: Path) -> None:
    """A crawl calls it `bad_id` then, and `bad_record` otherwise."""
    rows = b"file,id\nrain.flac,../x\nrain.flac\n../y.wav,../y\n"
    assert [record.source_id for record in listed(folder, rows)] == ["../x", "", ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "it must have 'file'"),
        (b"title,description\n", "it must have 'file'"),
        (b"file;title\nrain.flac;Rain\n", "separated by commas"),
        (b"file,descripton\n", "optionally, id, title, description"),
        (b"file,file\n", "each once"),
        (b"\x89PNG\r\n\x1a\n\xff", "not UTF-8"),
        ("file,title\nrain.flac,Größe\n".encode("latin-1"), "save it as UTF-8 csv"),
        (b'file,title\nrain.flac,"never closed\n', "line 2: .*save it as csv again"),
    ],
)
def test_a_list_that_is_none_says_what_to_do(folder: Path, text: bytes, message: str) -> None:
    with pytest.raises(BadAnswer, match=message.replace("(", r"\(")) as error:
        listed(folder, text)
    assert "clips.csv" in str(error.value)


def test_a_folder_without_a_list_says_what_to_do(folder: Path) -> None:
    with Network(folder.parent / "state") as network:
        for path in (folder, folder / "nowhere", folder / "rain.flac"):
            with pytest.raises(NotThere, match=r"WAVCAPS_LOCAL_FOLDER__PATH.*clips\.csv"):
                list(LocalFolder(path).records(network, CATALOGUE))


def test_it_is_a_source_only_where_its_folder_is_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAVCAPS_LOCAL_FOLDER__PATH", raising=False)
    without = [source.name for source in all_sources(Settings())]
    assert "local_folder" not in without
    monkeypatch.setenv("WAVCAPS_LOCAL_FOLDER__PATH", "")
    assert [source.name for source in all_sources(Settings())] == without
    monkeypatch.setenv("WAVCAPS_LOCAL_FOLDER__PATH", str(folder))
    *_, own = all_sources(Settings())
    assert (own.name, own.folder) == ("local_folder", folder)


def test_own_sounds_go_through_the_whole_pipeline(folder: Path, tmp_path: Path) -> None:
    (folder / "clips.csv").write_text(
        "file,description,author,licence\n"
        "dogs/barking.wav,Two dogs bark.,Ada,CC BY 4.0\n"
        "rain.flac,,,\n"
        "gone.wav,,,\n",
        encoding="utf-8",
    )
    source, tables = LocalFolder(folder), TableStore(Store(tmp_path / "store"))
    with Network(tmp_path / "state") as network:
        listing = crawl(source, CATALOGUE, network, tables).stage
        tables.write([source.name, "raw_clips"], CATALOGUE, listing)
        origin = Origin(network, tmp_path / "partial")
        audio = fetch_audio(source, CATALOGUE, listing.kept, tables, origin, FetchSettings())
        tables.write([source.name, "audio"], CATALOGUE, audio)
    clips = {row["source_id"]: row for row in listing.kept.to_pylist()}
    assert listing.kept.num_rows == 3
    (dogs,) = (row for row in clips.values() if row["audio_url"] == "dogs/barking.wav")
    assert (dogs["licence_id"], dogs["licence_class"]) == ("CC-BY-4.0", "BY")
    assert "by Ada (Local folder), CC BY 4.0" in dogs["attribution"]
    assert [(row["clip_id"], row["reason"]) for row in audio.dropped.to_pylist()] == [
        ("local_folder-gone", "audio_gone")
    ]
    assert {row["duration_s"] for row in audio.kept.to_pylist()} == {2.0}
    filtered = filter_clips(listing.kept, audio, FilterSettings()).kept
    assert sorted(map(clip_text, filtered.to_pylist())) == ["", "Two dogs bark."]
    # Nothing says how to caption it: it is captioned as descriptions are.
    for preset in CAPTIONING_PRESETS:
        chosen = choose_settings(source.name, False, CaptioningChoice(preset=preset))
        prompt = load_prompt(chosen.prompt, source.name, chosen.form)
        assert prompt == load_prompt(chosen.prompt, "freesound", chosen.form)
    report = collect(tables, [source], DEMO_EXPERIMENT)
    assert [(funnel.title, funnel.steps[:2]) for funnel in report.funnels] == [("Local folder", (3, 2))]


def test_files_without_a_row_are_counted(folder: Path) -> None:
    (folder / "dogs/.hidden.wav").write_bytes(b"")
    (folder / "notes.txt").write_text("not audio")
    rain, note = all_listed(folder, "file,recording\nrain.flac,storm\n")
    assert isinstance(rain, Record) and rain.recording == "storm"
    assert isinstance(note, Note)
    assert note.text == "1 audio files have no row in clips.csv and are not read: dogs/barking.wav"


def test_an_accent_may_be_written_in_two_ways(folder: Path) -> None:
    composed, decomposed = "H\u00f6rner.wav", "Ho\u0308rner.wav"
    shutil.copy(folder / "dogs/barking.wav", folder / decomposed)
    first = listed(folder, f"file\n{composed}\n")[0]
    assert (first.problem, first.audio_url) == (None, decomposed)
    assert first.claimed_bytes == (folder / decomposed).stat().st_size


@pytest.mark.parametrize("name", ["x" * 300, "y/" * 5_000, "z" * 200_000, "a\0b"])
def test_a_row_with_an_impossible_name_costs_one_row(folder: Path, name: str) -> None:
    (folder / "clips.csv").write_text(f"file,description\nrain.flac,Rain.\n{name},Nothing.\n")
    with Network(folder.parent / "state") as network:
        found = [one for one in LocalFolder(folder).records(network, "catalogue") if isinstance(one, Record)]
    assert [record.problem is None for record in found] == [True, False]
    assert "line 3" in str(found[1].problem)
