"""Eight clips, learned by heart: each generated sound is most similar to its own text, by another model.

    python -m benchmarks.eight_sounds STORE [EPOCHS]

STORE is the demo's, after `make demo` and `make demo-sound`: it has the retrieval model that judges
(`aisfx_minilm/demo`) and the autoencoder. The diffusion model is conditioned by the texts' vectors of a
retrieval model with fresh weights, so that the judge did not condition it. Without a store, nothing is
measured.

The eight are train clips whose real sound the judge finds most similar to their own captions, among the
eight, also after autoencoder and Griffin-Lim: what the codec makes unrecognisable, no model can make
recognisable.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from benchmarks.result import own_peak_mb, report
from wavcaps_assets.show.progress import Facts, NoProgress
from wavcaps_assets.store.storage import Store
from wavcaps_assets.tables import TRAINING_MANIFEST
from wavcaps_assets.tables.asset_tables import WHOLE, TableStore
from wavcaps_training.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from wavcaps_training.data import AudioFiles, Clip, clips_of, read_crop
from wavcaps_training.data.latents import GenerationInputs
from wavcaps_training.evaluation.encoder import Encoder
from wavcaps_training.generation.latents import make_latents
from wavcaps_training.generation.sampling import SoundMaker, best, vector_of
from wavcaps_training.models.building import build_model
from wavcaps_training.models.sound_autoencoder import normalised
from wavcaps_training.settings.generation import (
    DEMO_GENERATION,
    TINY_GENERATOR,
    Condition,
    SamplingSettings,
)
from wavcaps_training.settings.training import DEMO
from wavcaps_training.training.train import RunOptions, train

EIGHT = 8
LOOKED_AT = 60
# Each epoch has the eight clips this often, and so this many steps.
COPIES = 25
EPOCHS = 40
SEED = 0


class Curve(NoProgress):
    """Prints the loss of each epoch."""

    def record(self, facts: Facts) -> None:
        print(f"epoch {facts['epoch']}: loss {facts['train_loss']:.4f}")  # noqa: T201


def main() -> None:
    if len(sys.argv) < 2:
        print("no store is named: nothing is measured")  # noqa: T201
        return
    tables = TableStore(Store(Path(sys.argv[1])))
    epochs = int(sys.argv[2]) if len(sys.argv) > 2 else EPOCHS
    autoencoder, judge_weights = (
        Path(sys.argv[1]) / tables.read(["checkpoint", *name.split("/")], [WHOLE])["weights_path"][0].as_py()
        for name in ("autoencoder/demo", "aisfx_minilm/demo")
    )
    judge = Encoder(judge_weights)
    manifest = tables.read(["training_manifest"])
    chosen = recognisable(manifest, AudioFiles(tables.store), autoencoder, judge)
    captions = [clip.captions[0] for clip in chosen]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        maker = learned(folder, again_and_again(manifest, chosen), tables.store, autoencoder, epochs)
        settings = SamplingSettings(steps=100, candidates=1, seed=SEED)
        made = list(best(maker.candidates(captions, settings)))
    found = matrix(judge, [sound.samples for sound in made], captions, maker.sample_rate)
    right = own_is_best(found)
    for caption, row, is_right in zip(captions, found, right, strict=True):
        print(f"{'yes' if is_right else 'no ':3} {row.max():.2f} {caption}")  # noqa: T201
    count = int(right.sum())
    report("eight_sounds", count, "sounds most similar to their own text", "all", EIGHT, own_peak_mb())
    if count < EIGHT:
        raise SystemExit(f"only {count} of the {EIGHT} sounds are most similar to their own text")


def recognisable(manifest: pa.Table, audio: AudioFiles, autoencoder: Path, judge: Encoder) -> list[Clip]:
    """Eight train clips that the judge recognises, real and after the autoencoder."""
    model, settings = load_checkpoint(autoencoder, task="autoencoder")
    clips = list({clip.recording: clip for clip in clips_of(manifest, "train")}.values())
    order = np.random.default_rng(SEED).permutation(len(clips))[:LOOKED_AT]
    clips = list({clips[place].captions[0]: clips[place] for place in order.tolist()}.values())
    rate = settings.front_end.sample_rate
    real, decoded = [], []
    with torch.no_grad():
        for clip in clips:
            sound = normalised(torch.from_numpy(read_crop(clip, audio, settings.clip, rate, 0.5)))
            mean, _ = model.moments(model.log_mel(sound.unsqueeze(0)))
            again = model.waveform(model.decode(mean))[0]
            real.append(sound.numpy())
            decoded.append((again / again.abs().max().clamp(min=1.0)).numpy())
    texts = [clip.captions[0] for clip in clips]
    both = [matrix(judge, sounds, texts, rate) for sounds in (real, decoded)]
    of_all = [int(own_is_best(of_kind).sum()) for of_kind in both]
    print(f"of {len(clips)} clips, real {of_all[0]}, after the autoencoder {of_all[1]}")  # noqa: T201
    places: list[int] = []
    for place in np.argsort(-both[1].diagonal()).tolist():
        tried = [*places, place]
        if all(own_is_best(of_kind[np.ix_(tried, tried)]).all() for of_kind in both):
            places = tried
        if len(places) == EIGHT:
            return [clips[place] for place in places]
    raise SystemExit(
        f"the judge recognises only {len(places)} clips after the autoencoder: train it for longer"
    )


def again_and_again(manifest: pa.Table, chosen: list[Clip]) -> pa.Table:
    """A training manifest of the chosen clips, each of which is there many times, and once to validate."""
    rows = {row["clip_id"]: row for row in manifest.to_pylist()}
    return TRAINING_MANIFEST.from_rows(
        [
            {
                **rows[clip.clip_id],
                "clip_id": f"{clip.clip_id}-{copy}",
                "other_captions": [],
                "split": "train" if copy else "validation",
            }
            for copy in range(COPIES + 1)
            for clip in chosen
        ]
    )


def learned(folder: Path, manifest: pa.Table, store: Store, autoencoder: Path, epochs: int) -> SoundMaker:
    """A latent diffusion model of the clips."""
    conditioned_by, latents = folder / "retrieval.safetensors", folder / "latents.safetensors"
    torch.manual_seed(SEED)
    save_checkpoint(conditioned_by, build_model(DEMO), DEMO)
    clips = [*clips_of(manifest, "train"), *clips_of(manifest, "validation")]
    make_latents(clips, AudioFiles(store), (autoencoder, conditioned_by), latents)
    settings = DEMO_GENERATION.model_copy(
        update={
            "model": TINY_GENERATOR.model_copy(update={"condition": Condition.TEXT}),
            "epochs": epochs,
            "batch_size": EIGHT,
            "ema_decay": 0.99,
        }
    )
    options = RunOptions(inputs=GenerationInputs(autoencoder, latents), progress=Curve())
    result = train(manifest, AudioFiles(store), settings, folder / "run", options)
    print(f"{result.parameters:,} parameters, {result.seconds:.0f} s")  # noqa: T201
    return SoundMaker(result.weights, conditioned_by)


def matrix(judge: Encoder, sounds: list[np.ndarray], texts: list[str], rate: int) -> np.ndarray:
    """Cosines of sounds and texts, (sounds, texts)."""
    vectors = np.stack([vector_of(judge, sound, rate) for sound in sounds])
    cosines: np.ndarray = vectors @ judge.captions(texts).T
    return cosines


def own_is_best(cosines: np.ndarray) -> np.ndarray:
    """Whether each sound is most similar to its own text: (sounds,)."""
    best_text: np.ndarray = cosines.argmax(axis=1) == np.arange(len(cosines))
    return best_text


if __name__ == "__main__":
    main()
