"""The paper's figures of its human validation, as data (section III.D and Figure 4).

Source: X. Mei et al., "WavCaps" (https://arxiv.org/abs/2303.17395). Eight raters, 160 clips. Of Figure 4
only what the text says in words is here; its bars carry no numbers.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PaperFigure:
    """A figure of the paper. Shares are between 0 and 1.

    Attributes:
        value: the figure; None: the paper says it in words only.
        note: what the paper says.
    """

    value: float | None
    note: str


# By measure and group, as in `tables.VALIDATION_SCORES`.
PAPER = {
    ("mean_score", "all"): PaperFigure(3.89, "160 clips of FreeSound, 8 raters"),
    ("score_share", "5"): PaperFigure(0.4, "the paper: more than 40%"),
    ("option_share", "B"): PaperFigure(None, "the paper: what most raters chose"),
    ("mean_score_by_option", "C"): PaperFigure(3.17, "against Clotho's captions"),
}
