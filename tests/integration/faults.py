"""What the fault tests share: the four formats with a small conversation in each, a vendor that
speaks all of them and fails on demand, and the assertions that every fault ends in."""

import concurrent.futures
import hashlib
import json
import os
import time

from harness import DRAIN_S, READY_S, Gateway, GatewayTest, merged
from raw import Cut, Client

FAIL = "please fail"  # a request whose text says so gets the fault, others an answer
OK = "please answer"


def sse(data, name=None):
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    return (b"event: %s\n" % name.encode() if name else b"") + b"data: " + text + b"\n\n"


class Format:
    """One client format: where it is asked, what it says, how its end and its errors look."""

    def __init__(self, name, path, stream_path, ask, events, whole):
        self.name, self.path, self.stream_path = name, path, stream_path
        self.ask, self.events, self.whole = ask, events, json.dumps(whole).encode()

    def __repr__(self):
        return self.name

    @property
    def sse(self):
        return b"".join(self.events)

    def request(self, text, stream):
        body = self.ask(text)
        if stream and self.name != "gemini":
            body["stream"] = True
        return (self.stream_path if stream else self.path), body

    def is_end(self, data):
        """Whether this event tells the client that the answer is whole."""
        if data == "[DONE]":
            return True
        body = json.loads(data)
        if self.name == "openai":
            return any(choice.get("finish_reason") for choice in body.get("choices") or ())
        if self.name == "gemini":
            return any(candidate.get("finishReason") for candidate in body.get("candidates", ()))
        return body.get("type") in ("message_stop", "response.completed")

    def is_error(self, data):
        if data == "[DONE]":
            return False
        body = json.loads(data)
        if self.name in ("openai", "gemini"):
            return "message" in (body.get("error") or {})
        return body.get("type") in ("error", "response.failed")

    def error_message(self, answer):
        """The message of a whole error answer in this format's envelope."""
        body = answer.json()
        if self.name == "anthropic":
            assert body["type"] == "error" and body["error"]["type"], body
        elif self.name == "gemini":
            assert body["error"]["status"] and body["error"]["code"] == answer.status, body
        else:
            assert body["error"]["type"], body
        return body["error"]["message"]


def chat_chunk(delta, finish=None):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return sse({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                "choices": [choice]})


def said(kind, **more):
    return sse({"type": kind, **more}, kind)


def part(text, **more):
    return sse({"candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": text}]},
                                **more}]})


def response(status, number):
    return {"response": {"id": "r", "object": "response", "status": status, "model": "m",
                         "output": []}, "sequence_number": number}


# Each asks for a model that only accounts of its format have: what one vendor does wrong is not made
# good by another here.
OPENAI = Format(
    "openai", "/v1/chat/completions", "/v1/chat/completions",
    lambda text: {"model": "m-openai", "messages": [{"role": "user", "content": text}]},
    [chat_chunk({"role": "assistant", "content": ""}), chat_chunk({"content": "one é"}),
     chat_chunk({"content": "two"}), chat_chunk({}, "stop"), b"data: [DONE]\n\n"],
    {"id": "a", "object": "chat.completion", "model": "m", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "one"}, "finish_reason": "stop"}]})
RESPONSES = Format(
    "responses", "/v1/responses", "/v1/responses",
    lambda text: {"model": "m-openai", "input": text},
    [said("response.created", **response("in_progress", 0)),
     said("response.output_text.delta", item_id="i", output_index=0, content_index=0, delta="one é",
          sequence_number=1),
     said("response.output_text.delta", item_id="i", output_index=0, content_index=0, delta="two",
          sequence_number=2),
     said("response.completed", **response("completed", 3))],
    response("completed", 0)["response"])
