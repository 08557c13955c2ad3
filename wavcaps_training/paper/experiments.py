"""The experiments, as data: each row of Tables V, VI, IX and X makes a checkpoint, and so does the demo."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from wavcaps_assets.settings import Sources
from wavcaps_training.settings.captioner import (
    PAPER_CAPTIONING,
    PAPER_CAPTIONING_FINE_TUNING,
    RELEASED_CAPTIONING,
    RELEASED_CAPTIONING_FINE_TUNING,
    TINY_CAPTIONING,
    CaptionerTrainingSettings,
)
from wavcaps_training.settings.model import TINY_CNN14, Cnn14Settings
from wavcaps_training.settings.training import (
    DEMO,
    PAPER,
    RELEASED,
    ClipSettings,
    Padding,
    TrainingSettings,
)

AnySettings = TrainingSettings | CaptionerTrainingSettings


class Preset(StrEnum):
    """Whose hyper-parameters: the paper's (section IV), or those of the released code, which differ.

    Names are as values, since a run's config gives an enum by name.
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
    DEMO = "demo"


@dataclass(frozen=True)
class Experiment:
    """One model, trained one way on one training manifest.

    Attributes:
        model: the model: `htsat_bert`, `cnn14_bert`, `htsat_bart` or `cnn14_bart`.
        setting: the experiment's name among those of the model.
        stage: what the training is for.
        training_manifest: key of the training manifest that it reads.
        reported_in: where the paper reports it, such as `Table V, HTSAT-BERT-ZS`; empty: nowhere.
        starts_from: the experiment of the same model whose checkpoint it begins with; None: fresh weights.
    """

    model: str
    setting: str
    stage: Stage
    training_manifest: tuple[str, ...]
    reported_in: str = ""
    starts_from: str | None = None

    @property
    def name(self) -> str:
        return f"{self.model}/{self.setting}"

    @property
    def writes_captions(self) -> bool:
        """Whether it is a captioner; else it retrieves."""
        return self.model.endswith("_bart")

    @property
    def description(self) -> str:
        """What it is, for the person who looks at its assets."""
        if self.stage is Stage.DEMO:
            return "A tiny HTSAT beside a frozen MiniLM: minutes on two CPU cores."
        start = f", from {self.model}/{self.starts_from}" if self.starts_from else ""
        where = f" ({self.reported_in})" if self.reported_in else ""
        return (
            f"{self.model.replace('_', '-').upper()}, {self.stage.value} on {self.training_manifest[-1]}"
            f"{start}{where}."
        )

    @property
    def shown_scores(self) -> dict[str, str]:
        """The validation scores that tell most, and what people call them."""
        if self.writes_captions:
            return {"cider_d": "CIDEr-D"}
        return {"recall_at_1": "R@1 (%)", "recall_at_10": "R@10 (%)"}

    @property
    def reported_on(self) -> tuple[str, ...]:
        """The test sets that the paper reports it on; what is fine-tuned on one is for that one."""
        return self.training_manifest[-1:] if self.stage is Stage.FINE_TUNING else ("audiocaps", "clotho")

    def settings(self, preset: Preset = Preset.paper, size: Size = Size.paper) -> AnySettings:
        """The settings of the model and the run."""
        if self.stage is Stage.DEMO:
            return DEMO
        made = self._captioning(preset) if self.writes_captions else self._retrieval(preset)
        return made if size is Size.paper else self._tiny(made)

    def _retrieval(self, preset: Preset) -> TrainingSettings:
        # Section IV.A: 15 epochs, but 40 in pre-training and 20 in fine-tuning, and as in the released code.
        epochs = {Stage.PRETRAINING: 40, Stage.FINE_TUNING: 20}.get(self.stage, 15)
        made = (PAPER if preset is Preset.paper else RELEASED).model_copy(update={"epochs": epochs})
        if self.stage is Stage.FINE_TUNING and preset is Preset.released:
            made = made.model_copy(update={"warmup_epochs": 0.0, "buckets": ()})
        if self.model.startswith("cnn14"):
            model = made.model.model_copy(update={"audio": Cnn14Settings()})
            made = made.model_copy(update={"model": model, "clip": CNN14_CLIP})
        return TrainingSettings.model_validate(made.model_dump())

    def _captioning(self, preset: Preset) -> CaptionerTrainingSettings:
        made = {
            (Preset.paper, False): PAPER_CAPTIONING,
            (Preset.paper, True): PAPER_CAPTIONING_FINE_TUNING,
            (Preset.released, False): RELEASED_CAPTIONING,
            (Preset.released, True): RELEASED_CAPTIONING_FINE_TUNING,
        }[preset, self.stage is Stage.FINE_TUNING]
        if self.model.startswith("cnn14"):
            audio = Cnn14Settings(fc1_dim=1024)
            model = made.model.model_copy(update={"audio": audio})
            made = made.model_copy(update={"model": model, "clip": CNN14_CLIP})
        return CaptionerTrainingSettings.model_validate(made.model_dump())

    def _tiny(self, made: AnySettings) -> AnySettings:
        """The same stage with a small model and a few epochs on small batches."""
        cnn14 = self.model.startswith("cnn14")
        if isinstance(made, CaptionerTrainingSettings):
            audio = TINY_CNN14.model_copy(update={"fc1_dim": 64}) if cnn14 else TINY_CAPTIONING.model.audio
            captioner = made.model.model_copy(update={"audio": audio, "bart": TINY_CAPTIONING.model.bart})
            small = {"model": captioner, **TINY_RUN}
            return CaptionerTrainingSettings.model_validate({**made.model_dump(), **_dumped(small)})
        model = DEMO.model.model_copy(update={"audio": TINY_CNN14} if cnn14 else {})
        return TrainingSettings.model_validate({**made.model_dump(), **_dumped({"model": model, **TINY_RUN})})


