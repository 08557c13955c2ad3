"""Bootstrap intervals of captioning scores, from the same draws of recordings as those of retrieval.

BLEU and METEOR are computed again from the counts of the drawn clips. CIDEr-D keeps the weights of words that
the whole test set gives: a clip that is drawn twice would make its rare words look common, which lowered the
mean of the draws by 1 % on Clotho's captions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from wavcaps_training.evaluation.intervals import interval_ends, percent_ends, resamples

Interval = tuple[float | None, float | None]


class Resampling:
    """How often each recording is drawn. With only one recording, there is no interval.

    Args:
        recordings: the recording of each clip, or its id where each clip is a recording.
    """

    def __init__(self, recordings: Sequence[str]) -> None:
        _, self.group_of_clip = np.unique(np.array(recordings), return_inverse=True)
        self.groups = int(self.group_of_clip.max()) + 1
        # (draws, recordings)
        self.draws = np.concatenate(list(resamples(self.groups, self.groups))).astype(np.float64)

    def of_mean(self, values: np.ndarray) -> Interval:
        """The 95 % interval of the mean over clips of a score in percent: (clips,)."""
        if self.groups == 1:
            return None, None
        drawn = self.draws @ np.bincount(self.group_of_clip, values)
        return percent_ends(drawn / (self.draws @ np.bincount(self.group_of_clip)), self.groups)

    def of_counts(self, counts: np.ndarray, score: Callable[[np.ndarray], np.ndarray]) -> list[Interval]:
        """The 95 % intervals of scores that are computed from sums of counts.

        Args:
            counts: (clips, counts).
            score: from (draws, counts) to (draws,) or (draws, scores).
        """
        of_group = np.stack([np.bincount(self.group_of_clip, column) for column in counts.T], axis=1)
        scores = score(self.draws @ of_group)
        return [self._ends(column) for column in scores.reshape(len(scores), -1).T]

    def _ends(self, drawn: np.ndarray) -> Interval:
        return interval_ends(drawn, self.groups) if self.groups > 1 else (None, None)
