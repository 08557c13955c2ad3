"""The files of FreeSound's data packs in a folder: metadata, manifests and audio, in subfolders too."""

from __future__ import annotations

import csv
import logging
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wavcaps_assets.network.errors import BadAnswer
from wavcaps_assets.sources.folders import SUFFIXES, crc32_of, csv_cells, files_in, require_file

# `123.wav` in a data pack; `123_45.wav` on FreeSound's server; `123__author__name.wav` as sounds are
# downloaded one by one.
AUDIO_NAME = re.compile(r"(?P<id>[0-9]{1,18})(?:_.*)?\.(?P<suffix>[A-Za-z0-9]{1,5})")
MANIFEST_NAME = re.compile(r"audio_[0-9]+(?:\.txt)?|[^.]*manifest[^.]*(?:\.txt)?", re.IGNORECASE)
# CRC-32, size (bytes), location on FreeSound's server, path in the archive. An unknown CRC is `-`.
MANIFEST_LINE = re.compile(r"(?P<crc>[0-9A-Fa-f]{1,8}|-) +[0-9]+ +\S+ +(?P<path>\S.*)")
SOUND_ID = re.compile(r"0*[1-9][0-9]{0,17}", re.ASCII)
# What tells metadata from another list.
NEEDED = frozenset({"id", "license"})
MAX_SHOWN = 3

logger = logging.getLogger(__name__)


@dataclass
class PackFiles:
    """What a folder has.

    Attributes:
        lists: paths of the csv files, except attribution files.
        manifests: paths of the manifests.
        audio: by id, the paths of the audio files of sounds in the range.
        audio_ids: the ids of all audio files.
        unnamed_audio: paths of some audio files whose name has no id.
        audio_files: how many audio files there are.
        suffixes: how many files have which suffix.

    All paths are relative to the folder, with `/`.
    """

    lists: list[str] = field(default_factory=list)
    manifests: list[str] = field(default_factory=list)
    audio: dict[int, list[str]] = field(default_factory=dict)
    audio_ids: set[int] = field(default_factory=set)
    unnamed_audio: list[str] = field(default_factory=list)
    audio_files: int = 0
    suffixes: Counter[str] = field(default_factory=Counter)

    def described(self) -> str:
        """What is there, for an error: how many files of each kind."""
        kinds = (f"{count} {suffix or 'without a suffix'}" for suffix, count in self.suffixes.most_common(6))
        return ", ".join(kinds) or "no files"


@dataclass
class Checksums:
    """What the manifests say.

    Attributes:
        audio: by id, the CRC-32 of the sound's file, in 8 hexadecimal digits.
        lists: by name, the CRC-32 that a metadata file may have.
        unread: by path, what is wrong with a manifest.
    """

    audio: dict[int, str] = field(default_factory=dict)
    lists: dict[str, set[str]] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)


def find_files(folder: Path, ids: range) -> PackFiles:
    """Finds the files of data packs in a folder and its subfolders.

    Args:
        ids: the sounds whose audio files are needed.

    Raises:
        OSError: the folder cannot be read.
    """
    found = PackFiles()
    for native in files_in(folder):
        path = native.replace(os.sep, "/")
        parts = path.split("/")
        # Hidden files, and what macOS puts into archives.
        if not path.isprintable() or any(part.startswith(".") or part == "__MACOSX" for part in parts):
            continue
        name = parts[-1].lower()
        stem, _, ending = name.rpartition(".")
        suffix = f".{ending}" if stem else ""
        found.suffixes[suffix] += 1
        if suffix[1:] in SUFFIXES:
            _add_audio(found, path, ids)
        elif suffix == ".csv" and "attribution" not in name:
            found.lists.append(path)
        elif MANIFEST_NAME.fullmatch(name) or (not suffix and "manifests" in parts[:-1]):
            found.manifests.append(path)
    return found


def _add_audio(found: PackFiles, path: str, ids: range) -> None:
    found.audio_files += 1
    number = id_in(path)
    if number is None:
        if len(found.unnamed_audio) < MAX_SHOWN:
            found.unnamed_audio.append(path)
        return
    found.audio_ids.add(number)
    if number in ids:
        found.audio.setdefault(number, []).append(path)


def id_in(path: str) -> int | None:
    """The id of the sound in the name of an audio file; None if there is none."""
    match = AUDIO_NAME.fullmatch(path.rpartition("/")[2])
    return int(match["id"]) if match else None


