"""An index that is open for search: its vectors, and the clips as they are published now.

The vectors of two checkpoints are never mixed: an index of other weights than the checkpoint's is an error. A
clip that is not published any more, or whose audio or caption changed, is not found by what it was.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.store.storage import Store, StoreError
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore, path_of, set_version_of
from wavcaps_training.evaluation.encoder import Encoder, QueryError
from wavcaps_training.search.currency import state_of
from wavcaps_training.search.indexing import matrix_of
from wavcaps_training.search.vectors import mapped_vectors, nearest
from wavcaps_training.tables import INDEX_FOLDER

SHOWN = [
    *("clip_id", "source", "caption", "audio_path", "duration_s", "samples_sha256", "licence", "licence_id"),
    *("attribution", "page_url"),
]
DESCRIBED = ["clip_id", "samples_sha256", "caption", "weights_sha256", "embedding_version"]
ROWS_AT_A_TIME = 16_384


class NoIndex(LookupError):
    """There is no index, no checkpoint, or no such one."""


class StaleIndex(ValueError):
    """The index was made with other weights than the checkpoint's."""


@dataclass(frozen=True)
class Hit:
    """A result.

    Attributes:
        rank: from 1.
        score: the cosine similarity to the query.
        clip: the published clip, with the columns `SHOWN`.
        same_caption: how many clips have this caption; counted in lists of captions only.
        own: whether it is the caption of the clip that was searched with.
    """

    rank: int
    score: float
    clip: dict[str, Any]
    same_caption: int = 1
    own: bool = False


@dataclass(frozen=True)
class Freshness:
    """What differs between the index and the set that is published now.

    Attributes:
        indexed: the version of the set that was indexed; None: not known.
        published: the version that is published.
        missing: published clips that cannot be found by their sound.
        changed: clips of the index that are not published any more, or whose audio changed.
        recaptioned: other clips of the index whose caption changed.
    """

    indexed: str | None
    published: str | None
    missing: int
    changed: int
    recaptioned: int

    def notes(self, asset: str) -> list[str]:
        """What a person should know, in sentences."""
        found = []
        if self.missing:
            found.append(
                f"{self.missing:,} published clips cannot be found: they are new, their audio changed, or it "
                f"could not be read. Materialize {asset}."
            )
        if self.changed:
            found.append(
                f"{self.changed:,} indexed clips are left out: they were removed, or their audio changed."
            )
        if self.recaptioned:
            found.append(f"{self.recaptioned:,} captions are left out: they changed. Materialize {asset}.")
        return found


