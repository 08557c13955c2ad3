"""The words of the rule-based captioner: what sounds, and what it does."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

from wavcaps_assets.caption_metrics.stems import stem
from wavcaps_assets.captioning.floor import template
from wavcaps_assets.rules.articles import with_articles
from wavcaps_assets.rules.repairs import MASS_NOUNS

WORDS_FILE = "rule_words.toml"
ANYONE = frozenset({"someone", "something", "people"})
CLAUSE = re.compile(r"(?P<subject>.+?) (?:is|are) (?P<does>\w+ing\b.*)")
LONGEST_NAME = 3


@lru_cache(maxsize=1)
def words_text() -> str:
    return (resources.files("wavcaps_assets.captioning.floor") / WORDS_FILE).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def lists() -> dict[str, frozenset[str]]:
    """The lists in the data file: words to leave out, phrases to cut, words that cannot sound."""
    data = tomllib.loads(words_text())
    return {name: frozenset(value) for name, value in data.items() if isinstance(value, list)}


@dataclass(frozen=True)
class Lexicon:
    """Makers of sounds and verbs of sounds.

    Attributes:
        makers: what a thing does, such as "barking" for `dog`; names have up to three words.
        acts: the -ing form for the stem of a verb, or of a noun for the same act.
        doers: the subject for an -ing form, if the text has none.
        people: words for people, as a caption uses them.
    """

    makers: Mapping[str, str]
    acts: Mapping[str, str]
    doers: Mapping[str, str]
    people: Mapping[str, str]

    def act(self, word: str) -> str | None:
        """The -ing form of a word for a sound: "bark", "barks" and "barking" give "barking"."""
        return self.acts.get(stem(word))

    def maker(self, words: Sequence[str], start: int) -> str | None:
        """The longest name of a maker that starts here, singular or plural."""
        for length in range(LONGEST_NAME, 0, -1):
            name = " ".join(words[start : start + length])
            if len(words) >= start + length and (name in self.makers or singular(name) in self.makers):
                return name
        return None

    def does(self, name: str) -> str:
        return self.makers.get(name) or self.makers[singular(name)]


@lru_cache(maxsize=1)
def lexicon() -> Lexicon:
    data = tomllib.loads(words_text())
    makers: dict[str, str] = {}
    acts: dict[str, str] = {}
    doers: dict[str, str] = {}
    for label, clause in template.clauses().items():
        match = CLAUSE.fullmatch(clause)
        if not match:
            continue
        subject, does = match["subject"], match["does"]
        verb = does.split()[0]
        name = re.sub(r"^(?:an?|the) ", "", subject)
        if subject not in ANYONE and label.lower().startswith(name):
            makers.setdefault(name, does)
        if verb != "being" and len(does.split()) == 1:
            acts.setdefault(stem(verb), verb)
            if doers.get(verb) != "something":
                doers[verb] = subject if verb not in doers or subject == "something" else doers[verb]
    for verb, subject in data["acts"].items():
        acts[stem(verb)] = verb
        doers[verb] = subject
    for verb in data["done_to"]:
        acts.setdefault(stem(verb), verb)
        doers.setdefault(verb, "someone")
    acts |= {stem(noun): verb for noun, verb in data["nouns_of_acts"].items()}
    return Lexicon({**makers, **data["makers"]}, acts, doers, data["people"])


def singular(name: str) -> str:
    """A name in the singular: "dogs" gives "dog". There is no rule for "wolves", which stays."""
    for end, instead in (("ies", "y"), ("sses", "ss"), ("ches", "ch"), ("shes", "sh"), ("xes", "x")):
        if name.endswith(end):
            return name.removesuffix(end) + instead
    if name.endswith(("ss", "us", "is")) or not name.endswith("s"):
        return name
    return name[:-1]


def is_plural(name: str) -> bool:
    return name in {"people", "men", "women", "children", "geese", "wolves"} or singular(name) != name


def with_article(name: str) -> str:
    """A noun with its article: "a dog", "an owl", "dogs", "rain"."""
    if is_plural(name) or name.split()[-1] in MASS_NOUNS:
        return name
    return with_articles(f"a {name}")


def clause(subject: str, does: str) -> str:
    """ "a dog" and "barking" give "a dog is barking"."""
    last = subject.split()[-1]
    plural = not subject.startswith(("a ", "an ", "one ")) and is_plural(last)
    return f"{subject} {'are' if plural else 'is'} {does}"


def gerund(verb: str) -> str:
    """The -ing form of a verb: "growl" gives "growling", "run" "running", "drive" "driving"."""
    if verb.endswith("ie"):
        return verb[:-2] + "ying"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")) and len(verb) > 2:
        return verb[:-1] + "ing"
    if re.fullmatch(r"[^aeiou]*[aeiou][^aeiouwxy]", verb):
        return verb + verb[-1] + "ing"
    return verb + "ing"
