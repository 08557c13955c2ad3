"""WebDataset tars: their clips are those that were put in, and what is no such tar is named."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from wavcaps_assets.benchmark_sets.tars import TarError, tar_manifest
from wavcaps_assets.store.storage import Store
from wavcaps_training.data import AudioFiles, AudioFolder, Clip, EpochShare, batch_loader, clips_of, read_crop
from wavcaps_training.settings.training import DEMO, ClipSettings

RATE = 32_000
TAR = "shards/000.tar"
SETTINGS = DEMO.model_copy(
    update={"batch_size": 4, "clip": ClipSettings(seconds=0.1), "cache_log_mel": False, "loader_workers": 1}
)
Put = Callable[[tarfile.TarFile], None]


def flac(seed: int, seconds: float = 0.3) -> bytes:
    content = io.BytesIO()
    samples = np.random.default_rng(seed).normal(size=round(seconds * RATE)) / 10
    soundfile.write(content, samples, RATE, format="FLAC")
    return content.getvalue()


def put(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def tar_of(*puts: Put) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for one in puts:
            one(archive)
    return content.getvalue()


def good(archive: tarfile.TarFile) -> None:
    put(archive, "good.flac", flac(0))
    put(archive, "good.txt", b"A good clip.")


def link(archive: tarfile.TarFile) -> None:
    member = tarfile.TarInfo("link.flac")
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/hostname"
    archive.addfile(member)


def negative(archive: tarfile.TarFile) -> None:
    """A size of which the next member would begin where this one does."""
    member = tarfile.TarInfo("negative.flac")
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 10 + b"\xfe\x00"
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    assert archive.fileobj is not None
    archive.fileobj.write(bytes(header))
    archive.offset += len(header)


def naming(name: str, content: bytes = b"x") -> Put:
    return lambda archive: put(archive, name, content)


@pytest.mark.slow
def test_a_tars_clips_are_read_from_their_places(store: Store, tmp_path: Path) -> None:
    """The same batches as from files, from a folder and from a bucket."""
    puts: list[Put] = []
    clips = []
    for number in range(9):
        content, captions = flac(number), (f"Clip {number}.", f"It is {number}.")
        (tmp_path / f"{number}.flac").write_bytes(content)
        clips.append(Clip(f"bbc_sound_effects-{number}", captions, f"{number}.flac", 0.3))
        record = json.dumps({"captions": captions, "duration": 0.3}).encode()
        puts += [naming(f"{number}.json", record), naming(f"{number}.flac", content)]
    store.write_bytes(TAR, tar_of(*puts))
    found = clips_of(tar_manifest(store, [TAR], "train", "bbc_sound_effects"), "train")
    assert [(c.clip_id, c.captions, c.duration_s) for c in found] == [
        (c.clip_id, c.captions, c.duration_s) for c in clips
    ]
    # One by one, for boto3's clients do not go into another process.
    settings = SETTINGS if store.is_folder else SETTINGS.model_copy(update={"loader_workers": 0})
    mine = list(batch_loader(found, AudioFiles(store), settings, EpochShare(1)))
    theirs = list(batch_loader(clips, AudioFolder(tmp_path), SETTINGS, EpochShare(1)))
    assert [batch.captions for batch in mine] == [batch.captions for batch in theirs]
    assert all(torch.equal(a.audio, b.audio) for a, b in zip(mine, theirs, strict=True))


def test_captions_as_text_and_durations_of_the_audio(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(
        tar_of(good, naming("b.flac", flac(1, 0.7)), naming("b.txt", b" Birds \n"))
    )
    table = tar_manifest(Store(tmp_path), ["a.tar"], "test", "clotho").to_pylist()
    assert [(row["clip_id"], row["caption"], row["other_captions"]) for row in table] == [
        ("clotho-good", "A good clip.", []),
        ("clotho-b", "Birds", []),
    ]
    assert [row["duration_s"] for row in table] == pytest.approx([0.3, 0.7])


@pytest.mark.parametrize("duration", ["NaN", "-1", "0", '"long"', "true"])
def test_a_duration_that_is_none_is_measured(tmp_path: Path, duration: str) -> None:
    record = f'{{"caption": "A clip.", "duration": {duration}}}'.encode()
    content = tar_of(naming("a.flac", flac(1)), naming("a.json", record))
    (tmp_path / "a.tar").write_bytes(content)
    (row,) = tar_manifest(Store(tmp_path), ["a.tar"], "test", "clotho").to_pylist()
    assert row["duration_s"] == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("bad", "problem"),
    [
        (naming("../out.flac"), r"'\.\./out\.flac' is not a plain file"),
        (naming("/etc/out.flac"), "'/etc/out.flac' is not a plain file"),
        (link, r"'link\.flac' is not a plain file"),
        # From Python 3.14 on, tarfile itself refuses such a header.
        (negative, r"'negative\.flac' is not a plain file|bad\.tar is damaged"),
        (naming("good.flac", flac(3)), r"the tar contains 'good\.flac' twice"),
        (naming("alone.txt", b"Words."), "'alone' has no audio"),
        (naming("alone.flac", flac(3)), "'alone' has no captions"),
        (naming("good.json", b"{"), r"'good\.json' cannot be read"),
        (naming("good.json", b"[" * 100_000), r"'good\.json' cannot be read"),
        (naming("good.json", b'{"captions": []}'), r"'good\.json' has no caption"),
        (naming("good.json", b" " * 1_000_001), "too many for captions"),
    ],
)
def test_what_is_no_clip_is_named(tmp_path: Path, bad: Put, problem: str) -> None:
    (tmp_path / "bad.tar").write_bytes(tar_of(good, bad))
    with pytest.raises(TarError, match=rf"bad\.tar: .*{problem}|bad\.tar: {problem}"):
        tar_manifest(Store(tmp_path), ["bad.tar"], "train", "clotho")


def test_noise_in_place_of_audio_is_named(tmp_path: Path) -> None:
    content = tar_of(naming("a.flac", b"noise"), naming("a.txt", b"Words."))
    (tmp_path / "bad.tar").write_bytes(content)
    with pytest.raises(TarError, match=r"'a\.flac' is not audio"):
        tar_manifest(Store(tmp_path), ["bad.tar"], "train", "clotho")


@pytest.mark.parametrize("keep", [0, 100, 512, 1000, -10_240])
def test_a_tar_that_is_cut_short_is_no_smaller_tar(tmp_path: Path, keep: int) -> None:
    content = tar_of(good, naming("more.flac", flac(1)), naming("more.txt", b"More."))
    (tmp_path / "cut.tar").write_bytes(content[:keep])
    with pytest.raises(TarError, match=r"cut\.tar .*truncated"):
        tar_manifest(Store(tmp_path), ["cut.tar"], "train", "clotho")


def test_a_damaged_header_is_not_the_end(tmp_path: Path) -> None:
    """Python's own reader stops there and says nothing."""
    content = bytearray(tar_of(good, naming("more.flac", flac(1)), naming("more.txt", b"More.")))
    place = content.index(b"more.flac")
    content[place : place + 4] = b"m\0re"
    (tmp_path / "bad.tar").write_bytes(content)
    with tarfile.open(tmp_path / "bad.tar") as archive:
        assert archive.getnames() == ["good.flac", "good.txt"]
    with pytest.raises(TarError, match="damaged"):
        tar_manifest(Store(tmp_path), ["bad.tar"], "train", "clotho")


def test_a_compressed_tar_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "small.tar", "w:gz") as archive:
        good(archive)
    with pytest.raises(TarError, match=r"small\.tar is not an uncompressed tar"):
        tar_manifest(Store(tmp_path), ["small.tar"], "train", "clotho")


def test_a_place_in_a_tar_gives_no_more_than_the_member(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_of(good))
    (clip,) = clips_of(tar_manifest(Store(tmp_path), ["a.tar"], "train", "clotho"), "train")
    found = read_crop(clip, AudioFolder(tmp_path), ClipSettings(seconds=0.3), RATE, 0.0)
    samples, _ = soundfile.read(io.BytesIO(flac(0)), dtype="float32")
    assert np.array_equal(found, samples)
