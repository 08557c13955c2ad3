"""The leak audit for people and for CI: as text, Markdown and JUnit XML."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.benchmark_sets.benchmarks.benchmark import UNKNOWN_VERSION
from wavcaps_assets.checks.render import NO_XML, REPLACED, markdown_cell
from wavcaps_assets.importing.audit import KINDS, SAME, Audit, AuditedBenchmark
from wavcaps_assets.importing.summary import printable

SHOWN = 20
# Of a sentence in Markdown, which is no cell of a table.
SENTENCE_CHARS = 1_000
SUITE = "leak audit"
HEADER = ("benchmark", "clips", *KINDS, "leaked", "to review")
NOT_COMPARED = "-"
CLEAN, LEAKS = "no leak was found", "clips are in a benchmark"


def as_text(audit: Audit) -> str:
    """A table for a terminal, examples, and what could not be checked."""
    rows = [HEADER, *(_cells(one) for one in audit.benchmarks)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = [printable(_title(audit)), ""]
    lines += [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows
    ]
    for verdict, title in ((SAME, "Leaked"), ("review", "To review")):
        shown, rest = _examples(audit.overlaps, verdict)
        if shown:
            lines += ["", f"{title}:"]
            lines += [printable("  " + " | ".join(row)) for row in shown]
            lines += [f"  and {rest:,} more (--csv has all)"] if rest else []
    unchecked = list(_unchecked(audit))
    if unchecked:
        lines += ["", "Not checked:", *(printable(f"  {name}: {what}") for name, what in unchecked)]
    return "\n".join(lines) + "\n"


def as_markdown(audit: Audit) -> str:
    """A summary for a page, such as that of a GitHub job."""
    sign = "❌" if audit.leaks else "✅"
    lines = [f"## {sign} Leak audit of {markdown_cell(audit.set_name)}", ""]
    lines += [markdown_cell(_title(audit), SENTENCE_CHARS), ""]
    lines += [f"| {' | '.join(HEADER)} |", f"|{' --- |' * len(HEADER)}"]
    lines += [f"| {' | '.join(map(markdown_cell, _cells(one)))} |" for one in audit.benchmarks]
    for verdict, title in ((SAME, "Leaked"), ("review", "To review")):
        shown, rest = _examples(audit.overlaps, verdict)
        if shown:
            lines += ["", f"### {title}", "", "| clip | benchmark's clip | split | evidence | in common |"]
            lines += [f"|{' --- |' * 5}", *(f"| {' | '.join(map(markdown_cell, row))} |" for row in shown)]
            lines += ["", f"and {rest:,} more"] if rest else []
    unchecked = list(_unchecked(audit))
    if unchecked:
        lines += ["", "### Not checked", ""]
        lines += [
            f"- {markdown_cell(name)}: {markdown_cell(what, SENTENCE_CHARS)}" for name, what in unchecked
        ]
    return "\n".join(lines) + "\n"


def as_junit(audit: Audit) -> bytes:
    """JUnit XML: a case for each benchmark, which fails if a clip of the set is in it."""
    failures = str(sum(one.leaked > 0 for one in audit.benchmarks))
    counts = {"tests": str(len(audit.benchmarks)), "failures": failures, "errors": "0"}
    root = ElementTree.Element("testsuites", {"name": SUITE, **counts})
    suite = ElementTree.SubElement(
        root, "testsuite", {"name": _xml(audit.set_name), **counts, "skipped": "0"}
    )
    for one in audit.benchmarks:
        case = ElementTree.SubElement(suite, "testcase", classname=SUITE, name=one.name, time="0")
        if one.leaked:
            message = f"{one.leaked:,} of {audit.clips.total():,} clips are in {one.title}"
            failure = ElementTree.SubElement(case, "failure", message=_xml(message), type="leak")
            of_benchmark = audit.overlaps.filter(pc.equal(audit.overlaps.column("benchmark"), one.name))
            shown, rest = _examples(of_benchmark, SAME)
            failure.text = _xml("\n".join([*(" | ".join(row) for row in shown), f"and {rest:,} more"]))
        output = ElementTree.SubElement(case, "system-out")
        review = f"{one.to_review:,} clips to review"
        output.text = _xml("\n".join([review, *(f"not checked: {what}" for what in one.unchecked)]))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def _title(audit: Audit) -> str:
    sources = ", ".join(f"{name} {count:,}" for name, count in audit.clips.items())
    found = LEAKS if audit.leaks else CLEAN
    return f"{audit.set_name}: {audit.clips.total():,} clips ({sources}); {found}"


def _cells(one: AuditedBenchmark) -> tuple[str, ...]:
    counts = (f"{one.by_kind[kind]:,}" if kind in one.by_kind else NOT_COMPARED for kind in KINDS)
    name = f"{one.name} {one.version}" if one.version != UNKNOWN_VERSION else one.name
    return (name, f"{one.clips:,}", *counts, f"{one.leaked:,}", f"{one.to_review:,}")


def _examples(overlaps: pa.Table, verdict: str) -> tuple[list[tuple[str, ...]], int]:
    """The first pieces of evidence with a verdict, and how many others there are."""
    chosen = overlaps.filter(pc.equal(overlaps.column("verdict"), verdict))
    names = ("clip_id", "benchmark_clip_id", "benchmark_split", "evidence", "key")
    rows = chosen.slice(0, SHOWN).select(names).to_pylist()
    return [tuple(str(row[name]) for name in names) for row in rows], max(len(chosen) - SHOWN, 0)


def _unchecked(audit: Audit) -> Iterator[tuple[str, str]]:
    for one in audit.benchmarks:
        for what in one.unchecked:
            yield one.name, what
    for note in audit.notes:
        yield audit.set_name, note


def _xml(text: str) -> str:
    return NO_XML.sub(REPLACED, text)
