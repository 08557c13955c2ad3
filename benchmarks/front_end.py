"""The log-mel front end by FFT, at least 5 times as fast as the released one by frozen convolutions."""

from __future__ import annotations

import sys

import torch

from benchmarks.encoders import fastest, waveforms
from benchmarks.released_recipe import ConvolvedLogMel
from benchmarks.result import own_peak_mb, report
from wavcaps_training.models.features import LogMel
from wavcaps_training.settings.encoder import FrontEndSettings

CLIPS, ROUNDS, LIMIT = 16, 9, 5.0
# Of the oracle: what the released code itself differs by from float64, with room.
TOLERANCE_DB = 5e-4


def main() -> None:
    sounds = waveforms(clips=CLIPS)
    ours, peer = LogMel(FrontEndSettings()), ConvolvedLogMel(FrontEndSettings())
    with torch.no_grad():
        difference = float((ours(sounds) - peer(sounds)).abs().max())
        assert difference < TOLERANCE_DB, f"the two differ by {difference} dB"
        mine, theirs = fastest([lambda: ours(sounds), lambda: peer(sounds)], ROUNDS)
    print(f"{torch.get_num_threads()} threads; the log-mels differ by {difference:.1e} dB")  # noqa: T201
    peak = own_peak_mb()
    report("front_end", CLIPS / mine, "clips/s", "frozen convolutions", CLIPS / theirs, peak)
    if theirs < LIMIT * mine:
        sys.exit(f"the limit: {LIMIT} times as fast")


if __name__ == "__main__":
    main()
