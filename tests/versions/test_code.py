"""What changes the version of a function, and what does not: a small package on disk, and edits of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping
from itertools import count
from pathlib import Path

import pytest

from wavcaps_assets.versions.code import Code, Place, folder_of

FILES: Mapping[str, str] = {
    "start.py": '''
"""Where it starts."""

import logging

from toy import plots
from toy.shared import LIMIT, Clip, unused
from toy.table import ENTRIES

logger = logging.getLogger(__name__)


def made(clip: Clip) -> str:
    """Makes a text."""
    # A comment.
    logger.info("making %s", clip)
    plots.draw(clip)
    found = [entry(clip) for entry in ENTRIES.values()]
    return f"{clip.name} {LIMIT} {found}"
''',
    "shared.py": '''
"""What others use."""

import math
from dataclasses import dataclass
from importlib import resources

from toy.numbers import rounded

LIMIT = 30
OTHER_LIMIT = 40


@dataclass
class Clip:
    """A clip."""

    name: str

    @property
    def size(self) -> int:
        return rounded(len(self.name) + len(words()))


def words() -> str:
    return (resources.files("toy") / "words.toml").read_text()


def unused() -> float:
    return math.pi
''',
    "numbers.py": """
def rounded(number):
    return round(number, 1)


def halved(number):
    return number / 2
""",
    "table.py": """
from importlib import import_module

MODULES = ("first",)
ENTRIES = {module: import_module(f"toy.{module}").ENTRY for module in MODULES}
""",
    "first.py": """
def find(clip):
    return helper(clip) > 3


def helper(clip):
    return clip.size


ENTRY = find
""",
    "second.py": "def find(clip):\n    return clip.size > 4\n\n\nENTRY = find\n",
    "plots.py": "def draw(clip):\n    print(clip)\n",
    "words.toml": '# Words.\nwords = ["dog", "cat"]\n',
    "other.toml": "a = 1\n",
    "__init__.py": "",
}
Edit = Callable[[str], str]
NUMBERS = count()


@pytest.fixture
def version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The version of `made` in the package, after edits of its files."""

    def of(edits: Mapping[str, Edit] | None = None, without: Collection[str] = ()) -> str:
        root = tmp_path / str(next(NUMBERS))
        (root / "toy").mkdir(parents=True)
        for name, text in {**dict.fromkeys(edits or {}, ""), **FILES}.items():
            edit = (edits or {}).get(name)
            (root / "toy" / name).write_text(edit(text) if edit else text)
        monkeypatch.syspath_prepend(root)
        folder_of.cache_clear()
        code = Code(["toy"], {"toy.plots": "what people see"})
        return code.follow([Place("toy.start", "made")], without).version()

    return of


def replaced(old: str, new: str) -> Edit:
    def edit(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return edit


SAME: Mapping[str, tuple[str, Edit]] = {
    "a docstring": ("start.py", replaced("Makes a text.", "Writes a text.")),
    "no docstring": ("shared.py", replaced('    """A clip."""\n', "")),
    "a comment": ("start.py", replaced("# A comment.", "# Another.\n    # And one more.")),
    "formatting": ("start.py", replaced("for entry in", "\n        for entry in")),
    "a log line": ("start.py", replaced('"making %s"', '"now making %s"')),
    "an import that nothing uses": ("start.py", replaced("import logging", "import json\nimport logging")),
    "a definition that it does not use": ("numbers.py", replaced("number / 2", "number / 3")),
    "a constant that it does not use": ("shared.py", replaced("OTHER_LIMIT = 40", "OTHER_LIMIT = 41")),
    "a module that is not in the table": ("second.py", replaced("4", "5")),
    "what people see": ("plots.py", replaced("print(clip)", "print(clip, clip)")),
    "a comment in a file of data": ("words.toml", replaced("# Words.", "# More words.")),
    "formatting of a file of data": ("words.toml", replaced('["dog", "cat"]', '[\n  "dog",\n  "cat",\n]')),
    "a file that it does not read": ("other.toml", replaced("1", "2")),
    "a new definition": ("numbers.py", lambda text: f"{text}\n\ndef third(number):\n    return number / 3\n"),
}
OTHER: Mapping[str, tuple[str, Edit]] = {
    "its own code": ("start.py", replaced("{clip.name} {LIMIT}", "{LIMIT} {clip.name}")),
    "a constant": ("shared.py", replaced("LIMIT = 30\n", "LIMIT = 31\n")),
    "a method": ("shared.py", replaced("len(self.name) +", "2 * len(self.name) +")),
    "what a method calls": ("numbers.py", replaced("number, 1", "number, 2")),
    "what an entry of a table calls": ("first.py", replaced("return clip.size", "return clip.size + 1")),
    "an entry of a table": ("first.py", replaced("> 3", "> 4")),
    "the names in a table": ("table.py", replaced('("first",)', '("first", "second")')),
    "a file of data": ("words.toml", replaced('"cat"', '"cow"')),
    "the order in a file of data": ("words.toml", replaced('"dog", "cat"', '"cat", "dog"')),
}


@pytest.mark.parametrize("change", SAME)
def test_these_changes_do_not_count(change: str, version: Callable[..., str]) -> None:
    assert version(dict([SAME[change]])) == version()


@pytest.mark.parametrize("change", OTHER)
def test_these_changes_count(change: str, version: Callable[..., str]) -> None:
    assert version(dict([OTHER[change]])) != version()


def test_a_definition_may_move_to_another_file(version: Callable[..., str]) -> None:
    moved = {
        "shared.py": replaced("from toy.numbers", "from toy.rounding"),
        "numbers.py": replaced("def rounded(number):\n    return round(number, 1)\n", ""),
        "rounding.py": lambda _: "def rounded(number):\n    return round(number, 1)\n",
    }
    assert version(moved) == version()


def test_what_is_left_out_is_not_followed(version: Callable[..., str]) -> None:
    without = ["toy.table.ENTRIES"]
    changed = version(dict([OTHER["an entry of a table"]]), without)
    assert changed == version(without=without) != version()


def test_the_version_is_the_same_on_every_machine(version: Callable[..., str]) -> None:
    """If it changes, everything that was ever made is marked as out of date."""
    assert sys.flags.hash_randomization == 1
    assert version() == "e5c11a442ce09291"
