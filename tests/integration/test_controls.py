"""The controls of the security page that the fault rows do not cover: floods of connections (C9),
connects that hang, what is logged, what of the memory may leave the process, limits at their edge."""

import json
import os
import socket
import subprocess
import tempfile
import threading
import time

from faults import FAIL, FORMATS, GEMINI, OPENAI, FaultGateway, FaultTest, together
from harness import Gateway, binary, both_backends, is_sanitized, new_key
from raw import Client, Cut
from test_admin import control, metric

CANARY = "canary-7c1f04"


@both_backends
class Floods(FaultTest):
    def hold(self, gateway, count, wire=b""):
        held = []
        for _ in range(count):
            client = Client(gateway.data, timeout=10)
            self.addCleanup(client.close)
            client.send(wire)
            held.append(client)
        return held

    def ended(self, clients, seconds):
        """How many of them the gateway has ended."""
        end, count = time.monotonic() + seconds, 0
        for client in clients:
            client.sock.settimeout(max(0.01, end - time.monotonic()))
            try:
                while client.sock.recv(4096):
                    pass
                count += 1
            except ConnectionError:
                count += 1
            except TimeoutError:
                pass
        return count

    def test_C9_idle_and_half_open_floods(self):
        """Connections that say nothing, begin a head, or begin a body: requests of others stay below
        a second, what a held connection costs is bounded, and all of them end by their budgets."""
        gateway, vendor = self.pair(timeouts={"header": "3s", "idle": "3s", "body_stall": "2s"})
        self.assert_good(gateway)
        post = f"POST {OPENAI.path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}\r\n"
        wires = (b"", b"POST /v1/ch", post.encode(), f"{post}content-length: 500\r\n\r\n{{".encode())
        before = gateway.proc("VmRSS")
        held = []
        for wire in wires:
            held += self.hold(gateway, 300, wire)
            self.assert_prompt(gateway)
        self.assertLess((gateway.proc("VmRSS") - before) / len(held), 24 << 10, "a held connection is dear")
        began = time.monotonic()
        while time.monotonic() - began < 1.5:
            self.assert_prompt(gateway)
            time.sleep(0.1)
        self.assertEqual(self.ended(held, 8), len(held), "a connection outlived its budget")
        self.assertLess(gateway.proc("VmRSS") - before, 16 << 20)
        self.assertEqual(len([r for r in vendor.requests if r.get("content-length") == "500"]), 0)
        self.assert_good(gateway, FORMATS)

    def test_C9_the_cap_holds_and_frees_itself(self):
        """Above the cap nobody is let in, who is connected is served, and what is held by silence
        comes free by the budget for a head."""
        gateway, _ = self.pair(config={"limits": {"connections": 64}}, timeouts={"header": "2s", "idle": "60s"})
        known = gateway.begin(OPENAI, stream=False)
        self.assertTrue(known.answer().complete)
        self.hold(gateway, 200)
        for _ in range(5):
            path, body = OPENAI.request("x", False)
            known.request("POST", path, body, [("authorization", f"Bearer {gateway.key}")])
            with self.within(1, "a request of a client that was there before"):
                self.assertEqual(known.answer().body, OPENAI.whole)
        shards = gateway.ask_admin("/healthz?verbose=1").json()["shards"]
        self.assertLessEqual(sum(shard["connections"] for shard in shards), 64 + 1)  # one to the vendor

        def served():
            try:
                with gateway.begin(OPENAI, stream=False, timeout=1) as client:
                    return client.answer().status == 200
            except (OSError, Cut):
                return False
        self.eventually(served, "somebody new is served", 9)

    def test_C9_the_oldest_idle_connection_makes_room(self):
        """At the cap: silent connections go first and the oldest of them, so that a new client is
        served at once; who began a head or waits for an answer keeps its place, and so does who was
        served before, as long as there are silent ones."""
        held = threading.Event()
        self.addCleanup(held.set)

        def slowly(peer, request):
            held.wait(20)
            peer.answer(OPENAI.whole)
        gateway, _ = self.pair(slowly, config={"limits": {"connections": 16}, "shards": 1},
                               timeouts={"header": "30s", "idle": "60s"})
        known = gateway.begin(OPENAI, stream=False)
        self.assertEqual(known.answer().status, 200)
        waiting = gateway.begin(OPENAI, FAIL, stream=False)
        head = gateway.client()
        head.send("GET /v1/models HTTP/1.1\r\nhost: x\r\n")
        silent = self.hold(gateway, 40)
        for number in range(3):
            with self.subTest(number=number), self.within(1, "a new client"):
                self.assertEqual(gateway.ask(OPENAI, stream=False).status, 200)
        self.assertEqual(silent[0].ended(2), "fin", "the oldest one went")
        self.assertLess(self.ended(silent, 0.5), len(silent), "more than made room went")
        with self.within(1, "who began a head"):
            head.send(f"authorization: Bearer {gateway.key}\r\n\r\n")
            head.method = "GET"
            self.assertEqual(head.answer().status, 200)
        known.request("GET", "/v1/models", None, [("authorization", f"Bearer {gateway.key}")])
        self.assertEqual(known.answer().status, 200)
        held.set()
        self.assertEqual(waiting.answer().status, 200)
        text = gateway.ask_admin("/metrics").body.decode()
        self.assertGreaterEqual(metric(text, "penstock_connections_evicted_total", reason="silent"), 27)
        self.assertEqual(metric(text, "penstock_connections_evicted_total", reason="idle"), 0)

    def test_C9_kept_connections_make_room_too(self):
        gateway, _ = self.pair(config={"limits": {"connections": 16}, "shards": 1},
                               timeouts={"header": "30s", "idle": "60s"})
        kept = []
        for _ in range(16):  # idle in this order
            kept.append(gateway.begin(OPENAI, stream=False))
            self.assertEqual(kept[-1].answer().status, 200)
        with self.within(1, "a new client"):
            self.assertEqual(gateway.ask(OPENAI, stream=False).status, 200)
        self.assertEqual(kept[0].ended(2), "fin", "the oldest one went")
        for client in kept[1:]:
            self.assertIsNone(client.ended(0.01), "one that was not the oldest went")
        text = gateway.ask_admin("/metrics").body.decode()
        self.assertEqual(metric(text, "penstock_connections_evicted_total", reason="idle"), 1)

    def test_C9_connections_that_come_and_go(self):
        gateway, _ = self.pair()
        self.assert_good(gateway)
        count = len(os.listdir(f"/proc/{gateway.process.pid}/fd"))

        def come_and_go():
            for number in range(300):
                client = Client(gateway.data, timeout=5)
                client.reset() if number % 2 else client.close()

        def honest():
            for _ in range(30):
                self.assert_prompt(gateway)
        together([come_and_go] * 4 + [honest])
        self.eventually(lambda: len(os.listdir(f"/proc/{gateway.process.pid}/fd")) <= count + 1,
                        "every descriptor is given back")


