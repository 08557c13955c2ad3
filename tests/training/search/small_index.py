"""A small set with a small checkpoint and its index, for tests of the search."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import torch

from tests.support.rows import manifest_row
from tests.training.small_models import SMALL_HTSAT, small_bert
from wavcaps_assets.settings import Settings
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import MANIFEST
from wavcaps_assets.tables.asset_tables import TableStore, with_set_version
from wavcaps_training.checkpoints.checkpoint import save_checkpoint
from wavcaps_training.data import AudioFiles
from wavcaps_training.models.retrieval import RetrievalModel
from wavcaps_training.search.index import SearchIndex
from wavcaps_training.search.indexing import build_index
from wavcaps_training.search.opening import open_index
from wavcaps_training.settings.model import ModelSettings, TextEncoderSettings
from wavcaps_training.settings.training import ClipSettings, TrainingSettings
from wavcaps_training.tables import CHECKPOINT, SEARCH_INDEX

NAME = "htsat_bert/own_split"
INDEX_KEY = ["search_index", "htsat_bert", "own_split"]
CHECKPOINT_KEY = ["checkpoint", "htsat_bert", "own_split"]
RATE = 32_000
SECONDS = 2.0
HOSTILE = "<script>document.title='owned'</script>"
CAPTIONS = ("A dog barks.", "Rain falls on a roof.", HOSTILE, "A dog barks.", "Bells ring.")


@cache
def settings() -> TrainingSettings:
    return TrainingSettings(
        model=ModelSettings(
            audio=SMALL_HTSAT, text=TextEncoderSettings(folder=str(small_bert()), frozen=True), joint_dim=8
        ),
        clip=ClipSettings(seconds=SECONDS),
    )


@cache
def model(seed: int) -> RetrievalModel:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return RetrievalModel.build(settings()).eval()


def tone(hertz: float, seconds: float = SECONDS) -> np.ndarray:
    times = np.arange(round(seconds * RATE)) / RATE
    return (0.3 * np.sin(2 * np.pi * hertz * times)).astype(np.float32)


def checkpoint_row(weights: str) -> dict[str, object]:
    curve = {"epoch": 1, "train_loss": 1.0, "validation_loss": 1.0, "scores": [], "learning_rate": 0.1}
    return {
        "model": "htsat_bert",
        "setting": "own_split",
        "weights_path": weights,
        "untrained_weights_path": weights,
        "settings_json": settings().model_dump_json(),
        "manifest_sha256": "0" * 64,
        "parameters": 1,
        "trainable_parameters": 1,
        "best_epoch": 1,
        "seconds": 1.0,
        "device": "cpu",
        "devices": 1,
        "flops_per_clip": 1.0,
        "tensorboard_path": "checkpoints/tensorboard",
        "train_clips": 1,
        "validation_clips": 1,
        "learning_curve": [{**curve, "seconds": 1.0, "clips_per_second": 1.0}],
    }


@dataclass(frozen=True)
class SmallSet:
    """A store with clips, a checkpoint and its index."""

    tables: TableStore
    settings: Settings

    @property
    def store(self) -> Store:
        return self.tables.store

    def publish(self, captions: tuple[str, ...] = CAPTIONS, version: str = "v1-00000000") -> None:
        """Publishes clips of different tones."""
        rows = []
        for number, caption in enumerate(captions):
            clip_id = f"freesound-{number}"
            rows.append(
                manifest_row(clip_id, caption=caption, duration_s=SECONDS, page_url="javascript:alert(1)")
            )
            if not self.store.exists(rows[-1]["audio_path"]):
                with self.store.writing(rows[-1]["audio_path"]) as path:
                    soundfile.write(path, tone(200 * (number + 1)), RATE, format="FLAC", subtype="PCM_16")
        table = with_set_version(MANIFEST.from_rows(rows), version)
        self.tables.write(["wavcaps"], None, table)

    def train(self, seed: int) -> None:
        """Makes a checkpoint with weights of a seed."""
        weights = f"checkpoints/htsat_bert/own_split/run{seed}/model.safetensors"
        with self.store.writing(weights) as path:
            save_checkpoint(path, model(seed), settings())
        self.tables.write(CHECKPOINT_KEY, None, CHECKPOINT.from_rows([checkpoint_row(weights)]))

    def index(self) -> None:
        """Makes the index again, from what it was."""
        there = self.tables.exists(INDEX_KEY, None)
        before = self.tables.read(INDEX_KEY, ["all"]) if there else SEARCH_INDEX.empty()
        weights = self.tables.read(CHECKPOINT_KEY, ["all"])["weights_path"][0].as_py()
        with self.store.reading(weights) as path:
            published = self.tables.read(["wavcaps"], ["all"])
            self.tables.write(INDEX_KEY, None, build_index(published, before, path, AudioFiles(self.store)))

    def open(self) -> SearchIndex:
        return open_index(self.tables, self.settings, NAME)


def small_set(store: Store, state: Path) -> SmallSet:
    """The set, its checkpoint and its index."""
    made = SmallSet(TableStore(store), Settings(store="unused", state=state))
    made.publish()
    made.train(1)
    made.index()
    return made
