"""Trains a tiny HTSAT-BERT on a store's training manifest and searches its clips by text, without Dagster.

    python examples/train_and_search.py STORE "a dog barks" [EPOCHS]

The store needs the asset `training_manifest`: `make demo` makes one in dagster_home/demo/store. The model is
the demo's. It trains on the CPU and stays in the folder `search_model`: a second search does not train again.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from wavcaps_assets.store.storage import open_store
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_training.checkpoints.checkpoint import load_checkpoint
from wavcaps_training.data import AudioFiles, clips_of
from wavcaps_training.evaluation.retrieval import embed
from wavcaps_training.settings.training import DEMO
from wavcaps_training.training.result import WEIGHTS
from wavcaps_training.training.train import train

FOLDER = Path("search_model")
BEST = 5


def main(address: str, query: str, epochs: int = 20) -> None:
    store = open_store(address)
    manifest = TableStore(store).read(["training_manifest"])
    audio = AudioFiles(store)
    train(manifest, audio, DEMO.model_copy(update={"epochs": epochs}), FOLDER)
    model, settings = load_checkpoint(FOLDER / WEIGHTS)
    clips = [clip for split in ("train", "validation", "test") for clip in clips_of(manifest, split)]
    sounds, _, _ = embed(model, clips, audio, settings)
    with torch.no_grad():
        text = model.embed_text([query]).numpy()[0]
    # Both are unit vectors: their product is the cosine.
    similarity = sounds @ text
    for place in similarity.argsort()[::-1][:BEST]:
        clip = clips[place]
        print(f"{similarity[place]:.3f}  {clip.clip_id}: {clip.captions[0]}  ({clip.audio_path})")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
