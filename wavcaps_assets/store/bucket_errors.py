"""What to do about an error of S3: advice by error code."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from wavcaps_assets.masking import masked, register_secret
from wavcaps_assets.store.errors import StoreError

NOT_FOUND = {"404", "NoSuchKey", "NotFound"}
# A read that starts after the end of an object.
OUT_OF_RANGE = {"416", "InvalidRange"}
# A download that stopped in the middle, or whose object was overwritten. It is repeated.
INTERRUPTED = {
    "412",
    "IncompleteReadError",
    "PreconditionFailed",
    "ResponseStreamingError",
    "RetriesExceededError",
    "S3DownloadFailedError",
}
# The server is gone for now, or cannot answer: each request to it would fail.
GONE = {
    *("ConnectTimeoutError", "ConnectionClosedError", "EndpointConnectionError", "ProxyConnectionError"),
    "ReadTimeoutError",
}
# The same by HTTP's status: servers have codes of their own for it, such as that of MinIO while it starts.
GONE_STATUS = {500, 502, 503, 504}
# A PUT with `If-None-Match: *` of an object that exists, or that another request is writing.
EXISTS = {"409", "412", "ConditionalRequestConflict", "PreconditionFailed"}
# A server that knows no conditional writes, and says so.
NOT_IMPLEMENTED = {"501", "NotImplemented"}
MAX_CODE_CHARS = 80
CREDENTIALS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
# By S3's error codes, HTTP's status where a response has no body, and the classes of botocore's errors.
ADVICE = {
    code: advice
    for codes, advice in (
        ("NoSuchBucket", "create this bucket, or set WAVCAPS_STORE to one that exists"),
        (
            "401 AccessDenied Forbidden AllAccessDisabled AccountProblem",
            f"these credentials lack a permission; {CREDENTIALS}, "
            "to credentials that may read, write, list and delete",
        ),
        (
            "403",
            f"the server refuses the request: these credentials lack a permission ({CREDENTIALS}), or the "
            "clock of this machine is wrong",
        ),
        (
            "RequestTimeTooSkewed RequestExpired",
            "the clock of this machine differs from the server's; set it, for example with NTP",
        ),
        (
            "ExpiredToken ExpiredTokenException InvalidAccessKeyId InvalidToken TokenRefreshRequired "
            "SignatureDoesNotMatch",
            f"the server does not accept these credentials, or they have expired; {CREDENTIALS}",
        ),
        (
            "CredentialRetrievalError NoCredentialsError PartialCredentialsError",
            f"there are no credentials; {CREDENTIALS}",
        ),
        (
            "429 503 RequestLimitExceeded ServiceUnavailable SlowDown Throttling ThrottlingException "
            "TooManyRequests TooManyRequestsException",
            "the server is busy and asks for fewer requests; run this again later, or with fewer workers",
        ),
        (
            "507 InsufficientStorage QuotaExceeded ServiceQuotaExceeded StorageFull "
            "XMinioAdminBucketQuotaExceeded XMinioStorageFull XRatelimitQuotaExceeded",
            "the server's storage, or the bucket's quota, is full; free some space there",
        ),
        (
            "301 307 AuthorizationHeaderMalformed IllegalLocationConstraintException PermanentRedirect "
            "TemporaryRedirect",
            "the bucket is in another region; set WAVCAPS_S3__REGION",
        ),
        (
            "ConnectTimeoutError ConnectionClosedError EndpointConnectionError ProxyConnectionError "
            "ReadTimeoutError SSLError",
            "the server does not respond; check the network and WAVCAPS_S3__ENDPOINT_URL",
        ),
        (
            "IncompleteReadError ResponseStreamingError RetriesExceededError RequestTimeout",
            "the transfer broke off each time; check the network, then run this again",
        ),
        (
            "412 ConditionalRequestConflict PreconditionFailed S3DownloadFailedError",
            "the object was overwritten while it was read; run this again when nothing writes it",
        ),
        ("500 502 504 InternalError", "the server has a fault; run this again later, and see its log"),
        ("InvalidObjectState", "the object is archived; restore it to a storage class that can be read"),
        (
            "BadDigest IncompleteBody XAmzContentSHA256Mismatch",
            "the data was damaged on its way; run this again",
        ),
        ("400", "the server refuses the request; check the credentials and WAVCAPS_S3__REGION"),
        ("WrongRange", "the server sent another part of the object than requested; it cannot serve ranges"),
    )
    for code in codes.split()
}


class ServerGone(StoreError):
    """The server does not answer now. The same request may succeed later."""


class InterruptedDownload(StoreError):
    """A download that stopped in the middle, or whose object was overwritten."""


def failure(where: str, client: Any, code: str, status: int = 0) -> StoreError:
    """The error of a request.

    Only the code of a response is used: some responses repeat the request's key id, signature or token.

    Args:
        where: the object's address.
        client: boto3's client.
        code: of the error, as the server or botocore names it.
        status: HTTP's, of the server's response; 0: there is none.
    """
    register_credentials(client)
    shown = re.sub(r"[^\w.:-]", "", masked(code))[:MAX_CODE_CHARS] or "an unknown error"
    server = re.sub(r"//[^/@]*@", "//", client.meta.endpoint_url)
    advice = ADVICE.get(code, "see WAVCAPS_STORE, WAVCAPS_S3__ENDPOINT_URL and the server's log")
    gone = code in GONE or status in GONE_STATUS
    kind = InterruptedDownload if code in INTERRUPTED else ServerGone if gone else StoreError
    return kind(f"{where} at {server} failed with {shown}: {advice}")


def code_of(error: Any) -> str:
    """The error code of a server's response."""
    return str(error.response.get("Error", {}).get("Code", "an unknown error"))


def status_of(error: Any) -> int:
    """HTTP's status of a server's response; 0: not known."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def register_credentials(client: Any) -> None:
    """Has a client's key id, key and session token masked from now on."""
    from botocore.exceptions import BotoCoreError

    # botocore has no public way to the credentials of a client.
    credentials = getattr(getattr(client, "_request_signer", None), "_credentials", None)
    with suppress(BotoCoreError):
        if credentials is not None:
            register_secret(*credentials.get_frozen_credentials()[:3])
