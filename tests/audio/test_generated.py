"""Generated sound does not become a clip."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
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
    with_samples,
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


def converted(path: Path, target: Path, codec: str) -> Path:
    """A copy by FFmpeg, with the tags of the file."""
    with av.open(path) as source, av.open(target, "w") as copy:
        copy.metadata.update(source.metadata)
        stream: Any = copy.add_stream(codec, rate=16_000)
        for frame in source.decode(audio=0):
            copy.mux(stream.encode(frame))
        copy.mux(stream.encode(None))
    return target


def test_a_marked_file_is_refused_with_a_reason(tmp_path: Path) -> None:
    for name in ("plain.flac", "plain.wav"):
        refuse_generated(sound(tmp_path / name, "a recording of a dog"))
    for name, data in (("broken.flac", b"fLaC and nothing more"), ("empty.flac", b""), ("text", b"a text")):
        (tmp_path / name).write_bytes(data)
        refuse_generated(tmp_path / name)
    marked = sound(tmp_path / "marked.flac", f'{GENERATED}. {{"text": "a dog"}}')
    with pytest.raises(GeneratedSound) as caught:
        refuse_generated(marked)
    assert reason_of(caught.value) == "generated_sound" and "generated_sound" in LASTING


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("copy.wav", "pcm_s16le"),
        ("copy.flac", "flac"),
        ("copy.ogg", "libopus"),
        ("copy.mp3", "libmp3lame"),
        ("copy.m4a", "aac"),
        ("copy.mka", "flac"),
        ("copy.aiff", "pcm_s16be"),
    ],
)
def test_a_converted_copy_keeps_the_mark(tmp_path: Path, name: str, codec: str) -> None:
    marked = sound(tmp_path / "marked.flac", f'{GENERATED}. {{"text": "a dog"}}')
    refuse_generated(converted(sound(tmp_path / "plain.flac", "a dog"), tmp_path / f"plain_{name}", codec))
    with pytest.raises(GeneratedSound):
        refuse_generated(converted(marked, tmp_path / name, codec))


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
    # A training manifest has no hashes of its own.
    training = MANIFEST.from_rows(rows).select(["clip_id", "audio_path"])
    published = MANIFEST.from_rows(rows[1:])
    assert generated_clips(with_samples(training, published), store) == ["freesound-2", "freesound-3"]
    refuse_generated_clips(MANIFEST.from_rows(rows[:1]), store)
    refuse_generated_clips(MANIFEST.from_rows(rows[:1]), Store(tmp_path / "without"))
