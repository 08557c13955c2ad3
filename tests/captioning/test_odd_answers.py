"""Answers in forms that nobody asked for: read where they are certain, and otherwise asked for again."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from tests.captioning.test_engine import LISTED, SINGLE, captions, clips, items, run
from tests.llm.scripted_model import asked, completion, scripted
from wavcaps_assets.captioning.parsing import parse_single
from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger
from wavcaps_assets.llm.records import LOST
from wavcaps_assets.store.storage import Store

OWN = {
    "dog barks in a yard": "A dog is barking in a yard.",
    "church bell at noon": "A church bell is ringing.",
    "heavy rain on a roof": "Heavy rain is falling on a roof.",
    "old car engine starting": "A car engine is starting.",
    "children laughing outside": "Children are laughing outside.",
    "wooden door creaks": "A wooden door is creaking.",
    "small fire crackling": "A fire is crackling.",
    "helicopter flying past": "A helicopter is flying past.",
}
TEXTS = list(OWN)
RIGHT = {f"freesound-{number}": caption for number, caption in enumerate(OWN.values(), 1)}
Body = dict[str, Any]


def own(body: Body) -> list[str]:
    return [OWN[text] for text in items(body)]


def numbered(body: Body) -> str:
    return "\n".join(f"{index}. {caption}" for index, caption in enumerate(own(body), 1))


def by_index(body: Body, key: str = "{}", first: int = 1) -> dict[str, str]:
    return {key.format(index): caption for index, caption in enumerate(own(body), first)}


def stream(text: str, ends: bool = True) -> Response:
    """The events of a stream, as vLLM sends them."""
    pieces = [{"content": text[at : at + 9]} for at in range(0, len(text), 9)]
    events: list[Any] = [
        {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": piece, "finish_reason": None}]}
        for piece in pieces
    ]
    if ends:
        events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        events.append({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5}})
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    return Response("".join([": wait\n\n", *lines, "data: [DONE]\n\n"]), media_type="text/event-stream")


def choice(**fields: Any) -> Response:
    return JSONResponse({"choices": [{"index": 0, "finish_reason": "stop", **fields}]})


CERTAIN: dict[str, Callable[[Body], str | Response]] = {
    "an array": lambda body: json.dumps(own(body)),
    "an array after prose": lambda body: (
        f"The captions [as JSON]:\n```json\n{json.dumps(own(body))}\n```\nBye!"
    ),
    "an array in an object": lambda body: json.dumps({"captions": own(body)}),
    "by index in an object": lambda body: json.dumps({"results": by_index(body)}),
    "by index from 0": lambda body: json.dumps(by_index(body, first=0)),
    "numbered keys": lambda body: json.dumps(by_index(body, key="caption_{}")),
    "an object each": lambda body: json.dumps([{key: value} for key, value in by_index(body).items()]),
    "texts and captions": lambda body: json.dumps([{"text": t, "caption": OWN[t]} for t in items(body)]),
    "another name": lambda body: json.dumps(
        [{"index": i, "text": t, "audio_caption": OWN[t]} for i, t in enumerate(items(body), 1)]
    ),
    "texts as keys": lambda body: json.dumps({text: OWN[text] for text in items(body)}),
    "a stream": lambda body: stream(numbered(body)),
    "a piece of a stream": lambda body: choice(delta={"content": numbered(body)}),
    "a text": lambda body: choice(text=numbered(body)),
    "parts": lambda body: completion(
        [{"type": "reasoning", "text": "1. Hm.\n2. Hm."}, {"type": "text", "text": numbered(body)}]
    ),
    "strings as parts": lambda body: completion([numbered(body)]),
    "no error": lambda body: JSONResponse(
        {
            "error": {"code": 0, "message": "success"},
            "choices": [{"message": {"content": numbered(body)}, "finish_reason": "stop"}],
        }
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("written", CERTAIN.values(), ids=CERTAIN)
def test_what_is_certain_is_read_and_asked_for_once(
    written: Callable[[Body], str | Response], tmp_path: Path
) -> None:
    with scripted(written) as endpoint:
        stage = run(clips(*TEXTS), LISTED, endpoint.model(), tmp_path)
        assert captions(stage) == RIGHT
        assert len(endpoint.requests) == 1


def shifted(found: list[Any]) -> list[Any]:
    return [*found[1:], found[0]]


UNCERTAIN: dict[str, Callable[[list[str]], Any]] = {
    "shifted": lambda texts: shifted([OWN[text] for text in texts]),
    "one short": lambda texts: [OWN[text] for text in texts[1:]],
    "one too many": lambda texts: [*(OWN[text] for text in texts), "A cat is meowing."],
    "other texts": lambda texts: [
        {"text": t, "caption": OWN[o]} for t, o in zip(shifted(texts), texts, strict=True)
    ],
    "texts as keys, shifted": lambda texts: dict(
        zip(texts, shifted([OWN[text] for text in texts]), strict=True)
    ),
    "from 0, shifted": lambda texts: {
        str(index): OWN[text] for index, text in enumerate(shifted(list(texts)))
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("wrong", UNCERTAIN.values(), ids=UNCERTAIN)
def test_an_array_that_does_not_fit_is_asked_for_again(
    wrong: Callable[[list[str]], Any], tmp_path: Path
) -> None:
    def script(body: Body) -> str:
        texts = items(body)
        return json.dumps(wrong(texts)) if len(texts) > 1 else json.dumps(own(body))

    with scripted(script) as endpoint:
        assert captions(run(clips(*TEXTS), LISTED, endpoint.model(), tmp_path)) == RIGHT
        assert sorted(len(items(body)) for body in endpoint.requests) == [1] * 8 + [4, 4, 8]


def test_an_index_that_is_there_twice_is_not_believed(tmp_path: Path) -> None:
    def script(body: Body) -> str:
        pairs = (f'"{min(index, 3)}": {json.dumps(caption)}' for index, caption in enumerate(own(body), 1))
        return "{" + ", ".join(pairs) + "}"

    with scripted(script) as endpoint:
        assert captions(run(clips(*TEXTS), LISTED, endpoint.model(), tmp_path)) == RIGHT
        assert len(endpoint.requests) > 1


def test_a_table_that_repeats_the_texts_is_tested_too(tmp_path: Path) -> None:
    def script(body: Body) -> str:
        texts = items(body)
        said = own(body) if len(texts) == 1 else shifted(own(body))
        rows = enumerate(zip(texts, said, strict=True), 1)
        return "\n".join(f"| {index} | {text} | {caption} |" for index, (text, caption) in rows)

    with scripted(script) as endpoint:
        assert captions(run(clips(*TEXTS), LISTED, endpoint.model(), tmp_path)) == RIGHT


@pytest.mark.parametrize(
    "answer",
    [
        '["A dog is barking."]',
        '{"caption": "A dog is barking."}',
        '```json\n{"1": "A dog is barking."}\n```',
        '{"dog": "A dog is barking."}',
    ],
)
def test_a_single_answer_in_json_is_its_caption(answer: str) -> None:
    assert parse_single(answer).caption == "A dog is barking."


def test_a_single_answer_in_json_that_is_unclear_is_no_caption() -> None:
    for answer in ('["A dog.", "A cat."]', '{"a": 1}', '{"caption": "A dog.", "caption": "A cat."}', '["A'):
        assert parse_single(answer).caption is None


OUTAGES: dict[str, Any] = {
    "vLLM": {"object": "error", "message": "overloaded", "type": "ServiceUnavailable", "code": 503},
    "a list of errors": {"errors": [{"message": "upstream failed"}]},
    "a detail": {"detail": "Internal error"},
    "a code": {"code": 50001, "message": "busy"},
    "Baidu": {"error_code": 336100, "error_msg": "server is busy"},
    "an error next to a text": {
        "error": {"message": "connection reset", "code": 502},
        "choices": [{"message": {"content": "A dog is"}, "finish_reason": "stop"}],
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
def test_an_error_with_status_200_is_tried_again(outage: Any, tmp_path: Path) -> None:
    left = [JSONResponse(outage)]

    def script(body: Body) -> str | Response:
        return left.pop() if left else OWN[asked(body)]

    once = SINGLE.model_copy(update={"max_attempts": 1})
    with scripted(script) as endpoint:
        stage = run(clips(TEXTS[0]), once, endpoint.model(max_retries=1), tmp_path)
    assert list(captions(stage).values()) == [OWN[TEXTS[0]]]


def test_an_answer_of_another_protocol_is_no_error_and_counts(tmp_path: Path) -> None:
    """As Ollama's own API answers: the model has worked, so that a retry would be paid for again."""
    foreign = JSONResponse(
        {"model": "m", "message": {"role": "assistant", "content": "A dog."}, "done": True}
    )
    once = SINGLE.model_copy(update={"max_attempts": 1})
    with scripted(lambda body: foreign) as endpoint:
        stage = run(clips(TEXTS[0]), once, endpoint.model(max_retries=4), tmp_path)
        assert len(endpoint.requests) == 1
    assert "no_choice" in stage.dropped.to_pylist()[0]["detail"]


def test_a_filter_with_status_200_is_that_texts_result(tmp_path: Path) -> None:
    refused = JSONResponse({"error": {"code": "content_filter", "message": "filtered"}})
    once = SINGLE.model_copy(update={"max_attempts": 1})
    with scripted(lambda body: refused) as endpoint:
        stage = run(clips(TEXTS[0]), once, endpoint.model(max_retries=4), tmp_path)
        assert len(endpoint.requests) == 1
    assert "filter" in stage.dropped.to_pylist()[0]["detail"]


def test_a_stream_that_breaks_off_is_no_answer(tmp_path: Path) -> None:
    once = SINGLE.model_copy(update={"max_attempts": 1})
    with scripted(lambda body: stream(OWN[asked(body)], ends=False)) as endpoint:
        stage = run(clips(TEXTS[0]), once, endpoint.model(), tmp_path)
    assert "breaks off" in stage.dropped.to_pylist()[0]["detail"]
    with ResponseLedger(Store(tmp_path), ANSWERS) as ledger:
        assert [record["answer"]["finish_reason"] for record in ledger.records()] == [LOST]
