"""What a slice of the set is used for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class IntendedUse:
    """A purpose that clips are chosen for.

    Attributes:
        name: such as `commercial`.
        title: for people.
        description: what is done with the clips and with the model, in one sentence.
    """

    name: str
    title: str
    description: str


RESEARCH = IntendedUse(
    "research",
    "research",
    "research that is not commercial; neither the model nor the audio is published",
)
NON_COMMERCIAL = IntendedUse(
    "non_commercial",
    "non-commercial use",
    "anything that is not commercial; the model may be published for such use",
)
COMMERCIAL = IntendedUse(
    "commercial",
    "commercial use",
    "anything, products that are sold included; the model need not be open",
)
OPEN_SOURCE_MODELS = IntendedUse(
    "open_source_models",
    "open-source models",
    "a model whose weights, code and training documentation are published for any use, commercial use "
    "included",
)
USES = {use.name: use for use in (RESEARCH, NON_COMMERCIAL, COMMERCIAL, OPEN_SOURCE_MODELS)}
