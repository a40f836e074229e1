"""Settings that change what the gateway does: each is set to something that shows."""

import os
import tempfile
import time

from harness import Gateway, GatewayTest, both_backends, merged
from raw import free_port, serving

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

    def alone(self, gateway):
        """The status of a request on a connection of its own; None where it is hung up on."""
        client = gateway.client()
        try:
            return self.ask(gateway, client).status
        except (OSError, AssertionError):
            return None
        finally:
            client.close()

    def ask(self, gateway, client):
        client.request("GET", "/v1/models", None, [("authorization", f"Bearer {gateway.key}")])
        return client.answer()

    def test_connections_of_one_address(self):
        gateway = self.gateway(openai=self.vendor(serving(answering)),
                               config={"limits": {"per_address": 5}, "shards": 2})
        good = [gateway.client() for _ in range(5)]
        for client in good:
            self.assertEqual(self.ask(gateway, client).status, 200)
        # One more is told, in the form of the API that it asks, and hung up on.
        over = gateway.client()
        over.request("POST", "/v1/messages", {"model": "m"}, [("x-api-key", gateway.key)])
        refused = over.answer()
        self.assertEqual(refused.status, 429)
        self.assertEqual(refused.json()["error"]["type"], "rate_limit_error")
        self.assertTrue(refused.get("retry-after"))
        self.assertTrue(over.ended(5))
        # A crowd that asks nothing is not kept.
        crowd = []
        for _ in range(30):
            try:
                crowd.append(gateway.client())
            except OSError:
                pass
        self.eventually(lambda: all(client.ended(0.01) for client in crowd), "hung up", 10)
        for client in good:
            self.assertEqual(self.ask(gateway, client).status, 200)
        for client in crowd + good[:3]:
            client.close()
        self.eventually(lambda: self.alone(gateway) == 200, "a place again")

    def test_connections_wait_for_a_place(self):
        """Above limits.connections nobody is reset: who comes waits until another leaves."""
        gateway = self.gateway(openai=self.vendor(serving(answering)),
                               config={"limits": {"connections": 4}, "shards": 1})
        clients = [gateway.client(timeout=30) for _ in range(150)]
        for client in clients:
            client.request("GET", "/v1/models", None, [("authorization", f"Bearer {gateway.key}"),
                                                       ("connection", "close")])
        with self.within(20, "all answers"):
            for client in clients:
                self.assertEqual(client.answer().status, 200)
                client.close()


@both_backends
class Credentials(GatewayTest):
    """Where an account's key may stand, and that `account test` tries it."""

    def key_seen(self, vendor):
        return vendor.requests[-1].get("authorization")

    def test_in_a_file_or_a_variable(self):
        vendor = self.vendor(serving(answering))
        keys = tempfile.TemporaryDirectory(prefix="penstock-test-")
        self.addCleanup(keys.cleanup)
        path = os.path.join(keys.name, "key")

        def write(text):
            with open(path, "w", encoding="ascii") as file:
                file.write(text)

        write("key-in-a-file\n")
        base = {"type": "openai", "base_url": vendor.url + "/v1"}
        gateway = self.gateway(env={"VENDOR_KEY": "key-in-a-variable"}, accounts=[
            {**base, "name": "a", "models": ["file"], "api_key_file": path},
            {**base, "name": "b", "models": ["variable"], "api_key_env": "VENDOR_KEY"}])
        for model in ("file", "variable"):
            self.assertEqual(gateway.post(CHAT, {"model": model, "messages": []}).status, 200)
            self.assertEqual(self.key_seen(vendor), "Bearer key-in-a-" + model)
        self.assertNotIn("key-in-a-", gateway.log())
        shown = gateway.cli("account", "list", "-o", "json").stdout
        self.assertNotIn("key-in-a-", shown)
        # A reload reads the file again.
        write("another-key")
        gateway.cli("reload")
        self.assertEqual(gateway.post(CHAT, {"model": "file", "messages": []}).status, 200)
        self.assertEqual(self.key_seen(vendor), "Bearer another-key")
        write("\n")
        done = gateway.cli("reload", check=False)
        self.assertEqual(done.returncode, 3)
        self.assertIn("it is empty", done.stderr)
        self.assertEqual(gateway.post(CHAT, {"model": "file", "messages": []}).status, 200)
        self.assertEqual(self.key_seen(vendor), "Bearer another-key")

    def test_one_that_is_missing_prevents_a_start(self):
        gateway = Gateway(self.backend, accounts=[
            {"name": "a", "type": "openai", "api_key_env": "NOT_THERE_AT_ALL"}])
        self.addCleanup(gateway.close)
        gateway.start(wait=False)
        self.assertEqual(gateway.process.wait(20), 3)
        gateway.process = None
        self.assertIn("NOT_THERE_AT_ALL", gateway.log())

    def test_account_test_tries_it_at_the_mock_vendor(self):
        mock = "127.0.0.1:%d" % free_port()
        accounts = [{"name": kind, "type": kind, "base_url": "http://" + mock, "models": [kind],
                     "api_key": "good"} for kind in ("openai", "anthropic", "gemini")]
        accounts += [{**account, "name": account["name"] + "-bad", "api_key": "to-be-refused"}
                     for account in accounts]
        gateway = self.gateway(accounts=accounts, config={"mock": {"enabled": True, "address": mock}})
        for account in accounts:
            done = gateway.cli("account", "test", account["name"], check=False)
            good = account["api_key"] == "good"
            self.assertEqual(done.returncode == 0, good, done.stdout + done.stderr)
            self.assertIn("took the credential" if good else "refuses the credential",
                          done.stdout + done.stderr)
