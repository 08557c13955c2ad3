"""A real HTTP server that speaks OpenAI's files and batches, and fails as it is set up to."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.servers import running
from wavcaps_assets.llm.settings import ModelSettings

MODEL = "batched"
KEY = "sk-the-right-key-of-this-account"
SEED = 7
# What becomes of a request: None: an answer; a dict: an error that takes its place; "drop": no line.
Fate = Callable[[dict[str, Any], int], dict[str, Any] | str | None]


def refusal(status: int, code: str = "scripted") -> dict[str, Any]:
    """A request that the model's endpoint answers with an error."""
    body = {"error": {"message": f"said with {KEY}", "code": code}}
    return {"response": {"status_code": status, "request_id": "r", "body": body}, "error": None}


def unbegun(code: str) -> dict[str, Any]:
    """A request that the batch never sends."""
    return {"response": None, "error": {"code": code, "message": "could not be executed"}}


@dataclass
class BatchServer:
    """How it behaves, and what it was asked.

    Attributes:
        polls: how often a batch is looked at before it has ended.
        ends: how the batches end, in the order of their creation; then they complete.
        invalid: errors of validation, in the same order; then none.
        fate: of a request, from its line and how often it has been submitted.
        edit: changes the lines of the output file, after they are counted.
        edit_counts: changes what the server says about how many requests were completed and failed.
        losses: of result files, how often the next fetches find none; -1: always.
        truncations: as above, how often they find the first half of the lines.
        statuses: by step (upload, create, list, retrieve, content): what to refuse the next ones with.
        before: called with each step when it is requested.
        after: called with each step when it is done and not yet answered.
        create_delay_s: how long a creation takes, whether or not the client still listens (s).
        most_enqueued: requests that may be under way at once.
        billed: by request, how often the model has answered it.
    """

    polls: int = 2
    ends: list[str] = field(default_factory=list)
    invalid: list[dict[str, Any] | None] = field(default_factory=list)
    fate: Fate = lambda line, nth: None
    edit: Callable[[list[bytes]], list[bytes]] = lambda lines: lines
    edit_counts: Callable[[dict[str, int]], dict[str, int] | None] = lambda counts: counts
    losses: int = 0
    truncations: int = 0
    statuses: dict[str, list[int]] = field(default_factory=dict)
    before: Callable[[str], object] = lambda step: None
    after: Callable[[str], object] = lambda step: None
    create_delay_s: float = 0.0
    most_enqueued: int = 10**9
    root: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    submitted: Counter[str] = field(default_factory=Counter)
    billed: Counter[str] = field(default_factory=Counter)
    sizes: list[int] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    looks: Counter[str] = field(default_factory=Counter)
    file_count: int = 0

    def settings(self, key: str = KEY) -> ModelSettings:
        return ModelSettings(base_url=f"{self.root}/v1", model=MODEL, api_key=SecretStr(key), timeout_s=5)

    def _refused(self, step: str, request: Request) -> Response | None:
        self.asked[step] += 1
        self.before(step)
        if request.headers["authorization"] != f"Bearer {KEY}":
            said = f"Incorrect API key provided: {request.headers['authorization']}"
            return JSONResponse({"error": {"message": said, "code": "invalid_api_key"}}, 401)
        if self.statuses.get(step):
            status = self.statuses[step].pop(0)
            return JSONResponse({"error": {"message": "scripted", "code": "scripted"}}, status)
        return None

    def _done(self, step: str, answer: Response) -> Response:
        self.after(step)
        return answer

    async def upload(self, request: Request) -> Response:
        body = await request.body()
        if refused := self._refused("upload", request):
            return refused
        head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
        parts = {
            part.get_param("name", header="content-disposition"): part
            for part in BytesParser(policy=HTTP).parsebytes(head + body).iter_parts()
        }
        assert parts["purpose"].get_payload() == "batch"
        data = parts["file"].get_payload(decode=True)
        assert isinstance(data, bytes)
        return self._done("upload", JSONResponse(self._file(data, "batch")))

    def _file(self, data: bytes, purpose: str) -> dict[str, Any]:
        self.file_count += 1
        file_id = f"file-{self.file_count}"
        self.files[file_id] = data
        return {
            "id": file_id,
            "object": "file",
            "bytes": len(data),
            "created_at": int(time.time()),
            "filename": "f.jsonl",
            "purpose": purpose,
            "status": "processed",
        }

    async def create(self, request: Request) -> Response:
        asked = json.loads(await request.body())
        if refused := self._refused("create", request):
            return refused
        return await asyncio.shield(self._create(asked))

    async def _create(self, asked: dict[str, Any]) -> Response:
        await asyncio.sleep(self.create_delay_s)
        assert asked["endpoint"] == "/v1/chat/completions" and asked["completion_window"] == "24h"
        lines = [json.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
        number = len(self.batches)
        batch = {
            "id": f"batch_{number + 1}",
            "object": "batch",
            "created_at": int(time.time()) - 60,
            "errors": None,
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
            **asked,
        }
        error = self.invalid[number] if number < len(self.invalid) else self._invalid(lines)
        self.batches[batch["id"]] = batch
        if error is not None:
            batch |= {"status": "failed", "errors": {"object": "list", "data": [error]}}
        else:
            self.submitted.update(line["custom_id"] for line in lines)
            self.sizes.append(len(lines))
        return self._done("create", JSONResponse(batch))

    def _invalid(self, lines: list[dict[str, Any]]) -> dict[str, Any] | None:
        if len({line["custom_id"] for line in lines}) < len(lines) or not lines:
            return {"code": "duplicate_custom_id", "message": "not unique", "line": 1}
        for number, line in enumerate(lines, 1):
            fit = set(line) == {"custom_id", "method", "url", "body"} and len(line["custom_id"]) <= 64
            if not fit or line["url"] != "/v1/chat/completions" or line["method"] != "POST":
                return {"code": "invalid_request", "message": "bad line", "line": number}
            if line["body"]["model"] != MODEL:
                return {"code": "model_not_found", "message": "no such model", "line": number}
        enqueued = sum(
            batch["request_counts"]["total"]
            for batch in self.batches.values()
            if batch["status"] in ("validating", "in_progress")
        )
        if enqueued + len(lines) > self.most_enqueued:
            return {"code": "token_limit_exceeded", "message": "Enqueued token limit reached", "line": None}
        return None

    async def retrieve(self, request: Request) -> Response:
        if refused := self._refused("retrieve", request):
            return refused
        batch = self.batches.get(request.path_params["batch"])
        if batch is None:
            return JSONResponse({"error": {"message": "No batch found"}}, 404)
        if batch["status"] in ("validating", "in_progress"):
            self.looks[batch["id"]] += 1
            batch["status"] = "in_progress"
            if self.looks[batch["id"]] >= self.polls:
                self._end(batch)
        return self._done("retrieve", JSONResponse(batch))

    def _end(self, batch: dict[str, Any]) -> None:
        number = int(batch["id"].partition("_")[2]) - 1
        status = self.ends[number] if number < len(self.ends) else "completed"
        lines = [json.loads(line) for line in self.files[batch["input_file_id"]].splitlines()]
        output, errors = [], []
        for place, line in enumerate(lines):
            fate = self.fate(line, self.submitted[line["custom_id"]])
            if status in ("expired", "cancelled") and place >= len(lines) // 2:
                fate = unbegun(f"batch_{status}")
            if fate is None:
                output.append(self._result(line, {"response": completed(line), "error": None}))
            elif isinstance(fate, dict):
                errors.append(self._result(line, fate))
        self.billed.update(json.loads(line)["custom_id"] for line in output)
        counts = batch["request_counts"] | {"completed": len(output), "failed": len(errors)}
        random.Random(SEED).shuffle(output)
        output = self.edit(output)
        batch["status"] = status
        batch[f"{status}_at"] = batch["created_at"] + 60
        batch["request_counts"] = self.edit_counts(counts)
        for name, results in (("output", output), ("error", errors)):
            if results:
                batch[f"{name}_file_id"] = self._file(b"\n".join(results) + b"\n", "batch_output")["id"]

    @staticmethod
    def _result(line: dict[str, Any], outcome: dict[str, Any]) -> bytes:
        result = {"id": "batch_req_1", "custom_id": line["custom_id"], **outcome}
        return json.dumps(result, ensure_ascii=False).encode()

    async def list(self, request: Request) -> Response:
        if refused := self._refused("list", request):
            return refused
        newest_first = list(reversed(self.batches.values()))
        ids = [batch["id"] for batch in newest_first]
        start = ids.index(request.query_params["after"]) + 1 if "after" in request.query_params else 0
        # Smaller pages than are asked for, so that there are several.
        page = newest_first[start : start + 2]
        more = start + 2 < len(newest_first)
        return self._done("list", JSONResponse({"object": "list", "data": page, "has_more": more}))

    async def content(self, request: Request) -> Response:
        if refused := self._refused("content", request):
            return refused
        data = self.files.get(request.path_params["file"])
        if self.losses:
            self.losses -= 1
            data = None
        elif data is not None and self.truncations:
            self.truncations -= 1
            lines = data.splitlines(keepends=True)
            data = b"".join(lines[: len(lines) // 2]) + lines[-1][:20]
        if data is None:
            return JSONResponse({"error": {"message": "No such file"}}, 404)
        return self._done("content", Response(data, media_type="application/octet-stream"))


def answer_to(text: str) -> str:
    """With what JSON allows inside a line and some think of as a line's end."""
    return f"A {text} is\u2028calling\x85."


def completed(line: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": answer_to(line["body"]["messages"][-1]["content"])}
    body = {
        "object": "chat.completion",
        "model": MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
    }
    return {"status_code": 200, "request_id": "r", "body": body}


@contextmanager
def batching(**settings: Any) -> Iterator[BatchServer]:
    """Runs a server on a free port of this machine."""
    server = BatchServer(**settings)
    routes = [
        Route("/v1/files", server.upload, methods=["POST"]),
        Route("/v1/files/{file}/content", server.content),
        Route("/v1/batches", server.create, methods=["POST"]),
        Route("/v1/batches", server.list, methods=["GET"]),
        Route("/v1/batches/{batch}", server.retrieve),
    ]
    with running(Starlette(routes=routes)) as server.root:
        yield server
