"""Clients that fail: rows C1 to C7 of the fault matrix, and the field cases about clients that
leave, read slowly, or flood. Malformed requests (C8) are in test_http_safety.py."""

import json
import os
import random
import threading
import time

from faults import (ANTHROPIC, FAIL, FORMATS, OK, OPENAI, FaultTest, begin_stream, begun, chat_chunk,
                    failing, together)
from harness import both_backends, models_of, new_key
from raw import Client, Cut, reset
from test_admin import control

CHAT = OPENAI.path
LONG = bool(os.environ.get("CHECK_LONG"))
SNDBUF = 4096  # small, so that it is the gateway that has to hold back


def hanging(before_head):
    """A fault that says the beginning of a stream, or nothing, and notes how and when it ended."""

    def fault(peer, form):
        if not before_head:
            begin_stream(peer, form)
        peer.ended_how = peer.hang(10)
        peer.ended_at = time.monotonic()

    return fault


def ended(vendor):
    """The vendor's connections whose script saw the end of a fault."""
    return [peer for peer in vendor.peers if hasattr(peer, "ended_at")]


@both_backends
class Slow(FaultTest):
    def test_C1_a_head_that_drips(self):
        gateway, vendor = self.pair(timeouts={"header": "1s"})

        def drip(text):
            client = gateway.client()
            began = time.monotonic()
            client.send(text[:5])
            try:
                for at in range(5, len(text)):
                    time.sleep(0.05)
                    client.send(text[at : at + 1])
            except OSError:
                pass
            took = time.monotonic() - began
            try:
                status = client.answer().status
            except (Cut, OSError):
                status = None
            return took, status

        heads = [f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nx-pad: " + "a" * 200, "P" * 200, "\r\n" * 100]
        for took, status in together([lambda head=head: drip(head) for head in heads]):
            self.assertLess(took, 4, "a byte now and then keeps the connection")
            self.assertIn(status, (408, 400, None))
        self.assertEqual(vendor.requests, [])
        self.assert_good(gateway)

    def test_C1_a_connection_that_says_nothing(self):
        gateway, _ = self.pair(timeouts={"header": "500ms", "idle": "500ms"})
        silent = gateway.client()
        used = gateway.begin(OPENAI)
        self.assertTrue(used.answer().complete)
        for client in (silent, used):
            self.assertIn(client.ended(3), ("fin", "reset"))

    def test_C1_a_late_head_is_answered_in_no_other_requests_format(self):
        gateway, _ = self.pair(timeouts={"header": "500ms"})
        self.assert_good(gateway, (ANTHROPIC,))
        client = gateway.client()
        client.send("POST /v1/chat/compl")
        answer = client.answer()
        self.assertEqual(answer.status, 408)
        self.assertNotIn("type", answer.json(), "it is in the format of the request before")

    def test_C2_a_body_that_stalls(self):
        gateway, vendor = self.pair(timeouts={"body_stall": "1s"})

        def stall(form, chunked):
            path, body = form.request("x" * 3000, True)
            body = json.dumps(body).encode()
            client = gateway.client()
            client.method = "POST"
            framing = "transfer-encoding: chunked" if chunked else f"content-length: {len(body)}"
            client.send(f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}\r\n"
                        f"{framing}\r\n\r\n")
            client.send(b"%x\r\n" % len(body) + body[:50] if chunked else body[:50])
            answer = client.answer()
            self.assert_refused(form, answer, (408, 400, 504))
            self.assertIn(client.ended(4), ("fin", "reset"))

        with self.within(6, "the cut"):
            together([lambda form=form, c=chunked: stall(form, c)
                      for form in FORMATS for chunked in (False, True)])
        self.assertEqual(vendor.requests, [])

    def test_C2_a_large_body_that_stalls(self):
        gateway, vendor = self.pair(timeouts={"body_stall": "1s"})
        client = gateway.client()
        client.method = "POST"
        client.send(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}\r\n"
                    "content-length: 3000000\r\n\r\n" + "x" * 500_000)
        with self.within(5, "the cut"):
            self.assertEqual(client.answer().status, 408)
            self.assertIn(client.ended(4), ("fin", "reset"))
        self.assertEqual(vendor.requests, [])
        self.assert_good(gateway)

    def test_C2_a_body_below_the_least_rate(self):
        gateway, vendor = self.pair()
        client = gateway.client()
        client.method = "POST"
        client.send(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}\r\n"
                    "content-length: 50000\r\n\r\n")
        began, stop = time.monotonic(), threading.Event()

        def drip():
            while not stop.wait(0.2):
                try:
                    client.send("x" * 20)
                except OSError:
                    return

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        status = client.answer().status
        stop.set()
        thread.join()
        self.assertEqual(status, 408)
        self.assertLess(time.monotonic() - began, 9)
        self.assertEqual(vendor.requests, [])

    def test_C4_a_client_that_never_reads(self):
        sent = []

        def pour(peer, form):
            begin_stream(peer, form)
            total = 0
            sent.append(lambda: total)
            event = chat_chunk({"content": "x" * 1500})
            block = b"%x\r\n%s\r\n" % (len(event), event) * 50
            try:
                for _ in range(2000):
                    peer.send(block)
                    total += len(block)
            finally:
                peer.ended_at = time.monotonic()

        gateway, vendor = self.pair(pour, timeouts={"write_stall": "2s"})
        before = gateway.proc("VmRSS")
        client = gateway.begin(OPENAI, FAIL, recv_buffer=SNDBUF)
        self.eventually(lambda: sent and sent[0]() > 0, "the vendor pours")
        for _ in range(10):  # the others are served meanwhile
            with self.within(1, "another client's stream"):
                self.assert_good(gateway)
            time.sleep(0.05)
        self.assertLess(sent[0](), 32 << 20, "the vendor is read without an end")
        self.assertLess(gateway.proc("VmRSS") - before, 16 << 20)
        began = time.monotonic()
        self.eventually(lambda: ended(vendor), "the vendor's side is dropped", 8)
        self.assertGreater(time.monotonic() - began, 0.5, "the budget was not waited for")
        client.close()

    def test_C4_P122_slow_readers_lose_nothing(self):
        """Each reads a little now and then; every byte arrives, in events of all sizes."""
        events = [chat_chunk({"content": "y" * size}) for size in
                  [*range(900, 1300, 7), *range(3900, 4300, 50), 9_000, 20_000, 50_000, 60_000] * 8]
        want = b"".join(begun(OPENAI) + events + OPENAI.events[3:])

        def pour(peer, form):
            begin_stream(peer, form)
            for event in events:
                peer.chunk(event)
            for event in form.events[3:]:
                peer.chunk(event)
            peer.last_chunk()
            return True

        def read_slowly(headers):
            client = gateway.begin(OPENAI, FAIL, recv_buffer=SNDBUF, headers=headers)
            got, answer = [], client.head()
            for number, piece in enumerate(client.pieces(answer)):
                got.append(piece)
                if number % 20 == 0:
                    time.sleep(0.02)
            return b"".join(got)

        gateway, _ = self.pair(pour, timeouts={"write_stall": "5s", "stream_idle": "10s"})
        for got in together([lambda h=h: read_slowly(h) for h in ([], [("connection", "close")]) * 4]):
            self.assertTrue(got == want, f"{len(got)} bytes of {len(want)}")

    def test_P122_many_slow_readers_do_not_slow_a_fast_one(self):
        def pour(peer, form):
            begin_stream(peer, form)
            event = chat_chunk({"content": "z" * 2000})
            for _ in range(1000):
                peer.chunk(event)

        gateway, _ = self.pair(pour)
        before = gateway.proc("VmRSS")
        slow = [gateway.begin(OPENAI, FAIL, recv_buffer=SNDBUF) for _ in range(60)]
        time.sleep(1)
        took = []
        for _ in range(30):
            began = time.monotonic()
            self.assert_good(gateway)
            took.append(time.monotonic() - began)
        self.assertLess(sorted(took)[15], 0.25)
        self.assertLess(gateway.proc("VmRSS") - before, 60 * (512 << 10) + (16 << 20))
        for client in slow:
            client.reset()
        self.assert_good(gateway, FORMATS)


