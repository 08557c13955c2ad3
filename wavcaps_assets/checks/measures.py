"""Measures a set of captions: by source, and as a whole."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from wavcaps_assets.captioning.alignment import content_stems
from wavcaps_assets.captioning.floor.template import sound_events
from wavcaps_assets.checks.alignment import misplaced
from wavcaps_assets.checks.caption_set import CaptionSet, Counted, Shown
from wavcaps_assets.checks.content_words import content_words, normalised
from wavcaps_assets.checks.figures import EXAMPLES, WHOLE, Example, Figure, exact
from wavcaps_assets.checks.quality_settings import QualitySettings
from wavcaps_assets.checks.sampling import even_sample, wilson_interval
from wavcaps_assets.rules.judging import READ_CHARS, Candidate, judge
from wavcaps_assets.rules.settings import RuleSettings
from wavcaps_assets.rules.table import RULES, RULES_WITHOUT_PARSER

# Captions in memory at a time: few compared with the table.
BATCH = 10_000

# The measure of captions that a repair of stage 3 would change.
UNREPAIRED = "unrepaired"

Row = Mapping[str, Any]
# A caption, what it is without the differences that do not count, and a number for its content words.
SEEN = pa.schema(
    [*((name, pa.string()) for name in ("clip_id", "caption", "plain")), ("content", pa.int64())]
)
# By scope and measure. The measure of a rule has the rule's name.
Figures = dict[str, dict[str, Figure]]


@dataclass
class Tally:
    """Counts over the captions of a scope.

    Attributes:
        broken: captions that break each rule.
        examples: some of these, by rule.
        parsed: captions that were checked by the rules that need the parser.
        labelled: captions of clips with labelled sound events.
        prompted: captions whose prompt is known, so that rules like `echo` can be checked.
        words: words of all captions.
        seen: `SEEN`, all captions.
        with_text, apart: captions with a raw text, and those of them that share no word with it.
        misplaced: captions that seem to belong to the clips next to theirs.
    """

    broken: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[Example]] = field(default_factory=dict)
    parsed: int = 0
    labelled: int = 0
    prompted: int = 0
    words: int = 0
    seen: list[pa.RecordBatch] = field(default_factory=list)
    with_text: int = 0
    apart: int = 0
    misplaced: int = 0

    def note(self, rule: str, example: Example) -> None:
        self.broken[rule] += 1
        shown = self.examples.setdefault(rule, [])
        if len(shown) < EXAMPLES:
            shown.append(example)


def measure(captions: CaptionSet, settings: QualitySettings) -> Figures:
    """The figures of each source and of the whole.

    Rules that need the parser are measured on an even sample, everything else on all captions. Shares from
    the sample, and the share of dropped clips, always have a confidence interval: the thresholds are those
    of a set of 403,050 clips, and a set can have a few clips only.
    """
    # Slow to import, and not needed to load the definitions.
    import pyarrow.compute as pc

    tallies = {scope: Tally() for scope in scopes(captions.sources)}
    whole = tallies.get(WHOLE, Tally())
    fast, slow = _rules(settings.rules)
    drawn = even_sample(_ids(captions.table), settings.sample.size, settings.sample.seed)
    for source in captions.sources:
        table = captions.table.filter(pc.equal(captions.table.column("source"), source))
        both = (tallies[source], whole)
        found = misplaced(table)
        for tally in both:
            tally.misplaced += found.rows
            shown = tally.examples.setdefault("misplaced", [])
            shown += found.examples[: EXAMPLES - len(shown)]
        for rows in _batches(table):
            _read(rows, both, captions.shown)
            _judge(rows, fast, (both,) * len(rows), captions.shown, repairs=True)
        sample = even_sample(_ids(table), settings.sample.size, settings.sample.seed)
        for rows in _batches(_only(table, sample | drawn)):
            asked = [
                tuple(
                    tally
                    for tally, clips in zip(both, (sample, drawn), strict=True)
                    if row["clip_id"] in clips
                )
                for row in rows
            ]
            _judge(rows, slow, asked, captions.shown)
            for tallies_asked in asked:
                for tally in tallies_asked:
                    tally.parsed += 1
    return {
        scope: _figures(tally, scope, captions, (fast, slow), settings) for scope, tally in tallies.items()
    }


def scopes(sources: Sequence[str]) -> list[str]:
    """The sources, and the whole if there are several."""
    return [WHOLE, *sources] if len(sources) > 1 else list(sources)


def _rules(settings: RuleSettings) -> tuple[RuleSettings, RuleSettings]:
    fast = tuple(name for name in settings.enabled if name in RULES_WITHOUT_PARSER)
    slow = tuple(name for name in settings.enabled if name not in RULES_WITHOUT_PARSER)
    return settings.model_copy(update={"enabled": fast}), settings.model_copy(update={"enabled": slow})


def _ids(table: pa.Table) -> Iterator[str]:
    for batch in table.select(["clip_id"]).to_batches(max_chunksize=BATCH):
        yield from batch.column(0).to_pylist()


def _only(table: pa.Table, clip_ids: Iterable[str]) -> pa.Table:
    # Slow to import, and not needed to load the definitions.
    import pyarrow.compute as pc

    return table.filter(pc.is_in(table.column("clip_id"), value_set=pa.array(clip_ids, pa.string())))


def _batches(table: pa.Table) -> Iterator[list[dict[str, str | None]]]:
    for batch in table.to_batches(max_chunksize=BATCH):
        yield batch.to_pylist()


def _prompt(row: Row, shown: Shown) -> tuple[str, ...]:
    """The other sentences that the model was shown; empty if unknown."""
    return shown.get((row["source"] or "", row["prompt_version"] or ""), ())


def _read(rows: Sequence[Row], tallies: Iterable[Tally], shown: Shown) -> None:
    captions = [row["caption"] or "" for row in rows]
    columns = (
        [row["clip_id"] or "" for row in rows],
        captions,
        [normalised(caption) for caption in captions],
        [hash(content_words(caption)) for caption in captions],
    )
    seen = pa.record_batch([pa.array(*one) for one in zip(columns, SEEN.types, strict=True)], schema=SEEN)
    words = sum(len(caption.split()) for caption in captions)
    apart = [row for row in rows if _is_apart(row)]
    for tally in tallies:
        tally.seen.append(seen)
        tally.words += words
        tally.prompted += sum(bool(_prompt(row, shown)) for row in rows)
        tally.labelled += sum(bool(row["events"]) for row in rows)
        tally.with_text += sum(bool(row["text"]) for row in rows)
        tally.apart += len(apart)
        listed = tally.examples.setdefault("text_mismatch", [])
        listed += [
            Example(row["clip_id"] or "", row["caption"] or "", f"the raw text: {row['text']}")
            for row in apart[: EXAMPLES - len(listed)]
        ]


def _is_apart(row: Row) -> bool:
    """Whether a caption shares no word with its raw text."""
    stems = content_stems(row["text"]) if row["text"] else None
    return bool(stems) and content_stems(row["caption"] or "").isdisjoint(stems or ())


def _judge(
    rows: Sequence[Row],
    settings: RuleSettings,
    asked: Sequence[tuple[Tally, ...]],
    shown: Shown,
    *,
    repairs: bool = False,
) -> None:
    """Counts what the rules find, and, if `repairs`, what the repairs would change."""
    if not settings.enabled and not repairs:
        return
    candidates = [
        Candidate(row["caption"] or "", row["text"] or "", _prompt(row, shown), sound_events(row["events"]))
        for row in rows
    ]
    for row, judged, tallies in zip(rows, judge(candidates, settings), asked, strict=True):
        clip_id, caption = row["clip_id"] or "", row["caption"] or ""
        found = [(finding.rule, finding.detail) for finding in judged.findings]
        # Only the start of a very long caption was repaired.
        if repairs and judged.repairs and len(caption) <= READ_CHARS:
            found.append((UNREPAIRED, f"{', '.join(judged.repairs)}: {judged.caption}"))
        for rule, detail in found:
            # An empty caption is `too_short`, even if that rule is not enabled.
            for tally in tallies if rule in (UNREPAIRED, *settings.enabled) else ():
                tally.note(rule, Example(clip_id, caption, detail))


def _figures(
    tally: Tally,
    scope: str,
    captions: CaptionSet,
    rules: tuple[RuleSettings, RuleSettings],
    settings: QualitySettings,
) -> dict[str, Figure]:
    rows = captions.read if scope == WHOLE else {scope: captions.read[scope]}
    total, read = sum(len(batch) for batch in tally.seen), sum(rows.values())
    found = {}
    if read:
        found["unreadable"] = _of_rows(captions.unreadable, rows)
        found["repeated_ids"] = _of_rows(captions.repeated, rows)
    if captions.dropped is not None:
        lost = sum(captions.dropped.get(source, 0) for source in rows)
        if lost + read:
            found["dropped"] = estimated(lost, lost + read, settings.confidence)
    if not total:
        return found
    # Slow to import, and not needed to load the definitions.
    import pyarrow.compute as pc

    found["mean_words"] = exact(tally.words / total, total)
    same = _same(pa.Table.from_batches(tally.seen, SEEN), ["plain"])
    repeated = [
        Example("", row["plain"], f"{row['rows']} times") for row in _largest(same) if row["rows"] > 1
    ]
    found["unique"] = exact(len(same) / total, total, repeated)
    most = pc.max(same.column("rows")).as_py()
    found["most_frequent"] = estimated(most - 1, total, settings.confidence, repeated[:1])
    alike = _same(same.drop_columns("rows"), ["content"])
    listed = [
        Example(row["clip_id"], row["caption"], f"{row['rows']} different captions with these words")
        for row in _largest(alike)
        if row["rows"] > 1
    ]
    found["near_duplicates"] = exact(1 - len(alike) / len(same), len(same), listed)
    if tally.with_text:
        shown = tally.examples.get("text_mismatch", ())
        found["text_mismatch"] = exact(tally.apart / tally.with_text, tally.with_text, shown)
        shown = tally.examples["misplaced"]
        found["misplaced"] = exact(tally.misplaced / total, total, shown)
    shown = tally.examples.get(UNREPAIRED, ())
    found[UNREPAIRED] = exact(tally.broken[UNREPAIRED] / total, total, shown)
    for settings_of_rules, sampled in zip(rules, (False, True), strict=True):
        for rule in settings_of_rules.enabled:
            of, shown = tally.parsed if sampled else total, tally.examples.get(rule, ())
            if RULES[rule].compares_prompt:
                of = tally.prompted
            if RULES[rule].compares_events:
                of = tally.labelled
            if not of:
                continue
            # The parser makes mistakes: one of them among few captions proves nothing.
            found[rule] = (
                estimated(tally.broken[rule], of, settings.confidence, shown)
                if sampled
                else exact(tally.broken[rule] / of, of, shown)
            )
    return found


def estimated(count: int, of: int, confidence: float, shown: Sequence[Example] = ()) -> Figure:
    """A share with its confidence interval, which is wide for few clips."""
    return Figure(count / of, *wilson_interval(count, of, confidence), of, shown)


def _of_rows(counted: Counted, rows: Mapping[str, int]) -> Figure:
    total = sum(rows.values())
    shown = [example for source in rows for example in counted.examples.get(source, ())]
    return exact(sum(counted.rows[source] for source in rows) / total, total, shown[:EXAMPLES])


def _same(captions: pa.Table, by: list[str]) -> pa.Table:
    """The first row of each group of captions, in their order, with the number of its `rows`."""
    others = [name for name in SEEN.names if name not in by]
    # In one thread, groups are in the order of their first rows.
    groups = captions.group_by(by, use_threads=False).aggregate(
        [*((name, "first") for name in others), ([], "count_all")]
    )
    return groups.rename_columns([*by, *others, "rows"])


def _largest(groups: pa.Table) -> list[dict[str, Any]]:
    """The groups with the most rows, the earliest first of those that have as many."""
    # Slow to import, and not needed to load the definitions.
    import pyarrow.compute as pc

    placed = groups.append_column("place", pa.array(range(len(groups)), pa.int64()))
    order = [("rows", "descending"), ("place", "ascending")]
    rows: list[dict[str, Any]] = placed.take(pc.select_k_unstable(placed, EXAMPLES, order)).to_pylist()
    return rows
