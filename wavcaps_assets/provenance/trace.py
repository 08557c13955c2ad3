"""Where a caption comes from: what the store contains about a clip, from the raw record to the manifest."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.captioning.presets import captioned_with
from wavcaps_assets.captioning.settings import CaptioningSettings
from wavcaps_assets.captioning.texts import one_line
from wavcaps_assets.crawl.history import History
from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.provenance.answers import Attempt, Rows, attempts_of
from wavcaps_assets.tables.asset_tables import WHOLE, OtherVersion, TableStore

STAGES = ("filtered_clips", "llm_captions", "captions", "manifest")
LONGEST_SHOWN = 2000


class UnknownClip(LookupError):
    """The store contains no such clip."""


@dataclass(frozen=True)
class Step:
    """What one stage did with the clip: its row, or the reason why it was dropped.

    Both are None if the stage has not seen the clip.
    """

    stage: str
    row: dict[str, Any] | None
    dropped: dict[str, Any] | None


@dataclass(frozen=True)
class Trace:
    """Everything about one clip. `published` is its caption; `unpublished` says why there is none."""

    clip_id: str
    source: str
    partition: str
    history: list[dict[str, Any]]
    steps: list[Step]
    attempts: list[Attempt] = field(default_factory=list)
    published: str | None = None
    unpublished: str = ""

    def as_json(self) -> str:
        return json.dumps(asdict(self), default=str, indent=2)

    def as_text(self) -> str:
        """For a person: one value per line; crawled text without control characters."""
        lines = [f"{self.clip_id}, of {self.source}, partition {self.partition}", ""]
        if self.published is not None:
            lines.append(f"published caption: {_shown(self.published)}")
        else:
            lines.append(f"not published: {_shown(self.unpublished)}")
        lines += ["", "history"]
        lines += [f"  {_shown(event)}" for event in map(_event, self.history)] or ["  no events"]
        for step in self.steps:
            lines += ["", step.stage]
            if step.row is not None:
                lines += _row_as_text(step.row)
            if step.dropped is not None:
                lines.append(f"  dropped: {step.dropped['reason']}: {_shown(step.dropped['detail'] or '')}")
            if step.row is None and step.dropped is None:
                lines.append("  has not seen this clip")
            if step.stage == "filtered_clips":
                lines += _attempts_as_text("answer", [one for one in self.attempts if not one.second])
            if step.stage == "llm_captions":
                lines += _attempts_as_text("second answer", [one for one in self.attempts if one.second])
        return "\n".join(lines) + "\n"


def trace(tables: TableStore, ledger: ResponseLedger, clip_id: str) -> Trace:
    """Collects everything about a clip. Reads the response ledger once.

    Raises:
        UnknownClip: no crawl has listed it; the message names clips with similar names.
        StoreError: the store cannot be read.
    """
    found = traces(tables, ledger, [clip_id])
    if not found:
        raise UnknownClip(_unknown(tables, clip_id))
    return found[0]


def traces(tables: TableStore, ledger: ResponseLedger, clip_ids: Sequence[str]) -> list[Trace]:
    """As `trace`, for several clips: reads each table, and the response ledger, once. Skips unknown clips.

    Raises:
        StoreError: the store cannot be read.
    """
    rows = ClipRows(tables, clip_ids)
    found: dict[str, tuple[str, str, list[Step]]] = {}
    for clip_id in clip_ids:
        if (known := rows.raw(clip_id)) is not None:
            source, partition, raw = known
            steps = [raw, rows.step([source, "audio"], clip_id, partition)]
            steps += [rows.step([stage], clip_id, source) for stage in STAGES]
            steps += rows.left_out(clip_id)
            found[clip_id] = source, partition, steps
    stages = {clip_id: {step.stage: step.row for step in steps} for clip_id, (*_, steps) in found.items()}
    settings = {source: _settings_of(tables, source) for source, _, _ in found.values()}
    rows_of = {
        clip_id: Rows(
            row["filtered_clips"], row["llm_captions"], row["captions"], settings[found[clip_id][0]]
        )
        for clip_id, row in stages.items()
    }
    answers = attempts_of(ledger, rows_of)
    traced = []
    for clip_id, (source, partition, steps) in found.items():
        manifest = stages[clip_id]["manifest"]
        traced.append(
            Trace(
                clip_id=clip_id,
                source=source,
                partition=partition,
                history=rows.history(clip_id, source, partition),
                steps=steps,
                attempts=answers[clip_id],
                published=manifest["caption"] if manifest and steps[-1].dropped is None else None,
                unpublished="" if manifest and steps[-1].dropped is None else _why_not(steps),
            )
        )
    return traced


def _settings_of(tables: TableStore, source: str) -> CaptioningSettings | None:
    try:
        return captioned_with(tables, source)
    except OtherVersion:
        return None


class ClipRows:
    """The rows of some clips. Only these rows of each table are kept in memory."""

    def __init__(self, tables: TableStore, clip_ids: Sequence[str]) -> None:
        self._tables = tables
        self._ids = pa.array(clip_ids, pa.string())
        self._rows: dict[tuple[str, ...], tuple[dict[str, Any], dict[str, Any]]] = {}
        self._events: dict[tuple[str, str], list[dict[str, Any]]] = {}

    def step(self, asset_key: Sequence[str], clip_id: str, partition: str) -> Step:
        place = (*asset_key, partition)
        if place not in self._rows:
            self._rows[place] = {}, {}
            if self._tables.exists(asset_key, partition):
                outcome = self._tables.read_stage(asset_key, [partition])
                self._rows[place] = self._kept(outcome.kept), self._kept(outcome.dropped)
        rows, dropped = self._rows[place]
        return Step(asset_key[-1], rows.get(clip_id), dropped.get(clip_id))

    def left_out(self, clip_id: str) -> list[Step]:
        """The step of the whole set, if that left out the clip."""
        place = ("wavcaps", WHOLE)
        if place not in self._rows:
            self._rows[place] = {}, self._kept(self._tables.read_dropped(["wavcaps"]))
        dropped = self._rows[place][1].get(clip_id)
        return [] if dropped is None else [Step("wavcaps", None, dropped)]

    def raw(self, clip_id: str) -> tuple[str, str, Step] | None:
        """A clip's source, its partition and its crawl step; None: no crawl has listed it."""
        for source in _sources_in(clip_id):
            for partition in self._tables.partitions([source, "raw_clips"]):
                step = self.step([source, "raw_clips"], clip_id, partition)
                if step.row is not None or step.dropped is not None:
                    return source, partition, step
        return None

    def history(self, clip_id: str, source: str, partition: str) -> list[dict[str, Any]]:
        place = source, partition
        if place not in self._events:
            ids = set(self._ids.to_pylist())
            with History(self._tables.store, source, partition) as history:
                self._events[place] = [event for event in history if event["clip_id"] in ids]
        return [event for event in self._events[place] if event["clip_id"] == clip_id]

    def _kept(self, table: pa.Table) -> dict[str, Any]:
        rows = table.filter(pc.is_in(table["clip_id"], value_set=self._ids)).to_pylist()
        return {row["clip_id"]: row for row in reversed(rows)}


