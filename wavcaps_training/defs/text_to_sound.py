"""Text to sound: latents, AudioLDM's autoencoder, and the sounds that models make."""

import dagster as dg
import pyarrow as pa
from pydantic import Field

from wavcaps_assets.defs.code_versions import scoped
from wavcaps_assets.defs.logs import logged_to
from wavcaps_assets.defs.pools import GPU
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import MAY_SHRINK, schema_metadata
from wavcaps_assets.settings import Sources
from wavcaps_assets.show.previews import cell
from wavcaps_assets.show.progress import progress_bar
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_training.defs.checkpoints import made_of, weights_of
from wavcaps_training.defs.common import OWNERS, Location, device, encoder_scope, scope_of_encoders
from wavcaps_training.defs.retries import final_errors, gpu_retries
from wavcaps_training.executor.gpu_tags import gpu_tags
from wavcaps_training.paper.experiments import AUDIOLDM_AUTOENCODER, Experiment, Parts
from wavcaps_training.paper.models import Stage
from wavcaps_training.settings.generation import AutoencoderSettings, SamplingSettings
from wavcaps_training.settings.released import VARIABLE, ReleasedSettings
from wavcaps_training.tables import CHECKPOINT, GENERATED_SOUNDS, GENERATED_SOUNDS_FOLDER, LATENTS

GROUP = "text_to_sound"
JOB = "text_to_sound"
AUDIOLDM_SOURCE = "https://zenodo.org/records/7600541"
TEXTS = (
    "A dog is barking.",
    "Rain is falling on a roof.",
    "A car passes by.",
    "A person is laughing.",
)
SAMPLING = SamplingSettings()


class SoundsConfig(dg.Config):
    """What sounds are made from, and how."""

    texts: list[str] = Field(list(TEXTS), description="a sound is made from each")
    steps: int = Field(SAMPLING.steps, description="steps of the DDIM sampler, at most 1000")
    eta: float = Field(SAMPLING.eta, description="share of the noise that each step adds, 0 to 1")
    guidance: float = Field(SAMPLING.guidance, description="weight of the text, at least 0")
    candidates: int = Field(
        SAMPLING.candidates,
        description="sounds for each text, at least one; the most similar to the text is kept",
    )
    batch_size: int = Field(SAMPLING.batch_size, description="sounds that are made at the same time")
    seed: int = Field(SAMPLING.seed, description="of the noise, 0 to 2**63 - 1")


class AudioldmConfig(dg.Config):
    """Where a released AudioLDM checkpoint is."""

    folder: str = Field("", description=f"folder of the released files; empty: that of {VARIABLE}")
    file: str = Field("", description="the name of the file; empty: one that it was published under")


def definitions(location: Location) -> dg.Definitions:
    makers = [one for one in location.experiments if one.parts is not None]
    retries = location.gpus.gpu_step_retries
    of_latents = {one.latents_key: one for one in makers}
    assets = [_latents(experiment, retries) for experiment in of_latents.values()]
    assets += [_sounds(experiment, retries) for experiment in makers]
    if location.settings.sources is Sources.LIVE:
        assets.append(_audioldm())
    return dg.Definitions(assets=assets, jobs=[_job(one) for one in makers if one.stage is Stage.DEMO])


def _job(experiment: Experiment) -> dg.JobDefinition:
    parts, latents = _parts(experiment)
    keys = [parts.autoencoder, latents, experiment.key, sounds_key(experiment)]
    return dg.define_asset_job(  # type: ignore[return-value]
        JOB,
        selection=dg.AssetSelection.assets(*(list(key) for key in keys)),
        description="From spectrograms to sound: the demo's autoencoder, the latents, the latent diffusion "
        "model, and a few sounds that it makes. The demo's retrieval model must be there.",
    )


def sounds_key(experiment: Experiment) -> tuple[str, ...]:
    """The key of the sounds of a model."""
    return (GENERATED_SOUNDS_FOLDER, *experiment.key[1:])


def _parts(experiment: Experiment) -> tuple[Parts, tuple[str, ...]]:
    assert experiment.parts is not None and experiment.latents_key is not None
    return experiment.parts, experiment.latents_key


def _checkpoint(tables: TableStore, key: tuple[str, ...]) -> tuple[str, str]:
    """A checkpoint's name, and the path of its weights."""
    table = tables.read(key, [WHOLE]) if tables.exists(key, None) else CHECKPOINT.empty()
    return "/".join(key[1:]), weights_of(table, list(key))


