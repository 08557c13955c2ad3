"""The report's training and its scores on the set's own test split."""

from __future__ import annotations

import pytest

from tests.training.report.report_store import (
    SOURCES,
    Page,
    fill_training,
)
from wavcaps_assets.settings import Sources
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_training.paper.experiments import DEMO_EXPERIMENT, HTSAT_DEMO, scored_experiment
from wavcaps_training.report.collect import collect
from wavcaps_training.report.data import Seeds
from wavcaps_training.report.render import render_report
from wavcaps_training.tables import (
    RETRIEVAL_SCORES,
    RETRIEVAL_SCORES_KEY,
    SEED_SCORES,
    SEED_SCORES_KEY,
)


def test_test_clips_that_share_a_caption_are_counted(tables: TableStore) -> None:
    fill_training(tables)
    scores = collect(tables, SOURCES, DEMO_EXPERIMENT).scores
    assert scores is not None
    # Of the test clips 0 to 4, three are captioned "Rain."; the train clip with that caption is no rival.
    assert scores.sharing_a_caption == 3
    assert {name: score.value for name, score in scores.values["text_to_audio"]["trained"].items()} == {
        "R@1": 20.0,
        "R@5": 60.0,
        "R@10": 100.0,
    }


def test_several_seeds_and_the_other_model_are_shown(tables: TableStore) -> None:
    fill_training(tables)
    metrics = ("R@1", "R@5", "R@10", "mAP@10", "median rank")
    of_weights = {"checkpoint": DEMO_EXPERIMENT.name, "weights_sha256": "a", "scored_on_sha256": "1"}
    values: dict[int | None, float] = {20: 43.7, 21: 55.2, 22: 49.4, None: 49.4}
    rows = [
        {
            "seed": seed,
            "direction": direction,
            "metric": metric,
            "value": value,
            "low": 38.7,
            "high": 59.8,
            "deviation": 5.7 if seed is None else None,
            "seeds": 3,
            "clips": 5,
            **of_weights,
        }
        for direction in ("text_to_audio", "audio_to_text")
        for metric in metrics
        for seed, value in values.items()
    ]
    tables.write(SEED_SCORES_KEY, None, SEED_SCORES.from_rows(rows))
    scores = tables.read(RETRIEVAL_SCORES_KEY).to_pylist()
    tables.write(HTSAT_DEMO.scores_key, None, RETRIEVAL_SCORES.from_rows(scores))

    def seeds_beside(**other: str) -> Seeds | None:
        scored = [row | of_weights | other if row["model"] == "trained" else row for row in scores]
        tables.write(RETRIEVAL_SCORES_KEY, None, RETRIEVAL_SCORES.from_rows(scored))
        return collect(tables, SOURCES, DEMO_EXPERIMENT).seeds

    # They are not of a checkpoint that was trained again, nor of another test split.
    assert seeds_beside(weights_sha256="b") is None
    assert seeds_beside(scored_on_sha256="2") is None
    assert seeds_beside() is not None
    text = " ".join(Page(render_report(collect(tables, SOURCES, DEMO_EXPERIMENT))).text.split())
    assert "trained with 3 seeds" in text
    assert "49.4 ± 5.7 (38.7 to 59.8)" in text
    assert "Another model on the same clips: htsat_bert/demo" in text
    # They are not of another experiment.
    live = collect(tables, SOURCES, scored_experiment(Sources.LIVE))
    assert live.seeds is None and not live.other_scores


@pytest.mark.slow
def test_only_the_checkpoint_of_the_scored_experiment_is_shown(tables: TableStore) -> None:
    """A store that has been used with the demo's sources still has the demo's checkpoint."""
    live = scored_experiment(Sources.LIVE)
    assert live.key != DEMO_EXPERIMENT.key
    fill_training(tables)
    page = Page(render_report(collect(tables, SOURCES, live)))
    assert "A trained checkpoint: not available yet." in page.text
    assert "1,234,567" not in page.text

    fill_training(tables, live, parameters=7_654_321)
    data = collect(tables, SOURCES, live)
    assert data.training is not None
    assert (data.training.model, data.training.setting) == (live.model.name, live.setting)
    assert data.scores is not None
    page = Page(render_report(data))
    assert "7,654,321" in page.text
    assert "own_split" in page.text
    assert "1,234,567" not in page.text
    demo = collect(tables, SOURCES, DEMO_EXPERIMENT).training
    assert demo is not None and demo.parameters == 1_234_567
