"""The demo's text to sound as assets: from latents to sounds and scores, with small models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from tests.training.generation.small_sounds import AUTOENCODER, GENERATION, RETRIEVAL, tones
from wavcaps_assets.defs.wiring import resources
from wavcaps_assets.settings import Settings
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import BENCHMARK_CLIPS
from wavcaps_assets.tables.asset_tables import TableStore, with_set_version
from wavcaps_training.checkpoints.checkpoint import CheckpointOrigin, read_origin, save_checkpoint
from wavcaps_training.defs.checkpoints import checkpoint_asset
from wavcaps_training.defs.common import Location
from wavcaps_training.defs.text_to_sound import definitions
from wavcaps_training.evaluation.nothing_to_score import NothingToScore
from wavcaps_training.generation.stored_latents import older_parts
from wavcaps_training.models.building import build_model
from wavcaps_training.paper.experiments import DEMO_AUTOENCODER, DEMO_EXPERIMENT, DEMO_SOUND, HTSAT_DEMO
from wavcaps_training.scoring.generation import SAMPLING, score_generation
from wavcaps_training.scoring.released import released_row
from wavcaps_training.scoring.scored_part import ScoredPart
from wavcaps_training.scoring.stored import training_data
from wavcaps_training.scoring.trained_on import Described, FromManifest, Several, TrainingData
from wavcaps_training.settings.generation import SamplingSettings
from wavcaps_training.settings.gpus import GpuSettings
from wavcaps_training.tables import BENCHMARK_GENERATION, CHECKPOINT

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = GENERATION.model_dump(mode="json", exclude={"task"}, exclude_none=True)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which the demo's text to sound was made from tones."""
    root = tmp_path_factory.mktemp("store")
    tables = TableStore(Store(root))
    tables.write(["training_manifest"], None, tones(root))
    for experiment in (DEMO_EXPERIMENT, HTSAT_DEMO):
        path = root / f"{experiment.model.name}.safetensors"
        save_checkpoint(path, build_model(RETRIEVAL), RETRIEVAL)
        row = {"model": experiment.model.name, "setting": "demo", **released_row(RETRIEVAL, path.name, 1)}
        tables.write(experiment.key, None, CHECKPOINT.from_rows([row]))
    location = Location(Settings(), GpuSettings(), (), (DEMO_SOUND,), DEMO_EXPERIMENT)
    made = [
        dg.AssetSpec("training_manifest"),
        checkpoint_asset(DEMO_AUTOENCODER, GpuSettings()),
        checkpoint_asset(DEMO_SOUND, GpuSettings()),
        *(definitions(location).assets or ()),
    ]
    autoencoder: dict[str, Any] = AUTOENCODER.model_dump(mode="json", exclude={"task"}, exclude_none=True)
    result = dg.materialize(
        made,  # type: ignore[arg-type]
        resources=resources(Settings(store=str(root))),
        run_config={
            "ops": {
                "checkpoint__autoencoder__demo": {"config": {"settings": autoencoder, "epochs": 1}},
                "checkpoint__audioldm__demo": {"config": {"settings": SMALL, "epochs": 1}},
                "generated_sounds__audioldm__demo": {"config": {"texts": ["A tone."], "steps": 5}},
            }
        },
    )
    assert result.success
    return root


def test_sounds_are_made_from_the_assets(store: Path) -> None:
    tables = TableStore(Store(store))
    (latents,) = tables.read(["latents", "audioldm"]).to_pylist()
    assert (latents["clips"], latents["width"], latents["shape"]) == (12, 16, [4, 16, 16])
    assert (latents["autoencoder"], latents["conditioned_by"]) == ("autoencoder/demo", "aisfx_minilm/demo")
    (checkpoint,) = tables.read(["checkpoint", "audioldm", "demo"]).to_pylist()
    assert latents["conditioned_by_sha256"] in checkpoint["settings_json"]
    (sound,) = tables.read(["generated_sounds", "audioldm", "demo"]).to_pylist()
    assert (sound["text"], sound["candidates"], sound["checkpoint"]) == ("A tone.", 3, "audioldm/demo")
    assert (store / sound["audio_path"]).is_file()


@pytest.mark.parametrize(
    ("asset", "config", "problem"),
    [
        ("generated_sounds", {"candidates": 0}, "candidates: Input should be greater than 0"),
        ("generated_sounds", {"seed": 2**63}, "seed: Input should be less than 9223372036854775808"),
        ("generated_sounds", {"texts": []}, "there is no text to make a sound from"),
        ("checkpoint", {"epochs": 0}, "epochs: Input should be greater than 0"),
        ("checkpoint", {"settings": {"batch": 8}}, "batch: Extra inputs are not permitted"),
    ],
)
def test_what_the_launchpad_does_not_allow_is_not_tried_again(
    store: Path, asset: str, config: dict[str, Any], problem: str
) -> None:
    location = Location(Settings(), GpuSettings(gpu_step_retries=3), (), (DEMO_SOUND,), DEMO_EXPERIMENT)
    made = [
        dg.AssetSpec("training_manifest"),
        checkpoint_asset(DEMO_SOUND, location.gpus),
        *(definitions(location).assets or ()),
    ]
    before = TableStore(Store(store)).read(["generated_sounds", "audioldm", "demo"])
    result = dg.materialize(
        made,  # type: ignore[arg-type]
        selection=[dg.AssetKey([asset, "audioldm", "demo"])],
        resources=resources(Settings(store=str(store))),
        run_config={"ops": {f"{asset}__audioldm__demo": {"config": config}}},
        raise_on_error=False,
    )
    (failure,) = result.get_step_failure_events()
    cause = failure.step_failure_data.user_failure_data
    assert cause is not None and problem in (cause.description or "")
    assert not [event for event in result.all_events if event.is_step_up_for_retry]
    assert TableStore(Store(store)).read(["generated_sounds", "audioldm", "demo"]).equals(before)


