"""One session on a GPU, in stages that a killed session does not repeat.

    python -m benchmarks.gpu_session FOLDER                # all stages; run it again to go on
    python -m benchmarks.gpu_session FOLDER --stage profile_bf16
    python -m benchmarks.gpu_session FOLDER --device cpu --tiny    # to see that it works, without a GPU

The stages: `oracles`, `profile_fp32`, `profile_bf16`, `profile_bf16_compiled`, `bf16_steps`, `end_to_end`,
`resume`. Each runs in a process of its own, which is killed after 8 minutes; all have 25. A stage that
is done on this device, in this size, has `FOLDER/<stage>.json`, and is not run again. Without a GPU, and
without `--device cpu`, nothing is measured.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch

from benchmarks.gpu_stages import KILLED_RUN, STAGES, Session, killed_run

STAGE_S, SESSION_S = 8 * 60, 25 * 60


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.gpu_session")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("gpu_session"))
    parser.add_argument("--stage", choices=[*STAGES, KILLED_RUN])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a tiny model and few steps")
    parser.add_argument("--bert", default="", help="folder of bert-base-uncased; default: MiniLM")
    return parser.parse_args()


def run_stage(name: str, session: Session) -> None:
    """Runs a stage here, and writes its result in one step."""
    if name == KILLED_RUN:
        killed_run(session)
        return
    started = time.monotonic()
    found = dict(STAGES[name](session))
    result = {"stage": name, **about(session), "seconds": time.monotonic() - started, "result": found}
    partial = session.folder / f".{name}.json"
    partial.write_text(json.dumps(result, indent=2))
    partial.replace(session.folder / f"{name}.json")


def about(session: Session) -> dict[str, object]:
    """Of what a result is. One of something else, such as a CPU, is no result of this session."""
    return {
        "device": session.hardware,
        "torch": torch.__version__,
        "tiny": session.tiny,
        "bert": session.bert or "MiniLM",
    }


def is_done(result: Path, session: Session) -> bool:
    """Whether a stage has a result of this session."""
    return result.exists() and about(session).items() <= json.loads(result.read_text()).items()


def run_session(session: Session) -> list[str]:
    """Runs the stages that are not done. Gives those that failed."""
    end = time.monotonic() + SESSION_S
    failed = []
    for name in STAGES:
        result = session.folder / f"{name}.json"
        left = min(end - time.monotonic(), STAGE_S)
        if is_done(result, session):
            print(f"{name}: done before")  # noqa: T201
        elif left <= 0:
            failed.append(f"{name} (no time left: run it again)")
        else:
            print(f"{name} ...", flush=True)  # noqa: T201
            command = [sys.executable, "-m", "benchmarks.gpu_session", str(session.folder), "--stage", name]
            command += ["--device", session.device, "--bert", session.bert]
            try:
                done = subprocess.run([*command, *(["--tiny"] if session.tiny else [])], timeout=left)
            except subprocess.TimeoutExpired:
                failed.append(f"{name} (killed after {left:.0f} s)")
                continue
            if done.returncode:
                failed.append(f"{name} (exit status {done.returncode})")
        if is_done(result, session):
            found = json.loads(result.read_text())
            print(json.dumps({**found, "result": without_lists(found["result"])}))  # noqa: T201
    return failed


def without_lists(found: dict[str, object]) -> dict[str, object]:
    """A result without its long parts, for the terminal."""
    return {name: value for name, value in found.items() if name != "losses"}


def main() -> None:
    given = arguments()
    if given.device == "cuda" and not torch.cuda.is_available():
        print("no CUDA device: nothing was measured")  # noqa: T201
        return
    given.folder.mkdir(parents=True, exist_ok=True)
    session = Session(given.device, given.tiny, given.folder.absolute(), given.bert)
    if given.stage:
        run_stage(given.stage, session)
    elif failed := run_session(session):
        sys.exit(f"not done: {', '.join(failed)}")


if __name__ == "__main__":
    main()
