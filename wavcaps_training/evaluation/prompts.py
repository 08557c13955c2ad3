"""Named protocols of zero-shot classification: what is made of a class's name, and of a clip's audio.

Paper and released code differ. The paper encodes "all class labels … without using any prompts" (section
IV.C). The released code (`retrieval/zero_shot_classification.py`) appends "can be heard" to the names of
ESC-50 and VGGSound, and nothing to those of UrbanSound8K.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from wavcaps_training.settings.training import Padding, TrainingSettings

NO_PROMPT = "{}"
CAN_BE_HEARD = "{} can be heard"
RELEASED_PROMPTS = {"esc50": CAN_BE_HEARD, "urbansound8k": NO_PROMPT, "vggsound": CAN_BE_HEARD}


class PromptProtocolName(StrEnum):
    """A protocol of classification. Each name equals its value."""

    paper = "paper"
    released = "released"
    prompt = "prompt"


@dataclass(frozen=True)
class PromptProtocol:
    """A protocol.

    Attributes:
        name: its name.
        prompt: the text that a class becomes; `{}` is its name.
        padding: how a clip that is shorter than the model's input is filled; None: as in the training.
    """

    name: PromptProtocolName
    prompt: str
    padding: Padding | None = None

    def texts(self, names: Sequence[str]) -> list[str]:
        """The texts of classes, by their names."""
        return [self.prompt.replace("{}", name) for name in names]

    def settings(self, settings: TrainingSettings) -> TrainingSettings:
        """The settings of a training, as this protocol reads clips: from their start.

        A pretrained encoder reads clips as it did in the training, whichever protocol.
        """
        changes: dict[str, object] = {"evaluation_position": 0.0}
        if self.padding is not None and not settings.audio_encoder.pretrained:
            changes["padding"] = self.padding
        clip = settings.clip.model_copy(update=changes)
        return settings.model_copy(update={"clip": clip, "cache_log_mel": False})

    def sentence(self, settings: TrainingSettings) -> str:
        """How a score is made, in one sentence."""
        clip = self.settings(settings).clip
        prompt = "without a prompt" if self.prompt == NO_PROMPT else f"as {self.prompt.format('<class>')!r}"
        return (
            f"the class whose name, {prompt}, has the highest cosine similarity to the clip; ties count "
            f"against the model; the first {clip.seconds:g} s of a clip are heard, a shorter one is padded: "
            f"{clip.padding.value}"
        )


def protocols_for(benchmark: str) -> tuple[PromptProtocol, ...]:
    """The protocols of a benchmark: the paper's, the released code's if it has one, and one with the prompt.

    Args:
        benchmark: its name; the released code has ESC-50, UrbanSound8K and VGGSound.
    """
    paper = PromptProtocol(PromptProtocolName.paper, NO_PROMPT)
    prompt = PromptProtocol(PromptProtocolName.prompt, CAN_BE_HEARD)
    if benchmark not in RELEASED_PROMPTS:
        return paper, prompt
    released = PromptProtocol(PromptProtocolName.released, RELEASED_PROMPTS[benchmark], Padding.ZEROS)
    return paper, released, prompt