def _sources_in(clip_id: str) -> list[str]:
    """The sources that a clip_id may belong to."""
    sources = [clip_id[:place] for place, char in enumerate(clip_id) if char == "-" and place]
    return [source for source in sources if "/" not in source and not source.startswith(".")]


def _unknown(tables: TableStore, clip_id: str) -> str:
    known = [
        near
        for source in _sources_in(clip_id)
        for partition in tables.partitions([source, "raw_clips"])
        for near in tables.read([source, "raw_clips"], [partition])["clip_id"].to_pylist()
    ]
    if not known:
        sources = tables.partitions(["filtered_clips"])
        return (
            f"no clip {one_line(clip_id, 100)!r}: a clip_id is `<source>-<id at the source>`, "
            f"and there are clips of {', '.join(sources) or 'no source yet'}"
        )
    near = difflib.get_close_matches(clip_id, known, n=5, cutoff=0.6) or sorted(known)[:5]
    return f"no clip {one_line(clip_id, 100)!r}; similar ones are {', '.join(near)}"


def _why_not(steps: Sequence[Step]) -> str:
    dropped = next((step.dropped for step in reversed(steps) if step.dropped is not None), None)
    if dropped:
        detail = dropped["detail"] or "no detail"
        return f"{dropped['stage']} dropped it: {dropped['reason']}: {detail}"
    waiting = next((step.stage for step in steps if step.row is None), steps[-1].stage)
    return f"{waiting} has not seen it yet: materialize it"


def _row_as_text(row: Mapping[str, Any]) -> Iterator[str]:
    for name, value in row.items():
        if name == "findings":
            yield from (f"  {_shown(finding_as_text(finding))}" for finding in value)
        elif value not in (None, []):
            yield f"  {name}: {_shown(value)}"


def finding_as_text(finding: Mapping[str, Any]) -> str:
    """A finding of stage 3, such as `caption 1: banned_words (heard): ask_again`."""
    detail = f" ({finding['detail']})" if finding["detail"] else ""
    return f"caption {finding['judgement'] + 1}: {finding['rule']}{detail}: {finding['verdict']}"


def _attempts_as_text(what: str, attempts: Sequence[Attempt]) -> Iterator[str]:
    for number, attempt in enumerate(attempts, 1):
        question, answer = attempt.question, attempt.answer
        yield ""
        yield f"{what} {number} of {len(attempts)}, {attempt.at}, key {attempt.key}"
        yield f"  model {_shown(question['model'])}, prompt version {question['prompt_version']}"
        yield f"  parameters: {_shown(json.dumps(question['parameters']))}"
        yield f"  this text, one of {attempt.texts}: {_shown(attempt.given)}"
        if attempt.messages is None:
            yield "  no preset has this prompt version any more"
        for message in attempt.messages or ():
            yield f"  {message['role']}: {_shown(message['content'])}"
        yield f"  raw answer: {_shown(answer.get('text', ''))}"
        cost = answer.get("cost_usd")
        paid = "cost not known" if cost is None else f"{cost:.6f} USD"
        yield (
            f"  finish reason {answer.get('finish_reason')}, tokens {answer.get('prompt_tokens')} in and "
            f"{answer.get('completion_tokens')} out, {paid}"
        )
        yield f"  caption of this text: {'none' if attempt.caption is None else _shown(attempt.caption)}"
        complaint = f", {_shown(attempt.complaint)}" if attempt.complaint else ""
        yield f"  rules {attempt.rules}: {attempt.verdict}{complaint}"


def _event(event: Mapping[str, Any]) -> str:
    names = ("version", "reason", "detail", "gen_ai_preference")
    more = {name: event[name] for name in names if event.get(name) is not None}
    return f"{event['at']} {event['event']} {' '.join(f'{name}={value}' for name, value in more.items())}"


def _shown(value: object) -> str:
    return one_line(str(value), LONGEST_SHOWN)
