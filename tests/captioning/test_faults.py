"""Whatever an endpoint answers, a clip gets its own caption or is dropped with a reason."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.responses import JSONResponse, Response

from tests.captioning.test_engine import LISTED, SINGLE, captions, clips, items, reasons, run
from tests.llm.scripted_model import MODEL, Access, Followed, asked, completion, scripted
from tests.support.rude_server import Answer as RudeAnswer
from tests.support.rude_server import answer, in_turn, rude_server
from wavcaps_assets.captioning.engine import caption_clips
from wavcaps_assets.captioning.prompts import Form
from wavcaps_assets.llm import session as llm_session
from wavcaps_assets.llm.budget import Budget, Reservation
from wavcaps_assets.llm.chat import EndpointError
from wavcaps_assets.llm.records import Answer
from wavcaps_assets.llm.settings import ModelSettings

ANIMALS = ("dog", "cat", "cow", "pig", "hen", "owl", "bee", "frog")
OWN = {f"freesound-{number}": f"A {animal} is calling." for number, animal in enumerate(ANIMALS, 1)}


def own_list(body: dict[str, Any]) -> str:
    return "\n".join(f"{i}. A {text} is calling." for i, text in enumerate(items(body), 1))


def wrong_while_many(wrong: Callable[[list[str]], str]) -> Callable[[dict[str, Any]], str]:
    """Answers lists wrongly, and single texts well."""
    return lambda body: wrong(items(body)) if len(items(body)) > 1 else own_list(body)


def lines(texts: list[str]) -> list[str]:
    return [f"{i}. A {text} is calling." for i, text in enumerate(texts, 1)]


WRONG_LISTS: dict[str, Callable[[list[str]], str]] = {
    "from zero": lambda texts: "\n".join(f"{i}. A {text} is calling." for i, text in enumerate(texts)),
    "from a hundred": lambda texts: "\n".join(
        f"{i}. A {text} is calling." for i, text in enumerate(texts, 100)
    ),
    "backwards under the wrong index": lambda texts: "\n".join(
        f"{i}. A {text} is calling." for i, text in enumerate(reversed(texts), 2)
    ),
    "the first left out, the rest moved up": lambda texts: "\n".join(lines(texts[1:])),
    "two under one index, the rest moved up": lambda texts: "\n".join(
        [f"1. A {texts[0]} is calling. A {texts[1]} is calling.", *lines(["", *texts[2:]])[1:]]
    ),
    "an index in the middle of a line": lambda texts: " ".join(lines(texts)),
    "an index twice": lambda texts: "\n".join([*lines(texts), "1. A horse is calling."]),
    "the list twice": lambda texts: "\n".join([*lines(texts), *lines(texts)]),
    "one index too many": lambda texts: "\n".join([*lines(texts), f"{len(texts) + 1}. A horse is calling."]),
    "one caption for all": lambda texts: "\n".join(lines(["horse"] * len(texts))),
    "no index": lambda texts: "\n".join(line.partition(" ")[2] for line in lines(texts)),
    "roman numbers": lambda texts: "\n".join(f"{'i' * i}. {text}" for i, text in enumerate(texts, 1)),
    "an apology": lambda texts: "I'm sorry, but I can't assist with that.",
    "the question": lambda texts: "\n".join(f'{i}. "{text}"' for i, text in enumerate(texts)),
    "nothing": lambda texts: "",
    "far too long": lambda texts: "1. A horse is calling.\n" + "2. A horse is calling and " * 4000,
    "a table without indices": lambda texts: "\n".join(
        f"| {text} | A {text} is calling. |" for text in texts
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("wrong", WRONG_LISTS.values(), ids=WRONG_LISTS)
def test_a_list_that_does_not_match_costs_no_clip_its_caption(
    wrong: Callable[[list[str]], str], tmp_path: Path
) -> None:
    with scripted(wrong_while_many(wrong)) as endpoint:
        stage = run(clips(*ANIMALS), LISTED, endpoint.model(), tmp_path)
    assert captions(stage) == OWN
    sizes = [len(items(body)) for body in endpoint.requests]
    assert sorted(sizes) == [1] * 8 + [4, 4, 8]


@pytest.mark.slow
@pytest.mark.parametrize(
    "written",
    [
        lambda body: "Sure! Here you are:\n\n" + own_list(body) + "\n\nI hope this helps!",
        lambda body: "```\n" + own_list(body) + "\n```",
        lambda body: "\n".join(f"**{line}**" for line in lines(items(body))),
        lambda body: "\n".join(reversed(lines(items(body)))),
        lambda body: "\n".join(f"| {i} | A {text} is calling. |" for i, text in enumerate(items(body), 1)),
    ],
    ids=["prose around it", "a code block", "bold", "backwards", "a table"],
)
def test_a_list_in_another_dress_is_asked_for_once(
    written: Callable[[dict[str, Any]], str], tmp_path: Path
) -> None:
    with scripted(written) as endpoint:
        assert captions(run(clips(*ANIMALS), LISTED, endpoint.model(), tmp_path)) == OWN
        assert len(endpoint.requests) == 1


def test_what_came_before_a_cut_is_kept(tmp_path: Path) -> None:
    def cut(body: dict[str, Any]) -> Response:
        texts = items(body)
        whole = "\n".join(lines(texts))
        return completion(whole) if len(texts) < 8 else completion(whole[:-40], "length")

    with scripted(cut) as endpoint:
        assert captions(run(clips(*ANIMALS), LISTED, endpoint.model(), tmp_path)) == OWN
    assert [items(body) for body in endpoint.requests][1:] == [list(ANIMALS[6:])]


def test_one_text_that_spoils_every_list_is_found_and_set_aside(tmp_path: Path) -> None:
    def filtered(body: dict[str, Any]) -> Response:
        if "owl" in items(body):
            return completion(None, "content_filter")
        return completion(own_list(body))

    with scripted(filtered) as endpoint:
        stage = run(clips(*ANIMALS), LISTED, endpoint.model(), tmp_path)
    assert captions(stage) == {clip: caption for clip, caption in OWN.items() if "owl" not in caption}
    assert reasons(stage) == {"freesound-6": "unusable_answer"}
    assert "filter" in stage.dropped.to_pylist()[0]["detail"]
    assert sum(items(body) == ["owl"] for body in endpoint.requests) == 1


def structured(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"index": i, "caption": f"A {text} is calling."} for i, text in enumerate(items(body), 1)]


@pytest.mark.slow
@pytest.mark.parametrize(
    "spoilt",
    [
        lambda found: [{**item, "index": item["index"] - 1} for item in found],
        lambda found: [{**item, "index": str(item["index"])} for item in found],
        lambda found: [{**item, "index": True} for item in found],
        lambda found: found[1:],
        lambda found: [*found, found[0]],
        lambda found: [item["caption"] for item in found],
        lambda found: {"1": found},
        lambda found: None,
    ],
)
def test_a_structured_answer_is_verified_too(spoilt: Callable[[Any], Any], tmp_path: Path) -> None:
    def script(body: dict[str, Any]) -> str:
        assert body["response_format"]["json_schema"]["strict"]
        found = structured(body)
        return json.dumps({"captions": found if len(found) == 1 else spoilt(found)})

    settings = LISTED.model_copy(update={"form": Form.STRUCTURED})
    with scripted(script) as endpoint:
        assert captions(run(clips(*ANIMALS[:4]), settings, endpoint.model(), tmp_path / "a")) == {
            clip: OWN[clip] for clip in list(OWN)[:4]
        }
        assert len(endpoint.requests) == 1 + 2 + 4
    with scripted(
        lambda body: "```json\n" + json.dumps({"captions": structured(body)}) + "\n```"
    ) as endpoint:
        assert captions(run(clips(*ANIMALS), settings, endpoint.model(), tmp_path / "b")) == OWN
        assert len(endpoint.requests) == 1


BAD_ANSWERS: dict[str, tuple[Callable[[], Response | int], str]] = {
    "no choices": (lambda: JSONResponse({"choices": []}), "no_choice"),
    "choices of another kind": (lambda: JSONResponse({"choices": {"0": None}, "usage": [1]}), "no_choice"),
    "no message": (lambda: JSONResponse({"choices": [{"message": None}]}), "empty"),
    "no content": (lambda: completion(None), "empty"),
    "a number": (lambda: completion(7), "empty"),
    "cut off": (lambda: completion("A dog is", "length"), "cut off"),
    "filtered": (lambda: completion("A dog", "content_filter"), "filter"),
    "a refusal": (lambda: completion(None, refusal="I'm sorry, I cannot help with that."), "refuses"),
    "an apology": (lambda: completion("I'm sorry, but I can't hear audio."), "refuses"),
    "the prompt's example": (lambda: completion("People are shuffling a deck of cards."), "example"),
    "100,000 characters": (lambda: completion("A dog is barking and " * 5000), "too long"),
    "no text": (
        lambda: Response(b'{"choices":[{"message":{"content":"A \xff\xfe dog is barking."}}]}'),
        "bytes",
    ),
    "half a surrogate": (lambda: Response(b'{"choices":[{"message":{"content":"A \\ud800 dog"}}]}'), "bytes"),
    "no JSON": (lambda: Response(b"<html>It works!</html>", media_type="text/html"), "not JSON"),
    "half a JSON": (lambda: Response(b'{"choices":[{"mess'), "not JSON"),
    "deep JSON": (lambda: Response(b'{"choices":' + b"[" * 100_000), "not JSON"),
    "a JSON list": (lambda: JSONResponse([]), "not a JSON object"),
    "bytes": (lambda: Response(bytes(range(256)) * 40), "not JSON"),
    "an empty body": (lambda: Response(b""), "not JSON"),
    "a fault": (lambda: 500, "500"),
    "a bad request": (lambda: 400, "400"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("bad", "seen"), BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_a_bad_answer_costs_its_own_clip_only(
    bad: Callable[[], Response | int], seen: str, tmp_path: Path
) -> None:
    def script(body: dict[str, Any]) -> str | int | Response:
        return bad() if asked(body) == "cat" else f"A {asked(body)} is calling."

    with scripted(script) as endpoint:
        stage = run(clips("dog", "cat", "cow"), SINGLE, endpoint.model(), tmp_path)
    assert captions(stage) == {"freesound-1": "A dog is calling.", "freesound-3": "A cow is calling."}
    (dropped,) = stage.dropped.to_pylist()
    assert dropped["clip_id"] == "freesound-2"
    assert seen in dropped["detail"]
    assert sum(asked(body) == "cat" for body in endpoint.requests) == SINGLE.max_attempts


GOOD = json.dumps(
    {"choices": [{"message": {"content": "A dog is barking."}, "finish_reason": "stop"}]}
).encode()


@pytest.mark.slow
@pytest.mark.parametrize(
    "broken",
    [answer(GOOD, length=len(GOOD) + 9), answer(GOOD[:30], length=len(GOOD)), lambda asked, connection: None],
    ids=["too short", "truncated", "hung up"],
)
def test_a_broken_connection_is_a_passing_fault(broken: RudeAnswer, tmp_path: Path) -> None:
    path = "/v1/chat/completions"
    with rude_server() as rude:
        settings = ModelSettings(base_url=f"{rude.url}/v1", model=MODEL, api_key=SecretStr("any"))
        rude.answers[path] = in_turn(broken, answer(GOOD))
        stage = run(clips("dog"), SINGLE, Access(settings), tmp_path)
        assert captions(stage) == {"freesound-1": "A dog is barking."}
        assert rude.times(path) == 2
        rude.answers[path] = broken
        stage = run(clips("cat"), SINGLE, Access(settings, max_retries=0), tmp_path)
        assert reasons(stage) == {"freesound-1": "no_answer"}
        assert "breaks off" in stage.dropped.to_pylist()[0]["detail"]


def test_one_slow_request_does_not_stall_the_rest(tmp_path: Path) -> None:
    texts = [f"{animal} {number}" for animal in ANIMALS for number in ("calls", "sings", "moves")]
    rest_is_done = threading.Event()
    done: list[str] = []

    def script(body: dict[str, Any]) -> str:
        if asked(body) == "cow sings":
            assert rest_is_done.wait(30), f"only {len(done)} others were answered meanwhile"
        else:
            done.append(asked(body))
            if len(done) == len(texts) - 1:
                rest_is_done.set()
        return f"A {asked(body).split()[0]} is calling."

    with scripted(script, in_threads=True) as endpoint:
        stage = run(clips(*texts), SINGLE, endpoint.model(), tmp_path)
    assert stage.kept.num_rows == len(texts)


@pytest.mark.slow
def test_a_request_without_an_end_is_given_up(tmp_path: Path) -> None:
    released = threading.Event()

    def script(body: dict[str, Any]) -> str:
        if asked(body) == "cat":
            released.wait(30)
        return f"A {asked(body)} is calling."

    once = SINGLE.model_copy(update={"max_attempts": 1})
    with scripted(script, in_threads=True) as endpoint:
        stage = run(clips("dog", "cat", "cow"), once, endpoint.model(timeout_s=0.5), tmp_path)
        released.set()
    assert set(captions(stage)) == {"freesound-1", "freesound-3"}
    assert stage.dropped.to_pylist()[0]["detail"] == "no answer within 0.5 s"


def test_an_endpoint_that_only_fails_ends_the_run(tmp_path: Path) -> None:
    fault = JSONResponse({"error": {"message": "Use 'max_completion_tokens' instead of the-right-key."}}, 400)
    with scripted(lambda body: fault) as endpoint:
        with pytest.raises(EndpointError, match="max_completion_tokens") as raised:
            run(clips(*(f"{animal} calls" for animal in ANIMALS)), SINGLE, endpoint.model(), tmp_path)
        assert len(endpoint.requests) <= 20 + SINGLE.concurrency
    assert "the-right-key" not in str(raised.value)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("refusal", "shown"),
    [
        (JSONResponse({"error": {"message": "m", "code": "insufficient_quota"}}, 429), "requires payment"),
        (
            JSONResponse({"error": {"message": "m", "type": "insufficient_quota", "code": None}}, 429),
            "requires payment",
        ),
        (JSONResponse({}, 402), "requires payment"),
        (JSONResponse({}, 401), "WAVCAPS_LLM__API_KEY"),
        (JSONResponse({}, 403), "WAVCAPS_LLM__API_KEY"),
        (JSONResponse({}, 404), "WAVCAPS_LLM__MODEL"),
        (JSONResponse({}, 429, headers={"retry-after": "7200"}), "run again later"),
    ],
)
def test_what_no_repeat_would_change_costs_one_request(refusal: Response, shown: str, tmp_path: Path) -> None:
    with scripted(lambda body: refusal) as endpoint:
        with pytest.raises(EndpointError, match=shown):
            run(clips(*ANIMALS), SINGLE, endpoint.model(max_retries=4), tmp_path)
        assert len(endpoint.requests) == 1


class OverBudget(Exception):
    pass


class FourRequests(Budget):
    """Admits four requests, and each costs 0.25 USD."""

    reserved = 0
    settled = 0

    async def admit(self, messages: Any, parameters: Any, batch: bool = False) -> Reservation:
        if FourRequests.reserved == 4:
            raise OverBudget
        FourRequests.reserved += 1
        assert parameters["max_tokens"] == 60
        return await super().admit(messages, parameters, batch)

    def settle(self, answer: Answer, reservation: Reservation | None = None) -> Answer:
        FourRequests.settled += 1
        return replace(super().settle(answer, reservation), cost_usd=0.25)

    def release(self, reservation: Reservation) -> None:
        raise AssertionError("every request is answered")


def test_a_spent_budget_stops_the_asking_and_loses_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def script(body: dict[str, Any]) -> str:
        time.sleep(0.05)
        return f"A {asked(body)} is calling."

    FourRequests.reserved = FourRequests.settled = 0
    progress = Followed()
    with scripted(script, in_threads=True) as endpoint:
        with monkeypatch.context() as patched:
            patched.setattr(llm_session, "Budget", FourRequests)
            with endpoint.model().session(tmp_path, SINGLE.limits) as session:
                with pytest.raises(OverBudget):
                    caption_clips(clips(*ANIMALS), "freesound", SINGLE, session)
                recorded = list(session.ledger.records())
        assert len(endpoint.requests) == FourRequests.reserved == FourRequests.settled == len(recorded) == 4
        assert all(record["answer"]["cost_usd"] == 0.25 for record in recorded)
        with endpoint.model().session(tmp_path, SINGLE.limits, progress=progress) as session:
            stage = caption_clips(clips(*ANIMALS), "freesound", SINGLE, session).stage
        assert len(endpoint.requests) == 8
    assert captions(stage) == OWN
    assert progress.done[-1] == (8, 8)
    facts = progress.facts
    assert (facts["requests made"], facts["tokens in"], facts["tokens out"]) == (4, 28, 20)
    assert facts["texts a second"] > 0
    assert progress.notes[-1].endswith("about 0 minutes left")


def test_what_the_answers_have_cost_so_far_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llm_session, "Budget", FourRequests)
    with scripted(lambda body: f"A {asked(body)} is calling.") as endpoint:
        for texts in (ANIMALS[:2], ANIMALS[:4]):
            FourRequests.reserved = 0
            progress = Followed()
            with endpoint.model().session(tmp_path, SINGLE.limits, progress=progress) as session:
                caption_clips(clips(*texts), "freesound", SINGLE, session)
            # What an earlier run has paid for is not counted again.
            assert progress.facts["cost of the answers (USD)"] == 0.5
            assert "0.5 USD so far" in progress.notes[-1]
