"""Named protocols: which part of a clip is heard.

In all protocols of retrieval, every query ranks all candidates by cosine similarity, what belongs to the same
clip is correct, up to five captions a clip, and ties count against the model. They differ in what a clip that
is longer than the model's input becomes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from wavcaps_training.data import Clip
from wavcaps_training.data.chance import chance
from wavcaps_training.settings.training import ClipSettings, Padding, RunSettings, TrainingSettings

Settings = TypeVar("Settings", bound=RunSettings)

# A listed duration is rounded: a clip that is longer than the input by less is not longer.
ROUNDING_S = 0.01


class ProtocolName(StrEnum):
    """A protocol, as a run's config names it. Each name equals its value."""

    middle = "middle"
    paper = "paper"
    released = "released"
    windows = "windows"


@dataclass(frozen=True)
class Protocol:
    """Which part of a clip is heard.

    Attributes:
        name: its name.
        padding: how a shorter clip is filled; None: as in the training.
        crops: what a longer clip becomes, for people.
    """

    name: ProtocolName
    padding: Padding | None
    crops: str

    def settings(self, settings: Settings) -> Settings:
        """The settings of a training, as this protocol reads clips."""
        if self.padding is None:
            return settings
        clip = settings.clip.model_copy(update={"padding": self.padding})
        # Cached log-mels have one length. Nothing is cached in an evaluation.
        return settings.model_copy(update={"clip": clip, "cache_log_mel": False})

    def positions(self, clip: Clip, settings: RunSettings) -> tuple[float, ...]:
        """Where a clip is cropped: 0 at its start, 1 at its end; one for each crop."""
        if self.name is ProtocolName.middle:
            return (settings.clip.evaluation_position,)
        if self.name is not ProtocolName.windows:
            return (chance(settings.seed, clip.clip_id, "evaluation crop"),)
        windows = max(math.ceil((clip.duration_s - ROUNDING_S) / settings.clip.seconds), 1)
        return tuple(window / (windows - 1) for window in range(windows)) if windows > 1 else (0.0,)

    def heard(self, settings: RunSettings) -> str:
        """Which part of a clip is heard, for people."""
        seconds, position = settings.clip.seconds, settings.clip.evaluation_position
        crops = self.crops.format(seconds=seconds, position=position, seed=settings.seed)
        return f"{crops}; a shorter clip is padded: {self.settings(settings).clip.padding.value}"

    def sentence(self, settings: TrainingSettings) -> str:
        """How a score of retrieval is made, in one sentence."""
        return (
            "every query ranks all candidates by cosine similarity; correct is what belongs to the same "
            f"clip; ties count against the model; {self.heard(settings)}"
        )


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            ProtocolName.middle,
            None,
            "a longer clip is cropped to {seconds:g} s at {position:g} of its length (0: start, 1: end)",
        ),
        # Section IV.A crops longer clips at random, and does not say how test clips are cropped.
        Protocol(
            ProtocolName.paper,
            None,
            "a longer clip is cropped once to {seconds:g} s, at random (seed {seed})",
        ),
        # It embeds each clip once for each of its captions, each time with another crop, and keeps the first.
        Protocol(
            ProtocolName.released,
            Padding.BATCH,
            "a longer clip is cropped to {seconds:g} s at random (seed {seed}); of the embeddings that the "
            "released code makes of a clip, one for each caption, the first counts",
        ),
        Protocol(
            ProtocolName.windows,
            None,
            "a longer clip is the mean of windows of {seconds:g} s that cover it from its start to its end",
        ),
    )
}


def is_longer(clip: Clip, settings: ClipSettings) -> bool:
    """Whether a clip is longer than the model's input, so that the protocol makes a difference."""
    return clip.duration_s > settings.seconds + ROUNDING_S
