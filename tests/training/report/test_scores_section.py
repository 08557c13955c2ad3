"""The report's training and its scores on the set's own test split."""

from __future__ import annotations

import pytest

from tests.training.report.report_store import (
    SOURCES,
    Page,
    fill_training,
)
from wavcaps_assets.settings import Sources
from wavcaps_assets.tables import MANIFEST
from wavcaps_assets.tables.asset_tables import TableStore, with_set_version
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


def test_a_score_of_an_earlier_set_is_not_that_of_the_published_one(tables: TableStore) -> None:
    fill_training(tables)
    rows = tables.read(RETRIEVAL_SCORES_KEY).to_pylist()
    of_v1 = {"trained_on_version": "v1-1a2b3c4d", "scored_on_version": "v1-1a2b3c4d"}

    def page_of(published: str | None, **scores: str) -> tuple[str, int | None]:
        tables.write(["wavcaps"], None, with_set_version(MANIFEST.empty(), published))
        trained = [row | scores if row["model"] == "trained" else row for row in rows]
        tables.write(RETRIEVAL_SCORES_KEY, None, RETRIEVAL_SCORES.from_rows(trained))
        data = collect(tables, SOURCES, DEMO_EXPERIMENT)
        assert data.scores is not None
        return " ".join(Page(render_report(data)).text.split()), data.scores.sharing_a_caption

    text, sharing = page_of("v1-1a2b3c4d", **of_v1)
    assert "Trained on v1-1a2b3c4d, scored on the test clips of v1-1a2b3c4d." in text
    assert "another version of the set" not in text and "Of another set" not in text and sharing == 3
    # The captions that were searched by are not those of the manifest that is there now.
    text, sharing = page_of("v2-5e6f7a8b", **of_v1, scored_on_sha256="of v1")
    assert "This score is of another version of the set than the one that is published now." in text
    assert "of another version of the set; " in text
    assert "The set is v2-5e6f7a8b now, and this score is of v1-1a2b3c4d: materialize checkpoint/" in text
    assert sharing is None
    # The checkpoint of an earlier version, on the test clips of the newest one.
    text, _ = page_of("v2-5e6f7a8b", **of_v1 | {"scored_on_version": "v2-5e6f7a8b"})
    assert "this score is of v1-1a2b3c4d and v2-5e6f7a8b" in text
    # Older tables do not say it.
    assert "another version of the set" not in page_of("v2-5e6f7a8b")[0]
