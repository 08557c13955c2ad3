"""A store in an S3 bucket, at Amazon or at any server with the same protocol."""

from __future__ import annotations

import mimetypes
import os
import random
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from wavcaps_assets.store.bucket_errors import (
    CREDENTIALS,
    EXISTS,
    NOT_FOUND,
    NOT_IMPLEMENTED,
    OUT_OF_RANGE,
    InterruptedDownload,
    code_of,
    failure,
    register_credentials,
)
from wavcaps_assets.store.errors import MissingFile, StoreError
from wavcaps_assets.store.stored_file import StoredFile

T = TypeVar("T")

# S3 deletes and lists this many objects per request.
BATCH = 1000
# boto3 keeps this many connections open; it logs a warning for each one beyond.
CONNECTIONS = 10
# Of a request, by botocore. Of a download that is interrupted, by us: botocore does not repeat those.
ATTEMPTS = 6
DOWNLOAD_ATTEMPTS = 6
FIRST_WAIT_S = 0.1
BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


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
            retries={"mode": "legacy", "total_max_attempts": ATTEMPTS}, max_pool_connections=CONNECTIONS
        )
        return Session(region_name=region or None).client(
            "s3", endpoint_url=endpoint_url or None, config=config
        )
    except (BotoCoreError, ValueError) as error:
        raise StoreError(
            f"cannot reach S3 with these settings ({type(error).__name__}): "
            "see WAVCAPS_S3__ENDPOINT_URL, WAVCAPS_S3__REGION and AWS_PROFILE"
        ) from None


