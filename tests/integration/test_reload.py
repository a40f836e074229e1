"""Another configuration while running, and the end by command."""

import json
import signal
import subprocess
import threading
import time

from harness import binary, both_backends, merged, new_key
from raw import serving
from test_admin import AdminTest, chat, control, metric, set_up

CHAT = "/v1/chat/completions"


def finish(peer):
    peer.chunk(b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n')
    peer.chunk(b"data: [DONE]\n\n")
    peer.last_chunk()


class ReloadTest(AdminTest):
    def named(self, text):
        """A vendor whose answers tell who answered."""
        answer = {"id": "a", "object": "chat.completion", "model": text, "choices": []}
        return self.vendor(serving(lambda peer, _: peer.answer(answer)))

    def rewrite(self, gateway, **more):
        gateway.config = merged(gateway.config, more)
        gateway.write_config()

    def served_by(self, gateway, key=None, model="m"):
        answer = gateway.post(CHAT, chat(model), key=key)
        return answer.json()["model"] if answer.status == 200 else answer.status


@both_backends
class Reload(ReloadTest):
    def test_objects_are_exchanged(self):
        one, two = self.named("one"), self.named("two")
        gateway = self.gateway(accounts=[self.vendor_account(one)])
        self.assertEqual(self.served_by(gateway), "one")
        fresh = new_key()
        self.rewrite(gateway, resources={
            "accounts": [self.vendor_account(two)], "keys": [{"name": "fresh", "key": fresh}],
            "models": [{"name": "alias", "target": "m"}]})
        done = gateway.cli("reload")
        self.assertIn("accounts: 0 added, 1 changed, 0 removed", done.stdout)
        self.assertIn("keys: 1 added, 0 changed, 1 removed", done.stdout)
        self.assertIn("models: 1 added, 0 changed, 0 removed", done.stdout)
        self.assertEqual(self.served_by(gateway, key=fresh), "two")
        self.assertEqual(self.served_by(gateway, key=fresh, model="alias"), "alias")
        self.assertEqual(self.served_by(gateway), 401)

    def test_settings_take_effect(self):
        gateway = self.gateway(accounts=[self.vendor_account(self.named("one"))],
                               config={"limits": {"body": "1MiB"}})
        kept = gateway.client()  # the limits of a connection that is there change too
        kept.request("POST", CHAT, chat(), [("authorization", f"Bearer {gateway.key}")])
        self.assertEqual(kept.answer().status, 200)
        self.assertIn('"msg":"request"', self.logged(gateway))
        self.rewrite(gateway, limits={"body": "1KiB", "json_depth": 16}, io={"entries": 2048},
                     log={"access": False, "level": "warn"}, listen={"admin": "127.0.0.1:1"})
        done = gateway.cli("config", "reload", "-o", "json")
        reply = json.loads(done.stdout)
        self.assertEqual(sorted(reply["applied"]),
                         ["limits.body", "limits.json_depth", "log.access", "log.level"])
        self.assertEqual(sorted(reply["restart"]), ["io.entries", "listen.admin"])
        large = merged(chat(), {"x": "x" * 2000})
        for client in (kept, gateway.client()):
            client.request("POST", CHAT, large, [("authorization", f"Bearer {gateway.key}")])
            self.assertEqual(client.answer().status, 413)
        deep = b'{"model":"m","x":' + b"[" * 16 + b"]" * 16 + b"}"
        self.assertEqual(gateway.post(CHAT, deep).status, 400)
        before = gateway.log().count('"msg":"request"')
        self.assertEqual(self.served_by(gateway), "one")
        time.sleep(0.3)
        self.assertEqual(gateway.log().count('"msg":"request"'), before, "access lines are off")
        # What needs a restart is named again, as long as the file says so.
        self.assertEqual(json.loads(gateway.cli("reload", "-o", "json").stdout)["applied"], [])

    def logged(self, gateway):
        self.eventually(lambda: '"msg":"request"' in gateway.log(), "an access line")
        return gateway.log()

    def test_a_repeated_head_is_read_again(self):
        """A head that a connection repeats is known by comparison; what was concluded from it under
        other settings is not."""
        page = "https://page.test"
        gateway = self.gateway(accounts=[self.vendor_account(self.named("one"))])
        client = gateway.client()

        def allowed():
            found = set()
            for _ in range(4):  # from the second on it may be known
                client.request("POST", CHAT, chat(), [("authorization", f"Bearer {gateway.key}"),
                                                      ("origin", page)])
                answer = client.answer()
                self.assertEqual(answer.status, 200)
                found.add(answer.get("access-control-allow-origin"))
            return found
        self.assertEqual(allowed(), {None})
        for origins, expected in (([page], {page}), (["https://other.test"], {None}), (["*"], {page})):
            self.rewrite(gateway, cors={"origins": origins})
            self.assertEqual(json.loads(gateway.cli("reload", "-o", "json").stdout)["applied"],
                             ["cors.origins"])
            self.assertEqual(allowed(), expected)

    def test_a_mistake_changes_nothing(self):
        gateway = self.gateway(accounts=[self.vendor_account(self.named("one"))])
        with open(gateway.config_path, encoding="utf-8") as file:
            good = file.read()
        with open(gateway.config_path, "w", encoding="utf-8") as file:
            file.write(good.replace("limits:", "limitz:") + "limits: {bodi: 1KiB}\n")
        line = good.count("\n") + 1
        done = gateway.cli("reload", check=False)
        self.assertEqual(done.returncode, 3)
        self.assertIn(f"penstock.yaml:{line}:10: error[", done.stderr)
        self.assertIn("did you mean `body`", done.stderr)
        # The gateway itself finds the same, by signal and by the API.
        gateway.signal(signal.SIGHUP)
        self.eventually(lambda: "was not reloaded" in gateway.log(), "the log says so")
        self.assertIn(f"penstock.yaml:{line}:10: error[", gateway.log())
        status, problem = control(gateway, "POST", "/api/v1/reload")
        self.assertEqual(status, 422)
        self.assertIn(f"penstock.yaml:{line}:10: error[", problem["report"])
        self.assertEqual(self.served_by(gateway), "one")
        text = gateway.ask_admin("/metrics").body.decode()
        self.assertEqual(metric(text, "penstock_config_reload_success"), 0)
        gateway.write_config()
        gateway.cli("reload")
        text = gateway.ask_admin("/metrics").body.decode()
        self.assertEqual(metric(text, "penstock_config_reload_success"), 1)
        self.assertGreater(metric(text, "penstock_config_reload_timestamp_seconds"),
                           time.time() - 60)

    def test_an_object_that_cannot_be_served_changes_nothing(self):
        gateway = self.gateway(accounts=[self.vendor_account(self.named("one"))])
        account = self.vendor_account(self.named("two"), api_key_file="/nowhere/key")
        del account["api_key"]
        self.rewrite(gateway, resources={"accounts": [account]}, limits={"body": "1KiB"})
        done = gateway.cli("reload", check=False)
        self.assertEqual(done.returncode, 3)
        self.assertIn("/nowhere/key", done.stderr)
        self.assertEqual(self.served_by(gateway), "one")
        self.assertEqual(gateway.post(CHAT, merged(chat(), {"x": "x" * 2000})).status, 200)

    def test_no_stream_is_cut(self):
        def slow(peer, _):
            peer.sse_head()
            for _ in range(30):
                peer.chunk(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n')
                time.sleep(0.05)
            finish(peer)

        vendor = self.vendor(serving(slow))
        gateway = self.gateway(accounts=[self.vendor_account(vendor)])
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(
            gateway.post(CHAT, merged(chat(), {"stream": True})))) for _ in range(8)]
        for thread in threads:
            thread.start()
        self.eventually(lambda: len(vendor.requests) == 8, "all streams have begun")
        for number in range(20):
            self.rewrite(gateway, limits={"body": f"{number + 2}MiB"}, resources={
                "accounts": [self.vendor_account(self.named("other"), name=f"a{number}")]})
            self.assertEqual(control(gateway, "POST", "/api/v1/reload")[0], 200)
        for thread in threads:
            thread.join()
        self.assertEqual([answer.body.count(b"data: ") for answer in answers], [32] * 8)
        self.assertNotIn(b"error", answers[0].body)
        self.assertEqual(self.served_by(gateway), "other")

    def test_an_object_of_the_store_comes_out_from_behind_the_files(self):
        one, two = self.named("one"), self.named("two")
        gateway = self.gateway(accounts=[])
        gateway.cli("account", "add", "--name", "main", "--type", "openai-compatible",
                    "--base-url", two.url + "/v1", "--models", "m", "--api-key-stdin", stdin="k")
        self.assertEqual(self.served_by(gateway), "two")
        self.rewrite(gateway, resources={"accounts": [self.vendor_account(one)]})
        gateway.cli("reload")
        self.assertEqual(self.served_by(gateway), "one")
        self.assertEqual(len(control(gateway, "GET", "/api/v1/accounts")[1]["items"]), 1)
        self.rewrite(gateway, resources={"accounts": []})
        gateway.cli("reload")
        self.assertEqual(self.served_by(gateway), "two")
        gateway.cli("account", "rm", "main")
        self.assertEqual(self.served_by(gateway), 404)

    def test_ranges_of_accounts_from_the_api(self):
        """upstream.allow_cidr holds for accounts that are there already."""
        vendor = self.named("one")
        allow = {"allow_cidr": ["127.0.0.0/8"]}
        gateway = self.gateway(accounts=[], config={"upstream": allow})
        status, made = set_up(gateway).call("POST", "/api/v1/accounts", {
            "name": "main", "type": "openai-compatible", "base_url": vendor.url + "/v1",
            "models": ["m"], "api_key": "k"})
        self.assertEqual(status, 201, made)
        self.assertEqual(self.served_by(gateway), "one")
        self.rewrite(gateway, upstream={"allow_cidr": []})
        gateway.cli("reload")
        # A connection that is open already serves on; a new one is not made.
        vendor.close()
        self.assertEqual(self.served_by(gateway), 502)
        again = self.vendor(vendor.scripts, port=vendor.addr[1])
        self.assertEqual(self.served_by(gateway), 502)
        self.rewrite(gateway, upstream=allow)
        gateway.cli("reload")
        self.assertEqual(self.served_by(gateway), "one")
        self.assertEqual(again.connections, 1)

    def test_hosts_come_and_go(self):
        """More hosts than there are places for, in one process, one lot after another."""
        gateway = self.gateway(accounts=[self.vendor_account(self.named("one"))])
        lot = 700
        for number in range(7):
            accounts = [{"name": f"a{number}-{i}", "type": "openai", "auth": "none",
                         "base_url": f"http://127.{number + 1}.{i // 250}.{i % 250 + 1}:9",
                         "models": ["x"]} for i in range(lot)]
            self.rewrite(gateway, resources={
                "accounts": accounts + [self.vendor_account(self.named(str(number)))]})
            status, reply = control(gateway, "POST", "/api/v1/reload")
            self.assertEqual(status, 200, reply)
            self.assertEqual(self.served_by(gateway), str(number))
            time.sleep(0.1)  # for what is let go

    def test_a_storm_of_reloads_and_changes(self):
        gateway = self.gateway(accounts=[self.vendor_account(self.named("one"))])
        wrong = []

        def reload():
            for _ in range(10):
                status, reply = control(gateway, "POST", "/api/v1/reload")
                if status != 200:
                    wrong.append(reply)

        def change(name):
            for number in range(10):
                status, reply = control(gateway, "POST", "/api/v1/keys", {"name": f"{name}{number}"})
                if status != 201:
                    wrong.append(reply)

        threads = [threading.Thread(target=reload) for _ in range(3)]
        threads += [threading.Thread(target=change, args=(name,)) for name in ("x", "y")]
        for thread in threads:
            thread.start()
        for _ in range(50):
            self.assertEqual(self.served_by(gateway), "one")
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])
        self.assertEqual(len(control(gateway, "GET", "/api/v1/keys")[1]["items"]), 21)


