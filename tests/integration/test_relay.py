"""What a client and a vendor see of a gateway between them when nothing is wrong, or little."""

import json
import signal
import threading
import time

from harness import GatewayTest, both_backends
from raw import Client, serving

CHAT = "/v1/chat/completions"
# Odd on purpose: spacing, order, escapes and an unknown field must arrive as they left.
REQUEST = b'{ "messages":[{"role":"user","content":"\\u00e9 \\/ \xc3\xa9"}],\n"x_unknown": 1e2,"model":"m" }'
ANSWER = (b'{"id":"a","object":"chat.completion" ,"choices":[{"index":0,"message":{"role":"assistant",'
          b'"content":"\\u0041"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,'
          b'"completion_tokens":2,"total_tokens":3},"model":"m","x":[1.0,-0]}')
STREAMED = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}


def chunk(delta, finish=None):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


EVENTS = [chunk({"role": "assistant", "content": "zero"}), chunk({"content": "one"}),
          chunk({"content": "two"}), chunk({}, "stop"), b"data: [DONE]\n\n"]


def refuses(addr):
    try:
        Client(addr, timeout=5).close()
    except ConnectionRefusedError:
        return True
    return False


def whole(peer, _):
    peer.answer(ANSWER)


@both_backends
class Pass(GatewayTest):
    def test_bytes_pass_untouched_both_ways(self):
        vendor = self.vendor(serving(whole))
        answer = self.gateway(openai=vendor).post(CHAT, REQUEST)
        self.assertEqual((answer.status, answer.complete), (200, True))
        self.assertEqual(answer.body, ANSWER)
        self.assertEqual(vendor.requests[0].body, REQUEST)
        self.assertEqual(vendor.requests[0].target, CHAT)

    def test_credentials_are_exchanged(self):
        vendor = self.vendor(serving(whole))
        gateway = self.gateway(openai=vendor)
        gateway.post(CHAT, REQUEST, headers=[("x-forwarded-for", "10.1.2.3"), ("cookie", "a=b"),
                                             ("connection", "x-hop"), ("x-hop", "1")])
        request = vendor.requests[0]
        self.assertEqual(request.get("authorization"), "Bearer vendor-secret-openai")
        self.assertNotIn(gateway.key, repr(request.fields))
        for name in ("cookie", "x-hop", "x-forwarded-for"):
            self.assertIsNone(request.get(name), name)
        self.assertEqual(request.get("host"), "127.0.0.1:%d" % vendor.addr[1])

    def test_every_answer_has_an_id_of_its_own(self):
        gateway = self.gateway(openai=self.vendor(serving(whole)))
        ids = {gateway.post(CHAT, REQUEST).get("x-request-id") for _ in range(3)}
        self.assertEqual(len(ids - {None, ""}), 3)

    def test_events_arrive_as_they_are_sent(self):
        vendor = self.vendor(serving(lambda peer, _: peer.answer_sse(EVENTS, gap_s=0.2)))
        gateway = self.gateway(openai=vendor)

        def times():
            answer = gateway.post(CHAT, STREAMED)
            self.assertTrue(answer.complete)
            self.assertEqual(answer.body, b"".join(EVENTS))
            self.assertGreaterEqual(len(answer.pieces), len(EVENTS))
            return answer.pieces[0][0], answer.pieces[-1][0]

        tries = [times()]
        while not (tries[-1][0] < 0.15 and tries[-1][1] - tries[-1][0] > 0.6) and len(tries) < 4:
            tries.append(times())  # a busy machine holds one or the other
        first, last = tries[-1]
        self.assertLess(first, 0.15, "the first event was held")
        self.assertGreater(last - first, 0.6, "the events came in one go")

    def test_an_event_in_pieces_arrives_whole(self):
        body = b"".join(b"%x\r\n%s\r\n" % (len(event), event) for event in EVENTS) + b"0\r\n\r\n"

        def drip(peer, _):
            peer.sse_head()
            peer.drip(body, piece=37, gap_s=0.002)

        answer = self.gateway(openai=self.vendor(serving(drip))).post(CHAT, STREAMED)
        self.assertTrue(answer.complete)
        self.assertEqual(answer.body, b"".join(EVENTS))

    def test_a_connection_serves_many_requests(self):
        vendor = self.vendor(serving(whole))
        gateway = self.gateway(openai=vendor)
        client = gateway.client()
        for _ in range(20):
            client.request("POST", CHAT, REQUEST, [("authorization", f"Bearer {gateway.key}")])
            self.assertEqual(client.answer().body, ANSWER)
        self.assertEqual((vendor.connections, len(vendor.requests)), (1, 20))

    def test_pipelined_requests_are_answered_in_order(self):
        vendor = self.vendor(serving(lambda peer, request: peer.answer({"n": request.json()["n"]})))
        gateway = self.gateway(openai=vendor)
        client, wire = gateway.client(), b""
        for number in range(5):
            body = json.dumps({"model": "m", "messages": [], "n": number}).encode()
            wire += (f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}\r\n"
                     f"content-length: {len(body)}\r\n\r\n").encode() + body
        client.method = "POST"
        client.send(wire)
        self.assertEqual([client.answer().json()["n"] for _ in range(5)], list(range(5)))

    def test_a_large_body_passes(self):
        vendor = self.vendor(serving(whole))
        body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "x" * 3_000_000}]})
        self.assertEqual(self.gateway(openai=vendor).post(CHAT, body.encode()).status, 200)
        self.assertEqual(vendor.requests[0].body, body.encode())


