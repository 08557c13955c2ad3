"""A user's own sounds: a folder of audio files with a csv, `clips.csv`, that says what they are.

Set `WAVCAPS_LOCAL_FOLDER__PATH` to the folder. A row names a file, and whatever of title,
description, tags (with semicolons between them), author, licence and page there is:

    file,description,author,licence
    dogs/barking.wav,Two dogs bark in a yard.,Ada,CC BY 4.0

This file, and its line in `sources/__init__.py`, is also all that a new source takes.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pydantic import Field, field_validator

from wavcaps_assets.network.errors import BadAnswer, NotThere
from wavcaps_assets.sources.base import SAFE_ID, Record, Source, web_url
from wavcaps_assets.sources.settings import SourceSettings

if TYPE_CHECKING:
    from wavcaps_assets.network.client import Network

CATALOGUE = "catalogue"
# What file systems take (bytes).
LONGEST_NAME = 255
LIST = "clips.csv"
FILE = "file"
COLUMNS = (FILE, "id", "title", "description", "tags", "author", "licence", "page_url")
LONGEST_ID = 64
HASH_DIGITS = 8


class LocalFolderSettings(SourceSettings):
    """A user's own folder of clips."""

    key = "local_folder"

    path: Path | None = Field(None, description=f"folder of audio files with their {LIST}; empty: none")

    @field_validator("path", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return value or None


class LocalFolder(Source):
    """The clips of a folder, in one partition."""

    name = "local_folder"
    title = "Local folder"

    def __init__(self, path: Path) -> None:
        self._root = path.resolve()

    @property
    def folder(self) -> Path:
        return self._root

    def partitions(self) -> list[str]:
        return [CATALOGUE]

    def records(self, network: Network, partition: str) -> Iterator[Record]:
        line_of: dict[str, int] = {}
        for line, row in self._rows():
            record = _record(self._root, line, row)
            if not record.problem:
                first = line_of.setdefault(record.source_id, line)
                if first != line:
                    problem = f"{LIST}, line {line}: line {first} has the same id; give one of them another"
                    record = Record(record.source_id, "", problem=problem)
            yield record

    def _rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """The rows of the list by column, each with the number of its last line.

        Raises:
            NotThere: there is no list.
            BadAnswer: it is none; says what to change.
        """
        path = self._root / LIST
        try:
            # A spreadsheet may have put a byte order mark before the first column's name.
            with path.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.reader(file, strict=True)
                columns = self._columns(next(reader, []))
                for cells in reader:
                    if len(cells) == len(columns):
                        yield reader.line_num, dict(zip(columns, map(str.strip, cells), strict=True))
                    elif cells:
                        yield reader.line_num, {"": f"{len(cells)} cells, for {len(columns)} columns"}
        except UnicodeDecodeError as error:
            raise BadAnswer(f"{path} is not UTF-8 ({error.reason}): save it as csv UTF-8") from error
        except csv.Error as error:
            raise BadAnswer(f"{path}, line {reader.line_num}: {error}; save it as csv again") from error
        except OSError as error:
            raise NotThere(
                f"{path} cannot be read ({error.strerror}): WAVCAPS_LOCAL_FOLDER__PATH must be a folder "
                f"with a {LIST}, whose columns are {FILE} and, if you like, {', '.join(COLUMNS[1:])}"
            ) from error

    def _columns(self, header: list[str]) -> list[str]:
        columns = [name.strip().lower() for name in header]
        unknown = [name for name in columns if name not in COLUMNS]
        if FILE not in columns or unknown or len(set(columns)) < len(columns):
            raise BadAnswer(
                f"{self._root / LIST} has the columns {', '.join(columns)[:200]!r}: it wants {FILE!r} and, "
                f"if you like, {', '.join(COLUMNS[1:])}, each once, with commas between them"
            )
        return columns


def configured(demo_url: str | None, state: Path) -> LocalFolder | None:
    path = LocalFolderSettings.read(demo_url).path
    return None if path is None else LocalFolder(path)


def _record(root: Path, line: int, row: Mapping[str, str]) -> Record:
    file, page_url = row.get(FILE, ""), row.get("page_url") or None
    problem = row.get("") or _problem_of(root, file)
    source_id = row.get("id") or ("" if problem else _id_of(file))
    safe = SAFE_ID.fullmatch(source_id)
    if not problem and not safe:
        problem = f"id {source_id!r:.100}: up to {LONGEST_ID} letters, digits, _ and - make an id"
    if not problem and page_url and not web_url(page_url):
        problem = f"page_url {page_url!r:.100} is no http(s) link"
    if problem:
        return Record(source_id if safe else "", "", problem=f"{LIST}, line {line}: {problem}")
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
        claimed_format=path.suffix.lower().removeprefix(".") or None,
        # Another size tells that a file was replaced, and has its audio read again.
        claimed_bytes=path.stat().st_size if path.is_file() else None,
    )


def _problem_of(root: Path, file: str) -> str | None:
    """Why a row's file is none of the folder's; a file that is not there is found out by the fetch."""
    if not file:
        return "it names no file"
    pure = PurePosixPath(file)
    if not pure.name or max(len(part.encode()) for part in pure.parts) > LONGEST_NAME:
        return f"{file!r:.200} is no file's name"
    if not file.isprintable() or "\\" in file or pure.is_absolute() or ".." in pure.parts:
        return f"{file!r:.200} is no path inside the folder, such as dogs/barking.wav"
    try:
        inside = (root / pure).resolve().is_relative_to(root)
    except (OSError, RuntimeError) as error:
        return f"{file!r:.200} is no usable path: {error}"
    return None if inside else f"{file!r:.200} is a link that leads out of the folder"


def _id_of(file: str) -> str:
    """An id that a file keeps whatever else is listed: its name, with a hash where that loses something."""
    stem = str(PurePosixPath(file).with_suffix(""))
    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-")
    if safe == stem and len(safe) <= LONGEST_ID:
        return safe
    digest = hashlib.sha256(file.encode("utf-8", errors="replace")).hexdigest()[:HASH_DIGITS]
    return f"{safe[: LONGEST_ID - HASH_DIGITS - 1]}-{digest}".lstrip("-")
