"""A store in an S3 bucket, of Amazon's or of any server that speaks its protocol."""

from __future__ import annotations

import mimetypes
import os
import re
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from wavcaps_assets.store.errors import MissingFile, StoreError

# What S3 deletes, and lists, in one request.
BATCH = 1000
# As many as boto3 keeps open; it would open one more for each further request, and complain.
CONNECTIONS = 10
BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
NOT_THERE = {"404", "NoSuchKey", "NotFound"}
CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
# What to do, by S3's error codes, HTTP's status where an answer has no body, and botocore's errors.
ADVICE = {
    code: advice
    for codes, advice in (
        ("NoSuchBucket", "make this bucket, or correct WAVCAPS_STORE to one that is there"),
        (
            "401 403 AccessDenied Forbidden",
            f"these credentials may not do that here; {CREDENTIALS}, "
            "to ones that may read, write, list and delete",
        ),
        (
            "ExpiredToken InvalidAccessKeyId InvalidToken SignatureDoesNotMatch",
            f"the server does not know these credentials; {CREDENTIALS}",
        ),
        (
            "CredentialRetrievalError NoCredentialsError PartialCredentialsError",
            f"there are no credentials; {CREDENTIALS}",
        ),
        (
            "301 AuthorizationHeaderMalformed IllegalLocationConstraintException PermanentRedirect",
            "the bucket is in another region; set WAVCAPS_S3__REGION",
        ),
        (
            "ConnectTimeoutError ConnectionClosedError EndpointConnectionError ReadTimeoutError SSLError",
            "the server does not answer; check the network and WAVCAPS_S3__ENDPOINT_URL",
        ),
        ("400", "the server refuses the request; check the credentials and WAVCAPS_S3__REGION"),
    )
    for code in codes.split()
}


def connect(endpoint_url: str | None = None, region: str | None = None) -> Any:
    """A boto3 client for S3. Credentials come from where boto3 looks for them.

    Args:
        endpoint_url: root of the server; None: Amazon's, or `AWS_ENDPOINT_URL`.
        region: of the bucket; None: `AWS_DEFAULT_REGION`, or that of the AWS profile.

    Raises:
        StoreError: no client can be made with these settings.
    """
    from botocore.exceptions import BotoCoreError
    from dagster_aws.s3 import S3Resource

    if endpoint_url and not re.fullmatch(r"https?://[^\s@/]+(/[^\s@]*)?", endpoint_url):
        raise StoreError(
            "WAVCAPS_S3__ENDPOINT_URL is no address such as https://minio.example.org:9000; "
            f"credentials do not belong there: {CREDENTIALS}"
        )
    try:
        return S3Resource(endpoint_url=endpoint_url or None, region_name=region or None).get_client()
    except (BotoCoreError, ValueError) as error:
        raise StoreError(
            f"cannot reach S3 with these settings ({type(error).__name__}): "
            "see WAVCAPS_S3__ENDPOINT_URL, WAVCAPS_S3__REGION and AWS_PROFILE"
        ) from error


