"""The checkpoints that the paper's authors released, as data.

Their files are in the folder that https://github.com/XinhaoMei/WavCaps names (`SOURCE`). What they were
trained on is what the paper says of the row of its table (sections IV.A and IV.B).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from wavcaps_training.paper.models import (
    CNN14_BART,
    CNN14_BERT,
    HTSAT_BART,
    HTSAT_BERT,
    Model,
    Preset,
    Size,
    Stage,
)
from wavcaps_training.settings.captioner import AnyTrainingSettings

SOURCE = "https://drive.google.com/drive/folders/1pFr8IRY3E1FAtc2zjYmeuSVY3M5a-Kdj"
RELEASED_GROUP = "released"


@dataclass(frozen=True)
class ReleasedModel:
    """A released checkpoint.

    Attributes:
        setting: the last part of its asset's key.
        file: the name of its file.
        model: the model that it is of.
        stage: what it was trained for.
        reported_in: where the paper reports it.
        benchmarks: for each benchmark of which it is known, whether it was trained on its train split.
    """

    setting: str
    file: str
    model: Model
    stage: Stage
    reported_in: str
    benchmarks: Mapping[str, bool]

    @property
    def key(self) -> tuple[str, ...]:
        """The key of its checkpoint."""
        return ("checkpoint", RELEASED_GROUP, self.setting)

    @property
    def name(self) -> str:
        """Its name among all checkpoints, such as `released/htsat_bert_zs`."""
        return f"{RELEASED_GROUP}/{self.setting}"

    @property
    def embeddings_key(self) -> None:
        """The key of the features of its pretrained audio encoder: it has none that is frozen."""
        return None

    @property
    def reported_on(self) -> tuple[str, ...]:
        """The test sets that the paper reports it on; a fine-tuned model is reported on its own set only."""
        if self.stage is not Stage.FINE_TUNING:
            return tuple(self.benchmarks)
        return tuple(name for name in self.benchmarks if self.setting.endswith(name))

    @property
    def description(self) -> str:
        """What it was trained on, for people."""
        names = [name for name, trained in self.benchmarks.items() if trained]
        also = (
            f" and the train splits of {' and '.join(names)}" if names else ", without AudioCaps and Clotho"
        )
        return f"The released {self.model.title} of {self.reported_in}: trained on WavCaps{also}"

    def settings(self) -> AnyTrainingSettings:
        """The settings of the model, and of a run of the released code."""
        return self.model.task.settings(self.model.encoder, Preset.released, self.stage, Size.paper)


def _of(model: Model) -> Iterator[ReleasedModel]:
    both = {"audiocaps": True, "clotho": True}
    rows = (
        ("zs", "ZS", Stage.ZERO_SHOT, dict.fromkeys(both, False)),
        ("pt", "PT", Stage.PRETRAINING, both),
        # Fine-tuning starts from pre-training, so both were trained on both.
        ("ft_audiocaps", "FT-AudioCaps", Stage.FINE_TUNING, both),
        ("ft_clotho", "FT-Clotho", Stage.FINE_TUNING, both),
    )
    for ending, title, stage, benchmarks in rows:
        if stage in model.task.reported_in:
            row = model.task.reported_in[stage].format(model=model.title)
            file = f"{model.title}-{title}.pt"
            yield ReleasedModel(f"{model.name}_{ending}", file, model, stage, row, benchmarks)


RELEASED_MODELS = tuple(
    released for model in (HTSAT_BERT, CNN14_BERT, HTSAT_BART, CNN14_BART) for released in _of(model)
)


def released_named(name: str) -> ReleasedModel | None:
    """A released checkpoint by its setting, or by the name of its file; None: there is none."""
    return next((one for one in RELEASED_MODELS if name in (one.setting, one.file)), None)
