"""Text to sound on a benchmark: sounds from its captions, next to its own audio and to noise."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_training.checkpoints.checkpoint import read_origin
from wavcaps_training.data import AudioFiles, UnreadableClips, readable_crop
from wavcaps_training.data.chance import chance
from wavcaps_training.evaluation.encoder import Encoder
from wavcaps_training.evaluation.intervals import interval_of_mean
from wavcaps_training.evaluation.nothing_to_score import NothingToScore
from wavcaps_training.evaluation.sound_scores.hearing import Heard, Listeners, Sound
from wavcaps_training.evaluation.sound_scores.scoring import FAD, SoundScore, clap_scores, network_scores
from wavcaps_training.generation.sampling import (
    QUIETEST,
    SoundMaker,
    best,
    checked,
    problem_of,
    vector_of,
)
from wavcaps_training.models.device import device_name
from wavcaps_training.paper.experiments import EXPERIMENTS
from wavcaps_training.scoring.retrieval import clips_to_score
from wavcaps_training.scoring.scored_part import ScoredPart
from wavcaps_training.scoring.stored import stored_latents
from wavcaps_training.scoring.task import TRAINED, Scored
from wavcaps_training.settings.generation import SamplingSettings
from wavcaps_training.settings.metric_files import MetricFiles

REAL, NOISE = "real audio", "noise"
PAPER = "paper"
KEPT = "step_*.safetensors"
SAMPLING = {
    "validation": SamplingSettings(),
    PAPER: SamplingSettings(),
    "quick": SamplingSettings(steps=25, candidates=1),
}
NOISE_LEVEL = 0.1
CAPTION_SEED = 0
UNREADABLE_SHARE = 0.01
JUDGED_BY = {"FAD": "VGGish", "FD": "CNN14 at 16 kHz", "IS": "CNN14 at 16 kHz", "KL": "CNN14 at 16 kHz"}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RealPart:
    """The clips of a benchmark that sounds are compared with.

    Attributes:
        sounds: their audio.
        captions: one caption of each, by clip id.
        recordings: the recording of each, by clip id.
    """

    sounds: list[Sound]
    captions: dict[str, str]
    recordings: dict[str, str]


@dataclass(frozen=True)
class Judge:
    """A retrieval model that scores sounds.

    Attributes:
        kind: `own`: it conditioned the model, and so it is biased towards it; `other`: it did not.
        name: of its checkpoint.
        weights: its file.
    """

    kind: str
    name: str
    weights: Path


def score_generation(weights: Path, part: ScoredPart, store: Store, device: str, protocol: str) -> Scored:
    """Makes a sound from a caption of each clip and scores it; arguments are those of `ScoringTask.score`.

    The protocols: `validation` takes the checkpoint that did best on the validation split, 200 steps and 3
    candidates. `quick` takes 25 steps and 1 candidate. `paper` takes, of the checkpoints that the run kept,
    the one with the best FAD on this benchmark (section IV.D), which makes its scores too good.

    Raises:
        NothingToScore: the clips have no captions; the retrieval checkpoint that conditioned the model is not
            in the store; or the protocol `paper` lacks VGGish or kept checkpoints.
        SamplingError: a sound is not finite.
    """
    listeners = Listeners(MetricFiles().folder, device)
    checkpoints = _checkpoints(weights, listeners, protocol)
    with ExitStack() as stack:
        judges = _judges(weights, TableStore(store), stack)
        maker = SoundMaker(weights, judges[0].weights, device)
        part_of = _real(part, AudioFiles(store), maker)
        heard = listeners.hear(part_of.sounds)
        sampling = SAMPLING[protocol]
        tried = []
        for path in checkpoints:
            one = maker if path == weights else SoundMaker(path, judges[0].weights, device)
            made = _made(one, part_of.captions, sampling)
            tried.append((path.stem, made, _networks(made, heard, listeners)))
        chosen, made, scores = min(tried, key=lambda one: _fad(one[2]))
        rows = [_row(TRAINED, score, JUDGED_BY[score.name], part_of) for score in scores]
        for judge in judges:
            encoder = maker.encoder if judge is judges[0] else Encoder(judge.weights, device)
            rows += _judged(judge, encoder, made, part_of)
    of_several = f"{chosen}, the best of {len(checkpoints)} checkpoints by FAD on these clips"
    kept = of_several if protocol == PAPER else "best on validation"
    return Scored(
        rows=rows,
        clip_ids=list(part_of.captions),
        protocol_name=protocol,
        protocol=f"{kept}; one caption of each clip; DDIM, {sampling.steps} steps, eta {sampling.eta:g}, "
        f"guidance {sampling.guidance:g}, the best of {sampling.candidates} by the retrieval model that "
        f"conditioned it; seed {sampling.seed}",
        device=device_name(maker.model.no_condition.device),
    )


def _fad(scores: Sequence[SoundScore]) -> float:
    return next((score.value for score in scores if score.name == FAD and score.value is not None), math.inf)


def _networks(made: Sequence[Sound], heard: Heard, listeners: Listeners) -> list[SoundScore]:
    return network_scores(listeners.hear(made), heard, listeners)


def _checkpoints(weights: Path, listeners: Listeners, protocol: str) -> Sequence[Path]:
    if protocol != PAPER:
        return [weights]
    if listeners.vggish_note:
        raise NothingToScore(
            f"the protocol `paper` chooses a checkpoint by FAD, which is {listeners.vggish_note}"
        )
    kept = sorted(weights.parent.glob(KEPT))
    if not kept:
        raise NothingToScore(
            f"the protocol `paper` chooses from checkpoints {KEPT}, and there are none beside {weights}: "
            "train with `keep_every_steps`, in a store that is a folder, or choose the protocol `validation`"
        )
    return kept


def _judges(weights: Path, tables: TableStore, stack: ExitStack) -> list[Judge]:
    """The retrieval model that conditioned a model, and another one, if the store has one."""
    settings: Any = read_origin(weights).settings
    wanted = getattr(settings.model, "conditioned_by_sha256", "")
    judges: list[Judge] = []
    for row in stored_latents(tables):
        if row["conditioned_by_sha256"] == wanted and not judges:
            path = stack.enter_context(tables.store.reading(row["conditioned_by_path"]))
            judges.append(Judge("own", row["conditioned_by"], path))
    if not judges:
        raise NothingToScore(
            "the store does not know the retrieval checkpoint that conditioned this model: materialize the "
            "latents again, and then the model"
        )
    for experiment in EXPERIMENTS:
        retrieval = experiment.parts is None and experiment.settings().task == "retrieval"
        if not retrieval or experiment.name == judges[0].name or not tables.rows(experiment.key, WHOLE):
            continue
        (row,) = tables.read(experiment.key, [WHOLE], ["weights_path"]).to_pylist()
        path = stack.enter_context(tables.store.reading(row["weights_path"]))
        if read_origin(path).weights_sha256 != wanted:
            return [*judges, Judge("other", experiment.name, path)]
    return judges


def _real(part: ScoredPart, audio: AudioFiles, maker: SoundMaker) -> RealPart:
    """The clips that have a caption that sound can be made from, and one such caption of each.

    The paper does not say which of a clip's captions it takes; audioldm_eval draws one.
    """
    captions = {clip: _usable(clip.captions) for clip in clips_to_score(part.clips)}
    clips = [clip for clip, texts in captions.items() if texts]
    if len(clips) < 2:
        raise NothingToScore(f"the benchmark {part.benchmark!r} has no captions to make sounds from")
    settings, rate = maker.settings.clip, maker.sample_rate
    unreadable = UnreadableClips("clips of the benchmark", len(clips), UNREADABLE_SHARE)
    real = RealPart([], {}, {})
    for clip in clips:
        samples = readable_crop(clip, audio, settings, rate, unreadable)
        if samples is None:
            continue
        if np.abs(samples).max() < QUIETEST:
            # A retrieval model has no vector of it, and that would be found out after all sampling.
            unreadable.add({clip.clip_id: f"the part of clip {clip.clip_id} that is scored is silent"})
            continue
        texts = captions[clip]
        real.sounds.append(Sound(clip.clip_id, samples, rate))
        place = int(chance(CAPTION_SEED, 0, clip.clip_id, "caption") * len(texts))
        real.captions[clip.clip_id] = texts[place]
        real.recordings[clip.clip_id] = clip.recording
    unreadable.warn()
    return real


def _usable(captions: Sequence[str]) -> list[str]:
    """Those that sound can be made from, without surplus spaces."""
    return [tidy for text in captions if not problem_of(tidy := " ".join(text.split()))]


def _made(maker: SoundMaker, captions: Mapping[str, str], settings: SamplingSettings) -> list[Sound]:
    """A sound for the caption of each clip."""
    texts = checked(list(captions.values()))
    made = {found.text: found.samples for found in best(maker.candidates(texts, settings))}
    return [Sound(clip_id, made[text], maker.sample_rate) for clip_id, text in captions.items()]


def _judged(
    judge: Judge, encoder: Encoder, made: Sequence[Sound], real: RealPart
) -> Iterator[dict[str, Any]]:
    """The CLAP score of sounds, and their Fréchet distance from real audio; and those of real and of noise.

    Of real audio, the distance is that of one half from the other, so it is of half as many sounds.
    """
    generator = np.random.default_rng(CAPTION_SEED)
    noise = [
        Sound(sound.clip_id, generator.normal(size=len(sound.samples)) * NOISE_LEVEL, sound.sample_rate)
        for sound in real.sounds
    ]
    texts = dict(zip(real.captions, encoder.captions(list(real.captions.values())), strict=True))
    vectors = {
        model: {
            sound.clip_id: vector_of(encoder, sound.samples.clip(-1, 1), sound.sample_rate)
            for sound in sounds
        }
        for model, sounds in ((TRAINED, made), (REAL, real.sounds), (NOISE, noise))
    }
    half = len(real.sounds) // 2
    ids = list(real.captions)
    for model, found in vectors.items():
        clap, distance = clap_scores(found, vectors[REAL], texts)
        if model == REAL:
            first, second = ({one: found[one] for one in some} for some in (ids[:half], ids[half:]))
            distance = clap_scores(first, second, texts)[1]
        for score in (clap, distance):
            named = replace(score, name=f"{score.name}, {judge.kind}")
            yield _row(model, named, judge.name, real)


def _row(model: str, score: SoundScore, judged_by: str, real: RealPart) -> dict[str, Any]:
    interval = None
    if score.of_clip:
        of_recording = [real.recordings[clip_id] or clip_id for clip_id in score.of_clip]
        _, groups = np.unique(of_recording, return_inverse=True)
        interval = interval_of_mean(np.array([list(score.of_clip.values())]), groups)
    low, high = interval or (None, None)
    return {
        "model": model,
        "metric": score.name,
        "value": score.value,
        "low": low,
        "high": high,
        "note": score.note or None,
        "judged_by": judged_by,
    }
