#!/usr/bin/env python3
"""The strict vendor: all four formats, and no request that a real vendor would refuse.

    python3 tests/strict/vendor.py [--port N]

The key that a request brings is the account it belongs to; it begins with `strict-`. What the model
says is in script.py, what each format refuses in chat.py, responses.py, messages.py and gemini.py,
what a conversation is held to in seal.py. Nothing is shared with the gateway.
"""

import argparse
import json
import re
import socket
import sys
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import chat
import common
import gemini
import messages
import responses
import script
from common import Refusal
from seal import Ledger, Seals, prefix_digest

FORMATS = {"openai": chat, "responses": responses, "anthropic": messages, "gemini": gemini}
# What the vendors call the models that the rules in the formats' files are about.
MODELS = {"openai": "gpt-5", "responses": "gpt-5", "anthropic": "claude-sonnet-5",
          "gemini": "gemini-3-pro"}
# Models that can be steered otherwise: a vendor's that does not think, where there is one.
PLAIN = {"openai": "gpt-4.1", "responses": "gpt-4.1", "anthropic": "claude-opus-5",
         "gemini": "gemini-3-flash"}
OTHER_MODELS = (*PLAIN.values(), *chat.DIALECTS)
PATHS = {"/v1/chat/completions": "openai", "/v1/responses": "responses", "/v1/messages": "anthropic"}
GEMINI_PATH = re.compile(
    r"/v1(?:beta|alpha|beta1)?/models/([^/:]+):(generateContent|streamGenerateContent)")
BODY_MAX = 64 << 20
SEND_BYTES = 700  # events leave in writes of about this size, which end anywhere


@dataclass
class Call:
    """One request, as far as it is known apart from its body."""

    family: str
    account: str
    headers: dict
    model: str = ""
    stream: bool = False
    sse: bool = True
    came_back: set = field(default_factory=set)
    given: set = field(default_factory=set)


@dataclass
class Entry:
    """What the vendor remembers of a request."""

    family: str
    account: str
    status: int
    why: str
    marker: str | None = None
    body: object = None
    came_back: set = field(default_factory=set)  # signatures in the request
    given: set = field(default_factory=set)      # signatures in the answer
    answer: script.Answer | None = None


def trouble_of(form, kind):
    """The error of this name, or with this status, in the vendor's words."""
    if kind.isdigit():
        return Refusal("The server had an error while processing your request.", int(kind))
    return form.TROUBLES[kind]()


