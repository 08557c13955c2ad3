"""Which index to search, and its checkpoint."""

from __future__ import annotations

from pathlib import Path

from wavcaps_assets.settings import Settings
from wavcaps_assets.store.storage import MissingFile
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_training.evaluation.encoder import Encoder
from wavcaps_training.paper.experiments import EXPERIMENTS, Experiment, scored_experiment
from wavcaps_training.paper.released import RELEASED_MODELS, ReleasedModel
from wavcaps_training.search.index import NoIndex, SearchIndex
from wavcaps_training.tables import INDEX_FOLDER

# In the folder of state.
FOLDER = "search"


def index_names(tables: TableStore) -> list[str]:
    """The checkpoints that have an index, such as `aisfx_minilm/demo`."""
    every: tuple[Experiment | ReleasedModel, ...] = (*EXPERIMENTS, *RELEASED_MODELS)
    names = [one.name for one in every if one.settings().task == "retrieval"]
    return [name for name in names if tables.exists([INDEX_FOLDER, *name.split("/")], WHOLE)]


def open_index(
    tables: TableStore, settings: Settings, name: str | None = None, device: str = "cpu"
) -> SearchIndex:
    """Opens an index with its checkpoint.

    Args:
        tables: the store's tables.
        settings: where vectors are mapped from; whose sources decide which checkpoint is the default.
        name: the checkpoint, such as `aisfx_minilm/demo`; None: the one in the report if it has an index,
            otherwise the only one.
        device: `cpu` or `cuda`.

    Raises:
        NoIndex: there is no index, no such one, or there are several to choose from.
        StaleIndex: it is of other weights than the checkpoint.
        CheckpointError: the checkpoint's file is missing or damaged.
        StoreError: the store cannot be read.
    """
    chosen = name or _default(tables, settings)
    key = ["checkpoint", *chosen.split("/")]
    if not tables.exists(key, WHOLE):
        raise NoIndex(f"there is no checkpoint {'/'.join(key)!r:.100}: materialize it, then the index")
    weights = tables.read(key, [WHOLE], ["weights_path"])["weights_path"].to_pylist()
    if not weights:
        raise NoIndex(f"the table of {'/'.join(key)} has no row: materialize it first")
    try:
        with tables.store.reading(weights[0]) as path:
            encoder = Encoder(Path(path), device)
    except MissingFile as error:
        raise NoIndex(f"the weights of {'/'.join(key)} are gone ({error}): materialize it again") from error
    return SearchIndex(chosen, encoder, tables, settings.state / FOLDER / chosen)


def _default(tables: TableStore, settings: Settings) -> str:
    scored = scored_experiment(settings.sources).name
    if tables.exists([INDEX_FOLDER, *scored.split("/")], WHOLE):
        return scored
    names = index_names(tables)
    if len(names) > 1:
        raise NoIndex(f"there are several indexes: choose one by --checkpoint, of {', '.join(names)}")
    return names[0] if names else scored
