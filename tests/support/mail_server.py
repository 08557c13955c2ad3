"""A real SMTP server on this machine (RFC 5321), which keeps the messages that it accepts."""

from __future__ import annotations

import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class MailServer:
    """A running server.

    Attributes:
        refusing: the reply to every recipient; empty: they are accepted.
        messages: those that were accepted, each with its recipients.
        logins: what was sent after AUTH.
        waits: before the reply to a verb (s).
    """

    port: int = 0
    refusing: str = ""
    messages: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    waits: dict[str, float] = field(default_factory=dict)


@contextmanager
def mail_server() -> Iterator[MailServer]:
    kept = MailServer()

    class Session(socketserver.StreamRequestHandler):
        def say(self, reply: str) -> None:
            # Who did not wait for the reply is gone.
            with suppress(OSError):
                self.wfile.write(f"{reply}\r\n".encode())

        def handle(self) -> None:
            recipients: list[str] = []
            self.say("220 test")
            while words := self.rfile.readline().decode().strip():
                verb = words.split()[0].upper()
                time.sleep(kept.waits.get(verb, 0.0))
                if verb == "EHLO":
                    self.say("250-test\r\n250 AUTH PLAIN")
                elif verb == "AUTH":
                    kept.logins.append(words)
                    self.say("235 accepted")
                elif verb == "RCPT":
                    recipients.append(words.partition(":")[2].strip("<>"))
                    self.say(kept.refusing or "250 accepted")
                elif verb == "DATA":
                    self.say("354 go on")
                    lines = iter(self.rfile.readline, b".\r\n")
                    body = b"".join(
                        line.removeprefix(b".") if line.startswith(b"..") else line for line in lines
                    )
                    message = message_from_bytes(body, policy=policy.default)
                    kept.messages.append((recipients, message))
                    self.say("250 accepted")
                elif verb == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 accepted")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session) as server:
        kept.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield kept
        finally:
            server.shutdown()