ANTHROPIC = Format(
    "anthropic", "/v1/messages", "/v1/messages",
    lambda text: {"model": "m-anthropic", "max_tokens": 9,
                  "messages": [{"role": "user", "content": text}]},
    [said("message_start", message={"id": "x", "type": "message", "role": "assistant", "model": "m",
                                    "content": [], "usage": {"input_tokens": 1, "output_tokens": 1}}),
     said("content_block_start", index=0, content_block={"type": "text", "text": ""}),
     said("content_block_delta", index=0, delta={"type": "text_delta", "text": "one é"}),
     said("content_block_delta", index=0, delta={"type": "text_delta", "text": "two"}),
     said("content_block_stop", index=0),
     said("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2}),
     said("message_stop")],
    {"id": "x", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
     "content": [{"type": "text", "text": "one"}], "usage": {"input_tokens": 1, "output_tokens": 1}})
GEMINI = Format(
    "gemini", "/v1beta/models/m-gemini:generateContent",
    "/v1beta/models/m-gemini:streamGenerateContent?alt=sse",
    lambda text: {"contents": [{"role": "user", "parts": [{"text": text}]}]},
    [part("one é"), part("two"), part("three"), part("", finishReason="STOP")],
    {"candidates": [{"index": 0, "content": {"parts": [{"text": "one"}]}, "finishReason": "STOP"}]})
FORMATS = (OPENAI, RESPONSES, ANTHROPIC, GEMINI)
BEGUN = {"openai": 3, "responses": 3, "anthropic": 4, "gemini": 2}  # events before the middle


def begun(form):
    """The first half of a stream: the part with content, without the end."""
    return form.events[:BEGUN[form.name]]


def format_of(request):
    for mark, form in (("responses", RESPONSES), ("messages", ANTHROPIC), (":", GEMINI)):
        if mark in request.target:
            return form
    return OPENAI


def is_streamed(request):
    return "stream" in request.target or b'"stream": true' in request.body


def respond(peer, request):
    form = format_of(request)
    if is_streamed(request):
        peer.answer_sse(form.events)
    else:
        peer.answer(form.whole)


def failing(peer):
    """A vendor's script: vendor.fault(peer, form) for requests that say FAIL, after which the
    connection is closed unless it returns True; a good answer for all others."""
    while True:
        request = peer.request()
        if FAIL.encode() not in request.body:
            respond(peer, request)
        elif not peer.vendor.fault(peer, format_of(request)):
            return


def good(peer):
    """A vendor's script without any fault."""
    while True:
        respond(peer, peer.request())


def begin_stream(peer, form, events=None):
    peer.sse_head()
    for event in begun(form) if events is None else events:
        peer.chunk(event)


def together(calls):
    """The results of all calls, run at the same time."""
    with concurrent.futures.ThreadPoolExecutor(max(len(calls), 1)) as pool:
        return [future.result() for future in [pool.submit(call) for call in calls]]


class FaultGateway(Gateway):
    """Ready when it answers a client with its key; one shard, so that all requests share a pool."""

    def wait_ready(self, seconds=READY_S):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(f"exited with {self.process.returncode}:\n{self.log()}")
            try:
                with Client(self.data, timeout=5) as client:
                    client.request("GET", "/v1/models", None,
                                   [("authorization", f"Bearer {self.key}")])
                    if client.answer().status == 200:
                        return
            except (OSError, Cut):
                pass
            time.sleep(0.02)
        raise AssertionError(f"penstock was not ready after {seconds} s:\n{self.log()}")

    def proc(self, name):
        """A number of /proc/PID/status in bytes, such as VmRSS."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            for line in file:
                if line.startswith(name + ":"):
                    return int(line.split()[1]) * 1024
        raise AssertionError(f"no {name}")

    def cpu_s(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def begin(self, form, text=OK, stream=True, headers=(), **options):
        """A connection on which a request was sent."""
        client = self.client(**options)
        path, body = form.request(text, stream)
        client.request("POST", path, body, [("authorization", f"Bearer {self.key}"), *headers])
        return client

    def measure(self, form, text=OK, stream=True):
        """For answers too large to keep: whether it is complete, its bytes' number and SHA-256."""
        with self.begin(form, text, stream) as client:
            count, digest = 0, hashlib.sha256()
            try:
                for piece in client.pieces(client.head()):
                    count += len(piece)
                    digest.update(piece)
            except Cut:
                return False, count, digest.hexdigest()
            return True, count, digest.hexdigest()

    def ask(self, form, text=OK, stream=True, **options):
        with self.begin(form, text, stream, **options) as client:
            return client.answer()


class FaultTest(GatewayTest):
    def gateway(self, accounts=(), config=None, timeouts=None, **options):
        common = {"shards": 1, "timeouts": {"drain": "1s", **(timeouts or {})}}
        gateway = FaultGateway(self.backend, accounts=accounts, config=merged(common, config or {}),
                               **options)
        self.addCleanup(gateway.close)
        return gateway.start()

    def pair(self, fault=None, script=failing, **options):
        """A vendor for all four formats and a gateway in front of it."""
        vendor = self.vendor(script)
        vendor.fault = fault
        return self.gateway(openai=vendor, anthropic=vendor, gemini=vendor, **options), vendor

    def each_format(self, call, forms=FORMATS):
        """call(form) for all formats at once: [(form, result)]."""
        return list(zip(forms, together([lambda form=form: call(form) for form in forms])))

    def assert_good(self, gateway, forms=(OPENAI,), stream=True):
        for form in forms:
            answer = gateway.ask(form, stream=stream)
            self.assertEqual((answer.status, answer.complete), (200, True), (form, answer.body))
            self.assertEqual(answer.body, form.sse if stream else form.whole)

    def assert_prompt(self, gateway, seconds=1, tries=4):
        """A good answer within `seconds`. Who starves it makes every try slow; a machine under load
        one or the other."""
        took = []
        while not took or (took[-1] > seconds and len(took) < tries):
            began = time.monotonic()
            self.assert_good(gateway)
            took.append(time.monotonic() - began)
        self.assertLess(took[-1], seconds, f"a request of another client: {took}")

    def assert_refused(self, form, answer, statuses=(500, 502, 503)):
        """A whole answer with an error in the client's format and an id."""
        self.assertIn(answer.status, statuses, (form, answer.body))
        self.assertTrue(answer.complete, form)
        self.assertTrue(form.error_message(answer), form)
        self.assertTrue(answer.get("x-request-id"), form)
        self.assertNotIn(b"vendor-secret", answer.body)

    def assert_cut(self, form, answer, delivered, told=None):
        """What came before the fault, then an error event or a visible cut; never an end."""
        self.assertEqual(answer.status, 200, (form, answer.body))
        self.assertTrue(answer.body.startswith(delivered), (form, answer.body, delivered))
        rest = Answered(answer, len(delivered))
        self.assertFalse([data for data in rest.events if form.is_end(data)], (form, answer.body))
        said_so = any(form.is_error(data) for data in rest.events)
        self.assertTrue(said_so or not answer.complete, f"{form}: a cut answer looks whole")
        if told is not None:
            self.assertEqual(said_so, told, (form, answer.body))


class Answered:
    """The events of an answer's body from `at` on; all of them must be well-formed."""

    def __init__(self, answer, at=0):
        rest = answer.body[at:]
        self.events = []
        for block in rest.decode("utf-8").split("\n\n")[:-1]:
            data = [line[5:].strip() for line in block.split("\n") if line.startswith("data:")]
            self.events += ["\n".join(data)] if data else []


def stop_within(gateway, seconds=DRAIN_S):
    """How long the process takes to end by itself, and its exit status."""
    began = time.monotonic()
    status = gateway.process.wait(seconds)
    return time.monotonic() - began, status