@both_backends
class Leaving(FaultTest):
    time_limit_s = 900 if LONG else 240

    def leave(self, vendor, client, how, within):
        before = len(ended(vendor))
        began = time.monotonic()
        client.reset() if how == "reset" else client.close()
        self.eventually(lambda: len(ended(vendor)) > before, f"the vendor sees the {how}", 4)
        took = ended(vendor)[-1].ended_at - began
        self.assertLess(took, within, how)
        return took

    def test_C3_P82_leaving_before_a_whole_answer(self):
        gateway, vendor = self.pair(hanging(before_head=True))
        for form in FORMATS:
            for how in ("fin", "reset"):
                client = gateway.begin(form, FAIL, stream=False)
                asked = len(vendor.requests) + 1
                self.eventually(lambda: len(vendor.requests) >= asked or vendor.requests, "asked")
                time.sleep(0.1)
                self.leave(vendor, client, how, 0.5)
        self.assert_good(gateway)

    def test_C3_leaving_after_a_large_request(self):
        """The body took its own way in; the end of the client must be seen all the same."""
        gateway, vendor = self.pair(hanging(before_head=True))
        for how in ("fin", "reset"):
            for size in (20_000, 300_000, 2_000_000):
                client = gateway.begin(OPENAI, FAIL + "x" * size, stream=False)
                time.sleep(0.3)
                self.leave(vendor, client, how, 0.5)

    def test_C3_leaving_during_the_body(self):
        gateway, vendor = self.pair()
        for size in (100, 30_000, 1_000_000):
            for how in ("fin", "reset"):
                client = gateway.client()
                client.send(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}"
                            f"\r\ncontent-length: {size + 500}\r\n\r\n" + "x" * size)
                time.sleep(0.05)
                client.reset() if how == "reset" else client.close()
        self.assert_good(gateway)
        self.assertEqual(len(vendor.requests), 1)

    def test_C3_P83_leaving_a_stream(self):
        """Within 100 ms; a busy machine may make one or the other of them slower."""
        for before in (True, False):
            gateway, vendor = self.pair(hanging(before_head=before))
            took = []
            for form in FORMATS:
                for how in ("fin", "reset"):
                    client = gateway.begin(form, FAIL)
                    if before:
                        time.sleep(0.1)
                    else:
                        next(client.pieces(client.head()))
                    took.append(self.leave(vendor, client, how, 0.5))
            # The vendor's script looks every 50 ms at what it has.
            self.assertLess(sorted(took)[len(took) // 2], 0.1, took)

    def test_C3_U5_what_was_delivered_is_charged(self):
        """A client that left, or a vendor that ended, in the middle: the ledger has the request, with
        tokens counted from what was passed on where the vendor's own count had not come, which is
        said (P63, P64, P65)."""
        def leave(peer, form):
            begin_stream(peer, form)
            peer.hang(5)

        gateway, vendor = self.pair()
        for form in FORMATS:
            vendor.fault = leave
            client = gateway.begin(form, FAIL)
            next(client.pieces(client.head()))
            time.sleep(0.1)
            client.reset()
            vendor.fault = begin_stream
            gateway.ask(form, FAIL)

        def records():
            items = control(gateway, "GET", "/api/v1/requests?limit=50")[1]["items"]
            return {(row["format"], row["error"]): row for row in items if row["error"]}
        wanted = {(form.name, error) for form in FORMATS for error in ("CLIENT_GONE", "UPSTREAM_TRUNCATED")}
        self.eventually(lambda: set(records()) == wanted, "a record of each")
        for (name, error), row in records().items():
            with self.subTest(name, error=error):
                self.assertEqual((row["status"], row["client_gone"]), (200, int(error == "CLIENT_GONE")))
                self.assertGreater(row["tokens"]["input"], 0)
                self.assertEqual((row["tokens"]["output"], row["estimated"]), (3, 1))

    def test_who_got_nothing_is_charged_nothing(self):
        """P63, P66: a call that failed, and a client that left before the first token: no output, and
        nothing of what an answer would have cost."""
        def refuse(peer, form):
            peer.answer({"error": {"message": "broken", "type": "server_error"}}, status="500 No")
            return True

        gateway, vendor = self.pair()
        for form in FORMATS:
            vendor.fault = hanging(before_head=True)
            client = gateway.begin(form, FAIL)
            time.sleep(0.1)
            client.reset()
            vendor.fault = refuse
            gateway.ask(form, FAIL)

        def records():
            items = control(gateway, "GET", "/api/v1/requests?limit=50")[1]["items"]
            return {(row["format"], row["error"]): row for row in items if row["error"]}
        self.eventually(lambda: len(records()) == 2 * len(FORMATS), "a record of each")
        for (name, error), row in records().items():
            with self.subTest(name, error=error):
                self.assertEqual(row["tokens"]["output"], 0)
                self.assertEqual(row["client_gone"], int(error == "CLIENT_GONE"))

    def test_C5_P85_half_close_of_a_running_stream(self):
        go = threading.Event()

        def wait(peer, form):
            begin_stream(peer, form)
            go.wait(5)
            for event in form.events[len(begun(form)):]:
                peer.chunk(event)
            peer.last_chunk()
            return True

        for setting in ("auto", "keep"):
            gateway, _ = self.pair(wait, config={"client_half_close": setting})
            for form in FORMATS:
                go.clear()
                client = gateway.begin(form, FAIL)
                pieces = client.pieces(client.head())
                body = next(pieces)
                while len(body) < len(b"".join(begun(form))):
                    body += next(pieces)
                client.half_close()
                time.sleep(0.2)
                go.set()
                body += b"".join(pieces)
                probe = body[len(b"".join(begun(form))):].removesuffix(
                    b"".join(form.events[len(begun(form)):]))
                self.assertLessEqual(len(probe), 60 if setting == "auto" else 0, (form, body))
                self.assertTrue(body.endswith(form.events[-1]), (form, body))
                self.assertEqual(client.ended(3), "fin", "the connection is kept after the answer")

    def test_C5_half_close_before_the_head(self):
        """By the decision on half-closes: `auto` cancels before the head, `keep` never does."""
        def slow(peer, form):
            time.sleep(0.5)
            peer.answer(form.whole)
            return True

        gateway, _ = self.pair(slow, config={"client_half_close": "keep"})
        client = gateway.begin(OPENAI, FAIL, stream=False)
        client.half_close()
        answer = client.answer()
        self.assertEqual((answer.complete, answer.body), (True, OPENAI.whole))
        self.assertEqual(client.ended(3), "fin")
        gateway, vendor = self.pair(hanging(before_head=True))
        client = gateway.begin(OPENAI, FAIL, stream=False)
        time.sleep(0.2)
        client.half_close()
        self.eventually(lambda: ended(vendor), "the vendor's side is dropped", 2)

    def test_C5_a_half_closed_client_gets_its_early_answer(self):
        gateway, _ = self.pair()
        for key, status in (("sk-wrong", 401), (gateway.key, 404)):
            for _ in range(20):
                client = gateway.client()
                client.send(f"GET /v1/nothing HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n\r\n")
                client.half_close()
                self.assertIn(client.answer().status, (status, 404))
                self.assertIn(client.ended(3), ("fin",))

    def test_C5_half_close_inside_a_huge_event(self):
        go = threading.Event()
        text = b"x" * 300_000

        def wait(peer, form):
            begin_stream(peer, form)
            event = chat_chunk({"content": text.decode()})
            peer.send(b"%x\r\n" % len(event) + event[:200_000])
            go.wait(5)
            peer.send(event[200_000:] + b"\r\n")
            for each in form.events[3:]:
                peer.chunk(each)
            peer.last_chunk()
            return True

        gateway, _ = self.pair(wait)
        client = gateway.begin(OPENAI, FAIL)
        pieces = client.pieces(client.head())
        body = b""
        while len(body) < 150_000:
            body += next(pieces)
        client.half_close()
        time.sleep(0.2)
        go.set()
        body += b"".join(pieces)
        self.assertIn(text, body, "something stands inside the event")
        self.assertTrue(body.endswith(OPENAI.events[-1]))

    def test_P84_random_disconnects_leave_no_slot_taken(self):
        slots, chance = 8, random.Random(84)

        def fault(peer, form):
            time.sleep(chance.random() / 50)
            begin_stream(peer, form)
            time.sleep(chance.random() / 50)
            for event in form.events[3:]:
                peer.chunk(event)
            peer.last_chunk()
            return True

        vendor = self.vendor(failing)
        vendor.fault = fault
        gateway = self.gateway([{"name": "one", "type": "openai", "base_url": vendor.url + "/v1",
                                 "api_key": "vendor-secret", "models": models_of("openai"), "max_in_flight": slots}])

        def annoy(seed):
            own = random.Random(seed)
            for _ in range(1430 if LONG else 60):  # 10,000 are the case's
                with gateway.begin(OPENAI, FAIL, stream=own.random() < 0.7) as client:
                    time.sleep(own.random() / 20)
                    if own.random() < 0.5:
                        reset(client.sock)

        together([lambda seed=seed: annoy(seed) for seed in range(slots - 1)])
        time.sleep(0.3)
        vendor.fault = hanging(before_head=False)
        held = [gateway.begin(OPENAI, FAIL) for _ in range(slots)]
        for client in held:
            self.assertEqual(client.head().status, 200, "a slot was not given back")
        self.assertEqual(gateway.ask(OPENAI).status, 503, "there are more slots than allowed")
        for client in held:
            client.reset()
        self.eventually(lambda: gateway.ask(OPENAI).status == 200, "slots are given back")


@both_backends
class Greedy(FaultTest):
    def pipelined(self, gateway, parts):
        wire = b""
        for form, text, stream in parts:
            path, body = form.request(text, stream)
            body = json.dumps(body).encode()
            wire += (f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}\r\n"
                     f"content-length: {len(body)}\r\n\r\n").encode() + body
        return wire

    def test_C6_pipelined_requests_of_all_kinds(self):
        def slow(peer, form):
            time.sleep(0.2)
            peer.answer(b"{}", "429 Slow", [("retry-after", "1")])
            return True

        gateway, _ = self.pair(slow)
        parts = [(form, text, stream) for form in FORMATS
                 for text, stream in ((OK, True), (FAIL, False), (OK, False), ("y" * 40_000, True))]
        client = gateway.client()
        client.method = "POST"
        client.send(self.pipelined(gateway, parts))
        for form, text, stream in parts:
            answer = client.answer()
            if text == FAIL:
                self.assertEqual(answer.status, 429, form)
            else:
                self.assertEqual(answer.body, form.sse if stream else form.whole, form)

    def test_C6_what_is_pipelined_behind_a_close_is_not_served(self):
        gateway, vendor = self.pair()
        client = gateway.client()
        client.method = "POST"
        first = self.pipelined(gateway, [(OPENAI, OK, False)])
        client.send(first.replace(b"host: x\r\n", b"host: x\r\nconnection: close\r\n") + first)
        self.assertEqual(client.answer().body, OPENAI.whole)
        self.assertIn(client.ended(4), ("fin", "reset"))
        self.assertEqual(len(vendor.requests), 1)

    def test_C6_leaving_with_requests_in_the_pipe(self):
        gateway, vendor = self.pair(hanging(before_head=True))
        for how in ("fin", "reset"):
            client = gateway.client()
            client.send(self.pipelined(gateway, [(OPENAI, FAIL, False)] * 5))
            time.sleep(0.2)
            client.reset() if how == "reset" else client.close()
            self.eventually(lambda: ended(vendor), "the vendor's side is dropped", 2)
        self.assert_good(gateway)

    def test_C7_a_body_that_is_too_large(self):
        gateway, vendor = self.pair(config={"limits": {"body": "64KiB"}})
        smuggled = self.pipelined(gateway, [(OPENAI, "smuggled", False)])
        head = "POST {} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n{}\r\n"
        for form in FORMATS:
            for framing, body in (("content-length: 65537\r\n", b""),
                                  ("content-length: 65537\r\nexpect: 100-continue\r\n", b""),
                                  ("content-length: 999999999999\r\n", b""),
                                  ("content-length: 70000\r\n", b"x" * 70_000 + smuggled),
                                  ("transfer-encoding: chunked\r\n",
                                   b"10100\r\n" + b"x" * 0x10100 + b"\r\n0\r\n\r\n" + smuggled)):
                client = gateway.client()
                client.method = "POST"
                client.send(head.format(form.path, gateway.key, framing).encode() + body)
                with self.within(3, "the refusal"):
                    answer = Client.answer(client)
                self.assert_refused(form, answer, (413, 400) if form.name == "gemini" else (413,))
                self.assertIn(client.ended(4), ("fin", "reset"))
        self.assertEqual(vendor.requests, [])
        self.assert_good(gateway)

    def test_C7_a_body_at_the_limit_passes(self):
        gateway, vendor = self.pair(config={"limits": {"body": "64KiB"}})
        path, body = OPENAI.request("", False)
        body["messages"][0]["content"] = "x" * (65_536 - len(json.dumps(body)))
        self.assertEqual(gateway.post(path, body).status, 200)
        self.assertEqual(len(vendor.requests[0].body), 65_536)

    def test_P121_a_flood_of_bad_keys(self):
        gateway, vendor = self.pair()
        stop = threading.Event()

        def flood():
            count = 0
            while not stop.is_set():
                with Client(gateway.data) as client:
                    client.request("POST", CHAT, OPENAI.request("x", False)[1],
                                   [("authorization", f"Bearer {new_key()}")])
                    self.assertEqual(client.answer().status, 401)
                    count += 1
            return count

        def honest():
            took = []
            for _ in range(100):
                began = time.monotonic()
                self.assert_good(gateway, stream=False)
                took.append(time.monotonic() - began)
            stop.set()
            return took

        took, *counts = together([honest] + [flood] * 3)
        self.assertGreater(sum(counts), 100)
        self.assertLess(sorted(took)[50], 0.1)
        self.assertEqual(len(vendor.requests), 100, "a bad key reached the vendor")
