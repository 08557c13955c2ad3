"""A store in an S3 bucket, at Amazon or at any server with the same protocol."""

from __future__ import annotations

import mimetypes
import os
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from wavcaps_assets.store.bucket_errors import EXISTS, NOT_IMPLEMENTED, OUT_OF_RANGE, code_of
from wavcaps_assets.store.bucket_requests import Requests
from wavcaps_assets.store.errors import MissingFile, StoreError
from wavcaps_assets.store.stored_file import StoredFile

# S3 deletes and lists this many objects per request.
BATCH = 1000
BUCKET_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class Bucket:
    """Objects of a bucket under a prefix. S3 never shows part of an object.

    Args:
        name: the bucket's name.
        prefix: the start of all keys, without slashes at its ends; may be empty.
        client: boto3's client for S3, which threads may share.
        waits: whether requests wait for a server that does not answer (`outages`).
    """

    def __init__(self, name: str, prefix: str, client: Any, waits: bool = False) -> None:
        # The name is not shown: it may be a key that was pasted here by mistake.
        if not BUCKET_NAME.fullmatch(name):
            raise StoreError(
                "WAVCAPS_STORE has no valid bucket name: 3 to 63 lower-case letters, digits, dots and "
                "hyphens must follow s3://, as in s3://my-bucket/wavcaps"
            )
        self.name = name
        self.prefix = prefix
        self._client = client
        self._requests = Requests(name, self.describe, client, waits)
        self.outages = self._requests.outages

    def without_waiting(self) -> Bucket:
        """The same bucket, whose requests fail at once while the server does not answer."""
        return Bucket(self.name, self.prefix, self._client) if self.outages.waits else self

    def describe(self, relative: str) -> str:
        return "/".join(part for part in ("s3:/", self.name, self.prefix, relative) if part)

    def exists(self, relative: str) -> bool:
        try:
            self._head(relative)
        except MissingFile:
            return False
        return True

    def size(self, relative: str) -> int:
        return int(self._head(relative)["ContentLength"])

    def names(self, folder: str) -> list[str]:
        return list(self.sizes(folder))

    def sizes(self, folder: str) -> dict[str, int]:
        prefix = f"{self._key(folder)}/"
        found = {
            entry["Key"].removeprefix(prefix): entry["Size"]
            for entry in self._listing(folder, prefix, Delimiter="/")
        }
        # Some tools write a key that ends with a slash to show an empty folder.
        return {name: size for name, size in found.items() if name and not name.startswith(".")}

    def files(self, folder: str) -> Iterator[StoredFile]:
        root = f"{self.prefix}/" if self.prefix else ""
        for entry in self._listing(folder, f"{root}{folder}/" if folder else root):
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

            self._requests.download(relative, download)
            yield path

    @contextmanager
    def writing(self, relative: str) -> Iterator[Path]:
        with _temporary(relative) as path:
            with _temporary_space(relative):
                yield path

            def upload() -> None:
                with path.open("rb") as file:
                    self._client.upload_fileobj(file, self.name, self._key(relative), _headers(relative))

            self._requests.ask(relative, upload)

    def read_bytes(self, relative: str) -> bytes:
        def download() -> bytes:
            answer = self._client.get_object(Bucket=self.name, Key=self._key(relative))
            return bytes(answer["Body"].read())

        return self._requests.download(relative, download)

    def read_span(self, relative: str, start: int, size: int) -> bytes:
        if size <= 0:
            if not self.exists(relative):
                raise self._requests.missing(relative)
            return b""
        return self._requests.download(relative, lambda: self._span(relative, start, size))

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
                    raise self._requests.failure(relative, "WrongRange")
                return bytes(body.read())
            # The server ignores ranges and sends the whole object.
            data = bytes(body.read(start + size))
            if len(data) < min(start + size, answer["ContentLength"]):
                raise self._requests.failure(relative, "IncompleteReadError")
            return data[start:]

    def write_bytes(self, relative: str, data: bytes) -> None:
        self._requests.ask(relative, lambda: self._put(relative, data))

    def create(self, relative: str, data: bytes) -> bool:
        from botocore.exceptions import ClientError

        def put() -> bool:
            try:
                self._put(relative, data, IfNoneMatch="*")
            except ClientError as error:
                if code_of(error) in EXISTS | NOT_IMPLEMENTED:
                    return False
                raise
            return True

        return self._requests.ask(relative, put)

    def hidden(self, folder: str, start: str) -> dict[str, float]:
        prefix = f"{self._key(folder)}/"
        return {
            entry["Key"].removeprefix(prefix): entry["LastModified"].timestamp()
            for entry in self._listing(folder, prefix + start, Delimiter="/")
        }

    def remove(self, relative: str) -> None:
        below = [entry["Key"] for entry in self._listing(relative, f"{self._key(relative)}/")]
        self._delete(relative, [self._key(relative), *below])

    def remove_files(self, relatives: Sequence[str]) -> None:
        if relatives:
            self._delete(relatives[0], [self._key(relative) for relative in relatives])

    def sweep(self, folder: str) -> None:
        # There are no partial objects; the parts of a broken upload are removed by the bucket's lifecycle.
        return

    def _key(self, relative: str) -> str:
        return f"{self.prefix}/{relative}" if self.prefix else relative

    def _head(self, relative: str) -> dict[str, Any]:
        def head() -> dict[str, Any]:
            found: dict[str, Any] = self._client.head_object(Bucket=self.name, Key=self._key(relative))
            return found

        return self._requests.ask(relative, head)

    def _put(self, relative: str, data: bytes, **condition: str) -> None:
        self._client.put_object(
            Bucket=self.name, Key=self._key(relative), Body=data, **condition, **_headers(relative)
        )

    def _listing(self, relative: str, prefix: str, **more: str) -> Iterator[dict[str, Any]]:
        def page() -> dict[str, Any]:
            listed: dict[str, Any] = self._client.list_objects_v2(Bucket=self.name, Prefix=prefix, **more)
            return listed

        while True:
            answer = self._requests.ask(relative, page)
            yield from answer.get("Contents", ())
            if not answer.get("NextContinuationToken"):
                return
            more["ContinuationToken"] = answer["NextContinuationToken"]

    def _delete(self, relative: str, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), BATCH):
            objects = [{"Key": key} for key in keys[start : start + BATCH]]
            delete = partial(
                self._client.delete_objects, Bucket=self.name, Delete={"Objects": objects, "Quiet": True}
            )
            for error in self._requests.ask(relative, delete).get("Errors", ()):
                at = error["Key"].removeprefix(self._key(""))
                raise self._requests.failure(at, error.get("Code", "an unknown error"))


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
