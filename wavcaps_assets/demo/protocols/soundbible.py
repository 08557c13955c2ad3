"""SoundBible's pages and its `grab.php`.

Listing pages are `free-sound-effects-<n>.html` with an `h3` link to each sound's page. They have ten
sounds each, like the real site's, which has about 236 pages for 2,200 sounds.
"""

from __future__ import annotations

from jinja2 import Environment
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from wavcaps_assets.demo.clips import CC0, CC_BY, CC_BY_SA, Corpus, DemoClip, Source, safe_name
from wavcaps_assets.demo.media import Format, Media

SOUNDS_A_PAGE = 10
# The site's own names of licences, and a new one where it has none.
LICENCES = {
    CC0: "Public Domain",
    CC_BY: "Attribution 3.0",
    CC_BY_SA: "Creative Commons Attribution-ShareAlike 3.0",
}
PAGES = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
LISTING = PAGES.from_string("""<!DOCTYPE html>
<html lang="en"><head><title>Free Sound Effects, page {{ number }}</title></head>
<body>
{% for name, clip in sounds %}
<h3><a href="{{ name }}">{{ clip.title }}</a></h3>
<p>{{ clip.text }}</p>
{% endfor %}
{% if number < last %}
<a rel="next" href="free-sound-effects-{{ number + 1 }}.html">Next</a>
{% endif %}
</body></html>
""")
SOUND = PAGES.from_string("""<!DOCTYPE html>
<html lang="en"><head><title>{{ clip.title }} Sound</title>
<meta name="keywords" content="{{ clip.title }}, {{ clip.category }}">
</head>
<body>
<section id="course-details"><div class="col-lg-8">
<h1>{{ clip.title }}</h1>
<p>{{ clip.text }}</p>
<p>License: <a href="{{ clip.licence }}">{{ licence }}</a> | Recorded by {{ clip.author }} |
File Length: <span class="total-time">{{ length }}</span></p>
<p><a href="grab.php?id={{ clip.source_id }}&amp;type=wav">Download WAV</a>
<a href="grab.php?id={{ clip.source_id }}&amp;type=mp3">Download MP3</a></p>
</div></section>
</body></html>
""")


class Soundbible:
    """Answers as soundbible.com does, for the corpus' SoundBible clips."""

    def __init__(self, corpus: Corpus, media: Media) -> None:
        self._media = media
        # Newest first, as the site lists them.
        newest = sorted(corpus.of(Source.SOUNDBIBLE), key=lambda clip: -int(clip.source_id))
        self._clips = {clip.source_id: clip for clip in newest}

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/", self.listing),
            Route("/free-sound-effects-{number:int}.html", self.listing),
            Route("/grab.php", self.grab),
            Route("/{name}", self.sound),
        ]

    def listing(self, request: Request) -> Response:
        number = request.path_params.get("number", 1)
        last = -(-len(self._clips) // SOUNDS_A_PAGE)
        if not 1 <= number <= last:
            raise HTTPException(404, "no such page")
        start = (number - 1) * SOUNDS_A_PAGE
        sounds = [(page_name(clip), clip) for clip in self._clips.values()][start : start + SOUNDS_A_PAGE]
        return HTMLResponse(LISTING.render(number=number, last=last, sounds=sounds))

    def sound(self, request: Request) -> Response:
        clip = self._clips.get(request.path_params["name"].partition("-")[0])
        if clip is None or request.path_params["name"] != page_name(clip):
            raise HTTPException(404, "no such page")
        minutes, seconds = divmod(round(clip.duration_s), 60)
        return HTMLResponse(
            SOUND.render(
                clip=clip,
                licence=LICENCES.get(clip.licence, clip.licence),
                length=f"{minutes:02d}:{seconds:02d}",
            )
        )

    def grab(self, request: Request) -> Response:
        clip = self._clips.get(request.query_params.get("id", ""))
        wanted = {"wav": Format.WAV, "mp3": Format.MP3}.get(request.query_params.get("type", ""))
        if clip is None or wanted is None:
            raise HTTPException(404, "no such sound")
        answer = self._media.answer(clip, wanted)
        name = f"{safe_name(clip.title)}.{wanted.value.suffix}"
        answer.headers["content-disposition"] = f'attachment; filename="{name}"'
        return answer


def page_name(clip: DemoClip) -> str:
    """The name of a sound's page, such as `2219-Airplane-Landing-Airport.html`."""
    return f"{clip.source_id}-{'-'.join(word.capitalize() for word in safe_name(clip.title).split('-'))}.html"
