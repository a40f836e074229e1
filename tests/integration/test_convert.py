"""A client of one format in front of a vendor of another: every pair that the converter's table has
rows for. What each format says how stands in dialects.py; here stands what must come through.
"""

import gzip
import json
import threading
import time

from dialects import TOOL, USAGE, converted, few_pairs, pairs, sse
from harness import GatewayTest, both_backends
from raw import Client

TEXT = 'Grüße, "Welt"\n\ttab \\ / 🙂 end'
PIECES = ["Grü", "ße, \"Wel", "t\"\n\ttab \\ / ", "🙂", " end"]
CALLS = [("call_a1", TOOL["name"], {"city": "Köln \"am\" Rhein"}), ("call_b2", TOOL["name"], {"city": "x"})]
LEFT_WITHIN_S = 2


def serving(respond):
    """respond(peer, request) to request after request, for as long as anybody asks."""
    def script(peer):
        while True:
            try:
                request = peer.request()
            except TimeoutError:
                return  # other pairs of formats have their turn
            respond(peer, request)

    return script


class ConvertTest(GatewayTest):
    """One gateway with a vendor of every format; a model `to-<format>` is served by that one alone."""

    def world(self, respond, models=(), accounts=(), **options):
        """respond(dialect, peer, request, said) answers; said is what the vendor understood."""
        self.vendors = {}
        listed = []
        for dialect in converted():
            def answer(peer, request, dialect=dialect):
                respond(dialect, peer, request, dialect.seen(request))

            vendor = self.vendors[dialect.name] = self.vendor(serving(answer))
            listed.append(dialect.account(vendor, models=[f"to-{dialect.name}"]))
        self.server = self.gateway(accounts=[*listed, *accounts], models=models, **options)
        return self.server

    def each(self, check, which=pairs):
        """check(client, vendor, the model that this vendor alone serves) for every pair."""
        for client, vendor in which():
            for dialect in self.vendors.values():
                dialect.requests.clear()
            with self.subTest(client=client.name, vendor=vendor.name):
                check(client, vendor, f"to-{vendor.name}")

    def some(self, check):
        """The same where it takes long."""
        self.each(check, few_pairs)

    def ask(self, client, model, text="hi", stream=False, headers=(), **more):
        body = client.request(text, stream=stream, model=model, **more)
        return self.server.post(client.path(model, stream), body, headers=headers)

    def understood(self, client, answer, stream):
        self.assertEqual((answer.status, answer.complete), (200, True), answer.body)
        kind = answer.get("content-type")
        self.assertTrue(kind.startswith("text/event-stream" if stream else "application/json"), kind)
        return client.listen(answer) if stream else client.understand(answer.json())

    def refused(self, client, answer, status):
        self.assertEqual((answer.status, answer.complete), (status, True), answer.body)
        self.assertEqual(answer.get("content-type"), "application/json")
        return client.error(answer.json())

    def seen_nothing(self):
        self.assertEqual([len(vendor.requests) for vendor in self.vendors.values()],
                         [0] * len(self.vendors))


def says(texts=PIECES, calls=()):
    """Answers as it was asked: events, or a whole."""
    def respond(dialect, peer, request, said):
        if said.stream:
            peer.answer_sse(dialect.events(texts, calls))
        else:
            peer.answer(dialect.whole("".join(texts), calls, model=said.model))
    return respond


