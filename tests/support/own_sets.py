"""Small sets of a user's own, in the folders where AudioCaps and Clotho are looked for."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import soundfile

FIVE = ["A.", "B, and c.", "C.", "D.", "E."]


def write_set(store: Path, name: str, split: str, files: dict[str, list[str]]) -> None:
    """A split of a set: its list, and audio of a second for each file."""
    folder = store / "sets" / name
    (folder / split).mkdir(parents=True)
    with (folder / f"{split}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", *(f"caption_{number}" for number in range(1, 6))])
        for audio, captions in files.items():
            writer.writerow([audio, *captions])
            soundfile.write(folder / split / audio, np.full(16_000, 0.1), 16_000)


def write_audiocaps_and_clotho(store: Path) -> None:
    """Both sets, with two clips in each split and five captions a clip."""
    for name in ("audiocaps", "clotho"):
        for split in ("train", "val", "test"):
            write_set(store, name, split, {f"Y{name[:3]}-{split[:2]}xxxxx{n}.wav": FIVE for n in range(2)})
