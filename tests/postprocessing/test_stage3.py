from __future__ import annotations

from wavcaps_assets.postprocessing.rules import RULE_PRESETS
from wavcaps_assets.postprocessing.stage3 import postprocess
from wavcaps_assets.schemas import LLM_CAPTIONS


def test_each_caption_is_published_mended_or_set_aside_with_its_rule() -> None:
    captions = ["A dog is barking.", "a owl is hooting", "A dog can be heard. [1]"]
    table = LLM_CAPTIONS.from_rows(
        {
            "clip_id": f"freesound-{number}",
            "source": "freesound",
            "text": "raw",
            "caption": caption,
            "model": "m",
            "prompt_version": "v",
            "answer_id": None,
            "attempts": 1,
        }
        for number, caption in enumerate(captions)
    )
    stage = postprocess(table, RULE_PRESETS["paper"])
    assert [(row["clip_id"], row["caption"], row["repairs"]) for row in stage.kept.to_pylist()] == [
        ("freesound-0", "A dog is barking.", []),
        ("freesound-1", "An owl is hooting.", ["article", "capital", "full_stop"]),
    ]
    (dropped,) = stage.dropped.to_pylist()
    assert (dropped["clip_id"], dropped["reason"]) == ("freesound-2", "several_sentences")
    assert "banned_words (heard)" in dropped["detail"] and "markup ([)" in dropped["detail"]


def test_no_captions() -> None:
    stage = postprocess(LLM_CAPTIONS.empty(), RULE_PRESETS["paper"])
    assert (stage.kept.num_rows, stage.dropped.num_rows) == (0, 0)
