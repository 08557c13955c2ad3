"""Data packs as FreeSound's own command lays them out (see `sources/freesound_data_packs.py`)."""

from __future__ import annotations

import csv
import io
import zipfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

COLUMNS = (
    *("filepath", "id", "created", "username", "title", "description", "tags", "pack_name"),
    *("bst_category_code", "geotag", "license", "generative_ai_preference", "type", "duration", "filesize"),
    *("avg_rating", "num_ratings", "num_downloads", "num_comments"),
)
VARIANT = "commercial-use-generative-ai-open-source-model"


def sound(number: int, **more: Any) -> dict[str, Any]:
    """A row of metadata; its file is a tone of two seconds."""
    return {
        "id": number,
        "created": "2026-03-04 05:06:07",
        "username": "ada",
        "title": f"sound {number}.wav",
        "description": f"Description of {number}.",
        "tags": "rain tent",
        "bst_category_code": "fx-n",
        "license": "Attribution",
        "generative_ai_preference": "no-additional-preferences",
        "type": "wav",
        "duration": 2.0,
    } | more


def write_pack(folder: Path, sounds: Sequence[dict[str, Any]], variant: str = VARIANT) -> None:
    """Writes the unpacked archives of a variant, and its manifests.

    A sound with `audio` (bytes) has that file, one with `audio` of None has no file.
    """
    groups: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for one in sounds:
        groups[one["id"] // 1000].append(one)
    for number, group in groups.items():
        rows, lines = [], []
        for one in group:
            content = one.get("audio", b"") if "audio" in one else tone(one["id"])
            path = f"{number}/{one['id']}.{one['type']}"
            if content is not None:
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(content)
            size = len(content or b"")
            crc = zip_crc32(content or b"")
            lines.append(f"{crc:08x} {size} /secret/sounds/{number}/{one['id']}_7.{one['type']} {path}\n")
            rows.append({"filepath": path, "filesize": size} | one)
        write(folder / f"manifests/{variant}/audio_{number:04d}", "".join(lines))
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
        write(folder / f"metadata/{variant}/metadata_{number:04d}.csv", text.getvalue())
    write(folder / "attribution.csv", "id,license,text\n1,Sampling+,Not to be read as metadata.\n")


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def zip_crc32(content: bytes) -> int:
    """The CRC-32 that an archive with this file would have."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("file", content)
        return archive.getinfo("file").CRC


def tone(number: int) -> bytes:
    buffer = io.BytesIO()
    samples = np.sin(np.arange(64_000) / (10 + number % 50)) / 2
    soundfile.write(buffer, samples, 32_000, format="WAV")
    return buffer.getvalue()
