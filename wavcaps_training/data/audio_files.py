"""Where clips' audio is: files in a folder or a bucket, or members of tars there."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from wavcaps_assets.benchmark_sets.tars import MEMBER
from wavcaps_assets.store.storage import MissingFile, OutsideStore, Store, StoreError
from wavcaps_training.data.clips import Clip


class AudioReadError(OSError):
    """A clip's audio is missing, unreadable or not what the manifest promises."""

    @classmethod
    def of(cls, clip: Clip, audio: AudioFiles, problem: str) -> AudioReadError:
        """The error of a clip. It has only a message, so that it can be passed between processes."""
        return cls(
            f"clip {clip.clip_id}: {audio.describe(clip)} {problem}; materialize its audio again, or remove "
            "the clip from the training manifest"
        )


class StoreUnreachable(AudioReadError):
    """The store cannot be read at all, such as a bucket that does not answer. No clip is at fault."""


class AudioFiles:
    """The audio of clips, by their audio paths: files of a store, or members of the tars in it.

    Only the member is read from a tar.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def describe(self, clip: Clip) -> str:
        """Where a clip's audio is, for errors."""
        try:
            return self.store.describe(clip.audio_path)
        except StoreError:
            # A path outside the store cannot be described.
            return repr(clip.audio_path)

    @contextmanager
    def opening(self, clip: Clip) -> Iterator[Path | BinaryIO]:
        """A clip's audio file, as libsndfile opens it.

        Raises:
            AudioReadError: it does not exist.
            StoreUnreachable: the store cannot be read.
        """
        member = MEMBER.fullmatch(clip.audio_path)
        try:
            if member is not None:
                yield io.BytesIO(
                    self.store.read_span(member["tar"], int(member["start"]), int(member["size"]))
                )
                return
            with self.store.reading(clip.audio_path) as path:
                yield path
        except (MissingFile, OutsideStore) as error:
            raise AudioReadError.of(clip, self, f"is missing ({error})") from error
        except StoreError as error:
            raise StoreUnreachable.of(clip, self, f"cannot be read ({error})") from error


class AudioFolder(AudioFiles):
    """The audio in a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Store(folder))
