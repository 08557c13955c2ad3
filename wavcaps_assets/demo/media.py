"""The corpus' audio in the formats that its sources serve, encoded at the first request."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
import soundfile
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse

from wavcaps_assets.demo.clips import Corpus, DemoClip
from wavcaps_assets.store.storage import Store


@dataclass(frozen=True)
class Encoding:
    """A container and codec as libsndfile names them, and how hard it compresses (0 to 1)."""

    suffix: str
    container: str
    codec: str
    media_type: str
    compression: float | None = None


class Format(Enum):
    """The formats that the sources serve."""

    WAV = Encoding("wav", "WAV", "PCM_16", "audio/wav")
    MP3 = Encoding("mp3", "MP3", "MPEG_LAYER_III", "audio/mpeg")
    HQ_MP3 = Encoding("hq.mp3", "MP3", "MPEG_LAYER_III", "audio/mpeg", 0.3)
    LQ_MP3 = Encoding("lq.mp3", "MP3", "MPEG_LAYER_III", "audio/mpeg", 0.8)
    HQ_OGG = Encoding("hq.ogg", "OGG", "VORBIS", "audio/ogg", 0.3)
    LQ_OGG = Encoding("lq.ogg", "OGG", "VORBIS", "audio/ogg", 0.8)


class Media:
    """Serves a corpus' audio. A file that has the requested format is served unchanged."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._store = Store(corpus.root)

    def answer(self, clip: DemoClip, wanted: Format) -> FileResponse:
        """The clip's audio.

        Raises:
            HTTPException: 404 if the clip has none.
        """
        source = self._corpus.path(clip)
        if source is None or not source.is_file():
            raise HTTPException(404, "no such file")
        encoding = wanted.value
        if source.suffix == f".{encoding.suffix}":
            return FileResponse(source, media_type=encoding.media_type)
        made = f"transcoded/{clip.clip_id}.{encoding.suffix}"
        if not self._store.exists(made):
            samples, rate = soundfile.read(source, always_2d=True)
            with self._store.writing(made) as path:
                soundfile.write(
                    path,
                    # A decoded mp3 can exceed full scale.
                    np.clip(samples, -1, 1),
                    rate,
                    format=encoding.container,
                    subtype=encoding.codec,
                    compression_level=encoding.compression,
                )
        return FileResponse(self._store.path(made), media_type=encoding.media_type)
