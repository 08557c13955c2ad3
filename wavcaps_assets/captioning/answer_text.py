"""The part of an answer that is meant to be read: without reasoning, control tokens and unusual numerals."""

from __future__ import annotations

import re
import unicodedata

REASONING = re.compile(r"<(think|thinking|thought|reasoning|analysis)>.*?</\1>", re.DOTALL | re.IGNORECASE)
REASONING_ENDS = re.compile(r"</(?:think|thinking|thought|reasoning|analysis)>", re.IGNORECASE)
REASONING_STARTS = re.compile(r"<(?:think|thinking|thought|reasoning|analysis)>", re.IGNORECASE)
# The answer of models that write into channels (OpenAI's gpt-oss, https://github.com/openai/harmony).
FINAL_CHANNEL = re.compile(r"<\|channel\|>final[^<]*<\|message\|>")
# The tokens of chat templates: "<|im_end|>", "</s>", "<end_of_turn>", "[/INST]".
TOKEN = re.compile(
    r"<[|\uff5c][^|\uff5c<>\s]{1,40}[|\uff5c]>|</?s>|<(?:eos|bos|pad|(?:start|end)_of_turn)>|\[/?INST\]"
)
FIRST_TOKENS = re.compile(rf"(?:\s*(?:{TOKEN.pattern})(?:assistant|model)?)+")
# After one of these, the model writes the other side of the conversation.
NEXT_TURN = re.compile(
    r"<\|(?:im_start|start_header_id|start|user|system)\|>|<[|\uff5c]User[|\uff5c]>|<start_of_turn>|\[INST\]"
)
# "1" and a keycap: the digit in an emoji.
FULL_STOPS = "\uff0e. "
KEYCAP = str.maketrans("", "", "\ufe0f\u20e3")


def readable(answer: str) -> str:
    """The answer without reasoning and control tokens; empty if it is reasoning only."""
    if "<" in answer or "[" in answer:
        answer = _without_tokens(_without_reasoning(answer))
    return answer if answer.isascii() else "\n".join(map(_plain_number, answer.split("\n")))


def _without_reasoning(answer: str) -> str:
    *_, answer = FINAL_CHANNEL.split(answer)
    answer = REASONING.sub("", answer)
    # Some servers send the end of the reasoning without its start; an answer that is cut off has no end.
    *_, answer = REASONING_ENDS.split(answer)
    return REASONING_STARTS.split(answer)[0]


def _without_tokens(answer: str) -> str:
    if first := FIRST_TOKENS.match(answer):
        answer = answer[first.end() :]
    return TOKEN.sub("\n", NEXT_TURN.split(answer)[0])


def _plain_number(line: str) -> str:
    """The line with a number such as "①", "⒈" or "1️⃣" at its start as "1."."""
    start = line.lstrip(" \t*#-•>")
    head = line[: len(line) - len(start)]
    if "\u20e3" in start[:4]:
        digit, _, rest = start.partition("\u20e3")
        return f"{head}{digit.translate(KEYCAP)}. {rest.lstrip()}"
    if start and unicodedata.category(start[0]) == "No":
        return f"{head}{int(unicodedata.numeric(start[0]))}. {start[1:].lstrip(FULL_STOPS)}"
    return line
