"""What each rule of stage 3 did, for the person who decides whether it is right."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


def count_by_rule(cases: Iterable[tuple[str, str, Sequence[Judged]]]) -> list[RuleCount]:
    """Counts the complaints about captions of stage 2; the rule with the most comes first.

    Args:
        cases: clip_id, caption of stage 2, its judgement and those of later answers.
    """
    counts: dict[str, RuleCount] = {}
    for clip_id, caption, judgements in cases:
        first, last = judgements[0], judgements[-1]
        became = f" became {last.caption!r}" if last.accepted and last.caption != caption else ""
        for name in first.repairs:
            count = counts.setdefault(name, RuleCount(name))
            if last.accepted and len(judgements) == 1:
                count.repaired += 1
                count.example = count.example or f"{clip_id}: {caption!r}{became}"
        for finding in first.findings:
            count = counts.setdefault(finding.rule, RuleCount(finding.rule))
            if not last.accepted:
                count.dropped += 1
            elif finding.verdict is Verdict.ACCEPT:
                count.accepted += 1
            else:
                count.rewritten += 1
            count.example = count.example or f"{clip_id}: {caption!r} ({finding.detail}){became}"
    used = [count for count in counts.values() if count.captions]
    return sorted(used, key=lambda count: (-count.captions, count.rule))


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
