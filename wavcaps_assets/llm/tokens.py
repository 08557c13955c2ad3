"""How many tokens a question has: counted by the model's server where it can, else estimated.

An estimate goes by a question's size: its characters, and 16 more for each message, as every message
costs some tokens of its own. What a model made of earlier questions tells its tokens for that size.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from wavcaps_assets.llm.ledger import ResponseLedger, answer_in
from wavcaps_assets.llm.messages import Message
from wavcaps_assets.llm.prices import is_own_host
from wavcaps_assets.llm.settings import ModelSettings

if TYPE_CHECKING:
    import httpx

MESSAGE_SIZE = 16
# "1 token ~= 4 chars in English" (https://help.openai.com/en/articles/4936856).
DEFAULT_PER_SIZE = 1 / 4
DEFAULT_UNCERTAINTY = 0.35
# A caption of the paper has 7.8 words (Table III), some 11 tokens; its index and line take the rest.
DEFAULT_OUTPUT_A_TEXT = 16.0
# What a chat template may add around the messages: special tokens, a date, a default instruction.
TEMPLATE_TOKENS = 64
# Requests of the ledger that are learnt from, and those that are looked at for them.
LEARNT_FROM = 500
LOOKED_AT = 5_000
# Fewer than these say little.
ENOUGH = 5
SERVER_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Rates:
    """What a model takes.

    Attributes:
        per_size: tokens of a question for each unit of its `size`.
        uncertainty: how far the tokens of all questions may be off (a share of them).
        output_a_text: tokens of the answer to one text.
        asked_again: further requests for each first one; None: too few have been seen.
        how: how the tokens were counted, for people.
    """

    per_size: float = DEFAULT_PER_SIZE
    uncertainty: float = DEFAULT_UNCERTAINTY
    output_a_text: float = DEFAULT_OUTPUT_A_TEXT
    asked_again: float | None = None
    how: str = "4 characters a token, OpenAI's rule of thumb for English"


def size(messages: Sequence[Message]) -> int:
    """The size of a question: characters, and something for each message."""
    return sum(len(message["content"]) + MESSAGE_SIZE for message in messages)


def most_tokens(messages: Sequence[Message], parameters: Mapping[str, Any]) -> int:
    """More tokens than a question can have, whatever the tokenizer.

    A token is at least one byte. The schema of a structured answer is counted as a text.
    """
    text = sum(len(message["content"].encode()) + MESSAGE_SIZE for message in messages)
    schema = parameters.get("response_format")
    return text + TEMPLATE_TOKENS + (len(json.dumps(schema).encode()) if schema else 0)


def learn(ledger: ResponseLedger, model: str) -> Rates:
    """What a model took for the newest of its questions in the ledger; where there are none, the default."""
    sizes = tokens = output = texts = first = again = requests = 0
    for record in islice(ledger.newest(), LOOKED_AT):
        question, answer = record.get("question"), answer_in(record)
        if not isinstance(question, dict) or question.get("model") != model or answer is None:
            continue
        first += not question.get("attempt")
        again += bool(question.get("attempt"))
        texts += len(question.get("inputs") or ())
        output += answer.completion_tokens or 0
        if record.get("size") and answer.prompt_tokens:
            requests += 1
            sizes += record["size"]
            tokens += answer.prompt_tokens
        if requests >= LEARNT_FROM:
            break
    learnt = Rates(
        output_a_text=output / texts if output and texts >= ENOUGH else DEFAULT_OUTPUT_A_TEXT,
        asked_again=again / first if first >= ENOUGH else None,
    )
    if requests < ENOUGH:
        return learnt
    how = f"as {model} counted {requests} earlier questions"
    return Rates(tokens / sizes, 0.1, learnt.output_a_text, learnt.asked_again, how)


def counted_by_server(settings: ModelSettings, sample: Sequence[Sequence[Message]]) -> list[int] | None:
    """The tokens of some questions, as a llama.cpp server of one's own counts them; None: it does not.

    No other server is asked: the questions would leave the house before anybody said yes. Nor is one
    that wants a key: whether the key is right is for the first question to find out, by one request.
    """
    import httpx

    if not sample or not is_own_host(settings.base_url) or settings.api_key.get_secret_value():
        return None
    root = settings.base_url.rstrip("/").removesuffix("/v1")
    try:
        with httpx.Client(base_url=root, timeout=SERVER_TIMEOUT_S, trust_env=False) as client:
            return [_tokens(client, messages) for messages in sample]
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None


def _tokens(client: httpx.Client, messages: Sequence[Message]) -> int:
    templated = client.post("/apply-template", json={"messages": list(messages)}).raise_for_status().json()
    wanted = {"content": templated["prompt"], "add_special": True, "parse_special": True}
    return len(client.post("/tokenize", json=wanted).raise_for_status().json()["tokens"])
