"""Settings that change what the gateway does: each is set to something that shows."""

import time

from harness import GatewayTest, both_backends, merged
from raw import serving

CHAT = "/v1/chat/completions"
REQUEST = {"model": "m", "messages": []}
ANSWER = {"id": "a", "object": "chat.completion", "model": "m", "choices": []}


def answering(peer, _):
    peer.answer(ANSWER)


@both_backends
class Deadlines(GatewayTest):
    """timeouts.total, the gateway's and an account's, in every phase of a request."""

    def account(self, base, **timeouts):
        return merged(self.gateway_account(base), {"timeouts": timeouts} if timeouts else {})

    @staticmethod
    def gateway_account(base):
        return {"name": "a", "type": "openai-compatible", "base_url": base, "auth": "none",
                "models": ["m"]}

    def dripping(self):
        def drip(peer, _):
            peer.sse_head()
            for _ in range(100):
                peer.chunk(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n')
                time.sleep(0.05)

        return self.vendor(serving(drip))

    def test_while_a_body_is_collected(self):
        gateway = self.gateway(openai=self.vendor(serving(answering)),
                               config={"timeouts": {"total": "400ms"}})
        client = gateway.client()
        client.method = "POST"
        client.send(f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}\r\n"
                    "content-length: 5000\r\n\r\n{")
        with self.within(2, "the refusal"):
            self.assertEqual(client.answer().status, 408)

    def test_while_a_vendor_is_dialled(self):
        silent = self.vendor(lambda peer: time.sleep(3))  # takes the connection and says nothing
        base = "https://127.0.0.1:%d/v1" % silent.addr[1]
        gateway = self.gateway(accounts=[self.account(base)], config={"timeouts": {"total": "400ms"}})
        with self.within(2, "the refusal"):
            self.assertEqual(gateway.post(CHAT, REQUEST).status, 504)

    def test_while_an_answer_comes(self):
        gateway = self.gateway(openai=self.dripping(), config={"timeouts": {"total": "500ms"}})
        with self.within(2, "the end"):
            answer = gateway.post(CHAT, merged(REQUEST, {"stream": True}))
        self.assertIn(b'"error"', answer.body)
        self.assertNotIn(b"[DONE]", answer.body)

    def test_an_accounts_own_wins(self):
        vendor = self.dripping()
        short = self.gateway(accounts=[self.account(vendor.url + "/v1", total="500ms")])
        with self.within(2, "the end"):
            answer = short.post(CHAT, merged(REQUEST, {"stream": True}))
        self.assertIn(b'"error"', answer.body)
        quick = self.vendor(lambda peer: (peer.request(), time.sleep(0.6), peer.answer(ANSWER)))
        long = self.gateway(accounts=[self.account(quick.url + "/v1", total="10s")],
                            config={"timeouts": {"total": "300ms"}})
        self.assertEqual(long.post(CHAT, REQUEST).status, 200)


@both_backends
class Limits(GatewayTest):
    def test_json_depth(self):
        vendor = self.vendor(serving(answering))
        gateway = self.gateway(openai=vendor, config={"limits": {"json_depth": 20}})

        def nested(depth):
            return b'{"model":"m","x":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"

        self.assertEqual(gateway.post(CHAT, nested(20)).status, 200)
        refused = gateway.post(CHAT, nested(21))
        self.assertEqual(refused.status, 400)
        self.assertIn("nested too deeply", refused.json()["error"]["message"])
        self.assertEqual(len(vendor.requests), 1)
