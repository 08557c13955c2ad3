"""What each rule of stage 3 did, for the person who decides whether it is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wavcaps_assets.rules.judging import Judged
from wavcaps_assets.rules.rule import Verdict
from wavcaps_assets.show.previews import cell


@dataclass
class RuleCount:
    """The number of captions that a rule complained about, by outcome, with an example.

    Attributes:
        accepted: published unchanged, with the complaint noted.
        repaired: published with the rule's repair.
        rewritten: published as the model rewrote them.
        dropped: not published; a caption counts for each rule that complained about it.
    """

    rule: str
    accepted: int = 0
    repaired: int = 0
    rewritten: int = 0
    dropped: int = 0
    example: str = ""

    @property
    def captions(self) -> int:
        return self.accepted + self.repaired + self.rewritten + self.dropped


class RuleCounts:
    """Counts the complaints about captions of stage 2, which may come in any order."""

    def __init__(self) -> None:
        self._counts: dict[str, RuleCount] = {}
        # The row of each rule's example: it is the first one of the table.
        self._rows: dict[str, int] = {}

    def add(self, row: int, clip_id: str, caption: str, judgements: Sequence[Judged]) -> None:
        """Adds a caption.

        Args:
            row: its place in the table.
            caption: of stage 2.
            judgements: its judgement and those of later answers.
        """
        first, last = judgements[0], judgements[-1]
        became = f" became {last.caption!r}" if last.accepted and last.caption != caption else ""
        for name in first.repairs:
            if last.accepted and len(judgements) == 1:
                self._count(name).repaired += 1
                self._show(name, row, f"{clip_id}: {caption!r}{became}")
        for finding in first.findings:
            count = self._count(finding.rule)
            if not last.accepted:
                count.dropped += 1
            elif finding.verdict is Verdict.ACCEPT:
                count.accepted += 1
            else:
                count.rewritten += 1
            self._show(finding.rule, row, f"{clip_id}: {caption!r} ({finding.detail}){became}")

    def most_first(self) -> list[RuleCount]:
        """The rules that complained; the one with the most captions comes first."""
        return sorted(self._counts.values(), key=lambda count: (-count.captions, count.rule))

    def _count(self, rule: str) -> RuleCount:
        return self._counts.setdefault(rule, RuleCount(rule))

    def _show(self, rule: str, row: int, example: str) -> None:
        if row < self._rows.get(rule, row + 1):
            self._rows[rule] = row
            self._counts[rule].example = example


def as_markdown(counts: Sequence[RuleCount]) -> str:
    """The table for the asset's page."""
    if not counts:
        return "*no rule complained*"
    lines = [
        "| rule | accepted | repaired | rewritten by the model | dropped | for example |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for count in counts:
        numbers = f"{count.accepted} | {count.repaired} | {count.rewritten} | {count.dropped}"
        lines.append(f"| {cell(count.rule)} | {numbers} | {cell(count.example)} |")
    return "\n".join(lines)