class StrictVendor:
    """The vendor, served in threads of this process. `log` has an Entry a request, in order."""

    def __init__(self, port=0):
        self.seals, self.ledger = Seals(), Ledger()
        self.stored = set()              # ids of items that a Responses client left here
        self.given = defaultdict(set)    # account: the signatures that it was given
        self.log, self.counts = [], Counter()
        self.lock = threading.Lock()
        self.server = Server(("127.0.0.1", port), self)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join(5)

    digest = staticmethod(common.digest)

    def issued(self, call, sign, optional=False):
        """`optional`: the vendor asks for it back without need, and not every format has a place."""
        if not optional:
            call.given.add(sign)
        with self.lock:
            self.given[call.account].add(sign)

    def returned(self, call, sign):
        call.came_back.add(sign)

    def placeholder(self, call):
        with self.lock:
            self.counts["placeholder", call.account] += 1

    def note(self, entry):
        with self.lock:
            self.log.append(entry)

    def entries(self, marker=None, account=None):
        with self.lock:
            return [entry for entry in self.log if (marker is None or entry.marker == marker)
                    and (account is None or entry.account == account)]

    def refusals(self):
        with self.lock:
            return [entry for entry in self.log if entry.status != 200]

    def reply(self, call, body):
        """(asked, answer); raises Refusal."""
        form, marker = FORMATS[call.family], None
        try:
            try:
                asked = form.read(body, call, self)
            except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
                # A shape that no rule above has words for is refused all the same.
                raise Refusal(f"Invalid request body: {type(error).__name__}: {error}") from error
            asked.extra["call"] = call
            asked.prefix = prefix_digest(asked.extra["prefix"])
            marker = script.conversation_of(asked.items)
            if asked.model not in (*MODELS.values(), *OTHER_MODELS):
                raise Refusal(f"The model `{asked.model}` does not exist or you do not have access to "
                              "it.", 404)
            if marker is not None:
                changed = self.ledger.grow(call.account, call.family, marker, asked.extra["prefix"])
                if changed is not None:
                    at, before, now = changed
                    raise Refusal(f"The conversation is not the one of the turn before: its element {at} "
                                  f"was {before[:600]} and is {now[:600]}")
            answer = script.answer(asked)
            if answer.broken and not asked.stream:
                raise script.Trouble(answer.why)
        except script.Trouble as trouble:
            refusal = trouble_of(form, trouble.kind)
            self.note(Entry(call.family, call.account, refusal.status, "as asked for", marker, body))
            raise refusal from None
        except Refusal as refusal:
            self.note(Entry(call.family, call.account, refusal.status, refusal.message, marker, body))
            raise
        self.note(Entry(call.family, call.account, 200, "", marker, body,
                        call.came_back, call.given, answer))
        return asked, answer


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, address, vendor):
        self.vendor = vendor
        super().__init__(address, Handler)

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):  # a client that left is no matter
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "strict", ""
    timeout = 120

    def setup(self):
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def log_message(self, *args):
        pass

    def send(self, status, value, family):
        data = json.dumps(value, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.send_header("request-id" if family == "anthropic" else "x-request-id", "req_strict")
        if status == 429:
            self.send_header("retry-after", "7")
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, family, refusal):
        self.send(refusal.status, FORMATS[family].error_body(refusal), family)

    def key(self, family):
        """The account that the request's key names; raises Refusal as the vendor does."""
        bearer = re.fullmatch(r"Bearer (.*)", self.headers.get("authorization", ""))
        key = bearer.group(1) if bearer else None
        if family == "anthropic":
            key = self.headers.get("x-api-key") or key
            if key is None:
                raise Refusal("x-api-key header is required", 401)
        elif family == "gemini":
            found = re.search(r"[?&]key=([^&]*)", self.path)
            key = self.headers.get("x-goog-api-key") or (found and found.group(1)) or key
        if key is None or not key.startswith("strict-"):
            raise Refusal({
                "anthropic": "invalid x-api-key",
                "gemini": "API key not valid. Please pass a valid API key.",
            }.get(family, f"Incorrect API key provided: {key}. You can find your API key at "
                  "https://platform.openai.com/account/api-keys."), 400 if family == "gemini" else 401)
        return key

    def body(self):
        if "chunked" in self.headers.get("transfer-encoding", ""):
            data = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                data += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return data
        return self.rfile.read(min(int(self.headers.get("content-length", 0)), BODY_MAX))

    def do_GET(self):
        path = self.path.partition("?")[0]
        if path.startswith("/v1beta/models"):
            self.send(200, {"models": [{"name": "models/" + MODELS["gemini"]}]}, "gemini")
        elif path == "/v1/models":
            self.send(200, {"object": "list", "data": [
                {"id": name, "object": "model"} for name in sorted(set(MODELS.values()))]}, "openai")
        else:
            self.send(404, {"error": {"message": "Not found"}}, "openai")

    def do_POST(self):
        data = self.body()
        path, _, query = self.path.partition("?")
        found = GEMINI_PATH.fullmatch(path)
        family = "gemini" if found else PATHS.get(path)
        if family is None:
            self.send(404, {"error": {"message": f"Invalid URL (POST {path})", "code": 404}}, "openai")
            return
        try:
            headers = {name.lower(): value for name, value in self.headers.items()}
            call = Call(family, self.key(family), headers)
            if found:
                call.model, method = found.groups()
                call.stream, call.sse = method.startswith("stream"), "alt=sse" in query
            if "application/json" not in headers.get("content-type", ""):
                raise Refusal("Unsupported content type. Requests must be made with `Content-Type: "
                              "application/json`.")
            try:
                body = json.loads(data.decode("utf-8"))
            except ValueError:
                raise Refusal("We could not parse the JSON body of your request.") from None
            if not isinstance(body, dict):
                raise Refusal("We could not parse the JSON body of your request: it is no object.")
            asked, answer = self.server.vendor.reply(call, body)
        except Refusal as refusal:
            self.refuse(family, refusal)
            return
        form = FORMATS[family]
        if asked.stream:
            self.stream(form.events(asked, answer, self.server.vendor), answer.broken,
                        family != "gemini" or call.sse)
        else:
            self.send(200, form.whole(asked, answer, self.server.vendor), family)

    def stream(self, events, broken, sse):
        self.send_response(200)
        kind = "text/event-stream; charset=utf-8" if sse else "application/json"
        self.send_header("content-type", kind)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        held = b""
        for event in events:
            held += event
            if len(held) >= SEND_BYTES:
                self.chunk(held[:SEND_BYTES])
                held = held[SEND_BYTES:]
        self.chunk(held)
        if broken == "cut":
            self.close_connection = True
            return
        self.wfile.write(b"0\r\n\r\n")

    def chunk(self, data):
        if data:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    vendor = StrictVendor(parser.parse_args().port)
    print(vendor.url, flush=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        vendor.close()


if __name__ == "__main__":
    main()
