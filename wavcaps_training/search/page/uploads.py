"""An uploaded sound: limited in size, decoded in a thread, one at a time, and removed."""

from __future__ import annotations

import tempfile
from pathlib import Path

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request

from wavcaps_training.evaluation.encoder import Encoder
from wavcaps_training.search.page.guards import TooLarge
from wavcaps_training.search.sounds import Sound, read_sound

LARGEST_UPLOAD = 50_000_000


async def read_upload(request: Request, encoder: Encoder) -> Sound:
    """The sound that is the body of a request.

    Raises:
        TooLarge: it has more than `LARGEST_UPLOAD` bytes.
        QueryError: it cannot be decoded, is silent, or too long.
    """
    too_large = TooLarge(f"the file is larger than {LARGEST_UPLOAD // 1_000_000} MB")
    if int(request.headers.get("content-length", "0")) > LARGEST_UPLOAD:
        raise too_large
    with tempfile.TemporaryDirectory(prefix="wavcaps-upload-") as folder:
        path = Path(folder) / "upload"
        size = 0
        with path.open("wb") as file:
            async for part in request.stream():
                size += len(part)
                if size > LARGEST_UPLOAD:
                    raise too_large
                file.write(part)
        return await to_thread.run_sync(read_sound, path, encoder, limiter=_one_at_a_time(request))


def _one_at_a_time(request: Request) -> CapacityLimiter:
    """The application's limiter. It belongs to an event loop, so it is made by the first request."""
    state = request.app.state
    if not hasattr(state, "uploads"):
        state.uploads = CapacityLimiter(1)
    limiter: CapacityLimiter = state.uploads
    return limiter
