"""The released exclusion lists: ids of the benchmarks' clips that a training set must not contain.

https://huggingface.co/datasets/cvssp/WavCaps/tree/main/json_files/blacklist (section IV.A, footnote 9).
They are not complete: clips are also compared with the benchmarks' own lists (`evidence`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from wavcaps_assets.benchmark_sets.folders import AUDIOCAPS, FOLDER
from wavcaps_assets.benchmark_sets.keys import SOUND, VIDEO
from wavcaps_assets.benchmark_sets.lists import SetError
from wavcaps_assets.store.storage import Store, StoreError

# All clips of AudioCaps and Clotho; only their validation and test clips; and of three other benchmarks.
ALL, EVALUATION = "blacklist_exclude_all_ac", "blacklist_exclude_test_ac"
CLASSIFICATION = "blacklist_exclude_ub8k_esc50_vggsound"
EXPECTED = (
    'expected is an object such as {"FreeSound": ["117790"], "AudioSet": ["Yr1nicOVtvkQ.wav"]}, with lists '
    "of ids, each a string or a whole number"
)
LISTED = pa.schema([(name, pa.string()) for name in ("list", "benchmark", "benchmark_split", "entry", "key")])


@dataclass(frozen=True)
class ExclusionList:
    """One of the released lists, `sets/<name>.json`.

    Attributes:
        videos_of: the benchmarks that its YouTube videos are of.
        sounds_of: those that its FreeSound sounds are of.
        split: the split of all of its clips; `test` stands for validation or test.
    """

    name: str
    videos_of: tuple[str, ...]
    sounds_of: tuple[str, ...]
    split: str

    @property
    def path(self) -> str:
        return f"{FOLDER}/{self.name}.json"


RELEASED = {
    one.name: one
    for one in (
        ExclusionList(ALL, (AUDIOCAPS,), ("clotho",), "none"),
        ExclusionList(EVALUATION, (AUDIOCAPS,), ("clotho",), "test"),
        ExclusionList(CLASSIFICATION, ("vggsound",), ("esc50", "urbansound8k"), "none"),
    )
}


def lists_of(benchmark: str) -> list[str]:
    """The names of the released lists that have clips of a benchmark."""
    return [one.name for one in RELEASED.values() if benchmark in (*one.videos_of, *one.sounds_of)]


def read_listed(store: Store, names: Iterable[str]) -> pa.Table:
    """The entries of exclusion lists.

    Returns:
        `LISTED`: a row for each list, benchmark and entry.

    Raises:
        SetError: a list is missing, or does not have the expected format.
    """
    tables = [LISTED.empty_table()]
    for name in names:
        one = RELEASED[name]
        sounds, videos = _read(store, one)
        for benchmarks, kind, entries in ((one.sounds_of, SOUND, sounds), (one.videos_of, VIDEO, videos)):
            keys = [f"{kind}{entry}" for entry in entries]
            for benchmark in benchmarks:
                constant = [pa.repeat(value, len(entries)) for value in (name, benchmark, one.split)]
                tables.append(pa.table([*constant, pa.array(entries), pa.array(keys)], schema=LISTED))
    return pa.concat_tables(tables)


def _read(store: Store, one: ExclusionList) -> tuple[list[str], list[str]]:
    """The ids of sounds and of videos, each once."""
    where = store.describe(one.path)
    try:
        lists = json.loads(store.read_bytes(one.path))
    except StoreError as error:
        raise SetError(
            f"the exclusion list {where} does not exist: put the released {one.name}.json "
            "there. Without it, the model may be trained on clips that it is tested on"
        ) from error
    except ValueError as error:
        raise SetError(f"{where} is no exclusion list, {error}: {EXPECTED}") from error
    if not isinstance(lists, dict):
        raise SetError(f"{where} is no exclusion list: {EXPECTED}")
    sounds, videos = (_entries(lists, name, where) for name in ("FreeSound", "AudioSet"))
    if not sounds and not videos:
        raise SetError(f"{where} has no id: put the released {one.name}.json there again")
    return (
        sorted({entry.lstrip("0") or entry for entry in sounds}),
        sorted({entry.removeprefix("Y").removesuffix(".wav") for entry in videos}),
    )


def _entries(lists: dict[str, object], name: str, where: str) -> list[str]:
    """The entries of one of the two lists. Released lists have "Not found" in the place of some ids."""
    entries = lists.get(name)
    if not isinstance(entries, list):
        raise SetError(f"{where} is no exclusion list: its `{name}` is no list; {EXPECTED}")
    for entry in entries:
        if isinstance(entry, bool) or not isinstance(entry, str | int) or not str(entry).strip():
            raise SetError(f"{where}: `{name}` has the entry {json.dumps(entry)[:100]}; {EXPECTED}")
    return [str(entry).strip() for entry in entries]