@both_backends
class Answers(ConvertTest):
    def test_text_comes_through(self):
        """P37, P38: every pair, whole and streamed."""
        self.world(says())
        @self.each
        def _(client, vendor, model):
            for stream in (False, True):
                answer = self.ask(client, model, TEXT, stream)
                said = self.understood(client, answer, stream)
                self.assertEqual(said.text, TEXT)
                self.assertEqual((said.finish, said.ended, said.error), ("stop", True, None))
                self.assertEqual(said.usage, USAGE)
                self.assertEqual(said.model, model)
                self.assertTrue(answer.get("x-request-id"))
                request = self.vendors[vendor.name].requests[-1]
                seen = vendor.seen(request)
                self.assertEqual((seen.text, seen.stream, seen.model), (TEXT, stream, model))
                self.assertIn("be brief", request.body.decode())
                self.assertIn(f"secret-of-{vendor.name}", repr(request.fields))
                self.assertNotIn(self.server.key, repr(request.fields))

    def test_usage_is_recorded_as_the_vendor_told_it(self):
        """P67: in both kinds of answers, for every vendor."""
        self.world(says())
        @self.each
        def _(client, _vendor, model):
            for stream in (False, True):
                answer = self.ask(client, model, "hi", stream)
                name = f'"req_id":"{answer.get("x-request-id")}"'
                self.eventually(lambda: name in self.server.log(), "the line is written")
                line = json.loads(next(line for line in self.server.log().splitlines() if name in line))
                self.assertEqual((line["in_tok"], line["cache_read_tok"], line["out_tok"]), (11, 4, 7))
                self.assertEqual((line["format"], line["status"]), (client.name, 200))

    def test_calls_and_their_results(self):
        calls, turns = CALLS, []

        def respond(dialect, peer, request, said):
            says([] if not said.results else ["done"], calls if not said.results else ())(
                dialect, peer, request, said)

        self.world(respond)
        @self.each
        def _(client, vendor, model):
            for stream in (False, True):
                said = self.understood(client, self.ask(client, model, "hi", stream, tools=True), stream)
                self.assertEqual([call[1:] for call in said.calls], [call[1:] for call in CALLS])
                self.assertEqual((said.finish, said.ended), ("calls", True))
                self.assertEqual(vendor.seen(self.vendors[vendor.name].requests[-1]).tools, [TOOL["name"]])
                turns = [(said.calls[0], "18 °C"), (said.calls[1], "none")]
                answer = self.ask(client, model, "hi", stream, tools=True, turns=turns)
                self.assertEqual(self.understood(client, answer, stream).text, "done")
                seen = vendor.seen(self.vendors[vendor.name].requests[-1])
                self.assertEqual([call[1:] for call in seen.calls], [call[1:] for call in CALLS])
                self.assertEqual([result[1] for result in seen.results], ["18 °C", "none"])
                if seen.calls[0][0]:  # where they have ids, each result names its call
                    self.assertEqual([call[0] for call in seen.calls],
                                     [result[0] for result in seen.results])

    def test_names_that_a_vendor_does_not_take(self):
        """C-037: it is told others, and the client never sees them."""
        own, told = "db:find the/city " + "x" * 80, set()
        self.addCleanup(TOOL.__setitem__, "name", TOOL["name"])
        TOOL["name"] = own

        def respond(dialect, peer, request, said):
            told.add(said.tools[0])
            calls = [("call_a1", said.tools[0], {"city": "x"})]
            says([] if not said.results else ["done"], calls if not said.results else ())(
                dialect, peer, request, said)

        self.world(respond)
        @self.each
        def _(client, vendor, model):
            for stream in (False, True):
                told.clear()
                said = self.understood(client, self.ask(client, model, "hi", stream, tools=True), stream)
                self.assertEqual([call[1] for call in said.calls], [own])
                answer = self.ask(client, model, "hi", stream, tools=True, turns=[(said.calls[0], "1")])
                self.assertEqual(self.understood(client, answer, stream).text, "done")
                self.assertEqual(len(told), 1, "the same name in every turn")
                self.assertRegex(told.pop(), "^[a-zA-Z0-9_-]{1,64}$")
                seen = vendor.seen(self.vendors[vendor.name].requests[-1])
                self.assertEqual([call[1] for call in seen.calls], seen.tools)

    def test_an_answer_of_the_other_kind(self):
        """Whole where events were asked for, and events where a whole was."""
        def respond(dialect, peer, request, said):
            if said.stream:
                peer.answer(dialect.whole(TEXT, CALLS, model=said.model))
            else:
                peer.answer_sse(dialect.events(PIECES, CALLS))

        self.world(respond)
        @self.each
        def _(client, _vendor, model):
            for stream in (False, True):
                said = self.understood(client, self.ask(client, model, "hi", stream, tools=True), stream)
                self.assertEqual(said.text, TEXT)
                self.assertEqual([call[1:] for call in said.calls], [call[1:] for call in CALLS])
                self.assertEqual(said.usage, USAGE)

    def test_compressed_bodies(self):
        """C-130: of clients and of vendors; a coding that nobody knows is a 415."""
        def respond(dialect, peer, request, said):
            self.assertIsNone(request.get("content-encoding"))
            body = gzip.compress(json.dumps(dialect.whole(TEXT, model=said.model)).encode())
            peer.answer(body, headers=[("content-encoding", "gzip")])

        self.world(respond)
        @self.each
        def _(client, _vendor, model):
            body = gzip.compress(json.dumps(client.request(TEXT, model=model)).encode())
            answer = self.server.post(client.path(model, False), body,
                                      headers=[("content-encoding", "gzip")])
            self.assertEqual(self.understood(client, answer, False).text, TEXT)
            answer = self.server.post(client.path(model, False), body, headers=[("content-encoding", "zip")])
            self.refused(client, answer, 415)

    def test_large_bodies(self):
        large = "0123456789abcdé\n" * 40_000
        self.world(lambda dialect, peer, request, said: peer.answer(
            dialect.whole(said.text, model=said.model)))
        @self.some
        def _(client, vendor, model):
            answer = self.ask(client, model, large)
            self.assertEqual(self.understood(client, answer, False).text, large)
            self.assertEqual(vendor.seen(self.vendors[vendor.name].requests[-1]).text, large)

    def test_a_connection_serves_converted_and_passed_requests(self):
        self.world(says())
        one = self.server.client()
        @self.each
        def _(client, _vendor, model):
            for name in (model, f"to-{client.name}", model):
                for stream in (True, False):
                    one.request("POST", client.path(name, stream),
                                client.request("hi", stream=stream, model=name),
                                [("authorization", f"Bearer {self.server.key}")])
                    self.assertEqual(self.understood(client, one.answer(), stream).text, TEXT)

    def test_another_name_for_the_model(self):
        models = [{"name": f"alias-{dialect.name}", "target": f"to-{dialect.name}"} for dialect in converted()]
        self.world(says(), models=models)
        @self.each
        def _(client, vendor, model):
            alias = f"alias-{vendor.name}"
            for stream in (False, True):
                answer = self.ask(client, alias, "hi", stream)
                said = self.understood(client, answer, stream)
                self.assertEqual((said.model, answer.get("x-penstock-model")), (alias, model))
                self.assertEqual(vendor.seen(self.vendors[vendor.name].requests[-1]).model, model)

    def test_lists_show_models_of_every_format(self):
        self.world(says())
        names = {model["id"] for model in self.server.get("/v1/models").json()["data"]}
        self.assertLessEqual({f"to-{dialect.name}" for dialect in converted()}, names)

    def test_what_is_counted(self):
        self.world(says())
        @self.each
        def _(client, _vendor, model):
            self.ask(client, model, "hi", **client.lossy)
        text = self.server.ask_admin("/metrics").body.decode()
        for client, vendor in pairs():
            labels = f'from="{client.name}",to="{vendor.name}"'
            self.assertIn(f"penstock_conversions_total{{{labels}}} 1\n", text)
            self.assertIn(f'penstock_translate_losses_total{{{labels},kind="dropped"}} ', text)


