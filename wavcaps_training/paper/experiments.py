"""The experiments, as data: each row of Tables V to X makes a checkpoint, and so does the demo.

A new experiment is one entry in `EXPERIMENTS`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wavcaps_assets.settings import Sources
from wavcaps_training.paper.models import (
    AISFX_MINILM,
    AUDIOLDM,
    AUTOENCODER,
    CNN14_BART,
    HTSAT_BERT,
    MODELS,
    Generation,
    Model,
    Preset,
    Size,
    Stage,
)
from wavcaps_training.settings.captioner import AnyTrainingSettings
from wavcaps_training.settings.generation import DEMO_AUTOENCODING, DEMO_GENERATION, Condition
from wavcaps_training.settings.training import DEMO, PRETRAINED_DEMO
from wavcaps_training.tables import EMBEDDINGS_FOLDER, LATENTS_FOLDER, SCORES_OF_EXPERIMENTS

ALL_TEST_SETS = ("audiocaps", "clotho")
GENERATION_SETS = ("audiocaps",)
CLASSIFICATION_SETS = ("esc50", "urbansound8k", "vggsound")


@dataclass(frozen=True)
class Parts:
    """What a latent diffusion model is made of, in addition to its training manifest.

    Attributes:
        autoencoder: key of the checkpoint of its autoencoder.
        conditioned_by: key of the retrieval checkpoint whose vectors are its conditions.
    """

    autoencoder: tuple[str, ...]
    conditioned_by: tuple[str, ...]


@dataclass(frozen=True)
class Experiment:
    """One model, trained one way on one training manifest.

    Attributes:
        model: the model: its audio encoder and its task.
        setting: the experiment's name among those of the model.
        stage: what the training is for.
        training_manifest: key of the training manifest that it reads.
        reported_in: where the paper reports it, such as `Table V, HTSAT-BERT-ZS`; empty: nowhere.
        starts_from: the experiment of the same model whose checkpoint it starts from; None: fresh weights.
        demo: for the demo's experiments, the settings of the model and the run, and what it is.
        parts: what a latent diffusion model is made of; None: it is another model.
    """

    model: Model
    setting: str
    stage: Stage
    training_manifest: tuple[str, ...]
    reported_in: str = ""
    starts_from: str | None = None
    demo: tuple[AnyTrainingSettings, str] | None = None
    parts: Parts | None = None

    @property
    def name(self) -> str:
        return f"{self.model.name}/{self.setting}"

    @property
    def key(self) -> tuple[str, ...]:
        """The key of its checkpoint."""
        return ("checkpoint", self.model.name, self.setting)

    @property
    def start_key(self) -> tuple[str, ...] | None:
        """The key of the checkpoint that it starts from; None: fresh weights."""
        return ("checkpoint", self.model.name, self.starts_from) if self.starts_from else None

    @property
    def latents_key(self) -> tuple[str, ...] | None:
        """The key of the latents that it is trained on; None: it is no latent diffusion model."""
        return (LATENTS_FOLDER, self.model.name) if self.parts else None

    @property
    def description(self) -> str:
        """What it is, as its asset says it."""
        if self.demo is not None:
            return self.demo[1]
        start = f", from {self.model.name}/{self.starts_from}" if self.starts_from else ""
        if self.parts is not None:
            start = f", conditioned by {'/'.join(self.parts.conditioned_by[1:])}"
        where = f" ({self.reported_in})" if self.reported_in else ""
        return f"{self.model.title}, {self.stage.value} on {self.training_manifest[-1]}{start}{where}."

    @property
    def embeddings_key(self) -> tuple[str, ...] | None:
        """The key of the features of its pretrained audio encoder; None: it has none."""
        encoder = self.settings().audio_encoder
        return (EMBEDDINGS_FOLDER, encoder.encoder) if encoder.pretrained else None

    @property
    def scores_key(self) -> tuple[str, ...]:
        """The key of its scores, if it is not the experiment in the report."""
        return (SCORES_OF_EXPERIMENTS, self.model.name, self.setting)

    @property
    def reported_on(self) -> tuple[str, ...]:
        """The test sets that the paper reports it on; a fine-tuned model is reported on its own set only."""
        if self.reported_in.startswith("Table VII,"):
            return CLASSIFICATION_SETS
        if self.parts is not None:
            return GENERATION_SETS
        return self.training_manifest[-1:] if self.stage is Stage.FINE_TUNING else ALL_TEST_SETS

    def settings(self, preset: Preset = Preset.paper, size: Size = Size.paper) -> AnyTrainingSettings:
        """The settings of the model and the run."""
        if self.demo is not None:
            return self.demo[0]
        return self.model.task.settings(self.model.encoder, preset, self.stage, size)


def changed(settings: AnyTrainingSettings, changes: Mapping[str, Any]) -> AnyTrainingSettings:
    """Settings with some of them changed, nested as they are.

    Raises:
        ValidationError: an unknown setting, or a value that it does not allow; names each.
    """
    return type(settings).model_validate(_merged(settings.model_dump(), changes))


def _merged(whole: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(whole)
    for name, value in changes.items():
        nested = isinstance(value, Mapping) and isinstance(both.get(name), dict)
        both[name] = _merged(both[name], value) if nested else value
    return both


def untrained_parts(experiment: Experiment, settings: AnyTrainingSettings) -> list[str]:
    """What the paper's models start from (sections IV.A and IV.B) and these settings do not name."""
    return [] if experiment.starts_from else settings.missing_weights


