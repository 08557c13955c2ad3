"""The words of captions, as the field counts them: Stanford's Penn Treebank tokenizer, without punctuation.

The tokenizer is CoreNLP 3.4.1 in the package pycocoevalcap, and the list of punctuation is that package's.
Its own Python wrapper separates captions by newlines only, and Java ends a line at several other characters
too: one of them would shift the words of all following captions to another clip. Here they become spaces, and
each caption is followed by a line that counts it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from wavcaps_training.evaluation.caption_scores.java import TOKENIZER, JavaError, coco_file, run_java

MAIN_CLASS = "edu.stanford.nlp.process.PTBTokenizer"
# Control characters, unpaired surrogates, and line and paragraph separators.
NOT_TEXT = frozenset(["Cc", "Cs", "Zl", "Zp"])


def one_line(text: str) -> str:
    """A text whose line ends, tabs, other control characters and unpaired surrogates are spaces."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(" " if unicodedata.category(letter) in NOT_TEXT else letter for letter in text)


def ptb_tokens(texts: Sequence[str]) -> list[str]:
    """The words of each text in lower case, separated by single spaces.

    Raises:
        JavaError: the tokenizer is missing or failed.
    """
    from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS

    if not texts:
        return []
    jar = coco_file(*TOKENIZER)
    lines = "".join(f"{one_line(text)}\n{number}\n" for number, text in enumerate(texts))
    arguments = ["-cp", str(jar), MAIN_CLASS, "-preserveLines", "-lowerCase", "-encoding", "UTF-8"]
    found = run_java("Stanford's tokenizer", arguments, lines).split("\n")
    numbers = [str(number) for number in range(len(texts))]
    if found[1 : 2 * len(texts) : 2] != numbers or any(found[2 * len(texts) :]):
        raise JavaError(
            f"Stanford's tokenizer gave {len(found)} lines for {len(texts)} captions, or others than "
            "expected. No caption is scored, because its words could be another clip's"
        )
    left_out = frozenset(PUNCTUATIONS)
    return [
        " ".join(word for word in line.split(" ") if word and word not in left_out)
        for line in found[: 2 * len(texts) : 2]
    ]