def test_sounds_are_scored_next_to_real_audio_and_noise(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SAMPLING, "quick", SamplingSettings(steps=5, candidates=1))
    tables = TableStore(Store(store))
    manifest = tables.read(["training_manifest"]).slice(0, 4)
    clips = BENCHMARK_CLIPS.from_rows(
        [
            {
                "clip_id": row["clip_id"],
                "benchmark": "demo_sounds",
                "version": "1",
                "split": "test",
                "file": row["audio_path"],
                "captions": [row["caption"]],
                "freesound_id": "1" if number < 2 else None,
                "audio_path": row["audio_path"],
                "duration_s": row["duration_s"],
            }
            for number, row in enumerate(manifest.to_pylist())
        ]
    )
    part = ScoredPart("demo_sounds", "1", clips, clips, None)
    (row,) = tables.read(["checkpoint", "audioldm", "demo"]).to_pylist()
    weights = store / row["weights_path"]
    found = score_generation(weights, part, tables.store, "cpu", "quick")
    scores = {(one["model"], one["metric"]): one for one in found.rows}
    assert found.clip_ids == manifest["clip_id"].to_pylist()
    for metric in ("FAD", "FD", "IS", "KL"):
        assert scores["trained", metric]["value"] is None
        assert scores["trained", metric]["note"].startswith("not measured: ")
    for model in ("trained", "real audio", "noise"):
        for kind, judge in (("own", "aisfx_minilm/demo"), ("other", "htsat_bert/demo")):
            clap = scores[model, f"CLAP score, {kind}"]
            assert -1 <= clap["low"] <= clap["value"] <= clap["high"] <= 1 and clap["judged_by"] == judge
            assert scores[model, f"Fréchet distance of CLAP vectors, {kind}"]["value"] >= 0
    assert {column.name for column in BENCHMARK_GENERATION.columns} >= set(found.rows[0])
    with pytest.raises(NothingToScore, match="chooses a checkpoint by FAD, which is not measured"):
        score_generation(weights, part, tables.store, "cpu", "paper")


def test_what_its_frozen_networks_were_trained_on_counts(store: Path) -> None:
    tables = TableStore(Store(store))
    (row,) = tables.read(["checkpoint", "audioldm", "demo"]).to_pylist()
    origin = read_origin(store / row["weights_path"])
    assert trained("audioldm/demo", origin, tables) == {
        "autoencoder/demo",
        "aisfx_minilm/demo",
        "audioldm/demo",
    }
    # Latents that were made again do not say what this checkpoint was made with.
    latents = tables.read(["latents", "audioldm"])
    tables.write(["latents", "audioldm"], None, latents.slice(0, 0))
    try:
        assert trained("audioldm/demo", origin, tables) == {
            "the autoencoder of audioldm/demo is not in the store",
            "the retrieval model of audioldm/demo is not in the store",
            "audioldm/demo",
        }
    finally:
        tables.write(["latents", "audioldm"], None, latents)


def test_parts_that_were_trained_again_are_named(store: Path) -> None:
    """The model would be trained on latents of the earlier ones, and its page would not say so."""
    tables = TableStore(Store(store))
    manifest, latents = tables.read(["training_manifest"]), tables.read(["latents", "audioldm"])
    assert older_parts(latents, manifest, tables) == []
    of_v1, of_v2 = (with_set_version(table, name) for table, name in ((latents, "v1"), (manifest, "v2")))
    assert older_parts(of_v1, of_v2, tables) == ["the set (v1, now v2)"]
    assert older_parts(of_v1, manifest, tables) == older_parts(latents, of_v2, tables) == []
    path = store / "trained_again.safetensors"
    save_checkpoint(path, build_model(RETRIEVAL), RETRIEVAL)
    before = tables.read(DEMO_EXPERIMENT.key)
    again = {**before.to_pylist()[0], "weights_path": path.name}
    tables.write(DEMO_EXPERIMENT.key, None, CHECKPOINT.from_rows([again]))
    try:
        assert older_parts(latents, manifest, tables) == ["aisfx_minilm/demo"]
        result = dg.materialize(
            [dg.AssetSpec("training_manifest"), checkpoint_asset(DEMO_SOUND, GpuSettings())],
            selection=[dg.AssetKey(list(DEMO_SOUND.key))],
            resources=resources(Settings(store=str(store))),
            run_config={"ops": {"checkpoint__audioldm__demo": {"config": {"settings": SMALL, "epochs": 1}}}},
        )
        (made,) = result.asset_materializations_for_node("checkpoint__audioldm__demo")
        assert made.metadata["newer than its latents"].value == "aisfx_minilm/demo"
    finally:
        tables.write(DEMO_EXPERIMENT.key, None, before)


def trained(name: str, origin: CheckpointOrigin, tables: TableStore) -> set[str]:
    """The trainings that are known, and why others are not."""
    data: list[TrainingData] = [training_data(name, origin, tables)]
    found = set()
    while data:
        one = data.pop()
        if isinstance(one, Several):
            data += one.parts
        elif isinstance(one, FromManifest):
            found.add(one.training.checkpoint)
        elif isinstance(one, Described):
            found.add(one.source)
    return found
