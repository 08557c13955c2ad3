"""The experiments against the paper's text, and the graph that they make."""

from __future__ import annotations

import json
import math
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
import soundfile
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from tests.support.own_sets import write_audiocaps_and_clotho
from tests.support.rows import manifest_row
from wavcaps_assets import definitions as assets_location
from wavcaps_assets.benchmark_sets.exclusion_lists import EVALUATION
from wavcaps_assets.defs.training_manifests import training_manifest_assets
from wavcaps_assets.defs.wiring import resources
from wavcaps_assets.settings import Settings, Sources
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import MANIFEST
from wavcaps_assets.tables.asset_tables import TableStore, with_set_version
from wavcaps_training import definitions as training_location
from wavcaps_training.defs.checkpoints import checkpoint_asset
from wavcaps_training.executor.gpu_tags import GPU_TAG
from wavcaps_training.models.audio_encoder import build_audio_encoder
from wavcaps_training.paper.experiments import EXPERIMENTS, Experiment, changed, untrained_parts
from wavcaps_training.paper.models import Preset, Size, Stage
from wavcaps_training.paper.tables.reported import REPORTED
from wavcaps_training.paper.tables.retrieval import RetrievalResult
from wavcaps_training.settings.captioner import CaptionerTrainingSettings
from wavcaps_training.settings.differences import differences
from wavcaps_training.settings.generation import Condition, GenerationTrainingSettings
from wavcaps_training.settings.gpus import GpuSettings
from wavcaps_training.settings.training import Objective, Padding, Precision, TrainingSettings
from wavcaps_training.tasks.building import build_task

BY_NAME = {experiment.name: experiment for experiment in EXPERIMENTS}


def test_every_row_of_the_papers_tables_is_an_experiment() -> None:
    reported = {experiment.reported_in for experiment in EXPERIMENTS if experiment.reported_in}
    # The last row of Table IX is Table V's of HTSAT-BERT-ZS.
    assert reported == REPORTED.keys() - {"Table IX, WavCaps"}
    again, there = REPORTED["Table IX, WavCaps"], REPORTED["Table V, HTSAT-BERT-ZS"]
    assert isinstance(again, RetrievalResult) and isinstance(there, RetrievalResult)
    assert (again.audiocaps, again.clotho) == (there.audiocaps, there.clotho)


@pytest.mark.parametrize(
    ("name", "table", "figures"),
    [
        ("cnn14_bert/zero_shot", "Table V, CNN14-BERT-ZS", ["25.4", "17.5"]),
        ("htsat_bert/pretraining_laion", "Table V, HTSAT-BERT-PT on LA", ["34.2", "17.4"]),
        ("cnn14_bert/fine_tuning_clotho", "Table V, CNN14-BERT-FT", ["21.5"]),
        ("htsat_bart/fine_tuning_audiocaps", "Table VI, HTSAT-BART", ["70.7"]),
        ("htsat_bert/freesound_before_stage_1", "Table IX, Before 1st step", ["12.9", "12.5"]),
        ("cnn14_bart/freesound_after_stage_3", "Table X, After 3rd step", ["34.0", "34.6"]),
        ("audioldm_wavcaps/text", "Table VIII, AudioLDM WavCaps, text condition", ["2.29"]),
        ("audioldm_wavcaps_ft/audio", "Table VIII, AudioLDM WavCaps-FT, audio condition", ["2.98"]),
    ],
)
def test_a_checkpoints_page_has_the_papers_figures(name: str, table: str, figures: list[str]) -> None:
    asset = checkpoint_asset(BY_NAME[name], GpuSettings())
    shown = str(asset.metadata_by_key[asset.key]["the paper's"].value)
    assert shown.startswith(f"| {table}")
    # The first figure of each test set: R@1 of text-to-audio, or BLEU-1.
    assert [line.split(" | ")[1] for line in shown.splitlines()[2:]] == figures


