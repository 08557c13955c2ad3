"""The time in UTC, and ids that sort by it."""

import uuid
from datetime import UTC, datetime


def utc_now() -> datetime:
    return datetime.now(UTC)


def new_crawl_id(started: datetime) -> str:
    """A unique id for a crawl or a fetch. Ids sort by the time at which they began."""
    return f"{started:%Y%m%dT%H%M%S.%fZ}-{uuid.uuid4().hex[:8]}"
