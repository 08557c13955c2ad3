"""Generated sound does not become a clip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.rows import manifest_row
from wavcaps_assets.audio.generated import GENERATED, GENERATED_FOLDER, GeneratedSound, refuse_generated
from wavcaps_assets.audio.normalise import normalise
from wavcaps_assets.audio.reasons import LASTING, reason_of
from wavcaps_assets.checks.generated import (
    GeneratedInManifest,
    generated_clips,
    refuse_generated_clips,
)
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import MANIFEST


def sound(path: Path, comment: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(path, "w", 16_000, 1) as file:
        if comment:
            file.comment = comment
        file.write(np.random.default_rng(0).normal(size=4_000) / 10)
    return path


def test_a_marked_file_is_refused_with_a_reason(tmp_path: Path) -> None:
    for name in ("plain.flac", "plain.wav"):
        refuse_generated(sound(tmp_path / name, "a recording of a dog"))
    (tmp_path / "broken.flac").write_bytes(b"fLaC and nothing more")
    refuse_generated(tmp_path / "broken.flac")
    # FFmpeg keeps the comment when it converts to these.
    for name in ("marked.wav", "marked.ogg"):
        with pytest.raises(GeneratedSound):
            refuse_generated(sound(tmp_path / name, f"{GENERATED}. {{}}"))
    with pytest.raises(GeneratedSound) as caught:
        refuse_generated(sound(tmp_path / "marked.flac", f'{GENERATED}. {{"text": "a dog"}}'))
    assert reason_of(caught.value) == "generated_sound" and "generated_sound" in LASTING


def test_a_manifest_with_generated_sound_is_refused(tmp_path: Path) -> None:
    made = sound(tmp_path / "made.flac")
    facts = normalise(made, tmp_path / "as_a_clip.flac")
    made = sound(tmp_path / GENERATED_FOLDER / f"{facts.samples_sha256}.flac")
    store = Store(tmp_path)
    rows = [
        manifest_row("freesound-1", audio_path="audio/freesound/1.flac"),
        # A copy without the mark, stored as a clip.
        manifest_row("freesound-2", audio_path="audio/freesound/2.flac", samples_sha256=facts.samples_sha256),
        manifest_row("freesound-3", audio_path=f"{GENERATED_FOLDER}/{made.name}"),
    ]
    assert generated_clips(MANIFEST.from_rows(rows), store) == ["freesound-2", "freesound-3"]
    with pytest.raises(
        GeneratedInManifest, match=r"2 clips was generated .*freesound-2, freesound-3.*: remove"
    ):
        refuse_generated_clips(MANIFEST.from_rows(rows), store)
    refuse_generated_clips(MANIFEST.from_rows(rows[:1]), store)
    refuse_generated_clips(MANIFEST.from_rows(rows[:1]), Store(tmp_path / "without"))
