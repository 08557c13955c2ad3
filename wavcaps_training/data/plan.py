"""Which examples are in which batch. This depends only on the examples, the settings and the epoch.

So the number of loading processes does not change the batches, and a run that resumes in the middle of an
epoch skips the batches that it has trained on.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence

import numpy as np

from wavcaps_training.data.clips import Example
from wavcaps_training.settings.training import RunSettings


def plan_epoch(
    examples: Sequence[Example], settings: RunSettings, epoch: int, *, training: bool
) -> list[list[int]]:
    """The batches of an epoch, as indices of `examples`.

    Training batches are complete; an epoch leaves out the rest, unless there is no complete batch. Evaluation
    goes through all examples in their order.

    Args:
        examples: of the epoch.
        settings: of the run.
        epoch: counts from 0.
        training: whether it is an epoch of training.
    """
    size = settings.batch_size
    if not training:
        return _cut(range(len(examples)), size)
    if settings.buckets and len(examples) >= size:
        durations = [example.clip.duration_s for example in examples]
        batches = plan_buckets(durations, settings.buckets, size, settings.seed, epoch)
        if settings.bucket_leftovers:
            batches = _with_leftovers(batches, durations, settings, epoch)
        if batches:
            return batches
    order = np.random.default_rng([settings.seed, epoch]).permutation(len(examples)).tolist()
    whole = len(order) - len(order) % size
    return _cut(order[:whole] or order, size)


def plan_buckets(
    durations: Sequence[float], edges: Sequence[float], batch_size: int, seed: int, epoch: int
) -> list[list[int]]:
    """Batches of clips of similar duration, as the released code draws them in its pre-training.

    Each bucket is shuffled and cut into complete batches; then the batches are shuffled. What does not fill a
    batch of its bucket is left out.

    Args:
        durations: of each example (s).
        edges: a bucket has the examples that are at least as long as the edge below it, and shorter than the
            edge above it.
        batch_size: examples per batch.
        seed: of the generator.
        epoch: counts from 0. The generator runs on from epoch to epoch, so earlier epochs are drawn as well.
    """
    buckets: dict[int, list[int]] = defaultdict(list)
    for index, bucket in enumerate(np.searchsorted(edges, durations, side="right").tolist()):
        buckets[bucket].append(index)
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


def _with_leftovers(
    batches: list[list[int]], durations: Sequence[float], settings: RunSettings, epoch: int
) -> list[list[int]]:
    """Adds batches of the examples that fill no batch of their bucket, in the order of their durations.

    A rest that is smaller than a batch is left out. It is drawn at random, so each epoch has another rest.
    """
    used = {index for batch in batches for index in batch}
    generator = np.random.default_rng([settings.seed, epoch])
    left = [index for index in range(len(durations)) if index not in used]
    whole = len(left) - len(left) % settings.batch_size
    kept = sorted(generator.permutation(left).tolist()[:whole], key=lambda index: (durations[index], index))
    both = batches + _cut(kept, settings.batch_size)
    return [both[index] for index in generator.permutation(len(both))]


def clips_seen(
    examples: Sequence[Example], settings: RunSettings, epochs: int, unreadable: Collection[str] = ()
) -> int:
    """How many different clips are in the batches of a run.

    Args:
        examples: of an epoch.
        settings: of the run.
        epochs: how many epochs it has.
        unreadable: ids of clips that were in a batch, but whose audio could not be read.
    """
    everything = {example.clip.clip_id for example in examples}
    seen: set[str] = set()
    for epoch in range(epochs):
        for batch in plan_epoch(examples, settings, epoch, training=True):
            seen |= {examples[index].clip.clip_id for index in batch}
        if seen == everything:
            break
    return len(seen.difference(unreadable))


def _cut(indices: Sequence[int], size: int) -> list[list[int]]:
    return [list(indices[start : start + size]) for start in range(0, len(indices), size)]
