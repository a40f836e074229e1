"""Checks that the fault matrix leaves out: most of these tests are there because no other failed
with the check's guard switched off (tools/guards)."""

import json
import threading
import time

from faults import FAIL, OPENAI, FaultTest, begin_stream, begun, failing, sse
from harness import both_backends, models_of, new_key
from raw import Cut
from test_admin import control, metric

CHAT = OPENAI.path
ERROR = sse({"error": {"message": "boom", "type": "server_error"}})


@both_backends
class Guards(FaultTest):
    def test_a_cut_answer_without_a_length_ends_by_a_reset(self):
        """To a client of HTTP/1.0 the end of the connection is the end of the answer."""

        def cut(peer, _):
            peer.send("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                      "transfer-encoding: chunked\r\n\r\n")
            peer.chunk(OPENAI.whole[:40])

        gateway, _ = self.pair(cut)
        body = json.dumps(OPENAI.request(FAIL, False)[1])
        client = gateway.client()
        client.method = "POST"
        client.send(f"POST {CHAT} HTTP/1.0\r\nauthorization: Bearer {gateway.key}\r\n"
                    f"content-length: {len(body)}\r\n\r\n{body}")
        try:
            answer = client.answer()
        except (Cut, ConnectionError):
            return  # the reset overtook the head
        self.assertFalse(answer.complete and answer.status == 200, answer.body)

    def test_requests_wait_while_their_answers_are_not_read(self):
        gateway = self.gateway()
        count = 30_000
        wire = b"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer no\r\n\r\n" * count
        client = gateway.client(recv_buffer=4096)
        client.sock.setblocking(False)
        sent, moved_at, answered = 0, time.monotonic(), 0
        while time.monotonic() < moved_at + 1:  # until neither side moves any more
            try:
                sent += client.sock.send(wire[sent:sent + 65536]) if sent < len(wire) else 0
            except BlockingIOError:
                pass
            text = gateway.ask_admin("/metrics").body.decode()
            now = metric(text, "penstock_requests_total", status_class="4xx")
            if now != answered:
                answered, moved_at = now, time.monotonic()
            time.sleep(0.005)
        self.assertLess(answered, count, "all of them were answered into a queue")
        held = gateway.ask_admin("/healthz?verbose=1").json()["memory"]["held_bytes"]
        self.assertLess(held, 4 << 20)
        client.sock.settimeout(20)
        rest = threading.Thread(target=client.sock.sendall, args=(wire[sent:],))
        rest.start()
        for _ in range(count):  # and none is lost
            self.assertEqual(client.answer().status, 401)
        rest.join()

    def test_an_upload_that_goes_on_after_its_refusal_is_cut(self):
        gateway = self.gateway()
        client = gateway.client(timeout=5)
        client.send(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {new_key()}\r\n"
                    "content-length: 999999999999\r\n\r\n")
        self.assertEqual(client.answer().status, 401)
        sent, piece, end = 0, bytes(1 << 20), time.monotonic() + 1.5
        with self.assertRaises(ConnectionError, msg="it is read on and on"):
            while time.monotonic() < end:
                sent += client.sock.send(piece)
        self.assertLess(sent, 64 << 20)

    def test_nothing_behind_a_switch_of_protocols_is_an_answer(self):
        def switch(peer, _):
            peer.send("HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n")
            peer.answer(OPENAI.whole)
            return True

        gateway, _ = self.pair(switch)
        self.assert_refused(OPENAI, gateway.ask(OPENAI, FAIL, stream=False))

    def test_a_key_that_is_revoked_while_the_body_comes(self):
        gateway, vendor = self.pair()
        status, key = control(gateway, "POST", "/api/v1/keys", {"name": "short-lived"})
        self.assertEqual(status, 201, key)
        body = json.dumps(OPENAI.request("x", False)[1])
        client = gateway.client()
        client.method = "POST"
        client.send(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key['key']}\r\n"
                    f"expect: 100-continue\r\ncontent-length: {len(body)}\r\n\r\n")
        self.assertIn(b" 100 ", client.stream.until(b"\r\n\r\n"))  # the key was good
        status, answer = control(gateway, "PATCH", "/api/v1/keys/" + key["id"], {"enabled": False})
        self.assertEqual(status, 200, answer)
        client.send(body)
        self.assert_refused(OPENAI, client.answer(), (401,))
        self.assertEqual(vendor.requests, [])

    def test_no_second_attempt_after_the_first_byte(self):
        def late(peer, form):
            begin_stream(peer, form)
            peer.chunk(ERROR)
            peer.last_chunk()

        def early(peer, _):
            peer.sse_head()
            peer.chunk(ERROR)
            peer.last_chunk()

        account = {"type": "openai-compatible", "api_key": "vendor-secret-a", "models": models_of("openai")}
        vendor = self.vendor(failing)
        vendor.fault = late
        gateway = self.gateway(accounts=[
            {**account, "name": name, "base_url": vendor.url + "/v1"} for name in ("one", "two")])
        self.assert_cut(OPENAI, gateway.ask(OPENAI, FAIL), b"".join(begun(OPENAI)), told=True)
        self.assertEqual(len(vendor.requests), 1)
        vendor.fault = early
        self.assert_refused(OPENAI, gateway.ask(OPENAI, FAIL))
        self.assertEqual(len(vendor.requests), 3, "there was another account to ask")
