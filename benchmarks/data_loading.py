"""How fast 10 s crops of 30 s FLAC are loaded, compared with librosa and with bare decoding.

At 44.1 kHz the peer is the released recipe: `librosa.load` of the whole file at 32 kHz in mono, then the
crop, with librosa's resampler of today, which is soxr as ours is. At 32 kHz in mono, as the project's own
audio is, it is soundfile that reads the same span of the same file and does nothing else. All run in one
process with one thread, in turns; each side's time is that of its fastest round.

The limits: in stereo at least 4 times librosa's clips a second, and at most 1.5 times the time of bare
decoding. In mono librosa has no channels to mix and both sides decode and resample with the same libraries:
a third of a file then takes a third of the time at best, so that mono is reported and has no limit.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import librosa
import numpy as np
import soundfile
import torch

from benchmarks.result import own_peak_mb, report
from wavcaps_training.data import AudioFolder, Clip, EpochShare, batch_loader
from wavcaps_training.data.chance import chance
from wavcaps_training.settings.training import PAPER

CLIPS, FILE_S, ROUNDS = 16, 30, 7
LIBROSA_LIMIT, DECODING_LIMIT = 4.0, 1.5
SETTINGS = PAPER.model_copy(update={"batch_size": CLIPS})
RATE, CROP_S = SETTINGS.front_end.sample_rate, SETTINGS.clip.seconds


def write_clip(path: Path, rate: int, channels: int, seed: int) -> None:
    """Brown noise that swells and fades, with tones: it compresses as recordings do, to some half."""
    generator = np.random.default_rng(seed)
    time_s = np.arange(FILE_S * rate) / rate
    swell = 0.55 + 0.45 * np.sin(2 * np.pi * time_s / (3 + seed % 5))
    sounds = []
    for _ in range(channels):
        steps = generator.normal(size=len(time_s))
        brown = np.convolve(steps, 0.97 ** np.arange(200), mode="same")
        tones = sum(np.sin(2 * np.pi * (220 + 90 * seed) * n * time_s) / n for n in (1, 2, 3))
        sounds.append(swell * (0.03 * brown + 0.05 * tones))
    soundfile.write(path, np.clip(np.stack(sounds, axis=1), -1, 1), rate, subtype="PCM_16")


def position(clip: Clip) -> float:
    """Where the loader crops a clip in its first epoch."""
    return chance(SETTINGS.seed, 0, clip.clip_id, 0, "crop")


def ours(clips: Sequence[Clip], folder: Path) -> torch.Tensor:
    (batch,) = batch_loader(clips, AudioFolder(folder), SETTINGS, EpochShare())
    return batch.audio


def whole_files(clips: Sequence[Clip], folder: Path) -> torch.Tensor:
    crops = []
    for clip in clips:
        samples, _ = librosa.load(folder / clip.audio_path, sr=RATE, mono=True)
        length = round(CROP_S * RATE)
        start = round((len(samples) - length) * position(clip))
        crops.append(torch.from_numpy(samples[start : start + length]))
    return torch.stack(crops)


def bare_decoding(clips: Sequence[Clip], folder: Path) -> torch.Tensor:
    crops = []
    for clip in clips:
        with soundfile.SoundFile(folder / clip.audio_path) as file:
            length = round(CROP_S * RATE)
            file.seek(round((file.frames - length) * position(clip)))
            crops.append(torch.from_numpy(file.read(length, dtype="float32")))
    return torch.stack(crops)


Load = Callable[[Sequence[Clip], Path], torch.Tensor]


def clips_a_second(loads: Sequence[Load], clips: Sequence[Clip], folder: Path) -> list[float]:
    """Of each, in rounds that take turns, after one that is not counted."""
    best = [float("inf")] * len(loads)
    for number in range(ROUNDS + 1):
        for place, load in enumerate(loads):
            started = time.perf_counter()
            load(clips, folder)
            if number:
                best[place] = min(best[place], time.perf_counter() - started)
    return [len(clips) / seconds for seconds in best]


def written(folder: Path, rate: int, channels: int) -> list[Clip]:
    clips = []
    for number in range(CLIPS):
        name = f"{rate}-{channels}-{number}.flac"
        write_clip(folder / name, rate, channels, number)
        clips.append(Clip(f"bbc_sound_effects-{number}", ("A sound.",), name, FILE_S))
    return clips


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="wavcaps-bench-") as name:
        folder = Path(name)
        stereo, mono, own = written(folder, 44_100, 2), written(folder, 44_100, 1), written(folder, RATE, 1)
        # Sorted, since the loader shuffles: that the crops are the same, so that the work is.
        mine, bare = ours(own, folder), bare_decoding(own, folder)
        assert torch.equal(mine.sum(dim=1).sort().values, bare.sum(dim=1).sort().values)
        measured = {
            "44100_stereo": clips_a_second((ours, whole_files), stereo, folder),
            "44100_mono": clips_a_second((ours, whole_files), mono, folder),
            "32000_mono": clips_a_second((ours, bare_decoding), own, folder),
        }
    peak_mb = own_peak_mb()
    for kind, (speed, peer) in measured.items():
        against = "soundfile, the same span" if kind == "32000_mono" else "librosa.load and crop"
        report(f"data_loading_{kind}", speed, "clips/s", against, peer, peak_mb)
    speed, peer = measured["44100_stereo"]
    own_speed, own_peer = measured["32000_mono"]
    if speed < LIBROSA_LIMIT * peer or own_speed * DECODING_LIMIT < own_peer:
        sys.exit(
            f"the limits: {LIBROSA_LIMIT} times librosa's clips a second in stereo, and {DECODING_LIMIT} "
            "times the time of bare decoding"
        )


if __name__ == "__main__":
    main()
