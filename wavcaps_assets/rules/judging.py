"""Repairs a caption, applies the rules, and decides what happens to it.

The details of the paper's third stage are not published. The paper says that undesirable outputs are
refined with ChatGPT's help, and that "Failure." is dropped (sections III.B and IV.E). The preset `paper`
is therefore a reconstruction: the demands of Table I as rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wavcaps_assets.rules.reading import TEXT_CHARS, Reading, SoundEvent, parser
from wavcaps_assets.rules.repairs import repaired
from wavcaps_assets.rules.rule import Rule, Verdict
from wavcaps_assets.rules.settings import RuleSettings
from wavcaps_assets.rules.table import RULES

if TYPE_CHECKING:
    from spacy.tokens import Doc


@dataclass(frozen=True)
class Candidate:
    """A caption to judge.

    Attributes:
        caption: as the model wrote it.
        text: the raw text that it describes.
        prompt: the other sentences that the model was shown: the instruction and the example captions.
        events: the labelled sounds of the clip; empty if it has none.
    """

    caption: str
    text: str
    prompt: tuple[str, ...] = ()
    events: tuple[SoundEvent, ...] = ()


@dataclass(frozen=True)
class Finding:
    """A fault that a rule found in a caption."""

    rule: str
    verdict: Verdict
    detail: str


@dataclass(frozen=True)
class Judged:
    """A caption after repair, with the repairs that changed it and every fault."""

    caption: str
    repairs: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        found = {finding.verdict for finding in self.findings}
        for verdict in (Verdict.DROP, Verdict.ASK_AGAIN):
            if verdict in found:
                return verdict
        return Verdict.REPAIR if self.repairs else Verdict.ACCEPT

    @property
    def accepted(self) -> bool:
        return self.verdict in (Verdict.ACCEPT, Verdict.REPAIR)

    @property
    def complaints(self) -> list[Finding]:
        """The findings that prevent publication; those that drop the caption come first."""
        serious = [one for one in self.findings if one.verdict in (Verdict.DROP, Verdict.ASK_AGAIN)]
        return sorted(serious, key=lambda one: one.verdict is not Verdict.DROP)

    @property
    def complaint(self) -> str:
        """The findings in words, such as `too_long (24 words)`."""
        return "; ".join(f"{finding.rule} ({finding.detail})" for finding in self.findings)


# No caption of 38 words is longer. The rest of a longer answer is cut off before the rules read it.
READ_CHARS = 400


def judge(candidates: Sequence[Candidate], settings: RuleSettings) -> list[Judged]:
    """Repairs and judges captions, in their order."""
    names = settings.all_repairs
    captions = [repaired(candidate.caption[: READ_CHARS + 1], names) for candidate in candidates]
    rules = [RULES[name] for name in settings.enabled]
    pipes = frozenset[str]().union(*(rule.pipes for rule in rules))
    text_pipes = frozenset[str]().union(*(rule.text_pipes for rule in rules))
    docs = _parsed([caption for caption, _ in captions], pipes)
    text_docs = _parsed([candidate.text[:TEXT_CHARS] for candidate in candidates], text_pipes)
    judged = []
    for candidate, (caption, repairs), doc, text_doc in zip(
        candidates, captions, docs, text_docs, strict=True
    ):
        length = len(candidate.caption)
        if not caption:
            findings = [Finding("too_short", Verdict.ASK_AGAIN, "0 words")]
        elif length > READ_CHARS:
            findings = [Finding("too_long", Verdict.ASK_AGAIN, f"{length} characters")]
        else:
            reading = Reading(
                caption, candidate.text, candidate.prompt, settings, doc, text_doc, candidate.events
            )
            findings = _findings(reading, rules)
        judged.append(Judged(caption, repairs, findings))
    return judged


def _parsed(texts: Sequence[str], pipes: frozenset[str]) -> Iterable[Doc | None]:
    """The texts, parsed by some parts of spaCy's pipeline. Without any, spaCy is not loaded."""
    if not pipes:
        return [None] * len(texts)
    model = parser()
    # spaCy cannot read half surrogates.
    whole = (text.encode("utf-8", "replace").decode("utf-8") for text in texts)
    parsed: Iterable[Doc] = model.pipe(
        whole, disable=[name for name in model.pipe_names if name not in pipes]
    )
    return parsed


def _findings(reading: Reading, rules: Sequence[Rule]) -> list[Finding]:
    found = []
    for rule in rules:
        detail = rule.find(reading)
        if detail is not None:
            verdict = Verdict(reading.settings.verdicts.get(rule.name, rule.verdict))
            # A fault that is left after repair cannot be repaired.
            found.append(Finding(rule.name, rule.verdict if verdict is Verdict.REPAIR else verdict, detail))
    return found
