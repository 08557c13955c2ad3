"""Released checkpoints, and checkpoints that are scored by their paths."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
import torch
from click.testing import CliRunner
from transformers import AutoTokenizer, BertConfig

from tests.training.scoring.benchmark_clips import SETTINGS, benchmark, released_file, small_model
from tests.training.search.small_index import SmallSet
from tests.training.small_models import small_bert
from wavcaps_assets.defs.wiring import resources
from wavcaps_assets.settings import Settings, Sources
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_training.checkpoints.checkpoint import WEIGHTS, load_checkpoint, read_origin, save_checkpoint
from wavcaps_training.checkpoints.convert import text_folder_for
from wavcaps_training.checkpoints.recognition import Family
from wavcaps_training.checkpoints.released import ReadCheckpoint
from wavcaps_training.checkpoints.safe_files import ReleasedCheckpointError
from wavcaps_training.defs import benchmark_scores, file_scores, released, search, upstream
from wavcaps_training.defs.common import Location
from wavcaps_training.evaluation.nothing_to_score import NothingToScore
from wavcaps_training.paper.experiments import OWN_SPLIT
from wavcaps_training.paper.released import RELEASED_MODELS, released_named
from wavcaps_training.paper.tables.reported import REPORTED, reported_figures
from wavcaps_training.scoring.command import score
from wavcaps_training.scoring.files import Request, add_to, score_file
from wavcaps_training.scoring.released import released_file as find_file
from wavcaps_training.scoring.shown import of_checkpoint, trained_rows
from wavcaps_training.search.command import search as search_command
from wavcaps_training.settings.gpus import GpuSettings
from wavcaps_training.settings.training import Padding
from wavcaps_training.tables import FILE_SCORES, FILE_SCORES_KEY

pytestmark = pytest.mark.slow

SPLITS = ("train", *["test"] * 5)
ZERO_SHOT = RELEASED_MODELS[0]
# The sizes of the small model; the released files have those of the paper.
CHANGES: dict[str, Any] = {
    "model": SETTINGS.model.model_dump(mode="json"),
    "clip": {"seconds": 1.0},
    "batch_size": 4,
}
PADDED_AS_RELEASED = SETTINGS.model_copy(
    update={"clip": SETTINGS.clip.model_copy(update={"padding": Padding.BATCH})}
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with a benchmark, and beside it a released file and the same weights in our layout."""
    root = tmp_path_factory.mktemp("scored")
    tables = TableStore(Store(root / "store"))
    tables.write(["benchmark", "clotho"], None, benchmark(tables.store, SPLITS))
    released_file(root / "HTSAT-BERT-ZS.pt")
    save_checkpoint(root / "ours.safetensors", small_model(), PADDED_AS_RELEASED, started_from="")
    return root


@pytest.fixture
def tables(root: Path) -> TableStore:
    return TableStore(Store(root / "store"))


def values(scores: pa.Table) -> dict[tuple[str, str], float]:
    return {(row["direction"], row["metric"]): row["value"] for row in trained_rows(scores)}


def test_a_released_file_and_the_same_weights_in_our_layout_score_the_same(
    root: Path, tables: TableStore
) -> None:
    request = Request(root / "HTSAT-BERT-ZS.pt", ["clotho"], text_folder=small_bert(), changes=CHANGES)
    found = score_file(request, tables, "cpu")
    ours = score_file(Request(root / "ours.safetensors", ["clotho"]), tables, "cpu")
    ((_, name, of_released),), ((_, _, of_ours),) = found.scored, ours.scored
    assert name == "clotho" and values(of_released.table) == values(of_ours.table)
    one, other = of_checkpoint(of_released.table), of_checkpoint(of_ours.table)
    assert one["weights_sha256"] == other["weights_sha256"]
    assert one["trained_on_benchmark"] is False
    assert "Table V, HTSAT-BERT-ZS" in one["trained_on_benchmark_why"]
    assert "by the name of its file only" in one["trained_on_benchmark_why"]
    assert other["trained_on_benchmark"] is None
    assert of_released.partial == "partial: 5 of the 1,045 clips of Clotho that are scored"

    rows = add_to(FILE_SCORES.empty(), found)
    assert rows.num_rows == 10
    # The weights are the same, so the rows are replaced.
    again = add_to(rows, ours)
    assert again.num_rows == 10
    assert set(again["checkpoint"].to_pylist()) == {str(root / "ours.safetensors")}


