"""Trouble of the process itself: rows P5, P6, P10 and P13 of the fault matrix."""

import json
import os
import resource
import signal
import threading
import time

from faults import FAIL, FORMATS, OPENAI, FaultTest, begin_stream, begun, stop_within
from harness import both_backends
from raw import Client, Cut
from test_admin import metric


def quiet(call):
    """The call's result, or None where the far end went away."""
    try:
        return call()
    except (OSError, Cut):
        return None


@both_backends
class Resources(FaultTest):
    def test_P5_descriptors_run_out(self):
        gateway, _ = self.pair()
        self.assert_good(gateway)
        pid = gateway.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        used = len(os.listdir(f"/proc/{pid}/fd"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 6, before[1]))
        clients = []
        for _ in range(60):
            client = quiet(lambda: Client(gateway.data, timeout=2))
            if client:
                self.addCleanup(client.close)
                clients.append(client)
        time.sleep(0.5)
        spent = gateway.cpu_s()
        time.sleep(1.5)
        self.assertLess((gateway.cpu_s() - spent) / 1.5, 0.7, "it spins")
        self.assertTrue(gateway.running())
        # One that was taken before is served, though its vendor cannot be reached now.
        clients[0].request("GET", "/v1/models", None, [("authorization", f"Bearer {gateway.key}")])
        self.assertEqual(clients[0].answer().status, 200)
        for client in clients:
            client.close()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
        self.eventually(lambda: quiet(lambda: gateway.ask(OPENAI).status) == 200, "served again", 5)

    def test_P5_no_descriptor_for_the_vendor(self):
        vendor = self.vendor(lambda peer: None)
        gateway = self.gateway(openai=vendor, anthropic=vendor, gemini=vendor)
        pid = gateway.process.pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        clients = [gateway.client() for _ in range(8)]
        time.sleep(0.3)
        used = max(int(name) for name in os.listdir(f"/proc/{pid}/fd")) + 1
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, before[1]))
        for form, client in zip(FORMATS * 2, clients):
            path, body = form.request("x", False)
            client.request("POST", path, body, [("authorization", f"Bearer {gateway.key}")])
            with self.within(5, "the refusal"):
                self.assert_refused(form, client.answer(), (500, 502, 503))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)

    def test_P6_the_memory_limit(self):
        gateway, _ = self.pair(config={"limits": {"memory": "16MiB", "body": "4MiB"}})
        held = []
        for _ in range(12):  # bodies that are announced and begun, and do not go on
            client = gateway.client()
            client.method = "POST"
            client.send(f"POST {OPENAI.path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}"
                        "\r\ncontent-length: 3000000\r\n\r\n" + "x" * 10_000)
            held.append(client)
        time.sleep(0.5)
        for form in FORMATS:
            with self.within(2, "the refusal"):
                answer = gateway.ask(form)
            self.assert_refused(form, answer, (503, 529))
            self.assertTrue(answer.get("retry-after"), form)
        text = gateway.ask_admin("/metrics").body.decode()
        refused = metric(text, "penstock_ratelimit_rejections_total", scope="process", limit="memory")
        self.assertGreaterEqual(refused, len(FORMATS))
        self.assertEqual(refused, metric(text, "penstock_request_errors_total", reason="overloaded"))
        for client in held:
            client.reset()
        self.eventually(lambda: gateway.ask(OPENAI).status == 200, "memory is back", 3)
        self.assert_good(gateway, FORMATS)


