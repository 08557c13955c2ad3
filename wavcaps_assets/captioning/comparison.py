"""Captions the same clips in two ways and compares them: two prompts, two models, or a model and rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from wavcaps_assets.caption_metrics.rouge import rouge_l
from wavcaps_assets.caption_metrics.tokens import tokens
from wavcaps_assets.captioning.engine import caption_clips
from wavcaps_assets.captioning.settings import CaptioningSettings
from wavcaps_assets.llm.prices import record_cost
from wavcaps_assets.llm.records import LOST, answer_in
from wavcaps_assets.llm.session import Session
from wavcaps_assets.show.previews import cell
from wavcaps_assets.tables import CAPTION_COMPARISON
from wavcaps_assets.tables.stage import Stage

SAMPLE = 20


@dataclass(frozen=True)
class Variant:
    """A way to caption: the settings, a session with the model, and, for `given`, the clips' own captions."""

    settings: CaptioningSettings
    session: Session
    given: pa.Table | None = None


@dataclass(frozen=True)
class VariantResult:
    """The result of one variant, for the clips that both have seen.

    Attributes:
        name: the models and prompt versions that wrote the captions.
        captions: number of clips with a caption.
        failures: number of clips without one, by reason.
        mean_words: words in a caption; None: there is no caption.
        tokens, cost_usd: of all answers about the clips' texts; None: not known.
    """

    name: str
    captions: int
    failures: Mapping[str, int]
    mean_words: float | None
    tokens: int | None
    cost_usd: float | None


@dataclass(frozen=True)
class ComparisonResult:
    """Two variants compared.

    Attributes:
        clips: number of clips that both have seen.
        both: number of clips with two captions.
        equal_share: share of these whose captions have the same words; None: there are none.
        rouge_l, overlap: mean ROUGE-L (of the first against the second) and mean share of words in
            common (Jaccard), over these clips.
        only_one: number of clips that only one variant has seen; they are left out.
        table: `tables.CAPTION_COMPARISON`, the least similar first.
    """

    first: VariantResult
    second: VariantResult
    clips: int
    both: int
    equal_share: float | None
    rouge_l: float | None
    overlap: float | None
    only_one: int
    table: pa.Table

    def as_markdown(self) -> str:
        """Figures and a sample of differences, for an asset's metadata."""
        one, other = sides = self.first, self.second
        reasons = sorted({reason for side in sides for reason in side.failures})
        rows: list[tuple[str, object, object]] = [
            ("captions", one.captions, other.captions),
            ("words in a caption", _figure(one.mean_words, 1), _figure(other.mean_words, 1)),
            *(
                (f"dropped: {name}", one.failures.get(name, 0), other.failures.get(name, 0))
                for name in reasons
            ),
            ("tokens", _figure(one.tokens, 0), _figure(other.tokens, 0)),
            ("cost (USD)", _figure(one.cost_usd, 4), _figure(other.cost_usd, 4)),
        ]
        lines = [f"| | {cell(self.first.name)} | {cell(self.second.name)} |", "| --- | --- | --- |"]
        lines += [f"| {cell(name)} | {left} | {right} |" for name, left, right in rows]
        lines += [
            "",
            f"{self.both} of {self.clips} clips have two captions. Share of equal captions: "
            f"{_figure(self.equal_share, 3)}; mean ROUGE-L: {_figure(self.rouge_l, 3)}; mean share of words "
            f"in common: {_figure(self.overlap, 3)}. {self.only_one} clips that only one variant has seen "
            "are left out.",
            "",
            "| clip | text | first | second |",
            "| --- | --- | --- | --- |",
        ]
        differing = [row for row in self.table.to_pylist() if not row["equal"]][:SAMPLE]
        for row in differing:
            shown = [row[f"{side}_caption"] or f"({row[f'{side}_reason']})" for side in ("first", "second")]
            lines.append("| " + " | ".join(map(cell, [row["clip_id"], row["text"] or "", *shown])) + " |")
        return "\n".join(lines)


@dataclass(frozen=True)
class Paid:
    """Tokens and cost of a variant's answers; None: not known."""

    tokens: int | None = None
    cost_usd: float | None = None


