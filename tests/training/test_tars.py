"""WebDataset tars as a training manifest, local and in a bucket, and tars that are not as they should be."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.s3 import S3Bucket
from wavcaps_assets.storage import Store
from wavcaps_assets.training_sets.tars import TarError, tar_manifest
from wavcaps_training.data import AudioFiles, AudioFolder, AudioReadError, Clip, clips_of, read_crop
from wavcaps_training.settings import ClipSettings

RATE = 32_000
SHORT = ClipSettings(seconds=0.25)


def flac(number: int) -> bytes:
    file = io.BytesIO()
    samples = np.random.default_rng(number).normal(size=RATE // 2) / 10
    soundfile.write(file, samples, RATE, format="FLAC")
    return file.getvalue()


def add(archive: tarfile.TarFile, name: str, content: bytes, kind: bytes = tarfile.REGTYPE) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = (
        len(content),
        kind,
        "/etc/hostname" if kind != tarfile.REGTYPE else "",
    )
    archive.addfile(member, io.BytesIO(content))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sets").mkdir()
    with tarfile.open(tmp_path / "sets" / "train-0.tar", "w") as archive:
        add(
            archive,
            "a/1.json",
            json.dumps({"text": ["A dog barks.", "A dog is barking."], "duration": 0.5}).encode(),
        )
        add(archive, "a/1.flac", flac(1))
        add(archive, "a/2.flac", flac(2))
        add(archive, "a/2.txt", b"Rain falls.\n")
    return tmp_path


def test_a_tar_is_read_as_its_files_are(folder: Path) -> None:
    manifest = tar_manifest(Store(folder), ["sets/train-0.tar"], "train", "laion")
    clips = clips_of(manifest, "train")
    assert [(clip.clip_id, clip.captions, clip.duration_s) for clip in clips] == [
        ("laion-a-1", ("A dog barks.", "A dog is barking."), 0.5),
        ("laion-a-2", ("Rain falls.",), 0.5),
    ]
    for number, clip in enumerate(clips, 1):
        (folder / f"{number}.flac").write_bytes(flac(number))
        alone = Clip("x", ("X.",), f"{number}.flac", 0.5)
        audio = AudioFolder(folder)
        crops = [read_crop(one, audio, SHORT, RATE, 0.4) for one in (clip, alone)]
        assert np.array_equal(crops[0], crops[1])


def test_a_tar_in_a_bucket_is_read_by_its_members_alone(folder: Path, bucket: S3Bucket) -> None:
    store = Store(bucket.root, bucket.client)
    store.write_bytes("sets/train-0.tar", (folder / "sets" / "train-0.tar").read_bytes())
    manifest = tar_manifest(store, ["sets/train-0.tar"], "train", "laion")
    asked: list[str] = []
    bucket.client.meta.events.register(
        "before-call.s3.GetObject", lambda params, **_: asked.append(params["headers"].get("Range", "all"))
    )
    clip = clips_of(manifest, "train")[1]
    found = read_crop(clip, AudioFiles(store), SHORT, RATE, 0.4)
    assert np.array_equal(found, read_crop(clip, AudioFolder(folder), SHORT, RATE, 0.4))
    start, size = map(int, clip.audio_path.partition("#")[2].split("+"))
    assert asked == [f"bytes={start}-{start + size - 1}"]


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"1.flac": flac(1)}, "'1' has no captions"),
        ({"1.json": b'{"text": "A dog."}'}, "'1' has no audio"),
        ({"1.flac": flac(1), "1.json": b"{"}, r"'1\.json' cannot be read"),
        ({"1.flac": flac(1), "1.json": b'{"text": [3]}'}, "has no caption, captions or text"),
        ({"1.flac": b"fLaC?", "1.txt": b"A dog."}, r"'1\.flac' is no audio"),
        ({"../1.flac": flac(1), "../1.txt": b"A dog."}, r"'\.\./1\.flac' is no plain file inside"),
        ({"/1.flac": flac(1), "/1.txt": b"A dog."}, "is no plain file inside"),
    ],
)
def test_bad_members_are_named(tmp_path: Path, members: dict[str, bytes], problem: str) -> None:
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        for name, content in members.items():
            add(archive, name, content)
    with pytest.raises(TarError, match=f"bad.tar: .*{problem}"):
        tar_manifest(Store(tmp_path), ["bad.tar"], "train", "laion")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "bad.tar", "w") as archive:
        add(archive, "1.flac", b"", tarfile.SYMTYPE)
    with pytest.raises(TarError, match=r"'1\.flac' is no plain file"):
        tar_manifest(Store(tmp_path), ["bad.tar"], "train", "laion")


def test_a_tar_that_is_cut_short_or_compressed_is_said(folder: Path) -> None:
    tar = folder / "sets" / "train-0.tar"
    with tarfile.open(folder / "packed.tar", "w:gz") as archive:
        add(archive, "1.flac", flac(1))
    (folder / "cut.tar").write_bytes(tar.read_bytes()[:700])
    for name in ("packed.tar", "cut.tar"):
        with pytest.raises(TarError, match=f"{name} is no uncompressed tar, or it is cut short"):
            tar_manifest(Store(folder), [name], "train", "laion")


@pytest.mark.parametrize("span", ["#999999999+10", "#0+10", "#512+99999999999"])
def test_a_span_that_holds_no_audio_is_unreadable(folder: Path, span: str) -> None:
    clip = Clip("laion-1", ("X.",), f"sets/train-0.tar{span}", 0.5)
    with pytest.raises(AudioReadError, match=r"clip laion-1: .*is unreadable"):
        read_crop(clip, AudioFolder(folder), SHORT, RATE, 0.0)
