"""The figures of the paper's human validation, as data (section III.D and Figure 4).

Source: X. Mei et al., "WavCaps" (https://arxiv.org/abs/2303.17395). Eight raters, 160 clips. The bars
of Figure 4 have no numbers: only what the text says is here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PaperFigure:
    """A figure of the paper. Shares are between 0 and 1.

    Attributes:
        value: the figure; None if the paper gives no number.
        note: the paper's statement.
    """

    value: float | None
    note: str


# By measure and group, as in `tables.VALIDATION_SCORES`.
PAPER = {
    ("mean_score", "all"): PaperFigure(3.89, "160 clips of FreeSound, 8 raters"),
    ("score_share", "5"): PaperFigure(0.4, "the paper: more than 40%"),
    ("option_share", "B"): PaperFigure(None, "the paper: chosen by most raters"),
    ("mean_score_by_option", "C"): PaperFigure(3.17, "against Clotho's captions"),
}
