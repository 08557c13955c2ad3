"""Text to sound on a benchmark: sounds from its captions, next to its own audio and to noise."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_training.checkpoints.checkpoint import read_origin
from wavcaps_training.data import AudioFiles, AudioReadError, Clip, UnreadableClips, read_crop
from wavcaps_training.data.audio_files import StoreUnreachable
from wavcaps_training.data.chance import chance
from wavcaps_training.evaluation.encoder import Encoder
from wavcaps_training.evaluation.generation_scores import frechet_distance
from wavcaps_training.evaluation.nothing_to_score import NothingToScore
from wavcaps_training.generation.sampling import SoundMaker, best, checked, vector_of
from wavcaps_training.models.device import device_name
from wavcaps_training.paper.experiments import EXPERIMENTS
from wavcaps_training.scoring.scored_part import ScoredPart
from wavcaps_training.scoring.sound_networks import JUDGED_BY, VGGISH, network_scores, not_measured
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

logger = logging.getLogger(__name__)


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
        ReleasedCheckpointError: a file of weights of a scoring network is damaged.
    """
    folder = MetricFiles().folder
    checkpoints = _checkpoints(weights, folder, protocol)
    with ExitStack() as stack:
        judges = _judges(weights, TableStore(store), stack)
        maker = SoundMaker(weights, judges[0].weights, device)
        real, captions = _real(part, AudioFiles(store), maker)
        sampling = SAMPLING[protocol]
        chosen: tuple[list[np.ndarray], Mapping[str, Any]] | None = None
        for path in checkpoints:
            one = maker if path == weights else SoundMaker(path, judges[0].weights, device)
            made = _made(one, captions, sampling)
            found = network_scores(made, real, folder, device)
            if chosen is None or (found["FAD"].value or 0) < (chosen[1]["FAD"].value or 0):
                chosen = made, found
        assert chosen is not None
        made, found = chosen
        rows = [
            _row(TRAINED, name, score.value, JUDGED_BY[name], score.note) for name, score in found.items()
        ]
        for judge in judges:
            rows += _judged(judge, (made, real), captions, maker.sample_rate, device)
    kept = f"the best of {len(checkpoints)} checkpoints by FAD" if protocol == PAPER else "best on validation"
    return Scored(
        rows=rows,
        clip_ids=list(captions),
        protocol_name=protocol,
        protocol=f"{kept}; one caption of each clip; DDIM, {sampling.steps} steps, eta {sampling.eta:g}, "
        f"guidance {sampling.guidance:g}, the best of {sampling.candidates} by the retrieval model that "
        f"conditioned it; seed {sampling.seed}",
        device=device_name(maker.model.no_condition.device),
    )


def _checkpoints(weights: Path, folder: Path | None, protocol: str) -> Sequence[Path]:
    if protocol != PAPER:
        return [weights]
    if why := not_measured(VGGISH, folder):
        raise NothingToScore(f"the protocol `paper` chooses a checkpoint by FAD, which is {why}")
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
    for row in _latents(tables):
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


def _latents(tables: TableStore) -> Iterator[Mapping[str, Any]]:
    for key in dict.fromkeys(one.latents_key for one in EXPERIMENTS if one.latents_key):
        if tables.exists(key, None):
            yield from tables.read(key, [WHOLE]).to_pylist()


def _real(part: ScoredPart, audio: AudioFiles, maker: SoundMaker) -> tuple[list[np.ndarray], dict[str, str]]:
    """The audio of the clips that have a caption, and one caption of each, by clip id.

    The paper does not say which of a clip's captions it takes; audioldm_eval draws one.
    """
    rows = [row for row in part.clips.to_pylist() if any(text.strip() for text in row["captions"])]
    if len(rows) < 2:
        raise NothingToScore(f"the benchmark {part.benchmark!r} has no captions to make sounds from")
    clip_settings = maker.settings.clip
    unreadable = UnreadableClips("clips of the benchmark", len(rows), UNREADABLE_SHARE)
    sounds: list[np.ndarray] = []
    captions: dict[str, str] = {}
    for row in rows:
        clip = Clip(row["clip_id"], tuple(row["captions"]), row["audio_path"], row["duration_s"] or 0.0)
        try:
            sound = read_crop(
                clip, audio, clip_settings, maker.sample_rate, clip_settings.evaluation_position
            )
        except StoreUnreachable:
            raise
        except AudioReadError as error:
            unreadable.add({clip.clip_id: str(error)})
            continue
        texts = [text for text in clip.captions if text.strip()]
        sounds.append(sound)
        captions[clip.clip_id] = texts[int(chance(CAPTION_SEED, 0, clip.clip_id, "caption") * len(texts))]
    unreadable.warn()
    return sounds, captions


def _made(maker: SoundMaker, captions: Mapping[str, str], settings: SamplingSettings) -> list[np.ndarray]:
    """A sound for each caption."""
    tidy = {clip_id: " ".join(text.split()) for clip_id, text in captions.items()}
    made = {
        found.text: found.samples for found in best(maker.candidates(checked(list(tidy.values())), settings))
    }
    return [made[text] for text in tidy.values()]


def _judged(
    judge: Judge,
    sounds: tuple[list[np.ndarray], list[np.ndarray]],
    captions: Mapping[str, str],
    rate: int,
    device: str,
) -> Iterator[dict[str, Any]]:
    """The CLAP score of sounds, and their Fréchet distance from real audio; the same of real audio and noise.

    Of real audio, the distance is that of one half from the other, so it is of half as many sounds.
    """
    encoder = Encoder(judge.weights, device)
    made, real = sounds
    generator = np.random.default_rng(CAPTION_SEED)
    noise = [generator.normal(size=len(sound)).astype(np.float32) * NOISE_LEVEL for sound in real]
    texts = encoder.captions(list(captions.values()))
    vectors = {
        name: np.stack([vector_of(encoder, sound.clip(-1, 1), rate) for sound in some])
        for name, some in ((TRAINED, made), (REAL, real), (NOISE, noise))
    }
    half = len(real) // 2
    for name, found in vectors.items():
        yield _row(name, f"CLAP score, {judge.kind}", float((found * texts).sum(axis=1).mean()), judge.name)
        compared = (found[:half], found[half:]) if name == REAL else (found, vectors[REAL])
        if min(len(some) for some in compared) >= 2:
            yield _row(name, f"Fréchet distance, {judge.kind}", frechet_distance(*compared), judge.name)


def _row(model: str, metric: str, value: float | None, judged_by: str, note: str = "") -> dict[str, Any]:
    return {"model": model, "metric": metric, "value": value, "note": note or None, "judged_by": judged_by}