@both_backends
class Streams(ConvertTest):
    def events_of(self, change, headers=()):
        """A world whose vendors send what `change(events, dialect)` makes of their events."""
        def respond(dialect, peer, request, said):
            peer.sse_head(headers)
            for event in change(dialect.events(PIECES), dialect):
                peer.chunk(event)
            peer.last_chunk()
        return self.world(respond)

    def broken(self, client, model):
        """An answer that began well and did not end so: its text and the error in it."""
        answer = self.ask(client, model, "hi", True)
        self.assertEqual((answer.status, answer.complete), (200, True), answer.body)
        said = client.listen(answer)
        self.assertFalse(said.ended, answer.body)
        self.assertTrue(said.error, answer.body)
        return said

    def test_an_error_inside_the_stream(self):
        self.events_of(lambda events, dialect: events[:-3] + [dialect.error_event("out of steam")])
        @self.each
        def _(client, _vendor, model):
            said = self.broken(client, model)
            self.assertIn("out of steam", said.error)
            self.assertTrue(said.text and TEXT.startswith(said.text), said.text)

    def test_a_silent_vendor_leaves_no_silent_client(self):
        """C-087: after ten seconds without a word each client is shown that its answer is on its way."""
        life = {"openai": b"\n: keep-alive\n", "responses": b"\n: keep-alive\n", "anthropic": b"event: ping\n",
                "gemini": b"\n\n\n"}

        def respond(dialect, peer, request, said):
            events = dialect.events(PIECES)
            peer.sse_head()
            for number, event in enumerate(events):
                if number == dialect.opening:
                    time.sleep(11)
                peer.chunk(event)
            peer.last_chunk()

        self.world(respond)
        answers = {}

        def ask(client, vendor):
            answers[client.name] = self.ask(client, f"to-{vendor.name}", "hi", True)

        threads = [threading.Thread(target=ask, args=pair) for pair in few_pairs()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for client, vendor in few_pairs():
            with self.subTest(client=client.name, vendor=vendor.name):
                answer = answers[client.name]
                self.assertEqual(self.understood(client, answer, True).text, TEXT)
                begun = client.name == "anthropic"  # one belongs to the beginning
                self.assertEqual(answer.body.count(life[client.name]), 1 + begun, answer.body)

    def test_a_cut_stream_ends_in_an_error(self):
        self.events_of(lambda events, dialect: events[:dialect.opening])  # and the body ends properly
        @self.each
        def _(client, _vendor, model):
            said = self.broken(client, model)
            self.assertTrue(said.text and TEXT.startswith(said.text), said.text)

    def test_a_connection_that_breaks(self):
        def respond(dialect, peer, request, said):
            peer.sse_head()
            for event in dialect.events(PIECES)[:dialect.opening]:
                peer.chunk(event)
            peer.send(b"ff\r\ndata: {")
            time.sleep(0.1)
            peer.reset()
            raise ConnectionResetError

        self.world(respond)
        @self.each
        def _(client, _vendor, model):
            said = self.broken(client, model)
            self.assertTrue(said.text and TEXT.startswith(said.text), said.text)

    def test_a_malformed_event(self):
        self.events_of(lambda events, dialect: events[:dialect.opening] +
                       [sse('{"choices":[{"delta":{"content":"x}')] + events[dialect.opening:])
        @self.each
        def _(client, _vendor, model):
            self.broken(client, model)

    def test_an_error_before_the_first_text_is_an_answer_of_its_own(self):
        self.events_of(lambda events, dialect: [dialect.error_event("not today")])
        @self.each
        def _(client, _vendor, model):
            answer = self.ask(client, model, "hi", True)
            self.assertGreaterEqual(answer.status, 500)
            self.assertIn("not today", client.error(answer.json())[1])

    def test_a_vendor_refuses(self):
        self.world(lambda dialect, peer, request, said: dialect.error_answer(peer, "slow down"))
        @self.each
        def _(client, _vendor, model):
            for stream in (False, True):
                kind, message, _ = self.refused(client, self.ask(client, model, "hi", stream), 429)
                self.assertIn("slow down", message)
                self.assertTrue(kind)

    def test_a_whole_answer_that_is_none(self):
        bodies = [b"", b"{", b"[]", b'{"nothing":1}', b'{"error":{"message":"oh no","type":"server_error"}}']

        def respond(dialect, peer, request, said):
            peer.answer(bodies[len(self.vendors[dialect.name].requests) - 1])

        self.world(respond)
        @self.each
        def _(client, _vendor, model):
            for body in bodies:
                answer = self.ask(client, model)
                self.assertGreaterEqual(answer.status, 500, body)
                self.assertTrue(client.error(answer.json())[1])

    def test_streams_in_pieces_and_comments(self):
        def respond(dialect, peer, request, said):
            body = b": hello\n\n" + b"\n: more\n\n".join(dialect.events(PIECES, CALLS))
            peer.sse_head()
            peer.drip(b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in
                               (body[at:at + 7] for at in range(0, len(body), 7))) + b"0\r\n\r\n",
                      piece=331, gap_s=0.001)

        self.world(respond)
        @self.some
        def _(client, _vendor, model):
            for stream in (False, True):
                # The second is whole for the client; the vendor streams all the same.
                said = self.understood(client, self.ask(client, model, "hi", stream, tools=True), stream)
                self.assertEqual((said.text, said.usage, said.ended), (TEXT, USAGE, True))
                self.assertEqual([call[1:] for call in said.calls], [call[1:] for call in CALLS])

    def test_the_last_event_without_its_blank_line(self):
        self.events_of(lambda events, _: events[:-1] + [events[-1].rstrip(b"\n")])
        @self.each
        def _(client, _vendor, model):
            said = self.understood(client, self.ask(client, model, "hi", True), True)
            self.assertEqual((said.text, said.ended, said.error), (TEXT, True, None))

    def test_a_huge_event(self):
        large = "é\"\\\n" * 500_000
        self.world(says(["a", large, "b"]))
        @self.some
        def _(client, _vendor, model):
            said = self.understood(client, self.ask(client, model, "hi", True), True)
            self.assertEqual(len(said.text), len(large) + 2)
            self.assertEqual(said.text, "a" + large + "b")
            self.assertTrue(said.ended)

    def test_events_arrive_as_they_are_sent(self):
        """C-095: what a read brings leaves before the next."""
        def respond(dialect, peer, request, said):
            peer.answer_sse(dialect.events(PIECES), gap_s=0.15)

        self.world(respond)
        @self.some
        def _(client, _vendor, model):
            spans = []
            for _ in range(3):  # a busy machine holds one or the other
                answer = self.ask(client, model, "hi", True)
                spans.append(answer.pieces[-1][0] - answer.pieces[0][0])
                if spans[-1] > 0.4:
                    break
            self.assertGreater(spans[-1], 0.4, "the events came in one go")

    def test_a_client_that_leaves_cancels_the_vendor(self):
        left, begun = [], threading.Event()

        def respond(dialect, peer, request, said):
            events = dialect.events(PIECES * 1000)
            peer.sse_head()
            for event in events[:dialect.opening]:
                peer.chunk(event)
            begun.set()
            began = time.monotonic()
            left.append((peer.hang(), time.monotonic() - began))

        self.world(respond)
        @self.some
        def _(client, _vendor, model):
            left.clear()
            begun.clear()
            one = Client(self.server.data)
            one.request("POST", client.path(model, True), client.request("hi", stream=True, model=model),
                        [("authorization", f"Bearer {self.server.key}")])
            one.head()
            self.assertTrue(begun.wait(5))
            one.reset()
            self.eventually(lambda: left, "the vendor is told")
            self.assertIn(left[0][0], ("fin", "reset"))
            self.assertLess(left[0][1], LEFT_WITHIN_S)

    def test_a_stream_as_an_array(self):
        """Gemini's streams are JSON arrays for clients that do not ask for events."""
        self.world(says(PIECES, CALLS))

        def ask(client, model):
            path = client.path(model, True).removesuffix("?alt=sse")
            return self.server.post(path, client.request("hi", model=model, tools=True))

        @self.each
        def _(client, vendor, model):
            if client.name != "gemini":
                return
            answer = ask(client, model)
            self.assertEqual((answer.status, answer.complete), (200, True))
            self.assertEqual(answer.get("content-type"), "application/json")
            said = client.collect(answer.json())
            self.assertEqual((said.text, said.ended, said.usage), (TEXT, True, USAGE))
            self.assertEqual([call[1:] for call in said.calls], [call[1:] for call in CALLS])
            self.assertGreater(len(answer.json()), 2)
        self.events_of(lambda events, dialect: events[:dialect.opening])

        @self.each
        def _(client, vendor, model):
            if client.name == "gemini":
                self.assertFalse(ask(client, model).complete, "a cut array looks whole")

    def test_a_slow_client_slows_the_vendor(self):
        sent, stop = [0], threading.Event()

        def respond(dialect, peer, request, said):
            events = dialect.events(["x" * 4000])
            peer.sse_head()
            for event in events[:-3]:
                peer.chunk(event)
            text = next(event for event in events if b"xxxx" in event)
            peer.sock.settimeout(1)
            sent[0] = 0
            try:
                while not stop.is_set() and sent[0] < 64 << 20:
                    peer.chunk(text)
                    sent[0] += len(text)
            except TimeoutError:
                pass

        self.world(respond)
        @self.some
        def _(client, _vendor, model):
            one = Client(self.server.data, recv_buffer=4096)
            one.request("POST", client.path(model, True), client.request("hi", stream=True, model=model),
                        [("authorization", f"Bearer {self.server.key}")])
            one.head()
            before = -1
            while sent[0] != before:
                before = sent[0]
                time.sleep(0.5)
            self.assertGreater(sent[0], 0)
            self.assertLess(sent[0], 32 << 20, "nobody reads, and the vendor goes on")
            one.reset()
        stop.set()