def compare_variants(
    clips: pa.Table, source: str, variants: tuple[Variant, Variant], count: int
) -> ComparisonResult:
    """Captions the same clips with each variant, and compares the captions.

    The sessions are opened here, one after the other. Give both the same `run`, so that they share a budget.

    Args:
        clips: `tables.FILTERED_CLIPS`.
        source: the source's name.
        count: how many clips, spread evenly over the table.

    Raises:
        As `engine.caption_clips`.
    """
    step = max(1, -(-clips.num_rows // count))
    sample = clips.take(pa.array(range(0, clips.num_rows, step), pa.int64()))
    stages, paid = [], []
    for variant in variants:
        with variant.session as session:
            captioned = caption_clips(sample, source, variant.settings, session, given=variant.given)
            stages.append(captioned.stage)
            paid.append(paid_for(Counter(captioned.used) + session.usage.lost, session))
    return compare(stages[0], stages[1], (paid[0], paid[1]))


def paid_for(used: Mapping[str, int], session: Session) -> Paid:
    """Tokens and cost of texts: their share, if an answer is to a longer list.

    Args:
        used: the number of texts that count, by the key of each record in the response ledger.
    """
    tokens: float | None = 0.0
    cost: float | None = 0.0
    for key, texts in used.items():
        record = session.ledger.find(key)
        answer = None if record is None else answer_in(record)
        if record is None or answer is None:
            return Paid()
        share = texts / len(record["question"]["inputs"])
        counts = (answer.prompt_tokens, answer.completion_tokens)
        # The endpoint reports no tokens of a lost request.
        total = 0 if answer.finish_reason == LOST else _total(counts)
        tokens = _total((tokens, None if total is None else total * share))
        each = record_cost(record, session.prices)
        cost = _total((cost, None if each is None else each * share))
    return Paid(None if tokens is None else round(tokens), cost)


def compare(first: Stage, second: Stage, paid: tuple[Paid, Paid] = (Paid(), Paid())) -> ComparisonResult:
    """Compares two results of stage 2 clip by clip.

    Args:
        first: `tables.LLM_CAPTIONS` and the dropped clips.
        second: the same from the other variant.
        paid: what each of them cost.
    """
    one, other = _by_clip(first), _by_clip(second)
    common = [clip_id for clip_id in one if clip_id in other]
    rows = [_compared(clip_id, one[clip_id], other[clip_id]) for clip_id in common]
    rows.sort(key=lambda row: (row["equal"], -1.0 if row["rouge_l"] is None else row["rouge_l"]))
    both = [row for row in rows if row["rouge_l"] is not None]
    return ComparisonResult(
        first=_side([one[clip_id] for clip_id in common], paid[0]),
        second=_side([other[clip_id] for clip_id in common], paid[1]),
        clips=len(common),
        both=len(both),
        equal_share=_mean([float(row["equal"]) for row in both]),
        rouge_l=_mean([row["rouge_l"] for row in both]),
        overlap=_mean([row["overlap"] for row in both]),
        only_one=len(one.keys() ^ other.keys()),
        table=CAPTION_COMPARISON.from_rows(rows),
    )


def _by_clip(stage: Stage) -> dict[str, dict[str, Any]]:
    rows = [*stage.kept.to_pylist(), *stage.dropped.to_pylist()]
    return {row["clip_id"]: row for row in rows}


def _compared(clip_id: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    row = {
        "clip_id": clip_id,
        "source": one["source"],
        "text": one.get("text") or other.get("text"),
        "first_caption": one.get("caption"),
        "second_caption": other.get("caption"),
        "first_reason": one.get("reason"),
        "second_reason": other.get("reason"),
        "equal": False,
    }
    if row["first_caption"] is not None and row["second_caption"] is not None:
        words, others = tokens(row["first_caption"]), tokens(row["second_caption"])
        union = set(words) | set(others)
        row["equal"] = words == others
        row["rouge_l"] = rouge_l(words, [others])
        row["overlap"] = len(set(words) & set(others)) / len(union) if union else 1.0
    else:
        row["rouge_l"] = row["overlap"] = None
    return row


def _side(rows: Sequence[Mapping[str, Any]], paid: Paid) -> VariantResult:
    captioned = [row for row in rows if row.get("caption") is not None]
    names = sorted({f"{row['model']}, prompt {row['prompt_version']}" for row in captioned})
    return VariantResult(
        name="; ".join(names) or "no captions",
        captions=len(captioned),
        failures=Counter(row["reason"] for row in rows if row.get("caption") is None),
        mean_words=_mean([float(len(row["caption"].split())) for row in captioned]),
        tokens=paid.tokens,
        cost_usd=paid.cost_usd,
    )


def _total(values: Iterable[Any]) -> Any:
    """The sum; None if one of the values is not known."""
    known = list(values)
    return None if None in known else sum(known)


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _figure(value: float | None, digits: int) -> str:
    return "not known" if value is None else f"{value:,.{digits}f}"
