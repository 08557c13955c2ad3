"""What several tests share: an S3 server, and a store of each kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.s3 import S3Bucket, connected, give_credentials, make_bucket, serving_s3
from wavcaps_assets.store.storage import Store


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    with serving_s3() as url:
        yield url


@pytest.fixture(scope="session")
def s3_client(s3_server: str) -> Any:
    return connected(s3_server)


@pytest.fixture
def bucket(s3_server: str, s3_client: Any, monkeypatch: pytest.MonkeyPatch) -> S3Bucket:
    give_credentials(monkeypatch)
    return make_bucket(s3_server, s3_client)


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store in a folder, and one in a bucket: what uses a store must work with both."""
    if request.param == "folder":
        return Store(tmp_path / "store")
    bucket: S3Bucket = request.getfixturevalue("bucket")
    return Store(bucket.root, bucket.client)
