"""What the authors of FreeSound's sounds wish for the training of generative models, and what that permits.

The wishes are in addition to the licence (https://freesound.org/help/faq/). This is no legal advice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from wavcaps_assets.slices.uses import OPEN_SOURCE_MODELS, USES

# Sources that ask their authors, and the pages of their clips, by which imported ones are known too. Of the
# others, nothing is known, and the licence alone counts.
ASKING_SOURCES = ("freesound", "freesound_data_packs")
ASKING_PAGES = r"(?i)^https?://(?:[^/?#]*[.@])?freesound\.org(?:[:/?#]|$)"


@dataclass(frozen=True)
class Preference:
    """A value of `gen_ai_preference`.

    Attributes:
        name: as FreeSound writes it.
        uses: the names of the uses that it permits.
        uses_if_open: those that it permits besides if the model is released openly.
        why_not: why the other uses are not permitted.
    """

    name: str
    uses: frozenset[str]
    uses_if_open: frozenset[str]
    why_not: str


PREFERENCES: Mapping[str, Preference] = {
    found.name: found
    for found in (
        Preference("no-additional-preferences", frozenset(USES), frozenset(), ""),
        Preference(
            "open-source-models",
            frozenset({OPEN_SOURCE_MODELS.name}),
            frozenset({"non_commercial"}),
            "its author permits only models that are released openly",
        ),
        Preference(
            "noncommercial-open-source-models",
            frozenset(),
            frozenset({"non_commercial"}),
            "its author permits only models that are released openly and not used commercially",
        ),
        Preference(
            "no-gen-ai", frozenset(), frozenset(), "its author does not want generative models trained on it"
        ),
    )
}


def are_asked(clips: pa.Table) -> pa.ChunkedArray:
    """For each clip, whether its site asks its authors.

    Args:
        clips: with the columns `source` and `page_url` of `tables.MANIFEST`.
    """
    by_page = pc.fill_null(pc.match_substring_regex(clips.column("page_url"), ASKING_PAGES), False)
    return pc.or_(pc.is_in(clips.column("source"), value_set=pa.array(ASKING_SOURCES)), by_page)


def permits(preference: str, use: str, released_openly: bool) -> bool:
    """Whether a preference permits a use; an unknown one permits none."""
    found = PREFERENCES.get(preference)
    return found is not None and (use in found.uses or (released_openly and use in found.uses_if_open))
