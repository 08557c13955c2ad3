"""The classes of a benchmark for classification, and how their names are compared and read out.

Lists write one class in different ways: `dog_bark`, `Dog bark`; with another apostrophe; with or without the
commas of VGGSound's names. Two classes that differ in nothing else would share their clips: this is an error.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from wavcaps_assets.benchmark_sets.benchmarks import benchmark_named
from wavcaps_assets.benchmark_sets.columns import read_headless_rows
from wavcaps_assets.benchmark_sets.lists import SetError
from wavcaps_assets.store.storage import Store

# A list of classes that is published beside a benchmark: name, number of clips, category, without a header.
CLASS_COLUMNS = ("class", "clips", "category")
APOSTROPHES = re.compile(r"['\u2018\u2019\u02bc\u2032`\u00b4]")
NO_WORD = re.compile(r"[\W_]+")
SHOWN = 5


class ClassNamesError(SetError):
    """Names of classes that cannot be used."""


@dataclass(frozen=True)
class Classes:
    """The classes that a clip can have.

    Attributes:
        labels: as the lists write them, sorted, each once.
        official: how many classes the benchmark has by its authors; 0: not known.
    """

    labels: tuple[str, ...]
    official: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """The names that a text encoder reads."""
        return tuple(spoken_name(label) for label in self.labels)

    def numbers(self, labels: Sequence[str | None]) -> list[int | None]:
        """The number of each label's class, from 0; None: there is no such class."""
        known = {class_key(label): number for number, label in enumerate(self.labels)}
        return [None if label is None else known.get(class_key(label)) for label in labels]


def class_key(label: str) -> str:
    """What two ways to write a class have in common: its words, in lower case, without apostrophes."""
    plain = APOSTROPHES.sub("", unicodedata.normalize("NFKC", label).casefold())
    return NO_WORD.sub(" ", plain).strip()


def spoken_name(label: str) -> str:
    """A class's name as a text: with spaces for underscores, as in the released code.

    Case and punctuation stay: the text encoder cleans them as it cleans captions.
    """
    return " ".join(label.replace("_", " ").split())


def classes_named(labels: Iterable[str], where: str, official: int = 0) -> Classes:
    """Classes by their names.

    Args:
        labels: equal ones count once.
        where: the list they are from, for errors.
        official: how many there are by the authors of the benchmark; 0: not known.

    Raises:
        ClassNamesError: there are fewer than two, a name has no word, or two names differ in case,
            punctuation, underscores or apostrophes only; names them.
    """
    distinct = sorted(set(labels))
    by_key: dict[str, list[str]] = {}
    for label in distinct:
        by_key.setdefault(class_key(label), []).append(label)
    if blank := by_key.get(""):
        raise ClassNamesError(f"{where}: {blank[0]!r} is not the name of a class, it has no word")
    if twice := [same for same in by_key.values() if len(same) > 1]:
        shown = "; ".join(" and ".join(map(repr, same)) for same in twice[:SHOWN])
        raise ClassNamesError(
            f"{where}: {len(twice)} classes have more than one name, that differ in case, punctuation, "
            f"underscores or apostrophes only: {shown}. Write each class in one way"
        )
    if len(distinct) < 2:
        raise ClassNamesError(f"{where}: {len(distinct)} classes, at least 2 are needed to classify clips")
    return Classes(tuple(distinct), official)


def classes_of(clips: pa.Table, benchmark: str, store: Store) -> Classes:
    """The classes of a benchmark: those of all its listed clips, with or without audio.

    A class that no scored clip has is still an answer that a model can give. If the list of classes that is
    published beside the benchmark is there, its classes count, and a clip of another class has none.

    Args:
        clips: `tables.BENCHMARK_CLIPS`; all that are listed, not only those whose audio is here.
        benchmark: its name.
        store: contains its lists.

    Raises:
        ClassNamesError: as `classes_named`; or no clip has a label.
        SetError: the list of classes has other columns.
        StoreError: the store cannot be read.
    """
    known = benchmark_named(benchmark)
    path = known.first_there(store, [known.class_list]) if known.class_list else None
    if path is not None:
        names = [row[0] for row in read_headless_rows(store, path, CLASS_COLUMNS)]
        return classes_named(names, store.describe(path), known.official_classes)
    labels = [label for label in clips.column("label").unique().to_pylist() if label]
    if not labels:
        raise ClassNamesError(f"no clip of the benchmark {benchmark!r} has a class: its lists have no labels")
    return classes_named(labels, f"the lists of the benchmark {benchmark!r}", known.official_classes)
