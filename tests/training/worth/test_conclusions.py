"""What a comparison says if figures point in different directions."""

from __future__ import annotations

from typing import Any

from wavcaps_training.worth.conclusions import headline


def row(metric: str, references: str, value: float, p: float) -> dict[str, Any]:
    return {
        "before": "v1",
        "after": "v2",
        "references": references,
        "decides": references == "v1",
        "direction": "both",
        "metric": metric,
        "difference": value,
        "low": value - 3.0,
        "high": value + 3.0,
        "p_corrected": p if references == "v1" else None,
        "seeds": 8,
    }


def test_a_metric_without_a_difference_contradicts_nothing() -> None:
    # R@5 is chance, and its sign with other captions, too.
    first = [row("R@1", "v1", 5.0, 0.001), row("R@5", "v1", 0.1, 0.9), row("R@10", "v1", 6.0, 0.001)]
    other = [row("R@1", "v2", 6.0, 0.001), row("R@5", "v2", -0.1, 0.9), row("R@10", "v2", 7.0, 0.001)]
    said = headline([*first, *other])
    assert "R@1 rises by 5.0" in said
    assert "opposite" not in said
    other[0] = row("R@1", "v2", -6.0, 0.001)
    assert "By other captions R@1 is the opposite" in headline([*first, *other])
    other[2] = row("R@10", "v2", -6.0, 0.001)
    assert "By other captions it is the opposite" in headline([*first, *other])
