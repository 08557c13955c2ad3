"""Batches cost no more than the budget, and all of their cost is counted, whatever becomes of their files."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.llm.batch_server import KEY, MODEL, BatchServer, answer_to, batching, refusal
from tests.support.atomic_s3 import serving_atomic_s3
from tests.support.s3 import connected, give_credentials, make_bucket
from wavcaps_assets.clock import utc_now
from wavcaps_assets.llm.batch.lines import BatchRequest
from wavcaps_assets.llm.batch.model import BatchModel
from wavcaps_assets.llm.batch.run import BatchOutcome
from wavcaps_assets.llm.batch.settings import BatchSettings
from wavcaps_assets.llm.budget import Budget, BudgetExhausted
from wavcaps_assets.llm.chat import EndpointError
from wavcaps_assets.llm.costs import costs
from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger
from wavcaps_assets.llm.messages import Message
from wavcaps_assets.llm.prices import Prices
from wavcaps_assets.llm.records import Request
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.network.errors import Paused
from wavcaps_assets.store.append_log import AppendLog
from wavcaps_assets.store.storage import Store

QUICK = BatchSettings(requests=4, poll_s=0.001, longest_poll_s=0.01, wait_in_place_s=20, creation_settles_s=0)
# One USD a token in, two a token out; half of it by batch.
PRICES = Prices.model_validate(
    {
        "source": "by hand",
        "read": "2026-11-23",
        "batch_share": 0.5,
        "models": {MODEL: {"input": 1e6, "output": 2e6}},
    }
)
# The server counts 7 tokens in and 5 out. At most: 5 bytes, 16 for the message, 64 for the template, 10 out.
PAID, WORST = (7 + 2 * 5) / 2, (5 + 16 + 64 + 2 * 10) / 2
NAMES = [f"no {number}" for number in range(10, 18)]


def request(text: str) -> BatchRequest:
    messages: list[Message] = [{"role": "user", "content": text}]
    return BatchRequest(Request("v", MODEL, {"max_tokens": 10}, [text], 0, messages), "freesound", 9)


REQUESTS = [request(name) for name in NAMES]
KEYS = [one.request.key for one in REQUESTS]


def ask(
    server: BatchServer,
    place: Path | Store,
    month_usd: float,
    asked: list[BatchRequest] = REQUESTS,
    **limits: Any,
) -> BatchOutcome:
    store, settings = store_at(place), settings_of(server, month_usd)
    model = BatchModel(settings, store, limits=QUICK.model_copy(update=limits), max_retries=0)
    with ResponseLedger(store, ANSWERS) as ledger, Budget(PRICES, MODEL, ledger, settings) as budget:
        return model.answer_all(asked, ledger, budget)


def settings_of(server: BatchServer, month_usd: float) -> ModelSettings:
    return server.settings().model_copy(update={"budget_month_usd": month_usd})


def store_at(place: Path | Store) -> Store:
    return Store(place) if isinstance(place, Path) else place


def month_of(server: BatchServer, place: Path | Store) -> float:
    """What the month's total says (USD)."""
    with (
        ResponseLedger(store_at(place), ANSWERS) as ledger,
        Budget(PRICES, MODEL, ledger, settings_of(server, 1e9)) as budget,
    ):
        return budget.month_usd


def shown_cost(folder: Path) -> float:
    """What the table of costs says (USD)."""
    with ResponseLedger(Store(folder), ANSWERS) as ledger:
        return sum(costs(ledger.records(), PRICES).column("cost_usd").to_pylist())


def billed(server: BatchServer) -> float:
    return sum(server.billed.values()) * PAID


def answered(folder: Path) -> list[str]:
    with ResponseLedger(Store(folder), ANSWERS) as ledger:
        found = {one.request.key: ledger.get(one.request) for one in REQUESTS}
    assert {answer.text for answer in found.values() if answer} <= {answer_to(name) for name in NAMES}
    return [key for key, answer in found.items() if answer is not None]