@both_backends
class Requests(ConvertTest):
    def test_losses_are_told(self):
        self.world(says())
        @self.each
        def _(client, _vendor, model):
            for stream in (False, True):
                answer = self.ask(client, model, "hi", stream, **client.lossy)
                self.understood(client, answer, stream)
                self.assertIn(client.loss, answer.get("x-penstock-dropped", "").split(","))
            answer = self.ask(client, f"to-{client.name}", **client.lossy)
            self.assertIsNone(answer.get("x-penstock-dropped"))  # nothing was converted

    def test_many_losses_fit_the_head(self):
        self.world(says())
        @self.each
        def _(client, _vendor, model):
            more = {f"unknown_{number}_{'x' * 60}": number for number in range(60)}
            answer = self.ask(client, model, **more)
            self.understood(client, answer, False)
            told = answer.get("x-penstock-dropped")
            self.assertLessEqual(len(told), 1024)
            self.assertTrue(told.endswith("..."), told)

    def test_strict_by_the_request(self):
        self.world(says())
        @self.each
        def _(client, _vendor, model):
            for word in ("true", "1", "yes"):
                answer = self.ask(client, model, headers=[("x-penstock-strict-conversion", word)],
                                  **client.lossy)
                _, message, param = self.refused(client, answer, 400)
                self.assertIn(client.loss, message)
                if "param" in answer.body.decode():
                    self.assertEqual(param, client.loss)
            self.seen_nothing()
            answer = self.ask(client, model, headers=[("x-penstock-strict-conversion", "false")],
                              **client.lossy)
            self.understood(client, answer, False)
            answer = self.ask(client, model, headers=[("x-penstock-strict-conversion", "true")])
            self.understood(client, answer, False)  # and nothing is lost without that setting
            self.assertIsNone(self.vendors[self.each_vendor(model)].requests[-1]
                              .get("x-penstock-strict-conversion"))

    def each_vendor(self, model):
        return model.removeprefix("to-")

    def test_strict_by_the_route(self):
        models = [{"name": f"strict-{dialect.name}", "target": f"to-{dialect.name}",
                   "strict_conversion": True} for dialect in converted()]
        self.world(says(), models=models)
        @self.each
        def _(client, vendor, _model):
            model = f"strict-{vendor.name}"
            answer = self.ask(client, model, headers=[("x-penstock-strict-conversion", "false")],
                              **client.lossy)
            self.assertIn(client.loss, self.refused(client, answer, 400)[1])
            self.seen_nothing()
            self.understood(client, self.ask(client, model), False)

    def test_bad_input_is_refused_before_any_vendor_is_asked(self):
        self.world(says())
        @self.each
        def _(client, vendor, model):
            for change, path in client.bad:
                for stream in (False, True):
                    body = client.request("hi", stream=stream, model=model) | change
                    answer = self.server.post(client.path(model, stream), body)
                    _, message, param = self.refused(client, answer, 400)
                    self.assertIn(path, message)
                    self.assertIn(param, (None, path))
            for body in (b"", b"{", b"[]", b'"x"', b'{"model":"' + model.encode() + b'","x":"\xff"}',
                         b'{"model":"' + model.encode() + b'","x":' + b"[" * 2000 + b"]" * 2000 + b"}"):
                answer = self.server.post(client.path(model, False), body)
                self.refused(client, answer, 400)
            self.seen_nothing()
            self.understood(client, self.ask(client, model), False)  # and no account was blamed

    def test_no_other_operation_is_converted(self):
        """P36: nobody serves it to such a client, which is said; it is no fault of the gateway's."""
        self.world(says())
        paths = {"/v1/embeddings": "anthropic", "/v1/responses/compact": "anthropic"}
        for path, vendor in paths.items():
            answer = self.server.post(path, {"model": f"to-{vendor}", "input": "x", "prompt": "x",
                                             "messages": []})
            self.assertEqual(answer.status, 404, path)
        self.seen_nothing()

    def test_only_common_fields_go_to_another_vendor(self):
        self.world(says())
        headers = [("traceparent", "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"),
                   ("anthropic-beta", "x-1"), ("openai-beta", "y-1"), ("x-stainless-lang", "js"),
                   ("x-goog-api-client", "z-1"), ("cookie", "c=1")]
        @self.each
        def _(client, vendor, model):
            self.understood(client, self.ask(client, model, headers=headers), False)
            request = self.vendors[vendor.name].requests[-1]
            self.assertEqual(request.get("traceparent"), headers[0][1])
            for name, _ in headers[1:]:
                self.assertIsNone(request.get(name), name)
            if vendor.name == "anthropic":
                self.assertEqual(request.get("anthropic-version"), "2023-06-01")

    def test_thoughts_between_tags(self):
        """C-074: told as thoughts where the model is said to write them so, and only there."""
        text = "<think>Hm, a < b</think>\n\nHi"
        models = [{"name": "tagged", "target": "to-openai", "think_tags": True}]
        self.world(says([text[:4], text[4:18], text[18:20], text[20:]]), models=models)
        for client in converted():
            for stream in (False, True):
                with self.subTest(client=client.name, stream=stream):
                    said = self.understood(client, self.ask(client, "tagged", "hi", stream), stream)
                    passes = client.name == "openai"  # nothing is converted
                    self.assertEqual(said.text, text if passes else "Hi")
                    said = self.understood(client, self.ask(client, "to-openai", "hi", stream), stream)
                    self.assertEqual(said.text, text)

    def test_a_search_for_another(self):
        """The vendor's own web search, where the model's operator wants it so."""
        models = [{"name": "searching", "target": "to-anthropic", "convert_web_search": True}]
        self.world(says(), models=models)
        chat = next(dialect for dialect in converted() if dialect.name == "openai")
        answer = self.ask(chat, "searching", web_search_options={})
        self.understood(chat, answer, False)
        self.assertEqual(answer.get("x-penstock-adjusted"), "web_search_options=web_search")
        tools = self.vendors["anthropic"].requests[-1].json()["tools"]
        self.assertEqual([tool["name"] for tool in tools], ["web_search"])
        answer = self.ask(chat, "to-anthropic", web_search_options={})
        self.understood(chat, answer, False)
        self.assertEqual(answer.get("x-penstock-dropped"), "web_search_options")
        self.assertNotIn("tools", self.vendors["anthropic"].requests[-1].json())

    def test_models_that_chat_does_not_serve(self):
        """C-141: an account of OpenAI's own is asked by Responses for what its Chat refuses of a model."""
        dialects = {dialect.name: dialect for dialect in converted()}
        chat, responses = dialects["openai"], dialects["responses"]

        def respond(peer, request):
            dialect = responses if request.target.endswith("/responses") else chat
            says()(dialect, peer, request, dialect.seen(request))

        vendor = self.vendor(serving(respond))
        listed = ["gpt-5.1", "gpt-5.3-codex", "gpt-5.4", "gpt-5.6"]
        both = ["openai", "responses"]
        self.server = self.gateway(accounts=[
            chat.account(vendor, models=listed, formats=both),
            chat.account(vendor, name="like", type="openai-compatible", models=["like-5.6"], formats=both,
                         model_map={"like-5.6": "gpt-5.6"})])
        tools, effort = {"tools": True}, {"reasoning_effort": "low"}
        for model, more, asked in (
                ("gpt-5.1", tools | effort, chat), ("gpt-5.3-codex", {}, responses), ("gpt-5.4", tools, chat),
                ("gpt-5.4", effort, chat), ("gpt-5.4", tools | effort, responses), ("gpt-5.6", {}, chat),
                ("gpt-5.6", tools, responses), ("gpt-5.6", tools | {"reasoning_effort": "none"}, chat),
                ("like-5.6", tools | effort, chat)):
            for stream in (False, True):
                with self.subTest(model=model, asked=more, stream=stream):
                    said = self.understood(chat, self.ask(chat, model, TEXT, stream, **more), stream)
                    self.assertEqual((said.text, said.usage), (TEXT, USAGE))
                    self.assertEqual(vendor.requests[-1].target.rsplit("/", 1)[-1],
                                     "responses" if asked is responses else "completions")
        self.understood(dialects["anthropic"], self.ask(dialects["anthropic"], "gpt-5.4"), False)
        self.assertTrue(vendor.requests[-1].target.endswith("/responses"))