@pytest.mark.parametrize(
    ("name", "epochs", "batch", "rate"),
    [
        # Section IV.A: 15, 15, 40 and 20 epochs; "batch size of 128 and a learning rate of 5 x 10^-5".
        ("htsat_bert/baseline", 15, 128, 5e-5),
        ("cnn14_bert/zero_shot", 15, 128, 5e-5),
        ("htsat_bert/pretraining", 40, 128, 5e-5),
        ("cnn14_bert/fine_tuning_audiocaps", 20, 128, 5e-5),
        ("htsat_bert/freesound_before_stage_1", 15, 128, 5e-5),
        # Section IV.B: "a learning rate of 5 x 10^-5 and a batch size of 48 for 15 epochs", then 20 epochs
        # with 5 x 10^-6.
        ("htsat_bart/pretraining", 15, 48, 5e-5),
        ("cnn14_bart/fine_tuning_clotho", 20, 48, 5e-6),
    ],
)
def test_the_papers_hyper_parameters(name: str, epochs: int, batch: int, rate: float) -> None:
    settings = BY_NAME[name].settings()
    assert (settings.epochs, settings.batch_size, settings.learning_rate) == (epochs, batch, rate)
    # Section IV.A: HTSAT's clips are of 10 s, CNN14's of at most 30 s; no warm-up is named.
    expected = (30.0, Padding.BATCH) if name.startswith("cnn14") else (10.0, Padding.ZEROS)
    assert (settings.clip.seconds, settings.clip.padding) == expected
    assert (settings.warmup_epochs, settings.cosine) == (0, False)


