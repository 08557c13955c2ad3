"""Renders a report's data as a page."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Sequence
from datetime import datetime
from statistics import mean, median

from jinja2 import Environment, PackageLoader, StrictUndefined

from wavcaps_assets.analysis.figures import name_of
from wavcaps_assets.sources.base import Source
from wavcaps_assets.status.table import HEADS
from wavcaps_assets.tables.asset_tables import TableStore
from wavcaps_training.paper.experiments import Experiment
from wavcaps_training.paper.tables.field import MARKS, SEEN
from wavcaps_training.report.collect import collect
from wavcaps_training.report.data import ReportData, RunFacts
from wavcaps_training.report.field import TRAINED_ON
from wavcaps_training.report.figures import draw_figures
from wavcaps_training.report.funnel import STEPS
from wavcaps_training.report.short_queries import METRICS

NONE = "–"
REPORT = "report.html"
# Characters of a text in a cell.
TEXT_SHOWN = 200


def write_report(
    tables: TableStore,
    sources: Sequence[Source],
    experiment: Experiment,
    run: RunFacts | None = None,
) -> int:
    """Reads the store and writes the page into it, in one step. Returns the page's size in bytes.

    Args:
        tables: the store's tables.
        sources: the sources, in the order of the report.
        experiment: whose checkpoint and scores are shown.
        run: facts about the run that are not in the store.

    Raises:
        StoreError: a table cannot be read, or the page cannot be written.
    """
    page = render_report(collect(tables, sources, experiment, run)).encode()
    tables.store.write_bytes(REPORT, page)
    return len(page)


def render_report(data: ReportData) -> str:
    """The page as HTML: self-contained, without scripts, every crawled text escaped."""
    environment = Environment(
        loader=PackageLoader("wavcaps_training", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "span": span,
        "size": size,
        "indented": indented,
        "when": when,
        "mean": mean,
        "median": median,
        "title_of": name_of,
        "cut": shortened,
    }
    environment.globals |= {
        "figure": figure,
        "status_heads": HEADS,
        "field_seen": SEEN,
        "field_marks": MARKS,
        "trained_on": TRAINED_ON,
        "query_metrics": METRICS,
    }
    template = environment.get_template("report.html")
    return template.render(data=data, steps=list(STEPS.values()), figures=draw_figures(data))


def number(value: float | None, decimals: int = 0) -> str:
    """A number with thousands separators; a dash for None; what would be rounded to zero is named as less."""
    if value is None:
        return NONE
    least = 10.0**-decimals
    return f"< {least:.{decimals}f}" if 0 < value < least / 2 else f"{value:,.{decimals}f}"


def figure(value: float) -> str:
    """A figure as its source prints it: with one decimal, or more if it has them."""
    return f"{value:.1f}" if round(value, 1) == value else f"{value:g}"


def shortened(text: str) -> str:
    """A text for a cell of a table, cut at a word."""
    return textwrap.shorten(text, TEXT_SHOWN, placeholder=" …")


def span(seconds: float) -> str:
    """A duration for people, such as `3 min 07 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def size(count: int) -> str:
    """Bytes in decimal units, such as `1.2 MB`."""
    scaled, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if scaled < 1000:
            break
        scaled, unit = scaled / 1000, larger
    return f"{scaled:.0f} {unit}" if unit == "B" else f"{scaled:,.1f} {unit}"


def indented(document: str) -> str:
    """A JSON document with one entry per line."""
    return json.dumps(json.loads(document), indent=2, ensure_ascii=False)


def when(moment: datetime) -> str:
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"
