"""Rules on one caption, and what becomes of a caption that one of them complains of.

The text of the paper's third stage is lost; what is known of it is that undesirable outputs are
refined with ChatGPT's help, and that "Failure." is dropped (sections III.B and IV.E). The preset
`paper` is therefore a reconstruction: the demands that Table I makes, turned into rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from wavcaps_assets.postprocessing import grammar, wording
from wavcaps_assets.postprocessing.reading import Reading, parser
from wavcaps_assets.postprocessing.repairs import repaired
from wavcaps_assets.postprocessing.rule_settings import SMALL_MODEL_RULES, RuleSettings

RULE_PRESETS = {"paper": RuleSettings(), "small": RuleSettings(enabled=SMALL_MODEL_RULES)}


class Verdict(StrEnum):
    """What becomes of a caption. ACCEPT and REPAIR publish it; the other two do not."""

    ACCEPT = "accept"
    REPAIR = "repair"
    ASK_AGAIN = "ask_again"
    DROP = "drop"


@dataclass(frozen=True)
class Candidate:
    """A caption to be judged.

    Attributes:
        caption: as the model gave it.
        text: the raw text that it was made from.
        prompt: the sentences that the model was shown besides: instruction and example captions.
    """

    caption: str
    text: str
    prompt: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """A rule's complaint of a caption, with what it saw."""

    rule: str
    verdict: Verdict
    detail: str


@dataclass(frozen=True)
class Judged:
    """A caption after repair, with the repairs that changed it and every complaint."""

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
    def complaint(self) -> str:
        """The findings in words, such as `too_long (24 words)`."""
        return "; ".join(f"{finding.rule} ({finding.detail})" for finding in self.findings)


# No caption of 19 words is longer. What a model babbles beyond it is not looked at: parser and patterns
# take much longer on long texts.
READ_CHARS = 400

# A rule says what it saw, or None where it finds no fault.
Rule = Callable[[Reading], str | None]

RULES: dict[str, tuple[Rule, Verdict]] = {
    "failure": (wording.failure, Verdict.DROP),
    "too_short": (wording.too_short, Verdict.ASK_AGAIN),
    "too_long": (wording.too_long, Verdict.ASK_AGAIN),
    "several_sentences": (wording.several_sentences, Verdict.ASK_AGAIN),
    "banned_words": (wording.banned_words, Verdict.ASK_AGAIN),
    "meta_words": (wording.meta_words, Verdict.ASK_AGAIN),
    "digits": (wording.digits, Verdict.ASK_AGAIN),
    "markup": (wording.markup, Verdict.ASK_AGAIN),
    "foreign_language": (wording.in_foreign_language, Verdict.ASK_AGAIN),
    "named_entity": (grammar.named_entity, Verdict.ASK_AGAIN),
    "no_verb": (grammar.no_verb, Verdict.ASK_AGAIN),
    "echo": (wording.echo, Verdict.ASK_AGAIN),
    "definition": (grammar.definition, Verdict.ASK_AGAIN),
    "silent_verb": (grammar.silent_verb, Verdict.ASK_AGAIN),
    "ungrounded": (grammar.ungrounded, Verdict.ASK_AGAIN),
    "repeats": (grammar.repeats, Verdict.ASK_AGAIN),
}


def judge(candidates: Sequence[Candidate], settings: RuleSettings) -> list[Judged]:
    """Repairs and judges captions, in their order.

    Raises:
        ValueError: a rule is enabled that does not exist.
    """
    unknown = set(settings.enabled) - set(RULES)
    if unknown:
        raise ValueError(f"there is no rule {', '.join(sorted(unknown))}; there are {', '.join(RULES)}")
    mended = [repaired(candidate.caption) for candidate in candidates]
    texts = [candidate.text for candidate in candidates]
    text_docs = parser().pipe(texts) if "ungrounded" in settings.enabled else map(parser().make_doc, texts)
    docs = parser().pipe([caption[:READ_CHARS] for caption, _ in mended])
    judged = []
    for candidate, (caption, repairs), doc, text_doc in zip(candidates, mended, docs, text_docs, strict=True):
        if caption:
            reading = Reading(caption[:READ_CHARS], doc, candidate.text, text_doc, candidate.prompt, settings)
            findings = _findings(reading)
        else:
            findings = [Finding("too_short", Verdict.ASK_AGAIN, "0 words")]
        judged.append(Judged(caption, repairs, findings))
    return judged


def _findings(reading: Reading) -> list[Finding]:
    found = []
    for name in reading.settings.enabled:
        rule, verdict = RULES[name]
        detail = rule(reading)
        if detail is not None:
            found.append(Finding(name, verdict, detail))
    return found
