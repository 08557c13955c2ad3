"""What is published with a checksum is downloaded from a real server, resumed, checked and unpacked."""

from __future__ import annotations

import hashlib
import io
import socket
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.rude_server import Asked, RudeServer, answer, rude_server
from wavcaps_assets.benchmark_sets.benchmarks import benchmark_named, known_benchmarks
from wavcaps_assets.benchmark_sets.downloads import PublishedFile, download_published
from wavcaps_assets.benchmark_sets.lists import SetError
from wavcaps_assets.network.client import Network
from wavcaps_assets.network.errors import NetworkError, TooLarge
from wavcaps_assets.network.links import host_of
from wavcaps_assets.network.settings import UNLIMITED, NetworkSettings
from wavcaps_assets.store.storage import Store

LIST = b"slice_file_name,fsID,start,end,fold,class\n100032-3-0-0.wav,100032,0,1,5,dog_bark\n"
FOLDER = "sets/urbansound8k"


@pytest.fixture
def rude() -> Iterator[RudeServer]:
    with rude_server() as server:
        yield server


@pytest.fixture
def network(rude: RudeServer, tmp_path: Path) -> Iterator[Network]:
    settings = NetworkSettings(
        private_hosts={host_of(rude.url)}, other_quota=UNLIMITED, attempts=1, first_wait_s=0, audio_bytes=10
    )
    with Network(tmp_path / "state", settings) as client:
        yield client


def tar_of(files: dict[str, bytes], link: str = "") -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        if link:
            member = tarfile.TarInfo(link)
            member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            archive.addfile(member)
    return data.getvalue()


def zip_of(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


def published(rude: RudeServer, name: str, content: bytes) -> PublishedFile:
    rude.answers[f"/{name}"] = answer(content, headers={"ETag": '"v1"'})
    return PublishedFile(f"{rude.url}/{name}?download=1", hashlib.md5(content).hexdigest())


def test_an_archive_is_downloaded_and_unpacked_once(
    rude: RudeServer, network: Network, tmp_path: Path
) -> None:
    files = {
        "UrbanSound8K/metadata/UrbanSound8K.csv": LIST,
        "UrbanSound8K/audio/fold5/100032-3-0-0.wav": b"x",
    }
    # A link is not followed, and not written.
    file = published(rude, "UrbanSound8K.tar.gz", tar_of(files, link="UrbanSound8K/link"))
    store = Store(tmp_path / "store")
    for expected in (["UrbanSound8K.tar.gz"], []):
        assert download_published([file], store, FOLDER, network, tmp_path / "partial") == expected
    assert rude.times("/UrbanSound8K.tar.gz") == 1
    (row,) = benchmark_named("urbansound8k").read(store).clips.to_pylist()
    assert row["audio_path"] == f"{FOLDER}/UrbanSound8K/audio/fold5/100032-3-0-0.wav"
    assert not (tmp_path / "store" / FOLDER / "UrbanSound8K" / "link").exists()
    assert list((tmp_path / "partial").iterdir()) == []


def test_a_cut_download_is_resumed_by_the_next_run(
    rude: RudeServer, network: Network, tmp_path: Path
) -> None:
    content = zip_of({"FSD50K.ground_truth/dev.csv": b"fname,labels,mids,split\n1,Bark,/m/1,train\n"})
    file = published(rude, "FSD50K.ground_truth.zip", content)

    def cut(asked: Asked, connection: socket.socket) -> None:
        answer(content[:40], headers={"ETag": '"v1"'}, length=len(content))(asked, connection)

    def rest(asked: Asked, connection: socket.socket) -> None:
        span = {"ETag": '"v1"', "Content-Range": f"bytes 40-{len(content) - 1}/{len(content)}"}
        answer(content[40:], "206 Partial Content", span)(asked, connection)

    store, scratch = Store(tmp_path / "store"), tmp_path / "partial"
    rude.answers["/FSD50K.ground_truth.zip"] = cut
    with pytest.raises(NetworkError):
        download_published([file], store, "sets/fsd50k", network, scratch)
    rude.answers["/FSD50K.ground_truth.zip"] = rest
    assert download_published([file], store, "sets/fsd50k", network, scratch) == ["FSD50K.ground_truth.zip"]
    assert rude.asked[-1].headers["range"] == "bytes=40-"
    assert len(benchmark_named("fsd50k").read(store).clips) == 1


def test_another_file_than_the_published_one_is_refused(
    rude: RudeServer, network: Network, tmp_path: Path
) -> None:
    file = published(rude, "clotho_captions_development.csv", b"file_name,caption_1\n")
    rude.answers["/clotho_captions_development.csv"] = answer(b"<html>Sorry</html>")
    store = Store(tmp_path / "store")
    with pytest.raises(NetworkError, match=r"has MD5 \w+, but its source gives"):
        download_published([file], store, "sets/clotho", network, tmp_path / "partial")
    assert store.sizes("sets/clotho") == {}
    large = PublishedFile(file.url, file.md5, bytes=5)
    with pytest.raises(TooLarge):
        download_published([large], store, "sets/clotho", network, tmp_path / "partial")


@pytest.mark.parametrize("name", ["../../evil.csv", "/evil.csv", "a/../../evil.csv", "..\\evil.csv"])
def test_a_path_that_leaves_the_folder_is_refused(
    rude: RudeServer, network: Network, tmp_path: Path, name: str
) -> None:
    for file in (
        published(rude, "a.tar.gz", tar_of({name: b"x"})),
        published(rude, "a.zip", zip_of({name: b"x"})),
    ):
        with pytest.raises(SetError, match="not inside the archive"):
            download_published([file], Store(tmp_path / "store"), FOLDER, network, tmp_path / "partial")
    assert not list(tmp_path.rglob("evil.csv"))


def test_published_files_have_a_checksum_and_a_host() -> None:
    files = [file for benchmark in known_benchmarks() for file in benchmark.published]
    assert {len(bytes.fromhex(file.md5)) for file in files} == {16}
    assert {host_of(file.url) for file in files} == {"zenodo.org"}
    assert len({file.name for file in files}) == len(files) == 9
