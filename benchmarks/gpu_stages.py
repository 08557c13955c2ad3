"""The stages of a session on a GPU; `benchmarks.gpu_session` runs each in a process of its own.

A stage is a function of `Session`, and returns what it measured. With `tiny` the same code runs on a CPU with
a tiny model, to see that it works; its figures mean nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from benchmarks.data_loading import write_clip
from tests.oracles import detfill
from tests.support.paths import ORACLES
from wavcaps_assets.tables import TRAINING_MANIFEST
from wavcaps_training.data import AudioFolder, Batch, Clip, EpochShare, batch_loader
from wavcaps_training.models.cnn14 import Cnn14
from wavcaps_training.models.htsat import Htsat
from wavcaps_training.settings.encoders.cnn14 import Cnn14Settings
from wavcaps_training.settings.encoders.htsat import TINY_HTSAT, HtsatSettings
from wavcaps_training.settings.model import ModelSettings, TextEncoderSettings
from wavcaps_training.settings.training import DEMO, PAPER, ClipSettings, Precision, TrainingSettings
from wavcaps_training.tasks.base import Task
from wavcaps_training.tasks.building import build_task
from wavcaps_training.training.result import WEIGHTS
from wavcaps_training.training.run import adam
from wavcaps_training.training.state import saved_step
from wavcaps_training.training.throughput import Flops, model_flops_utilisation, peak_flops
from wavcaps_training.training.train import RunOptions, train

RATE = 32_000
KILLED_RUN = "killed_run"
WARM_UP = 3


@dataclass(frozen=True)
class Session:
    """Where a session runs.

    Attributes:
        device: `cuda` or `cpu`.
        tiny: a tiny model and few steps.
        folder: of its results and its files.
        bert: folder of bert-base-uncased; empty: the MiniLM of the package.
    """

    device: str
    tiny: bool
    folder: Path
    bert: str = ""

    @property
    def settings(self) -> TrainingSettings:
        """HTSAT-BERT as the paper trains it; or a tiny one."""
        text = TextEncoderSettings(folder=self.bert)
        if not self.tiny:
            return PAPER.model_copy(update={"model": ModelSettings(text=text), "buckets": ()})
        model = DEMO.model.model_copy(update={"audio": TINY_HTSAT, "text": text})
        return PAPER.model_copy(
            update={"model": model, "clip": ClipSettings(seconds=2.0), "buckets": (), "batch_size": 4}
        )

    @property
    def hardware(self) -> str:
        return torch.cuda.get_device_name() if self.device == "cuda" else "cpu"

    def steps(self, full: int) -> int:
        return 3 if self.tiny else full

    def wait(self) -> None:
        """Until the device has done everything."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def tf32(self, allowed: bool) -> None:
        torch.backends.cuda.matmul.allow_tf32 = allowed
        torch.backends.cudnn.allow_tf32 = allowed

    def precision(self, precision: Precision) -> AbstractContextManager[Any]:
        mixed = precision is Precision.BF16
        return torch.autocast(self.device, torch.bfloat16) if mixed else nullcontext()

    def peak_memory_mb(self) -> float | None:
        return torch.cuda.max_memory_allocated() / 1e6 if self.device == "cuda" else None


class Trainer:
    """A model, its optimizer, and steps on given batches."""

    def __init__(self, session: Session, precision: Precision, *, compiled: bool = False) -> None:
        torch.manual_seed(20)
        self.session, self.precision = session, precision
        self.task: Task = build_task(session.settings)
        self.task.check_at_once = False
        self.task.model.to(session.device).train()
        self.optimizer = adam(self.task.model, session.settings)
        self.flops_per_clip = 0.0
        if compiled:
            self.task.compile()

    def step(self, batch: Batch) -> Tensor:
        """A step; its loss stays on the device."""
        self.optimizer.zero_grad()
        value = torch.zeros((), device=self.session.device)
        with self.session.precision(self.precision):
            for part in self.task.parts(batch):
                part.loss.backward()
                value = value + part.value
        self.optimizer.step()
        return value

    def count_flops(self, batch: Batch) -> None:
        with torch.compiler.set_stance("force_eager"), Flops() as flops:
            self.step(batch)
        self.flops_per_clip = flops.total / len(batch.clip_ids)

    def speed(self, clips: int, seconds: float) -> dict[str, Any]:
        """Clips per second and the share of the peak."""
        rate = clips / seconds
        peak = peak_flops(self.session.hardware, self.precision)
        return {
            "clips_per_second": rate,
            "gflop_per_clip": self.flops_per_clip / 1e9,
            "mfu": model_flops_utilisation(self.flops_per_clip, rate, peak, 1),
            "peak_memory_mb": self.session.peak_memory_mb(),
        }