# Section IV.A: clips of up to 30 s as they are, of similar duration in a batch.
CNN14_CLIP = ClipSettings(seconds=30.0, padding=Padding.BATCH)
TINY_RUN = {"epochs": 10, "batch_size": 16, "learning_rate": 1e-3, "warmup_epochs": 1.0, "buckets": ()}


def _dumped(update: dict[str, object]) -> dict[str, object]:
    return {
        name: value.model_dump() if hasattr(value, "model_dump") else value for name, value in update.items()
    }


def changed(settings: AnySettings, changes: Mapping[str, Any]) -> AnySettings:
    """Settings with some of them changed, nested as they are.

    Raises:
        ValidationError: a setting that is not known, or a value that it cannot have; names each.
    """
    return type(settings).model_validate(_merged(settings.model_dump(), changes))


def _merged(whole: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    both = dict(whole)
    for name, value in changes.items():
        nested = isinstance(value, Mapping) and isinstance(both.get(name), dict)
        both[name] = _merged(both[name], value) if nested else value
    return both


def untrained_parts(experiment: Experiment, settings: AnySettings) -> list[str]:
    """What the paper's models start from (sections IV.A and IV.B), and this run has not been given."""
    if experiment.starts_from:
        return []
    missing = []
    if not settings.audio_weights:
        missing.append("the audio encoder starts from fresh weights: audio_weights names none from AudioSet")
    if isinstance(settings, CaptionerTrainingSettings):
        if not settings.model.bart.folder:
            missing.append("BART starts from fresh weights: model.bart.folder names no bart-base")
    elif not settings.model.text.folder:
        missing.append("the text encoder is a MiniLM: model.text.folder names no bert-base-uncased")
    return missing


def _set(name: str) -> tuple[str, ...]:
    return ("training_manifest", name)


def _of_the_paper() -> Iterator[Experiment]:
    titles = {
        "htsat_bert": "HTSAT-BERT",
        "cnn14_bert": "CNN14-BERT",
        "htsat_bart": "HTSAT-BART",
        "cnn14_bart": "CNN14-BART",
    }
    for model, title in titles.items():
        retrieves = model.endswith("_bert")
        table = f"Table V, {title}" if retrieves else f"Table VI, {title}"
        named = ("", "-ZS", "-PT", "-FT") if retrieves else (" (baseline)", " (zero-shot)", "", "")
        reported = [table + end for end in named]
        yield Experiment(model, "baseline", Stage.BASELINE, _set("audiocaps_clotho"), reported[0])
        yield Experiment(model, "zero_shot", Stage.ZERO_SHOT, _set("wavcaps_zero_shot"), reported[1])
        yield Experiment(
            model,
            "pretraining",
            Stage.PRETRAINING,
            _set("wavcaps_audiocaps_clotho"),
            reported[2] if retrieves else "",
        )
        for own in ("audiocaps", "clotho"):
            yield Experiment(
                model, f"fine_tuning_{own}", Stage.FINE_TUNING, _set(own), reported[3], "pretraining"
            )
    yield Experiment(
        "htsat_bert",
        "zero_shot_laion",
        Stage.ZERO_SHOT,
        _set("laion_zero_shot"),
        "Table V, HTSAT-BERT-ZS on LA",
    )
    yield Experiment(
        "htsat_bert",
        "pretraining_laion",
        Stage.PRETRAINING,
        _set("laion_audiocaps_clotho"),
        "Table V, HTSAT-BERT-PT on LA",
    )
    for model, table, steps in (
        ("htsat_bert", "Table IX", ("before_stage_1", "after_stage_1", "after_stage_3")),
        ("cnn14_bart", "Table X", ("after_stage_1", "after_stage_3")),
    ):
        for step in steps:
            when = {"1": "1st step", "3": "3rd step"}[step[-1]]
            yield Experiment(
                model,
                f"freesound_{step}",
                Stage.ZERO_SHOT,
                _set(f"freesound_{step}"),
                f"{table}, {step.partition('_')[0].title()} {when} (FreeSound subset)",
            )


DEMO_EXPERIMENT = Experiment("htsat_bert", "demo", Stage.DEMO, ("training_manifest",))
# What needs no data but this pipeline's own.
OWN_SPLIT = Experiment("htsat_bert", "own_split", Stage.PRETRAINING, ("training_manifest",))
EXPERIMENTS = (DEMO_EXPERIMENT, OWN_SPLIT, *_of_the_paper())


def experiments_for(sources: Sources) -> list[Experiment]:
    """The experiments that the sources at hand are enough for."""
    demo = sources is Sources.EMBEDDED
    return [experiment for experiment in EXPERIMENTS if (experiment.stage is Stage.DEMO) is demo]
