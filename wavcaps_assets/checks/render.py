"""The results of the quality checks as text, Markdown, JUnit XML and JSON."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any
from xml.etree import ElementTree

from wavcaps_assets.checks.figures import EXAMPLES, Example, Result, Status
from wavcaps_assets.checks.quality import worst
from wavcaps_assets.show.previews import MAX_CELL_CHARS, cell

SIGNS = {Status.PASSED: "✅", Status.WARNED: "⚠️", Status.FAILED: "❌", Status.SKIPPED: "⬜"}
# Characters that XML 1.0 cannot contain, not even escaped (section 2.2), and those that change the text's
# direction.
NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u202a-\u202e\u2066-\u2069]")
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]|[\ud800-\udfff]")
REPLACED = "\N{REPLACEMENT CHARACTER}"
# Characters of a text from outside; a pasted book would hide everything else.
LONGEST_SHOWN = 200
SUITE = "caption quality"


def as_text(results: Sequence[Result]) -> str:
    """A table for a terminal, and examples of what did not pass."""
    rows = [("", "scope", "measure", "found", "of", "limits")]
    rows += [
        (
            result.status.value,
            _plain(result.scope),
            result.measure,
            result.value,
            str(result.figure.of) if result.figure else "",
            result.limits_text,
        )
        for result in results
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    for result in _at_fault(results):
        lines += ["", f"{result.status}: {_plain(result.summary)}"]
        for example in result.figure.examples if result.figure else ():
            lines.append(f"  {' | '.join(map(_plain, _cells(example)))}")
    return "\n".join(lines) + "\n"


def as_markdown(results: Sequence[Result], title: str) -> str:
    """A summary for a page, such as that of a GitHub job."""
    lines = [
        f"## {SIGNS[worst(results)]} Caption quality of {markdown_cell(title)}",
        "",
        results_table(results),
    ]
    faults = list(_at_fault(results))
    if faults:
        lines += ["", "### What did not pass", "", examples_table(faults)]
    return "\n".join(lines) + "\n"


def results_table(results: Sequence[Result]) -> str:
    """Each result as a row of a Markdown table."""
    lines = ["| | scope | measure | found | of | limits |", "| --- | --- | --- | --- | --- | --- |"]
    for result in results:
        of = result.figure.of if result.figure else ""
        lines.append(
            f"| {SIGNS[result.status]} {result.status} | {markdown_cell(result.scope)} "
            f"| {markdown_cell(result.measure)} | {result.value} | {of} | {result.limits_text} |"
        )
    return "\n".join(lines)


def examples_table(results: Sequence[Result]) -> str:
    """The examples of some results as one Markdown table."""
    lines = ["| scope | measure | clip | caption | why |", "| --- | --- | --- | --- | --- |"]
    for result in results:
        for example in result.figure.examples[:EXAMPLES] if result.figure else ():
            row = (result.scope, result.measure, *_cells(example))
            lines.append(f"| {' | '.join(map(markdown_cell, row))} |")
    return "\n".join(lines) if len(lines) > 2 else "*no examples*"


def markdown_cell(text: str, most_chars: int = MAX_CELL_CHARS) -> str:
    """A text from outside as a Markdown cell, without markup, links, mentions and changes of direction."""
    shown = cell(CONTROL.sub(REPLACED, " ".join(text.split())), most_chars)
    # GitHub links a bare address, and notifies a person after an @.
    return re.sub(r"(?<=\w)(?=://)|(?<=@)|(?<=\bwww)(?=\.)", "<!-- -->", shown)


def as_junit(results: Sequence[Result]) -> bytes:
    """JUnit XML: a suite for each scope, a case for each measure. A warning is a passed case with output.

    Valid by junit-10.xsd of Jenkins's plugin xUnit.
    """
    root = ElementTree.Element("testsuites", {"name": SUITE, **_counts(results)})
    for scope in dict.fromkeys(result.scope for result in results):
        within = [result for result in results if result.scope == scope]
        name = _xml(scope)
        suite = ElementTree.SubElement(root, "testsuite", {"name": name, **_counts(within)})
        # The schema has this attribute for a suite only.
        suite.set("skipped", str(sum(result.status is Status.SKIPPED for result in within)))
        for result in within:
            case = ElementTree.SubElement(
                suite, "testcase", classname=f"{name}.{result.check}", name=result.measure, time="0"
            )
            message = _xml(result.summary)
            if result.status is Status.SKIPPED:
                ElementTree.SubElement(case, "skipped", message=message)
            elif result.status is Status.FAILED:
                failure = ElementTree.SubElement(case, "failure", message=message, type=result.check)
                failure.text = _xml(_examples(result))
            elif result.status is Status.WARNED:
                output = ElementTree.SubElement(case, "system-out")
                output.text = _xml(f"warning: {result.summary}\n{_examples(result)}")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def as_json(results: Sequence[Result]) -> str:
    """All results as one JSON object."""
    return json.dumps(
        {"status": worst(results).value, "results": [_as_dict(result) for result in results]}, indent=2
    )


def _as_dict(result: Result) -> dict[str, Any]:
    figure, limits = result.figure, result.limits
    bands = {
        f"{name}_{side}": None if math.isinf(value) else value
        for name, band in (("warn", limits.warn), ("error", limits.error))
        for side, value in (("below", band.low), ("above", band.high))
    }
    measured = (
        {"note": result.note}
        if figure is None
        else {
            "value": figure.value,
            "low": figure.low,
            "high": figure.high,
            "of": figure.of,
            "examples": [
                dict(zip(("clip_id", "caption", "detail"), _cells(example), strict=True))
                for example in figure.examples
            ],
        }
    )
    names = {"check": result.check, "measure": result.measure, "scope": result.scope}
    return {**names, "status": result.status.value, **bands, **measured}


def _counts(results: Sequence[Result]) -> dict[str, str]:
    counted = {
        "tests": len(results),
        "failures": sum(result.status is Status.FAILED for result in results),
        "errors": 0,
    }
    return {name: str(count) for name, count in counted.items()}


def _at_fault(results: Sequence[Result]) -> Iterator[Result]:
    for status in (Status.FAILED, Status.WARNED):
        yield from (result for result in results if result.status is status)


def _examples(result: Result) -> str:
    shown = result.figure.examples if result.figure else ()
    return "\n".join(f"{clip_id}: {caption} ({detail})" for clip_id, caption, detail in map(_cells, shown))


def _cells(example: Example) -> tuple[str, str, str]:
    return _cut(example.clip_id), _cut(example.caption), _cut(example.detail)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"


def _plain(text: str) -> str:
    return CONTROL.sub(REPLACED, text)


def _xml(text: str) -> str:
    return NO_XML.sub(REPLACED, text)
