"""TLS with peers that fail: rows U15, U16 and C10 of the fault matrix, and the rows about clients
once more over a TLS listener, where an end has two layers."""

import json
import os
import ssl
import tempfile
import threading
import time

from faults import (FAIL, FORMATS, OPENAI, FaultGateway, FaultTest, begin_stream, begun, chat_chunk,
                    failing, good, together)
from harness import both_backends, memory_returns, merged, models_of
from pki import AUTHORITY, Authority, careless
from raw import Client, Cut

V12, V13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
VERSIONS = {"TLS 1.2": {"maximum_version": V12}, "TLS 1.3": {"minimum_version": V13}}
JSON_HEAD = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
SSE_HEAD = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"


class TlsGateway(FaultGateway):
    """Its data listener speaks TLS where the configuration gives it a certificate."""

    tls = None  # a client's context

    def client(self, **options):
        return super().client(**{"tls": self.tls, **options})

    def wait_ready(self, seconds=30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(f"exited with {self.process.returncode}:\n{self.log()}")
            try:
                if self.ask_admin("/readyz").status == 200:
                    return
            except (OSError, Cut):
                time.sleep(0.02)
        raise AssertionError(f"penstock was not ready after {seconds} s:\n{self.log()}")


class TlsTest(FaultTest):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="penstock-pki-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.authority = Authority(cls.folder.name)
        cls.middle = cls.authority.make("middle", cls.authority.root, extensions=AUTHORITY)
        cls.leaf = cls.authority.make("leaf", cls.middle)

    def start(self, listener=None, accounts=(), config=None, timeouts=None, **vendors):
        """A gateway whose data listener has the certificate `listener`."""
        common = {"shards": 1, "timeouts": {"drain": "1s", **(timeouts or {})}}
        gateway = TlsGateway(self.backend, accounts=accounts, config=merged(common, config or {}),
                             env=memory_returns(), **vendors)
        if listener:
            gateway.config["listen"]["data"] = [{
                "address": "%s:%d" % gateway.data,
                "tls": [{"cert": listener.chain, "key": listener.key}]}]
            gateway.tls = self.authority.client()
        self.addCleanup(gateway.close)
        return gateway.start()

    def account(self, kind, url, **more):
        return {"name": kind, "type": kind, "api_key": "vendor-secret-" + kind, "models": models_of(kind),
                "base_url": url + ("/v1" if kind == "openai" else ""), "ca_file": self.authority.root.cert,
                **more}

    def accounts(self, url, **more):
        return [self.account(kind, url, **more) for kind in ("openai", "anthropic", "gemini")]


@both_backends
class Vendors(TlsTest):
    def refused_before_http(self, cases, timeouts=None, statuses=(502, 504)):
        """cases: {name: (url, the bytes' list that its server heard)}; each gets one request, whole
        and streamed, and no vendor may have heard a byte of HTTP."""
        accounts = [self.account("openai", url, name=f"a{number}", models=[f"m{number}"])
                    for number, (url, _) in enumerate(cases.values())]
        gateway = self.start(accounts=accounts, timeouts=timeouts)

        def ask(number, stream):
            body = {"model": f"m{number}", "messages": [], "stream": stream}
            began = time.monotonic()
            answer = gateway.post(OPENAI.path, body)
            return answer, time.monotonic() - began

        for number, (name, (_, heard)) in enumerate(cases.items()):
            for stream in (False, True):
                with self.subTest(name, stream=stream):
                    answer, took = ask(number, stream)
                    self.assert_refused(OPENAI, answer, statuses)
                    self.assertLess(took, 5)
                    self.assertEqual(heard, [], "a vendor that was refused heard something")
        return gateway

    def listening(self, context):
        """A TLS server and what it heard behind its handshake; careless clients do reach it."""
        heard = []

        def script(peer):
            heard.append(peer.sock.recv(1))

        vendor = self.vendor(script, tls=context)
        with Client(vendor.addr, tls=careless(), timeout=5) as client:
            client.send(b"x")
            self.eventually(lambda: heard, "the server works")
        heard.clear()
        return "https://localhost:%d" % vendor.addr[1], heard

    def test_U15_certificates_that_prove_nothing(self):
        make, root = self.authority.make, self.authority.root
        rogue = make("rogue", extensions=AUTHORITY)
        narrow = make("narrow", root, extensions=AUTHORITY +
                      "nameConstraints=critical,permitted;DNS:example.com\n")
        certificates = {
            "expired": make("expired", root, days=(-20, -10)),
            "of the future": make("future", root, days=(10, 20)),
            "for another host": make("other", root, names="DNS:example.com"),
            "for another address": make("address", root, names="IP:127.0.0.2"),
            "without a name": make("nameless", root, subject="localhost", names=None),
            "of a rogue authority": make("under-rogue", rogue),
            "signed by itself": make("itself"),
            "issued by a leaf": make("under-leaf", self.leaf),
            "outside its authority's names": make("outside", narrow),
            "for clients": make("client", root, extensions="basicConstraints=CA:false\n"
                                "extendedKeyUsage=clientAuth\nsubjectAltName=DNS:localhost\n"),
            "of a short key": make("short", root, key="1024"),
        }
        cases = {}
        for name, certificate in certificates.items():
            for version, settings in VERSIONS.items():
                context = certificate.server(ciphers="DEFAULT:@SECLEVEL=0", **settings)
                cases[f"{name}, {version}"] = self.listening(context)
        self.refused_before_http(cases, statuses=(502,))

    def test_U15_protocols_that_are_too_weak(self):
        weak = {
            "no encryption": {"ciphers": "eNULL:@SECLEVEL=0", "maximum_version": V12},
            "nobody authenticated": {"ciphers": "aNULL:@SECLEVEL=0", "maximum_version": V12},
            "static RSA": {"ciphers": "kRSA:@SECLEVEL=0", "maximum_version": V12},
            "CBC": {"ciphers": "ECDHE-RSA-AES128-SHA:@SECLEVEL=0", "maximum_version": V12},
            "TLS 1.1": {"ciphers": "ALL:@SECLEVEL=0", "minimum_version": ssl.TLSVersion.TLSv1,
                        "maximum_version": ssl.TLSVersion.TLSv1_1},
        }
        leaf = self.authority.make("rsa", self.authority.root, key="2048")
        self.refused_before_http({name: self.listening(leaf.server(**settings))
                                  for name, settings in weak.items()}, statuses=(502,))

    def test_U15_servers_that_are_none(self):
        """An alert, plain HTTP, an end, garbage, and silence in place of a handshake."""
        heard = []

        def says(what):
            def script(peer):
                data = peer.sock.recv(4096)
                if data[:1] != b"\x16" or b"HTTP" in data or b"vendor-secret" in data:
                    heard.append(data)
                peer.send(what)
                while data := peer.sock.recv(4096):
                    if b"HTTP" in data or b"vendor-secret" in data:
                        heard.append(data)
            return script

        hello = b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03" + bytes(32)
        scripts = {
            "an alert": says(b"\x15\x03\x03\x00\x02\x02\x28"),
            "plain HTTP": says(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"),
            "garbage": says(os.urandom(500)),
            "half a hello and silence": says(hello),
            "silence": says(b""),
            "an end": lambda peer: peer.sock.recv(1),
            "a reset": lambda peer: (peer.sock.recv(1), peer.reset()),
            "an end at once": lambda peer: None,
        }
        cases = {name: ("https://localhost:%d" % self.vendor(script).addr[1], heard)
                 for name, script in scripts.items()}
        gateway = self.refused_before_http(cases, timeouts={"handshake": "1s", "connect": "1s"})
        self.assertEqual(gateway.ask_admin("/readyz").status, 200)

    def test_U15_a_hanging_handshake_holds_up_nobody(self):
        silent = self.vendor(lambda peer: peer.sock.recv(1 << 16) and peer.hang(10))
        working = self.vendor(good, tls=self.leaf.server())
        accounts = [self.account("openai", working.url),
                    self.account("openai", "https://localhost:%d" % silent.addr[1], name="silent",
                                 models=["n"])]
        gateway = self.start(accounts=accounts, timeouts={"handshake": "2s", "connect": "2s"})
        self.assert_good(gateway)
        waiting = []
        for _ in range(20):
            client = gateway.client()
            client.request("POST", OPENAI.path, {"model": "n", "messages": []},
                           [("authorization", f"Bearer {gateway.key}")])
            waiting.append(client)
        began = time.monotonic()
        for _ in range(5):
            self.assert_good(gateway)
        self.assertLess(time.monotonic() - began, 1.5, "the others waited along")
        for client in waiting:
            self.assert_refused(OPENAI, client.answer(), (502, 504))
        self.assertLess(time.monotonic() - began, 6)

    def test_U15_good_certificates_serve_all_formats(self):
        """What the refusals are worth: the same gateway does talk to proper servers."""
        for version, settings in VERSIONS.items():
            for names in ("DNS:localhost", "DNS:example.com"):
                leaf = self.authority.make("good", self.middle, names=names)
                vendor = self.vendor(failing, tls=leaf.server(**settings))
                vendor.fault = lambda peer, form: peer.answer({"error": {}}, "500 No") or True
                more = {"server_name": "example.com"} if "example" in names else {}
                with self.subTest(version, names=names):
                    gateway = self.start(accounts=self.accounts(vendor.url, **more))
                    for stream in (True, False):
                        self.assert_good(gateway, FORMATS, stream)
                    for form in FORMATS:
                        self.assert_refused(form, gateway.ask(form, FAIL), (500, 502))
                    self.assert_good(gateway, FORMATS)
                    self.assertLess(vendor.connections, 13, "connections are not used again")
                    hosts = {request.get("host") for request in vendor.requests}
                    self.assertEqual(hosts, {"localhost:%d" % vendor.addr[1]})

    def test_U16_ends_without_close_notify(self):
        """A body that only the end of the connection delimits is whole with a close_notify; without
        one anybody may have cut it. A length or a last chunk proves the rest."""
        half, whole = OPENAI.whole[:20], OPENAI.whole
        stream, first = OPENAI.sse, b"".join(begun(OPENAI))
        size = f"content-length: {len(whole)}\r\n"

        def chunk(body, last=b"0\r\n\r\n"):
            return b"%x\r\n%s\r\n" % (len(body), body) + last

        chunked = "transfer-encoding: chunked\r\n"
        cases = {  # name: head, what is sent, its body, whole with a close_notify, whole without
            "until the end": (JSON_HEAD, whole, whole, True, False),
            "until the end, half": (JSON_HEAD, half, half, False, False),
            "length": (JSON_HEAD + size, whole, whole, True, True),
            "length, half": (JSON_HEAD + size, half, half, False, False),
            "chunks": (JSON_HEAD + chunked, chunk(whole), whole, True, True),
            "chunks, half": (JSON_HEAD + chunked, chunk(half, b""), half, False, False),
            "events": (SSE_HEAD + chunked, chunk(stream), stream, True, True),
            "events, half": (SSE_HEAD + chunked, chunk(first, b""), first, False, False),
            "events until the end": (SSE_HEAD, stream, stream, True, True),  # they tell their own end
            "events until the end, half": (SSE_HEAD, first, first, False, False),
        }
        for version, settings in VERSIONS.items():
            def script(peer):
                request = peer.request()
                name, _, end = request.json()["messages"][0]["content"].partition(" / ")
                peer.send((cases[name][0] + "\r\n").encode() + cases[name][1])
                time.sleep(0.05)
                if end == "close_notify":
                    peer.sock.close_notify()
                elif end == "reset":
                    peer.reset()

            vendor = self.vendor(script, tls=self.leaf.server(**settings))
            gateway = self.start(accounts=self.accounts(vendor.url))

            def ask(name, end):
                _, _, body, *whole_with = cases[name]
                return name, end, body, whole_with[end != "close_notify"], gateway.ask(
                    OPENAI, f"{name} / {end}", "events" in name)

            for name, end, body, is_whole, answer in together(
                    [lambda name=name, end=end: ask(name, end) for name in cases
                     for end in ("close_notify", "fin", "reset")]):
                with self.subTest(version, name=name, end=end):
                    if end == "reset" and answer.status != 200:
                        continue  # it may overtake the bytes
                    if "events" in name and not is_whole:
                        self.assert_cut(OPENAI, answer, body, told=True)
                    else:
                        self.assertEqual((answer.status, answer.body), (200, body))
                        self.assertEqual(answer.complete, is_whole, answer.trouble)


class ListenerTest(TlsTest):
    def serve(self, fault=None, script=failing, **options):
        vendor = self.vendor(script)
        vendor.fault = fault
        return self.start(self.leaf, openai=vendor, anthropic=vendor, gemini=vendor, **options), vendor


@both_backends
class Handshakes(ListenerTest):
    def test_C10_answers_of_all_kinds_over_tls(self):
        big = chat_chunk({"content": "y" * 200_000})

        def fault(peer, form):
            peer.answer_sse([*begun(form), *[big] * 20, *form.events[len(begun(form)):]])
            return True

        gateway, vendor = self.serve(fault)
        for settings in VERSIONS.values():
            gateway.tls = self.authority.client(**settings)
            for stream in (True, False):
                self.assert_good(gateway, FORMATS, stream)
            want = b"".join([*begun(OPENAI), *[big] * 20, *OPENAI.events[len(begun(OPENAI)):]])
            self.assertTrue(gateway.ask(OPENAI, FAIL).body == want)
            for size in (100, 20_000, 300_000, 3_000_000):
                vendor.requests.clear()
                answer = gateway.ask(OPENAI, "x" * size, False)
                self.assertEqual(answer.body, OPENAI.whole)
                self.assertIn(b"x" * size, vendor.requests[0].body)
        client = gateway.begin(OPENAI)
        self.assertEqual(client.sock.tls.version(), "TLSv1.3")
        self.assertIn("GCM", client.sock.tls.cipher()[0])

    def test_C10_clients_that_are_too_weak(self):
        gateway, _ = self.serve()
        for settings in ({"minimum_version": ssl.TLSVersion.TLSv1, "maximum_version": ssl.TLSVersion.TLSv1_1},
                         {"maximum_version": V12, "ciphers": "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"},
                         {"maximum_version": V12, "ciphers": "eNULL:@SECLEVEL=0"},
                         {"maximum_version": V12, "ciphers": "ECDHE-ECDSA-CHACHA20-POLY1305"}):
            context = careless()
            context.set_ciphers(settings.pop("ciphers", "ALL:@SECLEVEL=0"))
            for name, value in settings.items():
                setattr(context, name, value)
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                gateway.client(tls=context)
        self.assert_good(gateway)

    def test_C10_garbage_in_place_of_a_handshake(self):
        gateway, vendor = self.serve()
        hello = self.hello()
        request = f"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}\r\n\r\n"
        garbage = [request.encode(), os.urandom(3000), b"\x16\x03\x01\xff\xff" + bytes(3000),
                   b"\x16\x03\x01\x00\x00", b"\x80\x2e\x01\x00\x02" + bytes(60), b"\x17\x03\x03\x00\x20" + bytes(32),
                   b"\x15\x03\x03\x00\x02\x02\x28", hello[:5] + os.urandom(len(hello) - 5),
                   hello + os.urandom(400), hello + hello, b"\0", hello[:40] + b"\xff" * 400]

        def throw(data):
            with Client(gateway.data, timeout=10) as client:
                try:
                    client.send(data)
                    client.half_close()
                    answer = b""
                    while piece := client.sock.recv(4096):
                        answer += piece
                except OSError:
                    return True
                return not answer.startswith(b"HTTP")

        with self.within(5, "the refusals"):
            self.assertTrue(all(together([lambda data=data: throw(data) for data in garbage * 3])))
        self.assert_good(gateway)
        self.assertEqual(len(vendor.requests), 1)

    def hello(self):
        """A well-formed ClientHello."""
        into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            self.authority.client().wrap_bio(into, out, server_hostname="localhost").do_handshake()
        except ssl.SSLWantReadError:
            pass
        return out.read()

    def test_C10_stalled_handshakes(self):
        """Silent, begun, dripping and half-done handshakes: all end by the budget, nothing grows,
        and others are served meanwhile."""
        gateway, _ = self.serve(timeouts={"handshake": "1500ms"})
        self.assert_good(gateway)
        hello = self.hello()

        def stall(kind):
            client = Client(gateway.data, timeout=10)
            client.send({"silent": b"", "begun": hello[:50], "half": hello, "drip": hello[:5]}[kind])
            return client

        def settle():
            clients = [stall(kind) for kind in ("silent", "begun", "half", "drip") * 60]
            began, at = time.monotonic(), 5
            while time.monotonic() - began < 1.2:
                self.assert_prompt(gateway)
                for client in clients[3::4]:  # a byte now and then is no progress
                    try:
                        client.sock.send(hello[at : at + 1])
                    except OSError:
                        pass
                at += 1
            held = gateway.proc("VmRSS")
            for client in clients:
                client.sock.settimeout(max(0.05, began + 4.5 - time.monotonic()))
                try:
                    while client.sock.recv(65536):
                        pass
                except ConnectionError:
                    pass
                except TimeoutError:
                    self.fail("a stalled handshake is kept")
                client.close()
            return held

        first = settle()
        again = [settle() for _ in range(2)]
        self.assertLess(max(again) - first, 8 << 20, "stalled handshakes leave memory behind")
        self.assert_good(gateway)

    def test_C10_a_flood_of_handshakes(self):
        gateway, _ = self.serve()
        stop, counts = threading.Event(), []

        def flood():
            count = 0
            while not stop.is_set():
                with Client(gateway.data, tls=gateway.tls, timeout=10):
                    count += 1
            counts.append(count)

        threads = [threading.Thread(target=flood) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            time.sleep(1)
            half = gateway.proc("VmRSS")
            for _ in range(20):
                self.assert_prompt(gateway)
                time.sleep(0.05)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        self.assertGreater(sum(counts), 100)
        self.assertLess(gateway.proc("VmRSS") - half, 8 << 20, "handshakes leave memory behind")


@both_backends
class Listener(ListenerTest):
    """What clients do to a plain listener, where an end has two layers."""

    def test_C1_a_head_that_drips_over_tls(self):
        gateway, vendor = self.serve(timeouts={"header": "1s", "handshake": "1s"})
        client = gateway.client()
        began = time.monotonic()
        with self.assertRaises((OSError, ssl.SSLError)):
            for byte in (f"POST {OPENAI.path} HTTP/1.1\r\nhost: x\r\nx: " + "a" * 200).encode():
                client.send(bytes([byte]))
                time.sleep(0.05)
        self.assertLess(time.monotonic() - began, 4)
        silent = gateway.client()
        silent_began = time.monotonic()
        self.assertEqual(silent.ended(5), "fin")
        self.assertLess(time.monotonic() - silent_began, 7)
        self.assertEqual(vendor.requests, [])

    def test_C7_an_early_answer_arrives_whole_over_tls(self):
        """Refused with the upload still running: what comes is read away, so that no reset destroys
        the answer; then close_notify and the end."""
        gateway, vendor = self.serve(config={"limits": {"body": "64KiB"}})
        for key, status in (("sk-wrong", 401), (gateway.key, 413)):
            for size in (100_000, 600_000):
                client = gateway.client()
                client.method = "POST"
                client.send(f"POST {OPENAI.path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
                            f"content-length: {size}\r\n\r\n")
                for _ in range(size // 10_000):
                    client.send(b"x" * 10_000)
                    time.sleep(0.002)
                answer = client.answer()
                self.assertEqual((answer.status, answer.complete), (status, True))
                self.assertEqual(client.ended(5), "fin")
                self.assertTrue(client.sock.clean, "no close_notify behind the answer")
        self.assertEqual(vendor.requests, [])

    def test_C7_a_client_that_uploads_without_end_is_cut_over_tls(self):
        gateway, _ = self.serve(config={"limits": {"body": "64KiB"}})
        client = gateway.client()
        client.send(f"POST {OPENAI.path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer x\r\n"
                    "content-length: 900000000\r\n\r\n")
        sent, began = 0, time.monotonic()
        with self.assertRaises(OSError):
            while time.monotonic() - began < 8:
                client.send(b"x" * 65536)
                sent += 65536
        self.assertLess(sent, 24 << 20, "what is lingered for has no bound")
        self.assert_good(gateway)

    def test_C6_pipelined_requests_over_tls(self):
        gateway, _ = self.serve()
        client = gateway.client()
        client.method = "POST"
        wire, parts = b"", [(form, stream) for form in FORMATS for stream in (True, False)] * 2
        for form, stream in parts:
            path, body = form.request("x", stream)
            body = json.dumps(body).encode()
            wire += (f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}\r\n"
                     f"content-length: {len(body)}\r\n\r\n").encode() + body
        client.send(wire)
        for form, stream in parts:
            self.assertEqual(client.answer().body, form.sse if stream else form.whole, form)

    def hang_after(self, before_head):
        def fault(peer, form):
            if not before_head:
                begin_stream(peer, form)
            peer.ended_how = peer.hang(10)
            peer.ended_at = time.monotonic()
        return fault

    def test_C3_P83_leaving_over_tls(self):
        """By close_notify, by FIN alone, by both, and by a reset; before the answer and in it."""
        for before in (True, False):
            gateway, vendor = self.serve(self.hang_after(before))
            for settings in VERSIONS.values():
                gateway.tls = self.authority.client(**settings)
                for how in ("close_notify and close", "close", "reset"):
                    with self.subTest(how, before=before, **{"tls": str(settings)}):
                        client = gateway.begin(OPENAI, FAIL)
                        if before:
                            time.sleep(0.1)
                        else:
                            next(client.pieces(client.head()))
                        began = time.monotonic()
                        if how == "reset":
                            client.reset()
                        else:
                            if how != "close":
                                client.sock.close_notify()
                            client.close()
                        ended = lambda: [p for p in vendor.peers if getattr(p, "ended_at", 0) > began]
                        self.eventually(ended, f"the vendor sees the {how}", 4)
                        self.assertLess(ended()[0].ended_at - began, 0.5)
            self.eventually(lambda: gateway.ask(OPENAI).status == 200, "served")

    def test_C5_P85_a_half_close_over_tls(self):
        """A close_notify of the client alone: it may still read. A FIN without one: anybody may have
        sent it, so it counts as an end."""
        go = threading.Event()

        def wait(peer, form):
            begin_stream(peer, form)
            if not go.wait(0.7):  # a client that is gone must be noticed before
                peer.ended_how = peer.hang(3)
                return False
            for event in form.events[len(begun(form)):]:
                peer.chunk(event)
            peer.last_chunk()
            return True

        for settings in VERSIONS.values():
            for with_fin in (False, True):
                gateway, _ = self.serve(wait)
                gateway.tls = self.authority.client(**settings)
                for form in FORMATS:
                    with self.subTest(str(settings), with_fin=with_fin, form=form):
                        go.clear()
                        client = gateway.begin(form, FAIL)
                        pieces = client.pieces(client.head())
                        body = next(pieces)
                        while len(body) < len(b"".join(begun(form))):
                            body += next(pieces)
                        client.half_close() if with_fin else client.sock.close_notify()
                        time.sleep(0.3)
                        go.set()
                        body += b"".join(pieces)
                        self.assertTrue(body.endswith(form.events[-1]), (form, body))
                        self.assertEqual(client.ended(3), "fin")
                        self.assertTrue(client.sock.clean)

    def test_C4_a_client_that_never_reads_over_tls(self):
        total = [0]

        def pour(peer, form):
            begin_stream(peer, form)
            event = chat_chunk({"content": "x" * 1500})
            block = b"%x\r\n%s\r\n" % (len(event), event) * 50
            try:
                for _ in range(2000):
                    peer.send(block)
                    total[0] += len(block)
            finally:
                peer.ended_at = time.monotonic()

        gateway, vendor = self.serve(pour, timeouts={"write_stall": "2s"})
        self.assert_good(gateway)
        before = gateway.proc("VmRSS")
        client = gateway.begin(OPENAI, FAIL, recv_buffer=4096)
        self.eventually(lambda: total[0] > 0, "the vendor pours")
        for _ in range(10):
            self.assert_prompt(gateway)
            time.sleep(0.05)
        self.assertLess(total[0], 32 << 20, "the vendor is read without an end")
        self.assertLess(gateway.proc("VmRSS") - before, 16 << 20)
        self.eventually(lambda: any(hasattr(peer, "ended_at") for peer in vendor.peers),
                        "the vendor's side is dropped", 8)
        client.close()

    def test_U5_a_cut_stream_is_told_over_tls(self):
        """The end of an answer that was cut: an error event, or no last chunk and no close_notify."""
        def fault(peer, form):
            begin_stream(peer, form)
            time.sleep(0.05)

        def half(peer, form):
            peer.send(JSON_HEAD + f"content-length: {len(form.whole)}\r\n\r\n" + form.whole[:10].decode())

        gateway, vendor = self.serve(fault)
        for form, answer in self.each_format(lambda form: gateway.ask(form, FAIL)):
            self.assert_cut(form, answer, b"".join(begun(form)), told=True)
        vendor.fault = half
        for form, answer in self.each_format(lambda form: gateway.ask(form, FAIL, False)):
            self.assertFalse(answer.complete, form)

    def test_P10_sigterm_over_tls(self):
        go = threading.Event()

        def wait(peer, form):
            begin_stream(peer, form)
            go.wait(10)
            for event in form.events[len(begun(form)):]:
                peer.chunk(event)
            peer.last_chunk()
            return True

        gateway, _ = self.serve(wait, timeouts={"drain": "20s"})
        idle = gateway.begin(OPENAI)
        self.assertTrue(idle.answer().complete)
        streams = [(form, gateway.begin(form, FAIL)) for form in FORMATS]
        heads = [client.head() for _, client in streams]
        gateway.signal(15)
        self.assertEqual(idle.ended(3), "fin", "an idle connection is kept")
        self.assertTrue(idle.sock.clean)
        go.set()
        for (form, client), head in zip(streams, heads):
            self.assertEqual(b"".join(client.pieces(head)), form.sse, form)
        self.assertEqual(gateway.process.wait(10), 0)
