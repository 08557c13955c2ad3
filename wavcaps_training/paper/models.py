"""The models of the paper's experiments, as data: an audio encoder and a task each.

Encoders are files of `settings/encoders/`; here is how the paper uses them. An experiment names its model.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

from wavcaps_training.settings.captioner import (
    PAPER_CAPTIONING,
    PAPER_CAPTIONING_FINE_TUNING,
    RELEASED_CAPTIONING,
    RELEASED_CAPTIONING_FINE_TUNING,
    TINY_CAPTIONER,
    AnyTrainingSettings,
    CaptionerTrainingSettings,
)
from wavcaps_training.settings.encoder import EncoderSettings
from wavcaps_training.settings.encoders.aisfx import AisfxSettings
from wavcaps_training.settings.encoders.cnn14 import TINY_CNN14, Cnn14Settings
from wavcaps_training.settings.encoders.htsat import TINY_HTSAT, HtsatSettings
from wavcaps_training.settings.generation import (
    RELEASED_GENERATION,
    TINY_AUTOENCODER,
    TINY_GENERATOR,
    AutoencoderSettings,
    AutoencoderTrainingSettings,
    Condition,
    GenerationTrainingSettings,
)
from wavcaps_training.settings.training import (
    DEMO,
    PAPER,
    RELEASED,
    ClipSettings,
    Padding,
    TrainingSettings,
)


class Preset(StrEnum):
    """Whose hyper-parameters: the paper's (section IV), or those of the released code, which differ.

    Each name equals its value, because a run's config gives an enum by name.
    """

    paper = "paper"
    released = "released"


class Size(StrEnum):
    """How large: the paper's model, or one that trains in minutes on a laptop."""

    paper = "paper"
    tiny = "tiny"


class Stage(StrEnum):
    """What the training is for."""

    BASELINE = "baseline"
    ZERO_SHOT = "zero-shot"
    PRETRAINING = "pre-training"
    FINE_TUNING = "fine-tuning"
    GENERATION = "text to sound"
    DEMO = "demo"


@dataclass(frozen=True)
class AudioEncoder:
    """An audio encoder, as the paper's models use it.

    Attributes:
        title: its name in the paper's tables.
        retrieval: its settings in a retrieval model, by size.
        captioning: its settings in a captioner, by size.
        clip: how its clips are cropped and padded; None: as the preset says.
    """

    title: str
    retrieval: Mapping[Size, EncoderSettings]
    captioning: Mapping[Size, EncoderSettings]
    clip: ClipSettings | None = None


HTSAT = AudioEncoder(
    title="HTSAT",
    retrieval={Size.paper: HtsatSettings(), Size.tiny: TINY_HTSAT},
    captioning={Size.paper: HtsatSettings(), Size.tiny: TINY_HTSAT},
)
CNN14 = AudioEncoder(
    title="CNN14",
    retrieval={Size.paper: Cnn14Settings(), Size.tiny: TINY_CNN14},
    captioning={
        Size.paper: Cnn14Settings(fc1_dim=1024),
        Size.tiny: TINY_CNN14.model_copy(update={"fc1_dim": 64}),
    },
    # Section IV.A: clips of up to 30 s are not cropped, and a batch has clips of similar duration.
    clip=ClipSettings(seconds=30.0, padding=Padding.BATCH),
)

# What a tiny model's run changes of its preset.
TINY_RUN: dict[str, Any] = {
    "epochs": 10,
    "batch_size": 16,
    "learning_rate": 1e-3,
    "warmup_epochs": 1.0,
    "buckets": (),
}


class PaperTask(ABC):
    """What a model is trained for, as the paper does it.

    Attributes:
        language_model: the name of the language model in the paper's tables.
        reported_in: for each stage, the row of the paper's tables after the model's name.
    """

    language_model: ClassVar[str]
    reported_in: ClassVar[Mapping[Stage, str]]

    @abstractmethod
    def run(self, preset: Preset, stage: Stage) -> AnyTrainingSettings:
        """The settings of a run of the paper's size, with HTSAT."""

    @abstractmethod
    def audio(self, encoder: AudioEncoder, size: Size) -> EncoderSettings:
        """An audio encoder's settings for this task."""

    @abstractmethod
    def tiny_parts(self) -> dict[str, Any]:
        """What a tiny model has in place of the paper's parts, its audio encoder excepted."""

    def settings(
        self, encoder: AudioEncoder, preset: Preset, stage: Stage, size: Size
    ) -> AnyTrainingSettings:
        """The settings of the model and the run."""
        run = self.run(preset, stage)
        changes: dict[str, Any] = {"model": {"audio": self.audio(encoder, size).model_dump()}}
        if encoder.clip is not None:
            changes["clip"] = encoder.clip.model_dump()
        if size is Size.tiny:
            changes["model"] |= self.tiny_parts()
            changes |= TINY_RUN
        values = run.model_dump()
        return type(run).model_validate({**values, **changes, "model": values["model"] | changes["model"]})


