"""How many times faster than real time one core reads stored clips and finds their spectral peaks.

The clips are as stored: FLAC, 32 kHz, mono, of 5 s, a minute and an hour. They are noise whose level
changes: 150 peaks a second, where real clips have some 100. Seconds are of processor time, in a process
with one thread.

The limits: 100 times real time for each length; and a peak of memory for an hour that is not above
twice that for a minute. The last line has the slowest length; its ratio is the speed over the limit.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.own_process import in_own_process
from benchmarks.result import own_peak_mb, report
from wavcaps_assets.audio.blocks import SAMPLE_RATE
from wavcaps_assets.fingerprints.landmarks import landmarks_of_file

# Files of each length (s).
FILES = {5: 60, 60: 6, 3600: 1}
MINUTE_S, HOUR_S = 60, 3600
LIMIT, MOST_GROWTH = 100.0, 2.0


def write(path: Path, seconds: int, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    with soundfile.SoundFile(path, "w", SAMPLE_RATE, 1, subtype="PCM_16") as file:
        for _ in range(seconds):
            level = np.repeat(rng.uniform(0.01, 0.2, 20), SAMPLE_RATE // 20)
            file.write(rng.standard_normal(SAMPLE_RATE) * level)
    return path


def measure(paths: list[Path]) -> tuple[float, int, float]:
    """Seconds of processor time, peaks, and the largest resident set (MB)."""
    started = time.process_time()
    peaks = sum(len(landmarks_of_file(path)) for path in paths)
    return time.process_time() - started, peaks, own_peak_mb()


def main() -> None:
    speeds, memory = {}, {}
    with tempfile.TemporaryDirectory(prefix="wavcaps-bench-") as folder:
        for seconds, files in FILES.items():
            paths = [write(Path(folder) / f"{seconds}_{one}.flac", seconds, one) for one in range(files)]
            spent, peaks, memory[seconds] = in_own_process(measure, paths)
            audio_s = seconds * files
            speeds[seconds] = audio_s / spent
            print(  # noqa: T201
                f"{seconds} s clips: {speeds[seconds]:.0f} times real time, "
                f"{peaks / audio_s:.0f} peaks a second, {memory[seconds]:.0f} MB"
            )
    slowest = min(speeds, key=lambda seconds: speeds[seconds])
    unit = f"times real time a core, {slowest} s clips"
    report("fingerprints", speeds[slowest], unit, "limit", LIMIT, max(memory.values()))
    if speeds[slowest] < LIMIT or memory[HOUR_S] > MOST_GROWTH * memory[MINUTE_S]:
        sys.exit(
            f"the limits: {LIMIT:.0f} times real time, and {MOST_GROWTH:.0f} times the memory for an hour"
        )


if __name__ == "__main__":
    main()
