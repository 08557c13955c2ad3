"""Small sets in the layouts that others publish."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

RATE = 32_000


def tone(number: int) -> Any:
    """A second of a tone with noise, of its own for each number."""
    times = np.arange(RATE)
    noise = np.random.default_rng(number).normal(0, 0.05, len(times))
    return (np.sin(times / (10 + number)) / 2 + noise).astype(np.float32)


def flac(number: int) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(number), RATE, format="FLAC")
    return buffer.getvalue()


def write_json(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """A file as released."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"num_captions_per_audio": 1, "data": list(rows)}), encoding="utf-8")


def zipped(archive: Path, files: Mapping[str, bytes], *options: str) -> None:
    """A zip by Info-ZIP, as the released ones are. `-s 64k` splits it."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    work = archive.parent / f"{archive.stem}-work"
    for name, content in files.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_bytes(content)
    subprocess.run(["zip", "-q", "-r", *options, archive, "."], cwd=work, check=True)
    subprocess.run(["rm", "-r", work], check=True)


def tarred(archive: Path, files: Mapping[str, bytes]) -> None:
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive, "w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def released(root: Path) -> Path:
    """The layout of the Hub, with the quirks of the release: number 2215 is a clip of two sources."""
    sounds = {"102": 1, "2215": 2, "104": 3}
    write_json(
        root / "json_files/FreeSound/fsd_final.json",
        [
            {"title": "Rain", "description": "Rain on a tent, recorded in May.", "author": "Ada",
             "href": "/people/Ada/sounds/102/", "caption": "Rain falls on a tent.", "id": "102",
             "duration": 12, "tags": ["rain", "tent"], "audio": "wav_path", "file_name": "rain.wav"},
            {"title": "Dog", "description": "", "author": "Ben", "href": "/people/Ben/sounds/2215/",
             "caption": "A dog barks.", "id": 2215, "duration": 3.5, "tags": [], "audio": "wav_path"},
            {"title": "Bell", "description": "A bell", "caption": "A bell rings.", "id": "103",
             "duration": 1, "audio": "wav_path"},
            {"title": "Saw", "description": "A saw", "caption": "Someone saws wood.", "id": "104",
             "duration": 2, "audio": "wav_path"},
        ],
    )  # fmt: skip
    write_json(
        root / "json_files/SoundBible/sb_final.json",
        [{"title": "Labrador", "description": "Large dog, barking.", "author": "Cy",
          "caption": "A dog is barking.", "href": "2215-Labrador-Barking-Dog.html", "id": "2215",
          "duration": 21.4625625, "audio": "wav_path",
          "download_link": "http://soundbible.com/grab.php?id=2215&type=wav"}],
    )  # fmt: skip
    write_json(
        root / "json_files/AudioSet_SL/as_final.json",
        [{"caption": "A car passes.", "id": "Yb0RFKhbpFJA.wav", "duration": 10.0, "audio": "wav_path"}],
    )
    write_json(root / "json_files/blacklist/blacklist_exclude_all_ac.json", [])
    folder = "mnt/fast/FreeSound_flac/"
    zipped(
        root / "Zip_files/FreeSound/FreeSound.zip",
        {f"{folder}{name}.flac": flac(number) for name, number in sounds.items()},
        *("-s", "64k"),
    )
    zipped(root / "Zip_files/SoundBible/SoundBible.zip", {"2215.flac": flac(4), "9999.flac": flac(5)}, "-0")
    zipped(root / "Zip_files/AudioSet_SL/AudioSet_SL.zip", {"Yb0RFKhbpFJA.flac": flac(6)})
    return root
