"""A real server of the S3 protocol, in a thread: moto's."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from wavcaps_assets.store.bucket_requests import connect

REGION = "eu-west-2"
SECRET = "the-secret-that-nobody-may-read"


@dataclass(frozen=True)
class S3Bucket:
    """A separate bucket at a server.

    Attributes:
        url: the server's root.
        name: the bucket's.
        root: the store's address, with a prefix.
        client: boto3's.
    """

    url: str
    name: str
    root: str
    client: Any


@contextmanager
def serving_s3() -> Iterator[str]:
    """Gives the server's root URL."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def give_credentials(environment: pytest.MonkeyPatch) -> None:
    """Puts credentials where boto3 looks for them, and hides those of the user."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        environment.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        environment.setenv(name, "/nonexistent")
    environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
    environment.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    environment.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


def connected(url: str) -> Any:
    """A client that many tests share, since it takes a while to make."""
    with pytest.MonkeyPatch.context() as environment:
        give_credentials(environment)
        return connect(url, REGION)


def make_bucket(url: str, client: Any) -> S3Bucket:
    name = f"wavcaps-{uuid.uuid4().hex[:12]}"
    client.create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return S3Bucket(url, name, f"s3://{name}/data/wavcaps", client)