def halved(lines: list[bytes]) -> list[bytes]:
    return lines[: len(lines) // 2]


def no_usage(lines: list[bytes]) -> list[bytes]:
    return [line.replace(b'"prompt_tokens": 7', b'"prompt_tokens": 0') for line in lines]


def unsent(line: dict[str, Any], nth: int) -> dict[str, Any] | None:
    """The second half of the requests is not sent the first time."""
    if nth > 1 or line["custom_id"] in KEYS[:4]:
        return None
    return {"response": {"status_code": 0, "request_id": "", "body": None}, "error": None}


# By name, a server's faults, and whether an answer is lost by them.
SCENARIOS: dict[str, tuple[dict[str, Any], bool]] = {
    "nothing": ({}, False),
    "files that are lost": ({"losses": -1}, True),
    "files that are there at the second fetch": ({"losses": 1}, False),
    "files that are truncated": ({"edit": halved}, True),
    "files that are whole at the second fetch": ({"truncations": 1}, False),
    "counts that are too high": ({"edit_counts": lambda counts: counts | {"completed": 99}}, False),
    "counts that are too low": ({"edit_counts": lambda counts: counts | {"completed": 0}}, False),
    "no counts": ({"edit_counts": lambda counts: None, "edit": halved}, True),
    "usage of zeros": ({"edit": no_usage}, False),
    "expired": ({"ends": ["expired", "expired"]}, False),
    "expired, and its files are lost": ({"ends": ["expired", "expired"], "losses": -1}, True),
    "cancelled": ({"ends": ["cancelled", "cancelled"]}, False),
    "refused for now": ({"fate": lambda line, nth: refusal(503) if nth < 3 else None}, False),
    "not sent": ({"fate": unsent}, False),
    "does not validate": ({"invalid": [{"code": "bad", "message": "no", "line": 1}]}, False),
}


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_bill_is_never_above_the_budget(scenario: str, tmp_path: Path) -> None:
    faults, loses = SCENARIOS[scenario]
    # Room for three requests at their maximum, then for ten, then for all.
    with batching(polls=1, **faults) as server:
        for limit in (3 * WORST, 10 * WORST, 100 * WORST):
            try:
                ask(server, tmp_path, limit)
            except BudgetExhausted:
                pass
            except EndpointError as error:
                assert scenario == "does not validate" and "rejects batch" in str(error)
            month = month_of(server, tmp_path)
            assert billed(server) - 1e-6 <= month <= limit
            assert billed(server) - 1e-6 <= shown_cost(tmp_path)
        most = max(server.billed.values())
    assert most == 1 or loses
    if loses:
        assert most <= 3 * QUICK.attempts
    else:
        lost = KEYS[2:4] if scenario == "cancelled" else []
        assert set(answered(tmp_path)) >= set(KEYS) - set(lost)
        if scenario != "usage of zeros":
            assert month == pytest.approx(billed(server))


def test_a_lost_file_is_paid_for_once_a_submission(tmp_path: Path) -> None:
    """Found in use: three submissions on one reservation, 0.0485 USD billed for a limit of 0.02."""
    with batching(polls=1, losses=-1) as server:
        with pytest.raises(BudgetExhausted, match="0 of 8 requests have been answered"):
            ask(server, tmp_path, 10 * WORST)
        assert sum(server.submitted.values()) == 10
        assert month_of(server, tmp_path) == pytest.approx(10 * WORST)
        assert shown_cost(tmp_path) == pytest.approx(10 * WORST)
        # Each file was fetched three times before it was given up.
        assert server.asked["content"] == 3 * len(server.batches)
        server.losses = 0
        assert ask(server, tmp_path, 100 * WORST).failed == {}
    assert answered(tmp_path) == KEYS


@pytest.mark.slow
def test_in_a_bucket_a_batch_stays_reserved_until_another_machine_collects_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    give_credentials(monkeypatch)
    with serving_atomic_s3() as url, batching(polls=10**9) as server:
        client = connected(url)
        root = make_bucket(url, client).root
        one, other = Store(root, client), Store(root, client)
        with pytest.raises(Paused):
            ask(server, one, 10 * WORST, wait_in_place_s=0)
        assert month_of(server, other) == pytest.approx(8 * WORST)
        with pytest.raises(BudgetExhausted):
            ask(server, other, 8 * WORST, [request("no 18")])
        # Once it has ended, the other machine collects it first, and then has room.
        server.polls = 1
        ask(server, other, 8 * WORST, [request("no 18")])
        assert month_of(server, one) == pytest.approx(9 * PAID)
        assert set(server.billed.values()) == {1}


def test_what_a_batch_did_not_send_is_submitted_again_as_a_batch(tmp_path: Path) -> None:
    with batching(polls=1, fate=unsent) as server:
        outcome = ask(server, tmp_path, 100 * WORST)
        assert outcome.failed == {} and answered(tmp_path) == KEYS
        assert server.submitted == dict.fromkeys(KEYS[:4], 1) | dict.fromkeys(KEYS[4:], 2)
        assert set(server.billed.values()) == {1}
        assert month_of(server, tmp_path) == pytest.approx(8 * PAID)


def test_a_response_that_is_an_error_with_tokens_is_paid_and_is_no_answer(tmp_path: Path) -> None:
    """Without an end to it, this was submitted again and again."""

    def edit(lines: list[bytes]) -> list[bytes]:
        return [line.replace(b'"finish_reason": "stop"', b'"finish_reason": "error"') for line in lines]

    with batching(polls=1, edit=edit) as server:
        outcome = ask(server, tmp_path, 100 * WORST)
        assert set(outcome.failed) == set(KEYS)
        assert set(server.submitted.values()) == {3}
        assert month_of(server, tmp_path) == pytest.approx(billed(server)) == pytest.approx(24 * PAID)


def test_batches_of_another_prompt_version_are_collected_and_settled(tmp_path: Path) -> None:
    changed = [
        BatchRequest(
            Request("w", MODEL, {"max_tokens": 10}, ["dog"], 0, [Message(role="user", content="dog")])
        )
    ]
    with batching(polls=10**9) as server:
        with pytest.raises(Paused):
            ask(server, tmp_path, 100 * WORST, wait_in_place_s=0)
        assert month_of(server, tmp_path) == pytest.approx(8 * WORST)
        server.polls = 1
        ask(server, tmp_path, 100 * WORST, changed)
        assert month_of(server, tmp_path) == pytest.approx(9 * PAID)
        assert answered(tmp_path) == KEYS
        # A run that asks nothing by batch collects them as well.
        server.polls = 10**9
        more = [request("no 18")]
        with pytest.raises(Paused):
            ask(server, tmp_path, 100 * WORST, more, wait_in_place_s=0)
        server.polls = 1
        with (
            ResponseLedger(Store(tmp_path), ANSWERS) as ledger,
            Budget(PRICES, MODEL, ledger, settings_of(server, 100 * WORST)) as budget,
        ):
            BatchModel(server.settings(), Store(tmp_path), limits=QUICK).collect(ledger, budget)
            assert ledger.get(more[0].request) is not None
            assert budget.month_usd == pytest.approx(10 * PAID)
    assert set(server.billed.values()) == {1}


def as_old_versions_wrote(store: Store) -> None:
    """Rewrites the log of batches as two logs: without numbers, and with reservations by request."""
    with AppendLog(store, "log/batches") as log:
        records = list(log.read())
    (reserved,) = {tuple(record["reserved"]) for record in records if record["event"] == "planned"}
    run, month, _ = reserved
    for name in store.sizes("log/batches"):
        store.remove(f"log/batches/{name}")
    with AppendLog(store, "log/batches") as log:
        for record in records:
            log.append({key: value for key, value in record.items() if key not in ("n", "reserved")})
    with AppendLog(store, "log/batches_reserved") as log:
        for name in store.sizes("log/batches/asked"):
            asked = json.loads(store.read_bytes(f"log/batches/asked/{name}"))
            old = [{key: value for key, value in one.items() if key != "pico"} for one in asked]
            store.write_bytes(f"log/batches/asked/{name}", json.dumps(old).encode())
            for one in asked:
                held = {"held": True, "at": "2026-11-27T10:00:00+00:00", "run": run, "month": month}
                log.append({"key": Request(**one["question"]).key, "pico": one["pico"], **held})


@pytest.mark.parametrize("lost", [False, True])
def test_a_store_with_two_logs_is_read_and_becomes_one(tmp_path: Path, lost: bool) -> None:
    store = Store(tmp_path)
    with batching(polls=10**9) as server:
        with pytest.raises(Paused):
            ask(server, tmp_path, 100 * WORST, wait_in_place_s=0, requests=8)
        as_old_versions_wrote(store)
        server.polls, server.losses = 1, -1 if lost else 0
        with pytest.raises(BudgetExhausted) if lost else nullcontext():
            ask(server, tmp_path, 8 * WORST)
        assert not store.path("log/batches_reserved").exists()
        assert month_of(server, tmp_path) == pytest.approx(8 * (WORST if lost else PAID))
        server.losses = 0
        assert ask(server, tmp_path, 100 * WORST).failed == {}
        assert answered(tmp_path) == KEYS
        assert set(server.submitted.values()) == {2 if lost else 1}


def test_an_old_batch_without_a_reservation_is_counted_when_it_is_collected(tmp_path: Path) -> None:
    """As versions without a month's budget, or with a bucket, left it; and a reservation without a batch."""
    store = Store(tmp_path)
    with batching(polls=10**9) as server:
        with pytest.raises(Paused):
            ask(server, tmp_path, 0.0, wait_in_place_s=0, requests=8)
        as_old_versions_wrote(store)
        store.remove("log/batches_reserved")
        with AppendLog(store, "log/batches_reserved") as log:
            month = f"{utc_now():%Y-%m}"
            unused = {"held": True, "at": "2026-11-27T10:00:00+00:00", "run": "old", "month": month}
            log.append({"key": "00", "pico": 10**12, **unused})
        server.polls = 1
        with (
            ResponseLedger(store, ANSWERS) as ledger,
            Budget(PRICES, MODEL, ledger, settings_of(server, 100 * WORST)) as budget,
        ):
            budget.settle_batch(None, 10**12)
            assert budget.month_usd == 1.0
            BatchModel(server.settings(), store, limits=QUICK).collect(ledger, budget)
            assert budget.month_usd == pytest.approx(8 * PAID)
    assert answered(tmp_path) == KEYS


def test_a_limit_that_is_set_later_counts_what_was_submitted_without_one(tmp_path: Path) -> None:
    with batching(polls=10**9) as server:
        with pytest.raises(Paused):
            ask(server, tmp_path, 0.0, wait_in_place_s=0)
        server.polls = 1
        with (
            ResponseLedger(Store(tmp_path), ANSWERS) as ledger,
            Budget(PRICES, MODEL, ledger, settings_of(server, 100 * WORST)) as budget,
        ):
            BatchModel(server.settings(), Store(tmp_path), limits=QUICK).collect(ledger, budget)
            assert budget.month_usd == pytest.approx(8 * PAID)


def test_the_key_is_in_no_file(tmp_path: Path) -> None:
    with batching(polls=1, fate=lambda line, nth: refusal(400)) as server:
        ask(server, tmp_path, 100 * WORST)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
