"""The interface of a benchmark: its clips, read from its official lists in the store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.benchmark_sets.downloads import PublishedFile
from wavcaps_assets.benchmark_sets.folders import FOLDER
from wavcaps_assets.benchmark_sets.lists import SetError
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import BENCHMARK_CLIPS

NO_SPLIT = "none"
UNKNOWN_VERSION = "unknown"
# Of FreeSound's ids, which have six.
MAX_DIGITS = 9


@dataclass(frozen=True)
class BenchmarkClips:
    """The clips of a benchmark.

    Attributes:
        clips: `tables.BENCHMARK_CLIPS`, in the order of the lists.
        notes: what is missing or not known, a sentence each.
    """

    clips: pa.Table
    notes: tuple[str, ...] = ()


class NoLists(SetError):
    """The lists of a benchmark are not in the store."""


class Benchmark(ABC):
    """A benchmark.

    Attributes:
        name: in asset keys and clip ids, and its folder in the store, such as `esc50`.
        title: for people.
        source: where its lists and its audio are published.
        layout: which files are expected in its folder, for people.
        official_clips: how many clips its lists have, for each version; empty: not known.
        official_test_clips: how many of them are in its test split, for each version; empty: not known, or
            it has no splits.
        published: the files that are published with a checksum, and can be downloaded.
        official_classes: how many classes it has, by its authors; 0: it is not for classification.
        class_list: the list of its classes that is published beside it; empty: there is none.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    source: ClassVar[str]
    layout: ClassVar[str]
    official_clips: ClassVar[Mapping[str, int]] = {}
    official_test_clips: ClassVar[Mapping[str, int]] = {}
    published: ClassVar[Sequence[PublishedFile]] = ()
    official_classes: ClassVar[int] = 0
    class_list: ClassVar[str] = ""

    @property
    def folder(self) -> str:
        return f"{FOLDER}/{self.name}"

    @abstractmethod
    def read(self, store: Store) -> BenchmarkClips:
        """Reads the official lists, and looks which audio files are there. No audio is opened.

        Raises:
            NoLists: the lists are not there; says what is expected.
            SetError: they do not have the expected columns.
            StoreError: the store cannot be read.
        """

    def lacking(self, found: BenchmarkClips) -> tuple[str, ...]:
        """What its lists lack, a sentence each: their notes, and how many of the official clips they have.

        Args:
            found: what `read` returned.
        """
        versions = set(found.clips.column("version").to_pylist())
        in_test = pc.sum(pc.equal(found.clips.column("split"), "test")).as_py() or 0
        for what, clips, official in (
            ("The lists have", len(found.clips), self.official_clips),
            # Where the number of all clips is not known, that of the split that models are scored on.
            ("The test list has", in_test, {} if self.official_clips else self.official_test_clips),
        ):
            known = {number for version, number in official.items() if version in versions}
            least = min(known or official.values(), default=0)
            if clips < least:
                at_least = "" if known or len(set(official.values())) == 1 else "at least "
                return (*found.notes, f"{what} {clips:,} of {at_least}{least:,} official clips.")
        return found.notes

    def first_there(self, store: Store, paths: Iterable[str]) -> str | None:
        """The first of some files of its folder that exists, as a path in the store."""
        return next(
            (path for path in (f"{self.folder}/{name}" for name in paths) if store.exists(path)), None
        )

    def no_lists(self, store: Store) -> NoLists:
        """The error for lists that are not there."""
        return NoLists(
            f"the benchmark {self.name!r} has no lists here: put {self.layout} into "
            f"{store.describe(self.folder)} (docs/benchmarks.md; {self.source})"
        )

    def clips(self, version: str, columns: Mapping[str, Sequence[Any]]) -> pa.Table:
        """Its table, from the columns that its lists have. Those that they lack are null.

        Raises:
            SetError: there is no clip, a file is listed twice, or a value does not fit its column.
        """
        rows = len(columns["file"])
        if not rows:
            raise SetError(
                f"the lists of the benchmark {self.name!r} have no clip to compare with. "
                f"Put {self.layout} into its folder {self.folder} again ({self.source})"
            )
        constant = {"benchmark": self.name, "version": version, "split": NO_SPLIT}
        arrays = []
        for field in BENCHMARK_CLIPS.arrow:
            if field.name in columns:
                arrays.append(self._column(field, columns[field.name]))
            elif field.name == "clip_id":
                arrays.append(pc.binary_join_element_wise(f"{self.name}-", pa.array(columns["file"]), ""))
            elif field.name == "captions":
                arrays.append(pa.array([[]] * rows, field.type))
            elif field.name in constant:
                arrays.append(pa.repeat(constant[field.name], rows))
            else:
                arrays.append(pa.nulls(rows, field.type))
        table = pa.table(arrays, schema=BENCHMARK_CLIPS.arrow)
        repeated = BENCHMARK_CLIPS.repeated_keys(table)
        if len(repeated):
            raise SetError(
                f"the lists of the benchmark {self.name!r} have {len(repeated)} files twice, such as "
                f"{repeated.column('clip_id')[0].as_py()}: expected is one line for each file"
            )
        return table

    def _column(self, field: pa.Field, values: Sequence[Any]) -> pa.Array:
        try:
            return pa.array(values, field.type)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError) as error:
            raise SetError(
                f"the lists of the benchmark {self.name!r} have a value in {field.name!r} that is not a "
                f"{field.type}: {error}"
            ) from error


def missing_audio(clips: pa.Table) -> pa.Table:
    """The listed clips whose audio is not there."""
    return clips.filter(pc.is_null(clips.column("audio_path")))


def without_ids(clips: pa.Table) -> pa.Table:
    """The clips whose FreeSound sound or YouTube video is not known."""
    return clips.filter(
        pc.and_(pc.is_null(clips.column("freesound_id")), pc.is_null(clips.column("youtube_id")))
    )


def whole_number(value: str, column: str, where: str) -> int:
    """A whole number of a list, of at most nine digits.

    Raises:
        SetError: it is none; names the file and the column.
    """
    if not value.isdecimal() or len(value) > MAX_DIGITS:
        raise SetError(f"{where}: the column {column!r} is a whole number, not {value[:100]!r}")
    return int(value)
