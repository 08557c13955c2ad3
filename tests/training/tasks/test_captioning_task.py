"""A small captioner learns to say what sounds, from sounds that are made here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.training.small_models import SMALL_HTSAT, small_bart
from wavcaps_assets.caption_metrics.cider import cider_d
from wavcaps_assets.tables import TRAINING_MANIFEST
from wavcaps_training.checkpoints.checkpoint import load_checkpoint, read_origin
from wavcaps_training.data import AudioFiles, AudioFolder, Batch, Clip, clips_of
from wavcaps_training.data.manifest_version import rows_sha256
from wavcaps_training.evaluation.captioning import CaptionedClip, compare_captions
from wavcaps_training.evaluation.generated_captions import caption_clips
from wavcaps_training.evaluation.protocols import PROTOCOLS, ProtocolName
from wavcaps_training.models.captioner import Captioner
from wavcaps_training.settings.captioner import (
    PAPER_CAPTIONING,
    PAPER_CAPTIONING_FINE_TUNING,
    RELEASED_CAPTIONING,
    RELEASED_CAPTIONING_FINE_TUNING,
    BartSettings,
    CaptionerSettings,
    CaptionerTrainingSettings,
    GenerationSettings,
)
from wavcaps_training.settings.encoder import SpecAugmentSettings
from wavcaps_training.settings.training import ClipSettings
from wavcaps_training.tasks.base import TrainingError
from wavcaps_training.tasks.captioning import CaptioningTask
from wavcaps_training.training.train import train

RATE = 32_000
SECONDS = 2.0
CAPTIONS = {
    "tone": ("A low tone hums.", "A deep tone drones on."),
    "whistle": ("A high whistle sounds.", "A shrill whistle blows!"),
    "wind": ("Wind hisses.", "The wind is blowing."),
    "machine": ("A machine beeps again and again.", "Beeps of a machine."),
}
BART = BartSettings(
    width=64, encoder_layers=1, decoder_layers=1, heads=2, feed_forward=64, max_positions=256, dropout=0.0
)
WORDS = small_bart(tuple(caption for pair in CAPTIONS.values() for caption in pair), BART)
TINY = CaptionerTrainingSettings(
    model=CaptionerSettings(
        audio=SMALL_HTSAT.model_copy(update={"spec_augment": SpecAugmentSettings(time_width=16)}),
        bart=BART.model_copy(update={"folder": str(WORDS)}),
        generation=GenerationSettings(beams=2, max_tokens=12),
    ),
    clip=ClipSettings(seconds=SECONDS),
    batch_size=16,
    learning_rate=5e-3,
)


def sound(kind: str, generator: np.random.Generator) -> np.ndarray:
    """A clip of one kind, unlike the others of its kind in its length, loudness and noise."""
    t = np.arange(round(RATE * generator.uniform(0.6, SECONDS))) / RATE
    samples = {
        "tone": np.sin(2 * np.pi * 150 * t),
        "whistle": np.sin(2 * np.pi * 5_000 * t),
        "wind": generator.normal(size=len(t)) / 4,
        "machine": np.sin(2 * np.pi * 1_200 * t) * (t % 0.25 < 0.08),
    }[kind]
    samples = np.clip(samples * generator.uniform(0.2, 0.8), -1, 1)
    return np.pad(samples, (0, round(RATE * SECONDS) - len(samples))).astype(np.float32)


def captioned(
    model: Captioner, clips: Sequence[Clip], audio: AudioFiles, settings: CaptionerTrainingSettings
) -> list[CaptionedClip]:
    """Clips with the captions that a model generates for their middles."""
    middle = PROTOCOLS[ProtocolName.middle]
    written = caption_clips(model, clips, audio, settings, protocol=middle)
    return [CaptionedClip(clip.clip_id, written[clip.clip_id], clip.captions) for clip in clips]


def batch_of(clips: int, seed: int, references: int = 1) -> Batch:
    """Clips of each kind in turn, each once for each of its references."""
    generator = np.random.default_rng(seed)
    kinds = [list(CAPTIONS)[number % len(CAPTIONS)] for number in range(clips)]
    audio = [torch.from_numpy(sound(kind, generator)) for kind in kinds]
    rows = [(number, reference) for number in range(clips) for reference in range(references)]
    return Batch(
        [f"freesound-{number}-{kinds[number]}" for number, _ in rows],
        [CAPTIONS[kinds[number]][reference] for number, reference in rows],
        torch.stack([audio[number] for number, _ in rows]),
    )


def part_of(batch: Batch, rows: slice) -> Batch:
    return Batch(batch.clip_ids[rows], batch.captions[rows], batch.audio[rows])


def right_words(task: CaptioningTask, batch: Batch) -> float:
    """How often the caption of a clip has the word for its kind."""
    task.model.eval()
    captions = task.model.generate(task.model.log_mel(batch.audio))
    kinds = [clip_id.rsplit("-", 1)[1] for clip_id in batch.clip_ids]
    return sum(kind in caption for kind, caption in zip(kinds, captions, strict=True)) / len(kinds)


@pytest.mark.slow
def test_it_learns_to_say_what_sounds() -> None:
    torch.manual_seed(0)
    task = CaptioningTask(Captioner.build(TINY.model), TINY)
    clips, together = 96, 8
    train, test = batch_of(clips, seed=1), batch_of(16, seed=2)
    train.audio = task.model.log_mel(train.audio)
    untrained = right_words(task, test)
    optimizer = torch.optim.Adam(task.model.parameters(), lr=2e-3)
    task.model.train()
    losses = []
    for step in range(120):
        start = step * together % clips
        rows = slice(start, start + together)
        optimizer.zero_grad()
        (part,) = task.parts(part_of(train, rows))
        part.loss.backward()
        optimizer.step()
        losses.append(float(part.value))
    # It begins by holding all words equally likely.
    assert losses[0] == pytest.approx(np.log(len(task.model.tokenizer)), rel=0.1)
    assert losses[-1] < 0.1 * losses[0]
    # By guessing one of the four it would be right about a quarter of them.
    assert right_words(task, test) >= 0.6 > untrained


@pytest.mark.slow
def test_a_run_keeps_the_epoch_that_writes_best(tmp_path: Path) -> None:
    """What the kept checkpoint writes of the validation split scores as its epoch in the learning curve."""
    generator = np.random.default_rng(0)
    rows = []
    for number in range(40):
        kind = list(CAPTIONS)[number % len(CAPTIONS)]
        soundfile.write(tmp_path / f"{number}.flac", sound(kind, generator), RATE, subtype="PCM_16")
        rows.append(
            {
                "clip_id": f"freesound-{number}",
                "source": "freesound",
                "caption": CAPTIONS[kind][0],
                "other_captions": [CAPTIONS[kind][1]],
                "audio_path": f"{number}.flac",
                "duration_s": SECONDS,
                "recording": str(number),
                "split": "train" if number < 32 else "validation",
            }
        )
    manifest, audio = TRAINING_MANIFEST.from_rows(rows), AudioFolder(tmp_path)
    settings = TINY.model_copy(
        update={"epochs": 4, "batch_size": 8, "cache_log_mel": True, "clip_gradient_norm": 2.0}
    )
    result = train(manifest, audio, settings, tmp_path / "run")
    curve = [
        {**entry, **{score["name"]: score["value"] for score in entry["scores"]}}
        for entry in result.learning_curve
    ]
    assert curve[-1]["train_loss"] < 0.5 * curve[0]["train_loss"]
    best = max(curve, key=lambda entry: entry["cider_d"])
    assert (result.best_epoch, best["cider_d"] > 0) == (best["epoch"], True)

    model, loaded = load_checkpoint(result.weights, task="captioning")
    assert loaded == settings
    assert read_origin(result.weights).manifest_sha256 == rows_sha256(manifest)
    clips = clips_of(manifest, "validation")
    found = compare_captions(captioned(model, clips, audio, loaded))
    assert found.as_dict() == pytest.approx({name: best[name] for name in found.as_dict()})
    untrained, _ = load_checkpoint(result.untrained_weights, task="captioning")
    assert compare_captions(captioned(untrained, clips, audio, loaded)).cider_d < found.cider_d


@torch.no_grad()
def test_validation_writes_one_caption_a_clip_and_compares_it_with_all_references() -> None:
    torch.manual_seed(0)
    task = CaptioningTask(Captioner.build(TINY.model), TINY)
    task.model.eval()
    whole = batch_of(4, seed=3, references=2)
    # The second reference of a clip may come in another batch than its first.
    for rows in (slice(0, 3), slice(3, 8)):
        task.validate(part_of(whole, rows))
    clips = task.captioned.clips()
    assert [clip.clip_id for clip in clips] == sorted(set(whole.clip_ids))
    references = {clip.clip_id.rsplit("-", 1)[1]: clip.references for clip in clips}
    assert references == CAPTIONS
    written = task.model.generate(task.model.log_mel(whole.audio))[::2]
    assert {clip.clip_id: clip.written for clip in clips} == dict(
        zip(whole.clip_ids[::2], written, strict=True)
    )
    scores = task.validation_scores()
    loss = task.model.loss(task.model.log_mel(whole.audio), whole.captions)
    assert scores.pop("validation_loss") == pytest.approx(loss.item(), rel=1e-5)
    assert scores == compare_captions(clips).as_dict()
    with pytest.raises(ValueError, match="no captions"):
        task.validation_scores()


@pytest.mark.slow
@pytest.mark.parametrize("size", [1, 3, 6])
def test_the_parts_of_a_batch_have_the_gradients_of_the_whole(size: int) -> None:
    """In evaluation mode, in which batch normalisation does not tell a part from the whole."""
    torch.manual_seed(0)
    model = Captioner.build(TINY.model).eval()
    task = CaptioningTask(model, TINY.model_copy(update={"micro_batch_size": size}))
    batch = batch_of(6, seed=4)
    model.loss(model.log_mel(batch.audio), batch.captions).backward()
    whole = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    value = 0.0
    for part in task.parts(batch):
        part.loss.backward()
        value += float(part.value)
    with torch.no_grad():
        assert value == pytest.approx(model.loss(model.log_mel(batch.audio), batch.captions).item(), rel=1e-5)
    for name, parameter in model.named_parameters():
        if name in whole:
            torch.testing.assert_close(parameter.grad, whole[name], atol=1e-5, rtol=1e-3, msg=name)


def test_a_broken_loss_names_the_clip() -> None:
    task = CaptioningTask(Captioner.build(TINY.model), TINY)
    task.model.eval()
    batch = batch_of(3, seed=5)
    batch.audio[1] = torch.nan
    with pytest.raises(
        TrainingError, match=r"the loss became nan in epoch 1, with the clips freesound-1-whi"
    ):
        list(task.parts(batch))


def test_captions_of_files_are_written_in_their_order_whatever_the_batches(tmp_path: Path) -> None:
    generator = np.random.default_rng(6)
    clips = []
    for kind, references in CAPTIONS.items():
        samples = sound(kind, generator)
        soundfile.write(tmp_path / f"{kind}.flac", samples, RATE, subtype="PCM_16")
        clips.append(Clip(kind, references, f"{kind}.flac", len(samples) / RATE))
    torch.manual_seed(0)
    model = Captioner.build(TINY.model).eval()
    found = captioned(model, clips, AudioFolder(tmp_path), TINY)
    assert [(clip.clip_id, clip.references) for clip in found] == list(CAPTIONS.items())
    for clip in found:
        samples, _ = soundfile.read(tmp_path / f"{clip.clip_id}.flac", dtype="float32")
        assert [clip.written] == model.generate(model.log_mel(torch.from_numpy(samples)[None]))
    two_by_two = TINY.model_copy(update={"batch_size": 2})
    assert captioned(model, clips, AudioFolder(tmp_path), two_by_two) == found


def test_references_are_cleaned_before_they_are_compared() -> None:
    clips = [
        CaptionedClip("a", "a dog barks far away", ("A DOG barks (far away).", "Woof!")),
        CaptionedClip("b", "rain falls", ("Rain; it falls",)),
    ]
    scores = compare_captions(clips)
    by_hand = cider_d(
        [["a", "dog", "barks", "far", "away"], ["rain", "falls"]],
        [[["a", "dog", "barks", "far", "away"], ["woof"]], [["rain", "it", "falls"]]],
    )
    assert scores.cider_d == pytest.approx(sum(by_hand) / 2, abs=1e-9)
    assert scores.bleu_1 == pytest.approx(np.exp(1 - 8 / 7), abs=1e-8)


def test_rouge_of_whole_captions_is_the_original_tools(oracles: Path) -> None:
    """Of the clips without brackets, which cleaning takes away before the tools count them as words."""
    oracle = json.loads((oracles / "captioning_metrics.json").read_text())
    plain = [
        number
        for number, those in enumerate(oracle["references"])
        if not any(mark in text for text in those for mark in "()")
    ]
    clips = [
        CaptionedClip(str(number), oracle["candidates"][number], tuple(oracle["references"][number]))
        for number in plain
    ]
    theirs = [oracle["aac"]["rouge_l_per"][number] for number in plain]
    assert len(plain) >= 8
    assert compare_captions(clips).rouge_l == pytest.approx(sum(theirs) / len(theirs), abs=1e-9)


def test_presets_are_the_papers_and_the_released_codes() -> None:
    def figures(settings: CaptionerTrainingSettings) -> tuple[float, int, int, float]:
        return settings.learning_rate, settings.batch_size, settings.epochs, settings.model.label_smoothing

    assert figures(PAPER_CAPTIONING) == (5e-5, 48, 15, 0.0)
    assert figures(PAPER_CAPTIONING_FINE_TUNING) == (5e-6, 48, 20, 0.0)
    assert figures(RELEASED_CAPTIONING) == (3e-5, 48, 10, 0.1)
    assert figures(RELEASED_CAPTIONING_FINE_TUNING) == (1e-4, 32, 20, 0.1)
    for released in (RELEASED_CAPTIONING, RELEASED_CAPTIONING_FINE_TUNING):
        assert (released.weight_decay, released.decoupled_weight_decay) == (1e-6, False)
        assert (released.clip_gradient_norm, released.warmup_epochs, released.cosine) == (2.0, 2.0, True)


def test_a_clip_longer_than_the_model_takes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"clips of 1101 frames are too long"):
        CaptionerTrainingSettings.model_validate({"clip": {"seconds": 11.0}})
