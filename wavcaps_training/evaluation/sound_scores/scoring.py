"""The scores of generated sounds: FAD, FD, IS and KL of Table VIII, and those by a CLAP model of our own.

FAD, FD, IS and KL need networks that no package has (`hearing.Listeners`). The CLAP score and the Fréchet
distance of a CLAP model's own vectors need none, and are no figures of the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from wavcaps_training.evaluation.sound_scores.arithmetic import (
    Gaussian,
    ScoreError,
    frechet_distance,
    inception_score,
    kl_divergences,
)
from wavcaps_training.evaluation.sound_scores.hearing import Heard, Listeners

FAD, FD, IS, KL = "FAD", "FD", "IS", "KL"
CLAP, CLAP_FRECHET = "CLAP score", "Fréchet distance of CLAP vectors"


@dataclass(frozen=True)
class SoundScore:
    """A score of a set of sounds.

    Attributes:
        name: `FAD`, `FD`, `IS`, `KL`, `CLAP` or `CLAP_FRECHET`.
        value: None: it was not measured.
        note: why not.
        of_clip: what each clip contributes to the value, where that is their mean.
    """

    name: str
    value: float | None
    note: str = ""
    of_clip: Mapping[str, float] = field(default_factory=dict)


def network_scores(generated: Heard, real: Heard, listeners: Listeners) -> list[SoundScore]:
    """FAD, FD, IS and KL of generated sounds, as Table VIII has them.

    FAD and FD compare with all real sounds that were given. KL compares each generated sound with the real
    sound of the same `clip_id`, and leaves out those that have none.
    """
    return [
        _measured(FAD, listeners.vggish_note, lambda: _distance(generated.examples, real.examples)),
        _measured(FD, listeners.panns_note, lambda: _distance(generated.features, real.features)),
        _measured(IS, listeners.panns_note, lambda: inception_score(_rows(generated.logits))),
        _kl(generated.logits, real.logits, listeners.panns_note),
    ]


def clap_scores(
    generated: Mapping[str, np.ndarray], real: Mapping[str, np.ndarray], captions: Mapping[str, np.ndarray]
) -> list[SoundScore]:
    """The mean cosine of sounds with their captions, and the Fréchet distance of their vectors.

    Args:
        generated: unit vectors of generated sounds, (width,), by `clip_id`.
        real: those of real sounds.
        captions: those of the captions that the sounds were generated from.
    """
    of_clip = {
        clip_id: float(vector @ captions[clip_id])
        for clip_id, vector in generated.items()
        if clip_id in captions
    }
    return [
        _mean(CLAP, of_clip, "not measured: no sound has a caption"),
        _measured(CLAP_FRECHET, "", lambda: _distance(generated, real)),
    ]


def _kl(generated: Mapping[str, np.ndarray], real: Mapping[str, np.ndarray], note: str) -> SoundScore:
    pairs = [clip_id for clip_id in generated if clip_id in real]
    if note or not pairs:
        return SoundScore(KL, None, note or "not measured: no generated sound has a real one to compare with")
    try:
        values = kl_divergences(
            np.stack([real[clip_id] for clip_id in pairs]),
            np.stack([generated[clip_id] for clip_id in pairs]),
        )
    except ScoreError as error:
        return SoundScore(KL, None, f"not measured: {error}")
    return _mean(KL, dict(zip(pairs, values.tolist(), strict=True)), "")


def _mean(name: str, of_clip: Mapping[str, float], note: str) -> SoundScore:
    if not of_clip:
        return SoundScore(name, None, note)
    return SoundScore(name, float(np.mean([*of_clip.values()])), of_clip=of_clip)


def _measured(name: str, note: str, compute: Callable[[], float]) -> SoundScore:
    if note:
        return SoundScore(name, None, note)
    try:
        return SoundScore(name, compute())
    except ScoreError as error:
        return SoundScore(name, None, f"not measured: {error}")


def _distance(generated: Mapping[str, np.ndarray], real: Mapping[str, np.ndarray]) -> float:
    return frechet_distance(Gaussian.of(_rows(generated)), Gaussian.of(_rows(real)))


def _rows(vectors: Mapping[str, np.ndarray]) -> np.ndarray:
    """(rows, features): of each clip one row, or several."""
    if not vectors:
        raise ScoreError("there are no sounds")
    return np.concatenate([np.atleast_2d(vector) for vector in vectors.values()])
