"""Eight clips, learned by heart: each generated sound is most similar to its own text, by another model.

    python -m benchmarks.eight_sounds STORE [EPOCHS]

STORE is the demo's, after `make demo` and `make demo-sound`: it has the retrieval model that judges
(`aisfx_minilm/demo`) and the autoencoder. The diffusion model is conditioned by the texts' vectors of a
retrieval model with fresh weights, so that the judge did not condition it. Without a store, nothing is
measured.

The eight are train clips whose real sound the judge finds most similar to their own captions, among the
eight, also after autoencoder and Griffin-Lim: what the codec makes unrecognisable, no model can make
recognisable. Of each clip, 2.56 seconds are used, which trains in minutes. The result is that of the first
seed; the others show how much it depends on the seed.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
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
    AUDIOLDM_CLIP,
    DEMO_GENERATION,
    TINY_GENERATOR,
    Condition,
    SamplingSettings,
)
from wavcaps_training.settings.training import DEMO
from wavcaps_training.training.train import RunOptions, train

EIGHT = 8
LOOKED_AT = 60
SECONDS = 2.56
# Each epoch has the eight clips this often, and so this many steps.
COPIES = 25
EPOCHS = 360
# A model that knows its clips by heart needs no guidance, which leads away from them.
GUIDANCE = 1.0
SEEDS = range(5)
SEED = 0


class Curve(NoProgress):
    """Prints the loss of each epoch."""

    def record(self, facts: Facts) -> None:
        print(f"epoch {facts['epoch']}: loss {facts['train_loss']:.4f}", flush=True)  # noqa: T201


@dataclass(frozen=True)
class Heard:
    """Train clips as the judge hears them.

    Attributes:
        clips: each with another caption.
        mels: (clips, frames, mel bins), of the real sound.
        cosines: of sounds and captions, (clips, clips), for each stage: real, Griffin-Lim of the real
            spectrogram, and after the autoencoder.
    """

    clips: list[Clip]
    mels: np.ndarray
    cosines: dict[str, np.ndarray]


def main() -> None:
    if len(sys.argv) < 2:
        print("no store is named: nothing is measured")  # noqa: T201
        return
    tables = TableStore(Store(Path(sys.argv[1])))
    epochs = int(sys.argv[2]) if len(sys.argv) > 2 else EPOCHS
    trained, judge_weights = (
        Path(sys.argv[1]) / tables.read(["checkpoint", *name.split("/")], [WHOLE])["weights_path"][0].as_py()
        for name in ("autoencoder/demo", "aisfx_minilm/demo")
    )
    judge = Encoder(judge_weights)
    manifest, audio = tables.read(["training_manifest"]), AudioFiles(tables.store)
    with tempfile.TemporaryDirectory() as name:
        autoencoder = shorter(trained, Path(name) / "autoencoder.safetensors")
        heard = listened(manifest, audio, autoencoder, judge)
        chosen = recognisable(heard)
        clips = [heard.clips[place] for place in chosen]
        captions = [clip.captions[0] for clip in clips]
        maker = learned(Path(name), again_and_again(manifest, clips), tables.store, autoencoder, epochs)
        counts = [
            judged(
                maker,
                captions,
                heard.mels[chosen],
                judge,
                SamplingSettings(candidates=1, guidance=GUIDANCE, seed=seed),
            )
            for seed in SEEDS
        ]
    print(f"with the seeds {list(SEEDS)}: {counts} of {EIGHT}")  # noqa: T201
    report("eight_sounds", counts[0], "sounds most similar to their own text", "all", EIGHT, own_peak_mb())
    if counts[0] < EIGHT:
        raise SystemExit(f"only {counts[0]} of the {EIGHT} sounds are most similar to their own text")


def shorter(trained: Path, target: Path) -> Path:
    """The demo's autoencoder for shorter clips."""
    model, settings = load_checkpoint(trained, task="autoencoder")
    clip = settings.clip.model_copy(update={"seconds": SECONDS})
    save_checkpoint(target, model, settings.model_copy(update={"clip": clip}))
    return target


