"""Makes sounds from texts."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from wavcaps_assets.audio.generated import GENERATED
from wavcaps_training.checkpoints.checkpoint import load_checkpoint, read_origin
from wavcaps_training.evaluation.encoder import Encoder
from wavcaps_training.models.latent_diffusion import first_step
from wavcaps_training.settings.generation import SamplingSettings

LONGEST_TEXT = 500
LANGUAGE = "en"
# A shorter text says too little of its language.
WORDS_OF_A_LANGUAGE = 4
# A sampler that begins at a lower share of the schedule gets noise where it expects some of the sound.
LOWEST_FIRST_STEP = 0.8
# The smallest sample of a 16-bit file.
QUIETEST = 2.0**-15

logger = logging.getLogger(__name__)


class TextError(ValueError):
    """A text that no sound can be made from."""


class SamplingError(ValueError):
    """The checkpoints do not belong together, or made what is no sound or cannot be written."""


@dataclass(frozen=True)
class Candidate:
    """A sound that was made for a text.

    Attributes:
        text: the text.
        number: which of the text's candidates, from 0.
        samples: (samples,) float32, with a peak of at most 1.
        similarity: cosine of the vectors of sound and text, by the retrieval model that conditioned it.
        vector: of the sound.
    """

    text: str
    number: int
    samples: np.ndarray
    similarity: float
    vector: np.ndarray


def checked(texts: Sequence[str]) -> list[str]:
    """Texts without surplus spaces and repetitions, in their order.

    Raises:
        TextError: there is none, or one is empty, too long or cannot be written; says which.
    """
    import py3langid

    tidy = list(dict.fromkeys(" ".join(text.split()) for text in texts))
    if not tidy:
        raise TextError("there is no text to make a sound from: give at least one, such as: a dog barks")
    for number, text in enumerate(tidy, 1):
        if problem := problem_of(text):
            raise TextError(f"text {number} of {len(tidy)} {problem}")
        letters = [character for character in text if character.isalpha()]
        foreign = bool(letters) and not any(letter.isascii() for letter in letters)
        enough = foreign or len(text.split()) >= WORDS_OF_A_LANGUAGE
        if enough and (found := py3langid.classify(text)[0]) != LANGUAGE:
            logger.warning(
                "text %d (%s...) seems to be in the language %r: the models were trained on English captions",
                number,
                text[:40],
                found,
            )
    return tidy


def problem_of(text: str) -> str:
    """Why no sound can be made from a text, to be read after its number; empty: one can."""
    if not any(character.isalnum() for character in text):
        return "is empty or has no word: write what is to be heard, such as: a dog barks"
    if len(text) > LONGEST_TEXT:
        return (
            f"has {len(text):,} characters, and at most {LONGEST_TEXT} are allowed, of which the model reads "
            f"the first words only; it begins: {text[:60]}..."
        )
    # A FLAC file's comment ends at the first zero, and half of a surrogate pair is no text.
    if broken := [one for one in text if unicodedata.category(one) in ("Cc", "Cs")]:
        return f"has the control character U+{ord(broken[0]):04X}: write it without"
    return ""


class SoundMaker:
    """A latent diffusion model, and the retrieval model whose vectors condition it.

    Args:
        weights: the checkpoint of the latent diffusion model.
        conditioned_by: the retrieval checkpoint that it was trained with.
        device: `cpu` or `cuda`.

    Raises:
        CheckpointError: a checkpoint is missing, damaged or of another task.
        SamplingError: the model was trained with another retrieval checkpoint, or not at all.
    """

    def __init__(self, weights: Path, conditioned_by: Path, device: str = "cpu") -> None:
        self.model, self.settings = load_checkpoint(weights, device, task="generation")
        self.encoder = Encoder(conditioned_by, device)
        self.weights_sha256 = read_origin(weights).weights_sha256 or ""
        self.device = device
        if self.settings.model.conditioned_by_sha256 != self.encoder.weights_sha256:
            raise SamplingError(
                f"{weights} was trained with the vectors of another retrieval checkpoint than "
                f"{conditioned_by}: train it again with this one, or give that one"
            )
        with torch.no_grad():
            for name, value in self.model.ema.of(self.model.unet).items():
                self.model.unet.get_parameter(name).copy_(value)

    @property
    def sample_rate(self) -> int:
        """Of the sounds (Hz)."""
        return self.settings.front_end.sample_rate

    def candidates(self, texts: Sequence[str], settings: SamplingSettings) -> Iterator[Candidate]:
        """The sounds of texts, `settings.candidates` of each, one text after the other.

        A sound depends on its text, the checkpoint and the settings. The other texts of its batch change its
        samples by rounding only.

        Args:
            texts: as `checked` returns them.
            settings: of the sampler.

        Raises:
            SamplingError: a sound is silent or not finite, or the sampler cannot take that number of steps.
        """
        self._check_steps(settings)
        texts = list(texts)
        text_encoder = self.encoder.model.text_encoder
        for number, text in enumerate(texts, 1):
            if text_encoder.is_cut(text):
                logger.warning(
                    "text %d (%s...) is longer than the %d tokens that the model reads: its end changes "
                    "nothing",
                    number,
                    text[:40],
                    text_encoder.settings.max_tokens,
                )
        vectors = self.encoder.captions(texts)
        wanted = [(row, number) for row in range(len(texts)) for number in range(settings.candidates)]
        for start in range(0, len(wanted), settings.batch_size):
            batch = wanted[start : start + settings.batch_size]
            seeds = [seed_of(texts[row], settings.seed, number) for row, number in batch]
            conditions = torch.from_numpy(vectors[[row for row, _ in batch]]).to(self.device)
            waveforms = self._waveforms(conditions, settings, seeds)
            for (row, number), waveform in zip(batch, waveforms, strict=True):
                yield self._candidate(texts[row], number, waveform, vectors[row])

    def _check_steps(self, settings: SamplingSettings) -> None:
        schedule = self.settings.model.schedule
        first = first_step(settings.steps, schedule)
        if not LOWEST_FIRST_STEP * schedule.steps <= first < schedule.steps:
            raise SamplingError(
                f"with {settings.steps} steps, the sampler would begin at step {first} of {schedule.steps}, "
                "and not with noise alone: choose a number of steps that divides "
                f"{schedule.steps}, such as 25, 50, 100, 200 or 500"
            )

    @torch.no_grad()
    def _waveforms(self, conditions: Tensor, settings: SamplingSettings, seeds: list[int]) -> np.ndarray:
        shape = self.settings.model.audio.latent_shape(self.settings.clip.seconds)
        noise = torch.stack(
            [torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        ).to(self.device)
        # Another stream than that of the first noise.
        latent = self.model.sample(conditions, noise, settings, [seed + 1 for seed in seeds])
        autoencoder = self.model.autoencoder
        sounds = torch.cat([autoencoder.waveform(autoencoder.decode(part)) for part in latent.split(1)])
        found: np.ndarray = sounds.float().cpu().numpy()
        return found

    def _candidate(self, text: str, number: int, waveform: np.ndarray, vector: np.ndarray) -> Candidate:
        if not np.isfinite(waveform).all() or float(np.abs(waveform).max()) < QUIETEST:
            raise SamplingError(
                f"the sound of {text!r} is silent or not finite: train the model for longer, or lower "
                "guidance"
            )
        samples = waveform / max(1.0, float(np.abs(waveform).max()))
        heard = vector_of(self.encoder, samples, self.sample_rate)
        return Candidate(text, number, samples, float(heard @ vector), heard)


def vector_of(encoder: Encoder, samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """The unit vector of a sound as it would be stored: (width,).

    Args:
        encoder: a retrieval model.
        samples: (samples,), in [-1, 1].
        sample_rate: of the samples (Hz).
    """
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "sound.flac"
        write_flac(path, samples, sample_rate, {})
        return encoder.sound(path, len(samples) / sample_rate)


def best(candidates: Iterator[Candidate]) -> Iterator[Candidate]:
    """Of each text's candidates, which follow each other, the one that is most similar to the text."""
    kept: Candidate | None = None
    for candidate in candidates:
        if kept is not None and candidate.text != kept.text:
            yield kept
            kept = None
        if kept is None or candidate.similarity > kept.similarity:
            kept = candidate
    if kept is not None:
        yield kept


def seed_of(text: str, seed: int, number: int) -> int:
    """The seed of a candidate: another for each text, setting `seed` and number."""
    digest = hashlib.sha256(json.dumps([text, seed, number]).encode()).digest()
    return int.from_bytes(digest[:4], "big") * 2


def write_flac(path: Path, samples: np.ndarray, sample_rate: int, provenance: dict[str, object]) -> None:
    """Writes a sound as 16-bit FLAC, with a comment that says that it was generated, and how.

    Raises:
        SamplingError: the disk is full, or writing is not permitted.
    """
    # Of its last block, libsndfile does not say that the disk had no space for it.
    encoded = io.BytesIO()
    with soundfile.SoundFile(encoded, "w", sample_rate, 1, subtype="PCM_16", format="FLAC") as file:
        file.comment = f"{GENERATED}. {json.dumps(provenance)}"
        file.write(samples)
    try:
        path.write_bytes(encoded.getvalue())
    except OSError as error:
        raise SamplingError(
            f"a sound cannot be written to {path.parent} ({error.strerror}): free some space, or set TMPDIR "
            "to a folder on another disk. Sounds that are complete stay"
        ) from error
