"""A small captioner scored on a benchmark, with captions that a stopped run left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.scoring.benchmark_clips import benchmark
from tests.training.small_models import SMALL_HTSAT, small_bart
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_training.checkpoints.checkpoint import save_checkpoint
from wavcaps_training.data import AudioFiles
from wavcaps_training.evaluation.generated_captions import CaptionLog, caption_clips
from wavcaps_training.evaluation.nothing_to_score import NothingToScore
from wavcaps_training.evaluation.protocols import PROTOCOLS, ProtocolName
from wavcaps_training.models.captioner import Captioner
from wavcaps_training.scoring.retrieval import clips_to_score
from wavcaps_training.scoring.score import Subject, score_on_benchmark
from wavcaps_training.scoring.shown import as_file_scores, as_lines, numbers_of
from wavcaps_training.scoring.tasks.captioning import TASK
from wavcaps_training.scoring.trained_on import Described
from wavcaps_training.settings.captioner import (
    BartSettings,
    CaptionerSettings,
    CaptionerTrainingSettings,
    GenerationSettings,
)
from wavcaps_training.settings.training import ClipSettings
from wavcaps_training.tables import FILE_SCORES

BART = BartSettings(width=32, encoder_layers=1, decoder_layers=1, heads=2, feed_forward=32, max_positions=256)
WORDS = small_bart(tuple(f"a tone of pitch {number}" for number in range(6)), BART)
SETTINGS = CaptionerTrainingSettings(
    model=CaptionerSettings(
        audio=SMALL_HTSAT,
        bart=BART.model_copy(update={"folder": str(WORDS)}),
        generation=GenerationSettings(beams=2, max_tokens=8),
    ),
    clip=ClipSettings(seconds=1.0),
    batch_size=2,
    buckets=(),
)
PAPER = PROTOCOLS[ProtocolName.paper]


def small_captioner() -> Captioner:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return Captioner.build(SETTINGS.model).eval()


class Counted(Captioner):
    """Counts the clips for which it generates captions, and stops after some."""

    generated = 0
    most = 100

    def generate(self, log_mel: torch.Tensor) -> list[str]:
        if self.generated >= self.most:
            raise KeyboardInterrupt
        self.generated += len(log_mel)
        return super().generate(log_mel)


def counted(most: int = 100) -> Counted:
    model = small_captioner()
    model.__class__ = Counted
    assert isinstance(model, Counted)
    model.most = most
    return model


def test_a_stopped_run_keeps_its_captions(tmp_path: Path) -> None:
    store = Store(tmp_path)
    clips = clips_to_score(benchmark(store, ["test"] * 5))

    def captions(model: Captioner, log: CaptionLog | None) -> dict[str, str]:
        return caption_clips(model, clips, AudioFiles(store), SETTINGS, protocol=PAPER, log=log)

    whole = captions(small_captioner(), None)
    with pytest.raises(KeyboardInterrupt):
        captions(counted(most=4), CaptionLog(store, "abc", SETTINGS))
    after = counted()
    log = CaptionLog(store, "abc", SETTINGS)
    assert captions(after, log) == whole
    assert after.generated == 1
    # Other weights, and other settings of the search or the crop, have their own captions.
    shorter = SETTINGS.model_copy(update={"clip": ClipSettings(seconds=0.4)})
    for other in (CaptionLog(store, "abd", SETTINGS), CaptionLog(store, "abc", shorter)):
        model = counted()
        captions(model, other)
        assert model.generated == 5
    log.remove()
    model = counted()
    assert captions(model, CaptionLog(store, "abc", SETTINGS)) == whole
    assert model.generated == 5


def test_a_clip_without_readable_audio_is_read_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    clips = clips_to_score(benchmark(store, ["test"] * 5))
    path = store.root / clips[1].audio_path
    audio = path.read_bytes()
    path.write_bytes(b"not audio")
    half = SETTINGS.model_copy(update={"max_unreadable_share": 0.5})

    def captions(model: Captioner) -> dict[str, str]:
        log = CaptionLog(store, "abc", half)
        return caption_clips(model, clips, AudioFiles(store), half, protocol=PAPER, log=log)

    assert [*captions(small_captioner())] == [clip.clip_id for clip in clips if clip != clips[1]]
    path.write_bytes(audio)
    model = counted()
    assert [*captions(model)] == [clip.clip_id for clip in clips]
    assert model.generated == 2


@pytest.mark.slow
def test_a_captioner_on_a_benchmark(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    clips = benchmark(store, ["test"] * 5)
    rows: list[dict[str, Any]] = clips.to_pylist()
    rows[4]["captions"] = ["...", " "]
    rows[3]["captions"] = ["a tone of pitch 3", "!"]
    clips = clips.from_pylist(rows, schema=clips.schema)
    weights = tmp_path / "captioner.safetensors"
    save_checkpoint(weights, small_captioner(), SETTINGS)
    subject = Subject("htsat_bart/small", weights, Described({"clotho": False}, "a test"))
    scores = score_on_benchmark(TASK, subject, ("clotho", clips), (store, "cpu"))
    table = {row["metric"]: row for row in scores.table.to_pylist()}
    assert [*table] == [
        *("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr-D", "METEOR"),
        *("SPICE", "SPIDEr", "SPIDEr-FL", "FENSE", "fluency errors", "vocabulary", "different captions"),
    ]
    row = table["METEOR"]
    counts = ("clips", "unreadable", "references", "without_reference", "empty_references", "official_clips")
    assert [row[name] for name in counts] == [4, 0, 7, 1, 3, 1045]
    assert row["protocol"].startswith("beam search with 2 beams, 2 to 8 tokens, no 3 tokens twice; a longer")
    assert row["low"] <= row["value"] <= row["high"]
    assert table["SPICE"]["value"] is None
    assert table["SPICE"]["note"].startswith("not measured: WAVCAPS_METRIC_FILES names no folder with")
    assert "SPICE" in scores.figures["not measured"]
    assert "SPICE" not in numbers_of(TASK, scores.table)
    lines = as_lines(TASK, "clotho", scores)
    assert any(line.startswith("SPICE: not measured: WAVCAPS_METRIC_FILES") for line in lines)
    assert "SPIDEr: not measured: it is made of SPICE" in lines
    assert FILE_SCORES.from_rows(as_file_scores(TASK, scores.table)).num_rows == len(table)
    captions = TableStore(store).read(row["captions_table"].split("/"), [WHOLE]).to_pylist()
    model = small_captioner()
    assert len(captions) == 5
    for captioned, clip in zip(captions, clips.to_pylist(), strict=True):
        assert (captioned["clip_id"], captioned["references"]) == (clip["clip_id"], clip["captions"])
        assert (captioned["meteor"] is None) == (clip["captions"][0] == "...")
    # Each caption is that of its own clip.
    alone = caption_clips(model, clips_to_score(clips), AudioFiles(store), SETTINGS, protocol=PAPER)
    assert {row["clip_id"]: row["caption"] for row in captions} == alone
    mean = np.mean([row["cider_d"] for row in captions if row["cider_d"] is not None])
    assert table["CIDEr-D"]["value"] == pytest.approx(mean)
    # The log is not needed any more.
    assert not [*store.root.glob("log/captions/*/*")]


def test_a_benchmark_without_captions_is_said_before_any_is_generated(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    clips = benchmark(store, ["test"] * 2)
    rows = [{**row, "captions": [" "]} for row in clips.to_pylist()]
    weights = tmp_path / "captioner.safetensors"
    save_checkpoint(weights, small_captioner(), SETTINGS)
    subject = Subject("htsat_bart/small", weights, Described({}, "a test"))
    with pytest.raises(NothingToScore, match="the benchmark 'clotho' has no captions to compare with"):
        score_on_benchmark(
            TASK, subject, ("clotho", clips.from_pylist(rows, schema=clips.schema)), (store, "cpu")
        )
