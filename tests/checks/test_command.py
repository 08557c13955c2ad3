"""The command on whole manifests: what it prints and writes, and how it ends."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from tests.checks.manifests import Row, good_rows, write_json, write_parquet
from tests.support.paths import DATA, ROOT
from wavcaps_assets.checks.command import check

RELEASED = DATA / "wavcaps" / "sb_final.json"
EXAMPLES = ROOT / "docs" / "examples"


def run(*arguments: Path | str) -> Result:
    return CliRunner().invoke(check, [str(argument) for argument in arguments])


def statuses(result: Result) -> dict[str, str]:
    printed = json.loads(result.stdout)
    return {one["measure"]: one["status"] for one in printed["results"]}


@pytest.mark.parametrize("write", [write_parquet, write_json])
def test_a_good_manifest_passes(tmp_path: Path, write: object) -> None:
    assert callable(write)
    suffix = ".json" if write is write_json else ".parquet"
    # The JSON of the release has no source: its file's name tells it.
    path = write(tmp_path / f"sb_final{suffix}", good_rows())
    result = run(path, "--json")
    assert result.exit_code == 0, result.output
    assert {one["scope"] for one in json.loads(result.stdout)["results"]} == {"soundbible"}
    assert statuses(result)["text_mismatch"] == "passed"


def spoiled(rows: list[Row], fault: str) -> list[Row]:
    if fault == "shifted":
        captions = [row["caption"] for row in rows]
        return [row | {"caption": captions[at - 1]} for at, row in enumerate(rows)]
    changes = {
        "bracketed_number": lambda caption: f"{caption[:-1]} [12].",
        "digits": lambda caption: f"{caption[:-1]} for 30 seconds.",
        "banned_words": lambda _: "A dog is heard in a forest.",
        "unique": lambda _: "A dog is barking in a forest.",
    }
    # A collapsed model answers everything alike; of the other faults one in ten is too much.
    every = 1 if fault == "unique" else 10
    return [
        row | {"caption": changes[fault](row["caption"])} if at % every == 0 else row
        for at, row in enumerate(rows)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["bracketed_number", "digits", "banned_words", "unique"])
def test_a_spoiled_manifest_fails_for_what_is_wrong_with_it(tmp_path: Path, fault: str) -> None:
    result = run(write_parquet(tmp_path / "spoiled.parquet", spoiled(good_rows(), fault)), "--json")
    assert result.exit_code == 1, result.output
    assert statuses(result)[fault] == "failed"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "repair"),
    [
        (lambda caption: caption.replace(" is ", " &amp; is "), "entities"),
        (lambda caption: f"\u202e{caption}", "invisible"),
        (lambda caption: caption.replace(" ", " \u200b", 1), "invisible"),
        (lambda caption: f"\ufeff{caption}", "invisible"),
        (lambda caption: caption.replace(" ", "\t", 1), "whitespace"),
        (lambda caption: f"*{caption}*", "quotation_marks"),
        (lambda caption: f"“{caption}”", "quotation_marks"),
        (lambda caption: f"{caption[:-1]}!!!", "full_stop"),
        (lambda caption: caption[:-1], "full_stop"),
    ],
)
def test_what_stage_3_would_repair_is_not_repaired_before_it_is_judged(
    tmp_path: Path, spoil: Callable[[str], str], repair: str
) -> None:
    rows = good_rows(50)
    rows[7] |= {"caption": spoil(rows[7]["caption"])}
    path = write_json(tmp_path / "sb_final.json", rows)
    result = run(path, "--json")
    assert (result.exit_code, statuses(result)["unrepaired"]) == (1, "failed")
    (found,) = [one for one in json.loads(result.stdout)["results"] if one["measure"] == "unrepaired"]
    assert (found["value"], found["of"]) == (1 / 50, 50)
    assert repair in found["examples"][0]["detail"].partition(":")[0]
    # Which repairs matter is a setting.
    without = tmp_path / "thresholds.toml"
    without.write_text("[rules]\nrepairs = []\n")
    assert statuses(run(path, "--settings", without, "--json"))["unrepaired"] == "passed"


def test_an_echo_is_not_measured_where_no_prompt_is_known(tmp_path: Path) -> None:
    assert statuses(run(write_parquet(tmp_path / "m.parquet", good_rows(20)), "--json"))["echo"] == (
        "not measured"
    )


@pytest.mark.slow
def test_captions_that_slipped_by_a_row_fail_with_and_without_the_manifest_before(tmp_path: Path) -> None:
    good = good_rows()
    path = write_parquet(tmp_path / "shifted.parquet", spoiled(good, "shifted"))
    alone = run(path, "--json")
    assert (alone.exit_code, statuses(alone)["text_mismatch"]) == (1, "failed")
    without_texts = [{name: row[name] for name in ("clip_id", "source", "caption")} for row in good]
    # Each caption once: what many clips are called is no sign of a slip.
    unlike = [
        row | {"caption": f"{row['caption'][:-1]} {'softly ' * at}."} for at, row in enumerate(without_texts)
    ]
    old = write_parquet(tmp_path / "old.parquet", unlike)
    new = write_parquet(tmp_path / "new.parquet", spoiled(unlike, "shifted"))
    compared = statuses(run(new, "--against", old, "--json"))
    assert compared["drift moved"] == "failed"
    assert compared["drift vocabulary"] == "passed"
    assert compared["text_mismatch"] == "not measured"


@pytest.mark.slow
def test_the_released_captions_pass_with_their_thresholds_and_fail_at_the_defaults() -> None:
    if not RELEASED.is_file():
        pytest.skip("the released SoundBible captions are not on this machine")
    result = run(RELEASED, "--settings", EXAMPLES / "released-captions.toml")
    assert result.exit_code == 0, result.output
    strict = run(RELEASED, "--json")
    assert strict.exit_code == 1
    # "heard" is in many of the released captions.
    assert statuses(strict)["banned_words"] == "failed"
    assert statuses(strict)["mean_words"] == "passed"


def test_without_an_earlier_manifest_drift_says_so_and_passes(tmp_path: Path) -> None:
    result = run(write_parquet(tmp_path / "first.parquet", good_rows()))
    assert result.exit_code == 0
    assert "there is nothing to compare with yet" in result.stdout


def test_the_share_of_dropped_clips_is_that_of_the_table(tmp_path: Path) -> None:
    manifest = write_parquet(tmp_path / "m.parquet", good_rows(40))
    lost = [{"clip_id": f"soundbible-lost-{number}", "source": "soundbible"} for number in range(160)]
    dropped = write_parquet(tmp_path / "soundbible.dropped.parquet", lost)
    result = run(manifest, "--dropped", dropped, "--json")
    figures = {one["measure"]: one for one in json.loads(result.stdout)["results"]}
    assert (figures["dropped"]["value"], figures["dropped"]["status"]) == (0.8, "failed")


HOSTILE = "<script>alert(1)</script> | [x](http://evil.example) ![i](a) @team \x00\x08\ufffe \u202eגב 🐶 ]]>"


def test_hostile_captions_are_harmless_in_summary_and_junit(tmp_path: Path) -> None:
    rows = good_rows(30)
    rows[3] = rows[3] | {"caption": f"A dog {HOSTILE} 7.", "source": "soundbible"}
    junit, summary = tmp_path / "out.xml", tmp_path / "out.md"
    result = run(write_json(tmp_path / "sb_final.json", rows), "--junit", junit, "--summary", summary)
    assert result.exit_code == 1
    page = summary.read_text("utf-8")
    unwanted = ("<script", "![", "\x00", "\u202e", "@team")
    assert [found for found in unwanted if found in page] == []
    # Each bracket of the caption is escaped, so that none is a link.
    assert re.search(r"(?<!\\)\]\(", page) is None
    # Every row of a table has as many cells as its head.
    lengths = [line.replace("\\|", "").count("|") for line in page.splitlines() if line.startswith("|")]
    assert set(lengths) == {6, 7}
    suites = ElementTree.parse(junit).getroot()
    cases = suites.findall("testsuite/testcase")
    assert int(suites.attrib["tests"]) == len(cases)
    assert int(suites.attrib["failures"]) == len(suites.findall("testsuite/testcase/failure"))
    failures = {case.attrib["name"]: case.findtext("failure") or "" for case in cases}
    assert "<script>alert(1)</script>" in failures["digits"]


def test_the_summary_is_added_to_the_page_that_is_there(tmp_path: Path) -> None:
    page = tmp_path / "summary.md"
    page.write_text("before\n")
    run(write_parquet(tmp_path / "m.parquet", good_rows(20)), "--summary", page)
    assert page.read_text("utf-8").startswith("before\n## ")


def test_a_pasted_book_hides_nothing_else(tmp_path: Path) -> None:
    rows = good_rows(30)
    rows[3] = rows[3] | {"clip_id": "i" * 100_000, "caption": "word " * 100_000}
    junit, summary = tmp_path / "out.xml", tmp_path / "out.md"
    path = write_parquet(tmp_path / "m.parquet", rows)
    printed = [run(path, "--junit", junit, "--summary", summary).stdout, run(path, "--json").stdout]
    assert "too_long" in printed[0]
    assert max(map(len, [*printed, junit.read_text(), summary.read_text()])) < 30_000


def test_what_was_found_is_printed_also_where_a_file_cannot_be_written(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "m.parquet", good_rows(20))
    result = run(path, "--junit", tmp_path / "nowhere" / "out.xml")
    assert result.exit_code == 2
    assert "mean_words" in result.stdout
    assert result.stderr.strip().endswith("out.xml cannot be written: No such file or directory")


def test_a_terminal_is_not_written_to_by_a_files_name(tmp_path: Path) -> None:
    result = run(tmp_path / "\x1b[31mnowhere.json")
    assert (result.exit_code, "\x1b" in result.stderr) == (2, False)


def test_skipped_cases_are_counted(tmp_path: Path) -> None:
    junit = tmp_path / "out.xml"
    run(write_parquet(tmp_path / "m.parquet", good_rows(20)), "--junit", junit)
    suite = ElementTree.parse(junit).getroot()[0]
    # There is no earlier manifest, and no table of dropped clips.
    skipped = [case.attrib["name"] for case in suite.iter("testcase") if case.find("skipped") is not None]
    assert (int(suite.attrib["skipped"]), "drift moved" in skipped, "dropped" in skipped) == (
        len(skipped),
        True,
        True,
    )


@pytest.mark.slow
def test_of_a_few_clips_one_that_the_parser_misreads_does_not_block(tmp_path: Path) -> None:
    rows = good_rows(15)
    rows[0] = rows[0] | {"caption": "A dog in a large hall."}
    found = statuses(run(write_parquet(tmp_path / "m.parquet", rows), "--json"))
    assert found["no_verb"] == "warned"
    many = [row | {"clip_id": f"{row['clip_id']}-{turn}"} for turn in range(100) for row in rows]
    found = statuses(run(write_parquet(tmp_path / "many.parquet", many), "--json"))
    assert found["no_verb"] == "failed"


@pytest.mark.slow
def test_the_workflow_passes_on_what_it_is_given(tmp_path: Path) -> None:
    yaml = pytest.importorskip("yaml")
    workflow = yaml.safe_load((EXAMPLES / "caption-quality.yml").read_text("utf-8"))
    (step,) = (
        one for one in workflow["jobs"]["captions"]["steps"] if one.get("name") == "Check the captions"
    )
    (tmp_path / "thresholds.toml").touch()
    manifest = write_parquet(tmp_path / "a manifest.parquet", good_rows(20))
    write_parquet(tmp_path / "old.parquet", good_rows(20))
    write_parquet(tmp_path / "some.dropped.parquet", [{"clip_id": "x", "source": "soundbible"}])

    def skipped(**given: str) -> set[str]:
        own = {
            "MANIFEST": manifest.name,
            "GITHUB_STEP_SUMMARY": "summary.md",
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(EXAMPLES.parents[1]),
        }
        environment = {**os.environ, **workflow["env"], **own, **given}
        ran = subprocess.run(["bash", "-e", "-c", step["run"]], cwd=tmp_path, env=environment, check=False)
        assert ran.returncode == 0
        cases = ElementTree.parse(tmp_path / "captions.xml").getroot().iter("testcase")
        return {case.attrib["name"] for case in cases if case.find("skipped") is not None}

    assert {"drift moved", "dropped"} <= skipped()
    assert {"drift moved", "dropped"}.isdisjoint(
        skipped(AGAINST="old.parquet", DROPPED="some.dropped.parquet")
    )