@pytest.mark.parametrize("name", ["audioldm_wavcaps", "audioldm_wavcaps_ft"])
@pytest.mark.parametrize("condition", list(Condition))
def test_the_papers_hyper_parameters_of_text_to_sound(name: str, condition: Condition) -> None:
    """Section IV.D: a learning rate of 3e-5, a batch size of 8, 400,000 steps, scored each 50,000."""
    experiment = BY_NAME[f"{name}/{condition.value}"]
    settings = experiment.settings()
    assert isinstance(settings, GenerationTrainingSettings)
    assert (settings.learning_rate, settings.batch_size, settings.weight_decay) == (3e-5, 8, 0)
    # AudioCaps has 49,838 train clips.
    assert settings.epochs == math.ceil(400_000 / (49_838 // 8))
    assert settings.keep_every_steps == 50_000
    assert (settings.model.condition, settings.model.condition_dim) == (condition, 1024)
    assert experiment.parts is not None
    retrieval = BY_NAME["/".join(experiment.parts.conditioned_by[1:])].settings()
    assert isinstance(retrieval, TrainingSettings) and retrieval.model.joint_dim == 1024
    tiny = experiment.settings(size=Size.tiny)
    assert isinstance(tiny, GenerationTrainingSettings) and tiny.model.condition is condition


def test_the_released_hyper_parameters_differ() -> None:
    released = BY_NAME["htsat_bert/zero_shot"].settings(Preset.released)
    assert isinstance(released, TrainingSettings)
    assert (released.objective, released.warmup_epochs, released.cosine) == (Objective.RELEASED, 2, True)
    tuned = BY_NAME["htsat_bert/fine_tuning_clotho"].settings(Preset.released)
    assert (tuned.warmup_epochs, tuned.buckets) == (0, ())
    captioner = BY_NAME["cnn14_bart/pretraining"].settings(Preset.released)
    assert isinstance(captioner, CaptionerTrainingSettings)
    assert (captioner.learning_rate, captioner.epochs, captioner.clip_gradient_norm) == (3e-5, 10, 2.0)
    assert captioner.model.label_smoothing == 0.1
    for name in ("htsat_bert/pretraining", "htsat_bart/pretraining", "cnn14_bart/pretraining"):
        assert BY_NAME[name].settings(Preset.released).clip.padding is Padding.BATCH


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.name)
def test_all_presets_and_sizes_are_settings(experiment: Experiment) -> None:
    for preset in Preset:
        for size in Size:
            settings = experiment.settings(preset, size)
            assert type(settings).model_validate_json(settings.model_dump_json()) == settings


def test_fine_tuning_starts_from_pretraining_of_the_same_size() -> None:
    """Its weights must fit, whichever preset and size both are run with."""
    tuned = [experiment for experiment in EXPERIMENTS if experiment.stage is Stage.FINE_TUNING]
    assert len(tuned) == 8
    for experiment in tuned:
        start = BY_NAME[f"{experiment.model.name}/{experiment.starts_from}"]
        for size in Size:
            theirs, ours = (one.settings(size=size).model for one in (start, experiment))
            assert differences(theirs.model_dump(mode="json"), ours.model_dump(mode="json"), "model") == []


def test_each_experiment_is_a_checkpoint_downstream_of_its_manifest() -> None:
    settings = Settings(sources=Sources.LIVE)
    graph = training_location.build(settings).resolve_asset_graph()
    upstream = assets_location.build(settings).resolve_asset_graph()
    keys = {key.to_user_string() for key in graph.get_all_asset_keys()}
    for experiment in EXPERIMENTS:
        if experiment.stage is Stage.DEMO:
            continue
        assert f"checkpoint/{experiment.name}" in keys
        parents = {key.to_user_string() for key in graph.get(dg.AssetKey(list(experiment.key))).parent_keys}
        expected = {"/".join(experiment.training_manifest)}
        if experiment.starts_from:
            expected.add(f"checkpoint/{experiment.model.name}/{experiment.starts_from}")
        if experiment.latents_key:
            expected.add("/".join(experiment.latents_key))
        assert parents == expected
        assert expected <= keys
        assert dg.AssetKey(list(experiment.training_manifest)) in upstream.get_all_asset_keys()
    zero_shot = upstream.get(dg.AssetKey(["training_manifest", "wavcaps_zero_shot"])).parent_keys
    benchmarks = {
        dg.AssetKey([kind, name])
        for kind in ("benchmark", "audio_overlaps")
        for name in ("audiocaps", "clotho")
    }
    assert zero_shot == {dg.AssetKey("wavcaps"), *benchmarks}


@pytest.mark.parametrize(
    ("environment", "gpus", "retries"),
    [({}, "1", 3), ({"WAVCAPS_GPUS_PER_TRAINING": "4", "WAVCAPS_GPU_STEP_RETRIES": "1"}, "4", 1)],
)
def test_the_environment_says_on_how_many_gpus_checkpoints_train_and_how_often_they_are_tried(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], gpus: str, retries: int
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    definitions = training_location.build(Settings(sources=Sources.LIVE))
    steps = {
        asset.key.path[0]: asset.op
        for asset in definitions.assets or ()
        if isinstance(asset, dg.AssetsDefinition) and not {"released", "autoencoder"} & {*asset.key.path}
    }
    for name, expected in (("checkpoint", gpus), ("scores", "1")):
        assert steps[name].tags[GPU_TAG] == expected
        policy = steps[name].retry_policy
        assert policy is not None and policy.max_retries == retries


@pytest.mark.parametrize("gpus", ["0", "1.5", "0.33", "-1"])
def test_a_number_of_gpus_that_cannot_be_had_is_refused(monkeypatch: pytest.MonkeyPatch, gpus: str) -> None:
    monkeypatch.setenv("WAVCAPS_GPUS_PER_TRAINING", gpus)
    with pytest.raises(ValidationError, match="gpus_per_training"):
        GpuSettings()


def test_settings_are_changed_by_name() -> None:
    settings = BY_NAME["htsat_bert/zero_shot"].settings()
    there = changed(settings, {"precision": "bf16-mixed", "model": {"text": {"folder": "/bert"}}})
    assert isinstance(there, TrainingSettings)
    assert (there.precision, there.model.text.folder) == (Precision.BF16, "/bert")
    assert changed(there, {"precision": "32-true", "model": {"text": {"folder": ""}}}) == settings
    with pytest.raises(ValidationError, match=r"model\.text\.foldr"):
        changed(settings, {"model": {"text": {"foldr": "/bert"}}})


def test_what_the_papers_models_start_from_is_asked_for() -> None:
    for name, own in (("cnn14_bert/zero_shot", "text"), ("htsat_bart/zero_shot", "bart")):
        experiment = BY_NAME[name]
        given = {"audio_weights": "/weights.pth", "model": {own: {"folder": "/model"}}}
        assert len(untrained_parts(experiment, experiment.settings())) == 2
        assert untrained_parts(experiment, changed(experiment.settings(), given)) == []
    tuned = BY_NAME["htsat_bert/fine_tuning_clotho"]
    assert untrained_parts(tuned, tuned.settings()) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["htsat_bert/zero_shot", "cnn14_bart/zero_shot"])
