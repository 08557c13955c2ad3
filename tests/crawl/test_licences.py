"""Licences, against SPDX's own list and the names that the sources use."""

from __future__ import annotations

import itertools
import json

import pytest
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from tests.support.paths import DATA
from wavcaps_assets.crawl.licences import UNKNOWN, Licence, attribution, normalise_licence
from wavcaps_assets.demo.clips import CC0, CC_BY, CC_BY_SA

TERMS = ("by", "by-sa", "by-nc", "by-nc-sa", "by-nc-nd", "by-nd")
PORTS = ("", "us", "de", "fr", "uk", "jp", "au", "igo", "at", "nl")


def in_spdx(identifier: str) -> bool:
    try:
        return canonicalize_license_expression(identifier) == identifier
    except InvalidLicenseExpression:
        return False


@pytest.mark.parametrize(
    ("words", "identifier", "name"),
    [
        # FreeSound's links.
        ("http://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0", "CC0"),
        ("http://creativecommons.org/licenses/by/3.0/", "CC-BY-3.0", "BY"),
        ("https://creativecommons.org/licenses/by/4.0/", "CC-BY-4.0", "BY"),
        ("http://creativecommons.org/licenses/by-nc/3.0/", "CC-BY-NC-3.0", "BY-NC"),
        ("https://creativecommons.org/licenses/by-nc/4.0/", "CC-BY-NC-4.0", "BY-NC"),
        ("http://creativecommons.org/licenses/sampling+/1.0/", "LicenseRef-Sampling-Plus-1.0", "Sampling+"),
        # Its filter's words, which name no version.
        ("Creative Commons 0", "CC0-1.0", "CC0"),
        ("Attribution", "LicenseRef-CC-BY", "BY"),
        ("Attribution NonCommercial", "LicenseRef-CC-BY-NC", "BY-NC"),
        ("Sampling+", "LicenseRef-Sampling-Plus-1.0", "Sampling+"),
        # SoundBible's words.
        ("Attribution 3.0", "CC-BY-3.0", "BY"),
        ("Public Domain", "LicenseRef-Public-Domain", "public domain"),
        ("Sampling Plus 1.0", "LicenseRef-Sampling-Plus-1.0", "Sampling+"),
        ("Noncommercial 3.0", "CC-BY-NC-3.0", "BY-NC"),
        ("Personal Use Only", "LicenseRef-SoundBible-Personal-Use", "personal use"),
        # The BBC's.
        ("RemArc", "LicenseRef-RemArc", "RemArc"),
        # As people write them.
        (" CC  BY-NC-SA 4.0\n", "CC-BY-NC-SA-4.0", "BY-NC-SA"),
        ("Creative Commons Attribution-ShareAlike 3.0 Unported License", "CC-BY-SA-3.0", "BY-SA"),
        ("Attribution-NonCommercial-NoDerivatives 4.0 International", "CC-BY-NC-ND-4.0", "BY-NC-ND"),
        ("CC0 1.0 Universal", "CC0-1.0", "CC0"),
        ("https://creativecommons.org/publicdomain/mark/1.0/deed.en", "CC-PDM-1.0", "public domain"),
        ("http://creativecommons.org/licenses/publicdomain/", "CC-PDDC", "public domain"),
        ("http://creativecommons.org/licenses/by-nd-nc/1.0/", "CC-BY-NC-ND-1.0", "BY-NC-ND"),
    ],
)
def test_the_names_that_sources_use(words: str, identifier: str, name: str) -> None:
    licence = normalise_licence(words)
    assert (licence.id, licence.name) == (identifier, name)
    assert identifier.startswith("LicenseRef-") or in_spdx(identifier)


@pytest.mark.parametrize(
    "words",
    [
        None,
        "",
        "All rights reserved",
        "free",
        "Creative Commons",
        "CC",
        # The licence of AudioSet's labels is not that of the audio, which is YouTube's uploaders'.
        "CC BY 4.0 (labels)",
        "not CC BY 4.0",
        "CC BY 5.0",
        # Version 1.0 had a licence without attribution; a link to a page about licences is none.
        "Noncommercial 1.0",
        "http://creativecommons.org/licenses/nc/1.0/",
        "http://creativecommons.org/licenses/nc-sampling+/1.0/",
        "http://creativecommons.org/licenses/",
        "http://creativecommons.org/licenses/by/9.9/",
        "http://creativecommons.org.example.org/licenses/by/4.0/",
        "http://example.org/?http://creativecommons.org/licenses/by/4.0/",
        "javascript:http://creativecommons.org/licenses/by/4.0/",
        "by " * 10_000,
    ],
)
def test_what_is_not_known_for_certain_is_unknown(words: str | None) -> None:
    assert normalise_licence(words) == UNKNOWN


