"""How often a step on a GPU is retried, and which errors are not retried."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

# Time for a lost machine to be replaced, or for a bucket to answer again.
FIRST_DELAY_S = 10


def gpu_retries(retries: int) -> dg.RetryPolicy:
    """The policy of a step on a GPU. Its process may be killed at any time; the retry resumes from there."""
    return dg.RetryPolicy(max_retries=retries, delay=FIRST_DELAY_S, backoff=dg.Backoff.EXPONENTIAL)


@contextmanager
def final_errors() -> Iterator[None]:
    """Fails a step without a retry if the error would only repeat, such as a loss that is not finite."""
    from wavcaps_training.training.final_errors import FINAL_ERRORS

    try:
        yield
    except FINAL_ERRORS as error:
        raise dg.Failure(f"{type(error).__name__}: {error}", allow_retries=False) from error
