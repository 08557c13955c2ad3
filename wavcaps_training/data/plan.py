"""Which examples make which batch: a function of the examples, the settings and the epoch alone.

So the same batches come whatever the number of loading processes, and a run that is resumed in the middle
of an epoch leaves out the batches that it has had.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from wavcaps_training.data.clips import Example
from wavcaps_training.settings.training import RunSettings


def plan_epoch(
    examples: Sequence[Example], settings: RunSettings, epoch: int, *, training: bool
) -> list[list[int]]:
    """The batches of an epoch, as places in `examples`.

    Training batches are whole; what is left over is left out, unless it is all there is. Evaluation goes
    through all examples in their order.

    Args:
        epoch: counts from 0.
    """
    size = settings.batch_size
    if not training:
        return _cut(range(len(examples)), size)
    if settings.buckets and len(examples) >= size:
        durations = [example.clip.duration_s for example in examples]
        batches = plan_buckets(durations, settings.buckets, size, settings.seed, epoch)
        if batches:
            return batches
    order = np.random.default_rng([settings.seed, epoch]).permutation(len(examples)).tolist()
    whole = len(order) - len(order) % size
    return _cut(order[:whole] or order, size)


def plan_buckets(
    durations: Sequence[float], edges: Sequence[float], batch_size: int, seed: int, epoch: int
) -> list[list[int]]:
    """Batches of clips of similar duration, as the released code draws them for its pre-training.

    Each bucket is shuffled and cut into whole batches; then the batches are shuffled.

    Args:
        durations: of each example (s).
        edges: a bucket holds what is at least as long as the edge below it, and shorter than the one above.
        epoch: counts from 0. The generator goes on from epoch to epoch, so those before are drawn as well.
    """
    buckets: dict[int, list[int]] = defaultdict(list)
    for place, bucket in enumerate(np.searchsorted(edges, durations, side="right").tolist()):
        buckets[bucket].append(place)
    generator = np.random.RandomState(seed)
    batches: list[list[int]] = []
    for _ in range(epoch + 1):
        batches = []
        for bucket in buckets.values():
            shuffled = list(bucket)
            generator.shuffle(shuffled)
            batches += _cut(shuffled[: len(shuffled) - len(shuffled) % batch_size], batch_size)
        generator.shuffle(batches)
    return batches


def _cut(places: Sequence[int], size: int) -> list[list[int]]:
    return [list(places[start : start + size]) for start in range(0, len(places), size)]