def crc32(text: str) -> str | None:
    """A CRC-32 in 8 lower-case hexadecimal digits; None if the text is none."""
    text = text.strip().lower()
    return text.zfill(8) if re.fullmatch(r"[0-9a-f]{1,8}", text) else None


def read_checksums(folder: Path, manifests: Sequence[str], ids: range) -> Checksums:
    """Reads manifests. If two name the same sound, the one whose path sorts last counts.

    Args:
        ids: the sounds whose checksums are needed.
    """
    read = Checksums()
    for path in manifests:
        bad = 0
        first_bad = 0
        try:
            with require_file(folder, path).open(encoding="utf-8-sig", errors="replace") as file:
                for number, line in enumerate(map(str.strip, file), start=1):
                    if line and not _add_line(read, line, ids):
                        bad += 1
                        first_bad = first_bad or number
        except OSError as error:
            read.unread[path] = f"{path} cannot be read: {error.strerror}"
        if bad:
            read.unread[path] = (
                f"{path}, line {first_bad}: expected CRC-32, size, location and path, separated by spaces; "
                f"{bad} lines cannot be read"
            )
    return read


def _add_line(read: Checksums, line: str, ids: range) -> bool:
    match = MANIFEST_LINE.fullmatch(line)
    if match is None:
        return False
    path = match["path"]
    number = id_in(path)
    if number is not None and number not in ids:
        return True
    crc = crc32(match["crc"])
    if crc is not None and number is not None:
        read.audio[number] = crc
    elif crc is not None and path.lower().endswith(".csv"):
        read.lists.setdefault(path.rpartition("/")[2], set()).add(crc)
    return True


def columns_of(folder: Path, path: str) -> list[str]:
    """The columns of a csv file, in lower case; empty if the file has none."""
    try:
        with require_file(folder, path).open(encoding="utf-8-sig", errors="replace", newline="") as file:
            return [name.strip().lower() for name in next(csv_cells(file), [])]
    except (OSError, csv.Error):
        return []


def read_rows(folder: Path, path: str) -> Iterator[tuple[int, int, Mapping[str, str]]]:
    """The rows of a metadata file: the sound's id, the number of the row's last line, its values by column.

    Raises:
        BadAnswer: the file cannot be read, or not any further; or, after the other rows, some rows do not say
            which sound they are about. Any sound may be one of these, so that none may count as gone.
    """
    odd: list[str] = []
    try:
        # A byte that is not UTF-8 is kept as a surrogate, so that it costs one row and not the file.
        with require_file(folder, path).open(
            encoding="utf-8-sig", errors="surrogateescape", newline=""
        ) as file:
            reader = csv_cells(file)
            columns = [name.strip().lower() for name in next(reader, [])]
            repeated = [name for name, count in Counter(columns).items() if count > 1 and name]
            if repeated or not set(columns) >= NEEDED:
                raise BadAnswer(
                    f"{path} has the columns {', '.join(columns)[:300]!r}: a metadata file has each column "
                    f"once, {' and '.join(sorted(NEEDED))} among them, separated by commas"
                )
            for cells in reader:
                if len(cells) == len(columns):
                    row = dict(zip(columns, cells, strict=True))
                    if SOUND_ID.fullmatch(row["id"].strip()):
                        yield int(row["id"]), reader.line_num, row
                    else:
                        odd.append(f"line {reader.line_num}: the id {row['id']!r:.100} is no whole number")
                elif cells:
                    odd.append(f"line {reader.line_num}: {len(cells)} cells instead of {len(columns)}")
    except csv.Error as error:
        raise BadAnswer(f"{path}, line {reader.line_num}: {error}; the file is damaged") from error
    except OSError as error:
        raise BadAnswer(f"{path} cannot be read: {error.strerror}") from error
    if odd:
        raise BadAnswer(f"{path}, {odd[0]}; {len(odd)} rows cannot be read. Was the file cut off or edited?")


def warn_of_changed_lists(folder: Path, lists: Sequence[str], allowed: Mapping[str, set[str]]) -> None:
    """Warns about metadata files that are not those of the manifest, such as files that were edited."""
    for path in lists:
        expected = allowed.get(path.rpartition("/")[2])
        try:
            changed = bool(expected) and crc32_of(require_file(folder, path)) not in (expected or ())
        except OSError:
            # Who reads it says so.
            continue
        if changed:
            logger.warning(
                "%s is not the file that the data pack's manifest lists (another CRC-32): was it edited, or "
                "is it of another release? It is read nevertheless.",
                path,
            )
