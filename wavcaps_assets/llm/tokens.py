"""How many tokens a request has: counted by the model's server if it can, else estimated.

An estimate uses a request's size: its characters, plus 16 for each message, since every message costs a
few tokens of its own. The tokens that a model counted for earlier requests give its tokens per size.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.llm.messages import Message
from wavcaps_assets.llm.prices import is_own_host
from wavcaps_assets.llm.records import answer_in
from wavcaps_assets.llm.settings import ModelSettings

if TYPE_CHECKING:
    import httpx

MESSAGE_SIZE = 16
# "1 token ~= 4 chars in English" (https://help.openai.com/en/articles/4936856).
DEFAULT_PER_SIZE = 1 / 4
DEFAULT_UNCERTAINTY = 0.35
# A caption of the paper has 7.8 words (Table III), about 11 tokens. The rest is for its index and line.
DEFAULT_OUTPUT_A_TEXT = 16.0
# Tokens that a chat template may add: special tokens, a date, a default instruction.
TEMPLATE_TOKENS = 64
# Parameters that an endpoint puts in the prompt.
IN_PROMPT = ("response_format", "tools", "functions")
# Requests in the ledger to learn from, and the most that are read to find them.
LEARN_FROM = 500
READ_AT_MOST = 5_000
# Fewer requests are not representative.
ENOUGH = 5
SERVER_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Rates:
    """How many tokens a model uses.

    Attributes:
        per_size: input tokens for each unit of a request's `size`.
        uncertainty: relative error of the input tokens (0 to 1).
        output_a_text: output tokens for one text.
        how: how the tokens were counted, for people.
    """

    per_size: float = DEFAULT_PER_SIZE
    uncertainty: float = DEFAULT_UNCERTAINTY
    output_a_text: float = DEFAULT_OUTPUT_A_TEXT
    how: str = "4 characters a token, OpenAI's rule of thumb for English"


def size(messages: Sequence[Message]) -> int:
    """The size of a request: characters, plus 16 for each message."""
    return sum(len(message["content"]) + MESSAGE_SIZE for message in messages)


def bytes_beyond(messages: Sequence[Message]) -> int:
    """The bytes beyond one for each character: other scripts than Latin take more tokens a character."""
    return sum(len(message["content"].encode()) - len(message["content"]) for message in messages)


def most_tokens(messages: Sequence[Message], parameters: Mapping[str, Any]) -> int:
    """An upper limit of a request's input tokens, for any tokenizer.

    A token has at least one byte. Tools and the schema of a structured answer count as text.
    """
    text = sum(len(message["content"].encode()) + MESSAGE_SIZE for message in messages)
    given = [parameters[name] for name in IN_PROMPT if parameters.get(name)]
    return text + TEMPLATE_TOKENS + sum(len(json.dumps(value).encode()) for value in given)


def longest_answer(parameters: Mapping[str, Any]) -> int | None:
    """The longest answer that a request allows (tokens); None: it sets no limit."""
    limit = parameters.get("max_completion_tokens", parameters.get("max_tokens"))
    return None if limit is None else int(limit)


def learn(ledger: ResponseLedger, model: str) -> Rates:
    """The rates of a model in its newest requests in the ledger; the default if there are none."""
    sizes = tokens = output = texts = requests = 0
    for record in islice(ledger.newest(), READ_AT_MOST):
        question, answer = record.get("question"), answer_in(record)
        if not isinstance(question, dict) or question.get("model") != model or answer is None:
            continue
        texts += len(question.get("inputs") or ())
        output += answer.completion_tokens or 0
        if record.get("size") and answer.prompt_tokens:
            requests += 1
            sizes += record["size"]
            tokens += answer.prompt_tokens
        if requests >= LEARN_FROM:
            break
    output_a_text = output / texts if output and texts >= ENOUGH else DEFAULT_OUTPUT_A_TEXT
    if requests < ENOUGH:
        return Rates(output_a_text=output_a_text)
    return Rates(tokens / sizes, 0.1, output_a_text, f"as {model} counted {requests} earlier requests")


def counted_by_server(settings: ModelSettings, sample: Sequence[Sequence[Message]]) -> list[int] | None:
    """The input tokens of some requests, counted by your own llama.cpp server; None: it does not count.

    Other servers are not asked: the texts would leave your network before you agree. Neither are servers
    with a key: only the first real request tests a key.
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
    body = {"content": templated["prompt"], "add_special": True, "parse_special": True}
    return len(client.post("/tokenize", json=body).raise_for_status().json()["tokens"])