@both_backends
class Ending(FaultTest):
    def test_P10_sigterm_lets_streams_finish(self):
        go = threading.Event()

        def wait(peer, form):
            begin_stream(peer, form)
            go.wait(10)
            for event in form.events[len(begun(form)):]:
                peer.chunk(event)
            peer.last_chunk()
            return True

        gateway, _ = self.pair(wait, timeouts={"drain": "20s"})
        idle = gateway.begin(OPENAI)
        self.assertTrue(idle.answer().complete)
        streams = [(form, gateway.begin(form, FAIL)) for form in FORMATS]
        heads = [client.head() for _, client in streams]
        gateway.signal(signal.SIGTERM)
        self.assertEqual(idle.ended(3), "fin", "an idle connection is kept")
        self.eventually(lambda: quiet(lambda: Client(gateway.data, timeout=1)) is None,
                        "nothing is accepted")
        go.set()
        for (form, client), head in zip(streams, heads):
            self.assertEqual(b"".join(client.pieces(head)), form.sse, form)
        took, status = stop_within(gateway, 10)
        self.assertEqual(status, 0)
        self.assertLess(took, 4)

    def test_P10_the_drain_deadline_is_told_in_each_format(self):
        def hang(peer, form):
            begin_stream(peer, form)
            peer.hang(15)

        gateway, _ = self.pair(hang, timeouts={"drain": "1s"})
        streams = [(form, gateway.begin(form, FAIL)) for form in FORMATS]
        heads = [client.head() for _, client in streams]
        began = time.monotonic()
        gateway.signal(signal.SIGTERM)
        for (form, client), head in zip(streams, heads):
            for piece in client.pieces(head):
                head.body += piece
            head.complete = True
            self.assert_cut(form, head, b"".join(begun(form)), told=True)
        self.assertGreater(time.monotonic() - began, 0.8)
        _, status = stop_within(gateway, 10)
        self.assertEqual(status, 0)
        self.assertLess(time.monotonic() - began, 8)

    def test_P10_a_second_signal_of_another_kind_ends_it(self):
        """A second SIGTERM changes nothing; SIGQUIT does not wait."""
        def hang(peer, form):
            begin_stream(peer, form)
            peer.hang(15)

        gateway, _ = self.pair(hang, timeouts={"drain": "60s"})
        client = gateway.begin(OPENAI, FAIL)
        client.head()
        gateway.signal(signal.SIGTERM)
        time.sleep(0.5)
        gateway.signal(signal.SIGTERM)
        time.sleep(0.3)
        self.assertTrue(gateway.running())
        gateway.signal(signal.SIGQUIT)
        _, status = stop_within(gateway, 10)
        self.assertEqual(status, 0)

    def test_P10_a_request_on_its_way_gets_its_answer(self):
        gateway, _ = self.pair(timeouts={"drain": "20s"})
        client = gateway.client()
        client.method = "POST"
        path, body = OPENAI.request("x", False)
        body = json.dumps(body)
        wire = (f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}\r\n"
                f"content-length: {len(body)}\r\n\r\n{body}")
        client.send(wire[:40])
        time.sleep(0.2)
        gateway.signal(signal.SIGTERM)
        time.sleep(0.3)
        client.send(wire[40:])
        answer = client.answer()
        self.assertEqual((answer.status, answer.body), (200, OPENAI.whole))
        self.assertEqual(answer.get("connection"), "close")
        self.assertEqual(stop_within(gateway, 10)[1], 0)


@both_backends
class Pauses(FaultTest):
    def test_P13_a_pause_ends_no_stream(self):
        """Deadlines shorter than the pause: what came meanwhile is looked at before they count."""
        def tick(peer, form):
            begin_stream(peer, form)
            for _ in range(30):
                time.sleep(0.15)
                peer.chunk(form.events[1])
            for event in form.events[len(begun(form)):]:
                peer.chunk(event)
            peer.last_chunk()
            return True

        gateway, _ = self.pair(tick, timeouts={"stream_idle": "1s", "header": "1s", "idle": "1s",
                                               "first_byte_stream": "1s"})
        clients = [(form, gateway.begin(form, FAIL)) for form in FORMATS]
        heads = [client.head() for _, client in clients]
        time.sleep(0.5)
        gateway.signal(signal.SIGSTOP)
        time.sleep(3)
        gateway.signal(signal.SIGCONT)
        with self.within(2, "the first answers after the pause"):
            self.assert_good(gateway, FORMATS)
        for (form, client), head in zip(clients, heads):
            body = b"".join(client.pieces(head))
            self.assertTrue(body.endswith(form.events[-1]), (form, body[-300:]))
            self.assertEqual(body.count(form.events[1]), 30 + begun(form).count(form.events[1]), form)

    def test_P13_requests_that_waited_in_the_pause_are_served(self):
        gateway, _ = self.pair(timeouts={"header": "2s", "body_stall": "2s", "first_byte_whole": "2s"})
        self.assert_good(gateway)
        begun_before = gateway.client()
        begun_before.method = "POST"
        begun_before.send("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n")
        time.sleep(0.2)
        gateway.signal(signal.SIGSTOP)
        waiting = [gateway.begin(form, stream=False) for form in FORMATS]
        body = b'{"model":"m","messages":[]}'
        begun_before.send(b"authorization: Bearer %s\r\ncontent-length: %d\r\n\r\n%s"
                          % (gateway.key.encode(), len(body), body))
        time.sleep(3)
        gateway.signal(signal.SIGCONT)
        with self.within(2, "the answers"):
            for form, client in zip(FORMATS, waiting):
                self.assertEqual(client.answer().body, form.whole)
            self.assertEqual(begun_before.answer().body, OPENAI.whole)
