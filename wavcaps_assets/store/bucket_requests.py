"""Requests to a bucket: how often they are repeated, how long they wait, and what their errors say."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from wavcaps_assets.store.bucket_errors import (
    CREDENTIALS,
    NOT_FOUND,
    InterruptedDownload,
    code_of,
    failure,
    register_credentials,
    status_of,
)
from wavcaps_assets.store.errors import MissingFile, StoreError
from wavcaps_assets.store.outages import Outages

T = TypeVar("T")

# boto3 keeps this many connections open; it logs a warning for each one beyond.
CONNECTIONS = 10
# Until a server is taken to be gone (s). botocore's own 60 s would be six minutes with all attempts.
CONNECT_S = 10
# Until the server has said something (s).
READ_S = 60
# Of a request, by botocore. Of a download that is interrupted, by us: botocore does not repeat those.
ATTEMPTS = 6
DOWNLOAD_ATTEMPTS = 6
FIRST_WAIT_S = 0.1


def connect(endpoint_url: str | None = None, region: str | None = None) -> Any:
    """Makes a boto3 client for S3, with the credentials that boto3 finds.

    Args:
        endpoint_url: root of the server; None: Amazon's, or `AWS_ENDPOINT_URL`.
        region: of the bucket; None: `AWS_DEFAULT_REGION`, or that of the AWS profile.

    Raises:
        StoreError: these settings do not work.
    """
    from boto3.session import Session
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    if endpoint_url and not re.fullmatch(r"https?://[^\s@/]+(/[^\s@]*)?", endpoint_url):
        raise StoreError(
            "WAVCAPS_S3__ENDPOINT_URL is not an address such as https://minio.example.org:9000; "
            f"credentials do not belong in it: {CREDENTIALS}"
        )
    try:
        # The mode "standard" has a quota of retries for the life of a client, and an outage uses it up.
        config = Config(
            retries={"mode": "legacy", "total_max_attempts": ATTEMPTS},
            max_pool_connections=CONNECTIONS,
            connect_timeout=CONNECT_S,
            read_timeout=READ_S,
        )
        return Session(region_name=region or None).client(
            "s3", endpoint_url=endpoint_url or None, config=config
        )
    except (BotoCoreError, ValueError) as error:
        raise StoreError(
            f"cannot reach S3 with these settings ({type(error).__name__}): "
            "see WAVCAPS_S3__ENDPOINT_URL, WAVCAPS_S3__REGION and AWS_PROFILE"
        ) from None


class Requests:
    """Makes the requests to one bucket. Threads may share it.

    Args:
        bucket: its name.
        describe: the address of an object, for messages.
        client: boto3's client for S3.
        waits: whether requests wait for a server that does not answer.
    """

    def __init__(self, bucket: str, describe: Callable[[str], str], client: Any, waits: bool) -> None:
        self.client = client
        self.outages = Outages(waits)
        self._bucket = bucket
        self._describe = describe
        self._connections = threading.BoundedSemaphore(CONNECTIONS)
        self._found = False
        # Before the first request, whose answer may quote them.
        register_credentials(client)

    def ask(self, relative: str, request: Callable[[], T]) -> T:
        """The outcome of a request about an object.

        Raises:
            MissingFile: there is no such object.
            StoreError: says what to do.
        """

        def once() -> T:
            with self._store_errors(relative):
                return request()

        return self.outages.sit_out(once)

    def download(self, relative: str, request: Callable[[], T]) -> T:
        """Like `ask`. Repeats a download that is interrupted, or whose object is overwritten."""
        for attempt in range(DOWNLOAD_ATTEMPTS - 1):
            try:
                return self.ask(relative, request)
            except InterruptedDownload:
                time.sleep(FIRST_WAIT_S * 2**attempt * random.uniform(0.5, 1.5))
        return self.ask(relative, request)

    def missing(self, relative: str) -> MissingFile:
        return MissingFile(f"no file {relative!r} in {self._describe('')}")

    def failure(self, relative: str, code: str, status: int = 0) -> StoreError:
        return failure(self._describe(relative), self.client, code, status)

    @contextmanager
    def _store_errors(self, relative: str) -> Iterator[None]:
        """Turns the errors of requests into `StoreError`s that say what to do.

        Their causes are left out, because boto's texts quote the server, and servers quote the request.
        """
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError
        from s3transfer.exceptions import RetriesExceededError, S3DownloadFailedError, S3UploadFailedError

        try:
            with self._connections:
                yield
        except ClientError as error:
            code = code_of(error)
            if code not in NOT_FOUND:
                raise self.failure(relative, code, status_of(error)) from None
            if not self._bucket_exists():
                raise self.failure(relative, "NoSuchBucket") from None
            raise self.missing(relative) from None
        except (
            BotoCoreError,
            Boto3Error,
            RetriesExceededError,
            S3DownloadFailedError,
            S3UploadFailedError,
        ) as error:
            raise self.failure(relative, type(error).__name__) from None

    def _bucket_exists(self) -> bool:
        """Whether the bucket itself exists, which "no such object" leaves open."""
        from botocore.exceptions import BotoCoreError, ClientError

        if not self._found:
            try:
                self.client.head_bucket(Bucket=self._bucket)
            except ClientError as error:
                # A refusal shows that the bucket exists.
                return code_of(error) not in NOT_FOUND
            except BotoCoreError as error:
                raise self.failure("", type(error).__name__) from None
            self._found = True
        return True
