"""What each request counts as, whether or not an answer comes of it."""

from __future__ import annotations

import math
import threading
import tomllib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.responses import JSONResponse, Response

from tests.captioning.test_engine import SINGLE, captions, clips, run
from tests.llm.scripted_model import KEY, MODEL, Access, Endpoint, Followed, asked, scripted
from tests.support.rude_server import answer as rude_answer
from tests.support.rude_server import in_turn, rude_server
from wavcaps_assets.captioning.engine import caption_clips
from wavcaps_assets.captioning.prompts import load_prompt
from wavcaps_assets.llm.budget import Budget, BudgetExhausted
from wavcaps_assets.llm.chat import EndpointError
from wavcaps_assets.llm.costs import costs
from wavcaps_assets.llm.dispatcher import WORKERS_A_REQUEST
from wavcaps_assets.llm.ledger import ANSWERS, ResponseLedger
from wavcaps_assets.llm.prices import PriceError, Prices
from wavcaps_assets.llm.records import LOST
from wavcaps_assets.llm.replies import MAX_KEPT_CHARS
from wavcaps_assets.llm.settings import ModelSettings
from wavcaps_assets.llm.tokens import most_tokens
from wavcaps_assets.store.storage import Store

PATH = "/v1/chat/completions"
# In two pieces: a traceback shows the lines of this file.
SECRET = "-".join(("sk", "nobody", "may", "see"))
ONCE = SINGLE.model_copy(update={"max_attempts": 1})
PRICE_LIST = f"""
source = "by hand"
read = 2026-11-23
[models.{MODEL}]
input = 1e6
output = 2e6
"""
PRICES = Prices.model_validate(tomllib.loads(PRICE_LIST))
# The most that the question about "dog" can cost: a dollar a token in, two a token out.
PROMPT = load_prompt(SINGLE.prompt, "freesound", SINGLE.form)
WORST = most_tokens(PROMPT.messages(["dog"]), {}) + 2.0 * SINGLE.max_tokens
# 7 tokens in and 5 out, as the scripted model says.
PAID = 17.0


def priced(root: str, **limits: Any) -> ModelSettings:
    return ModelSettings(base_url=f"{root}/v1", model=MODEL, api_key=SecretStr(KEY), **limits)


def ask_dog(model: Access, llm: ModelSettings, folder: Path) -> tuple[dict[str, str], float]:
    """The caption of a clip about a dog, and what that cost (USD)."""
    prices = folder / "prices.toml"
    prices.write_text(PRICE_LIST)
    kept = {"base_url": model.settings.base_url, "timeout_s": model.settings.timeout_s, "prices": prices}
    access = replace(model, settings=llm.model_copy(update=kept))
    progress = Followed()
    with access.session(folder, ONCE.limits, label="freesound", progress=progress) as session:
        stage = caption_clips(clips("dog"), "freesound", ONCE, session).stage
    return captions(stage), progress.facts["spent by this run (USD)"]


def in_ledger(folder: Path) -> tuple[list[str], float, int]:
    """The finish reasons in the ledger, and what its answers cost by the table of costs."""
    with ResponseLedger(Store(folder), ANSWERS) as ledger:
        records = list(ledger.records())
        (row,) = costs(records, PRICES).to_pylist()
    return [record["answer"]["finish_reason"] for record in records], row["cost_usd"], row["unpriced"]


@pytest.mark.slow
@pytest.mark.parametrize("body", [b"<html>It works!</html>" * 1000, b'{"choices": [', b"[]", b"\xff" * 5000])
def test_an_unreadable_response_costs_its_most_and_may_be_asked_again(body: bytes, tmp_path: Path) -> None:
    with scripted(lambda asked: Response(body)) as endpoint:
        llm = priced(endpoint.root, budget_run_usd=9999.0)
        assert ask_dog(endpoint.model(), llm, tmp_path) == ({}, pytest.approx(WORST))
        assert len(endpoint.requests) == 1
    assert in_ledger(tmp_path) == ([LOST], pytest.approx(WORST), 0)
    with ResponseLedger(Store(tmp_path), ANSWERS) as ledger:
        (record,) = ledger.records()
    reason, _, shown = record["answer"]["text"].partition("\n")
    assert "not JSON" in reason or "not a JSON object" in reason
    assert len(shown) <= MAX_KEPT_CHARS and shown.startswith(body[:5].decode("utf-8", "replace"))
    with scripted(lambda asked: "A dog is barking.") as endpoint:
        found, spent = ask_dog(endpoint.model(), llm, tmp_path)
    assert (found, spent) == ({"freesound-1": "A dog is barking."}, PAID)


