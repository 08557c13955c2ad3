"""How often chance is called a difference, and a planted one is found, on real embeddings (docs/worth.md).

`python -m benchmarks.change_worth STORE [SEEDS]`: STORE is that of the demo after `make demo`. It trains the
demo's model on the demo's train split with many seeds, and with a third fewer on the same split with the
captions of half of the clips shuffled among them. Then it draws pairs of sides from these runs:

- two sides of the same set, with other seeds: the test should call 5 % of them a difference;
- the set, and the set with shuffled captions: the test should find it.

36 seeds take about five minutes of one core.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.result import own_peak_mb, report
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_training.data import Clip, clips_of
from wavcaps_training.evaluation.clip_features import known_features
from wavcaps_training.evaluation.ranking import score_retrieval
from wavcaps_training.worth.comparing import model_of
from wavcaps_training.worth.frozen import Texts, embed_features, one_thread, train_projections
from wavcaps_training.worth.statistics import Contributions, averaged, contributions, difference

FIRST_SEED, SEEDS = 200, 36
PAIRS = 300
Ranks = tuple[np.ndarray, np.ndarray]


def shuffled(clips: Sequence[Clip]) -> list[Clip]:
    """Clips, half of which have the captions of others of this half."""
    generator = random.Random(1)
    chosen = generator.sample(range(len(clips)), len(clips) // 2)
    captions = [clips[place].captions for place in chosen]
    generator.shuffle(captions)
    found = list(clips)
    for place, of_other in zip(chosen, captions, strict=True):
        found[place] = replace(found[place], captions=of_other)
    return found


def study(store: Path, seeds: int) -> None:
    tables = TableStore(Store(store))
    manifest = tables.read(["training_manifest"], [WHOLE])
    settings = model_of({}, 2).settings
    features = known_features(tables.read(["audio_embeddings", "aisfx"], [WHOLE]), settings)
    train, validation, test = (clips_of(manifest, split) for split in ("train", "validation", "test"))
    recordings = manifest.filter(np.array(manifest["split"].to_pylist()) == "test")["recording"].to_pylist()
    groups = np.unique(recordings, return_inverse=True)[1]

    def ranks(clips: Sequence[Clip], count: int) -> dict[int, Ranks]:
        texts: Texts = {}
        found = {}
        for seed in range(FIRST_SEED, FIRST_SEED + count):
            run = settings.model_copy(update={"seed": seed})
            model = train_projections(clips, validation, features, run, texts)
            scores = score_retrieval(*embed_features(model, test, features, dict(texts), run.batch_size))
            found[seed] = (scores.text_to_audio.ranks, scores.audio_to_text.ranks)
        return found

    with one_thread():
        same, other = ranks(train, seeds), ranks(shuffled(train), seeds * 2 // 3)
    generator = np.random.default_rng(0)
    called, found_at_5 = 0.0, 0.0
    for depth in (1, 5, 10):
        for count in (3, 5, 8):
            chance, detectable, planted, found = [], [], [], []
            for _ in range(PAIRS):
                drawn = generator.permutation(sorted(same))
                one = _score(same, drawn[:count], groups, depth)
                two = _score(same, drawn[count : 2 * count], groups, depth)
                of_none = difference(one, two)
                chance.append(of_none.p < 0.05)
                if of_none.detectable is not None:
                    detectable.append(of_none.detectable)
                paired = generator.permutation(sorted(other))[:count]
                one, two = (_score(side, paired, groups, depth) for side in (same, other))
                of_planted = difference(one, two)
                planted.append(of_planted.value)
                found.append(of_planted.p < 0.05)
            print(  # noqa: T201
                f"R@{depth}, {count} seeds: chance is called a difference in {np.mean(chance):.1%}; "
                f"detectable {np.median(detectable):.1f} points; planted {np.mean(planted):+.1f} points, "
                f"found in {np.mean(found):.0%}",
                flush=True,
            )
            if (depth, count) == (10, 5):
                called, found_at_5 = float(np.mean(chance)), float(np.mean(found))
    report("false differences, R@10, 5 seeds", 100 * called, "%", "nominal", 5.0, own_peak_mb())
    if called > 0.10 or found_at_5 < 0.9:
        sys.exit("limit: at most 10 % false differences, and the planted one found in 90 %")


def _score(
    runs: Mapping[int, Ranks], seeds: Sequence[int] | np.ndarray, groups: np.ndarray, depth: int
) -> Contributions:
    both = [np.stack([runs[int(seed)][direction] < depth for seed in seeds]) for direction in (0, 1)]
    return averaged([contributions(hits, groups) for hits in both])


if __name__ == "__main__":
    study(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else SEEDS)