def test_what_cannot_be_scored_says_why(root: Path, tables: TableStore, tmp_path: Path) -> None:
    ours = root / "ours.safetensors"
    with pytest.raises(NothingToScore, match="give a safetensors file of this project"):
        score_file(Request(root / "nothing.pt"), tables, "cpu")
    with pytest.raises(NothingToScore, match=r"audiocaps: .*put train\.csv"):
        score_file(Request(ours, ["audiocaps"]), tables, "cpu")
    with pytest.raises(NothingToScore, match="esc50x: models for retrieval are scored on"):
        score_file(Request(ours, ["esc50x"]), tables, "cpu")
    with pytest.raises(NothingToScore, match="retrieval has no protocol 'papers'"):
        score_file(Request(ours, protocol="papers"), tables, "cpu")
    clap = tmp_path / "clap.pt"
    torch.save({"state_dict": {"audio_branch.a": torch.ones(1), "text_branch.b": torch.ones(1)}}, clap)
    with pytest.raises(ReleasedCheckpointError, match=r"LAION's CLAP, which cannot be scored"):
        score_file(Request(clap), tables, "cpu")
    wrong = Request(root / "HTSAT-BERT-ZS.pt", text_folder=small_bert(), changes={"model": {"joint_dim": 8}})
    with pytest.raises(ReleasedCheckpointError, match="build the model with the released sizes"):
        score_file(wrong, tables, "cpu")


def test_a_missing_released_file_names_the_folder_and_where_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "other.pt").touch()
    for folder, name, parts in (
        ("", "", ["no folder", "HTSAT-BERT-ZS.pt", "WAVCAPS_RELEASED_CHECKPOINTS", "drive.google.com"]),
        (str(tmp_path), "", [f"no HTSAT-BERT-ZS.pt in {tmp_path}", "other.pt", "XinhaoMei/WavCaps"]),
        (str(tmp_path / "gone"), "mine.pt", [f"no mine.pt in {tmp_path / 'gone'}", "no .pt file"]),
    ):
        with pytest.raises(ReleasedCheckpointError) as raised:
            find_file(ZERO_SHOT, folder, name)
        assert all(part in str(raised.value) for part in parts)
    assert find_file(ZERO_SHOT, str(tmp_path), "other.pt") == tmp_path / "other.pt"


def test_every_released_checkpoint_has_its_row_in_the_paper() -> None:
    for one in RELEASED_MODELS:
        assert one.reported_in in REPORTED and reported_figures(one.reported_in, one.reported_on)
        assert released_named(one.file) is one
    assert len({one.key for one in RELEASED_MODELS}) == len(RELEASED_MODELS)


def test_bert_base_needs_no_folder(tmp_path: Path) -> None:
    read = ReadCheckpoint(tmp_path / "HTSAT-BERT-PT.pt", Family.HTSAT_BERT, {}, {})
    with text_folder_for(read, ZERO_SHOT.settings(), None) as folder:
        config = BertConfig.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
    assert (config.hidden_size, config.num_hidden_layers, config.vocab_size) == (768, 12, len(tokenizer))
    # Known ids of bert-base-uncased.
    assert tokenizer("hello world")["input_ids"] == [101, 7592, 2088, 102]


@pytest.fixture
def definitions(root: Path) -> dg.Definitions:
    """The assets of two released checkpoints, of which the file of one is there."""
    settings = Settings(sources=Sources.LIVE, store=str(root / "store"))
    pretrained = released_named("htsat_bert_pt")
    assert pretrained is not None
    location = Location(settings, GpuSettings(), (), (), OWN_SPLIT, (ZERO_SHOT, pretrained))
    return dg.Definitions.merge(
        released.definitions(location),
        benchmark_scores.definitions(location),
        file_scores.definitions(location),
        # Its job is for the checkpoint in the report.
        search.definitions(replace(location, experiments=(OWN_SPLIT,))),
        dg.Definitions(
            assets=[dg.AssetSpec(list(key)) for key in (OWN_SPLIT.key, OWN_SPLIT.training_manifest)]
        ),
        upstream.definitions(location),
        dg.Definitions(resources=resources(settings)),
    )


def run(
    definitions: dg.Definitions, job: str, config: dict[str, Any], *selected: str
) -> dg.ExecuteInProcessResult:
    return definitions.resolve_job_def(job).execute_in_process(
        run_config={"ops": {name: {"config": value} for name, value in config.items()}},
        asset_selection=[dg.AssetKey(name.split("/")) for name in selected] or None,
    )


