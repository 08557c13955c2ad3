"""SPICE (Anderson et al., 2016): the program of its authors, in the package pycocoevalcap.

It needs three files that no package has, and is not run without them. pycocoevalcap's own code would download
two of them; the program is started here without it. The third is an engine for JavaScript, by which the
program writes its results: Java has none since version 15.
"""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wavcaps_training.evaluation.caption_scores.java import JavaError, coco_file, run_java

MAIN_CLASS = "edu.anu.spice.SpiceScorer"
CORENLP = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
ENGINE_ENTRY = "META-INF/services/javax.script.ScriptEngineFactory"
# As in pycocoevalcap.
MEMORY = "8G"
TIMEOUT_S = 4 * 3600.0


def spice_lacks(folder: Path | None) -> str:
    """What SPICE needs and the folder of metric files does not have; empty: nothing.

    Args:
        folder: of the setting WAVCAPS_METRIC_FILES; None: not set.
    """
    lacking = [name for name in CORENLP if folder is None or not (folder / name).is_file()]
    sentences = []
    if lacking:
        sentences.append(
            f"{' and '.join(lacking)}, from https://nlp.stanford.edu/software/stanford-corenlp-full-2015-12-09.zip"
        )
    if folder is None or not any(_is_engine(path) for path in folder.glob("*.jar")):
        sentences.append(
            "a JavaScript engine for Java, such as rhino.jar of Debian's package librhino-java "
            "(Java has none since version 15)"
        )
    return "; and ".join(sentences)


def spice(captions: Sequence[str], references: Sequence[Sequence[str]], folder: Path) -> np.ndarray:
    """SPICE of each clip: (clips,), 0 to 1.

    Args:
        captions: words separated by spaces, of one caption a clip; an empty one gets 0.
        references: words of one or several references for each clip.
        folder: has the files that SPICE needs (`spice_lacks`).

    Raises:
        JavaError: SPICE failed, took too long, or did not score each clip once.
    """
    written = [number for number, caption in enumerate(captions) if caption]
    scores = np.zeros(len(captions))
    if not written:
        return scores
    request = [
        {"image_id": number, "test": captions[number], "refs": list(references[number])} for number in written
    ]
    jar = coco_file("spice", "spice-1.0.jar")
    # Its own libraries first: another version in the folder must not take their place.
    places = [jar, jar.parent / "lib" / "*", *sorted(folder.glob("*.jar"))]
    with tempfile.TemporaryDirectory(prefix="wavcaps-spice-") as temporary:
        asked, answered = Path(temporary) / "in.json", Path(temporary) / "out.json"
        asked.write_text(json.dumps(request))
        arguments = ["-cp", os.pathsep.join(map(str, places)), MAIN_CLASS, str(asked), "-out", str(answered)]
        run_java("SPICE", [*arguments, "-subset", "-silent"], memory=MEMORY, timeout_s=TIMEOUT_S)
        try:
            answer = answered.read_text("utf-8")
        except OSError as error:
            raise JavaError(f"SPICE wrote no result: {error}") from error
    scores[written] = parse_answer(answer, written)
    return scores


def parse_answer(answer: str, numbers: Sequence[int]) -> np.ndarray:
    """The F-scores of the clips with these numbers, from the program's answer.

    Raises:
        JavaError: it is not the answer for these clips.
    """
    try:
        found = {int(item["image_id"]): float(item["scores"]["All"]["f"]) for item in json.loads(answer)}
        scores = np.array([found[number] for number in numbers])
    except (ValueError, KeyError, TypeError) as error:
        raise JavaError(f"SPICE's result cannot be read: {type(error).__name__}: {error}") from error
    if len(found) != len(numbers) or not np.isfinite(scores).all():
        raise JavaError(f"SPICE scored {len(found)} clips of {len(numbers)}, or some without a number")
    return scores


def _is_engine(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as jar:
            return ENGINE_ENTRY in jar.namelist()
    except (OSError, zipfile.BadZipFile):
        return False
