"""The classes of licences, and what each permits. This is no legal advice: see docs/slices.md.

Where a licence does not settle whether a model may be trained and published, it does not permit it here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from wavcaps_assets.crawl.licences import TERMS, VERSIONS, normalise_licence
from wavcaps_assets.slices.uses import USES

CC_AND_TRAINING = "https://creativecommons.org/using-cc-licensed-works-for-ai-training-2/"
FREESOUND_FAQ = "https://freesound.org/help/faq/"


@dataclass(frozen=True)
class LicenceClass:
    """Licences that permit the same.

    Attributes:
        name: such as `attribution`.
        title: for people.
        licences: their names, as in the column `licence_class` of the raw table.
        uses: the names of the uses that they permit.
        conditions: what a user must do.
        why_not: why the other uses are not permitted.
        source: where that is written.
        spdx: their SPDX identifiers, or `LicenseRef-…`.
    """

    name: str
    title: str
    licences: tuple[str, ...]
    uses: frozenset[str]
    conditions: str
    why_not: str
    source: str
    spdx: tuple[str, ...]


def _versions(*terms: str) -> tuple[str, ...]:
    assert TERMS.issuperset(terms)
    return tuple(f"CC-{term}-{version}" for term in terms for version in VERSIONS if version != "2.1")


EVERYTHING = frozenset(USES)
NOT_SOLD = frozenset({"research", "non_commercial"})
CREDIT = "Pass on the credit lines: publish the list of attributions with the model."
LICENCE_CLASSES = (
    LicenceClass(
        "public_domain",
        "public domain",
        ("CC0", "public domain"),
        EVERYTHING,
        "none",
        "",
        "https://creativecommons.org/publicdomain/zero/1.0/",
        ("CC0-1.0", "CC-PDM-1.0", "CC-PDDC", "LicenseRef-Public-Domain"),
    ),
    LicenceClass(
        "attribution",
        "attribution",
        ("BY",),
        EVERYTHING,
        CREDIT,
        "",
        CC_AND_TRAINING,
        _versions("BY"),
    ),
    LicenceClass(
        "attribution_share_alike",
        "attribution, share alike",
        ("BY-SA",),
        NOT_SOLD,
        f"{CREDIT} If you publish the model, publish it under the same licence.",
        "it requires the same licence for adaptations, and whether a model is one is not settled",
        CC_AND_TRAINING,
        _versions("BY-SA"),
    ),
    LicenceClass(
        "non_commercial",
        "non-commercial",
        ("BY-NC", "BY-NC-SA"),
        NOT_SOLD,
        f"{CREDIT} Neither training nor use of the model is commercial. With `SA`: the same licence for a "
        "model that you publish.",
        "it excludes commercial use, and the model can be used commercially",
        FREESOUND_FAQ,
        _versions("BY-NC", "BY-NC-SA"),
    ),
    LicenceClass(
        "no_derivatives",
        "no derivatives",
        ("BY-ND", "BY-NC-ND"),
        frozenset({"research"}),
        "Do not publish the model.",
        "it excludes published adaptations, and whether a model is one is not settled",
        CC_AND_TRAINING,
        _versions("BY-ND", "BY-NC-ND"),
    ),
    LicenceClass(
        "sampling_plus",
        "Sampling+",
        ("Sampling+",),
        NOT_SOLD,
        f"{CREDIT} Not for advertising.",
        "whole works may be passed on without commercial purpose only, and advertising is excluded",
        "https://creativecommons.org/licenses/sampling+/1.0/",
        ("LicenseRef-Sampling-Plus-1.0",),
    ),
    LicenceClass(
        "remarc",
        "RemArc",
        ("RemArc",),
        NOT_SOLD,
        "Credit the BBC. Do not pass on the audio, and remove it when the BBC asks for it.",
        "it permits non-commercial, personal or research purposes only",
        "https://sound-effects.bbcrewind.co.uk/licensing",
        ("LicenseRef-RemArc",),
    ),
    LicenceClass(
        "personal_use",
        "personal use",
        ("personal use",),
        frozenset(),
        "Ask the author.",
        "it permits personal use only",
        "https://soundbible.com/about.php",
        ("LicenseRef-SoundBible-Personal-Use",),
    ),
    LicenceClass(
        "unknown",
        "unknown",
        ("unknown",),
        frozenset(),
        "Ask the author.",
        "its licence is not known, so nothing is permitted",
        "no source: what is not known is not assumed",
        ("LicenseRef-unknown",),
    ),
)
BY_NAME: Mapping[str, LicenceClass] = {found.name: found for found in LICENCE_CLASSES}
BY_LICENCE = {licence: found for found in LICENCE_CLASSES for licence in found.licences}
UNKNOWN = BY_NAME["unknown"]


@lru_cache(maxsize=4096)
def licence_class_of(licence: str | None) -> LicenceClass:
    """The class of a licence.

    Args:
        licence: an SPDX identifier, a link or words; None: not known.
    """
    return BY_LICENCE.get(normalise_licence(licence).name, UNKNOWN)