@pytest.mark.parametrize("ending", ["", "/", "/deed", "/deed.en", "/deed.zh-hant", "/legalcode", "/?ref=x#y"])
@pytest.mark.parametrize("scheme", ["http://", "https://", "https://www."])
def test_every_link_of_creative_commons_gets_its_spdx_identifier(scheme: str, ending: str) -> None:
    for terms, version, port in itertools.product(TERMS, ("1.0", "2.0", "2.5", "3.0", "4.0"), PORTS):
        folder = f"{terms}/{version}/{port}".rstrip("/")
        licence = normalise_licence(f"{scheme}creativecommons.org/licenses/{folder}{ending}")
        spelled = f"CC-{terms.upper()}-{version}" + (f"-{port.upper()}" if port else "")
        assert licence.name == terms.upper()
        assert licence.id == (spelled if in_spdx(spelled) else f"LicenseRef-{spelled}")


def test_identifiers_titles_and_links_name_the_licence_again() -> None:
    words = ["CC0", "Public Domain", "Sampling+", "RemArc", "Personal Use Only", "CC BY", CC_BY_SA, CC_BY]
    words += [f"CC {terms.upper()} {version}" for terms in TERMS for version in ("1.0", "2.5", "4.0")]
    words += [f"http://creativecommons.org/licenses/by-sa/{port}/" for port in ("2.1/jp", "3.0/fr", "3.0/us")]
    for licence in map(normalise_licence, words):
        assert licence != UNKNOWN
        assert normalise_licence(licence.id) == licence
        if licence.url and licence.name != "RemArc":
            assert normalise_licence(licence.url) == licence
        if licence.name not in {"personal use", "RemArc"}:
            assert normalise_licence(licence.title) == licence


@pytest.mark.skipif(not DATA.is_dir(), reason="the published clip lists are not on this machine")
def test_every_licence_of_published_lists_of_freesound_clips_is_known() -> None:
    said = [
        clip["license"]
        for clip in json.loads((DATA / "freesound/fsd50k_eval_clips_info_excerpt.json").read_text()).values()
    ]
    lines = (DATA / "esc50/esc50_freesound_titles.jsonl").read_text(encoding="utf-8").splitlines()
    said += [json.loads(line)["license"] for line in lines]
    assert len(said) == 2029
    names = [normalise_licence(words).name for words in said]
    assert set(names) == {"CC0", "BY", "BY-NC", "Sampling+"}
    # As its own index counts them.
    assert names[30:].count("BY") == 901


def test_a_credit_names_title_author_source_and_licence() -> None:
    page = "https://freesound.org/people/somebody/sounds/1/"
    assert attribution("Rain", "somebody", "FreeSound", page, normalise_licence(CC_BY)) == (
        "“Rain” by somebody (FreeSound, https://freesound.org/people/somebody/sounds/1/), "
        "CC BY 3.0 (https://creativecommons.org/licenses/by/3.0/)"
    )
    assert attribution(None, None, "AudioSet SL", None, UNKNOWN) == (
        "“Untitled” (AudioSet SL), licence unknown"
    )
    assert attribution("Bee", "", "SoundBible", None, normalise_licence("Public Domain")) == (
        "“Bee” (SoundBible), public domain"
    )


def test_a_credit_is_one_line_whatever_was_crawled() -> None:
    hostile = "a\r\nb\x1b[31m\u202ec\u2028d\0" + "e" * 50_000
    credit = attribution(hostile, hostile, hostile, hostile, Licence("x", "x"))
    assert credit.isprintable()
    assert credit.startswith("“a b [31m c d e")
    assert attribution("q" * 301, None, "s", None, normalise_licence(CC0)).count("q") == 299
