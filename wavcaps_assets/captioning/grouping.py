"""Which texts are asked about together: as they were before, so that no answer is paid for again.

An answer is to a list of texts. A clip that is new among thousands would shift every list behind it.
"""

from __future__ import annotations

from collections.abc import Sequence

from wavcaps_assets.captioning.ledger import Ledger
from wavcaps_assets.captioning.rounds import question_of
from wavcaps_assets.captioning.settings import CaptioningSettings


def as_asked_before(
    texts: Sequence[str], version: str, settings: CaptioningSettings, model: str, ledger: Ledger
) -> list[str]:
    """The texts in an order whose lists are those that the ledger answers, as far as that can be.

    A whole list that was asked is asked again if all its texts are wanted. The other texts keep their
    order, so that a run which goes on where another ended divides them as that one did.

    Args:
        texts: each once.
        version: of the prompt.
    """
    size = settings.first_group
    if size == 1 or len(texts) < size:
        return list(texts)
    like = question_of(version, settings, model, texts[:size], 0)
    wanted = (like.prompt_version, like.model, like.parameters, like.attempt)
    left = dict.fromkeys(texts)
    known: list[str] = []
    for record in ledger.newest():
        asked = record["question"]
        if tuple(asked.get(name) for name in ("prompt_version", "model", "parameters", "attempt")) != wanted:
            continue
        inputs = list(asked["inputs"])
        if len(inputs) == size and left.keys() >= set(inputs):
            for text in inputs:
                del left[text]
            known += inputs
    return [*known, *left]
