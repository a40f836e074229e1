"""Mixed load with faults on both sides, for minutes: what is good stays good to the byte, what fails
fails visibly, and memory, descriptors and requests in flight do not grow.

    SOAK_SECONDS=600 PENSTOCK_BIN=build/release/penstock python3 -m unittest -v soak

The time is shared by the two backends. Too long a run for a file that run.py takes; the stage `soak`
of tools/check has it.
"""

import json
import os
import random
import signal
import statistics
import threading
import time

from faults import FORMATS, OK, FaultTest, begin_stream, begun, format_of, respond
from harness import BACKENDS, both_backends, new_key
from raw import Client, Cut
from test_admin import control, metric

SECONDS = int(os.environ.get("SOAK_SECONDS", "600")) // len(BACKENDS)
ACTORS = 12
SAMPLE_S = 2
WARM_PART = 4         # the first of so many parts is not judged: pools, caches and memtables fill
GROWTH_BYTES = 12 << 20  # of resident memory, from the second part to the last
GROWTH_FDS = 8
SEED = int(os.environ.get("SOAK_SEED", "1"))


def hang(peer, form):
    begin_stream(peer, form)
    peer.hang(0.5)


def bad_chunk(peer, form):
    begin_stream(peer, form)
    peer.send("zz\r\n")


def fin_mid(peer, form):
    begin_stream(peer, form)


def rst_mid(peer, form):
    begin_stream(peer, form)
    peer.reset()


def big(peer, form):
    """A long stream, cut before its end."""
    peer.sse_head()
    for _ in range(200):
        peer.chunk(b": " + b"x" * 4000 + b"\n\n")
    for event in begun(form):
        peer.chunk(event)


