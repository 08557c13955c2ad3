"""The audio of a source's clips: fetched, normalised, and never fetched twice."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from wavcaps_assets import schemas
from wavcaps_assets.audio.normalise import EmptyAudio, UnreadableAudio, normalise
from wavcaps_assets.audio.settings import FetchSettings
from wavcaps_assets.network_errors import NetworkError, NotThere, TooLarge
from wavcaps_assets.segments import SegmentLog
from wavcaps_assets.stages import Stage, drop
from wavcaps_assets.storage import Store

if TYPE_CHECKING:
    from wavcaps_assets.network import Network

# What is written of each clip the moment its audio is stored; a later run starts from here.
LOG_FOLDER = "log/audio"


def fetch_audio(
    clips: pa.Table,
    store: Store,
    network: Network,
    settings: FetchSettings,
    on_clip: Callable[[], object] = lambda: None,
) -> Stage:
    """Fetches and normalises the audio of all clips.

    Args:
        clips: `schemas.RAW_CLIPS`.
        on_clip: called after each clip, for progress.

    Returns:
        `schemas.AUDIO`, and the clips whose audio is gone, cannot be fetched or cannot be read.
        Audio that an earlier run stored from the same address is not fetched again.

    Raises:
        StoreError: the store cannot be written; what was fetched stays.
    """
    rows: list[dict[str, Any]] = []
    dropped: list[dict[str, Any]] = []
    with SegmentLog(store.path(LOG_FOLDER)) as log:
        known: dict[tuple[str, str], dict[str, Any]] = {
            (entry["row"]["clip_id"], entry["audio_url"]): entry["row"] for entry in log.read()
        }

        def one(clip: dict[str, Any]) -> dict[str, Any]:
            stored = known.get((clip["clip_id"], clip["audio_url"]))
            if stored and store.exists(stored["audio_path"]):
                return stored
            row = _fetch_clip(clip, store, network)
            log.append({"audio_url": clip["audio_url"], "row": row})
            return row

        with ThreadPoolExecutor(settings.workers, thread_name_prefix="audio") as pool:
            asked = [(clip, pool.submit(one, clip)) for clip in _clips(clips)]
            try:
                for clip, answer in asked:
                    try:
                        rows.append(answer.result())
                    except (NetworkError, UnreadableAudio, EmptyAudio) as error:
                        dropped.append(
                            drop(clip["clip_id"], clip["source"], "audio", _reason(error), str(error)[:500])
                        )
                    on_clip()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    return Stage(schemas.AUDIO.from_rows(rows), schemas.DROPPED.from_rows(dropped))


def _clips(clips: pa.Table) -> Iterator[dict[str, Any]]:
    for batch in clips.select(["clip_id", "source", "audio_url"]).to_batches():
        yield from batch.to_pylist()


def _fetch_clip(clip: dict[str, Any], store: Store, network: Network) -> dict[str, Any]:
    relative = f"audio/{clip['source']}/{clip['clip_id']}.flac"
    with tempfile.TemporaryDirectory(prefix="wavcaps-") as folder:
        original = Path(folder) / "original"
        _fetch_original(clip["audio_url"], original, network)
        with store.writing(relative) as target:
            facts = normalise(original, target)
            size = target.stat().st_size
    return {
        "clip_id": clip["clip_id"],
        "source": clip["source"],
        "audio_path": relative,
        "stored_bytes": size,
        **asdict(facts),
    }


def _fetch_original(url: str, target: Path, network: Network) -> None:
    if "://" in url:
        network.download(url, target)
        return
    # A user's own folder of clips.
    local = Path(url)
    if not local.is_file():
        raise NotThere(f"no file {local.name} in the folder of clips")
    shutil.copyfile(local, target)


def _reason(error: Exception) -> str:
    if isinstance(error, NotThere):
        return "audio_gone"
    if isinstance(error, TooLarge):
        return "audio_too_large"
    if isinstance(error, NetworkError):
        return "download_failed"
    return "empty_audio" if isinstance(error, EmptyAudio) else "unreadable_audio"
