"""A withdrawn consent or a changed licence lists the checkpoints that were trained on the clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.support.rows import manifest_row
from wavcaps_assets.clock import utc_now
from wavcaps_assets.publishing.publish_version import publish_version
from wavcaps_assets.publishing.splits import ASSIGNMENTS_KEY
from wavcaps_assets.slices.select import make_slice
from wavcaps_assets.slices.settings import SliceSettings
from wavcaps_assets.slices.uses import USES
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import DROPPED, MANIFEST, SPLIT_ASSIGNMENTS
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_assets.tables.set_versions import paths_of
from wavcaps_assets.tables.stage import Stage, drop
from wavcaps_training.checkpoints.withdrawn import TrainedModel, by_checkpoint, find_withdrawn
from wavcaps_training.tables import CHECKPOINT

FREE = "no-additional-preferences"
START = ("checkpoint", "htsat_bert", "pretrained")
TUNED = ("checkpoint", "htsat_bert", "tuned")
OWN = ("checkpoint", "htsat_bert", "own_split")
NEVER = ("checkpoint", "cnn14_bert", "pretrained")
MODELS = [
    TrainedModel(START, own_split=False),
    TrainedModel(TUNED, own_split=False, start=START),
    TrainedModel(OWN, own_split=True),
    TrainedModel(NEVER, own_split=False),
]


def clip(number: int, **changes: Any) -> dict[str, Any]:
    return manifest_row(
        f"freesound-{number}", **{"licence_id": "CC-BY-4.0", "gen_ai_preference": FREE, **changes}
    )


def publish(tables: TableStore, *rows: dict[str, Any], dropped: pa.Table | None = None) -> str:
    stage = Stage(MANIFEST.from_rows(rows), dropped if dropped is not None else DROPPED.empty())
    published = publish_version(tables, stage, ["freesound"], "run", utc_now())
    tables.write(["wavcaps"], None, stage)
    return published.version.name


def trained(tables: TableStore, key: tuple[str, ...], version: str | None) -> None:
    row = {column.name: _value(column.type) for column in CHECKPOINT.columns if not column.nullable}
    named = {"model": key[1], "setting": key[2], "set_version": version}
    tables.write(key, None, CHECKPOINT.from_rows([{**row, **named}]))


def _value(kind: pa.DataType) -> Any:
    return [] if pa.types.is_list(kind) else "" if pa.types.is_string(kind) else 0


@pytest.fixture
def tables(tmp_path: Path) -> TableStore:
    return TableStore(Store(tmp_path))


@pytest.mark.slow
def test_what_was_withdrawn_since_is_listed_for_each_checkpoint(tables: TableStore) -> None:
    first = publish(tables, *(clip(number) for number in range(8)))
    trained(tables, START, first)
    trained(tables, TUNED, None)
    parts = {f"freesound-{number}": "test" if number == 1 else "train" for number in range(8)}
    rows = [
        {"clip_id": one, "seed": "wavcaps", "split": part, "origin": "drawn"} for one, part in parts.items()
    ]
    tables.write(ASSIGNMENTS_KEY, None, SPLIT_ASSIGNMENTS.from_rows(rows))
    trained(tables, OWN, first)
    assert find_withdrawn(tables, MODELS).num_rows == 0
    publish(
        tables,
        clip(0),
        clip(1, licence_id="CC-BY-NC-4.0"),
        clip(2, gen_ai_preference="no-gen-ai"),
        clip(3, licence_id="CC0-1.0"),
        clip(4, caption="Another."),
        clip(5, gen_ai_preference="open-source-models"),
        dropped=DROPPED.from_rows(
            [
                drop("freesound-6", "freesound", "wavcaps", "preference_not_allowed", "no-gen-ai"),
                drop("freesound-7", "freesound", "wavcaps", "same_sound", "freesound-0"),
            ]
        ),
    )
    # A version in between does not hide the changes.
    publish(
        tables,
        clip(0, caption="A third."),
        clip(1, licence_id="CC-BY-NC-4.0"),
        clip(2, gen_ai_preference="no-gen-ai"),
        clip(3, licence_id="CC0-1.0"),
        clip(4, caption="Another."),
        clip(5, gen_ai_preference="open-source-models"),
    )
    found = find_withdrawn(tables, MODELS)
    own = {row["clip_id"]: row for row in found.to_pylist() if row["setting"] == "pretrained"}
    assert {name: (row["change"], row["why"], row["uses_lost"]) for name, row in own.items()} == {
        "freesound-1": ("relicensed", None, ["commercial", "open_source_models"]),
        "freesound-2": ("preference_changed", None, [*USES]),
        "freesound-5": ("preference_changed", None, ["research", "non_commercial", "commercial"]),
        "freesound-6": ("removed", "preference", [*USES]),
    }
    assert (own["freesound-1"]["before"], own["freesound-1"]["after"]) == ("CC-BY-4.0", "CC-BY-NC-4.0")
    through = {row["through"] for row in found.to_pylist() if row["setting"] == "tuned"}
    assert through == {"htsat_bert/pretrained"}
    assert by_checkpoint(found) == {
        "htsat_bert/own_split": 3,
        "htsat_bert/pretrained": 4,
        "htsat_bert/tuned": 4,
    }


def test_a_removal_whose_reason_was_pruned_counts(tables: TableStore) -> None:
    first = publish(tables, clip(0), clip(1))
    trained(tables, START, first)
    same = DROPPED.from_rows([drop("freesound-1", "freesound", "wavcaps", "same_sound", "freesound-0")])
    second = publish(tables, clip(0), dropped=same)
    publish(tables, clip(0, caption="A third."))
    assert find_withdrawn(tables, MODELS).num_rows == 0
    for path in paths_of(second):
        tables.store.remove(path)
    (row,) = find_withdrawn(tables, MODELS).to_pylist()
    assert (row["clip_id"], row["change"], row["why"]) == ("freesound-1", "removed", "unknown")


def test_the_next_slice_does_not_have_them(tables: TableStore) -> None:
    publish(tables, clip(0), clip(1), clip(2))
    publish(tables, clip(0), clip(1, licence_id="CC-BY-NC-4.0"), clip(2, gen_ai_preference="no-gen-ai"))
    stage = make_slice(tables.read(["wavcaps"]), USES["commercial"], SliceSettings())
    assert stage.kept.column("clip_id").to_pylist() == ["freesound-0"]


def test_a_store_without_versions_or_checkpoints(tables: TableStore) -> None:
    assert find_withdrawn(tables, MODELS).num_rows == 0
    publish(tables, clip(0))
    assert find_withdrawn(tables, MODELS).num_rows == 0
    trained(tables, START, None)
    assert find_withdrawn(tables, MODELS).num_rows == 0