@both_backends
class Refusals(GatewayTest):
    def refuse(self, path, headers, status, body=b'{"model":"m"}', method="POST"):
        vendor = self.vendor(serving(whole))
        gateway = self.gateway(openai=vendor, anthropic=vendor, gemini=vendor)
        client = gateway.client()
        client.request(method, path, body, [
            (name, value.replace("KEY", gateway.key)) for name, value in headers])
        answer = client.answer()
        self.assertEqual((answer.status, answer.complete), (status, True))
        self.assertEqual(vendor.requests, [], "a refused request reached the vendor")
        self.assertTrue(answer.get("x-request-id"))
        return answer

    def test_no_key_and_a_wrong_key_in_each_format(self):
        gemini = "/v1beta/models/m:generateContent"
        for headers in ([], [("authorization", "Bearer sk-pst-" + "0" * 49)]):
            openai = self.refuse(CHAT, headers, 401).json()
            self.assertEqual(openai["error"]["code"], "invalid_api_key")
            anthropic = self.refuse("/v1/messages", headers, 401).json()
            self.assertEqual((anthropic["type"], anthropic["error"]["type"]),
                             ("error", "authentication_error"))
            google = self.refuse(gemini, headers, 401).json()
            self.assertEqual((google["error"]["code"], google["error"]["status"]),
                             (401, "UNAUTHENTICATED"))

    def test_an_unknown_model(self):
        answer = self.refuse(CHAT, [("authorization", "Bearer KEY")], 404, b'{"model":"other"}')
        self.assertEqual(answer.json()["error"]["code"], "model_not_found")

    def test_an_unknown_path_and_a_wrong_method(self):
        self.refuse("/v1/nothing", [("authorization", "Bearer KEY")], 404)
        answer = self.refuse(CHAT, [("authorization", "Bearer KEY")], 405, None, "GET")
        self.assertIn("POST", answer.get("allow"))

    def test_a_body_that_is_no_json(self):
        for body in (b"", b"{", b'{"model":}', b"[]", b'{"model":"m","model":"m"}'):
            self.refuse(CHAT, [("authorization", "Bearer KEY")], 400, body)


