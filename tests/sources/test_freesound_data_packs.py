"""FreeSound's data packs: what their rows say, their checksums, and odd folders."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.sources.packs import COLUMNS, VARIANT, sound, tone, write, write_pack, zip_crc32
from tests.support.paths import DATA
from wavcaps_assets.audio.fetch import fetch_audio
from wavcaps_assets.audio.local_files import WrongFolder
from wavcaps_assets.audio.originals import Origin
from wavcaps_assets.audio.settings import FetchSettings
from wavcaps_assets.crawl.crawl import crawl
from wavcaps_assets.crawl.settings import CrawlSettings
from wavcaps_assets.network.client import Network
from wavcaps_assets.network.errors import BadAnswer, NotThere
from wavcaps_assets.settings import Settings
from wavcaps_assets.sources import all_sources
from wavcaps_assets.sources.base import Record, Unread
from wavcaps_assets.sources.freesound_data_packs import FreesoundDataPacks, FreesoundDataPacksSettings
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.stage import Stage

FIRST, *_, LAST = FreesoundDataPacks(Path("/nowhere"), 0.1).partitions()
CSV = f"metadata/{VARIANT}/metadata_0012.csv"
MANIFEST = f"manifests/{VARIANT}/audio_0012"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "packs"
    path.mkdir()
    return path


def listed(folder: Path, partition: str = FIRST, least_found: float = 0.1) -> list[Record | Unread]:
    with Network(folder.parent / "state") as network:
        return list(FreesoundDataPacks(folder, least_found).records(network, partition))


def records(folder: Path, partition: str = FIRST) -> dict[str, Record]:
    found = listed(folder, partition)
    assert all(isinstance(one, Record) for one in found), found
    usable = [one for one in found if isinstance(one, Record) and not one.problem]
    assert len({one.source_id for one in usable}) == len(usable)
    return {one.source_id: one for one in usable}


def run(folder: Path, partition: str = FIRST, settings: FetchSettings | None = None) -> tuple[Stage, Stage]:
    """Crawls a partition and reads its audio, as the assets do."""
    source = FreesoundDataPacks(folder, 0.1)
    tables = TableStore(Store(folder.parent / "store"))
    with Network(folder.parent / "state") as network:
        listing = crawl(source, partition, network, tables, CrawlSettings()).stage
        tables.write([source.name, "raw_clips"], partition, listing)
        origin = Origin(network, folder.parent / "partial")
        audio = fetch_audio(source, partition, listing.kept, tables, origin, settings or FetchSettings())
        tables.write([source.name, "audio"], partition, audio)
    return listing, audio


def reasons(stage: Stage) -> dict[str, str]:
    return {row["clip_id"].split("-")[1]: row["reason"] for row in stage.dropped.to_pylist()}


def test_all_that_a_row_says_is_read(folder: Path) -> None:
    text = 'Rain on a tent,\r\n"heavy".'
    write_pack(
        folder, [sound(12_345, description=text, tags="Rain GenAI", license="Attribution-NonCommercial")]
    )
    content = tone(12_345)
    assert records(folder) == {
        "12345": Record(
            source_id="12345",
            audio_url="12/12345.wav",
            title="sound 12345.wav",
            description=text,
            tags=("Rain", "GenAI"),
            author="ada",
            licence="Attribution-NonCommercial",
            page_url="https://freesound.org/s/12345/",
            claimed_duration_s=2.0,
            claimed_format="wav",
            claimed_bytes=len(content),
            claimed_crc32=f"{zip_crc32(content):08x}",
            created="2026-03-04T05:06:07",
            gen_ai_preference="no-additional-preferences",
            category="Sound effects",
            subcategory="Natural elements and explosions",
            synthetic=True,
        )
    }


def test_names_of_the_api_are_read_too_and_unknown_columns_are_left_out(folder: Path) -> None:
    columns = ["license", "note", "name", "ID", "gen_ai_preference", "is_explicit", "is_remix", "category"]
    columns += ["category_is_user_provided", "subcategory", "samplerate", "channels", "crc32"]
    row = ["Creative Commons 0", "x", "Rain", "7", "no-gen-ai", "True", "0", "Music", "false", "Other"]
    row += ["44100.0", "2", "ABC"]
    write(folder / "list.csv", f"\ufeff{','.join(columns)}\r\n{','.join(row)}\r\n")
    write(folder / "sub/folder/7.wav", tone(7))
    assert records(folder)["7"] == Record(
        source_id="7",
        audio_url="sub/folder/7.wav",
        title="Rain",
        licence="Creative Commons 0",
        page_url="https://freesound.org/s/7/",
        claimed_sample_rate=44_100,
        claimed_channels=2,
        claimed_crc32="00000abc",
        gen_ai_preference="no-gen-ai",
        category="Music",
        subcategory="Other",
        category_is_user_provided=False,
        is_explicit=True,
        is_remix=False,
    )


def test_what_a_row_does_not_say_is_not_known(folder: Path) -> None:
    write(folder / "metadata.csv", "id,license,created,duration,bst_category_code\n7,,yesterday,nan,zz-top\n")
    write(folder / "7.wav", tone(7))
    (record,) = records(folder).values()
    assert (record.licence, record.created, record.claimed_duration_s) == (None, None, None)
    assert (record.category, record.subcategory, record.synthetic) == (None, None, None)


@pytest.mark.slow
def test_the_licence_is_the_sounds_own_and_not_that_of_the_packs_name(folder: Path) -> None:
    by_id = {
        12_001: ("Attribution-NonCommercial", "LicenseRef-CC-BY-NC", "BY-NC"),
        12_002: ("Attribution NonCommercial", "LicenseRef-CC-BY-NC", "BY-NC"),
        12_003: ("Attribution", "LicenseRef-CC-BY", "BY"),
        12_004: ("Creative Commons 0", "CC0-1.0", "CC0"),
        12_005: ("", "LicenseRef-unknown", "unknown"),
        12_006: ("Something new", "LicenseRef-unknown", "unknown"),
    }
    sounds = [sound(number, license=words) for number, (words, *_) in by_id.items()]
    write_pack(folder, sounds, variant="commercial-use-generative-ai-no-open-source-model")
    listing, _ = run(folder)
    assert {
        int(row["source_id"]): (row["licence"] or "", row["licence_id"], row["licence_class"])
        for row in listing.kept.to_pylist()
    } == by_id


@pytest.mark.slow
def test_a_partition_has_its_range_of_ids(folder: Path) -> None:
    numbers = [1, 99_999, 100_000, 199_999, 999_999, 1_000_000, 12_345_678]
    write_pack(folder, [sound(number) for number in numbers])
    found = {name: list(records(folder, name)) for name in FreesoundDataPacks(folder, 0.1).partitions()}
    assert {name: ids for name, ids in found.items() if ids} == {
        "0000000-0099999": ["99999", "1"],
        "0100000-0199999": ["199999", "100000"],
        "0900000-0999999": ["999999"],
        "1000000-": ["12345678", "1000000"],
    }
    assert len(found) == 11


@pytest.mark.parametrize(
    "name",
    ["12/12345.wav", "12345.WAV", "a/b/12345_678.wav", "12345__ada__rain-1.wav", "audio_0012/12345.wav"],
)
def test_a_sound_is_found_under_the_names_that_downloads_have(folder: Path, name: str) -> None:
    write_pack(folder, [sound(12_345, audio=None)])
    write(folder / name, tone(12_345))
    assert records(folder)["12345"].audio_url == name


def test_the_file_of_the_same_release_is_preferred(folder: Path) -> None:
    for release in ("2026-07-01", "2026-10-01", "2026-11-01"):
        write_pack(folder / release, [sound(12_345, title=release, audio=None)])
    for place in ("2026-07-01/12", "2026-10-01/12", "2026-10-01", "2026-11-01/other"):
        write(folder / place / "12345.wav", tone(12_345))
    newest, *older = [one for one in listed(folder) if isinstance(one, Record)]
    assert (newest.title, newest.audio_url) == ("2026-11-01", "2026-07-01/12/12345.wav")
    # The crawl keeps the newest, and drops the others as listed twice.
    assert [one.title for one in older] == ["2026-10-01", "2026-07-01"]
    shutil.rmtree(folder / "2026-11-01")
    (first, _) = [one for one in listed(folder) if isinstance(one, Record)]
    assert first.audio_url == "2026-10-01/12/12345.wav"


@pytest.mark.slow
def test_the_same_row_in_several_variants_is_one_sound(folder: Path) -> None:
    write_pack(folder, [sound(12_345), sound(12_346)], variant="complete")
    write_pack(folder, [sound(12_345)], variant=VARIANT)
    listing, audio = run(folder)
    assert (listing.kept.num_rows, listing.dropped.num_rows, audio.kept.num_rows) == (2, 0, 2)


def test_two_rows_that_differ_are_one_sound_and_say_so(folder: Path) -> None:
    write_pack(folder / "2026-07-01", [sound(12_345, generative_ai_preference="no-additional-preferences")])
    write_pack(folder / "2026-10-01", [sound(12_345, generative_ai_preference="no-gen-ai")])
    listing, _ = run(folder)
    assert [row["gen_ai_preference"] for row in listing.kept.to_pylist()] == ["no-gen-ai"]
    assert [row["reason"] for row in listing.dropped.to_pylist()] == ["listed_twice"]


def test_a_converted_file_is_found_and_not_compared_with_the_original(folder: Path) -> None:
    write_pack(folder, [sound(12_345, audio=None)])
    write(folder / "flac/12345.ogg", tone(12_345))
    record = records(folder)["12345"]
    assert (record.audio_url, record.claimed_crc32, record.claimed_bytes) == ("flac/12345.ogg", None, None)


@pytest.mark.slow
def test_wrong_checksums_are_each_files_own_and_missing_files_are_listed(folder: Path) -> None:
    write_pack(folder, [*(sound(12_000 + number) for number in range(8)), sound(12_100, audio=None)])
    damaged = folder / "12/12003.wav"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\x7f")
    _, audio = run(folder)
    assert reasons(audio) == {"12003": "wrong_checksum", "12100": "audio_gone"}
    detail = audio.dropped.to_pylist()[0]["detail"]
    assert "'12/12003.wav' has the CRC-32" in detail
    assert f"its source lists {zip_crc32(tone(12_003)):08x}" in detail
    # Nothing changed: nothing is read again, and the outcome is the same.
    assert reasons(run(folder)[1]) == reasons(audio)
    damaged.write_bytes(tone(12_003))
    assert reasons(run(folder)[1]) == {"12100": "audio_gone"}


@pytest.mark.slow
def test_wrong_checksums_everywhere_are_the_folders_fault(folder: Path) -> None:
    write_pack(folder, [*(sound(12_000 + number) for number in range(6)), sound(12_100, audio=None)])
    for path in (folder / "12").iterdir():
        path.write_bytes(path.read_bytes() + b"\0")
    for _ in range(2):
        with pytest.raises(
            WrongFolder, match=r"all 6 files of FreeSound data packs .* not of the same release"
        ):
            run(folder)
    assert not TableStore(Store(folder.parent / "store")).exists(["freesound_data_packs", "audio"], FIRST)
    # If that is how it is, a person can say so.
    _, audio = run(folder, settings=FetchSettings(failed_partition=7))
    assert set(reasons(audio).values()) == {"wrong_checksum", "audio_gone"}
    for number in range(6):
        write(folder / f"12/{12_000 + number}.wav", tone(12_000 + number))
    assert reasons(run(folder)[1]) == {"12100": "audio_gone"}


@pytest.mark.slow
def test_a_checksum_that_was_corrected_is_compared_again(folder: Path) -> None:
    write_pack(folder, [sound(12_001), sound(12_002)])
    right = (folder / MANIFEST).read_text()
    write(folder / MANIFEST, right.replace(f"{zip_crc32(tone(12_001)):08x}", "00000000"))
    assert reasons(run(folder)[1]) == {"12001": "wrong_checksum"}
    write(folder / MANIFEST, right)
    assert reasons(run(folder)[1]) == {}


def test_a_pack_without_manifests_is_read_and_its_unknown_checksums_too(folder: Path) -> None:
    write_pack(folder, [sound(12_001), sound(12_002)])
    write(folder / MANIFEST, f"- 1 /secret/x 12/12001.wav\n{zip_crc32(tone(12_002)):08x} 1 /y 12/12002.wav\n")
    assert {one.source_id: one.claimed_crc32 for one in records(folder).values()} == {
        "12001": None,
        "12002": f"{zip_crc32(tone(12_002)):08x}",
    }
    shutil.rmtree(folder / "manifests")
    assert {one.claimed_crc32 for one in records(folder).values()} == {None}


def test_a_manifest_that_is_none_is_a_part_that_was_not_read(folder: Path) -> None:
    write_pack(folder, [sound(12_001), sound(12_002)])
    write(folder / MANIFEST, "12/12001.wav deadbeef\n\n\xff\xfe\n")
    unread, *sounds = listed(folder)
    assert isinstance(unread, Unread)
    assert "audio_0012, line 1: expected CRC-32, size, location and path" in unread.problem
    assert "2 lines cannot be read" in unread.problem
    assert len(sounds) == 2


def test_metadata_that_was_edited_is_read_with_a_warning(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_pack(folder, [sound(12_001)])
    content = (folder / CSV).read_bytes()
    write(
        folder / f"manifests/{VARIANT}/metadata",
        f"{zip_crc32(content):08x} {len(content)} /secret/data_packs/{CSV} metadata/metadata_0012.csv\n",
    )
    records(folder)
    assert not caplog.records
    write(folder / CSV, b"\xef\xbb\xbf" + content)
    assert set(records(folder)) == {"12001"}
    assert [record.args for record in caplog.records] == [(CSV,)]


@pytest.mark.parametrize("number", ["", "0", "-3", "12345.0", "1e5", "x", "\uff19", "9" * 19])
def test_a_row_without_an_id_may_be_about_any_sound(folder: Path, number: str) -> None:
    write_pack(folder, [sound(12_001), sound(12_002)])
    with (folder / CSV).open("a", encoding="utf-8") as file:
        file.write(",".join([f"12/{number}.wav", number] + [""] * (len(COLUMNS) - 2)) + "\n")
    # Its range is not known: it is reported in each.
    for partition, sounds in ((FIRST, 2), (LAST, 0)):
        *others, unread = listed(folder, partition)
        assert isinstance(unread, Unread)
        assert f"metadata_0012.csv, line 4: the id {number!r} is no whole number; 1 rows" in unread.problem
        assert len(others) == sounds


def test_bad_rows_cost_one_sound_each(folder: Path) -> None:
    write_pack(folder, [sound(12_001), sound(12_002), sound(12_003)])
    text = (folder / CSV).read_bytes()
    write(folder / CSV, text.replace(b"Description of 12002", b"Gr\xfc\xdfe"))
    found = [one for one in listed(folder) if isinstance(one, Record)]
    assert {one.source_id: one.problem for one in found} == {
        "12001": None,
        "12002": f"{CSV}, line 3: the row is not UTF-8",
        "12003": None,
    }


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ('12002,"never closed', "line 3: unexpected end of data; the file is damaged"),
        (
            "12002,2026-03-04",
            "line 3: 3 cells instead of 19; 1 rows cannot be read. Was the file cut off",
        ),
    ],
)
def test_a_file_that_is_cut_off_loses_no_sound_of_the_last_crawl(
    folder: Path, end: str, message: str
) -> None:
    write_pack(folder, [sound(12_001), sound(12_002), sound(12_003)])
    run(folder)
    text = (folder / CSV).read_text()
    write(folder / CSV, text[: text.index("12002,")] + end)
    listing, audio = run(folder)
    assert {row["source_id"] for row in listing.kept.to_pylist()} == {"12001", "12002", "12003"}
    (unread,) = listing.dropped.to_pylist()
    assert unread["reason"] == "unread"
    assert f"metadata_0012.csv, {message}" in unread["detail"]
    assert audio.kept.num_rows == 3


def test_a_row_names_no_file_outside_the_folder(folder: Path) -> None:
    write_pack(folder, [sound(12_001), sound(12_002, audio=None)])
    secret = write(folder.parent / "secret.wav", tone(12_002))
    text = (
        (folder / CSV).read_text().replace("12/12002.wav", "../secret.wav").replace(",wav,2.0", ",../wav,2.0")
    )
    write(folder / CSV, text)
    found = records(folder)
    assert {one.audio_url for one in found.values()} == {"12/12001.wav", "12/12002.wav"}
    assert {one.claimed_format for one in found.values()} == {None}
    (folder / "12/12002.wav").symlink_to(secret)
    assert reasons(run(folder)[1]) == {"12002": "outside_folder"}


@pytest.mark.parametrize("length", [200_000, 5_000_000])
def test_a_long_description_costs_no_sound(folder: Path, length: int) -> None:
    texts = {12_001: "Rain.", 12_002: "x" * length, 12_003: "Wind."}
    write_pack(folder, [sound(number, description=text) for number, text in texts.items()])
    assert {int(number): one.description for number, one in records(folder).items()} == texts


@pytest.mark.parametrize("name", ["metadata_0099.csv", f"manifests/{VARIANT}/audio_0099"])
@pytest.mark.parametrize("kind", ["pipe", "device", "elsewhere"])
def test_what_is_no_file_of_the_folder_is_reported_and_not_read(folder: Path, name: str, kind: str) -> None:
    write_pack(folder, [sound(12_345)])
    secret = write(folder.parent / "secret.csv", "id,license,a-secret\n1,Attribution,x\n")
    if kind == "pipe":
        os.mkfifo(folder / name)
    else:
        (folder / name).symlink_to("/dev/zero" if kind == "device" else secret)
    found = listed(folder)
    assert [one.source_id for one in found if isinstance(one, Record)] == ["12345"]
    (unread,) = [one for one in found if isinstance(one, Unread)]
    assert "cannot be read: it is" in unread.problem
    assert "secret" not in unread.problem.replace("secret.csv", "")


def test_archives_that_are_not_unpacked_are_not_opened(folder: Path) -> None:
    write_pack(folder, [sound(12_345)])
    for name, member in (
        ("up.zip", "../../escaped.csv"),
        ("absolute.zip", "/tmp/escaped.csv"),
        ("bomb.zip", "b"),
    ):
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(member, b"\0" * 10_000_000)
    before = sorted(folder.parent.rglob("*"))
    assert list(records(folder)) == ["12345"]
    assert [path for path in sorted(folder.parent.rglob("*")) if path.name == "escaped.csv"] == []
    assert set(before) <= set(folder.parent.rglob("*"))


def test_hidden_files_and_archives_of_macs_are_not_read(folder: Path) -> None:
    write_pack(folder, [sound(12_001, license="Attribution")])
    write(folder / "__MACOSX/metadata/._metadata_0012.csv", b"\0\5\x16\7")
    write(folder / "__MACOSX/12/12001.wav", b"\0\5\x16\7")
    write(folder / ".cache/metadata_9999.csv", "id,license\n12001,Sampling+\n")
    assert records(folder)["12001"].licence == "Attribution"
    assert records(folder)["12001"].audio_url == "12/12001.wav"


@pytest.mark.parametrize(
    ("files", "error", "message"),
    [
        ({}, NotThere, "no metadata of a data pack.*columns id and license.*The folder has no files"),
        ({"a.zip": "PK", "b.zip": "PK"}, NotThere, r"The folder has 2 \.zip\. Unpack the archives first"),
        ({"x.csv": "file;licence\n"}, NotThere, r"the columns are 'x\.csv: file;licence'"),
        ({"metadata_0000.csv": "id,license\n"}, BadAnswer, "lists no sounds$"),
        (
            {"metadata_0000.csv": "id,license\n1.0,x\n2.0,x\n"},
            BadAnswer,
            r"lists no sounds\. .*line 2: the id '1\.0' is no whole number; 2 rows",
        ),
        (
            {"metadata.csv": "id,license\n1,x\n"},
            NotThere,
            "lists 1 sounds, such as 1, and it has 0 audio files",
        ),
        (
            {"metadata.csv": "id,license\n1,x\n2,x\n", "a/rain.wav": "RIFF", "7.ogg": "O"},
            NotThere,
            r"it has 2 audio files, of which 0 sounds' names match\. Expected are names such as 12/12.*"
            r"The folder has 1 \.\w+, 1 \.\w+, 1 \.\w+; its audio files are such as a/rain\.wav",
        ),
    ],
)
@pytest.mark.parametrize("partition", [FIRST, LAST])
def test_a_folder_that_is_none_says_what_was_looked_for_and_what_is_there(
    folder: Path, files: dict[str, str], error: type[Exception], message: str, partition: str
) -> None:
    for name, text in files.items():
        write(folder / name, text)
    with pytest.raises(error, match=message) as caught:
        listed(folder, partition)
    assert "WAVCAPS_FREESOUND_DATA_PACKS__PATH is" in str(caught.value)


def test_metadata_without_audio_is_read_if_a_person_says_so(folder: Path) -> None:
    write(folder / "metadata.csv", "id,license\n1,x\n")
    assert len(listed(folder, least_found=0.0)) == 1


def test_a_file_that_is_named_as_metadata_and_is_not_is_reported(folder: Path) -> None:
    write_pack(folder, [sound(12_001)])
    write(folder / "metadata_0099.csv", "id;license\n1;x\n")
    write(folder / "ratings.csv", "id,stars\n1,5\n")
    record, unread = listed(folder)
    assert isinstance(unread, Unread)
    assert "metadata_0099.csv has the columns 'id;license'" in unread.problem
    assert isinstance(record, Record)


def test_a_folder_that_is_not_there_says_so(folder: Path) -> None:
    with pytest.raises(NotThere, match="cannot be read as a folder of data packs: No such file"):
        listed(folder / "nowhere")


def test_it_is_a_source_only_where_its_folder_is_set(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAVCAPS_FREESOUND_DATA_PACKS__PATH", raising=False)
    assert FreesoundDataPacksSettings.read(None).path is None
    assert "freesound_data_packs" not in [source.name for source in all_sources(Settings())]
    monkeypatch.setenv("WAVCAPS_FREESOUND_DATA_PACKS__PATH", str(folder))
    (source,) = [source for source in all_sources(Settings()) if source.name == "freesound_data_packs"]
    assert source.folder == folder


def real_sounds() -> Sequence[dict[str, Any]]:
    """Twelve real clips of ESC-10, with FreeSound's ids; their licences as in FreeSound's packs."""
    names = {"CC0": "Creative Commons 0", "CC-BY": "Attribution", "CC-BY-NC": "Attribution NonCommercial"}
    index = DATA / "esc10" / "index.jsonl"
    if not index.is_file():
        pytest.skip("shared/data/esc10 is not here")
    sounds: dict[int, dict[str, Any]] = {}
    for line in index.read_text().splitlines():
        clip = json.loads(line)
        sounds.setdefault(
            int(clip["freesound_id"]),
            sound(
                int(clip["freesound_id"]),
                title=clip["raw_text"],
                username=clip["author"],
                license=names.get(clip["license"], clip["license"]),
                type="ogg",
                duration=clip["duration"],
                audio=(DATA / "esc10" / clip["audio"]).read_bytes(),
            ),
        )
    return list(sounds.values())[:12]


@pytest.mark.slow
def test_real_clips_go_through_the_crawl_and_the_audio(folder: Path) -> None:
    sounds = real_sounds()
    write_pack(folder, sounds)
    partitions = sorted({f"{one['id'] // 100_000}" for one in sounds})
    stages = [run(folder, name) for name in FreesoundDataPacks(folder, 0.1).partitions()]
    assert sum(bool(listing.kept.num_rows) for listing, _ in stages) == len(partitions)
    clips = [row for listing, _ in stages for row in listing.kept.to_pylist()]
    assert sorted(int(row["source_id"]) for row in clips) == sorted(one["id"] for one in sounds)
    audio = [row for _, stage in stages for row in stage.kept.to_pylist()]
    assert len(audio) == len(sounds)
    assert all(abs(row["duration_s"] - row["claimed_duration_s"]) < 0.01 for row in audio)
