"""Where a caption comes from: all that the store knows of one clip, from the raw record to what is published.

python -m wavcaps_assets.provenance CLIP_ID [--json]
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.captioning.ledger import ANSWERS, Ledger, answer_in
from wavcaps_assets.captioning.parsing import Parsed, parse_numbered, parse_single, parse_structured
from wavcaps_assets.captioning.prompts import Message, find_prompt
from wavcaps_assets.captioning.second_questions import find_second_prompt, text_in
from wavcaps_assets.captioning.settings import CAPTIONING_PRESETS
from wavcaps_assets.captioning.texts import clean, clip_text, first_sentence
from wavcaps_assets.history import History
from wavcaps_assets.postprocessing.rule_settings import RuleSettings
from wavcaps_assets.postprocessing.rules import Candidate, judge
from wavcaps_assets.stages import Stage
from wavcaps_assets.storage import StoreError, open_store
from wavcaps_assets.table_store import TableStore

STAGES = ("filtered_clips", "llm_captions", "captions", "manifest")
LONGEST_SHOWN = 2000


class UnknownClip(LookupError):
    """The store knows no such clip."""


@dataclass(frozen=True)
class Step:
    """What one stage made of the clip: its row, or the reason why it set the clip aside.

    Both are None where the stage has not seen the clip.
    """

    stage: str
    row: dict[str, Any] | None
    dropped: dict[str, Any] | None


@dataclass(frozen=True)
class Attempt:
    """One answer of a model to a question that held the clip's text.

    Attributes:
        key: of the question in the ledger.
        at: when it was answered, ISO 8601, UTC.
        texts: how many texts the question held; its tokens and cost are those of all of them.
        given: the clip's text as it was put.
        messages: the conversation, word for word; None where no preset has that prompt any more.
        said: what the answer says of this text; None where it cannot be told.
        verdict: what the rules of the preset `paper` make of it.
    """

    key: str
    at: str
    question: dict[str, Any]
    texts: int
    given: str
    messages: list[Message] | None
    answer: dict[str, Any]
    said: str | None
    verdict: str
    complaint: str


@dataclass(frozen=True)
class Trace:
    """Everything of one clip. `published` is its caption; `unpublished` says why there is none."""

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
        """For a person; crawled text without control characters, one value a line."""
        lines = [f"{self.clip_id}, of {self.source}, partition {self.partition}", ""]
        if self.published is not None:
            lines.append(f"published caption: {_shown(self.published)}")
        else:
            lines.append(f"not published: {_shown(self.unpublished)}")
        lines += ["", "history"]
        lines += [f"  {_shown(event)}" for event in map(_event, self.history)] or [
            "  nothing is written down"
        ]
        for step in self.steps:
            lines += ["", step.stage]
            if step.row is not None:
                lines += [
                    f"  {name}: {_shown(value)}"
                    for name, value in step.row.items()
                    if value not in (None, [])
                ]
            if step.dropped is not None:
                lines.append(f"  set aside: {step.dropped['reason']}: {_shown(step.dropped['detail'] or '')}")
            if step.row is None and step.dropped is None:
                lines.append("  has not seen this clip")
            if step.stage == "filtered_clips":
                lines += _attempts_as_text(self.attempts)
        return "\n".join(lines) + "\n"


def trace(tables: TableStore, ledger: Ledger, clip_id: str) -> Trace:
    """Collects everything of a clip. Every answer in the ledger is read once.

    Raises:
        UnknownClip: no crawl has listed it; the message names clips with like names.
        StoreError: the store cannot be read.
    """
    source, partition, raw = _raw(tables, clip_id)
    steps = [raw, _step(tables, [source, "audio"], clip_id, partition)]
    steps += [_step(tables, [stage], clip_id, source) for stage in STAGES]
    by_stage = {step.stage: step for step in steps}
    with History(tables.store, source, partition) as history:
        events = [event for event in history if event["clip_id"] == clip_id]
    manifest = by_stage["manifest"].row
    return Trace(
        clip_id=clip_id,
        source=source,
        partition=partition,
        history=events,
        steps=steps,
        attempts=_attempts(ledger, by_stage["filtered_clips"].row, by_stage["llm_captions"].row),
        published=manifest["caption"] if manifest else None,
        unpublished="" if manifest else _why_not(steps),
    )


def _raw(tables: TableStore, clip_id: str) -> tuple[str, str, Step]:
    """The source and the partition of a clip, and what the crawl says of it."""
    dashes = [place for place, char in enumerate(clip_id) if char == "-"]
    known: list[str] = []
    for source in (clip_id[:place] for place in dashes if place):
        if "/" in source or source.startswith("."):
            continue
        for partition in tables.partitions([source, "raw_clips"]):
            step = _step(tables, [source, "raw_clips"], clip_id, partition)
            if step.row is not None or step.dropped is not None:
                return source, partition, step
            known += tables.read([source, "raw_clips"], [partition])["clip_id"].to_pylist()
    if not known:
        sources = tables.partitions(["filtered_clips"])
        raise UnknownClip(
            f"no clip {clean(clip_id, 100)!r}: a clip_id is `<source>-<id at the source>`, "
            f"and there are clips of {', '.join(sources) or 'no source yet'}"
        )
    near = difflib.get_close_matches(clip_id, known, n=5, cutoff=0.6) or sorted(known)[:5]
    raise UnknownClip(f"no clip {clean(clip_id, 100)!r}; near it are {', '.join(near)}")


def _step(tables: TableStore, asset_key: Sequence[str], clip_id: str, partition: str) -> Step:
    if not tables.exists(asset_key, partition):
        return Step(asset_key[-1], None, None)
    outcome: Stage = tables.read_stage(asset_key, [partition])
    return Step(asset_key[-1], _row(outcome.kept, clip_id), _row(outcome.dropped, clip_id))


def _row(table: pa.Table, clip_id: str) -> dict[str, Any] | None:
    found = table.filter(pc.equal(table["clip_id"], clip_id)).to_pylist()
    return found[0] if found else None


def _why_not(steps: Sequence[Step]) -> str:
    dropped = next((step.dropped for step in reversed(steps) if step.dropped is not None), None)
    if dropped:
        detail = dropped["detail"] or "nothing more is said"
        return f"{dropped['stage']} set it aside: {dropped['reason']}: {detail}"
    waiting = next((step.stage for step in steps if step.row is None), steps[-1].stage)
    return f"{waiting} has not seen it yet: materialize it"


def _attempts(
    ledger: Ledger, filtered: Mapping[str, Any] | None, captioned: Mapping[str, Any] | None
) -> list[Attempt]:
    text = captioned["text"] if captioned else clip_text(filtered) if filtered else ""
    wanted = _ways_to_put(text)
    answer_id = captioned["answer_id"] if captioned else None
    attempts = []
    for record in ledger.records() if text else ():
        inputs = list(record["question"]["inputs"])
        # A second question holds the text, its caption and what was wrong with it.
        index = next(
            (index for index, given in enumerate(inputs) if (text_in(given) or given) in wanted), None
        )
        if index is None and record["key"] == answer_id:
            # Put in a way that no preset of today has.
            index = next((place for place, given in enumerate(inputs) if given in text), 0)
        if index is not None:
            attempts.append(_attempt(record, index, text))
    return sorted(attempts, key=lambda attempt: attempt.at)


def _ways_to_put(text: str) -> set[str]:
    """How the presets put a text to a model."""
    ways = set()
    for settings in CAPTIONING_PRESETS.values():
        first = first_sentence(text, settings.max_text_chars)
        ways |= {clean(text, settings.max_text_chars), clean(first, settings.max_text_chars)}
    return ways - {""}


def _attempt(record: Mapping[str, Any], index: int, text: str) -> Attempt:
    question, answer = record["question"], answer_in(record)
    inputs = list(question["inputs"])
    parsed = _parsed(answer.text if answer else "", len(inputs))[index]
    (judged,) = judge([Candidate(parsed.caption or "", text)], RuleSettings())
    return Attempt(
        key=record["key"],
        at=record["at"],
        question=dict(question),
        texts=len(inputs),
        given=inputs[index],
        messages=_messages(question["prompt_version"], str(record.get("source") or ""), inputs),
        answer=asdict(answer) if answer else {},
        said=parsed.caption,
        verdict=judged.verdict.value if parsed.caption is not None else "unreadable",
        complaint=judged.complaint if parsed.caption is not None else parsed.problem or "",
    )


def _parsed(said: str, count: int) -> list[Parsed]:
    if said.lstrip().startswith("{"):
        return parse_structured(said, count)
    return (
        [parse_single(said)]
        if count == 1 and not said.lstrip().startswith("1")
        else parse_numbered(said, count)
    )


def _messages(version: str, source: str, inputs: Sequence[str]) -> list[Message] | None:
    prompt = find_prompt(version, source) or find_second_prompt(version)
    return prompt.messages(inputs) if prompt else None


def _attempts_as_text(attempts: Sequence[Attempt]) -> Iterator[str]:
    for number, attempt in enumerate(attempts, 1):
        question, answer = attempt.question, attempt.answer
        yield ""
        yield f"answer {number} of {len(attempts)}, {attempt.at}, key {attempt.key}"
        yield f"  model {_shown(question['model'])}, prompt version {question['prompt_version']}"
        yield f"  parameters: {_shown(json.dumps(question['parameters']))}"
        yield f"  this text, one of {attempt.texts}: {_shown(attempt.given)}"
        if attempt.messages is None:
            yield "  the prompt of this version is in no preset any more"
        for message in attempt.messages or ():
            yield f"  {message['role']}: {_shown(message['content'])}"
        yield f"  raw answer: {_shown(answer.get('text', ''))}"
        cost = answer.get("cost_usd")
        paid = "cost not known" if cost is None else f"{cost:.6f} USD"
        yield (
            f"  finish reason {answer.get('finish_reason')}, tokens {answer.get('prompt_tokens')} in and "
            f"{answer.get('completion_tokens')} out, {paid}"
        )
        yield f"  says of this text: {_shown(attempt.said)}"
        yield f"  rules: {attempt.verdict}{f', {_shown(attempt.complaint)}' if attempt.complaint else ''}"


def _event(event: Mapping[str, Any]) -> str:
    more = {name: event[name] for name in ("version", "reason", "detail") if event.get(name) is not None}
    return f"{event['at']} {event['event']} {' '.join(f'{name}={value}' for name, value in more.items())}"


def _shown(value: object) -> str:
    return clean(str(value), LONGEST_SHOWN)


def main(arguments: list[str] | None = None) -> None:
    from wavcaps_assets.settings import Settings

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("clip_id", help="such as soundbible-2215")
    parser.add_argument("--json", action="store_true", help="as JSON instead of text")
    given = parser.parse_args(arguments)
    settings = Settings()
    store = open_store(settings.store, settings.s3.endpoint_url or None, settings.s3.region or None)
    with Ledger(store, ANSWERS) as ledger:
        found = trace(TableStore(store), ledger, given.clip_id)
    sys.stdout.write(f"{found.as_json()}\n" if given.json else found.as_text())


if __name__ == "__main__":
    try:
        main()
    except (UnknownClip, StoreError) as error:
        sys.exit(str(error))
