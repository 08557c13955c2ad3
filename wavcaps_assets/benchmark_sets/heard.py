"""Which clips the comparison of the audio covered: those that joined the set later are not compared."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.store.errors import StoreError
from wavcaps_assets.tables import OVERLAPS
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore, compared_with_of, set_version_of
from wavcaps_assets.tables.set_versions import SetVersions

AUDIO_OVERLAPS, OF_BENCHMARK = "audio_overlaps", "benchmark_fingerprints"
# Evidence by embeddings, for people to look at; the models that make it are in another package.
EMBEDDING_OVERLAPS = "embedding_overlaps"


@dataclass(frozen=True)
class Heard:
    """The comparison of the audio with one benchmark.

    Attributes:
        overlaps: `tables.OVERLAPS`, its evidence.
        left_out: the ids of clips that it could not compare, such as those without audio.
        of_set: the ids of the clips of the version of the set that it was made from; None: not known.
        joined: how many clips of the benchmark have audio by now, and had no fingerprint.
        stale: whether the fingerprints of the benchmark are others by now.
    """

    overlaps: pa.Table
    left_out: pa.Array
    of_set: pa.Array | None
    joined: int = 0
    stale: bool = False

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


def heard(tables: TableStore, benchmark: str, listed: pa.Table | None = None) -> Heard | None:
    """The comparison of the audio with a benchmark; None: there is none.

    Args:
        listed: `tables.BENCHMARK_CLIPS`, as it is now; None: its lists are not there.
    """
    key = [AUDIO_OVERLAPS, benchmark]
    if not tables.exists(key, None):
        return None
    overlaps = tables.read(key, [WHOLE])
    left_out = tables.read_dropped(key, [WHOLE]).column("clip_id").unique()
    of_set = _clips_of(tables, set_version_of(overlaps))
    return Heard(overlaps, left_out, of_set, *_changed(tables, benchmark, overlaps, listed))


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
    if found.joined:
        sentences.append(
            f"The audio of {found.joined:,} clips of {benchmark} joined after its fingerprints were made, "
            f"and was not compared. Run compare_audio_{benchmark} again."
        )
    if found.stale:
        sentences.append(
            f"The audio of {benchmark} changed after it was compared, so the comparison does not count. Run "
            f"compare_audio_{benchmark} again."
        )
    if not found.known:
        sentences.append(
            "Clips may have joined the set after the comparison of the audio: the version of the set that it "
            f"was made from is not known. Materialize {AUDIO_OVERLAPS}/{benchmark} again."
        )
    return tuple(sentences)


def _changed(
    tables: TableStore, benchmark: str, overlaps: pa.Table, listed: pa.Table | None
) -> tuple[int, bool]:
    """How many clips of a benchmark have audio that has no fingerprint; and whether fingerprints changed."""
    key = [OF_BENCHMARK, benchmark]
    if not tables.exists(key, None):
        return 0, False
    prints = tables.read(key, [WHOLE], ["clip_id", "audio_sha256"])
    before = compared_with_of(overlaps)
    stale = before is not None and before != audio_hash(prints)
    if listed is None:
        return 0, stale
    ids = listed.filter(pc.is_valid(listed.column("audio_path"))).column("clip_id")
    seen = pa.concat_arrays(
        [prints.column("clip_id").combine_chunks(), tables.read_dropped(key, [WHOLE])["clip_id"].unique()]
    )
    return pc.sum(pc.invert(pc.is_in(ids, value_set=seen))).as_py() or 0, stale


def audio_hash(fingerprints: pa.Table) -> str:
    """A hash of which audio a benchmark has.

    Args:
        fingerprints: `clip_id` and `audio_sha256` of `tables.FINGERPRINTS`.
    """
    rows = fingerprints.select(["clip_id", "audio_sha256"]).sort_by("clip_id")
    digest = sha256()
    for clip_id, audio in zip(*(column.to_pylist() for column in rows.columns), strict=True):
        digest.update(f"{clip_id}\0{audio}\n".encode())
    return digest.hexdigest()


def _clips_of(tables: TableStore, version: str | None) -> pa.Array | None:
    """The ids of the clips of a published version; None: it is not known, or not there any more."""
    if version is None:
        return None
    versions = SetVersions(tables.store)
    try:
        return versions.read(versions.about(version), ["clip_id"]).column("clip_id").combine_chunks()
    except StoreError:
        return None
