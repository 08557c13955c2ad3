"""What a session has sent and what that cost, and how far its current work is."""

from __future__ import annotations

import logging
import math
import time
from collections import Counter

from wavcaps_assets.llm.chat import EndpointError
from wavcaps_assets.llm.records import Answer
from wavcaps_assets.show.progress import Progress

logger = logging.getLogger(__name__)

# Between two lines in the log, and between two updates (s).
LOG_EVERY_S = 60.0
UPDATE_EVERY_S = 0.1
# After this many requests in a row without an answer, the endpoint is at fault, not the requests.
FAILURES_IN_A_ROW = 20


class Usage:
    """Counts what one session sends and receives.

    Attributes:
        requests: sent, including those that were refused.
        prompt_tokens, completion_tokens: of the answers, where the endpoint reports them.
        cost_usd: of the answers; None: no cost is known.
        lost: by the key of its record, the number of texts in each request that got no answer and may
            have been charged.
        texts_a_second: the last rate.
    """

    def __init__(self) -> None:
        self.requests = 0
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self.cost_usd: float | None = None
        self.lost = Counter[str]()
        self.texts_a_second = 0.0
        self._failures = 0
        self._answered = False

    def add(self, answer: Answer) -> None:
        self.prompt_tokens += answer.prompt_tokens or 0
        self.completion_tokens += answer.completion_tokens or 0
        if answer.cost_usd is not None:
            self.cost_usd = (self.cost_usd or 0.0) + answer.cost_usd

    def succeeded(self) -> None:
        """A request got an answer."""
        self._failures = 0
        self._answered = True

    def failed(self, reason: str, about_request: bool = False) -> None:
        """A request got no answer.

        Args:
            about_request: it was refused for what it contains. Once the endpoint has answered another
                request, that is no fault of the endpoint.

        Raises:
            EndpointError: too many in a row.
        """
        if about_request and self._answered:
            return
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW:
            raise EndpointError(
                f"{self._failures} requests in a row got no answer; the last reason: {reason}. "
                "Earlier answers are kept: run again when the endpoint works"
            )

    def facts(self) -> dict[str, str | int | float]:
        """For an asset's page."""
        known: dict[str, str | int | float] = {
            "requests made": self.requests,
            "tokens in": self.prompt_tokens,
            "tokens out": self.completion_tokens,
            "texts a second": round(self.texts_a_second, 2),
        }
        return known if self.cost_usd is None else {**known, "cost of the answers (USD)": self.cost_usd}


class Tally:
    """Follows the texts of one piece of work. Reports to a `Progress`, and once a minute to the log.

    Attributes:
        total: texts; each counts once, however many clips have it.
        done: texts that have an answer. A text that is tried again is not done.
    """

    def __init__(self, usage: Usage, progress: Progress, total: int) -> None:
        self.total = total
        self.done = 0
        self._usage = usage
        self._progress = progress
        self._requests_before = usage.requests
        self._answered = 0
        self._started = self._logged_at = time.monotonic()
        self._updated_at = -math.inf

    def add(self, texts: int) -> None:
        """More texts are done."""
        self.done += texts
        # Answers that the ledger held took no time.
        if self._usage.requests > self._requests_before:
            self._answered += texts
        now = time.monotonic()
        self._usage.texts_a_second = self._answered / max(now - self._started, 1e-9)
        if self.done < self.total and now - self._updated_at < UPDATE_EVERY_S:
            return
        self._updated_at = now
        note = self._note()
        self._progress.update(self.done, self.total, note)
        if now - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now
            logger.info("%d of %d texts, %s", self.done, self.total, note)

    def _note(self) -> str:
        usage, rate = self._usage, self._usage.texts_a_second
        parts = [f"{rate:.1f} a second", f"{usage.prompt_tokens + usage.completion_tokens:,} tokens"]
        if usage.cost_usd is not None:
            parts.append(f"{usage.cost_usd:.4g} USD so far")
        if rate > 0:
            parts.append(f"about {(self.total - self.done) / rate / 60:.0f} minutes left")
        return ", ".join(parts)
