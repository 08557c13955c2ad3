"""A store with a benchmark of tones, a training manifest, and a checkpoint that is small."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
import pyarrow as pa
import soundfile
import torch
from torch import nn

from tests.training.small_models import SMALL_HTSAT, small_bert
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import BENCHMARK_CLIPS, TRAINING_MANIFEST
from wavcaps_training.checkpoints.checkpoint import save_checkpoint
from wavcaps_training.checkpoints.released import POSITION_IDS
from wavcaps_training.data.manifest_version import rows_sha256
from wavcaps_training.models.building import build_model
from wavcaps_training.settings.model import ModelSettings, TextEncoderSettings
from wavcaps_training.settings.training import ClipSettings, TrainingSettings
from wavcaps_training.tables import CHECKPOINT

RATE = 32_000
SETTINGS = TrainingSettings(
    model=ModelSettings(audio=SMALL_HTSAT, text=TextEncoderSettings(folder=str(small_bert())), joint_dim=16),
    clip=ClipSettings(seconds=1.0),
    batch_size=4,
    buckets=(),
)


def tone(store: Store, path: str, number: int) -> None:
    """Half a second of a tone, another one for each number."""
    t = np.arange(RATE // 2) / RATE
    with store.writing(path) as file:
        soundfile.write(file, 0.5 * np.sin(2 * np.pi * 150 * (number + 1) * t), RATE, format="FLAC")


def benchmark_clips(splits: Sequence[str], name: str = "clotho", silent: Sequence[int] = ()) -> pa.Table:
    """`tables.BENCHMARK_CLIPS`, with two captions each; no audio is made.

    Args:
        splits: of each clip.
        silent: the clips without audio.
    """
    return BENCHMARK_CLIPS.from_rows(
        [
            {
                "clip_id": f"{name}-{number}.wav",
                "benchmark": name,
                "version": "v2.1",
                "split": split,
                "file": f"{number}.wav",
                "captions": [f"tone {number}", f"a tone of pitch {number}"],
                "freesound_id": str(1000 + number),
                "audio_path": None if number in silent else f"sets/{name}/audio/{number}.flac",
                "duration_s": 0.5,
            }
            for number, split in enumerate(splits)
        ]
    )


def benchmark(
    store: Store, splits: Sequence[str], name: str = "clotho", silent: Sequence[int] = ()
) -> pa.Table:
    """`benchmark_clips` with their audio, of tones."""
    clips = benchmark_clips(splits, name, silent)
    for number, path in enumerate(clips["audio_path"].to_pylist()):
        if path is not None:
            tone(store, path, number)
    return clips


def training_manifest(clips: Mapping[str, str]) -> pa.Table:
    """`tables.TRAINING_MANIFEST`; its audio is not there.

    Args:
        clips: the source of each clip of the train split, by its id.
    """
    return TRAINING_MANIFEST.from_rows(
        [
            {
                "clip_id": clip_id,
                "source": source,
                "caption": f"caption of {clip_id}",
                "other_captions": [],
                "audio_path": f"{clip_id}.flac",
                "duration_s": 0.5,
                "recording": clip_id,
                "split": "train",
            }
            for clip_id, source in clips.items()
        ]
    )


def small_model(seed: int = 0) -> nn.Module:
    """A small HTSAT-BERT with random weights, the same for the same seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build_model(SETTINGS)


def released_file(path: Path) -> Path:
    """The small model in the layout of the original training code, as its `torch.save` writes it."""
    model = small_model()
    state = dict(model.state_dict())
    front_end = "audio_encoder.audio_enc.audio_feats_extractor."
    window = SETTINGS.front_end.window
    mel_filters = model.get_buffer(f"{front_end}mel_filters")
    state |= {
        f"{front_end}mel_trans.stft.conv_real.weight": torch.zeros(window // 2 + 1, 1, window),
        f"{front_end}mel_trans.stft.conv_imag.weight": torch.zeros(window // 2 + 1, 1, window),
        f"{front_end}log_trans.melW": mel_filters.clone(),
        POSITION_IDS: torch.arange(512).unsqueeze(0),
    }
    adam = {
        "state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(4)}},
        # The original schedule of the learning rate leaves a NumPy scalar.
        "param_groups": [{"lr": np.float64(5e-5), "params": [0]}],
    }
    content = {"model": state, "optimizer": adam, "config": {"training": {"epochs": 15}}, "epoch": 12}
    torch.save(content, path)
    return path


def checkpoint_row(manifest: pa.Table, setting: str = "zero_shot") -> pa.Table:
    """`tables.CHECKPOINT` of a checkpoint whose weights are not there."""
    return CHECKPOINT.from_rows(
        [
            {
                "model": "htsat_bert",
                "setting": setting,
                "weights_path": f"checkpoints/htsat_bert/{setting}/run/weights.safetensors",
                **dict.fromkeys(("untrained_weights_path", "tensorboard_path", "device"), "none"),
                "settings_json": SETTINGS.model_dump_json(),
                "manifest_sha256": rows_sha256(manifest),
                **dict.fromkeys(("parameters", "trainable_parameters", "best_epoch", "devices"), 1),
                **dict.fromkeys(("train_clips", "validation_clips"), 1),
                **dict.fromkeys(("seconds", "flops_per_clip"), 1.0),
                "learning_curve": [],
                "set_version": "v1-0000000",
            }
        ]
    )


def checkpoint(
    store: Store, manifest: pa.Table, setting: str = "zero_shot", started_from: str | None = None
) -> pa.Table:
    """`checkpoint_row` of a small model with random weights, which are in the store."""
    table = checkpoint_row(manifest, setting)
    path = store.root / table["weights_path"][0].as_py()
    path.parent.mkdir(parents=True, exist_ok=True)
    model = small_model(crc32(setting.encode()))
    save_checkpoint(path, model, SETTINGS, rows_sha256(manifest), started_from=started_from)
    return table
