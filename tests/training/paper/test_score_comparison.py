"""A score stands next to a figure of the paper only if it is its like."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.analysis import EXAMPLES, SET_STATISTICS
from wavcaps_training.checkpoints.header import stored_weights_sha256
from wavcaps_training.paper.cells import score_cells
from wavcaps_training.paper.comparison import compare
from wavcaps_training.paper.experiments import EXPERIMENTS, Experiment
from wavcaps_training.paper.likeness import differences_from_paper
from wavcaps_training.paper.models import Preset, Size
from wavcaps_training.paper.stored_scores import StoredScores
from wavcaps_training.settings.captioner import AnyTrainingSettings

ZERO_SHOT = ("scores", "retrieval", "audiocaps", "htsat_bert", "zero_shot")
CELL = ("Table V", "HTSAT-BERT-ZS", "AudioCaps text-to-audio R@1")
# As in the paper: weights that others trained are named.
BEGUN = {"audio_weights": "/models/HTSAT.ckpt", "model": {"text": {"folder": "/models/bert-base-uncased"}}}
CAPTIONER = {"audio_weights": "/models/Cnn14.pth", "model": {"bart": {"folder": "/models/bart-base"}}}


def experiment(name: str) -> Experiment:
    return next(one for one in EXPERIMENTS if one.name == name)


def settings_of(
    name: str, *, preset: Preset = Preset.paper, size: Size = Size.paper, **changes: Any
) -> AnyTrainingSettings:
    one = experiment(name)
    # A latent diffusion model starts from assets, and its settings name no weights.
    begun = {} if name.startswith("audioldm") else CAPTIONER if "bart" in name else BEGUN
    values = one.settings(preset, size).model_dump()
    for key, value in {**begun, **changes}.items():
        if isinstance(value, Mapping):
            for part, more in value.items():
                values[key][part] |= more
        else:
            values[key] = value
    return type(one.settings()).model_validate(values)


def stored(
    key: tuple[str, ...],
    settings: AnyTrainingSettings | None = None,
    start: AnyTrainingSettings | None = None,
    now: str = "a" * 64,
    lists_now: str | None = None,
    **changes: Any,
) -> dict[tuple[str, ...], StoredScores]:
    """A table with one score of a checkpoint as the paper trained it, with changes."""
    name = "/".join(key[3:])
    row = {
        "model": "trained",
        "direction": "text_to_audio",
        "metric": "R@1",
        "value": 30.0,
        "low": 27.0,
        "high": 33.0,
        "checkpoint": name,
        "weights_sha256": "a" * 64,
        "protocol_name": "paper",
        "clips": 957,
        "official_clips": 975,
        "trained_on_benchmark": False,
        "scored_clips_trained_on": 0,
        **changes,
    }
    of_checkpoint = {
        "settings_json": (settings or settings_of(name)).model_dump_json(),
        "train_clips": 350_000,
    }
    of_start = None
    if start is not None:
        of_start = {"settings_json": start.model_dump_json(), "train_clips": 400_000}
    chance = {**row, "model": "chance", "value": 0.1, "weights_sha256": None}
    return {key: StoredScores(key, [chance, row], of_checkpoint, now, of_start, lists_now)}


def cell(scores: dict[tuple[str, ...], StoredScores], place: tuple[str, str, str] = CELL) -> dict[str, Any]:
    table = compare(SET_STATISTICS.empty(), [], EXAMPLES.empty(), scores)
    (found,) = [row for row in table.to_pylist() if (row["table"], row["row"], row["column"]) == place]
    return found


def test_the_same_experiment_benchmark_and_protocol_are_compared() -> None:
    found = cell(stored(ZERO_SHOT))
    assert (found["paper"], found["measured"], found["comparable"]) == (28.6, 30.0, True)
    assert found["difference"] == pytest.approx(1.4)
    assert (found["low"], found["high"], found["status"]) == (27.0, 33.0, "compared")
    assert found["scores"] == "/".join(ZERO_SHOT)
    # What is said with it: the part of the benchmark, and what it was trained on.
    assert "Trained on this benchmark's train split: no." in found["note"]
    assert "957 of the benchmark's 975 clips." in found["note"]
    assert "Trained on 350,000 clips." in found["note"]
    released = stored(
        ZERO_SHOT, settings_of("htsat_bert/zero_shot", preset=Preset.released), protocol_name="released"
    )
    assert cell(released)["comparable"]


def test_the_zero_shot_row_of_the_ablation_is_the_same_experiment() -> None:
    place = ("Table IX", "WavCaps", "AudioCaps text-to-audio R@1")
    assert cell(stored(ZERO_SHOT), place)["measured"] == 30.0


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"protocol_name": "windows"}, "Another protocol: windows."),
        ({"protocol_name": None}, "Another protocol: without a name."),
        ({"clips": 100}, "Only 100 of the benchmark's 975 clips"),
        # ESC-50 without two of its classes has more than 95 % of its clips.
        (
            {"clips": 1920, "official_clips": 2000, "classes": 48, "official_classes": 50},
            "Only 48 of the benchmark's 50 classes",
        ),
        ({"trained_on_benchmark": True}, "The paper's was not trained on this benchmark's train split."),
        ({"trained_on_benchmark": None}, "It is not known whether it was trained on this benchmark."),
        ({"scored_clips_trained_on": 12}, "It was trained on 12 of the scored clips."),
        ({"now": "b" * 64}, "The checkpoint was trained again since"),
        (
            {"lists_now": "d" * 64, "listed_sha256": "c" * 64, "benchmark": "audiocaps"},
            "The clips or captions of the benchmark audiocaps changed since. Materialize "
            "scores/retrieval/audiocaps/htsat_bert/zero_shot again.",
        ),
        (
            {"settings": settings_of("htsat_bert/zero_shot", size=Size.tiny)},
            "Not trained as the paper's",
        ),
        ({"settings": settings_of("htsat_bert/zero_shot", epochs=3)}, "epochs is 3, not 15"),
        (
            {"settings": settings_of("htsat_bert/zero_shot", audio_weights="")},
            "the audio encoder starts from fresh weights",
        ),
    ],
)
def test_what_is_unlike_is_shown_and_not_compared(changes: dict[str, Any], why: str) -> None:
    found = cell(stored(ZERO_SHOT, **changes))
    assert (found["measured"], found["comparable"], found["difference"]) == (30.0, False, None)
    assert found["status"] == "not comparable"
    assert why in found["note"]
    assert found["stale"] is bool({"now", "lists_now"} & changes.keys())


@pytest.mark.parametrize(
    ("missing", "scored", "listed", "stale"),
    [
        # Of older versions, only the clips that were scored are known: all of the lists, or not.
        (0, "c", None, True),
        (0, "d", None, False),
        (3, "c", None, False),
        (3, "c", "d", False),
        (3, "c", "c", True),
    ],
)
def test_lists_that_changed_are_seen(missing: int, scored: str, listed: str | None, stale: bool) -> None:
    row: dict[str, Any] = {"missing": missing, "scored_on_sha256": scored, "listed_sha256": listed}
    (found,) = stored(ZERO_SHOT, lists_now="d", benchmark="audiocaps", **row).values()
    assert bool(found.stale) is stale


def test_a_fine_tuned_model_is_the_papers_only_if_its_start_is() -> None:
    key = ("scores", "retrieval", "audiocaps", "htsat_bert", "fine_tuning_audiocaps")
    place = ("Table V", "HTSAT-BERT-FT", "AudioCaps text-to-audio R@1")
    start = settings_of("htsat_bert/pretraining")
    assert cell(stored(key, start=start, trained_on_benchmark=True), place)["comparable"]
    short = settings_of("htsat_bert/pretraining", epochs=2)
    found = cell(stored(key, start=short, trained_on_benchmark=True), place)
    assert not found["comparable"]
    assert "Its start was not trained as the paper's: epochs is 2, not 40." in found["note"]
    gone = cell(stored(key, trained_on_benchmark=True), place)
    assert "checkpoint/htsat_bert/pretraining is not there any more" in gone["note"]
    # The model that was fine-tuned on AudioCaps is not the paper's on Clotho.
    elsewhere = stored(("scores", "retrieval", "clotho", "htsat_bert", "fine_tuning_audiocaps"), start=start)
    assert cell(elsewhere, (*place[:2], "Clotho text-to-audio R@1"))["status"] == "not run"


def test_captions_are_scored_by_the_fields_names_and_a_score_that_is_missing_says_why() -> None:
    key = ("scores", "captioning", "clotho", "cnn14_bart", "zero_shot")
    place = ("Table VI", "CNN14-BART (zero-shot)", "Clotho CIDEr")
    found = cell(stored(key, direction=None, metric="CIDEr-D", value=25.0, official_clips=1045), place)
    assert (found["paper"], found["measured"]) == (24.8, 25.0)
    unmeasured = stored(
        key, direction=None, metric="SPICE", value=None, note="not measured: SPICE needs its parser"
    )
    found = cell(unmeasured, (*place[:2], "Clotho SPICE"))
    assert (found["measured"], found["status"]) == (None, "not measured")
    assert found["note"] == "not measured: SPICE needs its parser"
    # A table without the metric at all.
    assert cell(unmeasured, (*place[:2], "Clotho METEOR"))["status"] == "not measured"


def test_classification_is_compared_over_all_clips() -> None:
    key = ("scores", "classification", "esc50", "htsat_bert", "pretraining_classification")
    place = ("Table VII", "Ours", "ESC-50")
    fold: dict[str, Any] = {
        "direction": None,
        "metric": "accuracy",
        "scope": "fold",
        "clips": 400,
        "official_clips": 2000,
    }
    assert cell(stored(key, **fold), place)["measured"] is None
    whole = {**fold, "scope": "overall", "clips": 2000}
    found = cell(stored(key, **whole), place)
    assert (found["measured"], found["comparable"]) == (30.0, True)


def test_what_was_not_run_names_the_assets_that_make_it() -> None:
    place = ("Table V", "HTSAT-BERT-FT", "Clotho audio-to-text R@5")
    found = cell({}, place)
    assert found["status"] == "not run"
    assert found["needs"].split(", ") == [
        "training_manifest/clotho",
        "checkpoint/htsat_bert/pretraining",
        "checkpoint/htsat_bert/fine_tuning_clotho",
        "benchmark/clotho",
        "scores/retrieval/clotho/htsat_bert/fine_tuning_clotho",
    ]
    assert found["note"] == f"not run: needs {found['needs']}"
    assert cell({}, ("Table V", "TAP", "Clotho audio-to-text R@5"))["status"] == "of others"
    generation = cell({}, ("Table VIII", "AudioLDM WavCaps, text condition", "FAD"))
    assert generation["status"] == "not run"
    assert generation["needs"].split(", ") == [
        "training_manifest/audiocaps",
        "checkpoint/autoencoder/audioldm",
        "checkpoint/htsat_bert/pretraining",
        "latents/audioldm_wavcaps",
        "checkpoint/audioldm_wavcaps/text",
        "benchmark/audiocaps",
        "scores/generation/audiocaps/audioldm_wavcaps/text",
    ]


def test_released_weights_have_their_own_row_next_to_the_figures_of_theirs() -> None:
    key = ("scores", "retrieval", "audiocaps", "released", "htsat_bert_zs")
    place = ("Table V", "HTSAT-BERT-ZS, released weights", "AudioCaps text-to-audio R@1")
    found = cell(stored(key, settings_of("htsat_bert/zero_shot"), protocol_name="released"), place)
    assert (found["paper"], found["measured"], found["comparable"]) == (28.6, 30.0, True)
    assert found["scores"] == "/".join(key)
    other = stored(key, settings_of("htsat_bert/zero_shot"), protocol_name="windows")
    assert not cell(other, place)["comparable"]
    table = compare(SET_STATISTICS.empty(), [], EXAMPLES.empty(), {})
    assert not [row for row in table["row"].to_pylist() if "released" in row]


def test_every_experiment_of_the_paper_is_in_its_tables() -> None:
    wanted = {found.wanted.experiment.name for found in score_cells() if found.wanted}
    assert wanted == {one.name for one in EXPERIMENTS if one.reported_in}
    places = [(found.table, found.row, found.column) for found in score_cells()]
    assert len(places) == len(set(places))


@pytest.mark.parametrize("name", [one.name for one in EXPERIMENTS if one.reported_in])
def test_the_papers_own_settings_are_like_the_papers(name: str) -> None:
    one = experiment(name)
    for preset in Preset:
        settings = settings_of(name, preset=preset)
        assert differences_from_paper(one, settings.model_dump_json()) == []
        harmless = settings.model_copy(update={"loader_workers": 8, "seed": 3, "micro_batch_size": 16})
        assert differences_from_paper(one, harmless.model_dump_json()) == []
    assert differences_from_paper(one, '{"epochs": "many"}') == [
        "its settings are of another version and cannot be read"
    ]


def test_the_hash_of_the_weights_is_read_from_the_header(tmp_path: Path) -> None:
    store = Store(tmp_path)
    save_file({"weight": torch.zeros(1000)}, tmp_path / "one.safetensors", {"wavcaps_weights_sha256": "abc"})
    save_file({"weight": torch.zeros(2)}, tmp_path / "old.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"\x10" + bytes(7) + b"not json at all.")
    (tmp_path / "empty.safetensors").write_bytes(b"")
    assert stored_weights_sha256(store, "one.safetensors") == "abc"
    for name in ("old", "broken", "empty", "gone"):
        assert stored_weights_sha256(store, f"{name}.safetensors") is None
