"""Captions ten texts with a language model, without Dagster. A second run pays for nothing.

    python examples/caption_texts.py STORE

WAVCAPS_LLM__BASE_URL, WAVCAPS_LLM__MODEL and WAVCAPS_LLM__API_KEY name the model. Without them it is that of
the demo, which runs as long as `make ui`. The answers are kept in the store's response ledger.
"""

from __future__ import annotations

import logging
import sys

from wavcaps_assets.llm.session import Session
from wavcaps_assets.settings import Settings
from wavcaps_assets.store.storage import open_store

INSTRUCTION = (
    "Describe the sound in one sentence of at most twelve words. Leave out names, places and devices."
)
TEXTS = (
    "Zoom H4n recording of rain on a tin roof, 3 am, Lisbon",
    "DOG_bark_03.wav - my neighbour's dog barking twice",
    "Steam train leaving the station, whistle at 0:12",
    "heavy wooden door creaks open then slams",
    "crowd cheering after goal, stadium, recorded with Sennheiser ME66",
    "frogs and crickets at a pond at night",
    "typing on a mechanical keyboard, close mic",
    "kettle comes to the boil and clicks off",
    "church bells ringing on Sunday in Krakow",
    "woman laughs, then a baby starts to cry",
)


def main(address: str) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with Session(Settings().llm, open_store(address), label="example") as session:
        requests = [
            session.request(
                [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": text}],
                max_tokens=40,
                temperature=0,
            )
            for text in TEXTS
        ]
        print(session.estimate(requests).summary)
        for text, answer in zip(TEXTS, session.ask(requests), strict=True):
            print(f"{text}\n  -> {'no answer' if answer is None else answer.text.strip()}")


if __name__ == "__main__":
    main(sys.argv[1])
