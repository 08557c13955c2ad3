"""What the web UI plots of the scores."""

from __future__ import annotations

from wavcaps_training.data import Clip
from wavcaps_training.defs.scores import score_metadata
from wavcaps_training.evaluation.retrieval import chance_rows
from wavcaps_training.tables import RETRIEVAL_SCORES


def test_the_scores_of_the_trained_model_are_numbers_by_metric_and_direction() -> None:
    trained = {
        ("text_to_audio", "R@1"): 10.0,
        ("text_to_audio", "R@5"): 25.5,
        ("text_to_audio", "R@10"): 40.0,
        ("audio_to_text", "R@1"): 12.0,
        ("audio_to_text", "R@5"): 30.0,
        ("audio_to_text", "R@10"): 45.25,
    }
    rows = [
        {"model": "trained", "direction": direction, "metric": metric, "value": value, "clips": 20}
        for (direction, metric), value in trained.items()
    ]
    rows.append({**rows[-1], "metric": "median rank", "value": 7.0, "low": 5.0, "high": 9.0})
    clips = [Clip(f"clip-{number}", ("Rain.",), "", 1.0) for number in range(20)]
    metadata = score_metadata(RETRIEVAL_SCORES.from_rows([*rows, *chance_rows(clips)]))
    assert {name: entry.value for name, entry in metadata.items()} == {
        "R@1, text to audio (%)": 10.0,
        "R@5, text to audio (%)": 25.5,
        "R@10, text to audio (%)": 40.0,
        "R@1, audio to text (%)": 12.0,
        "R@5, audio to text (%)": 30.0,
        "R@10, audio to text (%)": 45.25,
        "median rank, audio to text": 7.0,
        "median rank, audio to text, 95 % from": 5.0,
        "median rank, audio to text, 95 % to": 9.0,
    }
