"""The time, in UTC, and names for what begins at one."""

import uuid
from datetime import UTC, datetime


def utc_now() -> datetime:
    return datetime.now(UTC)


def new_round(started: datetime) -> str:
    """A name for a crawl or a fetch: no two are alike, and they sort by their beginning."""
    return f"{started:%Y%m%dT%H%M%S.%fZ}-{uuid.uuid4().hex[:8]}"
