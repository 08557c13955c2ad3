"""Manifests for the tests of caption quality: a good one of synthetic captions, and ways to spoil it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SUBJECTS = ("dog", "bell", "train", "kettle", "crow", "horse", "clock", "crowd", "frog", "door")
SOUNDS = {"dog": "barking", "bell": "ringing", "train": "passing by", "kettle": "whistling"}
PLACES = ("in a forest", "near a busy street", "in a large hall", "beside a river", "behind a wall")
Row = dict[str, Any]


def good_rows(count: int = 120) -> list[Row]:
    """SoundBible's lengths: captions of some six words, each with the raw text that it is about."""
    draw = random.Random(5)
    rows = []
    for number in range(count):
        subject, place = draw.choice(SUBJECTS), draw.choice(PLACES)
        sound = SOUNDS.get(subject, "making a noise")
        caption = f"A {subject} is {sound} {place}."
        text = f"{subject} {sound}, take {number}"
        rows.append(
            {"clip_id": f"soundbible-{number}", "source": "soundbible", "caption": caption, "text": text}
        )
    return rows


def write_parquet(path: Path, rows: list[Row]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def write_json(path: Path, rows: list[Row]) -> Path:
    released = [{"id": row["clip_id"], "caption": row["caption"], "description": row["text"]} for row in rows]
    path.write_text(json.dumps({"num_captions_per_audio": 1, "data": released}))
    return path
