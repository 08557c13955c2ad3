"""Retrieval scores of 5,000 clips against 25,000 captions, next to sorting the candidates of each query.

`python -m benchmarks.retrieval_metrics` compares with a sort per query, as the released code does it
(https://github.com/XinhaoMei/WavCaps, `tools/utils.py`). The sorts are timed on every twentieth query. Exits
1 if ours takes more than a twentieth of their time, or finds other ranks than sorting in float64 does, with
wrong candidates first among ties.

`python -m benchmarks.retrieval_metrics --clips 100000 --captions 500000` reads memory-mapped embeddings of
that size, and compares its anonymous memory with 2 GB, without the sorts. Exits 1 above that.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks.result import own_peak_mb, report
from wavcaps_training.evaluation.ranking import TIE, score_retrieval

DIM = 1024
SAMPLED = 20
MOST_OF_SORTING = 1 / 20
MOST_ANONYMOUS_MB = 2048


def main() -> None:
    """Measures one size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=5_000)
    parser.add_argument("--captions", type=int, default=25_000)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        audio = written(Path(folder) / "audio.npy", wanted.clips, 0)
        text = written(Path(folder) / "text.npy", wanted.captions, 1)
        clip_of_caption = np.arange(wanted.captions) * wanted.clips // wanted.captions
        with Anonymous() as memory:
            start, cpu = time.perf_counter(), time.process_time()
            scores = score_retrieval(audio, text, clip_of_caption)
            ours, cpu = time.perf_counter() - start, time.process_time() - cpu
        operations = 2 * wanted.clips * wanted.captions * DIM
        print(  # noqa: T201
            f"{ours:.1f} s, with {cpu:.1f} s of processor time, for {wanted.clips} x {wanted.captions}: "
            f"{operations / cpu / 1e9:.0f} GFLOP per second of a core",
            flush=True,
        )
        if wanted.captions > 25_000:
            report("anonymous memory", memory.peak_mb, "MB", "limit", MOST_ANONYMOUS_MB, own_peak_mb())
            sys.exit(memory.peak_mb > MOST_ANONYMOUS_MB)
        peak = own_peak_mb()
        sounds, texts = np.array(audio), np.array(text)
        clips, captions = range(0, wanted.clips, SAMPLED), range(0, wanted.captions, SAMPLED)
        rights = [np.flatnonzero(clip_of_caption == clip) for clip in clips]
        start = time.perf_counter()
        for clip in clips:
            np.argsort(sounds[clip] @ texts.T)[::-1]
        for caption in captions:
            np.argsort(texts[caption] @ sounds.T)[::-1]
        peer = (time.perf_counter() - start) * SAMPLED
        to_text = [sorted_rank(sounds[c], texts, right) for c, right in zip(clips, rights, strict=True)]
        to_audio = [sorted_rank(texts[c], sounds, clip_of_caption[c : c + 1]) for c in captions]
    same = np.array_equal(scores.audio_to_text.ranks[::SAMPLED], to_text)
    same &= np.array_equal(scores.text_to_audio.ranks[::SAMPLED], to_audio)
    print(f"the same ranks: {same}")  # noqa: T201
    report("retrieval scores", ours, "s", "a sort per query", peer, peak)
    sys.exit(not same or ours > MOST_OF_SORTING * peer)


def written(path: Path, rows: int, seed: int) -> np.ndarray:
    """A memory-mapped file of random unit vectors, written in parts."""
    array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(rows, DIM))
    generator = np.random.default_rng(seed)
    for start in range(0, rows, 10_000):
        part = generator.standard_normal((min(10_000, rows - start), DIM), dtype=np.float32)
        array[start : start + len(part)] = part / np.linalg.norm(part, axis=1, keepdims=True)
    array.flush()
    return np.load(path, mmap_mode="r")


def sorted_rank(query: np.ndarray, candidates: np.ndarray, right: np.ndarray) -> int:
    """The rank of the best correct candidate, by sorting all of them, wrong ones first among ties."""
    similarity = candidates.astype(np.float64) @ query.astype(np.float64)
    similarity[right] -= TIE
    return int(np.flatnonzero(np.isin(np.argsort(-similarity, kind="stable"), right))[0])


class Anonymous:
    """The most anonymous memory of this process while it is entered (MB)."""

    def __enter__(self) -> Anonymous:
        self.peak_mb = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.05):
            lines = Path("/proc/self/status").read_text().splitlines()
            anonymous = next(line for line in lines if line.startswith("RssAnon"))
            self.peak_mb = max(self.peak_mb, int(anonymous.split()[1]) / 1024)


if __name__ == "__main__":
    main()
