"""The questions that a run asks about texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from wavcaps_assets.captioning.prompts import Form, Prompt, answer_format
from wavcaps_assets.captioning.settings import CaptioningSettings
from wavcaps_assets.llm.estimate import Planned
from wavcaps_assets.llm.ledger import Request, ResponseLedger


def question_of(
    version: str, settings: CaptioningSettings, model: str, inputs: Sequence[str], attempt: int
) -> Request:
    """The question about some texts: what it is depends on nothing else."""
    temperature = settings.retry_temperature if attempt else settings.temperature
    parameters = _parameters(
        temperature, settings.max_tokens * len(inputs), settings.seed + attempt, settings.form
    )
    return Request(version, model, parameters, list(inputs), attempt)


@lru_cache(maxsize=1024, typed=True)
def _parameters(temperature: float, max_tokens: int, seed: int, form: Form) -> Mapping[str, Any]:
    """Of a request. The same object for the same parameters: see `records.Request.key`."""
    return {
        "temperature": temperature,
        "max_tokens": max_tokens,
        "seed": seed,
        **answer_format(form),
    }


def planned(
    groups: Iterable[Sequence[str]],
    prompt: Prompt,
    settings: CaptioningSettings,
    model: str,
    ledger: ResponseLedger,
) -> Iterator[Planned]:
    """The question about each group, with the messages that ask it where the ledger has no answer."""
    version = prompt.version
    for group in groups:
        question = question_of(version, settings, model, group, 0)
        yield Planned(question, () if question in ledger else prompt.messages(group))
