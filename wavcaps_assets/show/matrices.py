"""Confusion matrices as figures, from ten classes to some hundred."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from wavcaps_assets.show.plots import COLOURS, FAINT, INK, PAPER
from wavcaps_assets.show.text import shown

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

# The most classes whose cells have numbers, and the most whose names are still readable.
NUMBERED = 12
NAMED = 60
LONGEST_NAME = 32
# In inches, for each class; and around the matrix, for names.
CELL = 0.15
LARGE_CELL = 0.36
SMALLEST = 3.4
LARGEST = 7.0
LEAST_FILL = 0.12
DARK = 0.5


def confusion_figure(matrix: np.ndarray, classes: Sequence[str]) -> Figure:
    """A confusion matrix: one row for each class, coloured by the share of its clips.

    Of many classes, only some have a number at the axis: put a table of the most confused pairs beside it.

    Args:
        matrix: (classes, classes) numbers of clips, by their class and by the answer.
        classes: their names, in the order of the matrix.
    """
    import numpy as np
    from matplotlib.collections import PatchCollection
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    count = len(classes)
    side = min(max(count * (LARGE_CELL if count <= NUMBERED else CELL), SMALLEST), LARGEST)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    clips = matrix.sum(axis=1, keepdims=True)
    shares = matrix / np.maximum(clips, 1)
    rows, columns = np.nonzero(matrix)
    places = list(zip(rows.tolist(), columns.tolist(), strict=True))
    cells = [Rectangle((x - 0.5, y - 0.5), 1, 1) for y, x in places]
    filled = PatchCollection(cells, facecolor=COLOURS[0], edgecolor="none", rasterized=count > NAMED)
    # One clip in a hundred must still be seen.
    filled.set_alpha(LEAST_FILL + (1 - LEAST_FILL) * shares[rows, columns])
    axes.add_collection(filled)
    if count <= NUMBERED:
        for y, x in places:
            colour = PAPER if shares[y, x] > DARK else INK
            axes.text(x, y, str(matrix[y, x]), ha="center", va="center", fontsize=7, color=colour)
    if count <= NAMED:
        size = 8 if count <= NUMBERED else 6
        names = [shown(name)[:LONGEST_NAME] for name in classes]
        # A dollar sign in a name begins no formula.
        axes.set_xticks(range(count), names, rotation=90, fontsize=size, parse_math=False)
        axes.set_yticks(range(count), names, fontsize=size, parse_math=False)
    axes.set_xlim(-0.5, count - 0.5)
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_aspect("equal")
    what = "" if count <= NAMED else ", by number in the alphabet"
    axes.set_xlabel(f"answered{what}", color=INK, fontsize=9)
    axes.set_ylabel(f"class{what}", color=INK, fontsize=9)
    axes.tick_params(colors=INK, length=0 if count <= NAMED else 3)
    for spine in axes.spines.values():
        spine.set_color(FAINT)
    return figure
