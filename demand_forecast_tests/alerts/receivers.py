"""Receivers of alerts on loopback: a web server and a mail server, each keeping what it was sent."""

import base64
import json
import ssl
import threading
import time
from email import message_from_bytes
from email.message import Message
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import StreamRequestHandler, TCPServer, ThreadingTCPServer
from typing import Any


class _Loopback(TCPServer):
    """Serves in a thread of its own, as a context manager; may be started again on the port it had."""

    def __enter__(self):
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def port(self) -> int:
        return self.server_address[1]


class WebReceiver(_Loopback, ThreadingHTTPServer):
    """Answers `status`, after `delay` seconds."""

    def __init__(self, port: int = 0, status: int = 200, delay: float = 0) -> None:
        self.status, self.delay, self.taken, self.asked = status, delay, [], 0
        super().__init__(("127.0.0.1", port), _Post)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/T0/s3cret"

    @property
    def titles(self) -> list[str]:
        return [payload["title"] for payload in self.taken]


class _Post(BaseHTTPRequestHandler):
    server: WebReceiver

    def do_POST(self) -> None:
        payload: dict[str, Any] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked += 1
        time.sleep(self.server.delay)
        if self.server.status == 200:
            self.server.taken.append(payload)
        self.send_response(self.server.status)
        self.send_header("Location", self.path)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


class MailReceiver(_Loopback, ThreadingTCPServer):
    """Takes mail of `user` alone, and after STARTTLS alone, where a certificate is given."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, certificate: Path | None = None, user: tuple[str, str] | None = None) -> None:
        self.taken: list[Message] = []
        self.user = user
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if certificate else None
        if self.tls:
            self.tls.load_cert_chain(certificate)
        super().__init__(("127.0.0.1", 0), _Smtp)


class _Smtp(StreamRequestHandler):
    server: MailReceiver

    def handle(self) -> None:
        plain, known = self.server.tls is not None, self.server.user is None
        self._say("220 loopback")
        while line := self.rfile.readline().decode().strip():
            verb, _, rest = line.partition(" ")
            if verb.upper() == "EHLO":
                self._say("250-loopback", "250-STARTTLS" if plain else "250-AUTH PLAIN", "250 OK")
            elif verb == "STARTTLS":
                self._say("220 go ahead")
                self.request = self.server.tls.wrap_socket(self.request, server_side=True)
                self.rfile, self.wfile, plain = self.request.makefile("rb"), self.request.makefile("wb", 0), False
            elif plain:
                self._say("530 STARTTLS first")
            elif verb == "AUTH":
                known = tuple(base64.b64decode(rest.split()[-1]).decode().split("\0")[1:]) == self.server.user
                self._say("235 welcome" if known else f"535 wrong: {rest}")
            elif not known:
                self._say("530 who are you")
            elif verb.upper() == "DATA":
                self._say("354 go on")
                body = b"".join(iter(self.rfile.readline, b".\r\n"))
                self.server.taken.append(message_from_bytes(body, policy=default))
                self._say("250 taken")
            else:
                self._say("221 bye" if verb.upper() == "QUIT" else "250 OK")

    def _say(self, *lines: str) -> None:
        self.wfile.write("".join(f"{line}\r\n" for line in lines).encode())
