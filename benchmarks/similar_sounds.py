"""Which changed recordings the embeddings of aisfx find, and how many unrelated pairs are as similar.

    python -m benchmarks.similar_sounds ESC10

ESC10 is a folder with the clips of ESC-10 and `index.jsonl` (`planted.Clips`). Without it, nothing is
measured.

The threshold is the first step beyond the similarity that 1 in 10,000 unrelated pairs of folds 1 and 2 have;
folds 3 and 5 are reported. Found are the clips at another speed and quieter whose original is among the most
similar ones, as `near_duplicates` lists them for review. The limit: 0.75 of those 5 % faster, which a
fingerprint does not find.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from benchmarks.planted import Clips
from benchmarks.result import own_peak_mb, report
from wavcaps_assets.audio.blocks import Samples
from wavcaps_assets.tables import BENCHMARK_CLIPS
from wavcaps_training.evaluation.near_duplicates import Matrix, SimilaritySettings, near_duplicates
from wavcaps_training.models.audio_encoder import build_audio_encoder
from wavcaps_training.settings.encoders.aisfx import AisfxSettings

CHOOSING, REPORTED = (1, 2), (3, 5)
MOST_FALSE, STEP, NEEDED = 1e-4, 0.01, 0.75
FASTER = "5 % faster"
CHANGES: dict[str, Callable[[Clips, int], Samples]] = {
    "1 % faster": lambda clips, number: clips.at_speed(number, 0.01),
    FASTER: lambda clips, number: clips.at_speed(number, 0.05),
    "5 % slower": lambda clips, number: clips.at_speed(number, -0.05),
    "10 % faster": lambda clips, number: clips.at_speed(number, 0.1),
    "-12 dB": lambda clips, number: clips.sounds[number] * np.float32(0.25),
}


def embed(sounds: Sequence[Samples]) -> Matrix:
    """The embeddings of sounds at 44.1 kHz, (clips, 512)."""
    import torch

    network = build_audio_encoder(AisfxSettings()).eval()
    with torch.inference_mode():
        vectors = [
            network.encode(network.audio_feats_extractor(torch.from_numpy(np.ascontiguousarray(sound))[None]))
            for sound in sounds
        ]
    return np.concatenate([vector.embedding.numpy() for vector in vectors])


def measure(clips: Clips, settings: SimilaritySettings) -> tuple[dict[str, float], float]:
    """The recall of each change; and the similarity that one in 10,000 unrelated pairs of the clips have."""
    numbers = range(len(clips.sounds))
    originals = embed(clips.sounds)
    recall = {}
    for change, make in CHANGES.items():
        changed = embed([make(clips, number) for number in numbers])
        pairs = similar(originals, changed, settings)
        recall[change] = sum(one == other for one, other, _ in pairs) / len(numbers)
        _say(f"  {change}: recall {recall[change]:.3f}, {len(pairs)} pairs for review")
    everything = SimilaritySettings(least_similarity=-1, most_pairs=len(numbers))
    pairs = similar(originals, originals, everything)
    unrelated = [value for one, other, value in pairs if not clips.related(one, other)]
    limit = float(np.quantile(unrelated, 1 - MOST_FALSE))
    share = float(np.mean(np.array(unrelated) >= settings.least_similarity))
    _say(f"  of {len(unrelated):,} unrelated pairs of originals, {share:.1e} reach the threshold")
    return recall, limit


def similar(
    of_set: Matrix, of_benchmark: Matrix, settings: SimilaritySettings
) -> list[tuple[int, int, float]]:
    """The numbers of the clips of each pair, and their similarity."""
    names = [str(number) for number in range(len(of_set))]
    theirs = [str(number) for number in range(len(of_benchmark))]
    columns = {field.name: pa.nulls(len(theirs), field.type) for field in BENCHMARK_CLIPS.arrow}
    constant = {"clip_id": theirs, "benchmark": ["esc10"] * len(theirs), "split": ["test"] * len(theirs)}
    benchmark = pa.table({**columns, **constant})
    found = near_duplicates(
        lambda: [_table(names, of_set)],
        pa.table({"clip_id": names, "source": ["esc10"] * len(names)}),
        benchmark,
        _table(theirs, of_benchmark),
        settings,
    )
    rows = zip(
        *(found.column(name).to_pylist() for name in ("clip_id", "benchmark_clip_id", "score")), strict=True
    )
    return [(int(one), int(other), value) for one, other, value in rows]


def _table(names: Sequence[str], matrix: Matrix) -> pa.Table:
    offsets = np.arange(0, matrix.size + 1, matrix.shape[1], dtype=np.int32)
    return pa.table({"clip_id": names, "embedding": pa.ListArray.from_arrays(offsets, matrix.ravel())})


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


def main() -> None:
    if len(sys.argv) < 2:
        _say("nothing was measured: give the folder of ESC-10's clips (see the file's beginning)")
        return
    settings, folder = SimilaritySettings(), Path(sys.argv[1])
    _say(f"folds {CHOOSING}, with the default of {settings.least_similarity}:")
    _, limit = measure(Clips(folder, CHOOSING), settings)
    _say(f"  chosen on them: {(math.floor(limit / STEP) + 1) * STEP:.2f}")
    _say(f"folds {REPORTED}:")
    recall, _ = measure(Clips(folder, REPORTED), settings)
    report("similar_sounds", recall[FASTER], f"recall, {FASTER}", "limit", NEEDED, own_peak_mb())
    if recall[FASTER] < NEEDED:
        sys.exit(f"the limit: recall {NEEDED}, {FASTER}")


if __name__ == "__main__":
    main()
