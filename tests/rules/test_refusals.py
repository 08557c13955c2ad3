"""Refusals as models word them; and the captions of three data sets, which are none."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.support.paths import DATA
from wavcaps_assets.rules.judging import Candidate, judge
from wavcaps_assets.rules.refusals import is_refusal
from wavcaps_assets.rules.rule import Verdict
from wavcaps_assets.rules.settings import RULE_PRESETS

RELEASED = DATA / "wavcaps" / "sb_final.json"
WRITTEN = [*sorted((DATA / "clotho").glob("*.csv")), *sorted((DATA / "audiocaps").glob("*.csv"))]

REFUSALS = """
I'm sorry, but I can't assist with that.
I am unable to process audio.
I’m really sorry, I cannot hear it.
As an AI language model, I have no ears.
Sorry, this is not possible.
My apologies. There is no text.
Unfortunately, I cannot.
**I can't help with that**
i cant help with that
This content violates our usage policies.
We cannot assist with that request.
I am not comfortable describing this.
This request has been declined for safety reasons.
Your request was rejected as a result of our safety system.
This prompt may violate our content policy.
Request denied.
[Content blocked]
The response was filtered due to the prompt triggering content management.
The description contains explicit content.
This text is inappropriate and cannot be described.
It is not appropriate to describe this.
No caption can be generated.
Please provide the description of the sound.
Could you please provide more details?
Cannot comply with this request.
Unable to generate a caption for this text.
I must decline.
I'd rather not describe this.
I have been instructed not to describe violence.
I was designed to avoid such topics.
Describing this would go against community guidelines.
Describing violence is not allowed.
Our systems have flagged this as unsafe.
This falls under prohibited content.
This description is not related to sound.
The model declined to answer.
Content not allowed.
""".strip().splitlines()
CAPTIONS = """
A dog is barking.
An ice cream van is playing.
Someone says sorry.
I
A text to speech voice is filtered.
The input signal is being filtered.
The contents of a box are being emptied.
An AI assistant is speaking.
A model train is moving on its track.
Someone is reading a policy aloud.
A man is speaking against the government.
It is raining.
This is a test tone.
A blocked drain is gurgling.
As a large vehicle comes to a stop, the brakes squeal loudly.
The assistant is typing on a keyboard.
""".strip().splitlines()


@pytest.mark.parametrize("answer", REFUSALS)
def test_refusals_are_understood(answer: str) -> None:
    assert is_refusal(answer)


@pytest.mark.parametrize("answer", CAPTIONS)
def test_captions_are_no_refusals(answer: str) -> None:
    assert not is_refusal(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "Lo siento, pero no puedo ayudarte con esa solicitud.",
        "Es tut mir leid, aber dabei kann ich nicht helfen.",
        "Je suis désolé, mais je ne peux pas répondre à cette demande.",
        "对不起。我无法协助。",
        "申し訳ありませんが、お手伝いできません。",
    ],
)
def test_stage_3_publishes_no_refusal_in_another_language(answer: str) -> None:
    (judged,) = judge([Candidate(answer, "dog")], RULE_PRESETS["paper"])
    assert not judged.accepted
    assert "foreign_language" in {finding.rule for finding in judged.findings}


def test_stage_3_publishes_no_refusal() -> None:
    judged = judge([Candidate(refusal, "dog") for refusal in REFUSALS], RULE_PRESETS["paper"])
    assert {one.verdict for one in judged} == {Verdict.DROP}


@pytest.mark.skipif(
    not RELEASED.is_file(), reason="needs the released SoundBible captions next to the checkout"
)
def test_no_released_caption_is_called_a_refusal() -> None:
    captions = [row["caption"] for row in json.loads(RELEASED.read_text(encoding="utf-8"))["data"]]
    assert len(captions) == 900
    assert [caption for caption in captions if is_refusal(caption)] == []


@pytest.mark.skipif(not WRITTEN, reason="needs the captions of Clotho and AudioCaps next to the checkout")
@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_no_caption_that_a_person_wrote_is_called_a_refusal(path: Path) -> None:
    with path.open(encoding="utf-8", newline="") as lines:
        captions = [row[name] for row in csv.DictReader(lines) for name in row if name.startswith("caption")]
    assert len(captions) > 1000
    assert [caption for caption in captions if is_refusal(caption)] == []
