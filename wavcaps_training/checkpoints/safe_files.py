"""Files of torch.save from elsewhere, which may be damaged or an attack."""

from __future__ import annotations

import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import torch

from wavcaps_training.checkpoints import inert_pickle
from wavcaps_training.checkpoints.inert_pickle import Inert

ZIP_MAGIC = b"PK\x03\x04"
TORCHSCRIPT = "constants.pkl"


class ReleasedCheckpointError(ValueError):
    """A file is not a released checkpoint, or not of this model; says which, and what to do."""


def read_pickle(path: Path) -> dict[Any, Any]:
    """Reads the dictionary that a file of torch.save holds, onto the CPU, without running any code of it.

    Objects other than plain data, dictionaries and tensors are `Inert` in it.

    Raises:
        ReleasedCheckpointError: the file is missing, cut short, damaged or of another kind.
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
    elif tarfile.is_tarfile(path):
        raise ReleasedCheckpointError(f"{path} is a tar; give the file of torch.save that is in it")
    try:
        if zipped and TORCHSCRIPT in torch._C.PyTorchFileReader(str(path)).get_all_records():
            # torch.load would run it.
            raise ReleasedCheckpointError(
                f"{path} was refused: it is a TorchScript program, and not weights. Nothing was run. Get the "
                "weights from where their authors published them"
            )
        # `inert_pickle` makes this safe. Mapped, the optimizer's state, two thirds of a file, is never read.
        content = torch.load(
            path, map_location="cpu", weights_only=False, pickle_module=inert_pickle, mmap=zipped
        )
    except ReleasedCheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise ReleasedCheckpointError(
            f"{path} is not a checkpoint, or was cut short: torch.save did not write it ({error}); download "
            "it again, and check that it is not a web page or a Git LFS pointer"
        ) from error
    except (RuntimeError, EOFError, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise ReleasedCheckpointError(
            f"{path} is not a whole file of torch.save ({type(error).__name__}): it was cut short, damaged "
            "or is of another kind; download it again"
        ) from error
    if not isinstance(content, dict):
        found = content.name if isinstance(content, Inert) else type(content).__name__
        raise ReleasedCheckpointError(
            f"{path} is not a released checkpoint: it holds a {found} instead of a dictionary; "
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
