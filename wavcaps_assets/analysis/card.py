"""The data-set card for the Hugging Face Hub, written from the tables of the analysis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import pyarrow as pa
from jinja2 import Environment, PackageLoader, StrictUndefined

from wavcaps_assets.analysis.paper_figures import PAPER, WHOLE_SET
from wavcaps_assets.show.previews import cell
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables.analysis import DATA_SET_CARD

CARD = "README.md"
NAME = "WavCaps, re-created"
# The Hub's size classes (https://huggingface.co/docs/hub/datasets-cards).
SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
LARGEST = "n>10M"
NONE = "–"
UNKNOWN = "unknown"
NOT_FOR_SALE = ("RemArc", "personal use", "Sampling+")


@dataclass(frozen=True)
class Findings:
    """The tables for the card, as in `tables.analysis`."""

    statistics: pa.Table
    licences: pa.Table
    unique: pa.Table
    jaccard: pa.Table
    readability: pa.Table


def write_card(store: Store, wavcaps: pa.Table, findings: Findings, titles: Mapping[str, str]) -> pa.Table:
    """Writes the card into the store, atomically.

    Args:
        wavcaps: with the columns `source`, `model` and `prompt_version` of `tables.MANIFEST`.
        titles: display names of the sources.

    Returns:
        `tables.analysis.DATA_SET_CARD`.

    Raises:
        StoreError: it cannot be written.
    """
    card = render_card(wavcaps, findings, titles).encode()
    store.write_bytes(CARD, card)
    row = {
        "path": CARD,
        "bytes": len(card),
        "sha256": sha256(card).hexdigest(),
        "clips": wavcaps.num_rows,
    }
    return DATA_SET_CARD.from_rows([row])


def render_card(wavcaps: pa.Table, findings: Findings, titles: Mapping[str, str]) -> str:
    """The card as Markdown with a YAML front matter. Crawled text is in table cells only."""
    environment = Environment(
        loader=PackageLoader("wavcaps_assets", "analysis"),
        # Markdown, not HTML: text from outside goes through `cell`.
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "number": _number,
        "cell": cell,
        "title_of": lambda source: titles.get(source, source),
    }
    statistics = {(row["source"], row["stage"]): row for row in findings.statistics.to_pylist()}
    licences = findings.licences.to_pylist()
    grades = {row["stage"]: row["mean"] for row in _of_all(findings.readability)}
    return environment.get_template("card.md").render(
        name=NAME,
        paper=PAPER,
        clips=wavcaps.num_rows,
        hours=statistics[WHOLE_SET, "after"]["hours"],
        size_category=size_category(wavcaps.num_rows),
        sources=[
            {
                "title": titles.get(source, source),
                "before": statistics[source, "before"],
                "after": row,
            }
            for (source, stage), row in statistics.items()
            if stage == "after" and source != WHOLE_SET and row["clips"] is not None
        ],
        unique=next(iter(_of_all(findings.unique)), {"unique": 0, "once": 0}),
        jaccard=next(iter(_of_all(findings.jaccard)), {"mean": None}),
        grades={"before": grades.get("before"), "after": grades.get("after")},
        made=_made(wavcaps),
        licences=licences,
        unknown=sum(row["clips"] for row in licences if row["licence_class"] == UNKNOWN),
        noncommercial=sum(row["clips"] for row in licences if _rules_out_sale(row["licence_class"])),
    )


def size_category(clips: int) -> str:
    """The Hub's class for a number of clips."""
    return next((name for limit, name in SIZES if clips < limit), LARGEST)


def _made(wavcaps: pa.Table) -> list[dict[str, Any]]:
    by = ["source", "model", "prompt_version"]
    counted = wavcaps.select(by).group_by(by).aggregate([([], "count_all")])
    ordered = counted.rename_columns([*by, "clips"]).sort_by([(name, "ascending") for name in by])
    rows: list[dict[str, Any]] = ordered.to_pylist()
    return rows


def _of_all(table: pa.Table) -> list[dict[str, Any]]:
    return [row for row in table.to_pylist() if row["source"] == WHOLE_SET]


def _rules_out_sale(licence_class: str) -> bool:
    return "NC" in licence_class.split("-") or licence_class in NOT_FOR_SALE


def _number(value: float | None, decimals: int = 0) -> str:
    return NONE if value is None else f"{value:,.{decimals}f}"
