"""A checkpoint asset for each experiment."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa
from pydantic import Field

from wavcaps_assets.defs.code_versions import scoped
from wavcaps_assets.defs.logs import logged_to
from wavcaps_assets.defs.pools import GPU
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.settings import Settings
from wavcaps_assets.show.plots import as_markdown, lines
from wavcaps_assets.show.progress import progress_bar
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_training.defs.common import OWNERS, Location, device, device_count, encoder_scope
from wavcaps_training.defs.embeddings import credit, known_embeddings
from wavcaps_training.defs.retries import final_errors, gpu_retries
from wavcaps_training.executor.gpu_tags import gpu_tags
from wavcaps_training.paper.experiments import Experiment, changed, untrained_parts
from wavcaps_training.paper.models import Preset, Size
from wavcaps_training.paper.tables.reported import reported_figures
from wavcaps_training.settings.gpus import GpuSettings
from wavcaps_training.tables import CHECKPOINT


class TrainingConfig(dg.Config):
    """How an experiment is run."""

    preset: Preset = Field(
        Preset.paper,
        description="hyper-parameters: the `paper`'s (section IV), or those of the `released` code",
    )
    size: Size = Field(Size.paper, description="the `paper`'s model, or a `tiny` one for a laptop")
    epochs: int | None = Field(
        None, description="passes over the train split, at least one; none: the experiment's own number"
    )
    settings: dict[str, Any] = Field(
        {},
        description="settings to override, nested as in the checkpoint's settings: "
        "`{precision: bf16-mixed, model: {text: {folder: /models/bert-base-uncased}}}`",
    )


def definitions(location: Location) -> dg.Definitions:
    return dg.Definitions(
        assets=[checkpoint_asset(experiment, location.gpus) for experiment in location.experiments]
    )


def checkpoint_asset(experiment: Experiment, gpus: GpuSettings) -> dg.AssetsDefinition:
    start = list(experiment.start_key) if experiment.start_key else None
    embeddings = list(experiment.embeddings_key) if experiment.embeddings_key else None
    latents = list(experiment.latents_key) if experiment.latents_key else None
    metadata = {**schema_metadata(CHECKPOINT), **credit(experiment)}
    if experiment.reported_in:
        figures = reported_figures(experiment.reported_in, experiment.reported_on)
        metadata["the paper's"] = dg.MetadataValue.md(figures)

    @dg.asset(
        key=list(experiment.key),
        ins={"training_manifest": dg.AssetIn(key=list(experiment.training_manifest))},
        deps=[key for key in (start, embeddings, latents) if key],
        group_name="training",
        kinds={"pytorch", "safetensors"},
        owners=OWNERS,
        op_tags=gpu_tags(gpus.gpus_per_training),
        pool=GPU,
        retry_policy=gpu_retries(gpus.gpu_step_retries),
        description=experiment.description,
        metadata=metadata,
    )
    @scoped(encoder_scope(experiment))
    def checkpoint(
        context: dg.AssetExecutionContext,
        config: TrainingConfig,
        training_manifest: pa.Table,
        store: StoreResource,
    ) -> pa.Table:
        from wavcaps_training.generation.stored_latents import older_parts
        from wavcaps_training.training.checkpoint_table import Place, checkpoint_version, train_experiment

        tables = store.tables()
        requested = {} if config.epochs is None else {"epochs": config.epochs}
        with final_errors():
            run_settings = changed(
                experiment.settings(config.preset, config.size), {**config.settings, **requested}
            )
        unlike = untrained_parts(experiment, run_settings) if config.size is Size.paper else []
        if experiment.reported_in and unlike:
            context.log.warning("Unlike the paper's: %s. See docs/experiments.md.", "; ".join(unlike))
        place = Place(
            store.root,
            Settings().state / "training",
            store.endpoint_url,
            store.region,
            device(),
            device_count(),
        )
        initial = weights_of(tables.read(start, [WHOLE]), start) if start else None
        row = made_of(tables, latents) if latents else None
        parts = (row["autoencoder_path"], row["latents_path"]) if row else None
        older = older_parts(tables.read(latents, [WHOLE]), training_manifest, tables) if latents else []
        if older:
            context.log.warning(
                "Newer than the latents that this model is trained on: %s. For a model of these, make the "
                "latents again first.",
                ", ".join(older),
            )
        with final_errors(), logged_to(context), progress_bar("training", 0, "steps") as bar:
            known = known_embeddings(tables, experiment)
            table = train_experiment(
                experiment, run_settings, training_manifest, place, initial, bar, known, parts
            )
        (row,) = table.to_pylist()
        with tables.store.reading(row["weights_path"]) as weights:
            version = checkpoint_version(table, weights)
        context.set_data_version(context.asset_key, dg.DataVersion(version))
        curve = row["learning_curve"]
        epochs = [entry["epoch"] for entry in curve]
        loss = {
            "train": [entry["train_loss"] for entry in curve],
            "validation": [entry["validation_loss"] for entry in curve],
        }
        scores = [{score["name"]: score["value"] for score in entry["scores"]} for entry in curve]
        shown = run_settings.shown_scores
        context.add_output_metadata(
            {
                "loss": dg.MetadataValue.md(as_markdown(lines(epochs, loss, "epoch", "loss"))),
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
                "version of the set": row["set_version"] or "none",
                **({"newer than its latents": ", ".join(older)} if older else {}),
                "best epoch": row["best_epoch"],
                "left out, without readable audio": len(row["unreadable_clips"] or []),
                "parameters": row["parameters"],
                "clips per second": sum(entry["clips_per_second"] for entry in curve) / len(curve),
                "GFLOP per clip": row["flops_per_clip"] / 1e9,
                **({"MFU": row["utilisation"]} if row["utilisation"] is not None else {}),
                "TensorBoard": dg.MetadataValue.path(tables.store.describe(row["tensorboard_path"])),
                "weights": dg.MetadataValue.path(tables.store.describe(row["weights_path"])),
            }
        )
        return table

    return checkpoint


def made_of(tables: TableStore, latents: Sequence[str]) -> Mapping[str, Any]:
    """The row of latents that a latent diffusion model is trained on.

    Raises:
        Failure: the latents are not there.
    """
    rows = tables.read(latents, [WHOLE]).to_pylist() if tables.exists(latents, None) else []
    if not rows:
        name = "/".join(latents)
        raise dg.Failure(f"{name} has no row: materialize {name} first", allow_retries=False)
    row: Mapping[str, Any] = rows[0]
    return row


def weights_of(checkpoint: pa.Table, key: list[str]) -> str:
    """The path of a checkpoint's weights.

    Raises:
        Failure: the checkpoint's table has no row.
    """
    if not checkpoint.num_rows:
        name = "/".join(key)
        raise dg.Failure(f"the table of {name} has no row: materialize {name} first", allow_retries=False)
    return str(checkpoint["weights_path"][0].as_py())
