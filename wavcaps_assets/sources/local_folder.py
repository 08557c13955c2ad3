"""Your own sounds: a folder of audio files with a list, `clips.csv`.

Set `WAVCAPS_LOCAL_FOLDER__PATH` to the folder. A row names a file and, optionally, its title,
description, tags (separated by semicolons), author, licence, page, and the recording that it was cut from:
clips of one recording are never in two parts of the split.

    file,description,author,licence
    dogs/barking.wav,Two dogs bark in a yard.,Ada,CC BY 4.0

This file and its line in `sources/__init__.py` are an example of all that a new source needs.
"""

from __future__ import annotations

import csv
import os
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pydantic import Field

from wavcaps_assets.network.errors import BadAnswer, NotThere
from wavcaps_assets.sources.base import SAFE_ID, Note, Record, Source, web_url
from wavcaps_assets.sources.folders import AUDIO_SUFFIXES, MAX_ID_CHARS, csv_cells, safe_id
from wavcaps_assets.sources.settings import FolderPath, SourceSettings

if TYPE_CHECKING:
    from wavcaps_assets.network.client import Network
    from wavcaps_assets.settings import Settings

CATALOGUE = "catalogue"
# The longest name in common file systems (bytes).
MAX_NAME_BYTES = 255
# The longest path on Linux (bytes).
MAX_PATH_BYTES = 4096
LIST = "clips.csv"
FILE = "file"
COLUMNS = (FILE, "id", "title", "description", "tags", "author", "licence", "page_url", "recording")
NAMES_SHOWN = 5


class LocalFolderSettings(SourceSettings):
    """A user's own folder of clips."""

    key = "local_folder"

    path: FolderPath = Field(None, description=f"folder of audio files with their {LIST}; empty: none")


class LocalFolder(Source):
    """The clips of a folder, in one partition."""

    name = "local_folder"
    title = "Local folder"

    def __init__(self, path: Path | None) -> None:
        self._root = path.resolve() if path else None

    @property
    def folder(self) -> Path | None:
        return self._root

    def needs(self, settings: Settings) -> str:
        return (
            "" if self._root else f"WAVCAPS_LOCAL_FOLDER__PATH: your folder of audio files, with its {LIST}"
        )

    def partitions(self) -> list[str]:
        return [CATALOGUE]

    def records(self, network: Network, partition: str) -> Iterator[Record | Note]:
        if self._root is None:
            raise NotThere("WAVCAPS_LOCAL_FOLDER__PATH is empty: set it to your folder of audio files")
        line_of: dict[str, int] = {}
        for line, row in _rows(self._root):
            record = _record(self._root, line, row)
            if not record.problem:
                first = line_of.setdefault(record.source_id, line)
                if first != line:
                    problem = f"{LIST}, line {line}: line {first} has the same id; change one of them"
                    record = Record(record.source_id, "", problem=problem)
            yield record
        yield from _files_without_a_row(self._root)


def configured(demo_url: str | None, state: Path) -> LocalFolder:
    return LocalFolder(LocalFolderSettings.read(demo_url).path)


