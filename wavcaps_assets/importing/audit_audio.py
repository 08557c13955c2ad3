"""The leak audit by sound: fingerprints of a set's clips, read out of its archives, and of a benchmark's."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from tempfile import NamedTemporaryFile

import pyarrow as pa
import pyarrow.parquet as pq

from wavcaps_assets.benchmark_sets.heard import OF_BENCHMARK
from wavcaps_assets.fingerprints.extraction import RECIPE, StoredClip, fingerprint
from wavcaps_assets.fingerprints.matching import MatchSettings
from wavcaps_assets.fingerprints.overlaps import audio_overlaps
from wavcaps_assets.network.errors import NotThere
from wavcaps_assets.show.progress import NoProgress, Progress
from wavcaps_assets.sources.packed_audio import PackedAudioError, copy_from_archive, file_of, is_packed
from wavcaps_assets.store.errors import MissingFile
from wavcaps_assets.store.storage import OutsideStore, Store
from wavcaps_assets.tables import OVERLAPS
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore

logger = logging.getLogger(__name__)

# Clips whose fingerprints are in memory at the same time.
CLIPS_AT_A_TIME = 5_000
SILENT = NoProgress()


class SetAudio(Store):
    """The folder of a set, whose audio may be in archives."""

    @contextmanager
    def reading(self, relative: str) -> Iterator[Path]:
        try:
            with super().reading(file_of(relative)) as path:
                if not is_packed(relative):
                    yield path
                    return
                with NamedTemporaryFile() as copy:
                    copy_from_archive(path, relative, Path(copy.name))
                    yield Path(copy.name)
        except (PackedAudioError, NotThere, OutsideStore) as error:
            raise MissingFile(f"{relative}: {error}") from error


class AudioComparison:
    """Compares the sound of a set with that of benchmarks. The set is fingerprinted once.

    Args:
        root: the folder of the set.
        clips: `tables.IMPORTED_CLIPS`.
        benchmarks: the store with the benchmarks' audio.
        work: a folder for the fingerprints of the set; they may need more room than memory has.
    """

    def __init__(
        self, root: Path, clips: pa.Table, benchmarks: Store, work: Path, progress: Progress = SILENT
    ) -> None:
        self._audio, self._benchmarks, self._work, self._progress = SetAudio(root), benchmarks, work, progress
        self._clips = clips
        self._parts: list[Path] = []

    def __call__(self, clips: pa.Table, of_benchmark: pa.Table) -> tuple[pa.Table | None, list[str]]:
        """The evidence by sound; None: nothing could be compared. And what was not, a sentence each.

        Args:
            clips: `tables.IMPORTED_CLIPS`.
            of_benchmark: `tables.BENCHMARK_CLIPS`.
        """
        with_audio = len(clips) - clips.column("audio").null_count
        with_theirs = len(of_benchmark) - of_benchmark.column("audio_path").null_count
        if not with_audio or not with_theirs:
            whose = "the set's clips" if not with_audio else "its clips"
            return None, [f"The audio was not compared, since that of {whose} is not there."]
        theirs = fingerprint(
            _stored(of_benchmark, "benchmark", "audio_path"),
            self._benchmarks,
            _known(self._benchmarks, of_benchmark),
        )
        found = audio_overlaps(
            clips.select(["clip_id", "source"]),
            self._fingerprints(),
            of_benchmark,
            theirs.stage.kept,
            MatchSettings(),
        )
        sentences = []
        for what, unchecked, of in (
            ("the set's clips", found.unchecked, found.clips),
            ("its clips", found.benchmark_unchecked, found.benchmark_clips),
        ):
            if unchecked:
                sentences.append(f"{unchecked:,} of {of:,} of {what} have no audio that could be compared.")
        return OVERLAPS.check(found.stage.kept), sentences

    def _fingerprints(self) -> Iterator[pa.Table]:
        if not self._parts:
            clips = _stored(self._clips, "source", "audio")
            parts = []
            for number in count():
                some = clips[number * CLIPS_AT_A_TIME : (number + 1) * CLIPS_AT_A_TIME]
                if not some:
                    break
                self._progress.update(number * CLIPS_AT_A_TIME, len(clips), "clips fingerprinted")
                parts.append(self._work / f"{number}.parquet")
                pq.write_table(fingerprint(some, self._audio).stage.kept, parts[-1])
            self._parts = parts
        return map(pq.read_table, self._parts)


def _known(store: Store, of_benchmark: pa.Table) -> pa.Table | None:
    """The fingerprints of a benchmark that its asset has made; those of audio that is the same are used."""
    tables = TableStore(store)
    key = [OF_BENCHMARK, of_benchmark.column("benchmark")[0].as_py()]
    return tables.read(key, [WHOLE]) if tables.settings_of(key, WHOLE) == RECIPE else None


def _stored(clips: pa.Table, source: str, audio: str) -> list[StoredClip]:
    """The clips of a table that have audio."""
    columns = (clips.column(name).to_pylist() for name in ("clip_id", source, audio))
    return [StoredClip(*row) for row in zip(*columns, strict=True) if row[2] is not None]
