"""Rules on one caption, and what becomes of a caption that one of them complains of.

The text of the paper's third stage is lost; what is known of it is that undesirable outputs are
refined with ChatGPT's help, and that "Failure." is dropped (sections III.B and IV.E). The preset
`paper` is therefore a reconstruction: the demands that Table I makes, turned into rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from wavcaps_assets.rules import grammar_rules, text_rules
from wavcaps_assets.rules.reading import TEXT_CHARS, Reading, parser
from wavcaps_assets.rules.repairs import repaired
from wavcaps_assets.rules.settings import RuleSettings

if TYPE_CHECKING:
    from spacy.tokens import Doc


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
    def complaints(self) -> list[Finding]:
        """The findings that keep the caption from being published, the one that decides first."""
        serious = [one for one in self.findings if one.verdict in (Verdict.DROP, Verdict.ASK_AGAIN)]
        return sorted(serious, key=lambda one: one.verdict is not Verdict.DROP)

    @property
    def complaint(self) -> str:
        """The findings in words, such as `too_long (24 words)`."""
        return "; ".join(f"{finding.rule} ({finding.detail})" for finding in self.findings)


# No caption of 38 words is longer. What a model babbles beyond it is cut off before anything looks at it.
READ_CHARS = 400

# A rule says what it saw, or None where it finds no fault.
Rule = Callable[[Reading], str | None]

RULES: dict[str, tuple[Rule, Verdict]] = {
    "failure": (text_rules.failure, Verdict.DROP),
    "too_short": (text_rules.too_short, Verdict.ASK_AGAIN),
    "too_long": (text_rules.too_long, Verdict.ASK_AGAIN),
    "several_sentences": (text_rules.several_sentences, Verdict.ASK_AGAIN),
    "banned_words": (text_rules.banned_words, Verdict.ASK_AGAIN),
    "meta_words": (text_rules.meta_words, Verdict.ASK_AGAIN),
    "bracketed_number": (text_rules.bracketed_number, Verdict.ASK_AGAIN),
    "digits": (text_rules.digits, Verdict.ASK_AGAIN),
    "spelled_units": (text_rules.spelled_units, Verdict.ASK_AGAIN),
    "markup": (text_rules.markup, Verdict.ASK_AGAIN),
    "control_characters": (text_rules.control_characters, Verdict.ASK_AGAIN),
    "foreign_language": (text_rules.in_foreign_language, Verdict.ASK_AGAIN),
    "named_entity": (grammar_rules.named_entity, Verdict.ASK_AGAIN),
    "no_verb": (grammar_rules.no_verb, Verdict.ASK_AGAIN),
    "echo": (text_rules.echo, Verdict.ASK_AGAIN),
    "definition": (grammar_rules.definition, Verdict.ASK_AGAIN),
    "silent_verb": (grammar_rules.silent_verb, Verdict.ASK_AGAIN),
    "ungrounded": (grammar_rules.ungrounded, Verdict.ASK_AGAIN),
    "repeats": (grammar_rules.repeats, Verdict.ASK_AGAIN),
    "echo_of_text": (text_rules.echo_of_text, Verdict.ASK_AGAIN),
    "profanity": (text_rules.profanity, Verdict.ASK_AGAIN),
}

SENTENCE_PIPES = frozenset({"tok2vec", "tagger", "attribute_ruler", "parser"})
LEMMA_PIPES = frozenset({"tok2vec", "tagger", "attribute_ruler", "lemmatizer"})
# The rules that spaCy has to parse a caption for, slower than the others by two orders of magnitude,
# with the parts of its pipeline that each needs.
PARSED: dict[str, frozenset[str]] = {
    "named_entity": SENTENCE_PIPES | {"ner"},
    "no_verb": SENTENCE_PIPES,
    "definition": SENTENCE_PIPES | LEMMA_PIPES,
    "silent_verb": SENTENCE_PIPES | LEMMA_PIPES,
    "ungrounded": LEMMA_PIPES,
    "repeats": SENTENCE_PIPES | LEMMA_PIPES,
}
RULES_WITHOUT_PARSER = tuple(name for name in RULES if name not in PARSED)


def judge(candidates: Sequence[Candidate], settings: RuleSettings) -> list[Judged]:
    """Repairs and judges captions, in their order."""
    repairs_made = settings.all_repairs
    mended = [repaired(candidate.caption[: READ_CHARS + 1], repairs_made) for candidate in candidates]
    pipes = frozenset[str]().union(*(PARSED[name] for name in settings.enabled if name in PARSED))
    text_pipes = LEMMA_PIPES if "ungrounded" in settings.enabled else frozenset[str]()
    docs = _parsed([caption for caption, _ in mended], pipes)
    text_docs = _parsed([candidate.text[:TEXT_CHARS] for candidate in candidates], text_pipes)
    judged = []
    for candidate, (caption, repairs), doc, text_doc in zip(candidates, mended, docs, text_docs, strict=True):
        length = len(candidate.caption)
        if not caption:
            findings = [Finding("too_short", Verdict.ASK_AGAIN, "0 words")]
        elif length > READ_CHARS:
            findings = [Finding("too_long", Verdict.ASK_AGAIN, f"{length} characters")]
        else:
            findings = _findings(Reading(caption, candidate.text, candidate.prompt, settings, doc, text_doc))
        judged.append(Judged(caption, repairs, findings))
    return judged


def _parsed(texts: Sequence[str], pipes: frozenset[str]) -> Iterable[Doc | None]:
    """The texts as some parts of spaCy's pipeline read them; without any, spaCy is not even loaded."""
    if not pipes:
        return [None] * len(texts)
    model = parser()
    # spaCy reads no half surrogates.
    whole = (text.encode("utf-8", "replace").decode("utf-8") for text in texts)
    parsed: Iterable[Doc] = model.pipe(
        whole, disable=[name for name in model.pipe_names if name not in pipes]
    )
    return parsed


def _findings(reading: Reading) -> list[Finding]:
    found = []
    for name in reading.settings.enabled:
        rule, own = RULES[name]
        detail = rule(reading)
        if detail is not None:
            verdict = Verdict(reading.settings.verdicts.get(name, own))
            # What is still there after repair cannot be repaired.
            found.append(Finding(name, own if verdict is Verdict.REPAIR else verdict, detail))
    return found
