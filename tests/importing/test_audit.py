"""`wavcaps audit`: on hand-made sets in several formats, and on real lists."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from tests.importing.released import flac, tarred, write_json
from tests.support.paths import DATA, ROOT
from wavcaps_assets.importing.audit_command import audit

COMMAND = re.compile(r"^wavcaps audit(.*?)(?: *#.*)?$", re.MULTILINE)
CLOTHO = {
    "train": ["Rain.wav,Rain falls on a tin roof,,,,"],
    "val": ["Bell.wav,A bell rings,,,,"],
    "test": ["Dog.wav,A dog barks,Dogs bark in a yard,,,"],
}
ESC50 = ["1-100032-A-0.wav,1,0,dog,True,100032,A", "2-77-B-1.wav,2,1,rooster,False,77,B"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(audit, [str(one) for one in arguments])


@pytest.fixture
def sets(tmp_path: Path) -> Path:
    """The lists of two benchmarks, and the list that is released for one."""
    folder = tmp_path / "lists"
    (folder / "clotho").mkdir(parents=True)
    for split, rows in CLOTHO.items():
        header = "file_name,caption_1,caption_2,caption_3,caption_4,caption_5"
        (folder / f"clotho/{split}.csv").write_text("\n".join([header, *rows]) + "\n")
    (folder / "esc50/meta").mkdir(parents=True)
    header = "filename,fold,target,category,esc10,src_file,take"
    (folder / "esc50/meta/esc50.csv").write_text("\n".join([header, *ESC50]) + "\n")
    exclusions = {"AudioSet": [], "FreeSound": ["555"]}
    (folder / "blacklist_exclude_ub8k_esc50_vggsound.json").write_text(json.dumps(exclusions))
    return folder


CLIPS = [
    {"id": "100032", "caption": "A dog.", "description": "my dog"},
    {"id": "555", "caption": "A door.", "description": "a door"},
    {"id": "9", "caption": "A train.", "description": "from https://freesound.org/s/77/"},
    {"id": "10", "caption": "A DOG barks!", "description": "bark"},
    {"id": "11", "caption": "A clean clip.", "description": "wind"},
]


def write_set(folder: Path, kind: str) -> Path:
    if kind == "json":
        write_json(folder / "json_files/FreeSound/fsd_final.json", CLIPS)
    elif kind == "tars":
        files: dict[str, bytes] = {}
        for clip in CLIPS:
            record = {"text": [clip["caption"]], "original_data": {"description": clip["description"]}}
            files |= {f"{clip['id']}.flac": flac(1), f"{clip['id']}.json": json.dumps(record).encode()}
        tarred(folder / "0.tar", files)
    elif kind == "hub":
        folder.mkdir()
        rows = pa.Table.from_pylist([{**clip, "source": "freesound"} for clip in CLIPS])
        rows = rows.append_column("audio", pa.array([{"bytes": flac(1), "path": None}] * len(CLIPS)))
        pq.write_table(rows, folder / "train-00000-of-00001.parquet")
    else:
        folder.mkdir()
        with (folder / "freesound.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ("id", "description", "caption"))
            writer.writeheader()
            writer.writerows(CLIPS)
    return folder


@pytest.mark.parametrize("kind", ["json", "tars", "hub", "csv"])
def test_leaks_are_found_by_list_id_and_text_in_every_format(tmp_path: Path, sets: Path, kind: str) -> None:
    folder, table = write_set(tmp_path / "set", kind), tmp_path / "all.csv"
    options = ("--source", "freesound") if kind == "tars" else ()
    result = run(
        folder, "--against", "esc50", "--against", "clotho", "--sets", sets, "--csv", table, *options
    )
    assert result.exit_code == 1, result.output
    with table.open(newline="") as file:
        found = {
            (row["clip_id"], row["benchmark"], row["evidence"], row["verdict"])
            for row in csv.DictReader(file)
        }
    assert found == {
        ("freesound-100032", "esc50", "id", "same"),
        ("freesound-9", "esc50", "id", "same"),
        ("freesound-555", "esc50", "list", "same"),
        ("freesound-10", "clotho", "text", "review"),
    }
    lines = [line.split() for line in result.output.splitlines()]
    assert ["esc50", "1", "2", "1", "2", "-", "-", "3", "0"] in lines
    assert ["clotho", "3", "-", "0", "-", "1", "0", "1"] in lines
    assert "blacklist_exclude_all_ac.json is not there" in result.output
    assert "The audio was not compared" in result.output


def test_the_reports_for_ci_name_the_leaks_and_what_was_not_checked(tmp_path: Path, sets: Path) -> None:
    folder = write_set(tmp_path / "set", "json")
    page, junit = tmp_path / "page.md", tmp_path / "leaks.xml"
    result = run(
        folder,
        "--against",
        "esc50",
        "--against",
        "clotho",
        "--sets",
        sets,
        "--markdown",
        page,
        "--junit",
        junit,
    )
    assert result.exit_code == 1
    root = ElementTree.parse(junit).getroot()
    assert (root.get("tests"), root.get("failures")) == ("2", "1")
    cases = {case.get("name"): case for case in root.iter("testcase")}
    failure = cases["esc50"].find("failure")
    assert failure is not None and failure.get("message") == "3 of 5 clips are in ESC-50"
    assert "freesound-100032" in (failure.text or "")
    assert cases["clotho"].find("failure") is None
    assert "not checked: The audio was not compared" in (cases["clotho"].findtext("system-out") or "")
    text = page.read_text(encoding="utf-8")
    assert "❌ Leak audit of set" in text and "### Not checked" in text and "### To review" in text


def test_a_clean_set_and_clips_that_may_be_trained_on(tmp_path: Path, sets: Path) -> None:
    write_json(tmp_path / "one/freesound.json", [CLIPS[-1]])
    clean = run(tmp_path / "one", "--against", "esc50", "--against", "clotho", "--sets", sets)
    assert clean.exit_code == 0 and "no leak was found" in clean.output
    # A caption of Clotho's train split, which counts unless only its evaluation does.
    write_json(tmp_path / "two/freesound.json", [{"id": "1", "caption": "Rain falls on a tin roof."}])
    arguments = (tmp_path / "two", "--against", "clotho", "--sets", sets)
    for option, clips, to_review in ((), "3", "1"), (("--evaluation-only",), "2", "0"):
        lines = [line.split() for line in run(*arguments, *option).output.splitlines()]
        assert ["clotho", clips, "-", "0", "-", to_review, "0", to_review] in lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["SET"], "Missing option '--against'"),
        (["SET", "--against", "esc5"], "'esc5' is not one of"),
        (["SET", "--against", "audiocaps", "--sets", "SETS"], "'audiocaps' has no lists here"),
        (["NOTHING", "--against", "esc50", "--sets", "SETS"], "does not exist"),
        (["SET", "--against", "esc50", "--sets", "SETS", "--csv", "SET/no/such.csv"], "cannot be written"),
    ],
)
def test_what_is_wrong_is_said_with_the_status_2(
    tmp_path: Path, sets: Path, arguments: list[str], message: str
) -> None:
    places = {"SETS": sets, "NOTHING": tmp_path / "nothing", "SET": write_set(tmp_path / "set", "json")}
    for name, place in places.items():
        arguments = [one.replace(name, str(place)) if one.startswith(name) else one for one in arguments]
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.split())


def test_errors_and_summaries_name_the_folders_of_the_person_in_whole_sentences(
    tmp_path: Path, sets: Path
) -> None:
    folder, page = write_set(tmp_path / "set", "json"), tmp_path / "page.md"
    (sets / "esc50/meta/esc50.csv").unlink()
    result = run(folder, "--against", "esc50", "--sets", sets)
    assert f"into {sets / 'esc50'} (docs/benchmarks.md" in result.output
    run(folder, "--against", "clotho", "--sets", sets, "--markdown", page)
    assert re.search(
        r"^- clotho: The FreeSound ids of 1 of 1 train .* is not there\.$", page.read_text(), re.M
    )
    write_json(tmp_path / "empty_final.json", [])
    result = run(tmp_path / "empty_final.json", "--against", "clotho", "--sets", sets)
    assert result.exit_code == 2 and result.output == f"{tmp_path / 'empty_final.json'} has no clips\n"


def test_the_commands_of_the_page_work(tmp_path: Path, sets: Path) -> None:
    page = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    commands = COMMAND.findall(page)
    assert len(commands) >= 2
    folder = write_set(tmp_path / "set", "json")
    for command in commands:
        arguments = [
            one.replace("/data/WavCaps", str(folder)).replace("/data/benchmarks", str(sets))
            for one in command.split()
        ]
        arguments = [
            str(tmp_path / one) if one.endswith((".xml", ".md", ".csv")) else one for one in arguments
        ]
        assert run(*arguments).exit_code in (0, 1), command


def test_what_the_released_list_for_esc50_and_urbansound8k_lets_through(tmp_path: Path) -> None:
    real = DATA / "urbansound8k/UrbanSound8K.csv"
    released = DATA / "wavcaps/blacklist_exclude_ub8k_esc50_vggsound.json"
    if not (real.is_file() and released.is_file()):
        pytest.skip("the real lists are not here: ../shared/data")
    lists = tmp_path / "lists"
    (lists / "urbansound8k/metadata").mkdir(parents=True)
    (lists / "urbansound8k/metadata/UrbanSound8K.csv").symlink_to(real)
    (lists / released.name).symlink_to(released)
    with real.open(newline="") as file:
        ids = sorted({row["fsID"] for row in csv.DictReader(file)})
    listed = set(json.loads(released.read_bytes())["FreeSound"])
    assert (len(ids), len(set(ids) - listed)) == (1_297, 247)
    rows = [{"id": one, "caption": "A sound."} for one in ids if one not in listed]
    write_json(tmp_path / "set/fsd_final.json", rows)
    result = run(tmp_path / "set", "--against", "urbansound8k", "--sets", lists)
    assert result.exit_code == 1
    assert ["urbansound8k", "1", "8,732", "0", "247", "-", "-", "247", "0"] in [
        line.split() for line in result.output.splitlines()
    ]
