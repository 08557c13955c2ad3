"""The page of a comparison: what changed in the captions, and what that did to R@k."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from wavcaps_assets.publishing.changelog import TITLES, of_kind
from wavcaps_assets.publishing.version_diff import counts_of
from wavcaps_assets.show.plots import COLOURS, INK, as_svg
from wavcaps_assets.show.previews import BIDI_CONTROLS
from wavcaps_assets.store.storage import Store
from wavcaps_training.worth.comparing import BOTH
from wavcaps_training.worth.composing import SHOWN_CHANGES, Comparison
from wavcaps_training.worth.conclusions import cautions, headline, is_found, sentence, shown_p

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "worth"
# What tells one question from another, in `tables.WORTH`.
ASKED = ("before", "after", "references", "model", "seeds")
EXAMPLES = 8
MAX_CHARS = 300
DIRECTIONS = {"text_to_audio": "text to audio", "audio_to_text": "audio to text", BOTH: "both"}
STYLE = Path(__file__).parent / "page.css"


@dataclass(frozen=True)
class Shown:
    """A comparison on a page.

    Attributes:
        comparison: what was compared.
        rows: of `tables.WORTH`, with corrected p-values.
    """

    comparison: Comparison
    rows: Sequence[Mapping[str, Any]]

    @property
    def headline(self) -> str:
        return headline(self.rows)

    @property
    def sentences(self) -> list[str]:
        return [sentence(row) for row in self.deciding] if self.rows[0]["seeds"] else []

    @property
    def cautions(self) -> list[str]:
        return cautions(self.rows)

    @property
    def deciding(self) -> list[Mapping[str, Any]]:
        return [row for row in self.rows if row["decides"]]

    @property
    def counts(self) -> dict[str, int]:
        """The number of changes of each kind, by its title."""
        counted = counts_of(self.comparison.changes)
        return {TITLES[kind][0]: counted[kind] for kind in SHOWN_CHANGES}

    @property
    def examples(self) -> dict[str, list[Mapping[str, Any]]]:
        """Some changes of each kind, by its title."""
        found = {
            TITLES[kind][0]: of_kind(self.comparison.changes, kind, EXAMPLES).to_pylist()
            for kind in ("recaptioned", "added", "removed")
        }
        return {title: rows for title, rows in found.items() if rows}

    @property
    def by_references(self) -> dict[str, list[Mapping[str, Any]]]:
        """The rows, by whose captions the test clips were searched by."""
        names = dict.fromkeys(row["references"] for row in self.rows)
        return {name: [row for row in self.rows if row["references"] == name] for name in names}


def write_page(shown: Sequence[Shown], store: Store, title: str) -> str:
    """Writes the page of one comparison, or of several in a loop, and returns its path in the store.

    The same question has the same page. Another model, more seeds or other references are another question.

    Raises:
        StoreError: it cannot be written.
    """
    asked = [tuple(one.rows[0][name] for name in ASKED) for one in shown]
    path = f"{FOLDER}/{hashlib.sha256(repr((title, asked)).encode()).hexdigest()[:12]}.html"
    store.write_bytes(path, render(shown, title).encode())
    return path


def render(shown: Sequence[Shown], title: str) -> str:
    """The page as HTML: self-contained, without scripts, every crawled text escaped."""
    environment = Environment(
        loader=PackageLoader("wavcaps_training", "worth"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "text": _text,
        "line": _line,
        "points": _points,
        "p": shown_p,
        "detectable": _detectable,
    }
    figures = [_figure_of(one, number) for number, one in enumerate(shown)]
    return environment.get_template("page.html").render(
        title=title,
        shown=shown,
        figures=figures,
        directions=DIRECTIONS,
        style=STYLE.read_text(encoding="utf-8"),
    )


def figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """The differences with their intervals, a line each.

    Args:
        rows: of `tables.WORTH`, with a difference.
    """
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(6.4, 0.9 + 0.34 * len(rows)), layout="constrained")
    axes = drawn.add_subplot()
    for place, row in enumerate(rows):
        colour = COLOURS[0] if is_found(row) else COLOURS[7]
        axes.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=2)
        axes.plot([row["difference"]], [place], marker="o", markersize=6, color=colour)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(range(len(rows)), [_name(row) for row in rows])
    axes.invert_yaxis()
    axes.margins(y=0.15)
    axes.set_xlabel("after minus before (percentage points), 95 % interval", color=INK, fontsize=9)
    axes.tick_params(colors=INK, labelsize=8)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    return drawn


def _figure_of(shown: Shown, number: int) -> str:
    rows = [row for row in shown.rows if row["references"] == shown.rows[0]["references"]]
    return as_svg(figure(rows), f"differences-{number}") if shown.rows[0]["seeds"] else ""


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['metric']}, {DIRECTIONS[row['direction']]}"


def _line(value: str | None) -> str:
    """A text on one line, whole; the template escapes it."""
    return " ".join((value or "").translate(BIDI_CONTROLS).split())


def _text(value: str | None) -> str:
    """A crawled text on one line, cut; the template escapes it."""
    line = _line(value)
    return line if len(line) <= MAX_CHARS else line[: MAX_CHARS - 1] + "…"


def _detectable(value: float | None) -> str:
    return "not known" if value is None else "none" if value >= 100 else f"{value:.1f}"


def _points(value: float) -> str:
    return f"{value:+.1f}"