# What a vendor does to a request that names it. True: the connection can be used again.
VENDOR_FAULTS = {
    "fin": lambda peer, form: None,
    "rst": lambda peer, form: peer.reset(),
    "fin-mid": fin_mid,
    "rst-mid": rst_mid,
    "hang": hang,
    "bad-chunk": bad_chunk,
    "big": big,
    "bad-head": lambda peer, form: peer.send("HTTP/1.1 two hundred\r\n\r\n"),
    "two-lengths": lambda peer, form: peer.send(
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{} "),
    "switch": lambda peer, form: peer.send("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    "429": lambda peer, form: peer.answer(b'{"error":{"message":"slow"}}', "429 Slow") or True,
    "500": lambda peer, form: peer.answer(b"oops", "500 Oops", kind="text/plain") or True,
    "302": lambda peer, form: peer.answer(b"", "302 Found", [("location", "http://x/")]) or True,
}


def vendor_script(peer):
    while True:
        request = peer.request()
        name = request.body.partition(b"fault:")[2].partition(b";")[0].decode()
        if not name:
            respond(peer, request)
        elif not VENDOR_FAULTS[name](peer, format_of(request)):
            return


class Actor:
    """One client after another, each with something else to do."""

    def __init__(self, test, gateway, number):
        self.test, self.gateway = test, gateway
        self.dice = random.Random(f"{SEED}/{test.backend}/{number}")
        self.counts = {}
        self.trouble = None
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        deeds = [self.good] * 6 + [self.vendor_fault] * 6 + [
            self.kept_connection, self.leave, self.slow_reader, self.bad_request, self.large_body,
            self.half_body, self.admin, self.look]
        try:
            while time.monotonic() < self.test.end:
                deed = self.dice.choice(deeds)
                deed()
                self.counts[deed.__name__] = self.counts.get(deed.__name__, 0) + 1
                time.sleep(self.dice.random() * 0.05)
        except BaseException as error:  # told by the test, which ends then
            self.trouble = error
            self.test.end = 0

    def draw(self):
        return self.dice.choice(FORMATS), self.dice.random() < 0.6

    def post(self, client, form, stream, text=OK, key=None):
        path, body = form.request(text, stream)
        client.request("POST", path, body, [("authorization", f"Bearer {key or self.gateway.key}")])

    def expect(self, client, form, stream):
        answer = client.answer()
        want = form.sse if stream else form.whole
        self.test.assertEqual((answer.status, answer.complete, answer.body), (200, True, want), form)

    def good(self):
        form, stream = self.draw()
        with Client(self.gateway.data) as client:
            self.post(client, form, stream)
            self.expect(client, form, stream)

    def kept_connection(self):
        with Client(self.gateway.data) as client:
            for _ in range(self.dice.randint(2, 20)):
                form, stream = self.draw()
                self.post(client, form, stream)
                self.expect(client, form, stream)

    def vendor_fault(self):
        (form, stream), name = self.draw(), self.dice.choice(list(VENDOR_FAULTS))
        with Client(self.gateway.data) as client:
            self.post(client, form, stream, f"fault:{name};")
            try:
                answer = client.answer()
            except (Cut, OSError):
                return
        if answer.status != 200 or not answer.complete:
            return
        self.test.assert_cut(form, answer, b"")

    def leave(self):
        form, _ = self.draw()
        client = Client(self.gateway.data)
        self.post(client, form, True, self.dice.choice((OK, "fault:hang;", "fault:big;")))
        time.sleep(self.dice.random() * 0.1)
        if self.dice.random() < 0.5:
            client.reset()
        else:
            client.close()

    def slow_reader(self):
        form, _ = self.draw()
        with Client(self.gateway.data, recv_buffer=4096) as client:
            self.post(client, form, True, "fault:big;")
            try:
                for piece in client.pieces(client.head()):
                    time.sleep(len(piece) / 4_000_000)
            except (Cut, OSError):
                pass

    def bad_request(self):
        wire = self.dice.choice((
            b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"POST /v1/chat/completions HTTP/1.1\r\n",
            b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            b"POST /v1/messages HTTP/1.1\r\nhost: x\r\nauthorization: Bearer " + new_key().encode() +
            b"\r\ncontent-length: 2\r\n\r\n{}", b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n"))
        with Client(self.gateway.data) as client:
            try:
                client.send(wire)
                client.half_close()
                while client.sock.recv(65536):
                    pass
            except OSError:
                pass

    def large_body(self):
        form, stream = self.draw()
        with Client(self.gateway.data) as client:
            self.post(client, form, stream, OK + "x" * self.dice.randint(100_000, 2_000_000))
            self.expect(client, form, stream)

    def half_body(self):
        with Client(self.gateway.data) as client:
            client.send(f"POST /v1/responses HTTP/1.1\r\nhost: x\r\nauthorization: Bearer "
                        f"{self.gateway.key}\r\ncontent-length: 300000\r\n\r\n" + "x" * 100_000)
            client.reset()

    def admin(self):
        status, key = control(self.gateway, "POST", "/api/v1/keys", {"name": f"k{self.dice.random()}"})
        self.test.assertEqual(status, 201, key)
        form, stream = self.draw()
        with Client(self.gateway.data) as client:
            self.post(client, form, stream, key=key["key"])
            self.expect(client, form, stream)
        path = "/api/v1/keys/" + key["id"]
        self.test.assertEqual(control(self.gateway, "PATCH", path, {"enabled": False})[0], 200)
        with Client(self.gateway.data) as client:
            self.post(client, form, stream, key=key["key"])
            self.test.assertEqual(client.answer().status, 401)
        self.test.assertEqual(control(self.gateway, "DELETE", path)[0], 204)

    def look(self):
        self.test.assertEqual(self.gateway.ask_admin("/readyz").status, 200)
        path = self.dice.choice(("/api/v1/usage?by=key,model", "/api/v1/requests?limit=50",
                                 "/api/v1/status", "/api/v1/accounts"))
        self.test.assertEqual(control(self.gateway, "GET", path)[0], 200)
        if self.dice.random() < 0.1:
            self.gateway.signal(signal.SIGHUP)


@both_backends
class Soak(FaultTest):
    def sample(self, gateway):
        return (gateway.proc("VmRSS"), len(os.listdir(f"/proc/{gateway.process.pid}/fd")),
                gateway.proc("Threads") // 1024)

    def flat(self, what, values, growth):
        """The last part's level is not above the second's by more than that."""
        part = len(values) // WARM_PART
        early, late = (statistics.median(values[part:2 * part]), statistics.median(values[-part:]))
        self.assertLessEqual(late - early, growth, f"{what} grows: {values[::max(part // 4, 1)]}")

    def test_nothing_grows(self):
        vendor = self.vendor(vendor_script)
        # One kind of account for each vendor's format; a short idle time, so that hangs end soon.
        gateway = self.gateway(
            openai=vendor, anthropic=vendor, gemini=vendor, config={"shards": 2, "log": {"access": False}},
            timeouts={"first_byte_stream": "5s", "first_byte_whole": "5s", "idle": "5s"})
        control(gateway, "GET", "/api/v1/status")
        self.end = time.monotonic() + SECONDS
        actors = [Actor(self, gateway, number) for number in range(ACTORS)]
        samples = []
        for actor in actors:
            actor.thread.start()
        while time.monotonic() < self.end:
            samples.append(self.sample(gateway))
            time.sleep(SAMPLE_S)
            vendor.peers[:] = [peer for peer in vendor.peers if peer.sock.fileno() >= 0]
            vendor.threads[:] = [thread for thread in vendor.threads if thread.is_alive()]
            vendor.requests.clear()
        for actor in actors:
            actor.thread.join(60)
        for actor in actors:
            if actor.trouble is not None:
                raise actor.trouble
        total = {}
        for actor in actors:
            for name, count in actor.counts.items():
                total[name] = total.get(name, 0) + count
        memory, descriptors, threads = zip(*samples)
        print(f"\n{self.backend}: {json.dumps(total)}; MiB {[m >> 20 for m in memory[::15]]}; "
              f"descriptors {descriptors[::15]}", flush=True)
        self.eventually(lambda: metric(gateway.ask_admin("/metrics").body.decode(),
                                       "penstock_requests_in_flight") == 0, "no request is left", 15)
        self.flat("memory", memory, GROWTH_BYTES)
        self.flat("descriptors", descriptors, GROWTH_FDS)
        self.assertEqual(set(threads[len(threads) // WARM_PART:]), {threads[-1]}, "threads come and go")
        self.eventually(lambda: self.sample(gateway)[1] <= min(descriptors) + GROWTH_FDS,
                        "descriptors are given back", 90)
        self.assert_good(gateway, FORMATS)
