from __future__ import annotations

import hashlib
import io
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
import soundfile

from tests.support.paths import DATA
from wavcaps_assets.demo.clips import Corpus, DemoClip, Source
from wavcaps_assets.demo.protocols.freesound_tokens import Tokens

REAL = DATA / "freesound" / "apiv2_search_geo_barcelona.json"
SEARCH = "/freesound/apiv2/search/"
TOKEN = {"Authorization": "Token some-key"}


def search(client: httpx.Client, **params: Any) -> Any:
    answer = client.get(SEARCH, params=params, headers=TOKEN)
    assert answer.status_code == 200, answer.text
    return answer.json()


def shape(value: Any) -> Any:
    """The types of a JSON value, key by key; a list by its first element."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    return [shape(value[0])] if isinstance(value, list) and value else type(value)


def test_the_answer_has_the_shape_of_a_real_one(client: httpx.Client) -> None:
    if not REAL.is_file():
        pytest.skip(f"no real answer of FreeSound at {REAL}")
    real = json.loads(REAL.read_text(encoding="utf-8"))
    fields = real["next"].rpartition("fields=")[2]
    ours = search(client, query="", fields=fields, page_size=5)
    real_shape, our_shape = shape(real), shape(ours)
    # No clip of the demo has a place.
    for described in (real_shape, our_shape):
        described["results"][0].pop("geotag")
    assert our_shape == real_shape
    assert len(search(client, query="")["results"]) == len(real["results"])
    for kind, url in real["results"][0]["previews"].items():
        ending = url.rpartition("-")[2]
        assert ours["results"][0]["previews"][kind].endswith(ending)


def test_all_sounds_come_page_by_page_once_each(client: httpx.Client, corpus: Corpus) -> None:
    ids, page, more = [], 1, True
    while more:
        answer = search(client, query="", page=page, page_size=4, sort="created_asc", fields="id,created")
        ids += [str(sound["id"]) for sound in answer["results"]]
        assert answer["count"] == len(corpus.of(Source.FREESOUND))
        assert (answer["previous"] is None) == (page == 1)
        page, more = page + 1, answer["next"] is not None
    wanted = sorted(corpus.of(Source.FREESOUND), key=lambda clip: (clip.created, clip.source_id))
    assert ids == [clip.source_id for clip in wanted]
    beyond = client.get(SEARCH, params={"page": page}, headers=TOKEN)
    assert (beyond.status_code, beyond.json()) == (404, {"detail": "Invalid page."})


def test_the_next_link_lacks_the_token_but_leads_on(client: httpx.Client) -> None:
    first = client.get(SEARCH, params={"token": "secret", "page_size": 3, "fields": "id"}).json()
    assert "secret" not in first["next"]
    assert client.get(first["next"]).status_code == 401
    second = client.get(first["next"], headers=TOKEN).json()
    assert {s["id"] for s in second["results"]}.isdisjoint(s["id"] for s in first["results"])
    assert second["previous"].startswith("http://")


def test_both_ends_of_the_filter_are_inclusive(client: httpx.Client, corpus: Corpus) -> None:
    clip = corpus.of(Source.FREESOUND)[3]
    exactly = f"created:[{clip.created}Z TO {clip.created}Z]"
    assert [s["id"] for s in search(client, filter=exactly)["results"]] == [int(clip.source_id)]


def test_months_part_the_sounds(client: httpx.Client, corpus: Corpus) -> None:
    months = (
        ("2022-09-01T00:00:00Z", "2022-09-30T23:59:59.999Z"),
        ("2022-10-01T00:00:00Z", "2022-10-31T23:59:59.999Z"),
        ("2022-11-01T00:00:00Z", "*"),
    )
    counts = [search(client, filter=f"created:[{first} TO {last}]")["count"] for first, last in months]
    assert all(counts)
    assert sum(counts) == len(corpus.of(Source.FREESOUND))
    assert search(client, filter="created:[* TO 2022-08-31T23:59:59Z]")["count"] == 0


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"filter": "duration:[1 TO 5]"}, "created"),
        ({"filter": "created:[last week TO *]"}, "created"),
        ({"filter": "created:[yesterday TO *]"}, "yesterday"),
        ({"query": "bells"}, "empty query"),
        ({"sort": "rating_desc"}, "rating_desc"),
        ({"page": "0"}, "page"),
        ({"page_size": "many"}, "page_size"),
    ],
)
def test_what_the_demo_does_not_speak_is_refused_plainly(
    client: httpx.Client, params: dict[str, str], said: str
) -> None:
    answer = client.get(SEARCH, params=params, headers=TOKEN)
    assert answer.status_code == 400
    assert said in answer.json()["detail"]


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Token"}, {"Authorization": "some-key"}])
def test_without_a_token_nothing_is_told(client: httpx.Client, headers: dict[str, str]) -> None:
    answer = client.get("/freesound/apiv2/search/", headers=headers)
    assert answer.status_code == 401
    assert set(answer.json()) == {"detail"}


def test_fields_default_as_documented_and_pages_hold_150_at_most(client: httpx.Client) -> None:
    assert set(search(client)["results"][0]) == {"id", "name", "tags", "username", "license"}
    assert client.get(SEARCH, params={"page_size": 500}, headers=TOKEN).status_code == 200


def test_fields_of_2026_are_said_absent_or_null(client: httpx.Client, corpus: Corpus) -> None:
    fields = {"gen_ai_preference", "category", "subcategory", "category_is_user_provided", "is_explicit"}
    sounds = search(client, fields="id,tags," + ",".join(fields), page_size=150)["results"]
    said = [{name: sound[name] for name in fields if name in sound} for sound in sounds]
    assert {} in said
    assert {sound["category"] for sound in said if sound} == {None, "Sound effects"}
    # The recordings are real, and nobody asked their authors.
    own = {int(clip.source_id) for clip in corpus.of(Source.FREESOUND) if clip.made_for_demo}
    other = {"no-additional-preferences", None}
    assert all(sound["id"] in own or sound.get("gen_ai_preference") in other for sound in sounds)
    assert not any(tag.lower() == "genai" for sound in sounds for tag in sound["tags"])


def preview(client: httpx.Client, clip: DemoClip, kind: str) -> httpx.Response:
    instant = f"{clip.created}Z"
    found = search(client, filter=f"created:[{instant} TO {instant}]", fields="id,previews")["results"]
    return client.get(next(s["previews"][kind] for s in found if str(s["id"]) == clip.source_id))


@pytest.mark.parametrize("kind", ["preview-hq-ogg", "preview-lq-ogg", "preview-hq-mp3", "preview-lq-mp3"])
def test_previews_are_the_clip_in_another_format(client: httpx.Client, corpus: Corpus, kind: str) -> None:
    clip = corpus.of(Source.FREESOUND)[0]
    answer = preview(client, clip, kind)
    assert answer.status_code == 200
    about = soundfile.info(io.BytesIO(answer.content))
    assert about.format == {"ogg": "OGG", "mp3": "MP3"}[kind[-3:]]
    assert about.duration == pytest.approx(clip.duration_s, abs=0.1)
    assert preview(client, clip, kind).content == answer.content


def test_a_sound_without_audio_answers_404(client: httpx.Client, corpus: Corpus) -> None:
    lost = next(clip for clip in corpus.of(Source.FREESOUND) if clip.audio is None)
    assert preview(client, lost, "preview-hq-ogg").status_code == 404
    assert client.get("/freesound/data/previews/1/1_1-hq.ogg").status_code == 404


def grant(client: httpx.Client, **form: str) -> httpx.Response:
    given = {"client_id": "me", "client_secret": "hush", **form}
    return client.post("/freesound/apiv2/oauth2/access_token/", data=given)


def original(client: httpx.Client, number: str, authorization: str = "") -> httpx.Response:
    headers = {"Authorization": authorization} if authorization else {}
    return client.get(f"/freesound/apiv2/sounds/{number}/download/", headers=headers)


def test_originals_are_for_those_with_leave(client: httpx.Client, corpus: Corpus) -> None:
    clip = corpus.of(Source.FREESOUND)[0]
    given = grant(client, grant_type="authorization_code", code="first code")
    assert given.status_code == 200
    # As FreeSound's documentation shows the answer.
    assert given.json().keys() == {"access_token", "scope", "expires_in", "refresh_token"}
    assert given.json()["expires_in"] == 86_400
    bearer = f"Bearer {given.json()['access_token']}"
    answer = original(client, clip.source_id, bearer)
    assert answer.status_code == 200
    (listed,) = (
        sound
        for sound in search(client, fields="id,md5,filesize")["results"]
        if sound["id"] == int(clip.source_id)
    )
    assert hashlib.md5(answer.content, usedforsecurity=False).hexdigest() == listed["md5"]
    assert len(answer.content) == listed["filesize"]
    assert answer.headers["content-disposition"].startswith("attachment")
    lost = next(clip for clip in corpus.of(Source.FREESOUND) if clip.audio is None)
    assert original(client, lost.source_id, bearer).status_code == 404
    assert original(client, "1", bearer).status_code == 404
    for refused in ("", "Token some-key", "Bearer", "Bearer some-key"):
        assert original(client, clip.source_id, refused).status_code == 401


def test_codes_and_refresh_tokens_are_good_once(client: httpx.Client, corpus: Corpus) -> None:
    number = corpus.of(Source.FREESOUND)[0].source_id
    first = grant(client, grant_type="authorization_code", code="another code").json()
    again = grant(client, grant_type="authorization_code", code="another code")
    assert (again.status_code, again.json()) == (400, {"error": "invalid_grant"})
    second = grant(client, grant_type="refresh_token", refresh_token=first["refresh_token"]).json()
    reused = grant(client, grant_type="refresh_token", refresh_token=first["refresh_token"])
    assert (reused.status_code, reused.json()) == (400, {"error": "invalid_grant"})
    assert original(client, number, f"Bearer {first['access_token']}").json() == {"detail": "Invalid token"}
    assert original(client, number, f"Bearer {second['access_token']}").status_code == 200


@pytest.mark.parametrize(
    ("form", "status", "word"),
    [
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, 400, "invalid_grant"),
        ({"grant_type": "refresh_token", "refresh_token": "made up"}, 400, "invalid_grant"),
        ({"grant_type": "authorization_code", "code": "x", "client_secret": ""}, 401, "invalid_client"),
        ({"grant_type": "authorization_code", "code": "x", "client_id": ""}, 401, "invalid_client"),
    ],
)
def test_no_token_without_a_grant(client: httpx.Client, form: dict[str, str], status: int, word: str) -> None:
    answer = grant(client, **form)
    assert (answer.status_code, answer.json()) == (status, {"error": word})


def test_access_tokens_expire() -> None:
    now = 0.0
    tokens = Tokens(life_s=60, clock=lambda: now)
    asked = {"client_id": "me", "client_secret": "hush", "grant_type": "authorization_code", "code": "x"}
    token = tokens.answer(asked)["access_token"]
    assert tokens.problem(token) is None
    now = 60.0
    assert tokens.problem(token) == "Expired token"


def test_dates_are_written_as_freesound_writes_them(corpus: Corpus) -> None:
    for clip in corpus.of(Source.FREESOUND):
        assert datetime.strptime(clip.created, "%Y-%m-%dT%H:%M:%S.%f").replace(tzinfo=UTC)
    assert len(clip.created) == len("2014-04-16T20:07:11.145")
