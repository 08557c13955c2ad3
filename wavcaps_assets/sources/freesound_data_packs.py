"""FreeSound's official data packs, from a folder.

Set `WAVCAPS_FREESOUND_DATA_PACKS__PATH` to a folder with one or several unpacked archives of a data pack. The
layout is that of FreeSound's own command that makes the packs, of July 2026
(https://github.com/MTG/freesound/blob/master/sounds/management/commands/create_data_pack.py): metadata as
csv files, manifests with CRC-32, and audio named `<id // 1000>/<id>.<type>`.

A pack comes in variants, by commercial use and by use for generative models. The name of a variant is never
read: licence and preference are those of each sound's own row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from wavcaps_assets.network.errors import BadAnswer, NotThere
from wavcaps_assets.sources.base import Record, Source, Unread
from wavcaps_assets.sources.folders import SUFFIXES
from wavcaps_assets.sources.freesound_pack_files import (
    NEEDED,
    PackFiles,
    columns_of,
    find_files,
    read_checksums,
    read_rows,
    warn_of_changed_lists,
)
from wavcaps_assets.sources.freesound_pack_rows import record_of, with_file
from wavcaps_assets.sources.freesound_sound import MAX_INT64
from wavcaps_assets.sources.settings import FolderPath, SourceSettings

if TYPE_CHECKING:
    from wavcaps_assets.network.client import Network
    from wavcaps_assets.settings import Settings

PATH = "WAVCAPS_FREESOUND_DATA_PACKS__PATH"
# A partition is a range of ids, since a pack has all of FreeSound. In November 2026, ids have six digits.
IDS_A_PARTITION = 100_000
FULL_PARTITIONS = 10
FIRST_ID = re.compile(r"([0-9]{7})-")


class FreesoundDataPacksSettings(SourceSettings):
    """FreeSound's official data packs."""

    key = "freesound_data_packs"

    path: FolderPath = Field(
        None, description="folder of the unpacked data packs, with metadata and audio; empty: none"
    )
    least_found: float = Field(
        0.1,
        ge=0,
        le=1,
        description="share of the folder's audio files, or of the listed sounds if they are fewer, that must "
        "match; a crawl with fewer fails. 0: metadata without audio is read too",
    )


class FreesoundDataPacks(Source):
    """The sounds of data packs. A partition is a range of FreeSound's ids."""

    name = "freesound_data_packs"
    title = "FreeSound data packs"
    ids_of = "freesound"

    def __init__(self, path: Path | None, least_found: float) -> None:
        self._root = path.resolve() if path else None
        self._least_found = least_found

    @property
    def folder(self) -> Path | None:
        return self._root

    def needs(self, settings: Settings) -> str:
        return "" if self._root else f"{PATH}: your folder of unpacked data packs"

    def partitions(self) -> list[str]:
        starts = range(0, FULL_PARTITIONS * IDS_A_PARTITION, IDS_A_PARTITION)
        names = [f"{start:07d}-{start + IDS_A_PARTITION - 1:07d}" for start in starts]
        return [*names, f"{FULL_PARTITIONS * IDS_A_PARTITION:07d}-"]

    def records(self, network: Network, partition: str) -> Iterator[Record | Unread]:
        if self._root is None:
            raise NotThere(f"{PATH} is empty: set it to your folder of unpacked data packs")
        yield from Reading(self._root, self._least_found, _ids_of(partition)).records()


