"""The report's section of short queries."""

from __future__ import annotations

from tests.training.report.report_store import HOSTILE, SOURCES, Page
from wavcaps_assets.tables.asset_tables import TableStore
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


def test_without_an_index_there_is_no_such_section(tables: TableStore) -> None:
    page = Page(render_report(collect(tables, SOURCES, DEMO_EXPERIMENT)))
    assert "Short queries" not in page.text
