"""What a rule is: one entry of the table of rules, with everything that depends on the rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from wavcaps_assets.rules.reading import Reading

# The parts of spaCy's pipeline that give parts of speech and the dependency tree, and those for lemmas.
SENTENCE_PIPES = frozenset({"tok2vec", "tagger", "attribute_ruler", "parser"})
LEMMA_PIPES = frozenset({"tok2vec", "tagger", "attribute_ruler", "lemmatizer"})


Preset = Literal["paper", "small", "strict", "answers"]


class Verdict(StrEnum):
    """What happens to a caption. ACCEPT and REPAIR publish it; the other two do not."""

    ACCEPT = "accept"
    REPAIR = "repair"
    ASK_AGAIN = "ask_again"
    DROP = "drop"


@dataclass(frozen=True)
class Rule:
    """A rule on one caption.

    Attributes:
        name: unique; it is stored with every finding, and named in settings.
        find: returns the fault that it found, in a few words, or None if there is no fault.
        complaint: the fault in a sentence for the model that is asked again; `{detail}` is what `find`
            returned. A second prompt may override it.
        presets: the rule presets in which the rule holds (`RULE_PRESETS`).
        verdict: what a fault leads to.
        preset_verdicts: the verdict in a preset, where it is another one.
        pipes: the parts of spaCy's pipeline that `find` needs for `Reading.doc`. Without any, the rule is
            faster by two orders of magnitude.
        text_pipes: the same for `Reading.text_doc`.
        compares_prompt: whether `find` needs `Reading.prompt`. The rule finds nothing where it is unknown.
        compares_events: the same for `Reading.events`.
    """

    name: str
    find: Callable[[Reading], str | None]
    complaint: str
    presets: tuple[Preset, ...]
    verdict: Verdict = Verdict.ASK_AGAIN
    preset_verdicts: Mapping[Preset, Verdict] = field(default_factory=dict)
    pipes: frozenset[str] = frozenset()
    text_pipes: frozenset[str] = frozenset()
    compares_prompt: bool = False
    compares_events: bool = False

    @property
    def needs_parser(self) -> bool:
        return bool(self.pipes or self.text_pipes)
