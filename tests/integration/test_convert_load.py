"""Large things between formats: what they cost of a turn and of memory, and that they come through."""

import json
import signal
import socket
import threading
import time

import test_convert
from dialects import few_pairs, pairs
from harness import both_backends, is_sanitized
from raw import Client
from test_load import is_slow
from world import World

MIB = 1 << 20
WORD = "The function reads the whole of the file into memory and then walks it. "


def proc(gateway, name):
    """A number of /proc/PID/status in bytes."""
    with open(f"/proc/{gateway.process.pid}/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name + ":"))


def long_talk(client, model, size):
    """A request of about `size` bytes: many results of a tool, as a long work has them."""
    turns = [((f"call_{i}", "find", {"city": "x"}), WORD * 60) for i in range(size // (len(WORD) * 60))]
    return client.request("hi", model=model, tools=True, turns=turns)


@both_backends
class Large(test_convert.ConvertTest):
    def quick(self):
        """A small request, converted too."""
        with Client(self.server.data) as client:
            client.request("POST", "/v1/messages", {"model": "to-openai", "max_tokens": 5,
                                                    "messages": [{"role": "user", "content": "hi"}]},
                           [("authorization", f"Bearer {self.server.key}")])
            answer = client.answer()
        self.assertEqual(answer.status, 200, answer.body)

    def test_a_large_request_holds_up_nobody(self):
        """32 MB are parsed and rendered apart: the thread that serves everybody else works for no longer at
        a time than with a request of 512 KB, and small ones, converted too, are answered meanwhile."""
        world = World()
        self.world(test_convert.says(), config={"shards": 1, "limits": {"json_depth": 64}}, env=world.env)
        most = 0.06 if is_sanitized() else 0.03 if is_slow() else 0.005
        for number, (client, vendor) in enumerate(few_pairs()):
            size = 32 * MIB if number == 0 else 6 * MIB
            body = json.dumps(long_talk(client, f"to-{vendor.name}", size)).encode()
            self.assertGreater(len(body), size - MIB)
            for _ in range(4):  # the kernel may take time of its own in the thread's name
                world.busiest_ns, world.watch = 0, b"shard-0"
                quick, answers = 0, []
                large = threading.Thread(target=lambda: answers.append(self.server.post(
                    client.path(f"to-{vendor.name}", False), body, timeout=60)))
                large.start()
                while large.is_alive():
                    self.quick()
                    quick += 1
                    time.sleep(0.01)
                large.join()
                busiest = world.busiest_ns / 1e9
                if busiest < most:
                    break
            self.assertEqual(answers[0].status, 200, answers[0].body[:300])
            self.assertEqual(client.understand(answers[0].json()).text, "".join(test_convert.PIECES))
            seen = vendor.seen(max(self.vendors[vendor.name].requests, key=lambda one: len(one.body)))
            self.assertEqual(seen.results[-1][1], WORD * 60)
            self.assertLess(busiest, most, f"{client.name} to {vendor.name}")
            self.assertGreater(quick, 2)

    def test_a_request_in_many_parts(self):
        """20,000 short parts in one message, and as many messages."""
        self.world(test_convert.says())
        small = [{"role": "user" if at % 2 == 0 else "assistant", "content": f"text {at}"} for at in range(20_001)]
        parts = [{"role": "user", "content": [{"type": "text", "text": f"text {at}"} for at in range(20_000)]}]
        for messages in (small, parts):
            for model in ("to-anthropic", "to-gemini", "to-responses"):
                answer = self.server.post("/v1/chat/completions", {"model": model, "messages": messages},
                                          timeout=60)
                self.assertEqual(answer.status, 200, answer.body[:300])

    def test_what_is_wrong_with_a_large_request(self):
        """It is told as of a small one, and no vendor is asked."""
        self.world(test_convert.says())
        messages = [{"role": "user", "content": WORD * 20} for _ in range(1000)]
        messages.insert(700, {"role": "usher", "content": "x"})
        for model in ("to-anthropic", "to-gemini"):
            answer = self.server.post("/v1/chat/completions", {"model": model, "messages": messages})
            self.assertEqual(answer.status, 400, answer.body)
            self.assertIn("messages[700].role", answer.json()["error"]["message"])
        self.seen_nothing()

    def test_a_client_leaves_while_its_request_is_carried_over(self):
        """Whatever it was at, nothing is left of it and the others are served."""
        self.world(test_convert.says(), config={"shards": 1})
        body = json.dumps(long_talk(next(iter(pairs()))[0], "to-anthropic", 16 * MIB)).encode()
        for wait in (0, 0.002, 0.01, 0.03, 0.08):
            client = Client(self.server.data)
            client.request("POST", "/v1/chat/completions", body,
                           [("authorization", f"Bearer {self.server.key}")])
            time.sleep(wait)
            client.reset()
            self.quick()
        self.eventually(lambda: "penstock_requests_in_flight{" not in self.busy(), "all are gone", 20)

    def busy(self):
        """The counts of what is in flight, without those that are 0."""
        text = self.server.ask_admin("/metrics").body.decode()
        return "\n".join(line for line in text.splitlines()
                         if line.startswith("penstock_requests_in_flight{") and not line.endswith(" 0"))

    def test_the_count_of_a_large_request(self):
        """Estimated, since nobody counts for this client's format."""
        self.world(test_convert.says(), accounts=())
        small = {"model": "to-openai", "messages": [{"role": "user", "content": WORD * 1000}]}
        large = {"model": "to-openai", "messages": [{"role": "user", "content": WORD * 1000}] * 50}
        counts = []
        for body in (small, large):
            answer = self.server.post("/v1/messages/count_tokens", body)
            self.assertEqual((answer.status, answer.get("x-penstock-estimated")), (200, "true"), answer.body)
            counts.append(answer.json()["input_tokens"])
        self.assertEqual(counts[1], 50 * counts[0])


@both_backends
class Pace(test_convert.ConvertTest):
    def slowly(self, client, model, stream, pause_s=0.002):
        """All that comes, read by a client with little room that takes its time."""
        one = Client(self.server.data, recv_buffer=65536)
        one.request("POST", client.path(model, stream), client.request("hi", stream=stream, model=model),
                    [("authorization", f"Bearer {self.server.key}")])
        answer = one.head()
        data = bytearray()
        for at, piece in enumerate(one.pieces(answer)):
            data += piece
            if at % 64 == 0:
                time.sleep(pause_s)
        one.close()
        return answer, bytes(data)

    def test_a_long_end_at_a_slow_clients_pace(self):
        """2 MB of text in a stream of Responses, whose end says them three times more: all of it comes, and
        at no time the gateway holds more than the text and a little (C-146)."""
        text = "0123456789abcdef" * 256
        count = 512

        def respond(dialect, peer, request, said):
            events = dialect.events([text])
            one = next(at for at, event in enumerate(events) if text.encode() in event)
            peer.sse_head()
            for event in events[:one]:
                peer.chunk(event)
            for _ in range(count):
                peer.chunk(events[one])
            for event in events[one + 1:]:
                peer.chunk(event)
            peer.last_chunk()

        self.world(respond, config={"shards": 1})
        responses = next(client for client, _ in pairs() if client.name == "responses")
        self.ask(responses, "to-openai", stream=True)  # warm
        before = proc(self.server, "VmHWM")
        answer, data = self.slowly(responses, "to-openai", True)
        self.assertEqual(answer.status, 200)
        events = [json.loads(line[6:]) for line in data.decode().splitlines() if line.startswith("data: ")]
        numbers = [event["sequence_number"] for event in events]
        self.assertEqual(numbers, list(range(len(numbers))))
        self.assertEqual([event["type"] for event in events[-4:]],
                         ["response.output_text.done", "response.content_part.done",
                          "response.output_item.done", "response.completed"])
        said = events[-1]["response"]["output"][0]["content"][0]["text"]
        self.assertEqual(said, text * count)
        self.assertEqual(events[-4]["text"], said)
        if not is_sanitized():
            self.assertLess(proc(self.server, "VmHWM") - before, (2 + 2) * MIB)

    def test_a_long_whole_answer_at_a_slow_clients_pace(self):
        text = "0123456789abcdef" * (MIB // 8)
        self.world(lambda dialect, peer, request, said: peer.answer(dialect.whole(text, model=said.model)),
                   config={"shards": 1})
        for client, vendor in few_pairs():
            answer, data = self.slowly(client, f"to-{vendor.name}", False)
            self.assertEqual((answer.status, len(data)), (200, int(answer.get("content-length"))))
            self.assertEqual(client.understand(json.loads(data)).text, text)

    def test_what_is_wrong_with_a_long_whole_answer(self):
        """It is looked at as it comes: another account is asked, as if it were short."""
        text = "0123456789abcdef" * (MIB // 16)
        bad = [lambda body: body[:-1000], lambda body: body[:500_000] + b"\x00" + body[500_000:],
               lambda body: body + b"}", lambda body: b"[" * 300_000]
        turn = [0]

        def respond(dialect, peer, request, said):
            body = json.dumps(dialect.whole(text, model=said.model)).encode()
            if dialect.name == "anthropic":
                body = bad[turn[0] % len(bad)](body)
                turn[0] += 1
            peer.answer(body)

        self.world(respond)
        for _ in bad:
            answer = self.server.post("/v1/chat/completions", {
                "model": "to-anthropic", "messages": [{"role": "user", "content": "hi"}]})
            self.assertEqual((answer.status, answer.complete), (502, True), answer.body[:300])
        self.assertEqual(turn[0], len(bad))

    def test_who_stops_in_a_long_end_sees_it_cut(self):
        """A gateway that has to end is never mistaken for an answer that has."""
        text = "0123456789abcdef" * (MIB // 8)

        def respond(dialect, peer, request, said):
            peer.answer_sse(dialect.events([text]))

        self.world(respond, config={"shards": 1, "timeouts": {"drain": "1s"}})
        responses = next(client for client, _ in pairs() if client.name == "responses")
        one = Client(self.server.data, recv_buffer=4096)
        one.request("POST", responses.path("to-openai", True),
                    responses.request("hi", stream=True, model="to-openai"),
                    [("authorization", f"Bearer {self.server.key}")])
        self.assertEqual(one.head().status, 200)
        time.sleep(0.5)  # the end waits for credit
        self.server.signal(signal.SIGTERM)
        time.sleep(2)
        data = bytearray()
        one.sock.settimeout(10)
        try:
            while piece := one.sock.recv(65536):
                data += piece
        except (ConnectionError, socket.timeout):
            pass
        self.assertNotIn(b"0\r\n\r\n", data[-7:])
        self.assertNotIn(b"response.completed\",\"response", data[-4096:])
