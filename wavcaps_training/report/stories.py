"""The history of some clips, from the raw record to the published caption."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.analysis.examples import sample
from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger
from wavcaps_assets.provenance.answers import Attempt
from wavcaps_assets.provenance.trace import Step, Trace, finding_as_text, traces
from wavcaps_assets.show.text import shown
from wavcaps_assets.sources.base import Source
from wavcaps_assets.tables.asset_tables import TableStore

CLIPS_PER_SOURCE = 2
SEED = 0
TITLES = {
    "raw_clips": "Raw record",
    "audio": "Audio",
    "filtered_clips": "Stage 1: filter",
    "llm_captions": "Stage 2: language model",
    "captions": "Stage 3: rules",
    "manifest": "Published",
}
# The columns that are shown of wide tables; of the others, all columns are shown.
COLUMNS = {
    "raw_clips": ("title", "description", "tags", "events", "author", "licence", "page_url", "crawled_at"),
    "audio": ("duration_s", "original_format", "original_sha256", "samples_sha256"),
    "filtered_clips": ("duration_s",),
    "manifest": ("caption", "licence_id", "attribution"),
}
LEFT_OUT = frozenset({"clip_id", "source"})


@dataclass(frozen=True)
class Chapter:
    """A step in the history of a clip: its name, and facts by name."""

    title: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Story:
    """The history of one clip."""

    clip_id: str
    title: str
    chapters: tuple[Chapter, ...]


def read_stories(tables: TableStore, sources: Sequence[Source], wavcaps: pa.Table) -> tuple[Story, ...]:
    """The history of a few published clips of each source, drawn by seed.

    Raises:
        StoreError: the store cannot be read.
    """
    crawled = [source for source in sources if tables.partitions([source.name, "raw_clips"])]
    if not crawled or not wavcaps.num_rows:
        return ()
    titles: dict[str, str] = {}
    for source in crawled:
        own = wavcaps.filter(pc.equal(wavcaps.column("source"), source.name)).select(["clip_id"])
        drawn = sample(own, CLIPS_PER_SOURCE, SEED).column("clip_id").to_pylist()
        titles |= dict.fromkeys(drawn, source.title)
    with ResponseLedger(tables.store, ANSWERS) as ledger:
        # A crawl that was restarted may no longer list what is published.
        return tuple(_story(titles[one.clip_id], one) for one in traces(tables, ledger, list(titles)))


def _story(title: str, traced: Trace) -> Story:
    chapters = []
    for step in traced.steps:
        chapters.append(Chapter(TITLES.get(step.stage, step.stage), tuple(_facts(step))))
        if step.stage == "filtered_clips":
            chapters += [_request_of(attempt) for attempt in traced.attempts if not attempt.second]
        if step.stage == "llm_captions":
            chapters += [_request_of(attempt) for attempt in traced.attempts if attempt.second]
    return Story(shown(traced.clip_id), title, tuple(chapters))


def _facts(step: Step) -> Iterator[tuple[str, str]]:
    if step.dropped is not None:
        yield "dropped", shown(f"{step.dropped['reason']}: {step.dropped['detail'] or ''}")
    if step.row is None:
        return
    if step.stage == "filtered_clips":
        yield "verdict", "passed"
    for name, value in _columns_of(step.stage, step.row).items():
        if value not in (None, "", []):
            yield _named(name), shown(_text(value))


def _named(column: str) -> str:
    name = column.removesuffix("_s")
    return name.replace("_", " ") + (" (s)" if name != column else "")


def _columns_of(stage: str, row: Mapping[str, Any]) -> dict[str, Any]:
    columns = COLUMNS.get(stage, tuple(name for name in row if name not in LEFT_OUT))
    return {name: row[name] for name in columns if name in row}


def _request_of(attempt: Attempt) -> Chapter:
    question, answer = attempt.question, attempt.answer
    facts = {
        "key in the response ledger": attempt.key,
        "answered": _text(datetime.fromisoformat(attempt.at)),
        "model": question["model"],
        "prompt version": question["prompt_version"],
        "text in the request": attempt.given,
        "texts in the request": attempt.texts,
        "raw answer": answer.get("text", ""),
        "finish reason": answer.get("finish_reason") or "not known",
        "tokens of the whole request": _tokens(answer),
        "cost of the whole request (USD)": _cost(answer),
        "caption of this text": attempt.caption or "none",
        f"rules {attempt.rules}": f"{attempt.verdict}{f': {attempt.complaint}' if attempt.complaint else ''}",
    }
    title = "Second request to the model" if attempt.second else "Request to the model"
    return Chapter(title, tuple((name, shown(str(value))) for name, value in facts.items()))


def _tokens(answer: Mapping[str, Any]) -> str:
    counts = [answer.get("prompt_tokens"), answer.get("completion_tokens")]
    prompt, completion = ("not known" if count is None else str(count) for count in counts)
    return f"{prompt} in, {completion} out"


def _cost(answer: Mapping[str, Any]) -> str:
    cost = answer.get("cost_usd")
    return "not known" if cost is None else f"{cost:.6f}"


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M} UTC"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return ", ".join(_text(item) for item in value)
    if isinstance(value, Mapping) and "judgement" in value:
        return finding_as_text(value)
    if isinstance(value, Mapping):
        return (
            str(value["label"])
            if "label" in value
            else ", ".join(
                f"{name}: {_text(item)}" for name, item in value.items() if item not in (None, "", [])
            )
        )
    return str(value)
