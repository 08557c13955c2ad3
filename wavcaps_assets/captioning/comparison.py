"""Two ways of captioning the same clips, side by side: two prompts, two models, or a model and the rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from wavcaps_assets.caption_metrics.rouge import rouge_l
from wavcaps_assets.caption_metrics.tokens import tokens
from wavcaps_assets.llm.ledger import LOST, ResponseLedger, answer_in
from wavcaps_assets.llm.prices import Prices, record_cost
from wavcaps_assets.show.previews import cell
from wavcaps_assets.tables import CAPTION_COMPARISON
from wavcaps_assets.tables.stage import Stage

SAMPLE = 20


@dataclass(frozen=True)
class Side:
    """One way of captioning, over the clips that both were given.

    Attributes:
        name: the models and prompt versions that wrote the captions.
        captions: clips with a caption.
        failures: clips without one, by reason.
        mean_words: words a caption; None: there is no caption.
        tokens, cost_usd: of all answers that the clips' texts were asked about; None: not known.
    """

    name: str
    captions: int
    failures: Mapping[str, int]
    mean_words: float | None
    tokens: int | None
    cost_usd: float | None


@dataclass(frozen=True)
class ComparisonResult:
    """Two ways of captioning compared.

    Attributes:
        clips: clips that both were given.
        both: clips that have a caption of each.
        equal_share: share of these whose captions have the same words; None: there are none.
        rouge_l, overlap: mean ROUGE-L (of the first against the second) and mean share of words in
            common (Jaccard), over the same clips.
        only_one_given: clips that only one of them was given; they are left out.
        table: `tables.CAPTION_COMPARISON`, the least alike first.
    """

    first: Side
    second: Side
    clips: int
    both: int
    equal_share: float | None
    rouge_l: float | None
    overlap: float | None
    only_one_given: int
    table: pa.Table

    def as_markdown(self) -> str:
        """Figures and a sample of differences, for an asset's metadata."""
        one, other = sides = self.first, self.second
        reasons = sorted({reason for side in sides for reason in side.failures})
        rows: list[tuple[str, object, object]] = [
            ("captions", one.captions, other.captions),
            ("words a caption", _figure(one.mean_words, 1), _figure(other.mean_words, 1)),
            *(
                (f"set aside: {name}", one.failures.get(name, 0), other.failures.get(name, 0))
                for name in reasons
            ),
            ("tokens", _figure(one.tokens, 0), _figure(other.tokens, 0)),
            ("cost (USD)", _figure(one.cost_usd, 4), _figure(other.cost_usd, 4)),
        ]
        lines = [f"| | {cell(self.first.name)} | {cell(self.second.name)} |", "| --- | --- | --- |"]
        lines += [f"| {cell(name)} | {left} | {right} |" for name, left, right in rows]
        lines += [
            "",
            f"Of {self.clips} clips that both were given, {self.both} have a caption of each; of these "
            f"{_figure(self.equal_share, 3)} (share) are equal; mean ROUGE-L {_figure(self.rouge_l, 3)}, "
            f"mean share of words in common {_figure(self.overlap, 3)}. "
            f"{self.only_one_given} clips were given to one only, and are left out.",
            "",
            "| clip | text | first | second |",
            "| --- | --- | --- | --- |",
        ]
        differing = [row for row in self.table.to_pylist() if not row["equal"]][:SAMPLE]
        for row in differing:
            said = [row[f"{side}_caption"] or f"({row[f'{side}_reason']})" for side in ("first", "second")]
            lines.append("| " + " | ".join(map(cell, [row["clip_id"], row["text"] or "", *said])) + " |")
        return "\n".join(lines)


@dataclass(frozen=True)
class Paid:
    """What was paid for a way's answers; None: not known."""

    tokens: int | None = None
    cost_usd: float | None = None


def paid_for(taken: Mapping[str, int], ledger: ResponseLedger, prices: Prices) -> Paid:
    """What was paid for texts: of an answer to a longer list, their share.

    Args:
        taken: by the key of each record in the ledger, how many of its texts count.
    """
    tokens: float | None = 0.0
    cost: float | None = 0.0
    for key, texts in taken.items():
        record = ledger.find(key)
        answer = None if record is None else answer_in(record)
        if record is None or answer is None:
            return Paid()
        share = texts / len(record["question"]["inputs"])
        counts = (answer.prompt_tokens, answer.completion_tokens)
        # Nobody told the tokens of a request that was lost.
        used = 0 if answer.finish_reason == LOST else _total(counts)
        tokens = _total((tokens, None if used is None else used * share))
        each = record_cost(record, prices)
        cost = _total((cost, None if each is None else each * share))
    return Paid(None if tokens is None else round(tokens), cost)


def compare(first: Stage, second: Stage, paid: tuple[Paid, Paid] = (Paid(), Paid())) -> ComparisonResult:
    """Compares two outcomes of stage 2 clip by clip.

    Args:
        first: `tables.LLM_CAPTIONS` and what was set aside.
        second: the same of the other way.
        paid: what each of them took.
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
        only_one_given=len(one.keys() ^ other.keys()),
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


def _side(rows: Sequence[Mapping[str, Any]], paid: Paid) -> Side:
    captioned = [row for row in rows if row.get("caption") is not None]
    names = sorted({f"{row['model']}, prompt {row['prompt_version']}" for row in captioned})
    return Side(
        name="; ".join(names) or "no captions",
        captions=len(captioned),
        failures=Counter(row["reason"] for row in rows if row.get("caption") is None),
        mean_words=_mean([float(len(row["caption"].split())) for row in captioned]),
        tokens=paid.tokens,
        cost_usd=paid.cost_usd,
    )


def _total(values: Iterable[Any]) -> Any:
    """The sum; None where one of the values is not known."""
    known = list(values)
    return None if None in known else sum(known)


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _figure(value: float | None, digits: int) -> str:
    return "not known" if value is None else f"{value:,.{digits}f}"
