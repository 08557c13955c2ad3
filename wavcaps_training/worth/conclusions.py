"""What a comparison says, in plain English. It says no more than the figures do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

ALPHA = 0.05


def headline(rows: Sequence[Mapping[str, Any]]) -> str:
    """The answer in one or two sentences.

    Args:
        rows: of `tables.WORTH`, of one comparison.
    """
    first = rows[0]
    if not first["seeds"]:
        return (
            f"No change: {first['after']} and {first['before']} have the same clips and captions to train "
            "on. Nothing was trained."
        )
    found = [row for row in rows if row["decides"] and is_found(row)]
    if not found:
        return (
            f"No difference was detected between {first['before']} and {first['after']}. This does not show "
            "that there is none: see the smallest difference that would have been found."
        )
    parts = [
        f"{row['metric']} {'rises' if row['difference'] > 0 else 'falls'} by {abs(row['difference']):.1f} "
        f"points ({row['low']:+.1f} to {row['high']:+.1f})"
        for row in found
    ]
    said = f"With {first['after']} in place of {first['before']}, {', and '.join(parts)}"
    other_sign = {metric for metrics in opposite(rows).values() for metric in metrics}
    contradicted = [row["metric"] for row in found if row["metric"] in other_sign]
    if not contradicted:
        return f"{said}."
    of = "it" if len(contradicted) == len(found) else " and ".join(contradicted)
    return (
        f"{said}, if one searches by the captions of {first['references']}. By other captions {of} is the "
        "opposite: this says that models are best at the style that they were trained on, and not which side "
        "is better."
    )


def opposite(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """By other references, the metrics whose difference has the other sign with them."""
    deciding = [row for row in rows if row["decides"]]
    found: dict[str, list[str]] = {}
    for row in rows:
        if row["direction"] == "both" and not row["decides"] and row["seeds"]:
            one = next(one for one in deciding if one["metric"] == row["metric"])
            if row["difference"] * one["difference"] < 0:
                found.setdefault(row["references"], []).append(row["metric"])
    return found


def sentence(row: Mapping[str, Any]) -> str:
    """What one deciding row says."""
    if not row["seeds"]:
        return f"{row['metric']}: no change."
    size = f"{row['difference']:+.1f} points (95 % interval {row['low']:+.1f} to {row['high']:+.1f})"
    if is_found(row):
        return f"{row['metric']}: {size}, more than chance (p = {shown_p(row['p_corrected'])}, corrected)."
    missed = (
        "What would have been missed is not known: both sides score the same with every seed."
        if row["detectable"] is None
        else "No difference could have been found with so few seeds and recordings."
        if row["detectable"] >= 100
        else f"A difference below {row['detectable']:.1f} points would often be missed here."
    )
    p = shown_p(row["p_corrected"])
    return f"{row['metric']}: {size}, not more than chance (p = {p}, corrected). {missed}"


def cautions(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What limits the answer, a sentence each."""
    first = rows[0]
    if not first["seeds"]:
        return []
    found = [
        f"The test has {first['clips']:,} clips of {first['recordings']:,} recordings, and each side was "
        f"trained with {first['seeds']} seeds. The answer holds for sounds like these and for this model "
        f"({first['model']})."
    ]
    names = list(dict.fromkeys(row["references"] for row in rows))
    if len(names) > 1 or names[0] not in (first["before"], first["after"]):
        found.append(
            f"The test clips are searched by the captions of {names[0]}. A model that was trained on "
            "captions in the same style has an advantage."
        )
    other_sign = opposite(rows)
    for name in names[1:]:
        if name in other_sign:
            found.append(
                f"With the captions of {name} as references, the difference has the other sign for "
                f"{', '.join(other_sign[name])}. The answer depends on whose captions one searches by: use "
                "captions that neither side wrote."
            )
        else:
            found.append(f"With the captions of {name} as references, the differences have the same signs.")
    return found


def is_found(row: Mapping[str, Any]) -> bool:
    """Whether the difference of a deciding row is more than chance, after correction."""
    return row["p_corrected"] is not None and row["p_corrected"] < ALPHA


def shown_p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