@both_backends
class Drain(ReloadTest):
    def test_the_verb_waits_for_requests(self):
        go_on = threading.Event()

        def slow(peer, _):
            peer.sse_head()
            peer.chunk(b'data: {"choices":[{"delta":{"content":"x"}}]}\n\n')
            go_on.wait(20)
            finish(peer)

        gateway = self.gateway(accounts=[self.vendor_account(self.vendor(serving(slow)))])
        client = gateway.client(timeout=30)
        client.request("POST", CHAT, merged(chat(), {"stream": True}),
                       [("authorization", f"Bearer {gateway.key}")])
        head = client.head()
        self.assertEqual(head.status, 200)
        verb = subprocess.Popen([binary(), "drain", "--wait", "-c", gateway.config_path], text=True,
                                stderr=subprocess.PIPE)
        self.addCleanup(verb.kill)
        self.assertIn("1 request left", verb.stderr.readline())
        self.assertEqual(gateway.ask_admin("/readyz").status, 503)
        self.assertIsNone(verb.poll(), "it does not wait")
        go_on.set()
        self.assertIn(b"[DONE]", b"".join(client.pieces(head)))
        client.close()
        self.assertEqual(verb.wait(30), 0)
        verb.stderr.close()
        self.assertEqual(gateway.process.wait(30), 0)
        self.assertEqual(gateway.cli("drain", check=False).returncode, 7)