class Bucket:
    """Objects of a bucket under a prefix. S3 never shows part of an object.

    Args:
        name: the bucket's name.
        prefix: the start of all keys, without slashes at its ends; may be empty.
        client: boto3's client for S3, which threads may share.
    """

    def __init__(self, name: str, prefix: str, client: Any) -> None:
        # The name is not shown: it may be a key that was pasted here by mistake.
        if not BUCKET_NAME.fullmatch(name):
            raise StoreError(
                "WAVCAPS_STORE has no valid bucket name: 3 to 63 lower-case letters, digits, dots and "
                "hyphens must follow s3://, as in s3://my-bucket/wavcaps"
            )
        self.name = name
        self.prefix = prefix
        self._client = client
        self._connections = threading.BoundedSemaphore(CONNECTIONS)
        self._found = False
        # Before the first request, whose answer may quote them.
        register_credentials(client)

    def describe(self, relative: str) -> str:
        return "/".join(part for part in ("s3:/", self.name, self.prefix, relative) if part)

    def exists(self, relative: str) -> bool:
        try:
            with self._store_errors(relative):
                self._client.head_object(Bucket=self.name, Key=self._key(relative))
        except MissingFile:
            return False
        return True

    def size(self, relative: str) -> int:
        with self._store_errors(relative):
            head = self._client.head_object(Bucket=self.name, Key=self._key(relative))
            return int(head["ContentLength"])

    def names(self, folder: str) -> list[str]:
        return list(self.sizes(folder))

    def sizes(self, folder: str) -> dict[str, int]:
        prefix = f"{self._key(folder)}/"
        with self._store_errors(folder):
            found = {
                entry["Key"].removeprefix(prefix): entry["Size"]
                for entry in self._listing(prefix, Delimiter="/")
            }
        # Some tools write a key that ends with a slash to show an empty folder.
        return {name: size for name, size in found.items() if name and not name.startswith(".")}

    def files(self, folder: str) -> Iterator[StoredFile]:
        root = f"{self.prefix}/" if self.prefix else ""
        with self._store_errors(folder):
            for entry in self._listing(f"{root}{folder}/" if folder else root):
                relative = entry["Key"].removeprefix(root)
                name = PurePosixPath(relative).name
                # Some tools write a key that ends with a slash to show an empty folder.
                if relative and not relative.endswith("/") and not name.startswith("."):
                    yield StoredFile(relative, entry["Size"], entry["LastModified"].timestamp())

    @contextmanager
    def reading(self, relative: str) -> Iterator[Path]:
        with _temporary(relative) as path:

            def download() -> None:
                with _temporary_space(relative), path.open("wb") as file:
                    self._client.download_fileobj(self.name, self._key(relative), file)

            self._downloaded(relative, download)
            yield path

    @contextmanager
    def writing(self, relative: str) -> Iterator[Path]:
        with _temporary(relative) as path:
            with _temporary_space(relative):
                yield path
            with self._store_errors(relative), path.open("rb") as file:
                self._client.upload_fileobj(file, self.name, self._key(relative), _headers(relative))

    def read_bytes(self, relative: str) -> bytes:
        def download() -> bytes:
            answer = self._client.get_object(Bucket=self.name, Key=self._key(relative))
            return bytes(answer["Body"].read())

        return self._downloaded(relative, download)

    def read_span(self, relative: str, start: int, size: int) -> bytes:
        if size <= 0:
            if not self.exists(relative):
                raise self._missing(relative)
            return b""
        return self._downloaded(relative, lambda: self._span(relative, start, size))

    def _span(self, relative: str, start: int, size: int) -> bytes:
        from botocore.exceptions import ClientError

        span = f"bytes={start}-{start + size - 1}"
        try:
            answer = self._client.get_object(Bucket=self.name, Key=self._key(relative), Range=span)
        except ClientError as error:
            if code_of(error) in OUT_OF_RANGE:
                return b""
            raise
        with closing(answer["Body"]) as body:
            if answer["ResponseMetadata"]["HTTPStatusCode"] == 206:
                if not str(answer.get("ContentRange", "")).startswith(f"bytes {start}-"):
                    raise self._failure(relative, "WrongRange")
                return bytes(body.read())
            # The server ignores ranges and sends the whole object.
            data = bytes(body.read(start + size))
            if len(data) < min(start + size, answer["ContentLength"]):
                raise self._failure(relative, "IncompleteReadError")
            return data[start:]

    def write_bytes(self, relative: str, data: bytes) -> None:
        with self._store_errors(relative):
            self._client.put_object(
                Bucket=self.name, Key=self._key(relative), Body=data, **_headers(relative)
            )

    def create(self, relative: str, data: bytes) -> bool:
        from botocore.exceptions import ClientError

        with self._store_errors(relative):
            try:
                self._client.put_object(
                    Bucket=self.name,
                    Key=self._key(relative),
                    Body=data,
                    IfNoneMatch="*",
                    **_headers(relative),
                )
            except ClientError as error:
                if code_of(error) in EXISTS | NOT_IMPLEMENTED:
                    return False
                raise
        return True

    def hidden(self, folder: str, start: str) -> dict[str, float]:
        prefix = f"{self._key(folder)}/"
        with self._store_errors(folder):
            return {
                entry["Key"].removeprefix(prefix): entry["LastModified"].timestamp()
                for entry in self._listing(prefix + start, Delimiter="/")
            }

    def remove(self, relative: str) -> None:
        with self._store_errors(relative):
            below = [entry["Key"] for entry in self._listing(f"{self._key(relative)}/")]
            self._delete([self._key(relative), *below])

    def remove_files(self, relatives: Sequence[str]) -> None:
        if relatives:
            with self._store_errors(relatives[0]):
                self._delete([self._key(relative) for relative in relatives])

    def sweep(self, folder: str) -> None:
        # There are no partial objects; the parts of a broken upload are removed by the bucket's lifecycle.
        return

    def _key(self, relative: str) -> str:
        return f"{self.prefix}/{relative}" if self.prefix else relative

    def _listing(self, prefix: str, **more: str) -> Iterator[dict[str, Any]]:
        pages = self._client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.name, Prefix=prefix, **more):
            yield from page.get("Contents", ())

    def _delete(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), BATCH):
            objects = [{"Key": key} for key in keys[start : start + BATCH]]
            answer = self._client.delete_objects(Bucket=self.name, Delete={"Objects": objects, "Quiet": True})
            for error in answer.get("Errors", ()):
                relative = error["Key"].removeprefix(self._key(""))
                raise self._failure(relative, error.get("Code", "an unknown error"))

    def _downloaded(self, relative: str, download: Callable[[], T]) -> T:
        """Repeats a download that is interrupted, or whose object is overwritten."""
        for attempt in range(DOWNLOAD_ATTEMPTS - 1):
            try:
                with self._store_errors(relative):
                    return download()
            except InterruptedDownload:
                time.sleep(FIRST_WAIT_S * 2**attempt * random.uniform(0.5, 1.5))
        with self._store_errors(relative):
            return download()

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
                raise self._failure(relative, code) from None
            if not self._bucket_exists():
                raise self._failure(relative, "NoSuchBucket") from None
            raise self._missing(relative) from None
        except (
            BotoCoreError,
            Boto3Error,
            RetriesExceededError,
            S3DownloadFailedError,
            S3UploadFailedError,
        ) as error:
            raise self._failure(relative, type(error).__name__) from None

    def _bucket_exists(self) -> bool:
        """Whether the bucket itself exists, which "no such object" leaves open."""
        from botocore.exceptions import BotoCoreError, ClientError

        if not self._found:
            try:
                self._client.head_bucket(Bucket=self.name)
            except ClientError as error:
                # A refusal shows that the bucket exists.
                return code_of(error) not in NOT_FOUND
            except BotoCoreError as error:
                raise self._failure("", type(error).__name__) from None
            self._found = True
        return True

    def _missing(self, relative: str) -> MissingFile:
        return MissingFile(f"no file {relative!r} in {self.describe('')}")

    def _failure(self, relative: str, code: str) -> StoreError:
        return failure(self.describe(relative), self._client, code)


@contextmanager
def _temporary(relative: str) -> Iterator[Path]:
    """A temporary file on this machine for an object's content."""
    with _temporary_space(relative):
        handle, name = tempfile.mkstemp(prefix="wavcaps-", suffix=PurePosixPath(relative).suffix)
        os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


@contextmanager
def _temporary_space(relative: str) -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            f"cannot make a temporary copy of {relative!r} in {tempfile.gettempdir()} ({error}): "
            "free some space there, or set TMPDIR"
        ) from error


def _headers(relative: str) -> dict[str, str]:
    # With a content type, a browser shows the report instead of saving it.
    kind, _ = mimetypes.guess_type(relative)
    return {"ContentType": kind} if kind else {}
