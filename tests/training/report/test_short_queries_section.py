"""The report's section of short queries."""

from __future__ import annotations

import pytest

from tests.training.report.report_store import HOSTILE, SOURCES, Page
from wavcaps_assets.tables import MANIFEST
from wavcaps_assets.tables.asset_tables import TableStore, with_set_version
from wavcaps_training.paper.experiments import DEMO_EXPERIMENT
from wavcaps_training.report.collect import collect
from wavcaps_training.report.render import render_report
from wavcaps_training.tables import QUERY_SCORES


def test_short_queries_stand_next_to_whole_captions(tables: TableStore) -> None:
    about = {"queries": 87, "clips": 87, "checkpoint": DEMO_EXPERIMENT.name, "weights_sha256": "a"}
    of_kind = {
        "tags": {"value": 20.0, "words": 2.5, "shared": 30, "example": "rain, street"},
        "two_words": {"value": 27.6, "words": 2.0, "shared": 41, "example": HOSTILE},
        "caption": {"value": 48.3, "words": 8.1, "shared": 12, "example": "Rain falls on a street."},
    }
    rows = [
        {
            "query": query,
            "metric": "R@10",
            "low": None if query == "tags" else 15.2,
            "high": 60.1,
            "chance": 11.5,
        }
        | values
        | about
        for query, values in of_kind.items()
    ]
    key = ["query_scores", *DEMO_EXPERIMENT.name.split("/")]
    tables.write(key, None, QUERY_SCORES.from_rows(rows))
    (found,) = collect(tables, SOURCES, DEMO_EXPERIMENT).short_queries
    assert [kind.name for kind in found.kinds] == [
        "the whole caption",
        "two words of it",
        "further captions: tags",
    ]
    page = Page(render_report(collect(tables, SOURCES, DEMO_EXPERIMENT)))
    text = "".join(page.text.split())
    # Words, queries, shared; R@1 and R@5 are not in the table.
    assert "8.18712––48.315.2to60.1;chance11.5––" in text
    assert "2.58730––20.0chance11.5––" in text
    assert page.unbalanced == [] and {"script", "img"}.isdisjoint(tag for tag, _ in page.elements)


def test_scores_of_older_weights_or_of_an_earlier_set_say_so(
    tables: TableStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"query": "caption", "metric": "R@1", "value": 9.0, "chance": 1.0, "words": 8.0, "shared": 0}
    about = {"queries": 5, "clips": 5, "checkpoint": DEMO_EXPERIMENT.name, "weights_sha256": "a"}
    scores = QUERY_SCORES.from_rows([row | about | {"example": "Rain."}])
    key = ["query_scores", *DEMO_EXPERIMENT.name.split("/")]
    tables.write(key, None, with_set_version(scores, "v1-1a2b3c4d"))

    def said(weights: str | None, published: str) -> str:
        monkeypatch.setattr("wavcaps_training.report.short_queries.current_weights", lambda *_: weights)
        tables.write(["wavcaps"], None, with_set_version(MANIFEST.empty(), published))
        (found,) = (data := collect(tables, SOURCES, DEMO_EXPERIMENT)).short_queries
        assert found.stale in " ".join(Page(render_report(data)).text.split())
        return found.stale

    assert said("a", "v1-1a2b3c4d") == said(None, "v1-1a2b3c4d") == ""
    assert said("b", "v1-1a2b3c4d").startswith("The checkpoint was trained again since")
    assert said("a", "v2-5e6f7a8b").startswith("The set is v2-5e6f7a8b now, and these scores are of the test")


def test_without_an_index_there_is_no_such_section(tables: TableStore) -> None:
    page = Page(render_report(collect(tables, SOURCES, DEMO_EXPERIMENT)))
    assert "Short queries" not in page.text
