"""A set is data from outside: what it must not be able to do."""

from __future__ import annotations

import io
import shutil
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.importing.conftest import Lane
from tests.importing.released import flac, tarred, write_json, zipped
from tests.support.rows import manifest_row
from wavcaps_assets.importing.importing import build_tables, write_import
from wavcaps_assets.importing.reading import UnusableSet, find_set
from wavcaps_assets.sources.packed_audio import PackedAudioError, copy_from_archive, of_zip
from wavcaps_assets.sources.zip_files import ZipError, members_of, unpack
from wavcaps_assets.tables import MANIFEST
from wavcaps_assets.tables.asset_tables import TableStore

CAPTION = 'A "dog", she said,\n barks\0; 50 % of <b>it</b>.'


def write_released(folder: Path, rows: list[dict[str, object]]) -> Path:
    write_json(folder / "json_files/FreeSound/fsd_final.json", rows)
    return folder


@pytest.mark.parametrize(
    "path", ["../secret.flac", "/etc/passwd", "..\\secret.flac", "a/../../secret.flac", "link.flac", "x\0y"]
)
def test_a_path_that_leaves_the_set_is_not_followed(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.flac").write_bytes(flac(1))
    folder = write_released(tmp_path / "set", [{"id": "secret", "caption": "A secret.", "audio": path}])
    (folder / "link.flac").symlink_to(tmp_path / "secret.flac")
    (row,) = build_tables(find_set(folder)).tables["freesound"].to_pylist()
    assert row["audio"] is None and row["problem"]


def test_a_file_that_becomes_a_link_after_the_import_is_not_read(
    tmp_path: Path, state: Path, lane: Lane, tables: TableStore
) -> None:
    folder = write_released(
        tmp_path / "set", [{"id": "1", "caption": "One."}, {"id": "2", "caption": "Two."}]
    )
    for name in ("1.flac", "2.flac"):
        (folder / name).write_bytes(flac(1))
    files = find_set(folder)
    write_import(build_tables(files), files, state)
    (tmp_path / "secret.flac").write_bytes(flac(2))
    (folder / "2.flac").unlink()
    (folder / "2.flac").symlink_to(tmp_path / "secret.flac")
    assert lane("freesound").column("clip_id").to_pylist() == ["freesound-1"]
    (dropped,) = tables.read_dropped(["freesound", "audio"]).to_pylist()
    assert (dropped["clip_id"], dropped["reason"]) == ("freesound-2", "outside_folder")


def test_quotes_line_breaks_and_nuls_of_a_caption_arrive(tmp_path: Path, state: Path, lane: Lane) -> None:
    folder = write_released(
        tmp_path / "set", [{"id": "1", "caption": CAPTION, "license": "Do what you like"}]
    )
    (folder / "1.flac").write_bytes(flac(1))
    files = find_set(folder)
    write_import(build_tables(files), files, state)
    (row,) = lane("freesound").to_pylist()
    # Parquet keeps a NUL, and other formats of the exports do not: it is left out here.
    assert row["caption"] == CAPTION.replace("\0", "")
    assert (row["licence"], row["licence_id"]) == ("Do what you like", "LicenseRef-unknown")


def test_one_file_that_clips_of_two_sources_could_mean_is_nobodys(tmp_path: Path) -> None:
    folder = write_released(
        tmp_path / "set", [{"id": "7", "caption": "Seven."}, {"id": "8", "caption": "8."}]
    )
    write_json(folder / "json_files/SoundBible/sb_final.json", [{"id": "7", "caption": "Another seven."}])
    (folder / "sounds").mkdir()
    for name in ("7.flac", "8.flac"):
        (folder / "sounds" / name).write_bytes(flac(1))
    built = build_tables(find_set(folder))
    assert built.tables["freesound"].column("audio").to_pylist() == [None, "sounds/8.flac"]
    assert built.tables["soundbible"].column("audio").to_pylist() == [None]


def test_a_zip_with_names_that_leave_it_gives_its_other_files(tmp_path: Path) -> None:
    folder = write_released(
        tmp_path / "set", [{"id": "passwd", "caption": "One."}, {"id": "1", "caption": "Two."}]
    )
    with zipfile.ZipFile(folder / "FreeSound.zip", "w") as archive:
        archive.writestr("../../etc/passwd.flac", flac(1))
        archive.writestr("/etc/passwd.flac", flac(1))
        link = zipfile.ZipInfo("passwd.flac")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("1.flac", flac(2))
    built = build_tables(find_set(folder))
    assert [row["audio"] is not None for row in built.tables["freesound"].to_pylist()] == [False, True]
    assert sum(count for name, count in built.notes.problems.items() if "FreeSound.zip" in name) == 3


def test_members_are_those_of_python_s_own_reader(tmp_path: Path) -> None:
    archive = tmp_path / "some.zip"
    files = {f"{number}.flac": flac(number) for number in range(3)} | {"naïve ☂.flac": flac(4)}
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as written:
        for name, content in files.items():
            written.writestr(name, content)
        with written.open("streamed.flac", "w", force_zip64=True) as stream:
            stream.write(flac(5))
    with zipfile.ZipFile(archive) as peer:
        expected = [(info.filename, info.file_size, peer.read(info)) for info in peer.infolist()]
    found = []
    for member in members_of(archive):
        copy_from_archive(archive, of_zip("some.zip", member), tmp_path / "one")
        found.append((member.name, member.size, (tmp_path / "one").read_bytes()))
    assert found == expected


@pytest.mark.skipif(shutil.which("zip") is None, reason="Info-ZIP makes the split archives")
def test_a_split_zip_without_a_part_says_which(tmp_path: Path) -> None:
    archive = tmp_path / "FreeSound.zip"
    zipped(archive, {f"{number}.flac": flac(number) for number in range(4)}, "-s", "64k")
    parts = sorted(path.name for path in tmp_path.iterdir())
    assert len(parts) > 2 and len(list(members_of(archive))) == 4
    archive.with_suffix(".z02").unlink()
    with pytest.raises(ZipError, match=r"is the last of \d parts, and 2 are there"):
        list(members_of(archive))


def test_a_member_that_is_larger_than_it_claims_is_not_unpacked(tmp_path: Path) -> None:
    archive = tmp_path / "bomb.zip"
    bomb = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = bomb.compress(bytes(50_000_000)) + bomb.flush()
    header = struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, 0, 8, 0, 0, 0, len(packed), 1_000, 6, 0)
    archive.write_bytes(header + b"1.flac" + packed)
    target = tmp_path / "one"
    with pytest.raises(ZipError, match="larger than the 1,000 bytes that it claims"):
        unpack(archive, 0, len(packed), 1_000, target)
    assert target.stat().st_size <= 2**20
    with pytest.raises(ZipError, match="which is no clip"):
        unpack(archive, 0, len(packed), 2**40, target)


