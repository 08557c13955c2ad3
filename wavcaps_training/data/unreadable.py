"""Clips whose audio cannot be read: a few are left out and counted, many end the run."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from wavcaps_training.data.audio_files import AudioReadError

NAMES_SHOWN = 5

logger = logging.getLogger(__name__)


class UnreadableClips:
    """The clips that were left out, because their audio is missing, damaged or silent.

    Args:
        what: which clips these are, for messages, such as `clips of the test split`.
        clips: how many they are.
        share: which share of them may be left out (0 to 1). One clip may always be, unless this is 0.

    Attributes:
        problems: what is wrong, by clip id.
    """

    def __init__(self, what: str, clips: int, share: float) -> None:
        self.what = what
        self.clips = clips
        self.share = share
        self.most = max(1, int(share * clips)) if share else 0
        self.problems: dict[str, str] = {}
        self._said = 0

    def add(self, problems: Mapping[str, str]) -> None:
        """Adds clips, each with what is wrong.

        Raises:
            AudioReadError: more are left out than may be, or none is left.
        """
        self.problems.update(problems)
        found = len(self.problems)
        if found <= self.most and found < self.clips:
            return
        first = next(iter(self.problems.values()))
        if self.most == 0:
            raise AudioReadError(first)
        raise AudioReadError(
            f"the audio of {found} of the {self.clips} {self.what} cannot be read, where "
            f"max_unreadable_share ({self.share:g}) allows {self.most}. The first: {first}"
        )

    def warn(self) -> None:
        """Logs how many clips are left out, if there are more of them than the last time."""
        found = sorted(self.problems)
        if len(found) > self._said:
            self._said = len(found)
            names = ", ".join(found[:NAMES_SHOWN]) + (", …" if len(found) > NAMES_SHOWN else "")
            logger.warning(
                "%d of the %d %s are left out, because their audio cannot be read: %s. %s",
                len(found),
                self.clips,
                self.what,
                names,
                self.problems[found[0]],
            )
