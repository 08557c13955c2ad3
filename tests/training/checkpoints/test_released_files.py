"""Released checkpoints that are damaged, of another kind or an attack are refused, and run nothing."""

from __future__ import annotations

import argparse
import os
import zipfile
from collections import defaultdict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from wavcaps_training.checkpoints.released import load_released
from wavcaps_training.checkpoints.safe_files import ReleasedCheckpointError
from wavcaps_training.models.htsat import Htsat
from wavcaps_training.settings.encoders.htsat import HtsatSettings

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


@pytest.mark.slow
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

    attack = Attack(function, *arguments[function])
    weights = dict(content["model"])
    refused = rf"refused.*code \([\w.]*{function.__name__}\).*Nothing was run"
    for attacked in ({**weights, "bn0.weight": attack}, {**weights, attack: torch.zeros(1)}, attack):
        path = saved(tmp_path / "model.pt", {"model": attacked}, legacy)
        with pytest.raises(ReleasedCheckpointError, match=refused):
            load_released(path, Htsat(SMALL_HTSAT))
    with pytest.raises(ReleasedCheckpointError, match=rf"holds a [\w.]*{function.__name__} instead"):
        load_released(saved(tmp_path / "alone.pt", attack, legacy), Htsat(SMALL_HTSAT))
    # Next to the weights it is not read, whatever contains it.
    others = {"config": attack, "optimizer": [np.array([attack]), {"hooks": (attack,)}], "epoch": attack}
    model = Htsat(SMALL_HTSAT)
    found = load_released(saved(tmp_path / "others.pt", {**content, **others}, legacy), model)
    assert (found.epoch, found.config) == (None, {})
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert not marker.exists()


def test_a_program_is_refused(tmp_path: Path) -> None:
    """torch.load would run a TorchScript program."""
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "model.pt"))
    with pytest.raises(ReleasedCheckpointError, match="refused: it is a TorchScript program"):
        load_released(tmp_path / "model.pt", Htsat(SMALL_HTSAT))


class Trainer:
    """An object of a class that the reader of a file need not have."""

    def __init__(self) -> None:
        self.best = Path("/weights/best.ckpt")


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before torch 1.6"])
def test_what_training_code_stores_next_to_the_weights_is_skipped(
    tmp_path: Path, content: dict[str, Any], legacy: bool
) -> None:
    """An optimizer and a schedule as the original training code stores them, and Lightning's own entries."""
    weights = dict(content["model"])
    linear = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(linear.parameters(), lr=np.float64(1e-3))
    linear(torch.ones(2)).sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: np.cos(step))
    schedule.step()
    assert isinstance(optimizer.param_groups[0]["lr"], np.floating)
    extra = {
        "optimizer": optimizer.state_dict(),
        "config": {"training": {"epochs": 15}, "seed": np.int64(20), "folder": Path("/data")},
        "hyper_parameters": argparse.Namespace(lr=1e-3, out=Path("/data")),
        "callbacks": {"ModelCheckpoint": {"best": Path("x"), "scores": defaultdict(list, {"a": [1]})}},
        "loops": {"trainer": Trainer(), "recent": deque([1, 2]), "seen": {3, 4}},
        "sampler": np.arange(9),
        "epoch": 12,
    }
    model = Htsat(SMALL_HTSAT)
    found = load_released(saved(tmp_path / "model.pt", {**extra, "model": weights}, legacy), model)
    assert found.epoch == 12
    assert found.config == {"training": {"epochs": 15}, "seed": None, "folder": None}
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


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
        (a_plain_zip, "not a whole file of torch.save.*download it again"),
        (lambda path, _: path.write_bytes(b""), "not a whole file of torch.save.*download it again"),
        (lambda path, _: path.write_text("<html>404</html>"), "not a checkpoint.*web page"),
        (lambda path, _: path.write_text("version https://git-lfs"), "not a checkpoint.*Git LFS"),
        (lambda path, _: saved(path, [1]), "holds a list instead of a dictionary"),
        (lambda path, content: saved(path, content["model"]), "no weights under 'model'.*holds 'bn0.weight'"),
        (lambda path, _: saved(path, {"model": {"a": 1}}), "not tensors: 'a'"),
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
