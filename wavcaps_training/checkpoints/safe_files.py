"""Files of torch.save from elsewhere, read as what they may be: damaged, or an attack."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy._core.multiarray import _reconstruct  # what a pickled array is made by

ZIP_MAGIC = b"PK\x03\x04"
REFUSED = re.compile(r"GLOBAL|Unsupported class|Can only build|Trying to (?:call|instantiate)")
GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
# PANNs keeps its sampler's arrays beside the weights. A plain array runs nothing when it is read.
ARRAYS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_reconstruct, "numpy.core.multiarray._reconstruct"),
    (_reconstruct, "numpy._core.multiarray._reconstruct"),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("bool", "int32", "int64", "float32", "float64")),
]


class ReleasedCheckpointError(ValueError):
    """A file is no released checkpoint, or not one of this model; says which, and what to do."""


def read_pickle(path: Path) -> dict[Any, Any]:
    """Reads the dictionary that a file of torch.save holds, onto the CPU, running no code of it.

    Raises:
        ReleasedCheckpointError: the file is missing, cut short, damaged, of another kind, or asks to run
            code.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(ZIP_MAGIC))
    except OSError as error:
        raise ReleasedCheckpointError(
            f"cannot read the checkpoint {path}: {error.strerror or error}; give the path of the "
            "downloaded file"
        ) from error
    zipped = magic == ZIP_MAGIC
    if zipped:
        check_zip(path)
    try:
        with torch.serialization.safe_globals(ARRAYS):
            # Mapped, the optimizer's state, two thirds of a file, is never read.
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        raise ReleasedCheckpointError(explain(path, str(error))) from error
    except (RuntimeError, EOFError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise ReleasedCheckpointError(
            f"{path} is no whole file of torch.save ({type(error).__name__}): it was cut short, damaged "
            "or is of another kind; download it again"
        ) from error
    if not isinstance(content, dict):
        raise ReleasedCheckpointError(
            f"{path} is no released checkpoint: it holds a {type(content).__name__} instead of a dictionary; "
            "give the file as it was released"
        )
    return content


def check_zip(path: Path) -> None:
    """Makes sure that a zip file is whole: torch itself does not look at the checksums.

    Raises:
        ReleasedCheckpointError: it is not.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise ReleasedCheckpointError(
            f"{path} is cut short or damaged ({path.stat().st_size:,} bytes; {error}); download it again and "
            "compare its size with the published one"
        ) from error
    if damaged is not None:
        raise ReleasedCheckpointError(
            f"{path} is damaged: its part {damaged!r} does not have the checksum that it should; download it "
            "again"
        )


def explain(path: Path, message: str) -> str:
    """What an unpickling error means for the person who has the file."""
    if not REFUSED.search(message):
        return (
            f"{path} is no checkpoint, or was cut short: it is no file of torch.save; download it again, and "
            "see that it is not a web page or a Git LFS pointer"
        )
    named = GLOBAL.search(message)
    what = f" ({named.group(1)})" if named else ""
    return (
        f"{path} was refused: reading it would run code{what}, which weights never need. Nothing was run. "
        "Get the file from where its authors published it; if you made it yourself, save its weights alone, "
        "as {'model': model.state_dict()}"
    )
