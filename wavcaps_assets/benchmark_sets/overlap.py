"""Clips that a training set must not contain, because they are in a benchmark: the released exclusion lists.

https://huggingface.co/datasets/cvssp/WavCaps/tree/main/json_files/blacklist (section IV.A, footnote 9)
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wavcaps_assets.benchmark_sets.folders import FOLDER, SetError
from wavcaps_assets.store.storage import Store, StoreError

YOUTUBE_ID = 11


@dataclass(frozen=True)
class Exclusions:
    """The ids of an exclusion list.

    Attributes:
        freesound: ids of FreeSound.
        youtube: ids of the videos from which clips of AudioSet and AudioCaps are cut.
    """

    freesound: frozenset[str]
    youtube: frozenset[str]

    def exclude(self, row: Mapping[str, Any]) -> bool:
        """Whether a row of a training manifest is on the list.

        By id, as in the released code. This does not find a recording with another id.
        """
        source, own = row["source"], str(row["clip_id"]).removeprefix(f"{row['source']}-")
        if source in ("freesound", "freesound_data_packs", "laion"):
            return own.partition(".")[0] in self.freesound
        if source in ("audioset_sl", "audiocaps"):
            video = own.removeprefix("Y") if source == "audiocaps" else own
            return video[:YOUTUBE_ID] in self.youtube
        return False


def read_exclusions(store: Store, name: str) -> Exclusions:
    """Reads an exclusion list, `sets/<name>.json`.

    Raises:
        SetError: the list is missing, or does not have the expected format.
    """
    path = f"{FOLDER}/{name}.json"
    try:
        lists = json.loads(store.read_bytes(path))
        return Exclusions(
            frozenset(map(str, lists["FreeSound"])),
            frozenset(entry.removeprefix("Y").removesuffix(".wav") for entry in lists["AudioSet"]),
        )
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
