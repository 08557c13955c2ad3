"""The conditions of each class of licence, and of the authors' wishes, in ODRL with terms of DUO.

Croissant puts them into `usageInfo` (Croissant 1.1, "Data Use Conditions"). The terms: no restriction
(DUO_0000004), non-commercial use only (DUO_0000046), general research use (DUO_0000042), of
http://purl.obolibrary.org/obo/duo.owl. They are the rules of docs/slices.md, and no legal advice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.slices.licence_classes import LICENCE_CLASSES, licence_class_of
from wavcaps_assets.slices.preferences import PREFERENCES

# Written in full: `DUO_` ends with no character that a JSON-LD prefix may end with.
DUO = "http://purl.obolibrary.org/obo/DUO_"
ANY_USE, NON_COMMERCIAL, RESEARCH = f"{DUO}0000004", f"{DUO}0000046", f"{DUO}0000042"


@dataclass(frozen=True)
class Terms:
    """What a class of licences permits, in terms of DUO, Creative Commons and ODRL.

    Attributes:
        purposes: what the permitted use is restricted to; empty: nothing is permitted.
        duties: what a user must do.
        prohibited: what a user must not do.
    """

    purposes: tuple[str, ...]
    duties: tuple[str, ...] = ()
    prohibited: tuple[str, ...] = ()


CREDIT, SHARE_ALIKE = "cc:Attribution", "cc:ShareAlike"
COMMERCIAL_USE, ADAPTATION, PASSING_ON = "cc:CommercialUse", "cc:DerivativeWorks", "odrl:distribute"
TERMS = {
    "public_domain": Terms((ANY_USE,)),
    "attribution": Terms((ANY_USE,), (CREDIT,)),
    "attribution_share_alike": Terms((ANY_USE,), (CREDIT, SHARE_ALIKE)),
    "non_commercial": Terms((NON_COMMERCIAL,), (CREDIT,), (COMMERCIAL_USE,)),
    "no_derivatives": Terms((RESEARCH, NON_COMMERCIAL), (CREDIT,), (COMMERCIAL_USE, ADAPTATION)),
    "sampling_plus": Terms((NON_COMMERCIAL,), (CREDIT,), (COMMERCIAL_USE,)),
    "remarc": Terms((NON_COMMERCIAL,), (CREDIT,), (COMMERCIAL_USE, PASSING_ON)),
    "personal_use": Terms(()),
    "unknown": Terms(()),
}


def policies(clips: pa.Table, records: str) -> list[dict[str, Any]]:
    """An offer for each class of licence that occurs, and for each wish that does.

    Args:
        clips: `tables.MANIFEST`.
        records: the `@id` of their record set.
    """
    by_class: dict[str, list[str]] = {}
    for licence in pc.unique(clips.column("licence_id")).sort().to_pylist():
        by_class.setdefault(licence_class_of(licence).name, []).append(licence)
    offers = []
    for found in LICENCE_CLASSES:
        if found.name in by_class:
            target = _rows(records, found.name, "licence_id", by_class[found.name])
            offers.append(_offer(found.name, found.title, found.conditions, target, TERMS[found.name]))
    wishes = pc.unique(clips.column("gen_ai_preference")).drop_null().sort().to_pylist()
    for wish in wishes:
        known = PREFERENCES.get(wish)
        if known is not None and known.why_not:
            target = _rows(records, wish, "gen_ai_preference", [wish])
            offers.append(_wish(wish, known.why_not, target))
    return offers


def _rows(records: str, name: str, column: str, values: list[str]) -> dict[str, Any]:
    """The records with one of these values in a field."""
    return {
        "@id": f"{records}/of/{name}",
        "@type": "odrl:AssetCollection",
        "odrl:source": {"@id": records},
        "odrl:refinement": {
            "@type": "odrl:Constraint",
            "odrl:leftOperand": {"@id": f"{records}/{column}"},
            "odrl:operator": {"@id": "odrl:isAnyOf"},
            # Identifiers have no language, as the document's texts have.
            "odrl:rightOperand": [{"@value": value} for value in values],
        },
    }


def _offer(name: str, title: str, conditions: str, target: dict[str, Any], terms: Terms) -> dict[str, Any]:
    offer: dict[str, Any] = {
        "@type": ["CreativeWork", "odrl:Offer"],
        "@id": f"policies/{name}",
        "name": f"Licences: {title}",
        "description": f"Conditions: {conditions}",
        "odrl:target": target,
    }
    if not terms.purposes:
        return {
            **offer,
            "odrl:prohibition": {"@type": "odrl:Prohibition", "odrl:action": {"@id": "odrl:use"}},
        }
    offer["odrl:permission"] = {
        "@type": "odrl:Permission",
        "odrl:action": {"@id": "odrl:use"},
        "odrl:constraint": [_purpose({"@id": purpose}) for purpose in terms.purposes],
        "odrl:duty": [{"@type": "odrl:Duty", "odrl:action": {"@id": duty}} for duty in terms.duties],
    }
    offer["odrl:prohibition"] = [
        {"@type": "odrl:Prohibition", "odrl:action": {"@id": action}} for action in terms.prohibited
    ]
    return offer


def _wish(name: str, why_not: str, target: dict[str, Any]) -> dict[str, Any]:
    return {
        "@type": ["CreativeWork", "odrl:Offer"],
        "@id": f"policies/gen-ai/{name}",
        "name": f"Preference about generative models: {name}",
        "description": f"In addition to the licence: {why_not}.",
        "odrl:target": target,
        "odrl:prohibition": {
            "@type": "odrl:Prohibition",
            "odrl:action": {"@id": "odrl:use"},
            "odrl:constraint": _purpose("training of generative models that the preference excludes"),
        },
    }


def _purpose(value: Any) -> dict[str, Any]:
    return {
        "@type": "odrl:Constraint",
        "odrl:leftOperand": {"@id": "odrl:purpose"},
        "odrl:operator": {"@id": "odrl:eq"},
        "odrl:rightOperand": value,
    }
