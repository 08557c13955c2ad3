"""Whether a score is the like of a figure of the paper: the same experiment, benchmark and protocol."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from wavcaps_training.paper.cells import Wanted
from wavcaps_training.paper.experiments import EXPERIMENTS, Experiment
from wavcaps_training.paper.models import Preset, Stage
from wavcaps_training.paper.released import ReleasedModel
from wavcaps_training.paper.stored_scores import StoredScores

# The paper's figures were probably made by the released code, whose crops are as random as the paper's.
PROTOCOLS = ("paper", "released")
# Copies of AudioCaps lack some clips, the paper's too: it scored 957 of 975.
LEAST_SHARE = 0.95
WHOLE = ("all", "overall")
# Settings that do not change what is trained, or name what `missing_weights` looks at.
NO_DIFFERENCE = frozenset(
    {
        "audio_weights",
        "autoencoder_sha256",
        "cache_log_mel",
        "compile",
        "conditioned_by_sha256",
        "folder",
        "keep_every_steps",
        "loader_workers",
        "max_unreadable_share",
        "micro_batch_size",
        "precision",
        "save_every_steps",
        "seed",
    }
)
SHOWN = 4


@dataclass(frozen=True)
class Match:
    """A score next to a figure.

    Attributes:
        row: of the table of scores.
        unlike: why it cannot be compared with the figure; empty: it can.
        said: what to know of it.
    """

    row: Mapping[str, Any]
    unlike: tuple[str, ...]
    said: tuple[str, ...]


def match(wanted: Wanted, scores: StoredScores) -> Match | str:
    """The score of a table that is wanted, or why the table has none.

    If the table has the score under several protocols, the paper's is taken first.
    """
    rows = [row for row in scores.trained if _is_wanted(wanted, row)]
    measured = [row for row in rows if row["value"] is not None]
    if not measured:
        why = next((row["note"] for row in rows if row.get("note")), "")
        return why or f"not measured: {'/'.join(scores.key)} has no {wanted.metrics[0]}"
    row = min(measured, key=lambda row: _place(row["protocol_name"], PROTOCOLS))
    unlike = [*_unlike_protocol(row), *_unlike_clips(row), *_unlike_training(wanted.experiment, scores)]
    if scores.stale:
        unlike.append(scores.stale)
    unlike += _unlike_data(wanted, row)
    return Match(row, tuple(unlike), tuple(_said(row, scores)))


def _is_wanted(wanted: Wanted, row: Mapping[str, Any]) -> bool:
    return (
        row["metric"] in wanted.metrics
        and (row.get("direction") or "") == wanted.direction
        and row.get("scope", WHOLE[0]) in WHOLE
    )


def _place(name: str | None, order: tuple[str, ...]) -> int:
    return order.index(name) if name in order else len(order)


def _unlike_protocol(row: Mapping[str, Any]) -> Iterator[str]:
    name = row["protocol_name"]
    if name not in PROTOCOLS:
        yield f"Another protocol: {name or 'without a name'}."


def _unlike_clips(row: Mapping[str, Any]) -> Iterator[str]:
    official = row.get("official_clips")
    if official and row["clips"] < LEAST_SHARE * official:
        yield f"Only {row['clips']:,} of the benchmark's {official:,} clips; the fewer, the easier."
    classes, official_classes = row.get("classes"), row.get("official_classes")
    if classes and official_classes and classes < official_classes:
        yield f"Only {classes:,} of the benchmark's {official_classes:,} classes; the fewer, the easier."


def _unlike_data(wanted: Wanted, row: Mapping[str, Any]) -> Iterator[str]:
    """Whether it was trained on the benchmark's train split if and only if the paper's model was."""
    stage = wanted.experiment.stage
    expected = wanted.task != "classification" and stage is not Stage.ZERO_SHOT
    trained_on = row["trained_on_benchmark"]
    if trained_on is None:
        yield "It is not known whether it was trained on this benchmark."
    elif trained_on is not expected:
        yield f"The paper's was {'' if expected else 'not '}trained on this benchmark's train split."
    if row.get("scored_clips_trained_on"):
        yield f"It was trained on {row['scored_clips_trained_on']:,} of the scored clips."


def _unlike_training(experiment: Experiment | ReleasedModel, scores: StoredScores) -> Iterator[str]:
    if isinstance(experiment, ReleasedModel):
        return
    trainings = [("Not trained as the paper's", experiment, scores.checkpoint)]
    if experiment.start_key is not None:
        start = next(one for one in EXPERIMENTS if one.key == experiment.start_key)
        trainings.append(("Its start was not trained as the paper's", start, scores.start))
    for what, one, checkpoint in trainings:
        if checkpoint is None:
            yield f"checkpoint/{one.name} is not there any more, so its settings are not known."
            continue
        different = differences_from_paper(one, checkpoint["settings_json"])
        if different:
            more = f", and {len(different) - SHOWN} more" if len(different) > SHOWN else ""
            yield f"{what}: {'; '.join(different[:SHOWN])}{more}."


def differences_from_paper(experiment: Experiment, settings_json: str) -> list[str]:
    """What a training has other than both presets of its experiment: the paper's and the released code's.

    Args:
        settings_json: all settings of the training.
    """
    presets = [experiment.settings(preset) for preset in Preset]
    try:
        settings = type(presets[0]).model_validate_json(settings_json)
    except ValidationError:
        return ["its settings are of another version and cannot be read"]
    fewest = min(
        (list(_differences(settings.model_dump(), preset.model_dump(), "")) for preset in presets), key=len
    )
    # A fine-tuned model starts from a checkpoint, whose own start matters.
    return fewest if experiment.starts_from else [*fewest, *settings.missing_weights]


def _differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name in ours.keys() - NO_DIFFERENCE:
        one, other = ours[name], theirs.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from _differences(one, other, f"{prefix}{name}.")
        elif one != other:
            yield f"{prefix}{name} is {one}, not {other}"


def _said(row: Mapping[str, Any], scores: StoredScores) -> Iterator[str]:
    if row["trained_on_benchmark"] is not None:
        answer = "yes" if row["trained_on_benchmark"] else "no"
        yield f"Trained on this benchmark's train split: {answer}."
    official = row.get("official_clips")
    if official and row["clips"] < official:
        yield f"{row['clips']:,} of the benchmark's {official:,} clips."
    elif not official:
        yield f"{row['clips']:,} clips; how many the benchmark has is not known."
    # Of released weights it is not known.
    if scores.checkpoint is not None and scores.checkpoint["train_clips"]:
        yield f"Trained on {scores.checkpoint['train_clips']:,} clips."
    yield f"Protocol: {row['protocol_name']}."