def _set(name: str) -> tuple[str, ...]:
    return ("training_manifest", name)


def _of_the_paper() -> Iterator[Experiment]:
    for model in MODELS:
        stages = (
            ("baseline", Stage.BASELINE, "audiocaps_clotho"),
            ("zero_shot", Stage.ZERO_SHOT, "wavcaps_zero_shot"),
            ("pretraining", Stage.PRETRAINING, "wavcaps_audiocaps_clotho"),
            ("fine_tuning_audiocaps", Stage.FINE_TUNING, "audiocaps"),
            ("fine_tuning_clotho", Stage.FINE_TUNING, "clotho"),
        )
        for setting, stage, training_set in stages:
            row = model.task.reported_in.get(stage, "").format(model=model.title)
            start = "pretraining" if stage is Stage.FINE_TUNING else None
            yield Experiment(model, setting, stage, _set(training_set), row, start)
    yield Experiment(
        HTSAT_BERT,
        "zero_shot_laion",
        Stage.ZERO_SHOT,
        _set("laion_zero_shot"),
        "Table V, HTSAT-BERT-ZS on LA",
    )
    yield Experiment(
        HTSAT_BERT,
        "pretraining_laion",
        Stage.PRETRAINING,
        _set("laion_audiocaps_clotho"),
        "Table V, HTSAT-BERT-PT on LA",
    )
    # Table VII: zero-shot classification, with the settings of HTSAT-BERT-PT (section IV.C).
    yield Experiment(
        HTSAT_BERT,
        "pretraining_classification",
        Stage.PRETRAINING,
        _set("wavcaps_classification"),
        "Table VII, Ours",
    )
    before, after_1, after_3 = (
        ("before_stage_1", "Before 1st step"),
        ("after_stage_1", "After 1st step"),
        ("after_stage_3", "After 3rd step"),
    )
    for model, table, steps in (
        (HTSAT_BERT, "Table IX", (before, after_1, after_3)),
        (CNN14_BART, "Table X", (after_1, after_3)),
    ):
        for step, row in steps:
            name = f"freesound_{step}"
            yield Experiment(model, name, Stage.ZERO_SHOT, _set(name), f"{table}, {row} (FreeSound subset)")


