"""Crawled text in the UI: it is shown as it is, and does nothing."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest

from wavcaps_assets.show.previews import cell, link, preview

# What the UI's Markdown turns into links once it has read the text:
# https://github.com/syntax-tree/mdast-util-gfm-autolink-literal/blob/main/lib/index.js
ADDRESS = re.compile(r"(https?://|www(?=\.))([-.\w]+)([^ \t\r\n]*)", re.IGNORECASE)
EMAIL = re.compile(r"([-.\w+]+)@([-\w]+(?:\.[-\w]+)+)")


@pytest.mark.parametrize(
    "text",
    [
        "see https://evil.example/a_b",
        "HTTP://evil.example",
        "www.evil.example",
        "xwww.evil.example WWW.evil.example",
        "mailto:some_one@evil.example",
        "<https://evil.example>",
        "[click](https://evil.example)",
        "![](https://evil.example/pixel.png)",
        "<img src=https://evil.example>",
    ],
)
def test_addresses_in_crawled_text_are_not_links(text: str) -> None:
    shown = cell(text)
    # Escapes and entities are read before the UI looks for addresses.
    read = re.sub(r"\\(.)", r"\1", shown)
    assert not ADDRESS.search(read)
    assert not EMAIL.search(read)
    assert "<" not in shown
    assert not re.search(r"(?<!\\)[\[\]!]", shown)
    assert read.replace("\u2060", "").replace("&lt;", "<").replace("&gt;", ">") == text


def test_a_checked_link_leads_where_it_says() -> None:
    url = "https://www.youtube.com/watch?v=__a_b*c_d&t=3"
    assert link(url) == f"[www\u2060.youtube.com](<{url}>)"
    table = pa.table({"page_url": [url, None], "text": [url, url]})
    lines = preview(table).splitlines()
    assert lines[2].startswith(f"| {link(url)} | https:\u2060//")
    assert lines[3].startswith("|  | https:\u2060//")


def test_a_link_cannot_leave_its_cell() -> None:
    assert link("https://a.example/|x>)<b>\\") == r"[a.example](<https://a.example/%7Cx%3E)%3Cb%3E%5C>)"
    assert link("javascript:alert(1)") == "javascript:alert(1)"


def test_crawled_text_does_not_reverse_its_row() -> None:
    assert cell("a \u202egnp.exe\u202c \u2067b\u2069 \u200fc") == "a gnp.exe b c"