@both_backends
class Addresses(FaultTest):
    def test_two_processes_do_not_share_an_address(self):
        """Its own shards share the port; another process would silently get a part of the clients."""
        first, _ = self.pair()
        for listener in ("data", "admin"):
            with self.subTest(listener=listener):
                taken = "%s:%d" % getattr(first, listener)
                second = Gateway(self.backend, config={"listen": {listener: taken}})
                second.start(wait=False)
                self.assertNotEqual(second.process.wait(20), 0)
                self.assertIn(f"cannot listen on {taken}: Address already in use", second.log())
                second.process = None
                second.close()
        self.assert_good(first)


@both_backends
class Vendors(FaultTest):
    def test_U1_a_connect_that_hangs_ends_by_its_budget(self):
        """A listener whose queue is full drops what asks it to connect."""
        listener = socket.socket()
        self.addCleanup(listener.close)
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fill = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
            fill.append(sock)
            self.addCleanup(sock.close)
        time.sleep(0.1)
        base = "http://127.0.0.1:%d" % listener.getsockname()[1]
        gateway = self.gateway(openai=base + "/v1", anthropic=base, gemini=base, timeouts={"connect": "1s"})
        began = time.monotonic()
        for form, answer in self.each_format(lambda form: gateway.ask(form)):
            self.assert_refused(form, answer, (500, 502, 503, 504))
        self.assertGreater(time.monotonic() - began, 0.8, "the listener did accept")
        self.assertLess(time.monotonic() - began, 3)

    def test_limits_at_their_edge(self):
        """What is just below a limit passes, what is just above does not: the target of a request,
        its fields, its head as a whole, its depth and the number of its members."""
        gateway, vendor = self.pair()
        auth = f"authorization: Bearer {gateway.key}"
        body = json.dumps(OPENAI.request("x", False)[1])

        def status(target=OPENAI.path, fields=(), text=body):
            with Client(gateway.data, timeout=20) as client:
                client.method = "POST"
                client.send("\r\n".join([f"POST {target} HTTP/1.1", "host: x", auth, *fields,
                                         f"content-length: {len(text)}"]) + f"\r\n\r\n{text}")
                return client.answer().status

        self.assertEqual(status(OPENAI.path + "?" + "a" * 3000), 200)
        # What goes on to the vendor may be as large as what came.
        for length in (3900, 4200, 8150):
            self.assertEqual(status(OPENAI.path + "?" + "a" * length), 200, length)
            self.assertEqual(vendor.requests[-1].target, OPENAI.path + "?" + "a" * length)
        for length in (3900, 5000, 16_300, 32_000):
            for _ in range(3):  # the head is known after the first
                self.assertEqual(status(fields=["openai-beta: " + "b" * length]), 200, length)
                self.assertEqual(vendor.requests[-1].get("openai-beta"), "b" * length)
        many = [f"x-stainless-{number}: {'c' * 200}" for number in range(90)]
        self.assertEqual(status(OPENAI.path + "?" + "a" * 8150, fields=many), 200)
        self.assertEqual(vendor.requests[-1].get("x-stainless-89"), "c" * 200)
        with gateway.client() as client:  # on a connection that goes on, and on another format's path
            target = GEMINI.path + "?" + "a" * 4000
            for _ in range(3):
                client.request("POST", target, GEMINI.request("x", False)[1],
                               [("x-goog-api-key", gateway.key), ("x-goog-request-params", "d" * 9000)])
                self.assertEqual(client.answer().status, 200)
                self.assertEqual(vendor.requests[-1].target, target)
                self.assertEqual(vendor.requests[-1].get("x-goog-request-params"), "d" * 9000)
        self.assertEqual(status("/v1/" + "a" * 8150), 404)
        self.assertEqual(status("/v1/" + "a" * 8300), 414)
        self.assertEqual(status(fields=["x: y"] * 97), 200)
        self.assertEqual(status(fields=["x: y"] * 98), 431)
        self.assertEqual(status(fields=[f"x: {'a' * 8000}"] * 4), 200)
        self.assertEqual(status(fields=[f"x: {'a' * 8200}"] * 4), 431)

        def deep(depth):
            return '{"model":"m","messages":' + "[" * depth + "]" * depth + "}"
        self.assertEqual(status(text=deep(500)), 200)
        self.assertEqual(status(text=deep(513)), 400)
        many = ",".join(f'"k{number}":{number}' for number in range(200_000))
        with self.within(5, "a body of many members"):
            self.assertIn(status(text='{"model":"m","messages":[{' + many + "}]}"), (200, 400))
        self.assert_good(gateway)


