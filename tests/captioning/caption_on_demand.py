"""Captions a folder's clips in a process of its own, as often as its input says: see test_kills.py.

Each line of its input starts a process, whose number it prints; once that has ended, it prints how.
Starting from one that has imported everything, fifty processes take seconds instead of minutes.
"""

from __future__ import annotations

import asyncio
import os
import sys
from itertools import product
from pathlib import Path

import pyarrow as pa
from pydantic import SecretStr

from wavcaps_assets.captioning.engine import caption_clips
from wavcaps_assets.captioning.settings import CaptioningSettings
from wavcaps_assets.llm.chat import ChatModel
from wavcaps_assets.llm.session import Session
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.rules.reading import parser
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import FILTERED_CLIPS
from wavcaps_assets.tables.asset_tables import TableStore

CONCURRENCY = 6
SETTINGS = CaptioningSettings(batch_size=2, concurrency=CONCURRENCY, english_only=False)
SIZES = ("small", "large", "young", "old", "angry", "hungry", "lonely", "happy")
ANIMALS = ("dog", "cat", "cow", "pig", "hen", "owl", "frog", "horse")
VERBS = ("calling", "eating", "singing", "running", "howling", "fighting", "moving", "drinking")


def clips() -> pa.Table:
    texts = [" ".join(words) for words in product(SIZES, ANIMALS, VERBS)]
    return FILTERED_CLIPS.from_rows(
        {
            "clip_id": f"freesound-{number}",
            "source": "freesound",
            "description": text,
            "tags": [],
            "events": [],
        }
        for number, text in enumerate(texts, 1)
    )


def caption(folder: Path, url: str) -> None:
    llm = ModelSettings(base_url=f"{url}/v1", model="any", api_key=SecretStr("any"))
    store = Store(folder)
    with Session(llm, store, limits=SETTINGS.limits, label="freesound") as session:
        stage = caption_clips(clips(), "freesound", SETTINGS, session).stage
    TableStore(store).write(["freesound", "llm_captions"], None, stage)


async def opened() -> None:
    async with ChatModel(ModelSettings(base_url="http://127.0.0.1:1/v1", model="any")):
        pass


def main() -> None:
    parser()
    # Much is imported only by the first table that is made, and the first model that is opened.
    clips()
    asyncio.run(opened())
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        folder, url = line.split()
        child = os.fork()
        if child == 0:
            caption(Path(folder), url)
            os._exit(0)
        print(child, flush=True)  # noqa: T201
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