def noise(session: Session, seed: int) -> Batch:
    """A batch of noise with captions, on the device."""
    settings = session.settings
    generator = torch.Generator().manual_seed(seed)
    samples = round(settings.clip.seconds * RATE)
    audio = torch.randn(settings.batch_size, samples, generator=generator) / 10
    numbers = range(settings.batch_size)
    captions = [f"Sound {seed} of kind {number} can be heard." for number in numbers]
    return Batch([f"clip-{number}" for number in numbers], captions, audio.to(session.device))


def oracles(session: Session) -> Mapping[str, Any]:
    """How far embeddings of the released size are from the oracles, without and with TF32."""
    found: dict[str, Any] = {}
    waveform = torch.tensor(np.stack([detfill.wave(number, 320_000) for number in (0, 1)]))
    encoders: Mapping[str, Callable[[], nn.Module]] = {
        "htsat": lambda: Htsat(HtsatSettings()),
        "cnn14": lambda: Cnn14(Cnn14Settings()),
    }
    for name, make in encoders.items():
        model = make().eval()
        detfill.fill_state_dict(model.state_dict())
        model.to(session.device)
        expected = np.load(ORACLES / f"{name}.npz")["embedding_10s"]
        for allowed in (False, True):
            session.tf32(allowed)
            with torch.no_grad():
                embedding = model(waveform.to(session.device)).embedding.float().cpu().numpy()
            found[f"{name}, TF32 {'on' if allowed else 'off'}"] = {
                "largest difference": float(np.abs(embedding - expected).max()),
                "largest value": float(np.abs(expected).max()),
            }
        session.tf32(False)
    return found


def profile(session: Session, name: str, precision: Precision, compiled: bool = False) -> Mapping[str, Any]:
    """Steps of HTSAT-BERT at the paper's batch size; a text file has the operations that take longest."""
    if session.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    trainer = Trainer(session, precision, compiled=compiled)
    batch = noise(session, 0)
    trainer.count_flops(batch)
    started = time.perf_counter()
    for _ in range(WARM_UP):
        trainer.step(batch)
    session.wait()
    warm_up_s = time.perf_counter() - started
    steps = session.steps(20)
    started = time.perf_counter()
    for _ in range(steps):
        trainer.step(batch)
    session.wait()
    seconds = time.perf_counter() - started
    with torch.profiler.profile() as profiler:
        for _ in range(2):
            trainer.step(batch)
        session.wait()
    key = "self_cuda_time_total" if session.device == "cuda" else "self_cpu_time_total"
    table = profiler.key_averages().table(sort_by=key, row_limit=25)
    (session.folder / f"{name}.txt").write_text(table)
    return {"warm_up_s": warm_up_s, **trainer.speed(steps * len(batch.clip_ids), seconds)}


PROFILES: Mapping[str, tuple[Precision, bool]] = {
    "profile_fp32": (Precision.FULL, False),
    "profile_bf16": (Precision.BF16, False),
    "profile_bf16_compiled": (Precision.BF16, True),
}


def bf16_steps(session: Session) -> Mapping[str, Any]:
    """The losses of 200 steps in bf16 next to those in fp32, with the same batches and random numbers."""
    losses = {}
    for name, precision in (("fp32", Precision.FULL), ("bf16", Precision.BF16)):
        trainer = Trainer(session, precision)
        values = []
        for number in range(session.steps(200)):
            torch.manual_seed(number)
            values.append(trainer.step(noise(session, number % 20)))
        losses[name] = torch.stack(values).tolist()
    difference = np.abs(np.subtract(losses["bf16"], losses["fp32"]))
    return {
        **{f"last loss, {name}": float(np.mean(values[-20:])) for name, values in losses.items()},
        "mean difference": float(difference.mean()),
        "largest difference": float(difference.max()),
        "finite": bool(np.isfinite(losses["bf16"]).all()),
        "losses": losses,
    }


