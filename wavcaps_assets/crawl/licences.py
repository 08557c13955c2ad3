"""One name for each licence, whatever its source calls it, and the credit line of a clip.

Nothing is guessed: a licence that is not certain is `UNKNOWN`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

# Longest title or name in a credit line, and longest name or link of a licence (characters).
MAX_PART_CHARS = 300
VERSIONS = ("1.0", "2.0", "2.1", "2.5", "3.0", "4.0")
# The elements in the order of SPDX, and of Creative Commons since version 2.0.
ELEMENTS = {
    "BY": r"attribution|by",
    "NC": r"non[ -]?commercial|nc",
    "SA": r"share[ -]?alike|sa",
    "ND": r"no[ -]?deriv(?:ative)?(?:s|[ -]works)?|nd",
}
TERMS = frozenset({"BY", "BY-SA", "BY-NC", "BY-NC-SA", "BY-NC-ND", "BY-ND"})
# The ports to a country's law that have an SPDX identifier
# (https://spdx.org/licenses/). Version 2.1 exists only as ports.
SPDX_PORTS = frozenset(
    {
        "CC-BY-2.5-AU",
        *(f"CC-BY-3.0-{port}" for port in ("AT", "AU", "DE", "IGO", "NL", "US")),
        *("CC-BY-NC-3.0-DE", "CC-BY-NC-ND-3.0-DE", "CC-BY-NC-ND-3.0-IGO", "CC-BY-ND-3.0-DE"),
        *(f"CC-BY-NC-SA-2.0-{port}" for port in ("DE", "FR", "UK")),
        *("CC-BY-NC-SA-3.0-DE", "CC-BY-NC-SA-3.0-IGO", "CC-BY-SA-2.0-UK", "CC-BY-SA-2.1-JP"),
        *(f"CC-BY-SA-3.0-{port}" for port in ("AT", "DE", "IGO")),
    }
)
LINK = re.compile(
    r"https?://(?:www\.)?creativecommons\.org/"
    r"(?:licen[sc]es/(?P<terms>[a-z+-]+)|publicdomain/(?P<public>zero|mark))"
    r"(?:/(?P<version>\d\.\d)(?:/(?P<port>[a-z]{2,3}))?)?"
    r"(?:/(?:deed|legalcode)(?:\.[A-Za-z_-]{1,12})?)?/?(?:[?#].*)?",
    re.IGNORECASE,
)
ANY_ELEMENT = "|".join(ELEMENTS.values())
WORDS = re.compile(
    r"(?:(?P<cc>creative commons|cc)[ -]*)?"
    rf"(?P<elements>(?:{ANY_ELEMENT})(?:(?:[ -]+|[ -]*[,/][ -]*)(?:{ANY_ELEMENT}))*)"
    r"(?:[ -]*v?(?P<version>\d\.\d)(?:[ -](?P<port>[a-z]{2,3}))?)?"
    r"(?: (?:international|unported|generic))?(?: (?:public )?licen[sc]e)?"
)


@dataclass(frozen=True)
class Licence:
    """A licence.

    Attributes:
        id: SPDX identifier, or `LicenseRef-…` for a licence that SPDX does not list.
        name: its class, such as `BY-NC`: what it requires, in any version.
        url: where its text is; None if there is no text, or it is not known.
    """

    id: str
    name: str
    url: str | None = None

    @property
    def title(self) -> str:
        """Its name for people, such as `CC BY-NC 4.0`."""
        if self.id.startswith(("CC-", "LicenseRef-CC-")) and self.name in TERMS:
            version = self.id.removeprefix("LicenseRef-").removeprefix(f"CC-{self.name}").strip("-")
            return f"CC {self.name} {version.replace('-', ' ')}".rstrip()
        return TITLES.get(self.id, self.name)


UNKNOWN = Licence("LicenseRef-unknown", "unknown")
CC0 = Licence("CC0-1.0", "CC0", "https://creativecommons.org/publicdomain/zero/1.0/")
MARK = Licence("CC-PDM-1.0", "public domain", "https://creativecommons.org/publicdomain/mark/1.0/")
DEDICATION = Licence("CC-PDDC", "public domain", "https://creativecommons.org/licenses/publicdomain/")
PUBLIC_DOMAIN = Licence("LicenseRef-Public-Domain", "public domain")
SAMPLING_PLUS = Licence(
    "LicenseRef-Sampling-Plus-1.0", "Sampling+", "https://creativecommons.org/licenses/sampling+/1.0/"
)
REMARC = Licence("LicenseRef-RemArc", "RemArc", "https://sound-effects.bbcrewind.co.uk/licensing")
PERSONAL = Licence("LicenseRef-SoundBible-Personal-Use", "personal use")
TITLES = {
    UNKNOWN.id: "licence unknown",
    CC0.id: "CC0 1.0",
    MARK.id: "Public Domain Mark 1.0",
    SAMPLING_PLUS.id: "CC Sampling+ 1.0",
    REMARC.id: "RemArc licence",
    PERSONAL.id: "personal use only",
}
# As the sources write them: "Creative Commons 0" (FreeSound's filter), "Personal Use Only" (SoundBible).
NAMED = {
    **dict.fromkeys(
        (
            *("cc0", "cc-0", "cc zero", "creative commons 0", "creative commons zero", "cc0 1.0", "cc0-1.0"),
            *("creative commons zero 1.0", "cc0 1.0 universal", "creative commons cc0", "cc0 license"),
        ),
        CC0,
    ),
    **dict.fromkeys(("public domain", "licenseref-public-domain"), PUBLIC_DOMAIN),
    **dict.fromkeys(("public domain mark 1.0", "public domain mark", "cc-pdm-1.0"), MARK),
    "cc-pddc": DEDICATION,
    **dict.fromkeys(
        (
            *("sampling+", "sampling+ 1.0", "sampling plus", "sampling plus 1.0", "cc sampling+ 1.0"),
            *("cc sampling+", "cc-sampling+", "creative commons sampling plus 1.0"),
            "licenseref-sampling-plus-1.0",
        ),
        SAMPLING_PLUS,
    ),
    **dict.fromkeys(("remarc", "remarc licence", "remarc license", "licenseref-remarc"), REMARC),
    **dict.fromkeys(("personal use only", "licenseref-soundbible-personal-use"), PERSONAL),
}


@lru_cache(maxsize=4096)
def normalise_licence(words: str | None) -> Licence:
    """The licence that a source names by a link, an identifier or words; `UNKNOWN` if it is not certain."""
    text = " ".join((words or "").split())
    if len(text) > MAX_PART_CHARS:
        return UNKNOWN
    link = LINK.fullmatch(text)
    if link:
        return _of_link(link)
    lowered = text.lower()
    if lowered in NAMED:
        return NAMED[lowered]
    match = WORDS.fullmatch(lowered.removeprefix("licenseref-"))
    if match is None:
        return UNKNOWN
    terms = _terms(
        name for name, pattern in ELEMENTS.items() if re.search(rf"\b(?:{pattern})\b", match["elements"])
    )
    if "BY" not in terms.split("-"):
        # Since version 2.0 every licence requires attribution, and its name may omit that. Version 1.0
        # had licences without attribution.
        if match["version"] in {None, "1.0"}:
            return UNKNOWN
        terms = _terms(["BY", *terms.split("-")])
    return _creative_commons(terms, match["version"], match["port"])


def _of_link(link: re.Match[str]) -> Licence:
    public, version = link["public"], link["version"]
    if public:
        return UNKNOWN if version != "1.0" else CC0 if public.lower() == "zero" else MARK
    terms = link["terms"].lower()
    if terms == "publicdomain" and version is None:
        return DEDICATION
    if terms == "sampling+" and version == "1.0":
        return SAMPLING_PLUS
    return _creative_commons(_terms(terms.upper().split("-")), version, link["port"])


def _terms(names: Iterable[str]) -> str:
    """Elements in order, such as `BY-NC-ND`, which version 1.0 writes `by-nd-nc`; empty if one is unknown."""
    given = list(names)
    known = [name for name in ELEMENTS if name in given]
    return "-".join(known) if len(known) == len(given) else ""


def _creative_commons(terms: str, version: str | None, port: str | None) -> Licence:
    if terms not in TERMS or version not in {None, *VERSIONS}:
        return UNKNOWN
    if version is None:
        return Licence(f"LicenseRef-CC-{terms}", terms)
    name = "-".join(part for part in ("CC", terms, version, (port or "").upper()) if part)
    listed = name in SPDX_PORTS if port else version != "2.1"
    # The link of version 1.0 of this licence has another order.
    folder = "by-nd-nc" if (terms, version) == ("BY-NC-ND", "1.0") else terms.lower()
    ending = f"{version}/{port.lower()}" if port else version
    return Licence(
        name if listed else f"LicenseRef-{name}",
        terms,
        f"https://creativecommons.org/licenses/{folder}/{ending}/",
    )


def attribution(
    title: str | None, author: str | None, source_title: str, page_url: str | None, licence: Licence
) -> str:
    """The credit line of a clip: title, author, source, licence.

    Args:
        source_title: the source's name for people.
        page_url: the clip's page; None if it has none.
    """
    maker = _line(author)
    who = f" by {maker}" if maker else ""
    where = ", ".join(part for part in (_line(source_title), _line(page_url, None)) if part)
    terms = f"{licence.title} ({licence.url})" if licence.url else licence.title
    return f"“{_line(title) or 'Untitled'}”{who} ({where}), {terms}"


def _line(text: str | None, longest: int | None = MAX_PART_CHARS) -> str:
    """A text without line breaks and control characters, shortened to a maximum length."""
    visible = text or ""
    if not visible.isprintable():
        visible = "".join(" " if unicodedata.category(char)[0] in "CZ" else char for char in visible)
    line = " ".join(visible.split())
    return line if longest is None or len(line) <= longest else f"{line[: longest - 1].rstrip()}…"
