"""The sources of an imported set, such as the released WavCaps: `wavcaps import` makes their lists.

`imported/sources.json` in the folder `WAVCAPS_STATE` names them, and each has a table of clips next to it. An
imported source has the name of the original one, so that its clips are `freesound-123`. It takes the place of
the source that is crawled under this name.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from wavcaps_assets.network.errors import BadAnswer, NotThere
from wavcaps_assets.sources.base import Record, Source, web_url
from wavcaps_assets.sources.settings import SourceSettings
from wavcaps_assets.store.migration import UnknownLayout, read_columns
from wavcaps_assets.tables.imported import IMPORTED_CLIPS

if TYPE_CHECKING:
    from wavcaps_assets.network.client import Network

PARTITION = "imported"
FOLDER = "imported"
INDEX = "sources.json"
# In a table, as JSON: the folder that its audio is in. The list says the same, unless an import was killed.
IMPORTED_FROM = "wavcaps.imported_from"
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


class ImportedSettings(SourceSettings):
    """Sets that were imported with `wavcaps import`."""

    key = "imported"

    as_given: bool = Field(
        True,
        description="imported clips are published as they came: stage 1 keeps them, and the captions stay, "
        "without a model. `no`: they go through the three stages, as crawled clips do. What a run says in "
        "its configuration counts more",
    )


class ImportedSet(BaseModel):
    """What is known of an imported source.

    Attributes:
        path: the folder of the set, which its clips' audio is relative to.
        title: for people.
        clips: how many it has.
        without_audio: how many of them have no audio in the folder.
        ids_of: the source whose ids these are, where it was imported under another name.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    path: str
    title: str
    clips: int
    without_audio: int
    ids_of: str | None = None


class DamagedImport(ValueError):
    """The list of imported sources cannot be read."""


class Imported(Source):
    """One source of an imported set, in one partition."""

    has_archives = True

    def __init__(self, name: str, about: ImportedSet, table: Path, as_given: bool) -> None:
        self.name = name
        self.title = about.title
        self.ids_of = about.ids_of
        self.as_given = as_given
        self._root = Path(about.path)
        self._table = table

    @property
    def folder(self) -> Path | None:
        return self._root

    def partitions(self) -> list[str]:
        return [PARTITION]

    def given_captions(self) -> pa.Table | None:
        return self._clips()

    def records(self, network: Network, partition: str) -> Iterator[Record]:
        for batch in self._clips().to_batches():
            for row in batch.to_pylist():
                yield Record(
                    source_id=row["source_id"],
                    # A clip without audio is counted by the fetch, as a file that is not there.
                    audio_url=row["audio"] or f"{row['source_id']}.flac",
                    title=row["title"],
                    description=row["description"],
                    tags=tuple(row["tags"]),
                    events=tuple(row["events"]),
                    start_s=row["start_s"],
                    author=row["author"],
                    licence=row["licence"],
                    page_url=web_url(row["page_url"]),
                    claimed_duration_s=row["duration_s"],
                    recording=row["recording"],
                    gen_ai_preference=row["gen_ai_preference"],
                    synthetic=row["synthetic"],
                )

    def _clips(self) -> pa.Table:
        table = self._table
        try:
            with pq.ParquetFile(table) as file:
                known = (file.schema_arrow.metadata or {}).get(IMPORTED_FROM.encode())
                clips = read_columns(file, IMPORTED_CLIPS)
        except FileNotFoundError as error:
            raise NotThere(f"{table} is missing: run `wavcaps import` again") from error
        except (OSError, pa.ArrowException, UnknownLayout) as error:
            raise BadAnswer(f"{table} cannot be read ({error}): run `wavcaps import` again") from error
        if known is not None and json.loads(known) != str(self._root):
            raise BadAnswer(
                f"{table} is of the set in {json.loads(known)!r}, and {INDEX} says {str(self._root)!r}: an "
                "import was stopped, run it again (`wavcaps import … --replace`)"
            )
        return clips


def imported_sets(state: Path) -> dict[str, ImportedSet]:
    """The imported sources by name.

    Raises:
        DamagedImport: their list cannot be read.
    """
    path = index_path(state)
    try:
        content = json.loads(path.read_bytes())
        return {name: ImportedSet.model_validate(about) for name, about in content.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, ValidationError) as error:
        raise DamagedImport(
            f"the list of imported sources, {path}, cannot be read ({error}): remove it, and run "
            "`wavcaps import` again"
        ) from error


def write_index(state: Path, sets: Mapping[str, ImportedSet]) -> None:
    """Replaces the list of imported sources, in one step."""
    path = index_path(state)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.part")
    content = {name: about.model_dump() for name, about in sets.items()}
    try:
        partial.write_text(json.dumps(content, indent=2), encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def index_path(state: Path) -> Path:
    return state / FOLDER / INDEX


def table_path(state: Path, name: str) -> Path:
    return state / FOLDER / f"{name}.parquet"


def imported_sources(demo_url: str | None, state: Path) -> tuple[Imported, ...]:
    """The imported sources, in the order in which they were imported.

    Raises:
        DamagedImport: their list cannot be read.
    """
    as_given = ImportedSettings.read(demo_url).as_given
    return tuple(
        Imported(name, about, table_path(state, name), as_given)
        for name, about in imported_sets(state).items()
    )