def _latents(experiment: Experiment, retries: int) -> dg.AssetsDefinition:
    parts, key = _parts(experiment)

    @dg.asset(
        key=list(key),
        ins={"training_manifest": dg.AssetIn(key=list(experiment.training_manifest))},
        deps=[list(parts.autoencoder), list(parts.conditioned_by)],
        group_name=GROUP,
        kinds={"pytorch", "safetensors"},
        owners=OWNERS,
        op_tags=gpu_tags(1),
        pool=GPU,
        retry_policy=gpu_retries(retries),
        description="What a latent diffusion model is trained on: the latents of the train and validation "
        f"splits by {'/'.join(parts.autoencoder)}, and the vectors of audio and captions by "
        f"{'/'.join(parts.conditioned_by)}. They are computed once.",
        metadata=schema_metadata(LATENTS),
    )
    @scoped(encoder_scope(experiment))
    def latents(
        context: dg.AssetExecutionContext, training_manifest: pa.Table, store: StoreResource
    ) -> pa.Table:
        from wavcaps_training.generation.stored_latents import store_latents

        tables = store.tables()
        models = _checkpoint(tables, parts.autoencoder), _checkpoint(tables, parts.conditioned_by)
        with final_errors(), logged_to(context), progress_bar("latents", 0, "clips") as bar:
            table = store_latents(training_manifest, *models, (tables.store, device()), bar)
        (row,) = table.to_pylist()
        context.add_output_metadata(
            {
                "clips": row["clips"],
                "left out, without readable audio": len(row["unreadable_clips"]),
                "shape": dg.MetadataValue.text(" x ".join(str(size) for size in row["shape"])),
                "file": dg.MetadataValue.path(tables.store.describe(row["latents_path"])),
            }
        )
        return table

    return latents


def _sounds(experiment: Experiment, retries: int) -> dg.AssetsDefinition:
    _, latents = _parts(experiment)

    @dg.asset(
        key=list(sounds_key(experiment)),
        ins={"training_manifest": dg.AssetIn(key=list(experiment.training_manifest))},
        deps=[list(experiment.key), list(latents)],
        group_name=GROUP,
        kinds={"pytorch", "flac"},
        owners=OWNERS,
        op_tags=gpu_tags(1),
        pool=GPU,
        retry_policy=gpu_retries(retries),
        description=f"Sounds that {experiment.name} makes from the texts of the launchpad, next to the "
        "nearest real clips of its training data. They are marked as generated, and are in no manifest.",
        metadata={**schema_metadata(GENERATED_SOUNDS), **MAY_SHRINK},
    )
    @scoped(encoder_scope(experiment))
    def generated_sounds(
        context: dg.AssetExecutionContext,
        config: SoundsConfig,
        training_manifest: pa.Table,
        store: StoreResource,
    ) -> pa.Table:
        from wavcaps_training.generation.asset import sounds_of

        tables = store.tables()
        row = made_of(tables, latents)
        with final_errors(), logged_to(context), progress_bar("sampling", 0, "texts") as bar:
            sampling = SamplingSettings(**config.model_dump(exclude={"texts"}))
            table = sounds_of(
                config.texts,
                _checkpoint(tables, experiment.key),
                (row, training_manifest),
                (tables.store, device()),
                sampling,
                bar,
            )
        context.add_output_metadata({"sounds": dg.MetadataValue.md(as_markdown(table)), "generated": True})
        return table

    return generated_sounds


def as_markdown(sounds: pa.Table) -> str:
    """Generated sounds, `tables.GENERATED_SOUNDS`, with what they are similar to, as a Markdown table."""
    head = "| text | similarity | nearest real clip | similarity |\n| --- | --- | --- | --- |\n"
    return head + "\n".join(
        f"| {cell(row['text'])} | {row['similarity']:z.2f} | {cell(row['nearest_caption'])} | "
        f"{row['nearest_similarity']:z.2f} |"
        for row in sounds.to_pylist()
    )


def _audioldm() -> dg.AssetsDefinition:
    @dg.asset(
        key=list(AUDIOLDM_AUTOENCODER),
        group_name="training",
        kinds={"pytorch", "safetensors"},
        owners=OWNERS,
        description="AudioLDM's autoencoder and vocoder, which the paper's text to sound uses: from a file "
        "of its authors, read without running any code in it, and copied into the store.",
        metadata={**schema_metadata(CHECKPOINT), "source": dg.MetadataValue.url(AUDIOLDM_SOURCE)},
    )
    @scoped(scope_of_encoders(AutoencoderSettings.model_fields["encoder"].default))
    def audioldm(context: dg.AssetExecutionContext, config: AudioldmConfig, store: StoreResource) -> pa.Table:
        from wavcaps_training.scoring.audioldm import audioldm_file, register_audioldm

        opened = store.tables().store
        with final_errors(), logged_to(context):
            file = audioldm_file(config.folder or ReleasedSettings().released_checkpoints, config.file)
            table = register_audioldm(file, opened)
        (row,) = table.to_pylist()
        context.add_output_metadata(
            {
                "file": dg.MetadataValue.path(str(file)),
                "weights": dg.MetadataValue.path(opened.describe(row["weights_path"])),
                "parameters": row["parameters"],
            }
        )
        return table

    return audioldm
