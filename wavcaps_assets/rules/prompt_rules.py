"""The rule on words that a model repeats from its prompt."""

from __future__ import annotations

from functools import lru_cache

from wavcaps_assets.rules.reading import TEXT_CHARS, Reading, words_of
from wavcaps_assets.rules.rule import Rule

ECHOED_WORDS = 5
ALL_KNOWN = bytes([True] * ECHOED_WORDS)


def echo(reading: Reading) -> str | None:
    """Five words in a row of a sentence that the model was shown, which are not in the text."""
    if not reading.prompt or len(reading.words) < ECHOED_WORDS:
        return None
    runs, vocabulary = _prompt_runs(reading.prompt)
    # In most captions, no five words in a row are words of the prompt.
    if ALL_KNOWN not in bytes(map(vocabulary.__contains__, reading.words)):
        return None
    echoed = [run for run in _runs(reading.words) if run in runs]
    if not echoed:
        return None
    text = f" {' '.join(words_of(reading.text[:TEXT_CHARS]))} "
    return next((run for run in echoed if f" {run} " not in text), None)


def _runs(words: list[str]) -> list[str]:
    return [" ".join(words[start : start + ECHOED_WORDS]) for start in range(len(words) - ECHOED_WORDS + 1)]


@lru_cache(maxsize=64)
def _prompt_runs(prompt: tuple[str, ...]) -> tuple[frozenset[str], frozenset[str]]:
    """The runs of a prompt's sentences, and their words."""
    sentences = [words_of(sentence) for sentence in prompt]
    runs = frozenset(run for words in sentences for run in _runs(words))
    return runs, frozenset(word for words in sentences for word in words)


RULES = (
    Rule(
        "echo",
        echo,
        "It repeats the instructions: “{detail}”.",
        presets=("paper", "small", "strict"),
        compares_prompt=True,
    ),
)
