"""FreeSound's crawler against a server that answers as the API does, until it does not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from tests.sources.conftest import Opener
from tests.support.paths import DATA, SHARED
from tests.support.servers import running
from wavcaps_assets.crawl.licences import normalise_licence
from wavcaps_assets.network.errors import BadAnswer, NetworkError, NotAllowed, Unavailable
from wavcaps_assets.sources.base import Blanks, Record, Unread
from wavcaps_assets.sources.freesound import Freesound, month_bounds, months
from wavcaps_assets.sources.freesound_settings import FreesoundSettings
from wavcaps_assets.sources.freesound_sound import FIELDS, OPTIONAL_FIELDS

REAL = DATA / "freesound" / "apiv2_search_geo_barcelona.json"
MONTH = "2022-11"
MD5 = "0123456789abcdef0123456789abcdef"


def sound(number: int, **changes: Any) -> dict[str, Any]:
    """A sound with all fields that are asked for, of the types that the API documents."""
    return {
        "id": number,
        "name": f"sound {number}.wav",
        "description": "Rain.\r\n<b>Loud</b>",
        "tags": ["rain", "field-recording"],
        "username": "somebody",
        "license": "http://creativecommons.org/licenses/by/3.0/",
        "duration": 12.5,
        "samplerate": 44100.0,
        "channels": 2,
        "created": "2022-11-16T20:07:11.145",
        "previews": {"preview-hq-ogg": f"https://cdn.freesound.org/previews/0/{number}_1-hq.ogg"},
        "url": f"https://freesound.org/people/somebody/sounds/{number}/",
        "type": "wav",
        "filesize": 2_205_044,
        "md5": MD5,
        "gen_ai_preference": "no-gen-ai",
        "category": "Soundscapes",
        "subcategory": "Nature",
        "category_is_user_provided": True,
        "is_explicit": False,
        "is_remix": False,
        **changes,
    }


@dataclass
class Api:
    """Pages of the sounds as they are when each is asked for.

    Attributes:
        sounds: all sounds.
        answers: what is said in place of a page, by its number.
        asked: the numbers of the pages, as they were asked for.
        before: called before each answer, with how many there were.
    """

    sounds: list[Any]
    answers: Mapping[int, Callable[[], Response]] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)
    before: Callable[[int], None] = lambda count: None
    url: str = ""

    def search(self, request: Request) -> Response:
        number, size = int(request.query_params["page"]), int(request.query_params["page_size"])
        self.before(len(self.asked))
        self.asked.append(number)
        if number in self.answers:
            return self.answers[number]()
        start = (number - 1) * size
        if start >= len(self.sounds) and number > 1:
            return JSONResponse({"detail": "Invalid page."}, status_code=404)
        return JSONResponse({"count": len(self.sounds), "results": self.sounds[start : start + size]})


@contextmanager
def serving(api: Api) -> Iterator[Api]:
    with running(Starlette(routes=[Route("/apiv2/search/", api.search)])) as url:
        api.url = url
        yield api


def crawl(api: Api, network_to: Opener, **settings: Any) -> list[Record | Unread | Blanks]:
    with serving(api):
        chosen = {"token": "key", "first_month": MONTH, "last_month": MONTH, "page_size": 2, **settings}
        source = Freesound(FreesoundSettings(base_url=api.url, **chosen), Path("nowhere"))
        return list(source.records(network_to(api.url), MONTH))


def ids(found: list[Record | Unread | Blanks]) -> list[str]:
    return [item.source_id for item in found if isinstance(item, Record) and not item.problem]


def unread(found: list[Record | Unread | Blanks]) -> dict[str, str]:
    return {item.part: item.problem for item in found if isinstance(item, Unread)}


def test_all_that_a_sound_says_is_read(network_to: Opener) -> None:
    (record,) = crawl(Api([sound(7)]), network_to)
    assert record == Record(
        source_id="7",
        audio_url="https://cdn.freesound.org/previews/0/7_1-hq.ogg",
        title="sound 7.wav",
        description="Rain.\r\n<b>Loud</b>",
        tags=("rain", "field-recording"),
        author="somebody",
        licence="http://creativecommons.org/licenses/by/3.0/",
        page_url="https://freesound.org/people/somebody/sounds/7/",
        claimed_duration_s=12.5,
        claimed_sample_rate=44100,
        claimed_channels=2,
        claimed_format="wav",
        claimed_bytes=2_205_044,
        created="2022-11-16T20:07:11.145",
        gen_ai_preference="no-gen-ai",
        category="Soundscapes",
        subcategory="Nature",
        category_is_user_provided=True,
        is_explicit=False,
        is_remix=False,
        synthetic=False,
    )
    assert set(FIELDS.split(",")) == sound(7).keys()


def optional_fields(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in OPTIONAL_FIELDS}


@pytest.mark.parametrize("value", [None, "", 5, ["no-gen-ai"], {"is": "no-gen-ai"}, 1.5, "x" * 10_000])
def test_an_optional_field_that_cannot_be_read_is_null_and_costs_no_sound(
    network_to: Opener, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    odd = dict.fromkeys(OPTIONAL_FIELDS, value)
    found = crawl(Api([sound(1, **odd), sound(2), sound(3, **odd)]), network_to)
    assert ids(found) == ["1", "2", "3"]
    assert optional_fields(found[0]) == dict.fromkeys(OPTIONAL_FIELDS)
    assert optional_fields(found[1]) == {name: sound(2)[name] for name in OPTIONAL_FIELDS}
    # Once each, and not where the source says nothing.
    assert len(caplog.records) == (0 if value in (None, "") else len(OPTIONAL_FIELDS))


def test_optional_fields_that_are_absent_are_null(network_to: Opener) -> None:
    old = {name: value for name, value in sound(1).items() if name not in OPTIONAL_FIELDS}
    (record,) = crawl(Api([old]), network_to)
    assert optional_fields(record) == dict.fromkeys(OPTIONAL_FIELDS)


@pytest.mark.parametrize(
    ("tags", "synthetic"),
    [
        (["rain", "GenAI"], True),
        (["genai"], True),
        (["GENAI", "rain"], True),
        (["rain", "not-genai", "genai-free"], False),
        ([], False),
        (None, None),
    ],
)
def test_a_sound_is_ai_made_if_it_is_tagged_so(
    network_to: Opener, tags: list[str] | None, synthetic: bool | None
) -> None:
    (record,) = crawl(Api([sound(1, tags=tags)]), network_to)
    assert isinstance(record, Record)
    assert record.synthetic is synthetic


@pytest.mark.skipif(not REAL.is_file(), reason=f"no real answer of FreeSound at {REAL}")
def test_a_published_answer_is_read(network_to: Opener) -> None:
    answer = json.loads(REAL.read_text(encoding="utf-8"))
    sounds = answer["results"]
    found = crawl(Api(sounds), network_to, page_size=150)
    assert ids(found) == [str(sound["id"]) for sound in sounds]
    records = [item for item in found if isinstance(item, Record)]
    assert len(records) == len(found) == 15
    for record, said in zip(records, sounds, strict=True):
        assert (record.title, record.description) == (said["name"], said["description"])
        assert record.author == said["username"]
        assert record.audio_url == said["previews"]["preview-hq-ogg"]
        # It was asked for without licences.
        assert normalise_licence(record.licence).name == "unknown"


def test_pages_are_turned_to_the_last(network_to: Opener) -> None:
    api = Api([sound(number) for number in range(1, 8)])
    assert ids(crawl(api, network_to)) == list("1234567")
    assert api.asked == [1, 2, 3, 4]
    assert crawl(Api([]), network_to) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (sound(2, duration="12.5"), "duration: Input should be a valid number"),
        (sound(2, duration=-1.0), "duration: "),
        (sound(2, duration=float("nan")), "duration: "),
        (sound(2, samplerate=1e300), "samplerate: "),
        (sound(2, tags="rain"), "tags: "),
        (sound(2, tags=["rain", 3]), "tags.1: "),
        (sound(2, previews=["http://a/"]), "previews: "),
        (sound(2, previews=None), "preview-hq-ogg"),
        (sound(2, previews={"preview-hq-ogg": "javascript:alert(1)"}), "preview-hq-ogg"),
        (sound(2, previews={"preview-hq-ogg": "file:///etc/passwd"}), "preview-hq-ogg"),
        (sound(2, license={"url": "x"}), "license: "),
        (sound(2, created="yesterday"), "created: "),
        (sound(2, filesize=2**70), "filesize: "),
        (sound(2, name=5, md5="short"), "name: Input should be a valid string; md5: "),
    ],
)
def test_a_malformed_sound_is_named_with_its_fault_and_costs_no_other(
    network_to: Opener, changed: Any, message: str
) -> None:
    text = json.dumps({"count": 3, "results": [sound(1), changed, sound(3)]})
    found = crawl(Api([], {1: lambda: PlainTextResponse(text)}), network_to, page_size=3)
    assert ids(found) == ["1", "3"]
    (bad,) = (item for item in found if isinstance(item, Record) and item.problem)
    assert bad.source_id == "2"
    assert message in (bad.problem or "")


def test_what_is_no_sound_at_all_is_set_aside(network_to: Opener) -> None:
    nameless = {name: value for name, value in sound(9).items() if name != "id"}
    sounds = [sound(1), nameless, "rain", None, sound(2, id="2"), sound(3)]
    found = crawl(Api(sounds), network_to, page_size=6)
    assert ids(found) == ["1", "3"]
    bad = [item for item in found if isinstance(item, Record) and item.problem]
    assert [item.source_id for item in bad] == [""] * 3
    assert "id: Field required" in (bad[0].problem or "")


def test_links_of_a_sound_are_data(network_to: Opener) -> None:
    (record,) = crawl(Api([sound(1, url="javascript:alert(1)")]), network_to)
    assert isinstance(record, Record)
    assert record.page_url is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "answer",
    [
        lambda: PlainTextResponse("<html>Just a moment</html>"),
        lambda: PlainTextResponse('{"count": 7, "results": ['),
        lambda: PlainTextResponse("", status_code=500),
        lambda: JSONResponse({"count": "7", "results": []}),
        lambda: JSONResponse({"count": 7}),
        lambda: JSONResponse(["unexpected"]),
    ],
)
def test_an_unreadable_page_costs_its_own_sounds_only(
    network_to: Opener, answer: Callable[[], Response]
) -> None:
    api = Api([sound(number) for number in range(1, 8)], {3: answer})
    found = crawl(api, network_to)
    assert ids(found) == list("12347")
    assert unread(found).keys() == {"page-3"}
    assert unread(found)["page-3"]
    assert api.asked == [1, 2, 3, 4]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda: JSONResponse({"results": []}), BadAnswer),
        (lambda: JSONResponse({"count": "3", "results": []}), BadAnswer),
        (lambda: JSONResponse({"count": 3, "results": []}), BadAnswer),
        (lambda: JSONResponse({"count": 3, "results": {}}), BadAnswer),
        (lambda: JSONResponse(["unexpected"]), BadAnswer),
        (lambda: PlainTextResponse("<html>"), BadAnswer),
        (lambda: PlainTextResponse("", status_code=503), Unavailable),
        (lambda: JSONResponse({"detail": "Invalid token"}, status_code=401), NotAllowed),
    ],
)
def test_without_a_first_page_there_is_no_crawl(
    network_to: Opener, answer: Callable[[], Response], error: type[NetworkError]
) -> None:
    with pytest.raises(error):
        crawl(Api([], {1: answer}), network_to)


def test_a_key_that_is_refused_half_way_ends_the_crawl(network_to: Opener) -> None:
    refused = {2: lambda: JSONResponse({"detail": "Invalid token"}, status_code=401)}
    with pytest.raises(NotAllowed):
        crawl(Api([sound(number) for number in range(1, 8)], refused), network_to)


def test_no_key_is_one_clear_error(network_to: Opener) -> None:
    with pytest.raises(NotAllowed, match="WAVCAPS_FREESOUND__TOKEN"):
        crawl(Api([]), network_to, token="")


def test_a_page_that_repeats_ends_the_turning(network_to: Opener) -> None:
    first = {"count": 1_000_000, "results": [sound(1), sound(2)]}
    api = Api([], {number: lambda: JSONResponse(first) for number in range(1, 1000)})
    found = crawl(api, network_to)
    assert ids(found) == ["1", "2"]
    assert "on earlier pages" in unread(found)["page-2"]
    assert api.asked == [1, 2]


def test_pages_without_end_come_to_one(network_to: Opener) -> None:
    api = Api([sound(number) for number in range(1, 1001)])
    found = crawl(api, network_to, most_pages=3)
    assert ids(found) == list("123456")
    assert "WAVCAPS_FREESOUND__MOST_PAGES" in unread(found)["page-4"]
    assert len(api.asked) == 3


def test_sounds_that_go_while_pages_are_turned_hide_no_other(network_to: Opener) -> None:
    api = Api([sound(number) for number in range(1, 8)])

    def before(count: int) -> None:
        # One goes from the first page: without a second reading, the third sound is never seen.
        if count == 1:
            del api.sounds[0]

    api.before = before
    found = crawl(api, network_to)
    assert sorted(ids(found)) == list("1234567")
    assert unread(found) == {}
    assert api.asked == [1, 2, 3, 1, 2, 3]


def test_sounds_that_come_while_pages_are_turned_are_read_too(network_to: Opener) -> None:
    api = Api([sound(number) for number in range(1, 5)])

    def before(count: int) -> None:
        if count == 1:
            api.sounds.insert(0, sound(9))

    api.before = before
    found = crawl(api, network_to)
    assert sorted(ids(found)) == list("12349")
    assert unread(found) == {}


def test_a_page_that_is_gone_when_its_turn_comes_is_no_lost_page(network_to: Opener) -> None:
    api = Api([sound(1), sound(2), sound(3)])

    def before(count: int) -> None:
        if count == 1:
            del api.sounds[2]

    api.before = before
    found = crawl(api, network_to)
    assert ids(found) == ["1", "2"]
    assert unread(found) == {}
    assert api.asked == [1, 2, 1]


def test_a_month_that_never_rests_is_said_to_be_incomplete(network_to: Opener) -> None:
    api = Api([sound(number) for number in range(1, 6)])

    def before(count: int) -> None:
        api.sounds.append(sound(100 + count))

    api.before = before
    found = crawl(api, network_to)
    assert {"1", "2", "3", "4", "5"} <= set(ids(found))
    assert "added or removed in each of 3 readings" in unread(found)["listing"]


def test_a_count_that_is_never_reached_is_told(network_to: Opener) -> None:
    short = {1: lambda: JSONResponse({"count": 2, "results": [sound(1)]})}
    found = crawl(Api([], short), network_to)
    assert ids(found) == ["1"]
    assert unread(found) == {"listing": "the source reports 2 sounds, 1 were found"}


def test_originals_are_downloaded_by_number_and_verified(network_to: Opener) -> None:
    (record,) = crawl(api := Api([sound(7, previews=None)]), network_to, audio="original")
    assert isinstance(record, Record)
    assert record.audio_url == f"{api.url}/apiv2/sounds/7/download/"
    assert (record.claimed_md5, record.problem) == (MD5, None)


def test_months_are_the_papers() -> None:
    # FreeSound started in April 2005; the paper's data end on 30 November 2022 (section III.A).
    assert len(months("2005-04", "2022-11")) == 212
    assert month_bounds("2020-02") == ("2020-02-01T00:00:00Z", "2020-02-29T23:59:59.999Z")
    assert month_bounds("2022-12")[1] == "2022-12-31T23:59:59.999Z"


NULLS = SHARED / "cases" / "freesound" / "page_with_nulls.json"


@pytest.mark.parametrize("where", ["among sounds", "on a page of their own"])
def test_nulls_in_the_results_count_as_seen(network_to: Opener, where: str) -> None:
    sounds = [sound(1), None, None, sound(2)] if where == "among sounds" else [sound(1), sound(2), None, None]
    found = crawl(Api(sounds), network_to)
    assert ids(found) == ["1", "2"]
    assert unread(found) == {}
    assert [item for item in found if isinstance(item, Blanks)] == [Blanks(2)]


@pytest.mark.skipif(not NULLS.is_file(), reason=f"no answer with nulls at {NULLS}")
def test_a_real_answer_with_nulls_is_whole(network_to: Opener) -> None:
    results = json.loads(NULLS.read_text(encoding="utf-8"))["results"]
    found = crawl(Api(results), network_to, page_size=150)
    assert (ids(found), unread(found)) == (["700001"], {})


def test_a_bad_byte_costs_one_sound_which_is_listed_all_the_same(network_to: Opener) -> None:
    page = JSONResponse({"count": 3, "results": [sound(1), sound(2), sound(3)]}).body
    damaged = bytes(page).replace(b'"sound 2.wav"', b'"sound \xff.wav"')
    found = crawl(Api([], {1: lambda: Response(damaged)}), network_to, page_size=3)
    assert ids(found) == ["1", "3"]
    (bad,) = [item for item in found if isinstance(item, Record) and item.problem]
    assert (bad.source_id, bad.problem) == ("2", "it has bytes that are not UTF-8")
    assert len(found) == 3


@pytest.mark.parametrize("nameless", ["a text", {"name": "no id"}, {"id": "12"}, {"id": 2.5}, [], 7])
def test_a_result_without_an_id_may_be_any_sound_so_that_none_counts_as_gone(
    network_to: Opener, nameless: object
) -> None:
    found = crawl(Api([sound(1), nameless, sound(3)]), network_to)
    assert ids(found) == ["1", "3"]
    assert [item for item in found if isinstance(item, Blanks)] == [Blanks(1)]
    assert not unread(found)


def test_results_without_an_id_that_are_alike_count_each(network_to: Opener) -> None:
    found = crawl(Api([{"id": "?"}] * 6), network_to, page_size=6)
    assert [item.source_id for item in found if isinstance(item, Record) and item.problem] == [""] * 6
    assert [item for item in found if isinstance(item, Blanks)] == [Blanks(6)]
    assert not unread(found)


def test_pages_of_results_without_an_id_that_are_alike_end_the_turning(network_to: Opener) -> None:
    api = Api([{"id": "?"}] * 60)
    found = crawl(api, network_to)
    assert api.asked == [1, 2]
    assert len([item for item in found if isinstance(item, Record)]) == 2
    assert unread(found).keys() == {"page-2"}
