"""Batches: the same for the same seed in every process, and from the middle of an epoch as well."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
import soundfile
import torch

from tests.support.paths import ORACLES
from tests.support.s3 import S3Bucket
from wavcaps_assets.store.storage import Store
from wavcaps_training.data import (
    AudioFiles,
    AudioFolder,
    AudioReadError,
    Batch,
    Clip,
    EpochShare,
    LogMelCache,
    batch_loader,
    clips_seen,
    examples_of,
    plan_epoch,
    unreadable_clips,
)
from wavcaps_training.data.audio_files import StoreUnreachable
from wavcaps_training.data.loading import MOST_READING_PROCESSES, reading_processes
from wavcaps_training.data.plan import plan_buckets
from wavcaps_training.models.features import LogMel
from wavcaps_training.settings.training import DEMO, PAPER, RELEASED, CaptionChoice, ClipSettings

RATE = 32_000
SETTINGS = DEMO.model_copy(
    update={"batch_size": 4, "clip": ClipSettings(seconds=0.25), "cache_log_mel": False}
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Clip], AudioFolder]:
    folder = tmp_path_factory.mktemp("clips")
    generator = np.random.default_rng(3)
    made = []
    for number in range(11):
        soundfile.write(folder / f"{number}.flac", generator.normal(size=RATE // 2) / 10, RATE)
        captions = tuple(f"Caption {number} {which}." for which in range(1 + number % 3))
        made.append(Clip(f"bbc_sound_effects-{number}", captions, f"{number}.flac", 0.5))
    return made, AudioFolder(folder)


def same(first: Sequence[Batch], second: Sequence[Batch]) -> bool:
    return len(first) == len(second) and all(
        (one.clip_ids, one.captions) == (other.clip_ids, other.captions)
        and torch.equal(one.audio, other.audio)
        for one, other in zip(first, second, strict=True)
    )


def test_the_buckets_are_the_released_codes() -> None:
    expected = json.loads((ORACLES / "training_utils.json").read_text())["sampler"]
    for epoch in (0, 1):
        found = plan_buckets(
            expected["durations"],
            expected["boundaries"],
            expected["batch_size"],
            expected["seed"],
            epoch,
        )
        assert found == expected[f"epoch{epoch + 1}"]


def test_a_batch_is_of_one_bucket_and_edges_belong_above() -> None:
    durations = [0.0, 4.999, 5.0, 9.99, 10.0, 29.99, 30.0, 100.0] * 2
    batches = plan_buckets(durations, (5.0, 10.0, 30.0), 2, seed=1, epoch=0)
    buckets = [{durations[place] for place in batch} for batch in batches]
    assert all(
        bucket <= allowed
        for bucket in buckets
        for allowed in [
            next(a for a in ({0.0, 4.999}, {5.0, 9.99}, {10.0, 29.99}, {30.0, 100.0}) if a & bucket)
        ]
    )
    assert sorted(place for batch in batches for place in batch) == list(range(16))


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_that_read_change_nothing(clips: tuple[list[Clip], AudioFolder], workers: int) -> None:
    there = SETTINGS.model_copy(update={"loader_workers": workers})
    alone = list(batch_loader(*clips, SETTINGS, EpochShare(2)))
    assert len(alone) == 5
    assert same(list(batch_loader(*clips, there, EpochShare(2))), alone)


def test_on_a_gpu_audio_is_read_by_processes() -> None:
    by_default = SETTINGS.model_copy(update={"loader_workers": None})
    assert reading_processes(by_default, cores=16, batches=100) == MOST_READING_PROCESSES
    assert reading_processes(by_default, cores=3, batches=100) == 3
    # Without a GPU or with cached features, and for one sound, as in a search.
    assert reading_processes(by_default, cores=0, batches=100) == 0
    assert reading_processes(by_default, cores=16, batches=1) == 0
    named = SETTINGS.model_copy(update={"loader_workers": 2})
    assert reading_processes(named, cores=0, batches=100) == 2


def test_an_epoch_goes_on_from_its_middle(clips: tuple[list[Clip], AudioFolder]) -> None:
    whole = list(batch_loader(*clips, SETTINGS, EpochShare(1)))
    assert same(list(batch_loader(*clips, SETTINGS, EpochShare(1, first_batch=3))), whole[3:])


def test_epochs_and_seeds_differ(clips: tuple[list[Clip], AudioFolder]) -> None:
    def order(epoch: int, seed: int = 20) -> list[str]:
        settings = SETTINGS.model_copy(update={"seed": seed})
        return [
            caption
            for batch in batch_loader(*clips, settings, EpochShare(epoch))
            for caption in batch.captions
        ]

    assert len({tuple(order(*which)) for which in ((0,), (1,), (0, 21))}) == 3


def test_crops_vary_by_epoch_and_evaluations_do_not(clips: tuple[list[Clip], AudioFolder]) -> None:
    def sound(epoch: int, training: bool) -> torch.Tensor:
        found: dict[str, torch.Tensor] = {}
        for batch in batch_loader(*clips, SETTINGS, EpochShare(epoch) if training else None):
            found |= dict(zip(batch.captions, batch.audio, strict=True))
        return found["Caption 0 0."] if "Caption 0 0." in found else sound(epoch + 10, training)

    assert not torch.equal(sound(0, True), sound(1, True))
    assert torch.equal(sound(0, False), sound(1, False))


def test_processes_share_each_batch(clips: tuple[list[Clip], AudioFolder]) -> None:
    whole = list(batch_loader(*clips, SETTINGS, EpochShare()))
    shares = [list(batch_loader(*clips, SETTINGS, EpochShare(rank=rank, world_size=2))) for rank in (0, 1)]
    for batch, first, second in zip(whole, *shares, strict=True):
        assert first.captions + second.captions == batch.captions
        assert len(first.captions) == len(second.captions) == 2


def test_every_caption_is_an_example_or_one_is_drawn(clips: tuple[list[Clip], AudioFolder]) -> None:
    made, _ = clips
    everything = [example.caption for example in examples_of(made, CaptionChoice.ALL, 20, 0)]
    assert everything == [caption for clip in made for caption in clip.captions]
    drawn = [
        tuple(example.caption for example in examples_of(made, CaptionChoice.ONE, 20, epoch))
        for epoch in range(60)
    ]
    assert all([caption in clip.captions for caption, clip in zip(d, made, strict=True)] for d in drawn)
    # Three captions, sixty times: each is drawn some 20 times, and less than 8 times in one of 10,000 seeds.
    assert min(Counter(captions[2] for captions in drawn).values()) >= 8


def test_evaluation_goes_through_everything_in_order(clips: tuple[list[Clip], AudioFolder]) -> None:
    made, _ = clips
    batches = list(batch_loader(*clips, SETTINGS))
    found = [
        (clip_id, caption)
        for batch in batches
        for clip_id, caption in zip(batch.clip_ids, batch.captions, strict=True)
    ]
    assert found == [(clip.clip_id, caption) for clip in made for caption in clip.captions]


def test_training_leaves_out_what_fills_no_batch(clips: tuple[list[Clip], AudioFolder]) -> None:
    examples = examples_of(clips[0], CaptionChoice.ALL, 20, 0)
    sizes = [len(batch) for batch in plan_epoch(examples, SETTINGS, 0, training=True)]
    assert (len(examples), sizes) == (21, [4] * 5)
    few = plan_epoch(examples[:3], SETTINGS, 0, training=True)
    assert [sorted(batch) for batch in few] == [[0, 1, 2]]


def test_clips_that_fill_no_bucket_are_trained_on_and_counted() -> None:
    """As found: 890 clips, of which one bucket alone fills a batch of 128."""
    counts = {2.5: 120, 7.5: 122, 12.5: 200, 17.5: 127, 22.5: 121, 27.5: 100, 60.0: 100}
    clips = [
        Clip(f"freesound-{seconds}-{number}", ("A sound.",), "", seconds)
        for seconds, count in counts.items()
        for number in range(count)
    ]
    examples = examples_of(clips, CaptionChoice.ALL, 20, 0)
    assert len(examples) == 890
    released = RELEASED.model_copy(update={"epochs": 15})
    assert [len(batch) for batch in plan_epoch(examples, released, 0, training=True)] == [128]
    # The clips of the one bucket that fills a batch.
    assert clips_seen(examples, released, 15) == 200
    for epoch in range(3):
        batches = plan_epoch(examples, PAPER, epoch, training=True)
        assert [len(batch) for batch in batches] == [128] * (890 // 128)
        indices = [index for batch in batches for index in batch]
        assert len(set(indices)) == len(indices)
        # Durations are still similar: those of the leftovers are in order.
        spans = [{clips[index].duration_s for index in batch} for batch in batches]
        assert sum(len(span) <= 2 for span in spans) >= len(spans) - 1
    assert clips_seen(examples, PAPER, 15) == 890
    assert plan_epoch(examples, PAPER, 1, training=True) == plan_epoch(examples, PAPER, 1, training=True)


def test_a_cached_log_mel_is_that_of_the_first_crop(clips: tuple[list[Clip], AudioFolder]) -> None:
    cache = LogMelCache(LogMel(SETTINGS.front_end))
    first = list(batch_loader(*clips, SETTINGS, cache=cache))
    plain = list(batch_loader(*clips, SETTINGS))
    assert torch.allclose(first[0].audio, cache.front_end(plain[0].audio), atol=1e-4)
    assert same(list(batch_loader(*clips, SETTINGS, cache=cache)), first)


def test_a_process_that_reads_says_which_clip_is_wrong(clips: tuple[list[Clip], AudioFolder]) -> None:
    there, audio = clips
    settings = SETTINGS.model_copy(update={"loader_workers": 1})
    lost = Clip("bbc_sound_effects-lost", ("A door.",), "lost.flac", 1.0)
    with pytest.raises(AudioReadError, match=r"clip bbc_sound_effects-lost: .*lost\.flac is missing"):
        list(batch_loader([*there, lost], audio, settings))


@pytest.fixture(scope="module")
def with_bad_clips(
    clips: tuple[list[Clip], AudioFolder], tmp_path_factory: pytest.TempPathFactory
) -> tuple[list[Clip], AudioFolder]:
    """The clips, with a missing, a silent and a truncated one among them."""
    there, audio = clips
    folder = audio.store.root
    soundfile.write(folder / "silent.flac", np.zeros(RATE // 2, dtype=np.int16), RATE)
    (folder / "cut.flac").write_bytes((folder / "0.flac").read_bytes()[:3000])
    bad = [
        Clip(f"bad-{name}", ("A door.", "A gate."), f"{name}.flac", 0.5) for name in ("lost", "silent", "cut")
    ]
    return [*there[:3], bad[0], *there[3:6], bad[1], *there[6:], bad[2]], audio


@pytest.mark.parametrize("workers", [0, 1])
def test_another_clip_takes_the_place_of_one_that_cannot_be_read(
    with_bad_clips: tuple[list[Clip], AudioFolder], workers: int
) -> None:
    found, audio = with_bad_clips
    settings = SETTINGS.model_copy(update={"loader_workers": workers, "max_unreadable_share": 0.25})
    planned = plan_epoch(examples_of(found, settings.captions, settings.seed, 0), settings, 0, training=True)
    unreadable = unreadable_clips(found, settings)
    batches = list(batch_loader(found, audio, settings, EpochShare(), unreadable=unreadable))
    assert [len(batch.clip_ids) for batch in batches] == [len(batch) for batch in planned]
    seen = {clip_id for batch in batches for clip_id in batch.clip_ids}
    assert not seen & {"bad-lost", "bad-silent", "bad-cut"}
    assert set(unreadable.problems) == {"bad-lost", "bad-silent", "bad-cut"}
    assert "is silent" in unreadable.problems["bad-silent"]
    # What takes a place is the same in each run, and a resumed run goes on with the same batches.
    again = batch_loader(found, audio, settings, EpochShare(first_batch=2), unreadable=unreadable)
    assert same(list(again), batches[2:])


def test_an_evaluation_leaves_out_what_cannot_be_read(
    clips: tuple[list[Clip], AudioFolder], with_bad_clips: tuple[list[Clip], AudioFolder]
) -> None:
    found, audio = with_bad_clips
    # One example a batch: the batch of a clip that cannot be read is empty.
    settings = SETTINGS.model_copy(update={"batch_size": 1, "max_unreadable_share": 0.25})
    batches = list(batch_loader(found, audio, settings, unreadable=unreadable_clips(found, settings)))
    assert same(batches, list(batch_loader(*clips, settings)))


def test_many_clips_that_cannot_be_read_are_an_error_and_one_never_is(
    with_bad_clips: tuple[list[Clip], AudioFolder],
) -> None:
    found, audio = with_bad_clips
    for share in (None, EpochShare()):
        unreadable = unreadable_clips(found, SETTINGS)
        with pytest.raises(AudioReadError, match=r"[23] of the 14 clips .* allows 1\. The first: clip bad-"):
            list(batch_loader(found, audio, SETTINGS, share, unreadable=unreadable))
        only_one = [clip for clip in found if clip.clip_id not in ("bad-lost", "bad-cut")]
        unreadable = unreadable_clips(only_one, SETTINGS)
        list(batch_loader(only_one, audio, SETTINGS, share, unreadable=unreadable))
        assert set(unreadable.problems) == {"bad-silent"}
        strict = SETTINGS.model_copy(update={"max_unreadable_share": 0.0})
        with pytest.raises(AudioReadError, match=r"clip bad-silent: .* is silent"):
            list(batch_loader(only_one, audio, strict, share, unreadable=unreadable_clips(only_one, strict)))
    none_left = [clip for clip in found if clip.clip_id.startswith("bad")]
    everything = SETTINGS.model_copy(update={"max_unreadable_share": 1.0})
    with pytest.raises(AudioReadError, match="3 of the 3 clips"):
        list(batch_loader(none_left, audio, everything, unreadable=unreadable_clips(none_left, everything)))


def test_a_bucket_that_cannot_be_read_is_no_clips_fault(
    clips: tuple[list[Clip], AudioFolder], bucket: S3Bucket
) -> None:
    store = Store("s3://another-bucket", bucket.client)
    settings = SETTINGS.model_copy(update={"max_unreadable_share": 1.0})
    unreadable = unreadable_clips(clips[0], settings)
    with pytest.raises(StoreUnreachable, match=r"clip bbc_sound_effects-0: .* cannot be read"):
        list(batch_loader(clips[0], AudioFiles(store), settings, unreadable=unreadable))
    assert not unreadable.problems