@both_backends
class Telling(FaultTest):
    ALLOWED = {"ts", "level", "msg", "req_id", "key_id", "key", "route", "format", "model_req", "provider",
               "account_id", "account", "attempt", "status", "vendor_status", "vendor_req_id", "err_code", "in_tok",
               "out_tok", "cache_read_tok", "cache_write_tok", "queue_ms", "ttft_ms", "dur_ms", "bytes_in",
               "bytes_out", "stream", "client_gone", "client", "model_res", "err_stage", "overhead_us", "trace_id",
               "span_id"}

    def test_P130_logs_hold_only_what_is_allowed(self):
        """JSON lines of listed fields, none longer than 8 KiB, nothing of bodies, queries, cookies or
        keys in them, control characters escaped."""
        def fault(peer, form):
            peer.answer({"error": {"message": CANARY + "\n\x1b[31m"}}, "429 No", [
                ("x-request-id", "v-1"), ("set-cookie", CANARY)])
            return True

        gateway, _ = self.pair(fault, config={"log": {"level": "debug"}})
        key = control(gateway, "POST", "/api/v1/keys", {"name": "x"})[1]["key"]
        names = ["m", f"m\n{{\"level\":\"error\"}}", "m\x1b[2J", "\u2028m", "n" * 9000, "\u202em"]
        for name in names:
            gateway.post(OPENAI.path, {"model": name, "messages": [{"role": "user", "content": CANARY}]},
                         [("cookie", CANARY), ("user-agent", CANARY), ("x-request-id", CANARY + "\t")], key=key)
        gateway.post(OPENAI.path + "?q=" + CANARY, OPENAI.request(FAIL, False)[1], key=key)
        gateway.post(OPENAI.path, OPENAI.request(FAIL, False)[1], key=key)
        gateway.post(OPENAI.path, OPENAI.request("x", False)[1], key=CANARY)
        gateway.post(f"/v1beta/models/m:generateContent?key={key}", {"contents": [{"parts": [{"text": CANARY}]}]})
        gateway.get("/v1/" + CANARY)
        with Client(gateway.data) as client:
            client.send(f"GET /{CANARY} HTTP/1.1\r\nbad header {CANARY}\r\n\r\n")
            client.answer()

        def lines():
            return [line for line in gateway.log().split("\n") if line.startswith("{")]
        self.eventually(lambda: sum("req_id" in line for line in lines()) >= 11, "the lines")
        requests = 0
        for line in lines():
            self.assertLessEqual(len(line.encode()), 8192)
            told = json.loads(line)
            self.assertNotIn(CANARY, line)
            self.assertNotRegex(line, "[\x00-\x1f\x7f]")
            if "req_id" in told:
                requests += 1
                self.assertLessEqual(set(told), self.ALLOWED)
        self.assertGreaterEqual(requests, 11)
        for secret in (key, gateway.key, "vendor-secret-openai"):
            self.assertNotIn(secret, gateway.log())

    def test_memory_is_kept_from_others(self):
        """Not dumpable, so neither a core file nor another process of the user reads it; secrets in
        pages that are locked, not dumped and not inherited."""
        home = tempfile.TemporaryDirectory(prefix="penstock-test-")
        self.addCleanup(home.cleanup)
        gateway = FaultGateway(self.backend, home=home.name, openai="http://127.0.0.1:1")
        self.addCleanup(gateway.close)
        gateway.write_config()
        user = os.getuid() or 65534  # of root's processes /proc tells nothing
        demote = {}
        if os.getuid() == 0:
            for folder, _, files in os.walk(home.name):
                for path in [folder, *[os.path.join(folder, file) for file in files]]:
                    os.chown(path, user, user)
            demote = {"user": user, "group": user, "extra_groups": []}
            self.assertEqual(subprocess.run(["test", "-x", binary()], **demote).returncode, 0,
                             "the build's folder is closed to others")
        with open(gateway.log_path, "wb") as log:
            gateway.process = subprocess.Popen([binary(), "serve", "-c", gateway.config_path], stdout=log,
                                               stderr=log, stdin=subprocess.DEVNULL, **demote)
        gateway.wait_ready()
        there = f"/proc/{gateway.process.pid}/"
        with open(there + "status", encoding="ascii") as file:
            self.assertIn(f"Uid:\t{user}\t", file.read())
        self.assertEqual(os.stat(there + "mem").st_uid, 0, "its memory can be read by its user")
        with open(there + "smaps", encoding="ascii") if os.getuid() == 0 else open(os.devnull) as file:
            flags = [set(line.split()[1:]) for line in file if line.startswith("VmFlags")]
        if flags:
            wanted = {"dd", "dc"} if is_sanitized() else {"lo", "dd", "dc"}  # ASan locks no page
            self.assertTrue([each for each in flags if wanted <= each], "no page for secrets")