def _text_to_sound() -> Iterator[Experiment]:
    """Table VIII: both of the retrieval models, and both conditions.

    The paper says of the first one that it is "trained with WavCaps"; the fine-tuned one starts from the one
    that was pre-trained on WavCaps, AudioCaps and Clotho, so that is taken here.
    """
    for name, row, setting in (
        ("audioldm_wavcaps", "WavCaps", "pretraining"),
        ("audioldm_wavcaps_ft", "WavCaps-FT", "fine_tuning_audiocaps"),
    ):
        parts = Parts(AUDIOLDM_AUTOENCODER, ("checkpoint", HTSAT_BERT.name, setting))
        for condition in Condition:
            task = Generation(condition)
            yield Experiment(
                Model(name, AUDIOLDM, task),
                condition.value,
                Stage.GENERATION,
                _set("audiocaps"),
                task.reported_in[Stage.GENERATION].format(model=row, condition=condition.value),
                parts=parts,
            )


# AudioLDM's own, which is read from a file that its authors published.
AUDIOLDM_AUTOENCODER = ("checkpoint", AUTOENCODER.name, "audioldm")
DEMO_EXPERIMENT = Experiment(
    AISFX_MINILM,
    "demo",
    Stage.DEMO,
    ("training_manifest",),
    demo=(
        PRETRAINED_DEMO,
        "The demo's default: two projections on the frozen audio encoder aisfx (A. B. Ma and A. Lerch, 2022, "
        "CC BY 4.0) and a frozen MiniLM. It trains in seconds on two CPU cores.",
    ),
)
# The paper's architecture, small and from scratch.
HTSAT_DEMO = Experiment(
    HTSAT_BERT,
    "demo",
    Stage.DEMO,
    ("training_manifest",),
    demo=(
        DEMO,
        "The paper's architecture, small and from scratch: a tiny HTSAT with a frozen MiniLM. It trains in "
        "minutes on two CPU cores.",
    ),
)
DEMO_AUTOENCODER = Experiment(
    AUTOENCODER,
    "demo",
    Stage.DEMO,
    ("training_manifest",),
    demo=(
        DEMO_AUTOENCODING,
        "A small autoencoder of spectrograms, for the demo's text to sound: AudioLDM's, which the paper "
        "uses, is in no package. It trains in minutes on two CPU cores.",
    ),
)
DEMO_SOUND = Experiment(
    Model("audioldm", AUDIOLDM, Generation(Condition.AUDIO)),
    "demo",
    Stage.DEMO,
    ("training_manifest",),
    demo=(
        DEMO_GENERATION,
        "The paper's text to sound, small and from scratch: a latent diffusion model, conditioned by the "
        "demo's retrieval model. It trains in minutes on two CPU cores.",
    ),
    parts=Parts(DEMO_AUTOENCODER.key, DEMO_EXPERIMENT.key),
)
# Its pretrained audio encoder says which clips are alike, with live sources too.
ALIKE_BY = DEMO_EXPERIMENT
# It needs no data but this pipeline's own.
OWN_SPLIT = Experiment(HTSAT_BERT, "own_split", Stage.PRETRAINING, ("training_manifest",))
EXPERIMENTS = (
    DEMO_EXPERIMENT,
    HTSAT_DEMO,
    DEMO_AUTOENCODER,
    DEMO_SOUND,
    OWN_SPLIT,
    *_of_the_paper(),
    *_text_to_sound(),
)


def experiment_named(key: tuple[str, ...]) -> Experiment:
    """The experiment with this key of its checkpoint."""
    return next(experiment for experiment in EXPERIMENTS if experiment.key == key)


def experiments_for(sources: Sources) -> list[Experiment]:
    """The experiments whose data the sources provide."""
    demo = sources is Sources.EMBEDDED
    return [experiment for experiment in EXPERIMENTS if (experiment.stage is Stage.DEMO) is demo]


def scored_experiment(sources: Sources) -> Experiment:
    """The experiment whose checkpoint is scored, compared with the paper and shown in the report."""
    return DEMO_EXPERIMENT if sources is Sources.EMBEDDED else OWN_SPLIT