class SearchIndex:
    """The published clips as one checkpoint hears and reads them.

    Args:
        name: of the checkpoint, such as `aisfx_minilm/demo`.
        encoder: its checkpoint, which reads the queries.
        tables: the store's tables.
        folder: on this machine, for the vectors as files that are mapped into memory; nothing else is in it.

    Raises:
        NoIndex: there is no index.
        StaleIndex: it is of other weights, or of several.
        StoreError: a table cannot be read, or the vectors cannot be written.
    """

    def __init__(self, name: str, encoder: Encoder, tables: TableStore, folder: Path) -> None:
        self.name, self.encoder, self.asset = name, encoder, f"{INDEX_FOLDER}/{name}"
        self._tables = tables
        key = [INDEX_FOLDER, *name.split("/")]
        if not tables.exists(key, WHOLE):
            raise NoIndex(f"there is no index of {name}: materialize {self.asset}")
        # Taken first: what is written while the tables are read is noticed.
        self._opened = state_of(tables, name)
        rows = tables.read(key, [WHOLE], DESCRIBED)
        versions = pc.unique(rows["embedding_version"]).to_pylist()
        if versions not in ([], [encoder.version]):
            raise StaleIndex(
                f"{self.asset} was made with other weights or settings than those of checkpoint/{name}, and "
                f"vectors of two checkpoints cannot be compared: materialize {self.asset} again"
            )
        published = tables.read(["wavcaps"], [WHOLE], SHOWN)
        place = pc.index_in(rows["clip_id"], value_set=published["clip_id"].combine_chunks())
        self.clips = published.take(place)
        self._sounds_now = _equal(self.clips["samples_sha256"], rows["samples_sha256"])
        texts_now = self._sounds_now & _equal(self.clips["caption"], rows["caption"])
        self.freshness = Freshness(
            indexed=set_version_of(rows),
            published=set_version_of(published),
            missing=published.num_rows - int(self._sounds_now.sum()),
            changed=int((~self._sounds_now).sum()),
            recaptioned=int((self._sounds_now & ~texts_now).sum()),
        )
        # Of equal captions, the first stands for all.
        caption = pc.dictionary_encode(rows["caption"].combine_chunks()).indices.to_numpy()
        current = np.flatnonzero(texts_now)
        _, first, count = np.unique(caption[current], return_index=True, return_counts=True)
        self._captions = np.zeros(len(rows), bool)
        self._captions[current[first]] = True
        self._equal_captions = np.zeros(len(rows), np.int64)
        self._equal_captions[current[first]] = count
        identity = _identity(rows)
        self._sounds, self._texts = (
            mapped_vectors(
                folder / identity,
                column,
                (rows.num_rows, encoder.width),
                _blocks(tables.store, key, column, encoder.width),
            )
            for column in ("audio_embedding", "caption_embedding")
        )
        # Of earlier indexes. A process that has mapped them keeps what it has.
        for other in folder.iterdir() if folder.is_dir() else ():
            if other.name != identity:
                shutil.rmtree(other, ignore_errors=True)

    def __len__(self) -> int:
        return int(self._sounds_now.sum())

    def is_outdated(self) -> bool:
        """Whether the set, the index or the checkpoint was written again since this was opened."""
        try:
            return state_of(self._tables, self.name) != self._opened
        except StoreError:
            return True

    def by_text(self, text: str, k: int) -> list[Hit]:
        """The clips whose sound is most similar to a text.

        Raises:
            QueryError: the text is empty or too long.
        """
        return self._hits(*nearest(self._sounds, self.encoder.query(text), k, self._sounds_now))

    def captions_of_clip(self, clip_id: str, k: int) -> list[Hit]:
        """The captions that are most similar to the sound of a clip; its own may be among them.

        Raises:
            QueryError: no such clip can be found.
        """
        row = self.row_of(clip_id)
        return self._caption_hits(self._sounds[row], k, self.clip(row)["caption"])

    def captions_of_sound(self, vector: np.ndarray, k: int) -> list[Hit]:
        """The captions that are most similar to a sound.

        Args:
            vector: of `Encoder.sound`.
        """
        return self._caption_hits(vector, k, None)

    def row_of(self, clip_id: str) -> int:
        """The row of a clip that can be found.

        Raises:
            QueryError: there is none.
        """
        row = pc.index(self.clips["clip_id"], clip_id).as_py()
        if row < 0 or not self._sounds_now[row]:
            raise QueryError(
                f"no clip {clip_id!r:.100} in {self.asset}: a clip_id is the source and the id there, such "
                "as soundbible-2215"
            )
        return int(row)

    def clip(self, row: int) -> dict[str, Any]:
        """A published clip, with the columns `SHOWN`."""
        clip: dict[str, Any] = self.clips.slice(row, 1).to_pylist()[0]
        return clip

    def _hits(self, rows: np.ndarray, scores: np.ndarray) -> list[Hit]:
        found = zip(rows.tolist(), scores.tolist(), strict=True)
        return [Hit(rank, score, self.clip(row)) for rank, (row, score) in enumerate(found, 1)]

    def _caption_hits(self, vector: np.ndarray, k: int, own: str | None) -> list[Hit]:
        found = nearest(self._texts, vector, k, self._captions)
        hits = []
        for rank, (row, score) in enumerate(zip(*(part.tolist() for part in found), strict=True), 1):
            clip = self.clip(row)
            hits.append(Hit(rank, score, clip, int(self._equal_captions[row]), clip["caption"] == own))
        return hits


def _equal(one: pa.ChunkedArray, other: pa.ChunkedArray) -> np.ndarray:
    """(rows,) bool; a null is equal to nothing."""
    same: np.ndarray = pc.fill_null(pc.equal(one, other), False).to_numpy(zero_copy_only=False)
    return same.astype(bool)


def _identity(rows: pa.Table) -> str:
    """A hash of what determines the vectors and their order."""
    digest = hashlib.sha256()
    for name in DESCRIBED:
        for value in rows[name].to_pylist():
            digest.update(f"{value}\0".encode())
    return digest.hexdigest()[:32]


def _blocks(store: Store, key: Sequence[str], column: str, width: int) -> Iterator[np.ndarray]:
    with store.opening_table(path_of(key, WHOLE)) as file:
        for batch in file.iter_batches(ROWS_AT_A_TIME, columns=[column]):
            yield matrix_of(batch.column(0), width)
