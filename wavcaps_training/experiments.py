"""The experiments, as data: a row makes a checkpoint and its scores."""

from __future__ import annotations

from dataclasses import dataclass, replace

from wavcaps_assets.settings import Sources
from wavcaps_training.settings import DEMO, PAPER, TrainingSettings


@dataclass(frozen=True)
class Experiment:
    """One model, trained one way on one training manifest.

    Attributes:
        model: the model's name.
        setting: the experiment's name among those of the model.
        description: what it is, for the person who looks at its assets.
        training: the settings of the model and of the run.
        training_manifest: key of the training manifest that it reads.
    """

    model: str
    setting: str
    description: str
    training: TrainingSettings
    training_manifest: str

    @property
    def shown_scores(self) -> dict[str, str]:
        """The validation scores that tell most, and what people call them."""
        if self.training.task == "captioning":
            return {"cider_d": "CIDEr-D"}
        return {"recall_at_1": "R@1 (%)", "recall_at_10": "R@10 (%)"}

    @property
    def name(self) -> str:
        return f"{self.model}/{self.setting}"

    def with_epochs(self, epochs: int | None) -> Experiment:
        """The same experiment for so many epochs; None: as it is."""
        if epochs is None:
            return self
        return replace(self, training=self.training.model_copy(update={"epochs": epochs}))


EXPERIMENTS = (
    Experiment(
        model="htsat_bert",
        setting="demo",
        description="A tiny HTSAT beside a frozen MiniLM: minutes on two CPU cores",
        training=DEMO,
        training_manifest="training_manifest",
    ),
    Experiment(
        model="htsat_bert",
        setting="pretraining",
        description="HTSAT-BERT-PT of Table V, on a GPU; the paper's with BERT-base as model.text.folder",
        # Section IV.A: 40 epochs, the other values as in the zero-shot setting.
        training=PAPER.model_copy(update={"epochs": 40}),
        training_manifest="training_manifest",
    ),
)


def experiments_for(sources: Sources) -> list[Experiment]:
    """The experiments that the sources at hand are enough for."""
    demo = sources is Sources.EMBEDDED
    return [experiment for experiment in EXPERIMENTS if (experiment.setting == "demo") is demo]
