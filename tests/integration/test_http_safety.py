"""Requests that try to be read in two ways (row C8 of the fault matrix), the limits, paths and
fields of the security controls, and bodies that are not what they should be (P131)."""

import json
import random

from faults import ANTHROPIC, FORMATS, GEMINI, OPENAI, RESPONSES, FaultTest, together
from harness import both_backends, new_key
from raw import Client, Cut

CHAT = OPENAI.path
SMUGGLED = "POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}"


@both_backends
class Requests(FaultTest):
    def setUp(self):
        super().setUp()
        self.there, self.vendor_ = self.pair()

    def send(self, wire):
        """(status, whether the connection was ended) of raw bytes; status None without an answer."""
        wire = wire.encode("latin-1") if isinstance(wire, str) else wire
        with Client(self.there.data, timeout=5) as client:
            client.method = "POST"
            try:
                client.send(wire)
            except OSError:
                pass
            try:
                status = client.answer().status
            except (Cut, OSError):
                return None, True
            try:
                return status, client.ended(0.2 if status == 200 else 4) is not None
            except AssertionError:
                return status, False

    def head(self, *fields, first=f"POST {CHAT} HTTP/1.1", host="host: x"):
        auth = f"authorization: Bearer {self.there.key}"
        return "\r\n".join([first, *([host] if host else []), auth, *fields]) + "\r\n\r\n"

    def refused(self, cases, statuses=(400,)):
        """Each case gets an error, loses its connection, and no vendor hears of it."""
        for name, (status, closed) in zip(cases, together([lambda w=w: self.send(w)
                                                           for w in cases.values()])):
            with self.subTest(name):
                self.assertIn(status, statuses)
                self.assertTrue(closed, "the connection is kept")
        self.assertEqual(self.vendor_.requests, [], "a vendor got a request that nobody sent")
        self.assert_good(self.there)
        self.vendor_.requests.clear()

    def test_C8_ambiguous_framing(self):
        body = json.dumps(OPENAI.request("x", False)[1])
        size = f"content-length: {len(body)}"
        chunked = f"{len(body):x}\r\n{body}\r\n0\r\n\r\n"
        tails = {
            "a length and chunks": (f"{size}", "transfer-encoding: chunked", chunked),
            "chunks and a length": ("transfer-encoding: chunked", f"{size}", chunked),
            "two lengths": (size, "content-length: 1", body),
            "the same length twice": (size, size, body),
            "a list of lengths": (f"{size}, {len(body)}", "x: y", body),
            "a signed length": (f"content-length: +{len(body)}", "x: y", body),
            "a negative length": ("content-length: -1", "x: y", body),
            "a hexadecimal length": (f"content-length: 0x{len(body):x}", "x: y", body),
            "an underscore": ("content-length: 1_0", "x: y", body),
            "an empty length": ("content-length: ", "x: y", body),
            "an overflow": ("content-length: 18446744073709551617", "x: y", body),
            "a length after a space": (f"content-length : {len(body)}", "x: y", body),
            "a tab before the colon": (f"content-length\t: {len(body)}", "x: y", body),
            "xchunked": ("transfer-encoding: xchunked", "x: y", chunked),
            "chunked twice": ("transfer-encoding: chunked", "transfer-encoding: chunked", chunked),
            "chunked, chunked": ("transfer-encoding: chunked, chunked", "x: y", chunked),
            "chunked, identity": ("transfer-encoding: chunked, identity", "x: y", chunked),
            "identity": ("transfer-encoding: identity", size, body),
            "gzip, chunked": ("transfer-encoding: gzip, chunked", "x: y", chunked),
            "a vertical tab": ("transfer-encoding: \x0bchunked", "x: y", chunked),
            "quoted": ('transfer-encoding: "chunked"', "x: y", chunked),
            "a space in the name": ("transfer encoding: chunked", size, body),
            "a NUL in the name": ("transfer-encoding\0: chunked", size, body),
            "a folded coding": ("transfer-encoding:\r\n chunked", size, body),
            "a folded field": ("x: y\r\n z: 1", size, body),
            "a fold before the first": (" transfer-encoding: chunked", size, body),
            "no colon": ("transfer-encoding", size, body),
            "an empty name": (": chunked", size, body),
            "a bare CR": (f"x: y\rtransfer-encoding: chunked", size, body),
            "a NUL in a value": ("x: a\0b", size, body),
            "a DEL in a value": ("x: a\x7fb", size, body),
        }
        self.refused({name: self.head(one, two) + rest + SMUGGLED
                      for name, (one, two, rest) in tails.items()}, (400, 501, None))

    def test_C8_chunks_that_are_not_valid(self):
        head = self.head("transfer-encoding: chunked")
        bodies = {
            "no number": "zz\r\n{}\r\n0\r\n\r\n", "a prefix": "0x2\r\n{}\r\n0\r\n\r\n",
            "a sign": "+2\r\n{}\r\n0\r\n\r\n", "a negative size": "-2\r\n{}\r\n0\r\n\r\n",
            "a space before": " 2\r\n{}\r\n0\r\n\r\n", "an empty size": "\r\n{}\r\n0\r\n\r\n",
            "nine digits": "000000002\r\n{}\r\n0\r\n\r\n", "an overflow": "10000000000000002\r\n{}\r\n",
            "a bare LF": "2\n{}\r\n0\r\n\r\n", "a bare CR": "2\r{}\r\n0\r\n\r\n",
            "too long a chunk": "2\r\n{}}\r\n0\r\n\r\n", "no line end": "2\r\n{}0\r\n\r\n",
            "an LF in an extension": "2;a\nb\r\n{}\r\n0\r\n\r\n",
            "a long extension": "2;" + "a" * 300 + "\r\n{}\r\n0\r\n\r\n",
            "endless extensions": ("1;" + "a" * 200 + "\r\n \r\n") * 200 + "0\r\n\r\n",
            "a folded trailer": "2\r\n{}\r\n0\r\nx: y\r\n z\r\n\r\n",
            "a trailer without a name": "2\r\n{}\r\n0\r\n: y\r\n\r\n",
            "a huge trailer": "2\r\n{}\r\n0\r\nx: " + "y" * 9000 + "\r\n\r\n",
        }
        self.refused({name: head + body + SMUGGLED for name, body in bodies.items()}, (400, 413, 431))

    def test_C8_request_lines_and_hosts(self):
        line = "POST {} HTTP/1.1".format
        cases = {
            "no host": self.head("content-length: 2", host=None) + "{}",
            "two hosts": self.head("host: y", "content-length: 2") + "{}",
            "a host with a space": self.head("content-length: 2", host="host: x y") + "{}",
            "a host with a path": self.head("content-length: 2", host="host: x/y") + "{}",
            "a host with a user": self.head("content-length: 2", host="host: a@x") + "{}",
            "a host with a comma": self.head("content-length: 2", host="host: x, y") + "{}",
            "a port that is none": self.head("content-length: 2", host="host: x:abc") + "{}",
            "no version": self.head(first=f"POST {CHAT}"),
            "HTTP/0.9": "GET /v1/models\r\n\r\n",
            "two spaces": self.head("content-length: 2", first=f"POST  {CHAT} HTTP/1.1") + "{}",
            "a tab": self.head("content-length: 2", first=f"POST\t{CHAT}\tHTTP/1.1") + "{}",
            "a space in front": " " + self.head("content-length: 2") + "{}",
            "lower case": self.head("content-length: 2", first=f"POST {CHAT} http/1.1") + "{}",
            "one digit": self.head("content-length: 2", first=f"POST {CHAT} HTTP/1") + "{}",
            "HTTP/2": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "HTTP/1.2": self.head("content-length: 2", first=f"POST {CHAT} HTTP/3.1") + "{}",
            "a NUL": self.head("content-length: 2", first=line(CHAT + "\0")) + "{}",
            "non-ASCII": self.head("content-length: 2", first=line("/v1/\xe9")) + "{}",
            "a control byte": self.head("content-length: 2", first=line("/v1/\x01")) + "{}",
            "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100),
            "garbage": b"\xff\xfe\x00" * 50 + b"\r\n\r\n",
        }
        self.refused(cases, (400, 404, 431, 505, None))

    def test_C8_codings_that_are_not_the_last(self):
        """HTTP/1.0 knows no chunks."""
        self.refused({"1.0": self.head("transfer-encoding: chunked", first=f"POST {CHAT} HTTP/1.0") +
                      "2\r\n{}\r\n0\r\n\r\n" + SMUGGLED}, (400, 501, 505))

    def test_the_head_is_limited(self):
        cases = {
            "a long target": (self.head(first=f"POST /{'a' * 9000} HTTP/1.1"), (414,)),
            "a long field": (self.head("x: " + "a" * 40_000), (431,)),
            "many fields": (self.head(*["x: y"] * 120), (431,)),
            "many bytes": (self.head(*[f"x{n}: {'a' * 700}" for n in range(60)]), (431,)),
            "a long method": (self.head(first=f"{'A' * 5000} {CHAT} HTTP/1.1"), (400, 501, 405)),
        }
        for name, (wire, statuses) in cases.items():
            self.refused({name: wire}, statuses)

    def test_heads_up_to_the_limits_pass(self):
        body = json.dumps(OPENAI.request("x", False)[1])
        fields = [f"x{n}: y" for n in range(90)] + [f"x: {'a' * 20_000}", f"content-length: {len(body)}"]
        self.assertEqual(self.send(self.head(*fields) + body), (200, False))
        self.assertEqual(len(self.vendor_.requests[0].all("x")), 0)

    def test_paths_are_canonical_or_refused(self):
        for path in ("/v1/chat%2fcompletions", "/v1%5cchat/completions", "/v1//chat/completions",
                     "/v1/./chat/completions", "/v1/x/../chat/completions", "/v1/chat/completions;a",
                     "/v1/chat/completions%00", "/v1/chat/%2e%2e/chat/completions", "/v1/%zz",
                     "/%2e/v1/chat/completions", "//v1/chat/completions", "/v1/%63hat/completions",
                     "v1/chat/completions", "*", "/v1/chat\\completions", "/v1/chat/completions/"):
            with self.subTest(path):
                self.vendor_.requests.clear()
                answer = self.there.post(path, OPENAI.request("x", False)[1])
                if answer.status == 200:  # its canonical form names a route, and only that goes on
                    self.assertIn(path, ("/v1/%63hat/completions", "/v1//chat/completions",
                                         "//v1/chat/completions", "/v1/chat/completions/"))
                    self.assertEqual(self.vendor_.requests[0].target, CHAT)
                else:
                    self.assertIn(answer.status, (400, 404))
                    self.assertEqual(self.vendor_.requests, [])

    def test_a_model_in_the_path_cannot_leave_its_place(self):
        for model in ("m%2f..%2f..%2fsecrets", "..%2fm", "m%3fkey=x", "m%23", "m%0d%0ax-a:b", "m%00", "m%20m",
                      "m:generateContent%3f", "a" * 3000):
            with self.subTest(model[:30]):
                self.vendor_.requests.clear()
                answer = self.there.post(f"/v1beta/models/{model}:generateContent", {"contents": []})
                self.assertIn(answer.status, (400, 404, 414))
                self.assertEqual(self.vendor_.requests, [])

    def test_what_a_vendor_gets_is_built_not_copied(self):
        sent = [("cookie", "secret=1"), ("x-forwarded-for", "10.0.0.1"), ("forwarded", "for=1"),
                ("x-real-ip", "10.0.0.1"), ("via", "1.0 me"), ("te", "trailers"), ("origin", "http://a"),
                ("referer", "http://a"), ("proxy-authorization", "Basic x"), ("x-hop", "1"),
                ("upgrade", "h2c"), ("x-custom", "1"), ("accept-language", "de"), ("expect", "100-continue"),
                ("connection", "x-hop, openai-beta, upgrade"), ("openai-beta", "b"), ("accept-encoding", "br"),
                ("x-http-method-override", "GET"), ("user-agent", "curl/8"), ("trailer", "x")]
        for form in FORMATS:
            with self.there.begin(form, stream=False, headers=sent) as client:
                self.assertEqual(client.answer().status, 200)
            request = self.vendor_.requests[-1]
            for name, value in sent:
                self.assertNotIn(value, request.all(name), name)
            self.assertNotIn(self.there.key, repr(request.fields) + request.target)
            for name in ("host", "content-length"):
                self.assertEqual(len(request.all(name)), 1, (form, name))
            credentials = [name for name, _ in request.fields
                           if name in ("authorization", "x-api-key", "x-goog-api-key")]
            self.assertEqual(len(credentials), 1, form)
            self.assertEqual(request.get("transfer-encoding"), None)

    def test_keys_in_two_places(self):
        key, other = self.there.key, new_key()
        body = OPENAI.request("x", False)[1]
        for fields, path, status in (
                ([("authorization", f"Bearer {key}"), ("x-api-key", other)], CHAT, 400),
                ([("authorization", f"Bearer {key}"), ("authorization", f"Bearer {other}")], CHAT, 400),
                ([("x-api-key", key)], f"{CHAT}?key={other}", 200),  # no place for a key in this format
                ([("x-goog-api-key", key)], f"{GEMINI.path}?key={other}", 400),
                ([], f"{CHAT}?key={key}", 401), ([], f"{GEMINI.path}?key={key}", 200),
                ([("authorization", f"Basic {key}")], CHAT, 401), ([("authorization", "Bearer")], CHAT, 401),
                ([("authorization", f"Bearer {key}x")], CHAT, 401), ([("x-api-key", "")], CHAT, 401)):
            with self.subTest(fields=[name for name, _ in fields], path=path[:40]):
                with Client(self.there.data) as client:
                    client.request("POST", path, body, fields)
                    self.assertEqual(client.answer().status, status)
        for request in self.vendor_.requests:
            self.assertNotIn(key, request.target)

    def test_bodies_are_limited_in_depth_and_unambiguous(self):
        deep = b'{"model":"m","messages":' + b"[" * 600 + b"]" * 600 + b"}"
        for body in (deep, b'{"model":"m","model":"n"}', b'{"stream":true,"model":"m","stream":false}',
                     b'{"model":"m","m\\u006fdel":"n"}'):
            answer = self.there.post(CHAT, body)
            self.assertEqual(answer.status, 400, body[:60])
            self.assertTrue(answer.json()["error"]["message"])
        self.assertEqual(self.vendor_.requests, [])

    def test_P131_fuzzed_and_missing_fields(self):
        chance = random.Random(131)
        broken = []  # what was no JSON at all
        odd = [None, 0, -1, 1e300, True, "", "m\0", "\ud83d", [], {}, [[]], {"a": {}}, "x" * 5000]

        def one(form, number):
            path, body = form.request("x", bool(number % 2))
            own = random.Random(number)
            for _ in range(own.randrange(1, 4)):
                if own.random() < 0.4 and body:
                    del body[own.choice(list(body))]
                else:
                    body[own.choice([*body, "tools", "stream_options", "model", "stream"])] = own.choice(odd)
            text = bytearray(json.dumps(body).encode())
            if own.random() < 0.4:
                for _ in range(own.randrange(1, 4)):
                    text[own.randrange(len(text))] = own.randrange(256)
            answer = self.there.post(path, bytes(text))
            try:  # what is no text passes as it is (U10)
                json.loads(text.decode("utf-8", "replace"))
            except ValueError:
                self.assertEqual(answer.status, 400, (form, text))
                broken.append(form)
            if answer.status != 200:
                self.assertIn(answer.status, (400, 404), (form, text))
                self.assertTrue(form.error_message(answer), form)
                self.assertTrue(answer.get("x-request-id"))

        numbers = [chance.randrange(1 << 30) for _ in range(60)]
        together([lambda form=form: [one(form, number) for number in numbers] for form in FORMATS])
        self.assertEqual(len(set(broken)), len(FORMATS))
        self.assert_good(self.there, FORMATS)

    def test_P131_bodies_that_are_no_objects(self):
        for form in (OPENAI, RESPONSES, ANTHROPIC):
            for body in (b"", b" ", b"{", b"}", b"[]", b"1", b"null", b'"m"', b"\xff", b"\xef\xbb\xbf{}",
                         b'{"model":"m"', b'{"model":"m",}', b"{'model':'m'}", b'{"model":NaN}', b"\0" * 50,
                         b'{"model":"m"} x', b'{"model":"m"}{"model":"m"}', b'{"model":"\\ud800"}'):
                answer = self.there.post(form.path, body)
                self.assertIn(answer.status, (400, 404), (form, body))
                self.assertTrue(form.error_message(answer), (form, body))
                self.assertTrue(answer.get("x-request-id"))
        self.assertEqual(self.vendor_.requests, [])