def test_released_checkpoints_are_scored_and_searched_as_assets_and_by_jobs(
    root: Path, tables: TableStore, definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, key = "__ASSET_JOB", "checkpoint/released/htsat_bert_zs"
    config = {"folder": str(root), "text_folder": str(small_bert()), "settings": CHANGES}
    assert run(definitions, whole, {key.replace("/", "__"): config}, key).success
    (row,) = tables.read(ZERO_SHOT.key, [WHOLE]).to_pylist()
    with tables.store.reading(row["weights_path"]) as weights:
        origin = read_origin(weights)
        model, _ = load_checkpoint(weights)
    assert origin.released == "htsat_bert_zs" and origin.text_files
    assert all(
        torch.equal(one, other)
        for one, other in zip(model.parameters(), small_model().parameters(), strict=True)
    )
    assert row["parameters"] == sum(one.numel() for one in model.parameters()) and row["best_epoch"] == 12

    # In a job, checkpoints that are not there are passed over.
    job = run(definitions, "score_retrieval_clotho", {})
    events = job.get_asset_materialization_events()
    scored = [event.asset_key.to_user_string() for event in events if event.asset_key]
    assert job.success and scored == ["scores/retrieval/clotho/released/htsat_bert_zs"]
    scores = tables.read(scored[0].split("/"), [WHOLE])
    about = of_checkpoint(scores)
    assert about["checkpoint"] == "released/htsat_bert_zs" and about["trained_on_benchmark"] is False
    with pytest.raises(dg.Failure, match="materialize the checkpoint first"):
        run(definitions, whole, {}, scored[0].replace("_zs", "_pt"))

    by_path = {"scores__files": {"path": str(root / "store" / row["weights_path"])}}
    assert run(definitions, "score_file", by_path).success
    files = tables.read(FILE_SCORES_KEY, [WHOLE])
    assert files["value"].to_pylist() == [row["value"] for row in trained_rows(scores)]
    assert set(files["trained_on_benchmark"].to_pylist()) == {False}

    SmallSet(tables, Settings()).publish()
    monkeypatch.setenv("WAVCAPS_STORE", str(root / "store"))
    assert run(definitions, whole, {}, "search_index/released/htsat_bert_zs").success
    monkeypatch.setenv("WAVCAPS_STATE", str(root / "state"))
    found = CliRunner().invoke(search_command, ["dog", "barking", "--checkpoint", "released/htsat_bert_zs"])
    assert found.exit_code == 0 and found.output.count("freesound, CC0-1.0: ") == 5, found.output


def test_the_command(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAVCAPS_STORE", str(root / "store"))
    runner, ours = CliRunner(), str(root / "ours.safetensors")
    done = runner.invoke(score, [ours, "--protocol", "middle"])
    assert done.exit_code == 0, done.output
    for part in (
        "retrieval on clotho: 5 clips",
        "R@10, text to audio",
        "95 % interval",
        "partial: 5 of the 1,045 clips of Clotho",
        "trained on this benchmark's train split: unknown",
        "protocol middle: every query ranks all candidates",
        "audiocaps was not scored: ",
    ):
        assert part in done.output
    sizes = {f"model.{name}": value for name, value in CHANGES["model"].items()} | {"clip.seconds": 1}
    options = [part for name, value in sizes.items() for part in ("--set", f"{name}={json.dumps(value)}")]
    file, text = str(root / "HTSAT-BERT-ZS.pt"), ["--text-model", str(small_bert())]
    done = runner.invoke(score, [file, "--benchmark", "clotho", *text, *options])
    assert done.exit_code == 0 and "train split: no: The released HTSAT-BERT" in done.output, done.output
    done = runner.invoke(score, [ours, "--benchmark", "audiocaps"])
    assert done.exit_code == 1 and "was not scored on any benchmark. audiocaps: " in done.output
    # The folder of a run, from inside it.
    (root / "run").mkdir()
    save_checkpoint(root / "run" / WEIGHTS, small_model(), SETTINGS, started_from="")
    monkeypatch.chdir(root / "run")
    done = runner.invoke(score, [".", "--benchmark", "clotho"])
    assert done.exit_code == 0, done.output
    # Weights that are finite, and vectors that are not.
    broken = small_model()
    with torch.no_grad():
        broken.get_parameter("audio_proj.2.weight").fill_(3e38)
    save_checkpoint(root / "broken.safetensors", broken, SETTINGS, started_from="")
    done = runner.invoke(score, [str(root / "broken.safetensors")])
    assert done.exit_code == 1 and "Error: the embeddings of 5 clips hold NaN" in done.output, done.output