class Retrieval(PaperTask):
    """Audio-language retrieval (section IV.A)."""

    language_model = "BERT"
    reported_in: ClassVar[Mapping[Stage, str]] = {
        Stage.BASELINE: "Table V, {model}",
        Stage.ZERO_SHOT: "Table V, {model}-ZS",
        Stage.PRETRAINING: "Table V, {model}-PT",
        Stage.FINE_TUNING: "Table V, {model}-FT",
    }

    def run(self, preset: Preset, stage: Stage) -> TrainingSettings:
        # Section IV.A: 40 epochs in pre-training, 20 in fine-tuning, otherwise 15; so does the released code.
        epochs = {Stage.PRETRAINING: 40, Stage.FINE_TUNING: 20}.get(stage, 15)
        run = (PAPER if preset is Preset.paper else RELEASED).model_copy(update={"epochs": epochs})
        if stage is Stage.FINE_TUNING and preset is Preset.released:
            run = run.model_copy(update={"warmup_epochs": 0.0, "buckets": ()})
        return run

    def audio(self, encoder: AudioEncoder, size: Size) -> EncoderSettings:
        return encoder.retrieval[size]

    def tiny_parts(self) -> dict[str, Any]:
        return DEMO.model.model_dump(exclude={"audio"})


class Captioning(PaperTask):
    """Audio captioning (section IV.B)."""

    language_model = "BART"
    reported_in: ClassVar[Mapping[Stage, str]] = {
        Stage.BASELINE: "Table VI, {model} (baseline)",
        Stage.ZERO_SHOT: "Table VI, {model} (zero-shot)",
        Stage.FINE_TUNING: "Table VI, {model}",
    }

    def run(self, preset: Preset, stage: Stage) -> CaptionerTrainingSettings:
        return {
            (Preset.paper, False): PAPER_CAPTIONING,
            (Preset.paper, True): PAPER_CAPTIONING_FINE_TUNING,
            (Preset.released, False): RELEASED_CAPTIONING,
            (Preset.released, True): RELEASED_CAPTIONING_FINE_TUNING,
        }[preset, stage is Stage.FINE_TUNING]

    def audio(self, encoder: AudioEncoder, size: Size) -> EncoderSettings:
        return encoder.captioning[size]

    def tiny_parts(self) -> dict[str, Any]:
        return TINY_CAPTIONER.model_dump(include={"bart"})


class Generation(PaperTask):
    """Text-based sound generation (section IV.D).

    Args:
        condition: the embedding that the training is conditioned on.
    """

    language_model = "WavCaps"
    reported_in: ClassVar[Mapping[Stage, str]] = {
        Stage.GENERATION: "Table VIII, AudioLDM {model}, {condition} condition"
    }

    def __init__(self, condition: Condition) -> None:
        self.condition = condition

    def run(self, preset: Preset, stage: Stage) -> GenerationTrainingSettings:
        run = GenerationTrainingSettings() if preset is Preset.paper else RELEASED_GENERATION
        model = run.model.model_copy(update={"condition": self.condition})
        return run.model_copy(update={"model": model})

    def audio(self, encoder: AudioEncoder, size: Size) -> EncoderSettings:
        return TINY_AUTOENCODER if size is Size.tiny else AutoencoderSettings()

    def tiny_parts(self) -> dict[str, Any]:
        return TINY_GENERATOR.model_dump(include={"unet"})


class Autoencoding(PaperTask):
    """Compressing spectrograms, which the paper leaves to AudioLDM's autoencoder."""

    language_model = "autoencoder"
    reported_in: ClassVar[Mapping[Stage, str]] = {}

    def run(self, preset: Preset, stage: Stage) -> AutoencoderTrainingSettings:
        return AutoencoderTrainingSettings()

    def audio(self, encoder: AudioEncoder, size: Size) -> EncoderSettings:
        return TINY_AUTOENCODER if size is Size.tiny else AutoencoderSettings()

    def tiny_parts(self) -> dict[str, Any]:
        return {}


RETRIEVAL, CAPTIONING, AUTOENCODING = Retrieval(), Captioning(), Autoencoding()


@dataclass(frozen=True)
class Model:
    """A model of the experiments.

    Attributes:
        name: as asset keys have it, such as `htsat_bert`.
        encoder: its audio encoder.
        task: what it is trained for.
    """

    name: str
    encoder: AudioEncoder
    task: PaperTask

    @property
    def title(self) -> str:
        """Its name in the paper's tables, such as `HTSAT-BERT`."""
        return f"{self.encoder.title}-{self.task.language_model}"


AISFX = AudioEncoder(
    title="aisfx",
    retrieval=dict.fromkeys(Size, AisfxSettings()),
    captioning=dict.fromkeys(Size, AisfxSettings()),
)
# Not a model of the paper: it starts from a pretrained audio encoder that a laptop can run.
AISFX_MINILM = Model("aisfx_minilm", AISFX, RETRIEVAL)
HTSAT_BERT = Model("htsat_bert", HTSAT, RETRIEVAL)
CNN14_BERT = Model("cnn14_bert", CNN14, RETRIEVAL)
HTSAT_BART = Model("htsat_bart", HTSAT, CAPTIONING)
CNN14_BART = Model("cnn14_bart", CNN14, CAPTIONING)
AUDIOLDM = AudioEncoder(title="AudioLDM", retrieval={}, captioning={})
AUTOENCODER = Model("autoencoder", AUDIOLDM, AUTOENCODING)
MODELS = (HTSAT_BERT, CNN14_BERT, HTSAT_BART, CNN14_BART)
