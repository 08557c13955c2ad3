"""Released checkpoints that are damaged, of another kind or an attack are refused, and run nothing."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wavcaps_training.checkpoints.released import load_released
from wavcaps_training.checkpoints.safe_files import ReleasedCheckpointError
from wavcaps_training.models.htsat import Htsat
from wavcaps_training.settings.model import HtsatSettings

SMALL_HTSAT = HtsatSettings(embed_dim=8, depths=(1, 1, 1, 1), heads=(1, 1, 1, 1), classes=5)


@pytest.fixture
def content() -> dict[str, Any]:
    """What a checkpoint holds, as far as these tests go."""
    return {"model": dict(Htsat(SMALL_HTSAT).state_dict()), "config": {"training": {"epochs": 15}}}


def saved(path: Path, content: object, legacy: bool = False) -> Path:
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path


class Attack:
    """Runs a function when it is unpickled."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("function", [os.system, exec, open], ids=["system", "exec", "open"])
def test_a_malicious_file_runs_nothing(
    tmp_path: Path, content: dict[str, Any], function: Callable[..., object], legacy: bool
) -> None:
    marker = tmp_path / "marker"
    arguments: dict[Callable[..., object], tuple[object, ...]] = {
        os.system: (f"touch {marker}",),
        exec: (f"open({str(marker)!r}, 'w')",),
        open: (str(marker), "w"),
    }
    # As a stock torch.load of old would have done it:
    function(*arguments[function])
    assert marker.exists()
    marker.unlink()

    content["config"] = Attack(function, *arguments[function])
    path = saved(tmp_path / "model.pt", content, legacy)
    with pytest.raises(ReleasedCheckpointError, match=rf"refused.*code \([\w.]*{function.__name__}\)"):
        load_released(path, Htsat(SMALL_HTSAT))
    objects = saved(tmp_path / "o.pt", {"a": np.array([Attack(function, *arguments[function])])}, legacy)
    with pytest.raises(ReleasedCheckpointError, match="refused"):
        load_released(objects, Htsat(SMALL_HTSAT))
    assert not marker.exists()


def halved(path: Path, content: object) -> None:
    saved(path, content)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def halved_legacy(path: Path, content: object) -> None:
    saved(path, content, legacy=True)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def with_a_hole(path: Path, content: object) -> None:
    """As an interrupted download into a preallocated file leaves it."""
    saved(path, content)
    middle = path.stat().st_size // 2
    data = bytearray(path.read_bytes())
    data[middle : middle + 4096] = b"\1" * 4096
    path.write_bytes(data)


def a_plain_zip(path: Path, content: object) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "not weights")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (halved, r"cut short or damaged \([\d,]+ bytes.*download it again"),
        (halved_legacy, "cut short, damaged.*download it again"),
        (with_a_hole, "damaged: its part '.*' does not have the checksum.*download it again"),
        (a_plain_zip, "no whole file of torch.save.*download it again"),
        (lambda path, _: path.write_bytes(b""), "no whole file of torch.save.*download it again"),
        (lambda path, _: path.write_text("<html>404</html>"), "no checkpoint.*web page"),
        (lambda path, _: path.write_text("version https://git-lfs"), "no checkpoint.*Git LFS"),
        (lambda path, _: saved(path, [1]), "holds a list instead of a dictionary"),
        (lambda path, content: saved(path, content["model"]), "no weights under 'model'.*holds 'bn0.weight'"),
        (lambda path, _: saved(path, {"model": {"a": 1}}), "no tensors: 'a'"),
        (lambda path, _: saved(path, {}), "holds nothing"),
        (lambda path, _: None, "cannot read the checkpoint.*No such file.*give the path"),
    ],
)
def test_what_is_no_checkpoint_says_so(
    tmp_path: Path,
    content: dict[str, Any],
    write: Callable[[Path, object], object],
    message: str,
) -> None:
    path = tmp_path / "model.pt"
    write(path, content)
    with pytest.raises(ReleasedCheckpointError, match=message) as raised:
        load_released(path, Htsat(SMALL_HTSAT))
    assert str(path) in str(raised.value)
