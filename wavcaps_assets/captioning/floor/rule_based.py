"""Captions of texts by rules, without a model: the floor that every model is compared with.

A text gets a sentence only if a rule applies; the others are dropped. Nothing is added except the usual verb
of a thing ("dog" alone gives "A dog is barking.").
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING

from wavcaps_assets.captioning.floor import template
from wavcaps_assets.captioning.floor.sentences import sentences
from wavcaps_assets.captioning.floor.sound_words import clause, lexicon, lists, with_article, words_text
from wavcaps_assets.captioning.texts import clean, first_sentence, words_of_name
from wavcaps_assets.rules.judging import Candidate, Judged, judge
from wavcaps_assets.rules.reading import parser
from wavcaps_assets.rules.settings import RuleSettings

if TYPE_CHECKING:
    from spacy.tokens import Doc

MODEL_NAME = "rules"
# Longer first sentences are lists of keywords, or not prose.
MAX_SENTENCE_CHARS = 250
MODULES = ("rule_based.py", "sentences.py", "sound_words.py")


@dataclass(frozen=True)
class Ruled:
    """The result of the rules for a text: a caption, or the reason why there is none.

    Attributes:
        caption: a sentence that the rules of stage 3 accept; None: there is none.
        reason: `no_rule` (nothing in the text is known to sound) or `unusable_answer` (every sentence
            was rejected); empty if there is a caption.
        detail: for people.
    """

    caption: str | None
    reason: str = ""
    detail: str = ""


@lru_cache(maxsize=1)
def version() -> str:
    """Content hash of the rules and their words. It takes the place of a prompt's version."""
    folder = resources.files("wavcaps_assets.captioning.floor")
    code = "".join((folder / name).read_text(encoding="utf-8") for name in MODULES)
    return hashlib.sha256((code + words_text() + template.version()).encode()).hexdigest()[:12]


def caption_text(text: str, title: str | None, rules: RuleSettings | None = None) -> str | None:
    """A caption of one text, or None; see `caption_texts`."""
    return caption_texts([(text, title)], rules)[0].caption


def caption_texts(texts: Sequence[tuple[str, str | None]], rules: RuleSettings | None = None) -> list[Ruled]:
    """Captions of descriptions with their titles, in their order.

    Args:
        texts: description (or its replacement) and title of each.
        rules: for the captions; None: the preset `paper`.
    """
    settings = rules or RuleSettings()
    trimmed = [trim(text) for text, _ in texts]
    docs = parser().pipe(trimmed)
    offers = [
        list(dict.fromkeys(_offers(doc, text, title)))
        for doc, text, (_, title) in zip(docs, trimmed, texts, strict=True)
    ]
    flat = [
        Candidate(offer[:1].upper() + offer[1:] + ".", text)
        for those, (text, _) in zip(offers, texts, strict=True)
        for offer in those
    ]
    judged = iter(judge(flat, settings))
    return [
        _chosen([next(judged) for _ in those], text or title or "")
        for those, (text, title) in zip(offers, texts, strict=True)
    ]


def _chosen(judged: Sequence[Judged], text: str) -> Ruled:
    accepted = next((one for one in judged if one.accepted), None)
    if accepted:
        return Ruled(accepted.caption)
    if judged:
        return Ruled(None, "unusable_answer", f"{judged[0].complaint}: {judged[0].caption[:80]!r}")
    return Ruled(None, "no_rule", f"no rule knows what sounds in {text[:80]!r}")


def trim(text: str) -> str:
    """The first sentence without what is not about the sound: brackets, equipment, thanks, "sound of"."""
    known = lists()
    sentence = first_sentence(re.sub(r"[(\[{<][^)\]}>]*[)\]}>]?", " ", clean(text)), MAX_SENTENCE_CHARS)
    sentence = re.sub(r"https?://\S+|www\.\S+|\S+\.(?:wav|mp3|aiff?|flac|ogg|m4a)\b", " ", sentence)
    asides = "|".join(map(re.escape, sorted(known["asides"], key=len, reverse=True)))
    sentence = re.split(rf"[,;:.\s-]*\b(?:{asides})\b", sentence, maxsplit=1, flags=re.IGNORECASE)[0]
    openings = "|".join(map(re.escape, sorted(known["openings"], key=len, reverse=True)))
    opening = rf"^(?:[\w'-]+ ){{0,6}}?(?:{openings}) (?:of|from|made (?:when|while|by)|when|while) "
    sentence = re.sub(opening, "", sentence, count=1, flags=re.IGNORECASE)
    return " ".join(sentence.split()).strip(" ,;:-")


def _offers(doc: Doc, text: str, title: str | None) -> Iterator[str]:
    """Sentences for a text, the most certain first: from its parse, then from its known words."""
    named = words_of_name(clean(title or ""))
    yield from sentences(doc)
    title_words, text_words = _words(named), _words(text)
    yield from _maker_with_act(title_words)
    yield from _maker_with_act(text_words)
    for words in (title_words, text_words):
        yield from _act_alone(words)
        yield from _maker_alone(words)


def _words(text: str) -> list[str]:
    """The words that may describe a sound, in lower case."""
    left_out = lists()["about_clips"] | lists()["praise"]
    return [word for word in re.findall(r"[a-z]+(?:'[a-z]+)?", text.lower()) if word not in left_out]


def _makers(words: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The positions of makers of sounds and of people. A long name hides the shorter ones inside it."""
    known, start = lexicon(), 0
    while start < len(words):
        name = known.maker(words, start) or (words[start] if words[start] in known.people else None)
        if name:
            yield start, name
        start += len(name.split()) if name else 1


def _maker_with_act(words: Sequence[str]) -> Iterator[str]:
    """ "Door slam" and "slamming door" give a door that slams; "loading shotgun" someone who loads it."""
    known = lexicon()
    makers = list(_makers(words))
    within = {start + offset for start, name in makers for offset in range(len(name.split()))}
    for index, word in enumerate(words):
        verb = known.act(word)
        if verb is None or (index in within and not word.endswith("ing")):
            continue
        before = [name for start, name in makers if start + len(name.split()) == index]
        after = [name for start, name in makers if start == index + 1]
        if before:
            yield clause(_subject(before[0]), verb)
        elif after and verb in lists()["done_to"]:
            yield f"someone is {verb} {_subject(after[0])}"
        elif after and word == verb:
            yield clause(_subject(after[0]), verb)


def _act_alone(words: Sequence[str]) -> Iterator[str]:
    known = lexicon()
    for word in words:
        verb = known.act(word)
        if verb is not None and known.maker([word], 0) is None:
            yield clause(known.doers[verb], verb)


def _maker_alone(words: Sequence[str]) -> Iterator[str]:
    known = lexicon()
    for _, name in _makers(words):
        if known.maker(name.split(), 0):
            yield clause(_subject(name), known.does(name))


def _subject(name: str) -> str:
    return lexicon().people.get(name) or with_article(name)
