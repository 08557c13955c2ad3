"""What both sides are trained on, and the test clips and reference captions that they share.

Every recording is in one part of the split, on both sides: the one that is written down for it
(`split_assignments`), or that is drawn as the training manifest draws it. So no clip, and no clip of the same
recording, is tested on one side and trained on on the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.clock import utc_now
from wavcaps_assets.publishing.recordings import all_recordings
from wavcaps_assets.publishing.splits import SplitSettings, read_assignments, split_by_recording
from wavcaps_assets.publishing.version_diff import diff
from wavcaps_assets.tables import RECORDINGS, TRAINING_MANIFEST
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_training.data import Clip
from wavcaps_training.data.manifest_version import rows_sha256
from wavcaps_training.evaluation.nothing_to_score import NothingToScore
from wavcaps_training.worth.pools import OF_AUDIO, POOL, Pool

SPLIT = SplitSettings()
# Models see captions and audio, and nothing else of what a version can change.
SHOWN_CHANGES = ("added", "removed", "recaptioned", "audio_changed")


class NothingToCompare(NothingToScore):
    """There is nothing to train on, or nothing to test on."""


@dataclass(frozen=True)
class References:
    """Captions that the test clips are searched by.

    Attributes:
        name: whose captions they are.
        captions: of each test clip, in their order.
    """

    name: str
    captions: Sequence[tuple[str, ...]]


@dataclass(frozen=True)
class Trained:
    """What one side is trained on.

    Attributes:
        name: the side.
        manifest: `tables.TRAINING_MANIFEST`, the train and the validation split.
        sha256: a hash of its clips, captions and samples; what has the same one gives the same model.
    """

    name: str
    manifest: pa.Table
    sha256: str

    def count(self, split: str) -> int:
        """The number of clips in a part of the split."""
        return int(pc.sum(pc.equal(self.manifest.column("split"), split)).as_py() or 0)


@dataclass(frozen=True)
class Comparison:
    """Two sides, ready to be trained and scored.

    Attributes:
        before, after: what they are trained on.
        heard: `POOL`: all clips that are trained or tested on.
        test: `POOL`: the test clips, which both sides have.
        recordings: (test clips,) the number of the recording of each, from 0.
        references: the first one decides; others show whether it matters whose captions are searched by.
        changes: `tables.SET_CHANGES`: what differs in the clips that are trained on, and their captions.
        notes: what a reader should know, a sentence each.
    """

    before: Trained
    after: Trained
    heard: pa.Table
    test: pa.Table
    recordings: np.ndarray
    references: tuple[References, ...]
    changes: pa.Table
    notes: tuple[str, ...]


def compose(before: Pool, after: Pool, decides: Pool, tables: TableStore) -> Comparison:
    """Splits two sides, and chooses the test clips.

    Args:
        before, after: the sides.
        decides: whose captions are the references.

    Raises:
        NothingToCompare: a side has too few clips to train on, or there are no test clips.
        StoreError: a table cannot be read.
    """
    before, after, decides, moved = _with_current_audio((before, after, decides), tables)
    parts = _parts(pa.concat_tables([before.clips, before.trained, after.clips, after.trained]), tables)
    sides = [_trained(pool, parts) for pool in (before, after)]
    for side in sides:
        train, validation = side.count("train"), side.count("validation")
        if train < 2 or not validation:
            raise NothingToCompare(
                f"{side.name} has {train} clips to train on and {validation} to choose the epoch by: "
                "at least two and one are needed"
            )
    common = before.clips.filter(pc.is_in(before.clips.column("clip_id"), _ids(after.clips)))
    common = common.filter(pc.is_in(common.column("clip_id"), _ids(decides.clips)))
    of_test = _ids(parts.filter(pc.equal(parts.column("split"), "test")))
    test = common.filter(pc.is_in(common.column("clip_id"), of_test))
    captions = [_captions(pool, test) for pool in (decides, before, after)]
    written = pa.array([bool(caption.strip()) for caption in captions[0]], pa.bool_())
    blank = len(test) - (pc.sum(written).as_py() or 0)
    test = test.filter(written)
    if not len(test):
        raise NothingToCompare(
            f"{before.name} and {after.name} have no clip of the test split in common: "
            "publish more clips, or compare other sides"
        )
    recordings = _taken(parts.column("recording"), parts, test)
    other = sum(one != another for one, another in zip(captions[1], captions[2], strict=True))
    notes = [*dict.fromkeys((*before.notes, *after.notes)), *_notes(blank, moved, other)]
    heard = pa.concat_tables([before.trained, after.trained, test])
    heard = heard.filter(pc.is_in(heard.column("clip_id"), _all_ids(sides, test)))
    return Comparison(
        before=sides[0],
        after=sides[1],
        heard=_each_once(heard),
        test=test,
        recordings=np.unique(recordings.to_pylist(), return_inverse=True)[1],
        references=_references(decides, (before, after), test),
        changes=_changes(before, after, parts),
        notes=tuple(notes),
    )


def clips_of_test(comparison: Comparison, references: References) -> list[Clip]:
    """The test clips with reference captions, as a model is scored on them."""
    columns = (comparison.test.column(name).to_pylist() for name in ("clip_id", "audio_path", "duration_s"))
    return [
        Clip(clip_id, captions, path, seconds)
        for clip_id, path, seconds, captions in zip(*columns, references.captions, strict=True)
    ]


def _with_current_audio(pools: tuple[Pool, Pool, Pool], tables: TableStore) -> tuple[Pool, Pool, Pool, int]:
    """The sides with the audio that is in the store now, and how many clips had another one.

    Of clips that were removed since, it is that of the second side, so that both hear the same.
    """
    before, after, decides = pools
    published = tables.read(["wavcaps"], None, OF_AUDIO)
    sides = [clips for pool in (after, before, decides) for clips in (pool.clips, pool.trained)]
    schema = pa.schema([POOL.field(name) for name in OF_AUDIO])
    current = _each_once(
        pa.concat_tables([clips.select(OF_AUDIO).cast(schema) for clips in (published, *sides)])
    )
    place = current.column("clip_id").combine_chunks()
    replaced: set[str] = set()

    def now(clips: pa.Table) -> pa.Table:
        found = pc.index_in(clips.column("clip_id"), value_set=place)
        fresh = {name: current.column(name).take(found) for name in current.column_names[1:]}
        other = pc.not_equal(fresh["samples_sha256"], clips.column("samples_sha256")).fill_null(False)
        replaced.update(clips.column("clip_id").filter(other).to_pylist())
        for name, column in fresh.items():
            number = clips.column_names.index(name)
            clips = clips.set_column(number, POOL.field(name), pc.coalesce(column, clips.column(name)))
        return clips

    first, second, third = (Pool(pool.name, now(pool.clips), now(pool.trained), pool.notes) for pool in pools)
    return first, second, third, len(replaced)


def _parts(clips: pa.Table, tables: TableStore) -> pa.Table:
    """The recording and the part of the split of each clip: `clip_id`, `recording`, `split`."""
    listed = tables.read(["recordings"], None) if tables.exists(["recordings"], None) else RECORDINGS.empty()
    ids = clips.column("clip_id").combine_chunks()
    listed = listed.filter(pc.is_in(listed.column("clip_id"), ids))
    recordings = all_recordings(listed, clips)
    assigned = read_assignments(tables, SPLIT.seed)
    split = split_by_recording(clips, recordings, SPLIT, assigned, utc_now()).manifest
    split = split.select(["clip_id", "recording", "split"]).replace_schema_metadata(None)
    return split.group_by(split.column_names).aggregate([])


def _trained(pool: Pool, parts: pa.Table) -> Trained:
    clips = pool.trained.filter(pc.not_equal(pc.utf8_trim_whitespace(pool.trained.column("caption")), ""))
    columns = {
        **{name: clips.column(name) for name in ("clip_id", "source", "caption", "audio_path", "duration_s")},
        "other_captions": pa.array([[]], pa.list_(pa.string())).take(pa.repeat(0, len(clips))),
        **{name: _taken(parts.column(name), parts, clips) for name in ("recording", "split")},
    }
    manifest = pa.table(
        [columns[name] for name in TRAINING_MANIFEST.arrow.names], schema=TRAINING_MANIFEST.arrow
    )
    kept = pc.not_equal(manifest.column("split"), "test")
    manifest = manifest.filter(kept)
    sounds = clips.filter(kept).select(["clip_id", "samples_sha256"]).sort_by("clip_id").to_pydict()
    digest = hashlib.sha256(json.dumps([rows_sha256(manifest), sounds]).encode())
    return Trained(pool.name, manifest, digest.hexdigest())


def _references(decides: Pool, others: Sequence[Pool], test: pa.Table) -> tuple[References, ...]:
    """The references that decide, and those of the sides whose captions of the test clips are others."""
    found: dict[tuple[str, ...], str] = {}
    for pool in (decides, *others):
        captions = _captions(pool, test)
        if all(caption.strip() for caption in captions):
            found.setdefault(tuple(captions), pool.name)
    return tuple(References(name, [(caption,) for caption in captions]) for captions, name in found.items())


def _captions(pool: Pool, test: pa.Table) -> list[str]:
    return list(_taken(pool.clips.column("caption"), pool.clips, test).fill_null("").to_pylist())


def _changes(before: Pool, after: Pool, parts: pa.Table) -> pa.Table:
    """What differs in the clips that are trained on."""
    tested = _ids(parts.filter(pc.equal(parts.column("split"), "test")))
    sides = [
        pool.trained.filter(pc.invert(pc.is_in(pool.trained.column("clip_id"), tested)))
        for pool in (before, after)
    ]
    found = diff(*sides)
    return found.filter(pc.is_in(found.column("change"), pa.array(SHOWN_CHANGES)))


def _notes(blank: int, replaced: int, other: int) -> list[str]:
    notes = []
    if other:
        notes.append(
            f"{other:,} test clips have another caption on the second side. They are not trained on, and are "
            "not among the changes that are listed."
        )
    if blank:
        notes.append(f"{blank:,} test clips have no reference caption and are left out.")
    if replaced:
        notes.append(
            f"The audio of {replaced:,} clips was replaced since: both sides hear what is in the store now."
        )
    return notes


def _each_once(clips: pa.Table) -> pa.Table:
    """The first row of each clip."""
    numbered = clips.select(["clip_id"]).append_column("row", pa.array(np.arange(len(clips))))
    first = numbered.group_by("clip_id").aggregate([("row", "min")]).column("row_min")
    return clips.take(first.combine_chunks().sort())


def _all_ids(sides: Sequence[Trained], test: pa.Table) -> pa.Array:
    return pa.concat_arrays([*(_ids(side.manifest) for side in sides), _ids(test)])


def _ids(clips: pa.Table) -> pa.Array:
    return clips.column("clip_id").combine_chunks()


def _taken(column: pa.ChunkedArray, of: pa.Table, clips: pa.Table) -> pa.ChunkedArray:
    """The values of a column for some clips, in their order."""
    return column.take(pc.index_in(clips.column("clip_id"), value_set=_ids(of)))