def test_an_endpoint_that_says_nothing_readable_ends_the_run(tmp_path: Path) -> None:
    with scripted(lambda asked: Response(b"<html>Log in</html>")) as endpoint:
        many = clips(*(f"dog {number}" for number in range(200)))
        with pytest.raises(EndpointError, match="not JSON"):
            run(many, SINGLE, endpoint.model(), tmp_path)
        # An answer counts once it is stored, so that each worker may have one that does not count yet.
        assert len(endpoint.requests) <= 20 + math.ceil(SINGLE.concurrency * WORKERS_A_REQUEST)


@pytest.mark.slow
def test_a_request_that_times_out_counts_at_its_most_and_may_be_asked_again(tmp_path: Path) -> None:
    released = threading.Event()
    tries: list[str] = []

    def script(body: dict[str, Any]) -> str:
        tries.append(asked(body))
        if len(tries) == 1:
            released.wait(30)
        return "A dog is barking."

    with scripted(script, in_threads=True) as endpoint:
        llm = priced(endpoint.root, budget_month_usd=9999.0)
        assert ask_dog(endpoint.model(timeout_s=0.5), llm, tmp_path) == ({}, pytest.approx(WORST))
        released.set()
        found, spent = ask_dog(endpoint.model(), llm, tmp_path)
    assert (found, spent) == ({"freesound-1": "A dog is barking."}, PAID)
    assert in_ledger(tmp_path) == ([LOST, "stop"], pytest.approx(WORST + PAID), 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("faults", "lost"),
    [
        # Heard, and nobody knows whether it was answered.
        ([500, 500], 2),
        ([502], 1),
        ([408], 1),
        # Refused: not paid for.
        ([429, 503], 0),
        ([409, 425], 0),
    ],
)
def test_each_request_is_admitted_by_itself(faults: list[int], lost: int, tmp_path: Path) -> None:
    left = list(faults)

    def script(body: dict[str, Any]) -> str | Response:
        if left:
            return JSONResponse({"error": {}}, left.pop(0), headers={"retry-after-ms": "1"})
        return "A dog is barking."

    with scripted(script) as endpoint:
        # Room for all that is lost and for one request more.
        llm = priced(endpoint.root, budget_run_usd=WORST * (lost + 1))
        found, spent = ask_dog(endpoint.model(max_retries=4), llm, tmp_path)
        assert len(endpoint.requests) == len(faults) + 1
    assert found == {"freesound-1": "A dog is barking."}
    assert spent == pytest.approx(WORST * lost + PAID)
    assert in_ledger(tmp_path)[1] == pytest.approx(spent)


@pytest.mark.slow
def test_repeats_stop_where_they_could_exceed_the_budget(tmp_path: Path) -> None:
    with scripted(lambda body: 500) as endpoint:
        llm = priced(endpoint.root, budget_run_usd=WORST * 2.5)
        with pytest.raises(BudgetExhausted):
            ask_dog(endpoint.model(max_retries=9), llm, tmp_path)
        assert len(endpoint.requests) == 2
    assert in_ledger(tmp_path)[:2] == ([LOST] * 2, pytest.approx(2 * WORST))


@pytest.mark.slow
def test_a_broken_answer_counts_and_a_closed_door_does_not(tmp_path: Path) -> None:
    with rude_server() as rude:
        rude.answers[PATH] = in_turn(lambda asked, connection: None, rude_answer(b"{}", length=99))
        model = Access(priced(rude.url), max_retries=1)
        assert ask_dog(model, priced(rude.url), tmp_path)[1] == pytest.approx(2 * WORST)
        url = rude.url
    with pytest.raises(EndpointError, match="nobody answers"):
        ask_dog(Access(priced(url), max_retries=1), priced(url), tmp_path)
    assert in_ledger(tmp_path)[0] == [LOST, LOST]


@pytest.mark.slow
@pytest.mark.parametrize("status", [400, 401, 404])
def test_what_is_refused_costs_nothing(status: int, tmp_path: Path) -> None:
    with scripted(lambda body: status) as endpoint:
        llm = priced(endpoint.root, budget_month_usd=WORST * 1.5)
        for _ in range(3):
            try:
                assert ask_dog(endpoint.model(), llm, tmp_path) == ({}, 0.0)
            except EndpointError:
                assert status != 400


