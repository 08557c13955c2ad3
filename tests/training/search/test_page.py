"""The search page: a real server, a folder and a bucket, ranges, ratings, uploads, and what is refused."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import soundfile

from tests.support.servers import running
from tests.training.search.small_index import CAPTIONS, HOSTILE, RATE, SmallSet, small_set, tone
from wavcaps_assets.store.storage import Store
from wavcaps_training.search.page import uploads
from wavcaps_training.search.page.app import build_app
from wavcaps_training.search.page.audio import NotThere, requested_range
from wavcaps_training.search.ratings import Ratings, ratings_table
from wavcaps_training.tables import GENERATED_SOUNDS


@dataclass
class Page:
    """A running server with a client."""

    client: httpx.Client
    small: SmallSet
    token: str

    def rate(self, thumb: str = "up", **changes: str) -> httpx.Response:
        form = {
            "token": self.token,
            "query_kind": "text",
            "query": "dog barking",
            "clip_id": "freesound-0",
            "rank": "1",
            "score": "0.5",
            "thumb": thumb,
        }
        return self.client.post("/rate", data=form | changes)


@contextmanager
def serving(small: SmallSet) -> Iterator[Page]:
    with (
        Ratings(small.store) as ratings,
        running(build_app(small.open(), small.store, ratings)) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=60) as client,
    ):
        found = re.search(r'data-token="([^"]+)"', client.get("/").text)
        assert found
        yield Page(client, small, found[1])


@pytest.fixture
def page(store: Store, tmp_path: Path) -> Iterator[Page]:
    with serving(small_set(store, tmp_path / "state")) as served:
        yield served


@pytest.fixture
def local_page(tmp_path: Path) -> Iterator[Page]:
    with serving(small_set(Store(tmp_path / "store"), tmp_path / "state")) as served:
        yield served


@pytest.mark.slow
def test_audio_is_streamed_in_ranges(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wavcaps_training.search.page.audio.PART_BYTES", 1000)
    content = page.small.store.read_bytes("audio/freesound/freesound-1.flac")
    get = lambda headers=None: page.client.get("/audio?clip=freesound-1", headers=headers)  # noqa: E731
    whole = get()
    assert (whole.status_code, whole.content) == (200, content)
    assert whole.headers["content-type"] == "audio/flac"
    assert whole.headers["accept-ranges"] == "bytes"
    for header, expected in (
        ("bytes=0-99", content[:100]),
        ("bytes=500-3499", content[500:3500]),
        ("bytes=100-", content[100:]),
        ("bytes=-7", content[-7:]),
        ("bytes=0-99999999", content),
    ):
        part = get({"Range": header})
        assert (part.status_code, part.content) == (206, expected), header
        start = content.index(expected)
        span = f"bytes {start}-{start + len(expected) - 1}/{len(content)}"
        assert part.headers["content-range"] == span
    beyond = get({"Range": f"bytes={len(content)}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(content)}")
    # Another version of the file: a part of this one would not fit.
    assert get({"Range": "bytes=0-9", "If-Range": '"other"'}).content == content
    assert get({"Range": "bytes=0-9", "If-Range": whole.headers["etag"]}).content == content[:10]
    head = page.client.head("/audio?clip=freesound-1")
    assert head.headers["content-length"] == str(len(content)) and not head.content
    # The ratings are in the same store.
    assert page.rate().status_code == 303
    assert ratings_table(page.small.store)["clip_id"].to_pylist() == ["freesound-0"]
    page.small.store.remove("audio/freesound/freesound-1.flac")
    assert get().status_code == 404


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=9-20", (9, 10)),
        ("bytes=-20", (0, 10)),
        ("", None),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("items=0-1", None),
        ("bytes=1.5-2", None),
        pytest.param(f"bytes={'9' * 5000}-", None, id="5000 digits"),
    ],
)
def test_ranges_that_are_no_range_give_the_whole_file(header: str, expected: tuple[int, int] | None) -> None:
    assert requested_range(header, 10) == expected


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_a_range_beyond_the_end_is_refused(header: str) -> None:
    with pytest.raises(NotThere):
        requested_range(header, 10)


def test_crawled_text_is_text(local_page: Page) -> None:
    answer = local_page.client.get("/", params={"q": HOSTILE})
    assert answer.status_code == 200
    assert (
        HOSTILE not in answer.text and html.escape(HOSTILE, quote=False).replace("'", "&#39;") in answer.text
    )
    assert "javascript:" not in answer.text
    assert "default-src 'none'; script-src 'self'" in answer.headers["content-security-policy"]
    scripts = re.findall(r"<script[^>]*>", answer.text)
    assert scripts == ['<script src="/page.js" defer>']
    # The credit line and the licence of each clip.
    assert answer.text.count("freesound-0, CC0") == 1 and answer.text.count(">CC0-1.0<") == 5
    listed = local_page.client.get("/", params={"like": "freesound-2"})
    assert HOSTILE not in listed.text and "its own caption" in listed.text


def test_generated_sounds_are_played_next_to_real_ones(tmp_path: Path) -> None:
    small = small_set(Store(tmp_path / "store"), tmp_path / "state")
    sounds = {}
    for number, text in enumerate(("A dog barks.", HOSTILE, "Bells ring.", "Rain falls on a roof.")):
        path = f"generated/{number}.flac"
        with small.store.writing(path) as file:
            soundfile.write(file, tone(100 * (number + 1)), RATE, format="FLAC")
        near = "freesound-0" if number else "freesound-gone"
        sounds[text] = generated_row(f"{number}", text, path, near)
    small.tables.write(
        ["generated_sounds", "audioldm", "demo"], None, GENERATED_SOUNDS.from_rows(sounds.values())
    )
    with serving(small) as served:
        found = served.client.get("/", params={"q": HOSTILE}).text
        part = found.partition("Generated sounds</h2>")[2]
        # The text that is the query comes first; of four, three are shown.
        assert part.index(html.escape(HOSTILE, quote=False).replace("'", "&#39;")) < part.index("</h3>")
        assert part.count('<li class="made">') == 3 and "<script>" not in part
        assert "/audio?generated=1" in part and "/audio?clip=freesound-gone" not in part
        # A real clip has its credit line; what is not published is not quoted.
        (near,) = small.tables.read(["wavcaps"]).slice(0, 1).to_pylist()
        assert part.count('class="credit"') == part.count("/audio?clip=freesound-0") > 0
        assert html.escape(near["attribution"], quote=False) in part
        gone = served.client.get("/", params={"q": "A dog barks."}).text.partition("Generated sounds</h2>")[2]
        listed = gone.partition("freesound-gone")[2].partition("</li>")[0]
        assert "not among those that can be searched now" in listed and "A dog barks." not in listed
        whole = served.client.get("/audio", params={"generated": "1"})
        assert whole.content == small.store.read_bytes("generated/1.flac")
        assert served.client.get("/audio", params={"generated": "9"}).status_code == 404
        assert "Generated sounds" not in served.client.get("/", params={"like": "freesound-2"}).text


def generated_row(sound_id: str, text: str, path: str, nearest: str) -> dict[str, object]:
    return {
        **dict.fromkeys(("samples_sha256", "weights_sha256", "conditioned_by_sha256"), sound_id),
        **dict.fromkeys(("seed", "candidate"), 0),
        **dict.fromkeys(("similarity", "nearest_similarity", "duration_s", "eta", "guidance"), 0.5),
        "sound_id": sound_id,
        "text": text,
        "audio_path": path,
        "sample_rate": RATE,
        "checkpoint": "audioldm/demo",
        "conditioned_by": "aisfx_minilm/demo",
        "steps": 200,
        "candidates": 3,
        "nearest_clip_id": nearest,
        "nearest_caption": "A dog barks.",
        "nearest_audio_path": "audio/gone.flac",
    }


def test_names_that_are_no_clip_are_not_there(local_page: Page) -> None:
    for clip_id in ("../../../etc/passwd", "", "freesound-99", "freesound-0/../freesound-1", "\x00", HOSTILE):
        audio = local_page.client.get("/audio", params={"clip": clip_id})
        assert audio.status_code == 404 and HOSTILE not in audio.text
        assert local_page.client.get("/", params={"like": clip_id}).status_code == 400
    for path in ("/page.html", "/app.py", "/..%2fapp.py", "/%2e%2e/index.py"):
        assert local_page.client.get(path).status_code == 404


def test_audio_outside_the_store_is_not_there(tmp_path: Path) -> None:
    small = small_set(Store(tmp_path / "store"), tmp_path / "state")
    (tmp_path / "secret.flac").write_bytes(b"secret")
    published = small.tables.read(["wavcaps"], ["all"])
    place = published.column_names.index("audio_path")
    paths = ["../secret.flac", str(tmp_path / "secret.flac"), *published["audio_path"].to_pylist()[2:]]
    small.tables.write(["wavcaps"], None, published.set_column(place, published.schema.field(place), [paths]))
    with serving(small) as page:
        for clip_id in ("freesound-0", "freesound-1"):
            answer = page.client.get("/audio", params={"clip": clip_id})
            assert answer.status_code == 404 and b"secret" not in answer.content


def test_other_sites_are_kept_out(local_page: Page) -> None:
    client = local_page.client
    assert client.get("/", headers={"Host": "evil.example:80"}).status_code == 400
    assert client.get("/", headers={"Host": "localhost:1"}).status_code == 200
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        form = {"token": local_page.token, "thumb": "up"}
        assert client.post("/rate", data=form, headers=headers).status_code == 403
        assert client.post("/sounds", content=b"x", headers=headers).status_code == 403
    for token in ("", "wrong", "ü"):
        assert local_page.rate(token=token).status_code == 403
    assert client.post("/sounds", content=b"x").status_code == 403
    assert client.get("/rate").status_code == 404
    assert ratings_table(local_page.small.store).num_rows == 0


def test_the_page_says_that_the_store_has_changed(local_page: Page) -> None:
    def notes() -> str:
        return " ".join(re.findall(r'class="note">([^<]+)<', local_page.client.get("/?q=rain").text))

    small = local_page.small
    assert not notes()
    small.publish(CAPTIONS[:2], "v2-00000000")
    assert "Start `wavcaps search --page` again" in notes()
    small.publish()
    assert not notes()
    small.train(2)
    assert "Start `wavcaps search --page` again" in notes()


def test_thumbs_are_stored_once_and_may_change(local_page: Page) -> None:
    rate, client = local_page.rate, local_page.client
    # A double click without JavaScript, and then a change of mind.
    back = rate("up"), rate("up"), rate("down")
    assert [answer.headers["location"] for answer in back] == ["/?q=dog+barking"] * 3
    assert rate("up", clip_id="freesound-1", rank="2").status_code == 303
    assert rate("none", clip_id="freesound-1", rank="2").status_code == 303
    assert rate("none", clip_id="freesound-2").status_code == 303
    assert rate("up", query_kind="clip", query="freesound-0").headers["location"] == "/?like=freesound-0"
    rows = ratings_table(local_page.small.store).to_pylist()
    assert [(row["query"], row["thumb"], row["changes"]) for row in rows] == [
        ("dog barking", "down", 1),
        ("freesound-0", "up", 0),
    ]
    assert rows[0]["checkpoint"] == "htsat_bert/own_split" and rows[0]["searched_version"] == "v1-00000000"
    (name,) = local_page.small.store.names("log/search_ratings")
    written = local_page.small.store.read_bytes(f"log/search_ratings/{name}").decode()
    # Of seven clicks, the second click and the empty one are not written. Nothing is known of the person.
    assert written.count("\n") == 5
    assert not {"127.0.0.1", "python-httpx"} & set(re.findall(r"[\w.-]+", written))
    shown = client.get("/", params={"q": "dog barking"}).text
    assert shown.count('aria-pressed="true"') == 1
    for wrong in (
        {"thumb": "sideways"},
        {"rank": "0"},
        {"score": "nan"},
        {"clip_id": "x"},
        {"query": "x" * 501},
    ):
        assert rate(**{"thumb": "up"} | wrong).status_code == 400
    assert client.post("/rate", content=b"x" * 20_000).status_code == 400


def test_a_sound_finds_captions(local_page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def upload(content: bytes) -> httpx.Response:
        return local_page.client.post("/sounds", content=content, headers={"X-Token": local_page.token})

    wav = io.BytesIO()
    soundfile.write(wav, tone(200, 1.0), 44_100, format="WAV")
    answer = upload(wav.getvalue())
    assert answer.status_code == 200
    found = local_page.client.get(answer.json()["location"])
    assert "Captions that fit your sound of 0.7 s" in found.text and found.text.count('class="hit"') == 4
    silent = io.BytesIO()
    soundfile.write(silent, tone(0, 1.0), RATE, format="FLAC")
    for content, problem in (
        (b"no sound at all", "the sound cannot be read"),
        (b"", "the sound cannot be read"),
        (silent.getvalue(), "it is silent"),
    ):
        refused = upload(content)
        assert refused.status_code == 400 and problem in refused.json()["problem"]
        assert "/tmp" not in refused.text
    monkeypatch.setattr(uploads, "LARGEST_UPLOAD", 1000)
    assert upload(b"x" * 1001).status_code == 413
    # Without a length, it is counted.
    streamed = local_page.client.post(
        "/sounds", content=iter([b"x" * 600] * 2), headers={"X-Token": local_page.token}
    )
    assert streamed.status_code == 413
    assert local_page.client.get("/", params={"sound": "0" * 64}).status_code == 400
