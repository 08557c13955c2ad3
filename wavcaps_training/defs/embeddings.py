"""What pretrained audio encoders make of the published clips, an asset for each encoder that is used."""

import dagster as dg
import pyarrow as pa

from wavcaps_assets.defs.code_versions import scoped
from wavcaps_assets.defs.logs import logged_to
from wavcaps_assets.defs.pools import GPU
from wavcaps_assets.defs.resources import StoreResource
from wavcaps_assets.defs.table_io_manager import schema_metadata
from wavcaps_assets.show.progress import progress_bar
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_training.defs.common import OWNERS, Location, device, encoder_scope
from wavcaps_training.defs.retries import final_errors, gpu_retries
from wavcaps_training.executor.gpu_tags import gpu_tags
from wavcaps_training.paper.experiments import ALIKE_BY, Experiment
from wavcaps_training.paper.released import ReleasedModel
from wavcaps_training.tables import AUDIO_EMBEDDINGS


def definitions(location: Location) -> dg.Definitions:
    made_by = {one.embeddings_key: one for one in (ALIKE_BY, *location.experiments)}
    return dg.Definitions(
        assets=[
            _embeddings(experiment, list(key), location.gpus.gpu_step_retries)
            for key, experiment in made_by.items()
            if key is not None
        ]
    )


def _embeddings(experiment: Experiment, key: list[str], retries: int) -> dg.AssetsDefinition:
    @dg.asset(
        key=key,
        ins={"wavcaps": dg.AssetIn()},
        group_name="training",
        kinds={"pytorch", "parquet"},
        owners=OWNERS,
        op_tags=gpu_tags(1),
        pool=GPU,
        retry_policy=gpu_retries(retries),
        description=f"What the frozen audio encoder {key[-1]} makes of each published clip. Clips whose "
        "audio has not changed are not computed again. Checkpoints with this encoder, and their scores, "
        "read it.",
        metadata=schema_metadata(AUDIO_EMBEDDINGS),
    )
    @scoped(encoder_scope(experiment))
    def audio_embeddings(
        context: dg.AssetExecutionContext, wavcaps: pa.Table, store: StoreResource
    ) -> pa.Table:
        from wavcaps_training.data import AudioFiles
        from wavcaps_training.evaluation.clip_features import embed_set

        tables, settings = store.tables(), experiment.settings()
        known = tables.read(key, [WHOLE]) if tables.exists(key, None) else AUDIO_EMBEDDINGS.empty()
        with final_errors(), logged_to(context), progress_bar("embedding", 0, "clips") as bar:
            embeddings = embed_set(wavcaps, known, settings, AudioFiles(tables.store), device(), bar)
        context.add_output_metadata(
            {
                "clips": embeddings.num_rows,
                "left out, without readable audio": wavcaps.num_rows - embeddings.num_rows,
                **credit(experiment),
            }
        )
        return embeddings

    return audio_embeddings


def known_embeddings(tables: TableStore, experiment: Experiment | ReleasedModel) -> pa.Table | None:
    """The features of a checkpoint's clips, of the audio that is published now; None: there are none."""
    from wavcaps_training.evaluation.clip_features import of_published_audio

    key = experiment.embeddings_key
    if key is None or not tables.exists(key, None):
        return None
    published = tables.read(["wavcaps"], None, ["clip_id", "samples_sha256"])
    return of_published_audio(tables.read(key, [WHOLE]), published)


def credit(experiment: Experiment) -> dict[str, dg.MetadataValue]:
    """Whom to credit for the pretrained audio encoder of an experiment; empty: it has none."""
    encoder = experiment.settings().audio_encoder
    if not encoder.pretrained:
        return {}
    return {
        "audio encoder": dg.MetadataValue.text(encoder.attribution),
        "SHA-256 of its weights": dg.MetadataValue.text(encoder.weights_sha256),
    }