class Reading:
    """One reading of a folder, for the sounds of a range of ids."""

    def __init__(self, root: Path, least_found: float, ids: range) -> None:
        self._root = root
        self._least_found = least_found
        self._ids = ids

    def records(self) -> Iterator[Record | Unread]:
        """The sounds of the range, and what could not be read.

        Raises:
            NotThere: the folder has no metadata, or little of the audio.
            BadAnswer: the metadata has no sounds.
        """
        ids = self._ids
        files = self._find_files()
        lists = self._metadata(files)
        checksums = read_checksums(self._root, files.manifests, ids)
        warn_of_changed_lists(self._root, lists, checksums.lists)
        for path, problem in checksums.unread.items():
            yield Unread(_part(path), problem)
        listed: set[int] = set()
        damaged: list[str] = []
        read: dict[int, Record] = {}
        # The releases' folders are named by their date: the newest row of a sound comes first.
        for path in reversed(lists):
            try:
                for number, line, row in read_rows(self._root, path):
                    listed.add(number)
                    if number not in ids:
                        continue
                    record = record_of(number, row, f"{path}, line {line}")
                    known = read.get(number)
                    if known is None or (known.problem and not record.problem):
                        read[number] = record
                        yield with_file(record, row, path, files, checksums)
                    elif known != record and not record.problem:
                        # The crawl drops it, as listed twice.
                        yield record
            except BadAnswer as error:
                damaged.append(str(error))
                yield Unread(_part(path), damaged[-1])
        if not listed:
            why = f". {damaged[0]}" if damaged else ""
            raise BadAnswer(f"{PATH} is {self._root}: its metadata lists no sounds{why}")
        self._require_audio(files, listed)

    def _find_files(self) -> PackFiles:
        try:
            return find_files(self._root, self._ids)
        except OSError as error:
            raise NotThere(
                f"{PATH} is {self._root}, which cannot be read as a folder of data packs: {error.strerror}"
            ) from error

    def _metadata(self, files: PackFiles) -> list[str]:
        """The paths of the metadata files; a file that is named as one is, whatever it contains.

        Raises:
            NotThere: there is none.
        """
        columns = {path: columns_of(self._root, path) for path in files.lists}
        has = [path for path, names in columns.items() if set(names) >= NEEDED]
        if not has:
            seen = "; ".join(f"{path}: {', '.join(names)[:200]}" for path, names in list(columns.items())[:3])
            raise NotThere(
                f"{PATH} is {self._root}: it has no metadata of a data pack. Expected are csv files with at "
                f"least the columns {' and '.join(sorted(NEEDED))}, such as metadata/metadata_0000.csv, also "
                f"in subfolders. The folder has {files.described()}"
                + (f"; the columns are {seen!r}" if seen else "")
                + (". Unpack the archives first" if files.suffixes[".zip"] else "")
            )
        return [path for path in files.lists if path in has or path.rpartition("/")[2].startswith("metadata")]

    def _require_audio(self, files: PackFiles, listed: set[int]) -> None:
        """Checks that the folder has audio of the listed sounds, over all partitions.

        Raises:
            NotThere: it has little of it; says what was looked for, and what is there.
        """
        matching = len(listed & files.audio_ids)
        possible = min(files.audio_files, len(listed))
        if not self._least_found or matching >= max(1, self._least_found * possible):
            return
        examples = files.unnamed_audio or [f"{number}.…" for number in sorted(files.audio_ids)[:3]]
        raise NotThere(
            f"{PATH} is {self._root}: its metadata lists {len(listed)} sounds, such as {min(listed)}, and it "
            f"has {files.audio_files} audio files, of which {matching} sounds' names match. Expected are "
            "names such as 12/12345.wav, 12345.wav, 12345_67.wav and 12345__author__name.wav, also in "
            f"subfolders, with the suffixes {', '.join(SUFFIXES)}. The folder has {files.described()}"
            + (f"; its audio files are such as {', '.join(examples)}" if examples else "")
            + ". If you have no more of the audio, set WAVCAPS_FREESOUND_DATA_PACKS__LEAST_FOUND=0"
        )


def configured(demo_url: str | None, state: Path) -> FreesoundDataPacks:
    settings = FreesoundDataPacksSettings.read(demo_url)
    return FreesoundDataPacks(settings.path, settings.least_found)


def _ids_of(partition: str) -> range:
    match = FIRST_ID.match(partition)
    assert match is not None
    start = int(match[1])
    return range(start, start + IDS_A_PARTITION if not partition.endswith("-") else MAX_INT64)


def _part(path: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", path).strip("-")[-100:]