class Bucket:
    """Objects of a bucket under a prefix. An object is there whole or not at all.

    Args:
        name: the bucket's.
        prefix: what all keys start with, without slashes at its ends; may be empty.
        client: boto3's client for S3, which threads may share.
    """

    def __init__(self, name: str, prefix: str, client: Any) -> None:
        # The name is not shown: what stands there by mistake may be a key.
        if not BUCKET_NAME.fullmatch(name):
            raise StoreError(
                "WAVCAPS_STORE names no bucket: after s3:// come 3 to 63 lower-case letters, digits, dots "
                "and hyphens, as in s3://my-bucket/wavcaps"
            )
        self.name = name
        self.prefix = prefix
        self._client = client
        self._connections = threading.BoundedSemaphore(CONNECTIONS)
        self._seen = False

    def describe(self, relative: str) -> str:
        return "/".join(part for part in ("s3:/", self.name, self.prefix, relative) if part)

    def exists(self, relative: str) -> bool:
        try:
            with self._asking(relative):
                self._client.head_object(Bucket=self.name, Key=self._key(relative))
        except MissingFile:
            return False
        return True

    def sizes(self, folder: str) -> dict[str, int]:
        prefix = f"{self._key(folder)}/"
        with self._asking(folder):
            found = {
                entry["Key"].removeprefix(prefix): entry["Size"]
                for entry in self._listing(prefix, Delimiter="/")
            }
        # A key that ends with a slash is what some tools write to show an empty folder.
        return {name: size for name, size in found.items() if name and not name.startswith(".")}

    def usage(self) -> dict[str, tuple[int, int]]:
        prefix = f"{self.prefix}/" if self.prefix else ""
        usage: dict[str, tuple[int, int]] = {}
        with self._asking(""):
            for entry in self._listing(prefix):
                folder, slash, name = entry["Key"].removeprefix(prefix).partition("/")
                if slash and name:
                    files, size = usage.get(folder, (0, 0))
                    usage[folder] = (files + 1, size + entry["Size"])
        return dict(sorted(usage.items()))

    @contextmanager
    def reading(self, relative: str) -> Iterator[Path]:
        with _temporary(relative) as path:
            with self._asking(relative), _room(relative), path.open("wb") as file:
                self._client.download_fileobj(self.name, self._key(relative), file)
            yield path

    @contextmanager
    def writing(self, relative: str) -> Iterator[Path]:
        with _temporary(relative) as path:
            with _room(relative):
                yield path
            with self._asking(relative), path.open("rb") as file:
                self._client.upload_fileobj(file, self.name, self._key(relative), _headers(relative))

    def read_bytes(self, relative: str) -> bytes:
        with self._asking(relative):
            answer = self._client.get_object(Bucket=self.name, Key=self._key(relative))
            return bytes(answer["Body"].read())

    def read_span(self, relative: str, start: int, size: int) -> bytes:
        span = f"bytes={start}-{start + size - 1}"
        with self._asking(relative):
            answer = self._client.get_object(Bucket=self.name, Key=self._key(relative), Range=span)
            return bytes(answer["Body"].read())

    def write_bytes(self, relative: str, data: bytes) -> None:
        with self._asking(relative):
            self._client.put_object(
                Bucket=self.name, Key=self._key(relative), Body=data, **_headers(relative)
            )

    def remove(self, relative: str) -> None:
        with self._asking(relative):
            below = [entry["Key"] for entry in self._listing(f"{self._key(relative)}/")]
            self._delete([self._key(relative), *below])

    def remove_files(self, relatives: Sequence[str]) -> None:
        if relatives:
            with self._asking(relatives[0]):
                self._delete([self._key(relative) for relative in relatives])

    def sweep(self, folder: str) -> None:
        # What is not whole is no object; the parts of a broken upload go by the bucket's own lifecycle.
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
            for failure in answer.get("Errors", ()):
                relative = failure["Key"].removeprefix(self._key(""))
                raise self._failure(relative, failure.get("Code", "an unknown error"))

    @contextmanager
    def _asking(self, relative: str) -> Iterator[None]:
        """Around requests: what goes wrong becomes a `StoreError` that says what to do."""
        from botocore.exceptions import BotoCoreError, ClientError
        from s3transfer.exceptions import RetriesExceededError

        try:
            with self._connections:
                yield
        except ClientError as error:
            code = _code(error)
            if code not in NOT_THERE:
                raise self._failure(relative, code) from error
            if not self._is_there():
                raise self._failure(relative, "NoSuchBucket") from error
            raise MissingFile(f"no file {relative!r} in {self.describe('')}") from error
        except (BotoCoreError, RetriesExceededError) as error:
            raise self._failure(relative, type(error).__name__) from error

    def _is_there(self) -> bool:
        """Whether the bucket itself is, which "there is no such object" does not say."""
        from botocore.exceptions import BotoCoreError, ClientError

        if not self._seen:
            try:
                self._client.head_bucket(Bucket=self.name)
            except ClientError as error:
                # Who may not ask has found it all the same.
                return _code(error) not in NOT_THERE
            except BotoCoreError as error:
                raise self._failure("", type(error).__name__) from error
            self._seen = True
        return True

    def _failure(self, relative: str, code: str) -> StoreError:
        # No more than the code of an answer: some answers repeat the request's signature or token.
        server = re.sub(r"//[^/@]*@", "//", self._client.meta.endpoint_url)
        advice = ADVICE.get(code, "see WAVCAPS_STORE and WAVCAPS_S3__ENDPOINT_URL")
        return StoreError(f"{self.describe(relative)} at {server} failed with {code}: {advice}")


def _code(error: Any) -> str:
    """The error code of a server's answer."""
    return str(error.response.get("Error", {}).get("Code", "an unknown error"))


@contextmanager
def _temporary(relative: str) -> Iterator[Path]:
    """A file on this machine that stands in for an object, and is removed afterwards."""
    with _room(relative):
        handle, name = tempfile.mkstemp(prefix="wavcaps-", suffix=PurePosixPath(relative).suffix)
        os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


@contextmanager
def _room(relative: str) -> Iterator[None]:
    try:
        yield
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            f"no temporary copy of {relative!r} in {tempfile.gettempdir()} ({error}): "
            "free some space there, or set TMPDIR"
        ) from error


def _headers(relative: str) -> dict[str, str]:
    # So that a browser shows the report instead of saving it.
    kind, _ = mimetypes.guess_type(relative)
    return {"ContentType": kind} if kind else {}
