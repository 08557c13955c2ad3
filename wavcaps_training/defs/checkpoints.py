"""A checkpoint asset for each experiment."""

import os

import dagster as dg
import pyarrow as pa
from pydantic import Field

from wavcaps_assets import schemas
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_training.devices import DEVICE_VARIABLE
from wavcaps_training.executor import GPU_TAG
from wavcaps_training.experiments import Experiment, Preset, Size

OWNERS = ["team:research"]


class TrainingConfig(dg.Config):
    """How an experiment is run."""

    preset: Preset = Field(
        Preset.PAPER,
        description="hyper-parameters: the `paper`'s (section IV), or those of the `released` code",
    )
    size: Size = Field(Size.PAPER, description="the `paper`'s model, or a `tiny` one for a laptop")
    epochs: int | None = Field(
        None, ge=1, description="passes over the train split; none: as the experiment has them"
    )


def device() -> str:
    """The device that the executor gave this step."""
    return os.environ.get(DEVICE_VARIABLE, "cpu")


def device_count() -> int:
    """How many devices the executor gave this step."""
    return max(len([name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]), 1)


def checkpoint_asset(experiment: Experiment) -> dg.AssetsDefinition:
    start = ["checkpoint", experiment.model, experiment.starts_from] if experiment.starts_from else None

    @dg.asset(
        key=["checkpoint", experiment.model, experiment.setting],
        ins={"training_manifest": dg.AssetIn(key=list(experiment.training_manifest))},
        deps=[start] if start else [],
        group_name="training",
        kinds={"pytorch", "safetensors"},
        owners=OWNERS,
        op_tags={GPU_TAG: "1"},
        description=experiment.description,
        metadata=schema_metadata(schemas.CHECKPOINT),
    )
    def checkpoint(
        context: dg.AssetExecutionContext,
        config: TrainingConfig,
        training_manifest: pa.Table,
        store: StoreResource,
    ) -> pa.Table:
        from wavcaps_assets.plots import as_markdown, lines
        from wavcaps_training.checkpoint_table import train_experiment

        tables = store.tables()
        root = tables.store.root
        settings = experiment.settings(config.preset, config.size)
        if config.epochs is not None:
            settings = settings.model_copy(update={"epochs": config.epochs})
        table = train_experiment(
            experiment,
            settings,
            training_manifest,
            root,
            device(),
            device_count(),
            tables.read(start)["weights_path"][0].as_py() if start else None,
            context.log.info,
        )
        (row,) = table.to_pylist()
        curve = row["learning_curve"]
        epochs = [entry["epoch"] for entry in curve]
        loss = {
            "train": [entry["train_loss"] for entry in curve],
            "validation": [entry["validation_loss"] for entry in curve],
        }
        scores = [{score["name"]: score["value"] for score in entry["scores"]} for entry in curve]
        shown = experiment.shown_scores
        context.add_output_metadata(
            {
                "loss": dg.MetadataValue.md(as_markdown(lines(epochs, loss, "epoch", "NT-Xent loss"))),
                "validation": dg.MetadataValue.md(
                    as_markdown(
                        lines(
                            epochs,
                            {name: [entry[key] for entry in scores] for key, name in shown.items()},
                            "epoch",
                            "score",
                        )
                    )
                ),
                "best epoch": row["best_epoch"],
                "parameters": row["parameters"],
                "clips per second": sum(entry["clips_per_second"] for entry in curve) / len(curve),
                "GFLOP a clip": row["flops_per_clip"] / 1e9,
                **({"MFU": row["utilisation"]} if row["utilisation"] is not None else {}),
                "TensorBoard": dg.MetadataValue.path(root / row["tensorboard_path"]),
                "weights": dg.MetadataValue.path(root / row["weights_path"]),
            }
        )
        return table

    return checkpoint