@pytest.mark.parametrize("kept", [10, 3_000, -30])
def test_a_truncated_zip_is_counted_and_the_rest_is_read(tmp_path: Path, kept: int) -> None:
    folder = write_released(
        tmp_path / "set", [{"id": "1", "caption": "One."}, {"id": "2", "caption": "Two."}]
    )
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("1.flac", flac(1))
    (folder / "a.zip").write_bytes((folder / "a.zip").read_bytes()[:kept])
    (folder / "2.flac").write_bytes(flac(2))
    built = build_tables(find_set(folder))
    assert built.tables["freesound"].column("audio").to_pylist() == [None, "2.flac"]
    assert [count for name, count in built.notes.problems.items() if "a.zip" in name] == [1]


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_a_tar_with_a_link_or_a_device_is_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "0.tar", "w") as tar:
        member = tarfile.TarInfo("1.flac")
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member, io.BytesIO())
    with pytest.raises(UnusableSet, match=r"0\.tar: '1\.flac' is not a plain file inside the tar"):
        build_tables(find_set(tmp_path, source="laion"))


def test_a_tar_with_a_name_that_leaves_it_or_that_ends_early_is_refused(tmp_path: Path) -> None:
    tarred(tmp_path / "one/0.tar", {"../1.flac": flac(1)})
    with pytest.raises(UnusableSet, match="not a plain file inside the tar"):
        build_tables(find_set(tmp_path / "one", source="laion"))
    tarred(tmp_path / "two/0.tar", {"1.flac": flac(1), "2.flac": flac(2)})
    whole = (tmp_path / "two/0.tar").read_bytes()
    (tmp_path / "two/0.tar").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UnusableSet, match="truncated"):
        build_tables(find_set(tmp_path / "two", source="laion"))


def test_a_tar_with_a_hole_is_refused(tmp_path: Path) -> None:
    """A download in several parts, of which some are zeros still: Python's reader sees the end there."""
    tarred(tmp_path / "0.tar", {f"{number}.flac": flac(number) for number in range(4)})
    whole = (tmp_path / "0.tar").read_bytes()
    with tarfile.open(tmp_path / "0.tar") as tar:
        start, stop = (member.offset for member in tar.getmembers()[1:3])
    for filled in (whole[:start] + bytes(stop - start) + whole[stop:], whole[:start] + bytes(2**21)):
        (tmp_path / "0.tar").write_bytes(filled)
        with pytest.raises(UnusableSet, match=r"0\.tar goes on behind its end at .*Download it again"):
            build_tables(find_set(tmp_path, source="laion"))


def test_audio_behind_a_link_out_of_the_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    tarred(tmp_path / "cache/0.tar", {"1.flac": flac(1), "1.txt": b"A dog."})
    audio = pa.array([{"bytes": flac(1), "path": None}])
    pq.write_table(pa.table({"id": ["1"], "audio": audio}), tmp_path / "cache/0.parquet")
    for name in ("0.tar", "0.parquet"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).symlink_to(tmp_path / "cache" / name)
        with pytest.raises(UnusableSet, match="is a link to a file outside"):
            build_tables(find_set(tmp_path / name, source="laion"))


def test_a_column_that_names_no_sources_is_refused(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"id": str(n), "caption": "A.", "source": f"page {n}"} for n in range(200)
    ]
    with pytest.raises(UnusableSet, match="more than 100 sources"):
        build_tables(find_set(write_released(tmp_path / "set", rows)))


def test_an_archive_that_is_replaced_by_a_shorter_one_is_said(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(b"short")
    with pytest.raises(PackedAudioError, match="truncated"):
        copy_from_archive(tmp_path / "0.tar", "0.tar#512+4000", tmp_path / "one")


def test_a_manifest_of_an_older_version_is_read(tmp_path: Path) -> None:
    rows = MANIFEST.from_rows([manifest_row("freesound-1", caption="A dog barks.", source_id="1")])
    older = rows.select(sorted(MANIFEST.names_in(1)))
    (tmp_path / "manifest").mkdir()
    pq.write_table(older, tmp_path / "manifest/freesound.parquet")
    (row,) = build_tables(find_set(tmp_path)).tables["freesound"].to_pylist()
    assert (row["clip_id"], row["captions"]) == ("freesound-1", ["A dog barks."])