@both_backends
class Endings(GatewayTest):
    def test_a_cut_stream_is_not_an_end(self):
        """U5: what was received is delivered, then an error or a visible cut."""

        def cut(peer):
            peer.request()
            peer.sse_head()
            for event in EVENTS[:3]:
                peer.chunk(event)
            time.sleep(0.2)
            peer.reset()

        answer = self.gateway(openai=self.vendor(cut)).post(CHAT, STREAMED)
        self.assertTrue(answer.body.startswith(b"".join(EVENTS[:3])))
        self.assertNotIn(b"[DONE]", answer.body)
        told = any("error" in json.loads(data) for data in answer.events())
        self.assertTrue(told or not answer.complete, "a cut stream ended like a whole one")

    def test_a_stream_without_its_terminal_event_is_an_error(self):
        vendor = self.vendor(serving(lambda peer, _: peer.answer_sse(EVENTS[:3])))
        answer = self.gateway(openai=vendor).post(CHAT, STREAMED)
        self.assertTrue(any("error" in json.loads(data) for data in answer.events()))
        self.assertNotIn(b"[DONE]", answer.body)

    def test_an_error_before_any_content_is_an_error_status(self):
        """Nothing was said yet, so nothing has to be taken back: no 200 with an error inside."""

        def fail(peer, _):
            peer.sse_head()
            peer.chunk(chunk({"role": "assistant", "content": ""}))
            peer.chunk(b'data: {"error":{"message":"busy","type":"server_error","code":503}}\n\n')
            peer.last_chunk()

        answer = self.gateway(openai=self.vendor(serving(fail))).post(CHAT, STREAMED)
        self.assertGreaterEqual(answer.status, 500)
        self.assertNotIn(b"data:", answer.body)
        self.assertTrue(answer.json()["error"]["message"])

    def test_a_vendor_that_refuses(self):
        """U1: an answer at once."""
        vendor = self.vendor(serving(whole))
        gateway = self.gateway(openai=vendor)
        vendor.close()
        with self.within(5, "the refusal"):
            answer = gateway.post(CHAT, REQUEST)
        self.assertIn(answer.status, (502, 503))
        self.assertTrue(answer.json()["error"]["message"])

    def test_a_vendor_that_does_not_like_our_key(self):
        """U17: not the client's fault, so not a 401; and nothing of the vendor's key in the text."""
        text = {"error": {"message": "bad key vendor-secret-openai", "type": "invalid_request_error"}}
        vendor = self.vendor(serving(lambda peer, _: peer.answer(text, "401 Unauthorized")))
        answer = self.gateway(openai=vendor).post(CHAT, REQUEST)
        self.assertEqual(answer.status, 502)
        self.assertNotIn(b"vendor-secret-openai", answer.body)

    def test_a_client_that_leaves_takes_the_vendor_along(self):
        """C3, and the 100 ms of the design with room for a busy machine."""
        left, seen = threading.Event(), []

        def script(peer):
            peer.request()
            peer.sse_head()
            peer.chunk(EVENTS[0])
            left.wait(10)
            began = time.monotonic()
            seen.append((peer.hang(5), time.monotonic() - began))

        vendor = self.vendor(script)
        gateway = self.gateway(openai=vendor)
        client = gateway.client()
        client.request("POST", CHAT, STREAMED, [("authorization", f"Bearer {gateway.key}")])
        next(client.pieces(client.head()))
        client.reset()
        left.set()
        self.eventually(lambda: seen, "the vendor sees the end")
        how, took = seen[0]
        self.assertIsNotNone(how)
        self.assertLess(took, 0.5)

    def test_a_running_stream_survives_sigterm(self):
        """P10: readyz fails at once, nobody new gets in, the stream runs to its end, and the exit is
        clean."""
        go = threading.Event()

        def script(peer):
            peer.request()
            peer.sse_head()
            peer.chunk(EVENTS[0])
            go.wait(10)
            for event in EVENTS[1:]:
                peer.chunk(event)
            peer.last_chunk()

        gateway = self.gateway(openai=self.vendor(script))
        client = gateway.client()
        client.request("POST", CHAT, STREAMED, [("authorization", f"Bearer {gateway.key}")])
        answer = client.head()
        pieces = client.pieces(answer)
        body = next(pieces)
        gateway.signal(signal.SIGTERM)
        self.eventually(lambda: gateway.ask_admin("/readyz").status == 503, "readyz says 503")
        self.eventually(lambda: refuses(gateway.data), "new connections are refused")
        go.set()
        body += b"".join(pieces)
        self.assertEqual(body, b"".join(EVENTS))
        self.assertEqual(gateway.process.wait(30), 0)
