"""One bad byte on a page costs one sound, and not the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import DATA
from tests.support.rude_server import answer, in_turn, rude_server
from wavcaps_assets.network.client import Network
from wavcaps_assets.network.json_pages import DamagedItem, is_damaged, parse
from wavcaps_assets.network.links import host_of
from wavcaps_assets.network.pages import PageLog
from wavcaps_assets.network.settings import UNLIMITED, NetworkSettings
from wavcaps_assets.store.storage import Store

REAL = DATA / "freesound" / "apiv2_search_geo_barcelona.json"
SOUNDS = [
    {
        "id": n,
        "name": f"sound {n}",
        "tags": ["a", "b"],
        "previews": {"hq": f"https://x/{n}"},
        "text": "]} , {",
    }
    for n in range(150)
]
PAGE = json.dumps({"count": 150, "next": None, "results": SOUNDS, "previous": None}).encode()
DAMAGE = {
    "a byte that is not UTF-8": (b'"sound 75"', b'"sound \xff75"', 75),
    "a byte that is not UTF-8 in a number": (b'"id": 75,', b'"id": 7\xff,', None),
    "a byte that is not UTF-8 in a key": (b'"id": 75,', b'"i\xff": 75,', None),
    "a quotation mark that is missing": (b'"sound 75"', b'"sound 75', 75),
    "a comma that is missing": (b'"sound 75",', b'"sound 75"', 75),
    "a zero byte between": (b'{"id": 75,', b'{\x00"id": 75,', 75),
    "the last one": (b'"sound 149"', b'"sound \xc3"', 149),
    "the last one is not JSON": (b'"sound 149"', b"sound 149", 149),
    "the first one": (b'"sound 0"', b'"sound \xc3"', 0),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("space", [b"", b"\n  "], ids=["one line", "many lines"])
def test_one_damaged_sound_costs_one_sound(damage: tuple[bytes, bytes, int | None], space: bytes) -> None:
    before, after, number = damage
    assert PAGE.count(before) == 1
    page = PAGE.replace(before, after)
    page = page.replace(b"}, {", b"}," + space + b"{").replace(b"}]", b"}" + space + b"]")
    found = parse(page)
    assert (found["count"], found["next"], found["previous"]) == (150, None, None)
    (damaged,) = [item for item in found["results"] if isinstance(item, DamagedItem)]
    assert damaged.id == number
    place = found["results"].index(damaged)
    assert place == (75 if number is None else number)
    assert [item for item in found["results"] if item is not damaged] == [
        *SOUNDS[:place],
        *SOUNDS[place + 1 :],
    ]
    assert is_damaged(found)


@pytest.mark.parametrize("text", [b'"sound\t75"', b'"sound\n75"', b'"sound \x0175"'])
def test_control_characters_cost_nothing(text: bytes) -> None:
    found = parse(PAGE.replace(b'"sound 75"', text))
    assert found["results"][75]["name"] == text.decode()[1:-1]
    assert not is_damaged(found)


def test_every_byte_of_one_sound_may_be_bad() -> None:
    start = PAGE.index(b'{"id": 75,')
    for place in range(start, PAGE.index(b'{"id": 76,') - 2):
        for bad in (b"\xff", b"\x00", b'"'):
            page = PAGE[:place] + bad + PAGE[place + 1 :]
            try:
                json.loads(page)
            except ValueError:
                found = parse(page)
                others = [item for item in found["results"] if item in SOUNDS]
                assert len(others) >= 148, (place, bad)


@pytest.mark.parametrize(
    "body",
    [
        PAGE[:-100],
        PAGE[: PAGE.index(b'"sound 75"')],
        PAGE.replace(b'"count"', b'"co\xffunt"'),
        PAGE.replace(b'"results"', b'"results'),
        b"<html>\xff",
        b'{"count": 1, "results": [\xff]}',
        b"",
        b"[" * 100_000,
    ],
)
def test_a_page_that_is_cut_off_or_another_is_no_page(body: bytes) -> None:
    with pytest.raises((ValueError, RecursionError)):
        parse(body)


@pytest.mark.skipif(not REAL.is_file(), reason="needs the real page of shared/data/freesound")
def test_a_real_page_with_a_bad_byte() -> None:
    body = REAL.read_bytes()
    whole: dict[str, Any] = json.loads(body)
    name = json.dumps(whole["results"][3]["name"]).encode()
    found = parse(body.replace(name, name[:-1] + b'\xe9"', 1))
    assert isinstance(found["results"][3], DamagedItem)
    assert [*found["results"][:3], *found["results"][4:]] == [*whole["results"][:3], *whole["results"][4:]]


def test_a_page_with_damage_is_requested_again_by_a_crawl_that_continues(tmp_path: Path) -> None:
    with rude_server() as server:
        bad = answer(PAGE.replace(b'"sound 75"', b'"sound \xff75"'))
        server.answers["/page"] = in_turn(bad, answer(PAGE))
        settings = NetworkSettings(private_hosts=frozenset({host_of(server.url)}), other_quota=UNLIMITED)
        found = []
        for _ in range(3):
            pages = PageLog(Store(tmp_path / "store"), "log/pages", None)
            with Network(tmp_path, settings) as network, network.using_pages(pages):
                found.append(is_damaged(network.get_json(f"{server.url}/page")))
        assert (found, server.times("/page")) == ([True, False, False], 2)