@both_backends
class Accounts(ConvertTest):
    """Several accounts for one model, of the client's format and of others."""

    def three(self, own, other, config=None, **more):
        """A gateway for model "m" with an account of each of two formats."""
        self.own, self.other = own, other
        accounts = []
        for dialect, respond in ((own[0], own[1]), (other[0], other[1])):
            vendor = self.vendor(serving(lambda peer, request, dialect=dialect, respond=respond: respond(
                dialect, peer, request, dialect.seen(request))))
            accounts.append(dialect.account(vendor, models=["m"], **more.get(dialect.name, {})))
            setattr(self, "at_" + ("own" if dialect is own[0] else "other"), vendor)
        self.server = self.gateway(accounts=accounts, config=config)
        return self.server

    def every(self, check, which=pairs):
        for client, vendor in which():
            with self.subTest(client=client.name, vendor=vendor.name):
                check(client, vendor)
            self.doCleanups()  # of this pair's gateways and vendors

    def some(self, check):
        self.every(check, few_pairs)

    @staticmethod
    def fails(dialect, peer, request, said):
        peer.answer({"error": {"message": "broken", "type": "api_error"}, "type": "error"},
                    status="500 Internal Server Error")

    def test_the_clients_own_format_comes_first(self):
        @self.some
        def _(client, vendor):
            self.three((client, says()), (vendor, says()))
            for stream in (False, True):
                self.understood(client, self.ask(client, "m", "hi", stream), stream)
            self.assertEqual((len(self.at_own.requests), len(self.at_other.requests)), (2, 0))

    def test_a_better_priority_comes_before_the_own_format(self):
        @self.some
        def _(client, vendor):
            self.three((client, says()), (vendor, says()), **{vendor.name: {"priority": 1}})
            self.understood(client, self.ask(client, "m"), False)
            self.assertEqual((len(self.at_own.requests), len(self.at_other.requests)), (0, 1))

    def test_a_failing_account_is_followed_by_one_of_another_format(self):
        @self.every
        def _(client, vendor):
            for priority in (1, 99):  # the converted attempt first, and second
                first = (vendor, self.fails if priority == 1 else says())
                self.three((client, says() if priority == 1 else self.fails), first,
                           **{vendor.name: {"priority": priority}})
                for stream in (False, True):
                    said = self.understood(client, self.ask(client, "m", TEXT, stream), stream)
                    self.assertEqual((said.text, said.usage), (TEXT, USAGE))
                self.assertEqual(client.seen(self.at_own.requests[-1]).text, TEXT)
                self.assertEqual(vendor.seen(self.at_other.requests[-1]).text, TEXT)

    def test_an_error_event_before_the_text_is_followed_by_another_account(self):
        """C-088: the beginning is held until there is content, so the client sees nothing of the first."""
        def error(dialect, peer, request, said):
            peer.answer_sse([dialect.error_event("no")])

        @self.some
        def _(client, vendor):
            self.three((client, says()), (vendor, error), **{vendor.name: {"priority": 1}})
            said = self.understood(client, self.ask(client, "m", "hi", True), True)
            self.assertEqual(said.text, TEXT)
            self.assertEqual((len(self.at_own.requests), len(self.at_other.requests)), (1, 1))

    def test_what_one_format_cannot_carry_goes_to_the_other(self):
        strict = [("x-penstock-strict-conversion", "true")]
        @self.some
        def _(client, vendor):
            self.three((client, says()), (vendor, says()), **{vendor.name: {"priority": 1}})
            answer = self.ask(client, "m", headers=strict, **client.lossy)
            self.understood(client, answer, False)
            self.assertEqual((len(self.at_own.requests), len(self.at_other.requests)), (1, 0))
            # An own account that fails as well: its error is told, not the refusal.
            self.understood(client, self.ask(client, "m", headers=strict), False)
            self.assertEqual(len(self.at_other.requests), 1)
