"""Clips that a training set must not contain, because they are in a benchmark.

Two comparisons, both by id, as in the released code: a recording with another id is not found.

- With the released exclusion lists, https://huggingface.co/datasets/cvssp/WavCaps/tree/main/json_files/blacklist
  (section IV.A, footnote 9).
- With the validation and test clips of the same training set. The released lists miss clips of the official
  ones, and one file name can be in two splits of a benchmark, as in Clotho's.

What clips are compared by is a key: a sound of FreeSound, a video of YouTube, or a file name of a set.
"""

from __future__ import annotations

import json
from enum import StrEnum

import pyarrow as pa
from pydantic import BaseModel, Field

from wavcaps_assets.benchmark_sets.folders import FOLDER
from wavcaps_assets.benchmark_sets.lists import SetError
from wavcaps_assets.store.storage import Store, StoreError

EXCLUSION_LIST, IN_EVALUATION = "exclusion_list", "in_evaluation"

# AudioCaps' files are `Y<id>.wav`; download tools also write `<id>.wav` and `<id>_<start>.wav`.
KEYS = """
    with own as (
        select clip_id, source, split, file, listed_id, substr(clip_id, length(source) + 2) as own_id
        from clips
    )
    select clip_id, source, split, 'FreeSound sound ' || split_part(own_id, '.', 1) as key
    from own where source in ('freesound', 'freesound_data_packs', 'laion')
    union all
    select clip_id, source, split, 'FreeSound sound ' || listed_id
    from own where source = 'clotho' and listed_id is not null
    union all
    select clip_id, source, split, 'YouTube video ' || substr(own_id, 1, 11)
    from own where source = 'audioset_sl'
    union all
    select clip_id, source, split, 'YouTube video ' || coalesce(
        nullif(regexp_extract(file, '^Y([A-Za-z0-9_-]{11})([._]|$)', 1), ''), substr(file, 1, 11)
    )
    from own where source = 'audiocaps'
    union all
    select clip_id, source, split, 'file ' || file || ' of ' || source from own where file is not null
"""
OF_EVALUATION = f"""
    with keys as ({KEYS}),
    pairs as (
        select one.clip_id, one.source, one.split, one.key,
            other.clip_id as same_as, other.split as other_split
        from keys one join keys other on one.key = other.key and one.clip_id <> other.clip_id
        where other.split <> 'train' and one.split <> other.split
            and (one.split = 'train' or (one.split = 'validation' and other.split = 'test'))
    )
    select clip_id, any_value(source) as source, any_value(split) as split, min(same_as) as same_as,
        arg_min(other_split, same_as) as other_split, arg_min(key, same_as) as key
    from pairs group by clip_id order by split, clip_id
"""
ON_LIST = f"""
    select clip_id, min(source) as source, min(keys.key) as key
    from ({KEYS}) keys semi join listed on keys.key = listed.key
    where split = 'train' and source not in ('audiocaps', 'clotho')
    group by clip_id order by clip_id
"""


class OverlapPolicy(StrEnum):
    """What happens to a training clip that is also a validation or test clip of the same training set."""

    remove_from_train = "remove_from_train"
    """It is removed from the train split, and stays in the evaluation."""
    keep = "keep"
    """It stays in both; the table of overlaps names it."""


class OverlapSettings(BaseModel):
    """How a training set treats clips that are in two of its splits."""

    overlaps: OverlapPolicy = Field(
        OverlapPolicy.remove_from_train,
        description="training clips with the id of a validation or test clip of the same set: "
        "`remove_from_train`, or `keep`, which trains on what is tested. Clips of validation and test stay "
        "in both",
    )


def read_exclusions(store: Store, name: str) -> pa.Array:
    """Reads an exclusion list, `sets/<name>.json`.

    Returns:
        The keys on it, each once.

    Raises:
        SetError: the list is missing, or does not have the expected format.
    """
    path = f"{FOLDER}/{name}.json"
    try:
        lists = json.loads(store.read_bytes(path))
        sounds = {f"FreeSound sound {number}" for number in lists["FreeSound"]}
        videos = {f"YouTube video {_video(entry)}" for entry in lists["AudioSet"]}
        return pa.array(sorted(sounds | videos), pa.string())
    except StoreError as error:
        raise SetError(
            f"the exclusion list {store.describe(path)} does not exist: put the released {name}.json there. "
            "Without it, the model may be trained on clips that it is tested on"
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SetError(
            f"{store.describe(path)} is not an exclusion list: an object with `FreeSound` and `AudioSet`, "
            "lists of ids"
        ) from error


def _video(entry: str) -> str:
    return entry.removeprefix("Y").removesuffix(".wav")


def on_list(clips: pa.Table, listed: pa.Array) -> pa.Table:
    """The training clips that an exclusion list names, without those of AudioCaps and Clotho themselves.

    Args:
        clips: with the columns `clip_id`, `source`, `split`, `file` and `listed_id`.
        listed: the keys on the list.

    Returns:
        `clip_id`, `source` and the `key` by which each was found.
    """
    import duckdb

    with duckdb.connect() as database:
        database.register("clips", clips)
        database.register("listed", pa.table({"key": listed}))
        return database.sql(ON_LIST).to_arrow_table()


def in_two_splits(clips: pa.Table) -> pa.Table:
    """Clips of one split that are also in another: of train in an evaluation split, of validation in test.

    Args:
        clips: as for `on_list`, the clips of all splits.

    Returns:
        `clip_id`, `source`, `split`, the clip that it is the same as (`same_as`, `other_split`), and the
        `key` by which it was found.
    """
    import duckdb

    with duckdb.connect() as database:
        database.register("clips", clips)
        return database.sql(OF_EVALUATION).to_arrow_table()
