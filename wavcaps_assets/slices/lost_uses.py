"""Which uses a change of a clip does not permit any more."""

from __future__ import annotations

from wavcaps_assets.slices.licence_classes import licence_class_of
from wavcaps_assets.slices.preferences import permits
from wavcaps_assets.slices.uses import USES

UNRESTRICTED = "no-additional-preferences"


def uses_lost(change: str, before: str | None, after: str | None) -> list[str]:
    """The uses that a change does not permit any more.

    Args:
        change: `removed`, `relicensed` or `preference_changed`.
        before: the SPDX identifier of the licence, or the preference, that the clip had.
        after: the one that it has.
    """
    if change == "removed":
        return [*USES]
    if change == "relicensed":
        gone = licence_class_of(before).uses - licence_class_of(after).uses
        return [use for use in USES if use in gone]
    # What was not known then was not a wish that the training went against.
    then, now = before or UNRESTRICTED, after or ""
    return [
        use
        for use in USES
        if any(permits(then, use, openly) and not permits(now, use, openly) for openly in (False, True))
    ]
