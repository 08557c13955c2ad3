"""Faults of today's endpoints: filters, outages with status 200, refused parameters, missing token counts."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from tests.captioning.test_engine import SINGLE, captions, clips, reasons, run
from tests.llm.scripted_model import Access, asked, completion, scripted
from tests.support.paths import SHARED
from wavcaps_assets.llm.chat import EndpointError
from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger
from wavcaps_assets.llm.records import LOST
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.store.storage import Store

ONCE = SINGLE.model_copy(update={"max_attempts": 1, "concurrency": 1})
MANY = clips(*(f"dog {number}" for number in range(60)))
# As Azure OpenAI sends it: https://learn.microsoft.com/azure/ai-services/openai/concepts/content-filter
AZURE = {
    "error": {
        "message": "The response was filtered due to the prompt triggering Azure OpenAI's content management "
        "policy. Please modify your prompt and retry.",
        "type": None,
        "param": "prompt",
        "code": "content_filter",
        "status": 400,
        "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
    }
}


def caption_of(body: dict[str, Any]) -> str:
    return f"A {asked(body).partition(' ')[0]} is barking."


def in_ledger(folder: Path) -> list[str]:
    with ResponseLedger(Store(folder), ANSWERS) as ledger:
        return [record["answer"]["finish_reason"] for record in ledger.records()]


def test_a_text_that_a_filter_refuses_is_that_texts_result(tmp_path: Path) -> None:
    def script(body: dict[str, Any]) -> str | Response:
        return JSONResponse(AZURE, 400) if int(asked(body)[4:]) < 30 else caption_of(body)

    with scripted(script) as endpoint:
        # 30 in a row, before any answer.
        stage = run(MANY, ONCE, endpoint.model(), tmp_path)
        assert stage.kept.num_rows == 30
        assert set(reasons(stage).values()) == {"unusable_answer"}
        sent = len(endpoint.requests)
        assert run(MANY, ONCE, endpoint.model(), tmp_path).kept.num_rows == 30
        assert len(endpoint.requests) == sent


def test_requests_that_are_refused_for_their_content_do_not_end_a_run_that_works(tmp_path: Path) -> None:
    too_long = {"error": {"message": "maximum context length", "code": "context_length_exceeded"}}

    def script(body: dict[str, Any]) -> str | Response:
        return caption_of(body) if asked(body) == "dog 0" else JSONResponse(too_long, 400)

    with scripted(script) as endpoint:
        stage = run(MANY, ONCE, endpoint.model(), tmp_path)
    assert captions(stage) == {"freesound-1": "A dog is barking."}
    assert "context length" in stage.dropped.to_pylist()[0]["detail"]


def test_an_endpoint_that_refuses_everything_ends_the_run(tmp_path: Path) -> None:
    with scripted(lambda body: 400) as endpoint, pytest.raises(EndpointError, match="20 requests in a row"):
        run(MANY, ONCE, endpoint.model(), tmp_path)


OUTAGES: dict[str, Callable[[], Response]] = {
    "an error": lambda: JSONResponse({"error": {"message": "upstream is down"}}),
    "an error with a code": lambda: JSONResponse({"error": {"message": "bad gateway", "code": 502}}),
    "an error as text": lambda: JSONResponse({"error": "upstream is down"}),
    "a choice that is an error": lambda: completion("", "error", error={"code": 502}),
    "half an answer and an error": lambda: completion("A dog is", "error"),
    "nothing": lambda: completion("", "stop"),
    "white space": lambda: completion(" \n", "stop"),
    "no choice": lambda: JSONResponse({"choices": []}),
    "a page": lambda: Response("<html>We will be back soon</html>", media_type="text/html"),
}


@pytest.mark.slow
@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
def test_an_outage_with_status_200_ends_the_run_and_is_no_answer(
    outage: Callable[[], Response], tmp_path: Path
) -> None:
    with scripted(lambda body: outage()) as endpoint, pytest.raises(EndpointError, match="requests in a row"):
        run(MANY, ONCE, endpoint.model(), tmp_path)
    assert set(in_ledger(tmp_path)) <= {LOST}
    with scripted(caption_of) as endpoint:
        assert run(MANY, ONCE, endpoint.model(), tmp_path).kept.num_rows == 60


@pytest.mark.slow
def test_a_short_outage_with_status_200_costs_no_caption(tmp_path: Path) -> None:
    case = SHARED / "cases/answers/error_with_status_200.json"
    body = {"error": {"message": "Provider returned error", "code": 502}, "user_id": "u"}
    if case.is_file():
        body = json.loads(case.read_text(encoding="utf-8"))["message"]
    left = [JSONResponse(body)] * 3

    with scripted(lambda asked_of: left.pop() if left else caption_of(asked_of)) as endpoint:
        stage = run(clips("dog 1"), ONCE, endpoint.model(max_retries=4), tmp_path)
    assert captions(stage) == {"freesound-1": "A dog is barking."}


@pytest.mark.parametrize("code", [429, "429"])
def test_a_rate_limit_with_status_200_is_a_rate_limit(tmp_path: Path, code: int | str) -> None:
    busy = JSONResponse({"error": {"message": "slow down", "code": code}}, headers={"retry-after-ms": "1"})
    left = [busy] * 6

    with scripted(lambda body: left.pop() if left else caption_of(body)) as endpoint:
        # More refusals than retries: they are not faults.
        stage = run(clips("dog 1"), ONCE, endpoint.model(max_retries=0), tmp_path)
    assert captions(stage) == {"freesound-1": "A dog is barking."}
    assert in_ledger(tmp_path) == ["stop"]


REFUSED_PARAMETERS = {
    # As OpenAI sends it for its reasoning models.
    "OpenAI": (
        400,
        {
            "error": {
                "message": "Unsupported parameter: 'max_tokens' is not supported with this model. "
                "Use 'max_completion_tokens' instead.",
                "type": "invalid_request_error",
                "param": "max_tokens",
                "code": "unsupported_parameter",
            }
        },
        "max_tokens",
    ),
    "FastAPI": (
        422,
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs"}]},
        "seed",
    ),
}


@pytest.mark.parametrize(("status", "body", "name"), REFUSED_PARAMETERS.values(), ids=REFUSED_PARAMETERS)
def test_a_refused_parameter_is_named_at_the_first_request(
    status: int, body: dict[str, Any], name: str, tmp_path: Path
) -> None:
    with scripted(lambda _: JSONResponse(body, status)) as endpoint:
        with pytest.raises(EndpointError, match=f"refuses the parameter '{name}'"):
            run(MANY, ONCE, endpoint.model(), tmp_path)
        # Each of the two workers may have sent one.
        assert len(endpoint.requests) <= 2


def test_a_reasoning_model_of_openai_gets_the_parameters_that_it_takes(tmp_path: Path) -> None:
    status, body, _ = REFUSED_PARAMETERS["OpenAI"]

    def script(asked_of: dict[str, Any]) -> str | Response:
        refused = {"max_tokens", "temperature", "seed"} & asked_of.keys()
        return JSONResponse(body, status) if refused else caption_of(asked_of)

    with scripted(script) as endpoint:
        access = endpoint.model()
        settings = access.settings.model_copy(update={"family": "openai_reasoning"})
        stage = run(clips("dog 1"), ONCE, replace(access, settings=settings), tmp_path)
    assert captions(stage) == {"freesound-1": "A dog is barking."}
    (sent,) = endpoint.requests
    # The caption's tokens, and room for the reasoning that counts as a part of the answer.
    assert sent["max_completion_tokens"] == ONCE.max_tokens + 2000
    assert sent["reasoning_effort"] == "low"


def test_own_parameters_are_added_replaced_and_left_out_and_decide_the_request(tmp_path: Path) -> None:
    with scripted(caption_of) as endpoint:
        access = endpoint.model()
        for parameters in (
            {},
            {"seed": None, "temperature": 0.3, "top_k": 1},
            {"seed": None, "top_k": 1},
            {},
        ):
            settings = access.settings.model_copy(update={"parameters": parameters})
            run(clips("dog 1"), ONCE, replace(access, settings=settings), tmp_path)
    plain, changed, other = endpoint.requests
    assert "seed" in plain and "top_k" not in plain
    assert ("seed" in changed, changed["temperature"], changed["top_k"]) == (False, 0.3, 1)
    assert other["temperature"] == plain["temperature"]


def test_a_family_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(ValueError, match="there are openai_reasoning, qwen3"):
        ModelSettings(family="gpt9")
    with pytest.raises(ValueError, match="messages cannot be set here"):
        ModelSettings(parameters={"messages": []})


def test_a_count_of_zero_next_to_a_text_is_no_count(tmp_path: Path) -> None:
    def script(body: dict[str, Any]) -> Response:
        answer = json.loads(bytes(completion(caption_of(body)).body))
        answer["usage"] = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        return JSONResponse(answer)

    with scripted(script) as endpoint:
        access: Access = endpoint.model()
        assert run(clips("dog 1"), ONCE, access, tmp_path).kept.num_rows == 1
    with ResponseLedger(Store(tmp_path), ANSWERS) as ledger:
        (record,) = ledger.records()
    assert (record["answer"]["prompt_tokens"], record["answer"]["completion_tokens"]) == (None, None)