@torch.no_grad()
def listened(manifest: pa.Table, audio: AudioFiles, autoencoder: Path, judge: Encoder) -> Heard:
    """Train clips with different captions, and what the judge makes of them."""
    model, settings = load_checkpoint(autoencoder, task="autoencoder")
    clips = list({clip.recording: clip for clip in clips_of(manifest, "train")}.values())
    order = np.random.default_rng(SEED).permutation(len(clips))[:LOOKED_AT]
    clips = list({clips[place].captions[0]: clips[place] for place in order.tolist()}.values())
    rate = settings.front_end.sample_rate
    real = torch.stack(
        [normalised(torch.from_numpy(read_crop(clip, audio, settings.clip, rate, 0.5))) for clip in clips]
    )
    mels = model.log_mel(real)
    decoded = torch.cat([model.decode(model.moments(mel)[0]) for mel in mels.split(1)])
    texts = [clip.captions[0] for clip in clips]
    stages = {"real": real, "after Griffin-Lim": model.waveform(mels)}
    stages["after the autoencoder and Griffin-Lim"] = model.waveform(decoded)
    cosines = {}
    for name, sounds in stages.items():
        loudest = sounds.abs().amax(1, keepdim=True).clamp(min=1.0)
        cosines[name] = matrix(judge, list((sounds / loudest).numpy()), texts, rate)
        right = int(own_is_best(cosines[name]).sum())
        print(f"{name}: the judge finds the text of {right} of {len(clips)} clips", flush=True)  # noqa: T201
    return Heard(clips, mels[:, 0].numpy(), cosines)


def recognisable(heard: Heard) -> list[int]:
    """The places of eight clips that the judge recognises among each other, at every stage."""
    places: list[int] = []
    # Those first whose own text stands out most after the autoencoder.
    last = list(heard.cosines.values())[-1]
    for place in np.argsort(-last.diagonal()).tolist():
        tried = [*places, place]
        if all(own_is_best(cosines[np.ix_(tried, tried)]).all() for cosines in heard.cosines.values()):
            places = tried
        if len(places) == EIGHT:
            return places
    raise SystemExit(
        f"the judge recognises only {len(places)} clips after the autoencoder: train it for longer"
    )


def judged(
    maker: SoundMaker, captions: list[str], mels: np.ndarray, judge: Encoder, settings: SamplingSettings
) -> int:
    """How many of the generated sounds the judge finds most similar to their own texts.

    It also prints, without the judge, for how many the own clip has the most similar spectrogram.
    """
    made = [sound.samples for sound in best(maker.candidates(captions, settings))]
    found = matrix(judge, made, captions, maker.sample_rate)
    right = own_is_best(found)
    with torch.no_grad():
        generated = maker.model.autoencoder.log_mel(torch.from_numpy(np.stack(made)).float())[:, 0].numpy()
    # Of the spectrograms' shapes: a generated sound has another loudness.
    centred = [one - one.mean((1, 2), keepdims=True) for one in (generated, mels)]
    far = np.abs(centred[0][:, None] - centred[1][None]).mean((2, 3))
    nearest = int(own_is_best(-far).sum())
    print(f"seed {settings.seed}: {int(right.sum())} by the judge, {nearest} by the spectrogram")  # noqa: T201
    for caption, row, distances, is_right in zip(captions, found, far, right, strict=True):
        own = captions.index(caption)
        print(  # noqa: T201
            f"  {'yes' if is_right else 'no ':3} cosine {row[own]:.2f}, best other "
            f"{np.delete(row, own).max():.2f}; spectrogram {distances[own]:.2f} from its own, "
            f"{np.delete(distances, own).min():.2f} from the nearest other: {caption}",
            flush=True,
        )
    return int(right.sum())


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
            "clip": AUDIOLDM_CLIP.model_copy(update={"seconds": SECONDS}),
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
