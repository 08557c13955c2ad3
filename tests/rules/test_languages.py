"""The languages of many texts at once are those that each has by itself."""

from __future__ import annotations

import random

import pytest

from wavcaps_assets.rules.language import foreign_language
from wavcaps_assets.rules.languages import TOGETHER, foreign_languages

TEXTS = (
    "",
    "Dog",
    "rain on a tin roof with a distant thunder",
    "RAIN ON A TIN ROOF WITH A DISTANT THUNDER",
    "Ein leiser Ton, der langsam lauter wird und dann verklingt.",
    "un perro que ladra en la calle por la noche",
    "Les oiseaux chantent près de la rivière, au lever du jour.",
    "Cafe\N{COMBINING ACUTE ACCENT} noise, people are talking and cups are clinking",
    "雨が屋根に降る音",
    "Лай собаки во дворе ночью",
    "1 2 3 4 5 6",
    "\N{DOG} \N{DOG} \N{DOG} \N{DOG} \N{DOG}",
    "half a surrogate \ud800 in a long enough line",
)


@pytest.mark.slow
def test_each_text_has_the_language_that_it_has_by_itself() -> None:
    chance = random.Random(5)
    words = " ".join(TEXTS).split()
    mixed = [" ".join(chance.choices(words, k=chance.randrange(1, 40))) for _ in range(TOGETHER + 300)]
    texts = [*TEXTS, *mixed]
    assert foreign_languages(texts) == [foreign_language(text) for text in texts]
    assert foreign_languages([]) == []
    assert {"de", "es", "fr", "another script"} <= set(foreign_languages(TEXTS))
