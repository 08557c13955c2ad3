"""What a set has, for people."""

from __future__ import annotations

from collections.abc import Iterator

from wavcaps_assets.checks.render import CONTROL, REPLACED
from wavcaps_assets.importing.importing import SetTables


def missing_audio(built: SetTables) -> Iterator[tuple[str, str]]:
    """The clips without audio, and why."""
    for table in built.tables.values():
        without = table.filter(table.column("audio").is_null())
        for clip_id, problem in zip(
            without.column("clip_id").to_pylist(), without.column("problem").to_pylist(), strict=True
        ):
            yield clip_id, problem or "no audio in the set"


def summary(built: SetTables) -> str:
    """What a set has, as lines for the terminal."""
    lines = [f"{'source':<24} {'clips':>9} {'with audio':>11} {'missing':>9} {'repeated':>9}"]
    for name, table in built.tables.items():
        without = built.without_audio(name)
        lines.append(
            f"{name:<24} {table.num_rows:>9,} {table.num_rows - without:>11,} {without:>9,} "
            f"{built.repeated[name]:>9,}"
        )
    for problem, count in built.notes.problems.items():
        such = ", ".join(built.notes.examples.get(problem, ()))
        lines.append(printable(f"{count:,} {problem}" + (f": {such}" if such else "")))
    if built.notes.unused_audio:
        lines.append(f"{built.notes.unused_audio:,} audio files have no row, and are not read")
    return "\n".join(lines)


def printable(text: str) -> str:
    """A text from outside, without characters that a terminal would obey."""
    return CONTROL.sub(REPLACED, text).encode("utf-8", "backslashreplace").decode()
