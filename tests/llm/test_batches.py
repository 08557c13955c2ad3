"""Batches against a real HTTP server, with every fault that it can have."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.responses import JSONResponse

from tests.llm.batch_server import KEY, MODEL, BatchServer, answer_to, batching, refusal, unbegun
from tests.llm.scripted_model import Followed, scripted
from tests.support.atomic_s3 import serving_atomic_s3
from tests.support.s3 import connected, give_credentials, make_bucket
from wavcaps_assets.clock import utc_now
from wavcaps_assets.llm.batch.endpoint import BatchEndpoint
from wavcaps_assets.llm.batch.lines import BatchRequest
from wavcaps_assets.llm.batch.model import BatchModel
from wavcaps_assets.llm.batch.run import BatchOutcome
from wavcaps_assets.llm.batch.settings import BatchSettings
from wavcaps_assets.llm.budget import Budget
from wavcaps_assets.llm.chat import EndpointError
from wavcaps_assets.llm.ledger import ResponseLedger
from wavcaps_assets.llm.messages import Message
from wavcaps_assets.llm.prices import load_prices
from wavcaps_assets.llm.records import Answer, Request
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.network.errors import Paused
from wavcaps_assets.store import shared_leases
from wavcaps_assets.store.errors import StoreError
from wavcaps_assets.store.storage import Store

QUICK = BatchSettings(requests=4, poll_s=0.01, longest_poll_s=0.02, wait_in_place_s=20, creation_settles_s=0)


def request(text: str, model: str = MODEL, **parameters: Any) -> BatchRequest:
    messages: list[Message] = [{"role": "user", "content": text}]
    return BatchRequest(Request("v", model, {"seed": 1, **parameters}, [text], 0, messages), "freesound", 9)


REQUESTS = [request(f"dog number {number}") for number in range(10)]
KEYS = [one.request.key for one in REQUESTS]


def ledger_in(store: Store) -> ResponseLedger:
    return ResponseLedger(store, "log/answers")


def budget_of(server: BatchServer, ledger: ResponseLedger) -> Budget:
    return Budget(load_prices(), MODEL, ledger, server.settings())


def ask(
    server: BatchServer,
    store: Store,
    asked: list[BatchRequest] = REQUESTS,
    key: str = KEY,
    max_retries: int = 0,
    **limits: Any,
) -> BatchOutcome:
    model = BatchModel(
        server.settings(key), store, limits=QUICK.model_copy(update=limits), max_retries=max_retries
    )
    with ledger_in(store) as ledger, budget_of(server, ledger) as budget:
        return model.answer_all(asked, ledger, budget)


def answered(store: Store, requests: list[BatchRequest] = REQUESTS) -> list[str]:
    """The keys of the requests that the ledger answers, each rightly."""
    found = []
    for one in requests:
        if (answer := ledger_in(store).get(one.request)) is not None:
            assert answer.text == answer_to(one.request.inputs[0])
            found.append(one.request.key)
    return found


@pytest.fixture(autouse=True)
def no_key_in_the_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.INFO)
    yield
    assert KEY not in caplog.text


@pytest.mark.slow
def test_answers_find_their_questions_whatever_order_they_come_in(store: Store) -> None:
    progress = Followed()
    with batching() as server, ledger_in(store) as ledger, budget_of(server, ledger) as budget:
        model = BatchModel(server.settings(), store, limits=QUICK)
        outcome = model.answer_all([*REQUESTS, REQUESTS[0]], ledger, budget, progress)
        assert outcome == BatchOutcome(collected=10, failed={}, problems=[])
        again = model.answer_all(REQUESTS, ledger, budget)
    assert again.collected == 0
    assert server.sizes == [4, 4, 2]
    assert set(server.submitted.values()) == {1}
    assert answered(store) == KEYS
    assert ledger_in(store).get(REQUESTS[3].request) == Answer(
        answer_to("dog number 3"), "stop", 7, 5, seconds=60.0, batch=True, cost_usd=0.0, model=MODEL
    )
    assert progress.done[0] == (0, 10) and progress.done[-1] == (10, 10)
    (record,) = (one for one in ledger_in(store).records() if one["key"] == KEYS[3])
    assert (record["source"], record["size"]) == ("freesound", 9)
    assert store.sizes("log/batches/asked") == {}


def test_what_the_ledger_answers_is_not_asked(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with ledger_in(store) as ledger:
        for one in REQUESTS[:7]:
            ledger.record(one.request, Answer(answer_to(one.request.inputs[0]), "stop"))
    with batching() as server:
        ask(server, store)
    assert sorted(server.submitted) == sorted(KEYS[7:])


def test_a_batch_keeps_within_its_bytes(tmp_path: Path) -> None:
    long = [request(f"dog {number} " + "w" * 700) for number in range(5)]
    too_long = request("w" * 5000)
    with batching() as server:
        outcome = ask(server, Store(tmp_path), [*long, too_long], requests=50_000, bytes=2500)
    assert server.sizes == [2, 2, 1]
    inputs = [data for data in server.files.values() if b'"method"' in data]
    assert all(len(data) <= 2500 for data in inputs)
    (reason,) = outcome.failed.values()
    assert list(outcome.failed) == [too_long.request.key] and "2500 at most" in reason


def test_what_expires_is_submitted_again_and_what_was_done_is_kept(tmp_path: Path) -> None:
    with batching(ends=["expired"]) as server:
        outcome = ask(server, Store(tmp_path))
    assert answered(Store(tmp_path)) == KEYS and outcome.failed == {}
    assert sorted(server.submitted.values()) == [1] * 8 + [2] * 2


@pytest.mark.slow
def test_what_never_heals_comes_back_with_its_reason(tmp_path: Path) -> None:
    fates: dict[str, Any] = {
        KEYS[1]: refusal(400, "context_length_exceeded"),
        KEYS[2]: refusal(500, "server_error"),
        KEYS[4]: unbegun("batch_cancelled"),
        KEYS[5]: unbegun("internal_error"),
        KEYS[6]: "drop",
    }
    heals = {KEYS[7]: refusal(429, "rate_limit_exceeded"), KEYS[8]: refusal(503), KEYS[9]: "drop"}

    def fate(line: dict[str, Any], nth: int) -> Any:
        return fates.get(line["custom_id"]) or (heals.get(line["custom_id"]) if nth == 1 else None)

    store = Store(tmp_path)
    with batching(fate=fate) as server:
        outcome = ask(server, store)
        assert server.submitted == dict.fromkeys((KEYS[0], KEYS[1], KEYS[3], KEYS[4]), 1) | dict.fromkeys(
            KEYS[7:], 2
        ) | dict.fromkeys((KEYS[2], KEYS[5], KEYS[6]), 3)
        assert answered(store) == [KEYS[0], KEYS[3], *KEYS[7:]]
        assert outcome.failed == {
            KEYS[1]: "the endpoint answered 400 context_length_exceeded: said with …",
            KEYS[2]: "the endpoint answered 500 server_error: said with … (3 times)",
            KEYS[4]: "batch_cancelled: could not be executed",
            KEYS[5]: "internal_error: could not be executed (3 times)",
            KEYS[6]: "the batch is completed without a result (3 times)",
        }
        # A later request gets another try.
        fates.clear()
        assert ask(server, store).failed == {}
    assert answered(store) == KEYS


def test_lines_that_make_no_sense_are_named_and_cost_only_themselves(tmp_path: Path) -> None:
    spoilt: list[bytes] = []

    def edit(lines: list[bytes]) -> list[bytes]:
        if spoilt:
            return lines
        spoilt.append(lines[0])
        other = json.dumps({"custom_id": "x" * 1000, "response": {}}).encode()
        changed = lines[1].replace(b"calling", b"lying")
        return [lines[0][:-40], b"[]", b"\xff\xfe", other, b'{"custom_id": 3}', *lines[1:], changed, b""]

    with batching(edit=edit) as server:
        outcome = ask(server, Store(tmp_path))
    assert answered(Store(tmp_path)) == KEYS and outcome.failed == {}
    lost = json.loads(spoilt[0])["custom_id"]
    assert server.submitted[lost] == 2 and sum(server.submitted.values()) == 11
    problems = "\n".join(outcome.problems)
    assert "batch batch_1: 3 x not a JSON object, first in line 1 of the output file" in problems
    assert "2 x an unknown custom_id, first in line 4 of the output file, 'xxx" in problems
    assert "1 x a second result of the same request" in problems
    assert len(problems) < 1000


def test_a_cancelled_batch_is_not_submitted_again_by_itself(tmp_path: Path) -> None:
    with batching(ends=["cancelled"]) as server:
        outcome = ask(server, Store(tmp_path))
    assert set(server.submitted.values()) == {1}
    assert list(outcome.failed) == KEYS[2:4]
    assert answered(Store(tmp_path)) == KEYS[:2] + KEYS[4:]


@pytest.mark.slow
def test_a_full_queue_is_waited_for_in_smaller_batches(tmp_path: Path) -> None:
    with batching(most_enqueued=3) as server:
        outcome = ask(server, Store(tmp_path))
    assert outcome.failed == {} and answered(Store(tmp_path)) == KEYS
    assert max(server.sizes) <= 3 and set(server.submitted.values()) == {1}


def test_a_queue_that_others_fill_pauses(tmp_path: Path) -> None:
    with batching(most_enqueued=0) as server:
        with pytest.raises(Paused, match="queue is full"):
            ask(server, Store(tmp_path))
        assert not server.submitted
        server.most_enqueued = 100
        ask(server, Store(tmp_path))
    assert answered(Store(tmp_path)) == KEYS


def test_a_batch_that_does_not_validate_says_why(tmp_path: Path) -> None:
    error = {"code": "invalid_json_line", "message": f"no JSON {KEY}", "line": 3, "param": None}
    with batching(invalid=[None, error], polls=1) as server:
        with pytest.raises(EndpointError, match=r"batch_2, line 3: invalid_json_line: no JSON …"):
            ask(server, Store(tmp_path))
        # What the others answered is kept, and nothing of it is asked again.
        assert answered(Store(tmp_path)) == KEYS[:4] + KEYS[8:]
        server.invalid.clear()
        ask(server, Store(tmp_path))
    assert answered(Store(tmp_path)) == KEYS and set(server.submitted.values()) == {1}


@pytest.mark.slow
@pytest.mark.parametrize("code", ["insufficient_quota", "model_not_found"])
def test_what_every_request_would_be_refused_for_ends_the_run(tmp_path: Path, code: str) -> None:
    spent = [True]

    def fate(line: dict[str, Any], nth: int) -> Any:
        return refusal(429, code) if spent and line["custom_id"] == KEYS[5] else None

    with batching(fate=fate) as server:
        with pytest.raises(EndpointError, match=rf"1 requests of batch batch_2 .*{code}"):
            ask(server, Store(tmp_path))
        assert answered(Store(tmp_path)) == KEYS[:5] + KEYS[6:]
        spent.clear()
        ask(server, Store(tmp_path))
    assert answered(Store(tmp_path)) == KEYS
    assert server.submitted[KEYS[5]] == 2 and sum(server.submitted.values()) == 11


def test_a_wrong_key_costs_one_request(tmp_path: Path) -> None:
    with batching() as server:
        with pytest.raises(EndpointError, match="WAVCAPS_LLM__API_KEY") as raised:
            ask(server, Store(tmp_path), key="sk-wrong", max_retries=4)
        assert server.asked == {"upload": 1}
        assert "sk-wrong" not in repr(raised.value)
        ask(server, Store(tmp_path))
        assert set(server.submitted.values()) == {1}
        # And one while a batch is under way.
        other = [request("cat")]
        server.polls = 1000
        with pytest.raises(Paused):
            ask(server, Store(tmp_path), other, wait_in_place_s=0)
        server.asked.clear()
        with pytest.raises(EndpointError, match="WAVCAPS_LLM__API_KEY"):
            ask(server, Store(tmp_path), other, key="sk-wrong", max_retries=4)
        assert server.asked == {"retrieve": 1}


def test_an_endpoint_without_batches_says_so(tmp_path: Path) -> None:
    with scripted(lambda body: "A dog barks.") as endpoint:
        settings = ModelSettings(base_url=f"{endpoint.root}/v1", model=MODEL, api_key=SecretStr("k"))
        with (
            ledger_in(Store(tmp_path)) as ledger,
            Budget(load_prices(), MODEL, ledger, settings) as budget,
            pytest.raises(EndpointError, match=r"no Batch API \(404.*online provider"),
        ):
            BatchModel(settings, Store(tmp_path), max_retries=4).answer_all(REQUESTS, ledger, budget)


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(EndpointError, match=r"nobody answers at .*WAVCAPS_LLM__BASE_URL"):
        ask(BatchServer(root=f"http://127.0.0.1:{port}"), Store(tmp_path))


def test_settings_that_cannot_work_are_refused_before_anything_is_sent(tmp_path: Path) -> None:
    settings = ModelSettings(base_url="https://api.openai.com/v1", model=MODEL)
    with pytest.raises(EndpointError, match="WAVCAPS_LLM__API_KEY"):
        BatchModel(settings, Store(tmp_path))
    with batching() as server:
        with pytest.raises(ValueError, match="other"):
            ask(server, Store(tmp_path), [request("dog", model="other")])
        assert not server.asked


@pytest.mark.slow
@pytest.mark.parametrize("step", ["upload", "create", "retrieve", "content"])
@pytest.mark.parametrize("status", [429, 500])
def test_a_fault_that_passes_pauses_and_submits_nothing_twice(tmp_path: Path, step: str, status: int) -> None:
    with batching(statuses={step: [status] * 2}) as server:
        for _ in range(3):
            try:
                ask(server, Store(tmp_path))
                break
            except Paused as pause:
                assert str(status) in str(pause) and pause.until > utc_now()
    assert answered(Store(tmp_path)) == KEYS
    assert set(server.submitted.values()) == {1}


def test_a_created_batch_whose_answer_was_lost_is_found_and_not_created_again(tmp_path: Path) -> None:
    # The server takes the batches and then says that it could not.
    with batching() as server:
        create = server._create

        async def lose(asked: dict[str, Any]) -> Any:
            await create(asked)
            return JSONResponse({"error": {"message": "lost"}}, 500)

        server._create = lose  # type: ignore[method-assign]
        ask(server, Store(tmp_path))
    assert answered(Store(tmp_path)) == KEYS
    assert set(server.submitted.values()) == {1}


def test_a_batch_that_takes_long_pauses_and_is_found_again(tmp_path: Path) -> None:
    with batching(polls=10**9) as server:
        for _ in range(3):
            before = utc_now()
            with pytest.raises(Paused, match="3 batches are in progress") as paused:
                ask(server, Store(tmp_path), wait_in_place_s=0.05, pause_s=100)
            assert 90 < (paused.value.until - before).total_seconds() < 130
        server.polls = 1
        assert ask(server, Store(tmp_path)).collected == 10
    assert set(server.submitted.values()) == {1}
    assert server.asked["create"] == 3


@pytest.mark.slow
def test_attempts_are_counted_across_pauses(tmp_path: Path) -> None:
    pauses = 0
    with batching(fate=lambda line, nth: unbegun("batch_expired")) as server:
        while True:
            try:
                outcome = ask(server, Store(tmp_path), wait_in_place_s=0)
                break
            except Paused:
                pauses += 1
    assert pauses > 3
    assert set(outcome.failed) == set(KEYS)
    assert set(server.submitted.values()) == {3}


def test_answers_to_what_is_asked_no_more_are_kept_too(tmp_path: Path) -> None:
    with batching(polls=10**9) as server:
        with pytest.raises(Paused):
            ask(server, Store(tmp_path), wait_in_place_s=0)
        server.polls = 1
        ask(server, Store(tmp_path), [request("cat")])
    assert answered(Store(tmp_path)) == KEYS


def test_a_batch_of_another_account_is_said_plainly(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with batching(polls=10**9) as server:
        with pytest.raises(Paused):
            ask(server, store, REQUESTS[:1], wait_in_place_s=0)
        server.batches.clear()
        server.polls = 1
        with pytest.raises(EndpointError, match=r"has no batch batch_1.*another account") as raised:
            ask(server, store, REQUESTS[:1])
        (file,) = store.path("log/batches/asked").iterdir()
        assert f"log/batches/asked/{file.name}" in str(raised.value)
        # The way out that the message names.
        file.unlink()
        ask(server, store, REQUESTS[:1])
    assert answered(store, REQUESTS[:1]) == KEYS[:1]


def test_a_file_that_is_gone_costs_another_submission(tmp_path: Path) -> None:
    with batching() as server:
        server.after = lambda step: server.files.pop("file-4", None) if step == "retrieve" else None
        outcome = ask(server, Store(tmp_path))
    assert answered(Store(tmp_path)) == KEYS
    assert "missing output file, first in file-4" in outcome.problems[0]


@pytest.mark.slow
def test_a_machine_that_slept_creates_no_batch_that_another_has_created_since(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    give_credentials(monkeypatch)
    for name, seconds in {"POLL_S": 0.05, "EXPIRES_S": 1.0, "LOOK_S": 0.5, "BEAT_S": 0.2}.items():
        monkeypatch.setattr(shared_leases, name, seconds)
    # A process that sleeps renews nothing.
    monkeypatch.setattr(shared_leases, "_renew", lambda leases, done: None)
    upload, others = BatchEndpoint.upload, list[BatchOutcome]()
    with serving_atomic_s3() as url, batching(polls=1) as server:
        client = connected(url)
        root = make_bucket(url, client).root

        def sleeps(endpoint: BatchEndpoint, name: str, data: bytes) -> str:
            file_id = upload(endpoint, name, data)
            if not others:
                monkeypatch.setattr(BatchEndpoint, "upload", upload)
                others.append(ask(server, Store(root, client)))
            return file_id

        monkeypatch.setattr(BatchEndpoint, "upload", sleeps)
        with pytest.raises(StoreError, match="another process may have taken it: start the run again"):
            ask(server, Store(root, client))
        assert others[0].failed == {} and set(server.submitted.values()) == {1}
        assert answered(Store(root, client)) == KEYS


@pytest.mark.slow
def test_machines_with_one_bucket_submit_each_request_once(monkeypatch: pytest.MonkeyPatch) -> None:
    give_credentials(monkeypatch)
    monkeypatch.setattr(shared_leases, "POLL_S", 0.05)
    with serving_atomic_s3() as url, batching(polls=3) as server, ThreadPoolExecutor(2) as pool:
        client = connected(url)
        root = make_bucket(url, client).root
        machines = [pool.submit(ask, server, Store(root, client)) for _ in range(2)]
        assert [machine.result(60).failed for machine in machines] == [{}, {}]
        assert set(server.submitted.values()) == {1} and set(server.submitted) == set(KEYS)
        assert answered(Store(root, client)) == KEYS