def written_clips(session: Session) -> list[Clip]:
    """FLAC files of 30 s, as often in the list as an epoch needs."""
    folder = session.folder / "audio"
    folder.mkdir(exist_ok=True)
    files, clips = (4, 8) if session.tiny else (128, 4096)
    for number in range(files):
        path = folder / f"{number}.flac"
        if not path.exists():
            unfinished = path.with_suffix(".part.flac")
            write_clip(unfinished, RATE, 1, number)
            unfinished.replace(path)
    return [Clip(f"clip-{n}", (f"Sound of kind {n}.",), f"{n % files}.flac", 30.0) for n in range(clips)]


def end_to_end(session: Session) -> Mapping[str, Any]:
    """Training in bf16 from FLAC files, with 0, 8 and 16 processes that read them."""
    clips, audio = written_clips(session), AudioFolder(session.folder / "audio")
    trainer = Trainer(session, Precision.BF16)
    trainer.count_flops(noise(session, 0))
    found: dict[str, Any] = {}
    for workers in (0, 1) if session.tiny else (0, 8, 16):
        settings = session.settings.model_copy(update={"loader_workers": workers})
        # A reading process for itself may take minutes for what the first batches show.
        most = session.steps(8 if workers == 0 else 30)
        done, started = 0, 0.0
        for number, batch in enumerate(batch_loader(clips, audio, settings, EpochShare())):
            batch.audio = batch.audio.to(session.device, non_blocking=True)
            trainer.step(batch)
            if number == 0:
                # The first batch starts the processes.
                session.wait()
                started = time.perf_counter()
            else:
                done += len(batch.clip_ids)
            if number == most:
                break
        session.wait()
        found[f"{workers} workers"] = trainer.speed(done, time.perf_counter() - started)
    return found


def resume(session: Session) -> Mapping[str, Any]:
    """A run that is killed and started again, next to one that was not interrupted."""
    straight, killed = session.folder / "straight", session.folder / "killed"
    for folder in (straight, killed):
        shutil.rmtree(folder, ignore_errors=True)
    written_clips(session)
    started = time.perf_counter()
    train_run(session, straight)
    whole_s = time.perf_counter() - started
    command = [sys.executable, "-m", "benchmarks.gpu_session", str(session.folder), "--stage", KILLED_RUN]
    command += ["--device", session.device, "--bert", session.bert, *(["--tiny"] if session.tiny else [])]
    with subprocess.Popen(command) as process:
        end = time.monotonic() + 240
        while saved_step(killed / "state.safetensors") < 1 and process.poll() is None:
            if time.monotonic() > end:
                break
            time.sleep(0.02)
        process.kill()
    step = saved_step(killed / "state.safetensors")
    started = time.perf_counter()
    train_run(session, killed)
    weights = [load_file(folder / WEIGHTS) for folder in (straight, killed)]
    pairs = [(weights[1][name].float(), value.float()) for name, value in weights[0].items()]
    differences = [(one - other).abs().max() for one, other in pairs]
    return {
        "killed after step": step,
        "seconds without a kill": whole_s,
        "seconds after the kill": time.perf_counter() - started,
        # On a GPU, sums are computed in another order each time.
        "largest difference of the weights": float(torch.stack(differences).max()),
    }


def train_run(session: Session, folder: Path) -> None:
    """A short run, of two epochs, that saves every other step."""
    clips = written_clips(session)[: 8 if session.tiny else 512]
    rows: list[dict[str, Any]] = [
        {
            "clip_id": clip.clip_id,
            "source": "freesound",
            "caption": clip.captions[0],
            "other_captions": [],
            "audio_path": clip.audio_path,
            "duration_s": clip.duration_s,
            "recording": clip.clip_id,
            "split": "validation" if number % 8 == 7 else "train",
        }
        for number, clip in enumerate(clips)
    ]
    changes: dict[str, Any] = {"epochs": 2, "save_every_steps": 2, "precision": Precision.BF16}
    if session.tiny:
        changes["batch_size"] = 2
    table: pa.Table = TRAINING_MANIFEST.from_rows(rows)
    settings = session.settings.model_copy(update=changes)
    train(table, AudioFolder(session.folder / "audio"), settings, folder, RunOptions(device=session.device))


def killed_run(session: Session) -> Mapping[str, Any]:
    """The run that `resume` kills."""
    train_run(session, session.folder / "killed")
    return {}


STAGES: Mapping[str, Callable[[Session], Mapping[str, Any]]] = {
    "oracles": oracles,
    **{name: partial(profile, name=name, precision=p, compiled=c) for name, (p, c) in PROFILES.items()},
    "bf16_steps": bf16_steps,
    "end_to_end": end_to_end,
    "resume": resume,
}
