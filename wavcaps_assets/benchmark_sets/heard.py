"""Which clips the comparison of the audio covered: those that joined the set later are not compared."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.store.errors import StoreError
from wavcaps_assets.tables import OVERLAPS
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore, set_version_of
from wavcaps_assets.tables.set_versions import SetVersions

AUDIO_OVERLAPS = "audio_overlaps"
# Evidence by embeddings, for people to look at; the models that make it are in another package.
EMBEDDING_OVERLAPS = "embedding_overlaps"


@dataclass(frozen=True)
class Heard:
    """The comparison of the audio with one benchmark.

    Attributes:
        overlaps: `tables.OVERLAPS`, its evidence.
        left_out: the ids of clips that it could not compare, such as those without audio.
        of_set: the ids of the clips of the version of the set that it was made from; None: not known.
    """

    overlaps: pa.Table
    left_out: pa.Array
    of_set: pa.Array | None

    @property
    def known(self) -> bool:
        """Whether it is known which clips it covered."""
        return self.of_set is not None

    def unheard(self, clips: pa.Table) -> int:
        """How many training clips it did not compare: left out, or not in its version of the set.

        Args:
            clips: with `clip_id` and `split`.
        """
        ids = clips.filter(pc.equal(clips.column("split"), "train")).column("clip_id")
        unheard = pc.is_in(ids, value_set=self.left_out)
        if self.of_set is not None:
            unheard = pc.or_(unheard, pc.invert(pc.is_in(ids, value_set=self.of_set)))
        return pc.sum(unheard).as_py() or 0


def heard(tables: TableStore, benchmark: str) -> Heard | None:
    """The comparison of the audio with a benchmark; None: there is none."""
    key = [AUDIO_OVERLAPS, benchmark]
    if not tables.exists(key, None):
        return None
    overlaps = tables.read(key, [WHOLE])
    left_out = tables.read_dropped(key, [WHOLE]).column("clip_id").unique()
    return Heard(overlaps, left_out, _clips_of(tables, set_version_of(overlaps)))


def alike(tables: TableStore, benchmark: str) -> pa.Table:
    """`tables.OVERLAPS`: the evidence by embeddings, if there is any."""
    key = [EMBEDDING_OVERLAPS, benchmark]
    return tables.read(key, [WHOLE]) if tables.exists(key, None) else OVERLAPS.empty()


def not_heard(found: Heard, benchmark: str, clips: pa.Table) -> tuple[str, ...]:
    """What the comparison of the audio did not cover, a sentence each."""
    sentences = []
    if number := found.unheard(clips):
        sentences.append(
            f"The audio of {number:,} training clips was not compared: they joined the set after the "
            f"comparison, or are among the dropped clips of {AUDIO_OVERLAPS}/{benchmark}."
        )
    if not found.known:
        sentences.append(
            "Clips may have joined the set after the comparison of the audio: the version of the set that it "
            f"was made from is not known. Materialize {AUDIO_OVERLAPS}/{benchmark} again."
        )
    return tuple(sentences)


def _clips_of(tables: TableStore, version: str | None) -> pa.Array | None:
    """The ids of the clips of a published version; None: it is not known, or not there any more."""
    if version is None:
        return None
    versions = SetVersions(tables.store)
    try:
        return versions.read(versions.about(version), ["clip_id"]).column("clip_id").combine_chunks()
    except StoreError:
        return None