def _rows(root: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of the list, by column, each with the number of its last line.

    Raises:
        NotThere: there is no list.
        BadAnswer: the list cannot be read; says what to change.
    """
    path = root / LIST
    try:
        # Spreadsheet programs may write a byte order mark before the first column's name.
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv_cells(file)
            columns = _columns(root, next(reader, []))
            for cells in reader:
                if len(cells) == len(columns):
                    yield reader.line_num, dict(zip(columns, map(str.strip, cells), strict=True))
                elif cells:
                    yield reader.line_num, {"": f"{len(cells)} cells instead of {len(columns)}"}
    except UnicodeDecodeError as error:
        raise BadAnswer(f"{path} is not UTF-8 ({error.reason}): save it as UTF-8 csv") from error
    except csv.Error as error:
        raise BadAnswer(f"{path}, line {reader.line_num}: {error}; save it as csv again") from error
    except OSError as error:
        raise NotThere(
            f"{path} cannot be read ({error.strerror}): WAVCAPS_LOCAL_FOLDER__PATH must be a folder "
            f"with a {LIST} that has the column {FILE} and, optionally, {', '.join(COLUMNS[1:])}"
        ) from error


def _files_without_a_row(root: Path) -> Iterator[Note]:
    named = {_as_on_disk(root, file) for _, row in _rows(root) if (file := row.get(FILE, ""))}
    found = (Path(folder, name) for folder, _, names in os.walk(root) for name in names)
    files = (path.relative_to(root) for path in found if path.suffix.lower() in AUDIO_SUFFIXES)
    # Hidden files are those of programs, such as the `._` files of macOS.
    others = sorted(
        name
        for file in files
        if (name := file.as_posix()) not in named and not any(part.startswith(".") for part in file.parts)
    )
    if others:
        shown = ", ".join(others[:NAMES_SHOWN]) + (", …" if len(others) > NAMES_SHOWN else "")
        yield Note(f"{len(others)} audio files have no row in {LIST} and are not read: {shown}")


def _columns(root: Path, header: list[str]) -> list[str]:
    columns = [name.strip().lower() for name in header]
    unknown = [name for name in columns if name not in COLUMNS]
    if FILE not in columns or unknown or len(set(columns)) < len(columns):
        raise BadAnswer(
            f"{root / LIST} has the columns {', '.join(columns)[:200]!r}: it must have {FILE!r} "
            f"and, optionally, {', '.join(COLUMNS[1:])}, each once, separated by commas"
        )
    return columns


def _record(root: Path, line: int, row: Mapping[str, str]) -> Record:
    file, page_url = row.get(FILE, ""), row.get("page_url") or None
    problem = row.get("") or _problem_of(root, file)
    source_id = row.get("id") or ("" if problem else safe_id(file))
    if not SAFE_ID.fullmatch(source_id):
        if problem:
            source_id = ""
        else:
            problem = f"id {source_id!r:.100}: an id has at most {MAX_ID_CHARS} letters, digits, _ and -"
    if not problem and page_url and not web_url(page_url):
        problem = f"page_url {page_url!r:.100} is not an http(s) link"
    if problem:
        return Record(source_id, "", problem=f"{LIST}, line {line}: {problem}")
    file = _as_on_disk(root, file)
    path = root / file
    return Record(
        source_id=source_id,
        audio_url=file,
        title=row.get("title") or None,
        description=row.get("description") or None,
        tags=tuple(tag for part in row.get("tags", "").split(";") if (tag := part.strip())),
        author=row.get("author") or None,
        licence=row.get("licence") or None,
        page_url=page_url,
        recording=row.get("recording") or None,
        claimed_format=path.suffix.lower().removeprefix(".") or None,
        # Another size tells that a file was replaced, and has its audio read again.
        claimed_bytes=path.stat().st_size if _is_file(path) else None,
    )


def _as_on_disk(root: Path, file: str) -> str:
    """The file's name with its accents as the file system has them: composed, or decomposed as on a Mac."""
    forms = (file, unicodedata.normalize("NFC", file), unicodedata.normalize("NFD", file))
    return next((name for name in forms if _is_file(root / name)), file)


def _is_file(path: Path) -> bool:
    """Whether a file exists. An impossible name, such as one that is too long, is none of a file."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _problem_of(root: Path, file: str) -> str | None:
    """Why a row's file is not a file of the folder. Whether the file exists is checked by the fetch."""
    if not file:
        return "the row names no file"
    pure = PurePosixPath(file)
    too_long = len(file.encode()) > MAX_PATH_BYTES or any(
        len(part.encode()) > MAX_NAME_BYTES for part in pure.parts
    )
    if not pure.name or too_long:
        return f"{file!r:.200} is not a file name"
    if not file.isprintable() or "\\" in file or pure.is_absolute() or ".." in pure.parts:
        return f"{file!r:.200} is not a path inside the folder, such as dogs/barking.wav"
    try:
        inside = (root / pure).resolve().is_relative_to(root)
    except (OSError, RuntimeError) as error:
        return f"{file!r:.200} is not a usable path: {error}"
    return None if inside else f"{file!r:.200} is a link to a file outside the folder"
