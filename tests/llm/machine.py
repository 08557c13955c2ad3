"""One of several machines that share a bucket: a process with a clock, a name and settings of its own.

Its argument is a JSON object; see `main`. It prints one, too.
"""

from __future__ import annotations

import json
import socket
import sys
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import SecretStr

from wavcaps_assets import clock
from wavcaps_assets.store import shared_leases


def main() -> None:
    given = json.loads(sys.argv[1])
    skew = timedelta(seconds=given["skew_s"])
    right = clock.utc_now

    def wrong() -> datetime:
        return right() + skew

    clock.utc_now = wrong
    socket.gethostname = lambda: str(given["host"])
    shared_leases.BEAT_S = given["expires_s"] / 10
    shared_leases.EXPIRES_S = given["expires_s"]
    print(json.dumps(ask(given)))  # noqa: T201


def ask(given: dict[str, object]) -> dict[str, object]:
    # Imported once the clock is wrong.
    from tests.llm.scripted_model import KEY, MODEL
    from tests.support.s3 import REGION
    from wavcaps_assets.llm.chat import AnswerError
    from wavcaps_assets.llm.messages import Message
    from wavcaps_assets.llm.records import Answer, Request
    from wavcaps_assets.llm.session import Session
    from wavcaps_assets.llm.settings import ModelSettings, RequestLimits
    from wavcaps_assets.network.errors import Paused
    from wavcaps_assets.store.errors import StoreError
    from wavcaps_assets.store.storage import open_store

    llm = ModelSettings(
        base_url=f"{given['llm']}/v1",
        model=MODEL,
        api_key=SecretStr(KEY),
        prices=Path(str(given["prices"])),
        budget_month_usd=float(str(given["month_usd"])),
    )
    texts = given["texts"]
    assert isinstance(texts, list)
    answers: dict[str, str] = {}

    def keep(request: Request, outcome: Answer | AnswerError) -> tuple[()]:
        if isinstance(outcome, Answer):
            answers[request.inputs[0]] = outcome.text
        return ()

    stopped = ""
    store = open_store(str(given["root"]), str(given["s3"]), REGION)
    with Session(llm, store, limits=RequestLimits(concurrency=4), run=str(given["host"])) as session:
        requests = [session.request([Message(role="user", content=text)], max_tokens=10) for text in texts]
        try:
            session.process(requests, keep)
        except (Paused, StoreError) as error:
            stopped = f"{type(error).__name__}: {error}"
    return {"answers": answers, "stopped": stopped}


if __name__ == "__main__":
    main()
