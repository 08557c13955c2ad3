"""How many clips a second one core normalises, compared with FFmpeg's command line on the same files.

Ours is one process with one thread that decodes, mixes, resamples, measures and writes each clip.
FFmpeg is started once for each clip, as in a shell loop, and measures nothing. Both write 16-bit FLAC,
32 kHz, mono, at compression level 5, the default of both. Seconds are of processor time (user
and system), which other work on the machine disturbs least. The start of FFmpeg is part of its time.

The limits: at least as many clips a second a core as FFmpeg, for clips of 5 s and of 60 s; and a peak
of memory that does not grow from a minute to an hour. The last line has the worse of the two ratios
and the peak for the hour.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.result import own_peak_mb, report

RATE = 44_100
# Clips of each length (s): some two seconds of work a round.
CLIPS = {5: 24, 60: 8}
ROUNDS = 3
MINUTE_S, HOUR_S = 60, 3600
MOST_GROWTH = 1.2
# As long as the pieces in which a clip is written.
PIECE = 1 << 14


def write_clip(path: Path, seconds: int, seed: int) -> Path:
    """Noise and two tones: 44.1 kHz, stereo, 16 bits."""
    rng = np.random.default_rng(seed)
    with soundfile.SoundFile(path, "w", RATE, 2, subtype="PCM_16") as file:
        for second in range(seconds):
            time_s = second + np.arange(RATE) / RATE
            tones = [0.2 * np.sin(2 * np.pi * hertz * time_s) for hertz in (220 + seed, 3000 + 10 * seed)]
            file.write(np.stack(tones, axis=1) + 0.05 * rng.standard_normal((RATE, 2)))
    return path


def normalise_all(paths: list[str]) -> None:
    """What the child process does: prints its seconds of processor time, FLAC's share and its peak (MB)."""
    from wavcaps_assets.audio.blocks import SAMPLE_RATE
    from wavcaps_assets.audio.normalise import COMPRESSION_LEVEL, normalise

    targets = [Path(f"{path}.flac") for path in paths]
    normalise(Path(paths[0]), targets[0])
    started = time.process_time()
    for path, target in zip(paths, targets, strict=True):
        normalise(Path(path), target)
    seconds = time.process_time() - started
    peak_mb = own_peak_mb()
    encoding = 0.0
    for target in targets:
        with (
            soundfile.SoundFile(target) as source,
            soundfile.SoundFile(
                f"{target}.again",
                "w",
                SAMPLE_RATE,
                1,
                "PCM_16",
                format="FLAC",
                compression_level=COMPRESSION_LEVEL,
            ) as sink,
        ):
            for piece in source.blocks(PIECE, dtype="int16"):
                started = time.process_time()
                sink.write(piece)
                encoding += time.process_time() - started
    print(json.dumps({"seconds": seconds, "encoding": encoding / seconds, "peak_mb": peak_mb}))  # noqa: T201


def ours(paths: list[Path]) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.audio_normalise", *map(str, paths)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def ffmpeg(paths: list[Path]) -> float:
    """FFmpeg's seconds of processor time for all files, one by one."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for path in paths:
        options = ["-ac", "1", "-ar", "32000", "-sample_fmt", "s16"]
        command = [
            "ffmpeg",
            "-v",
            "error",
            "-y",
            "-threads",
            "1",
            "-i",
            str(path),
            *options,
            f"{path}.ff.flac",
        ]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def speeds(folder: Path, seconds: int) -> tuple[float, float]:
    """Clips a second a core, ours and FFmpeg's: the best of the rounds, which take turns."""
    paths = [write_clip(folder / f"{seconds}s_{seed}.wav", seconds, seed) for seed in range(CLIPS[seconds])]
    ffmpeg(paths[:1])
    pairs = [(ours(paths), ffmpeg(paths)) for _ in range(ROUNDS)]
    mine = min((found for found, _ in pairs), key=lambda found: found["seconds"])
    speed, peer = len(paths) / mine["seconds"], len(paths) / min(theirs for _, theirs in pairs)
    print(  # noqa: T201
        f"{seconds} s clips: {speed:.1f} clips/s/core, FFmpeg {peer:.1f}, ratio {speed / peer:.2f}; "
        f"encoding FLAC takes {mine['encoding']:.0%} of our time"
    )
    return speed, peer


def main() -> None:
    if shutil.which("ffmpeg") is None:
        sys.exit("The peer is FFmpeg's command line, which is not here; on Debian: apt-get install -y ffmpeg")
    with tempfile.TemporaryDirectory(prefix="wavcaps-bench-") as folder:
        measured = {seconds: speeds(Path(folder), seconds) for seconds in CLIPS}
        minute_mb, hour_mb = (
            ours([write_clip(Path(folder) / "long.wav", seconds, seed=0)])["peak_mb"]
            for seconds in (MINUTE_S, HOUR_S)
        )
    print(f"peak memory: {minute_mb:.1f} MB for a minute, {hour_mb:.1f} MB for an hour")  # noqa: T201
    worst = min(measured, key=lambda seconds: measured[seconds][0] / measured[seconds][1])
    report(
        "audio_normalise",
        measured[worst][0],
        f"{worst} s clips/s/core",
        "ffmpeg",
        measured[worst][1],
        hour_mb,
    )
    if measured[worst][0] < measured[worst][1] or hour_mb > MOST_GROWTH * minute_mb:
        sys.exit(
            "the limits: as many clips a second as FFmpeg, and as much memory for an hour as for a minute"
        )


if __name__ == "__main__":
    if sys.argv[1:]:
        normalise_all(sys.argv[1:])
    else:
        main()