def spend(endpoint: Endpoint, folder: Path, text: str, run: str, limit: float) -> None:
    prices = folder / "prices.toml"
    prices.write_text(PRICE_LIST)
    access = Access(priced(endpoint.root, budget_run_usd=limit, prices=prices))
    with access.session(folder, ONCE.limits, run=run) as session:
        caption_clips(clips(text), "freesound", ONCE, session)


def test_all_steps_of_a_run_share_its_budget(tmp_path: Path) -> None:
    with scripted(lambda body: f"A {asked(body)} is calling.") as endpoint:
        limit = WORST + 1.5 * PAID
        spend(endpoint, tmp_path, "dog", "one", limit)
        spend(endpoint, tmp_path, "cat", "one", limit)
        with pytest.raises(BudgetExhausted, match="this run has spent or reserved 34 USD"):
            spend(endpoint, tmp_path, "cow", "one", limit)
        spend(endpoint, tmp_path, "cow", "another", limit)
        # Without a name, each has a budget of its own.
        for text in ("hen", "pig", "owl"):
            spend(endpoint, tmp_path, text, "", limit)


def test_steps_share_a_budget_in_a_bucket_too(store: Store) -> None:
    llm = priced("http://127.0.0.1:1", budget_run_usd=WORST * 1.5)
    messages = PROMPT.messages(["dog"])
    run = f"run next to {store.describe(ANSWERS)}"
    for allowed in (True, False):
        with ResponseLedger(store, ANSWERS) as ledger, Budget(PRICES, MODEL, ledger, llm, run=run) as budget:
            if allowed:
                budget.reserve(messages, {"max_tokens": SINGLE.max_tokens})
                continue
            with pytest.raises(BudgetExhausted):
                budget.reserve(messages, {"max_tokens": SINGLE.max_tokens})


@pytest.mark.parametrize("limit", ["budget_run_usd", "budget_month_usd"])
def test_a_budget_requires_a_price_that_somebody_has_set(limit: str, tmp_path: Path) -> None:
    llm = ModelSettings(base_url="http://192.168.0.7/v1", model="mistral", **{limit: 5.0})
    with ResponseLedger(Store(tmp_path), ANSWERS) as ledger:
        with pytest.raises(PriceError, match="WAVCAPS_LLM__FREE=true"):
            Budget(PRICES, "mistral", ledger, llm)
        with Budget(PRICES, "mistral", ledger, llm.model_copy(update={"free": True})) as budget:
            assert budget.price is not None and budget.price.input == 0
        with Budget(PRICES, MODEL, ledger, llm):
            pass


def keyless(found: Callable[[], object]) -> str:
    """The whole traceback of an error, which must not contain the key."""
    import traceback

    try:
        found()
    except Exception as error:
        return "".join(traceback.format_exception(error))
    raise AssertionError("nothing was raised")


def test_no_error_shows_a_key_that_is_not_a_header(tmp_path: Path) -> None:
    from wavcaps_assets.llm.batch.endpoint import BatchEndpoint

    # Past the check of the settings, as by a copy.
    bad = priced("http://127.0.0.1:9").model_copy(update={"api_key": SecretStr(f"{SECRET}\n")})
    with BatchEndpoint(bad, 0) as endpoint:
        assert SECRET not in keyless(lambda: endpoint.upload("name", b"{}"))
    assert SECRET not in keyless(lambda: ask_dog(Access(bad, 0), bad, tmp_path))


def test_white_space_around_a_key_is_no_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from wavcaps_assets.settings import Settings

    monkeypatch.setenv("WAVCAPS_LLM__API_KEY", " sk-key\r\n")
    assert Settings().llm.api_key.get_secret_value() == "sk-key"
    for bad in ("sk-one sk-two", "sk-one\nsk-two", "sk-\N{EM DASH}one", "sk-\x00one"):
        if "\x00" not in bad:
            monkeypatch.setenv("WAVCAPS_LLM__API_KEY", bad)
            shown_error = keyless(Settings)
            assert "another character that no key has" in shown_error and "sk-" not in shown_error
        assert "sk-" not in keyless(partial(ModelSettings, api_key=SecretStr(bad))).splitlines()[-1]