@both_backends
class Connections(FaultTest):
    def test_requests_on_a_connection_are_limited(self):
        gateway, _ = self.pair(config={"limits": {"requests_per_connection": 3}})
        client = gateway.client()
        for number in range(3):
            path, body = OPENAI.request("x", False)
            client.request("POST", path, body, [("authorization", f"Bearer {gateway.key}")])
            answer = client.answer()
            self.assertEqual(answer.get("connection"), "close" if number == 2 else None)
        self.assertIn(client.ended(4), ("fin", "reset"))

    def test_connections_are_limited_and_served_again(self):
        gateway, _ = self.pair(config={"limits": {"connections": 8}})
        held = [gateway.client() for _ in range(30)]
        for client in held:
            client.close()

        def served():
            try:
                return gateway.ask(OPENAI).status == 200
            except (OSError, Cut):  # still above the limit: closed at once
                return False

        self.eventually(served, "served again", 5)

    def test_http_1_0_clients(self):
        gateway, _ = self.pair()
        for stream in (False, True):
            path, body = OPENAI.request("x", stream)
            body = json.dumps(body)
            client = gateway.client()
            client.method = "POST"
            client.send(f"POST {path} HTTP/1.0\r\nauthorization: Bearer {gateway.key}\r\n"
                        f"content-length: {len(body)}\r\n\r\n{body}")
            answer = client.answer()
            self.assertIsNone(answer.get("transfer-encoding"), "HTTP/1.0 knows no chunks")
            self.assertEqual(answer.body, OPENAI.sse if stream else OPENAI.whole)

    def test_an_upload_waits_for_100_only_after_the_key(self):
        gateway, vendor = self.pair()
        body = json.dumps(OPENAI.request("x", False)[1])
        for key, want in ((gateway.key, 100), (new_key(), 401)):
            client = gateway.client()
            client.method = "POST"
            client.send(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
                        f"expect: 100-continue\r\ncontent-length: {len(body)}\r\n\r\n")
            first, _ = client.stream.head()
            self.assertEqual(int(first.split()[1]), want)
            if want == 100:
                client.send(body)
                self.assertEqual(client.answer().body, OPENAI.whole)
        self.assertEqual(len(vendor.requests), 1)
