"""Which share of embedding a benchmark is spent outside the encoders.

HTSAT of the paper's size with MiniLM embeds clips of 30 s (FLAC, 32 kHz, mono) with five captions each: their
middle, and the windows that cover them. Time is processor time. The encoders are the log-mel spectrogram,
HTSAT, MiniLM and the projections; reading, decoding, cropping, batches and tokens are outside. Exits 1 if
more than a tenth is.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import torch

from benchmarks.data_loading import RATE, write_clip
from benchmarks.result import own_peak_mb, report
from wavcaps_training.data import AudioFolder, Clip
from wavcaps_training.evaluation.protocols import PROTOCOLS, ProtocolName
from wavcaps_training.evaluation.retrieval import embed
from wavcaps_training.models.retrieval import RetrievalModel
from wavcaps_training.settings.model import ModelSettings
from wavcaps_training.settings.training import PAPER

CLIPS, FILE_S = 16, 30.0
MOST_OUTSIDE = 10.0  # %


class Clock:
    """The processor time of the functions that it wraps (s)."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def of(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            start = time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                self.seconds += time.process_time() - start

        return timed


def main() -> None:
    torch.manual_seed(0)
    settings = PAPER.model_copy(update={"model": ModelSettings(), "batch_size": 8, "buckets": ()})
    model, clock = RetrievalModel.build(settings).eval(), Clock()
    network = model.audio_encoder.audio_enc
    for part, name in (
        (network, "encode"),
        (network.audio_feats_extractor, "forward"),
        (model.text_encoder.text_encoder, "forward"),
        (model, "embed_audio_features"),
        (model, "embed_text_features"),
    ):
        setattr(part, name, clock.of(getattr(part, name)))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = []
        for number in range(CLIPS):
            write_clip(folder / f"{number}.flac", RATE, 1, number)
            captions = tuple(f"Sound {number} is heard by listener {listener}." for listener in range(5))
            clips.append(Clip(f"clip-{number}", captions, f"{number}.flac", FILE_S))
        worst = 0.0
        for protocol in (ProtocolName.middle, ProtocolName.windows):
            clock.seconds, start = 0.0, time.process_time()
            embed(model, clips, AudioFolder(folder), settings, protocol=PROTOCOLS[protocol])
            whole = time.process_time() - start
            outside = 100 * (whole - clock.seconds) / whole
            worst = max(worst, outside)
            report(f"embedding, {protocol}: outside", outside, "%", "limit", MOST_OUTSIDE, own_peak_mb())
            print(f"{whole:.1f} s of processor time, {whole / CLIPS:.2f} s a clip")  # noqa: T201
    if worst > MOST_OUTSIDE:
        sys.exit(f"limit: {MOST_OUTSIDE} % outside the encoders")


if __name__ == "__main__":
    main()