def test_the_audio_encoder_starts_from_weights_that_are_given(tmp_path: Path, name: str) -> None:
    settings = BY_NAME[name].settings(size=Size.tiny)
    encoder = build_audio_encoder(settings.audio_encoder)
    torch.save({"model": encoder.state_dict()}, tmp_path / "encoder.pt")
    for given, same in ((str(tmp_path / "encoder.pt"), True), ("", False)):
        state = build_task(changed(settings, {"audio_weights": given})).model.state_dict()
        started = {
            key.partition("audio_enc.")[2]: value for key, value in state.items() if "audio_enc." in key
        }
        assert all(torch.equal(value, started[key]) for key, value in encoder.state_dict().items()) is same


def test_the_demo_has_its_own_experiment_only() -> None:
    keys = {
        key.to_user_string()
        for key in training_location.build(Settings()).resolve_asset_graph().get_all_asset_keys()
    }
    assert {key for key in keys if key.startswith("checkpoint/")} == {
        "checkpoint/aisfx_minilm/demo",
        "checkpoint/audioldm/demo",
        "checkpoint/autoencoder/demo",
        "checkpoint/htsat_bert/demo",
    }


@pytest.fixture
def store(tmp_path: Path) -> Path:
    write_audiocaps_and_clotho(tmp_path)
    (tmp_path / "sets" / f"{EVALUATION}.json").write_text(json.dumps({"AudioSet": [], "FreeSound": ["7"]}))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("model", ["htsat_bert", "cnn14_bart"])
def test_pretraining_and_fine_tuning_run_end_to_end(store: Path, model: str) -> None:
    tables = TableStore(Store(store))
    clips = [manifest_row(f"freesound-{n}", audio_path=f"audio/{n}.flac", duration_s=1.0) for n in (6, 7)]
    (store / "audio").mkdir()
    soundfile.write(store / "audio" / "6.flac", np.full(32_000, 0.1), 32_000)
    tables.write(["wavcaps"], None, with_set_version(MANIFEST.from_rows(clips), "v1-0123abcd"))
    made = [
        *training_manifest_assets(),
        *(
            checkpoint_asset(BY_NAME[f"{model}/{name}"], GpuSettings())
            for name in ("pretraining", "fine_tuning_clotho")
        ),
    ]
    keys = [
        ["training_manifest", "wavcaps_audiocaps_clotho"],
        ["training_manifest", "clotho"],
        ["checkpoint", model, "pretraining"],
        ["checkpoint", model, "fine_tuning_clotho"],
    ]
    config = {"preset": "released", "size": "tiny", "epochs": 1, "settings": {"batch_size": 4}}
    result = dg.materialize(
        made,
        selection=dg.AssetSelection.assets(*keys),
        resources=resources(Settings(store=str(store), sources=Sources.LIVE)),
        run_config={"ops": {"__".join(key): {"config": config} for key in keys[2:]}},
    )
    assert result.success
    manifest = tables.read(keys[0]).to_pylist()
    # freesound-7 is on the list of what the benchmarks are evaluated on.
    assert [row["clip_id"] for row in manifest if row["source"] == "freesound"] == ["freesound-6"]
    before, after = (tables.read(key).to_pylist()[0] for key in keys[2:])
    # Clotho alone is of no version of the set.
    assert (before["set_version"], after["set_version"]) == ("v1-0123abcd", None)
    assert [len(row["learning_curve"]) for row in (before, after)] == [1, 1]
    assert json.loads(after["settings_json"])["batch_size"] == 4
    weights, start = (
        load_file(store / path) for path in (before["weights_path"], after["untrained_weights_path"])
    )
    assert weights.keys() == start.keys()
    assert all(torch.equal(weights[name], start[name]) for name in weights)
