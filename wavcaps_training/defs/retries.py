"""How often a step on a GPU is retried, and which errors are not retried."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from pydantic import ValidationError

# Time for a lost machine to be replaced, or for a bucket to answer again.
FIRST_DELAY_S = 10


def gpu_retries(retries: int) -> dg.RetryPolicy:
    """The policy of a step on a GPU. Its process may be killed at any time; the retry resumes from there."""
    return dg.RetryPolicy(max_retries=retries, delay=FIRST_DELAY_S, backoff=dg.Backoff.EXPONENTIAL)


@contextmanager
def final_errors() -> Iterator[None]:
    """Fails a step without a retry if the error would only repeat, such as a loss that is not finite.

    A setting of the launchpad that is not allowed is one, too. So limits of settings are checked in here,
    and not by the `dg.Config`, whose errors Dagster retries.
    """
    from wavcaps_training.training.final_errors import FINAL_ERRORS

    try:
        yield
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
        raise dg.Failure(f"a setting is not allowed: {'; '.join(faults)}", allow_retries=False) from error
    except FINAL_ERRORS as error:
        raise dg.Failure(f"{type(error).__name__}: {error}", allow_retries=False) from error
