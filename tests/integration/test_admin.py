"""The control plane: admin API, command line, store, logs, life cycle, on the real binary."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import threading
import time

from harness import (Gateway, GatewayTest, ROOT, STOP_S, binary, both_backends, merged,
                     to_yaml)
from raw import Client, serving

CHAT = "/v1/chat/completions"
ANSWER = {"id": "a", "object": "chat.completion", "model": "m", "choices": [{
    "index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}}
CANARY = "canary-vendor-secret-5f1d9c"


def chat(model="m"):
    return {"model": model, "messages": [{"role": "user", "content": "x"}]}


class Api:
    """Calls of the admin API over TCP, with a token."""

    def __init__(self, gateway, token=None):
        self.gateway, self.token = gateway, token

    def call(self, method, path, body=None, headers=(), raw=False):
        headers = list(headers) + [("connection", "close")]
        if self.token:
            headers.append(("authorization", f"Bearer {self.token}"))
        with Client(self.gateway.admin, timeout=20) as client:
            client.request(method, path, body, headers)
            answer = client.answer()
        return answer if raw else (answer.status, json.loads(answer.body) if answer.body else None)

    def get(self, path):
        return self.call("GET", path)


def set_up(gateway):
    """The API with the token that the setup token was turned into."""
    with open(os.path.join(gateway.home, "state", "setup-token"), encoding="ascii") as file:
        setup = file.read().strip()
    status, made = Api(gateway).call("POST", "/api/v1/setup", {"token": setup})
    assert status == 201, made
    return Api(gateway, made["token"])


def control(gateway, method, path, body=None):
    """A call over the Unix socket: (status, JSON)."""
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(os.path.join(gateway.home, "run", "control.sock"))
    data = json.dumps(body).encode() if body is not None else b""
    sock.sendall(f"{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: "
                 f"application/json\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data)
    raw = b""
    while piece := sock.recv(65536):
        raw += piece
    sock.close()
    head, _, rest = raw.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(rest) if rest else None


def metric(text, name, **labels):
    """The sum of the samples of `name` that carry these labels."""
    total = 0
    for line in text.splitlines():
        found = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        if found and found[1] == name:
            have = dict(re.findall(r'(\w+)="([^"]*)"', found[2] or ""))
            if all(have.get(key) == value for key, value in labels.items()):
                total += float(found[3])
    return total


class AdminTest(GatewayTest):
    def vendor_account(self, vendor, name="main", **more):
        return merged({"name": name, "type": "openai-compatible", "base_url": vendor.url + "/v1",
                       "api_key": CANARY, "models": ["m"]}, more)

    def answering(self):
        return self.vendor(serving(lambda peer, _: peer.answer(ANSWER)))

    def usage(self, gateway, query=""):
        status, json_ = control(gateway, "GET", "/api/v1/usage" + query)
        self.assertEqual(status, 200, json_)
        return json_["items"]


@both_backends
class Setup(AdminTest):
    def test_the_setup_token_works_once(self):
        gateway = self.gateway()
        path = os.path.join(gateway.home, "state", "setup-token")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        with open(path, encoding="ascii") as file:
            token = file.read().strip()
        self.assertNotIn(token, gateway.log())
        nobody = Api(gateway)
        self.assertEqual(nobody.call("POST", "/api/v1/setup", {"token": token[:-1] + "x"})[0], 401)
        status, made = nobody.call("POST", "/api/v1/setup", {"token": token, "name": "first"})
        self.assertEqual((status, made["name"]), (201, "first"))
        self.assertFalse(os.path.exists(path))
        self.assertEqual(nobody.call("POST", "/api/v1/setup", {"token": token})[0], 409)
        self.assertEqual(Api(gateway, made["token"]).get("/api/v1/keys")[0], 200)

    def test_an_admin_token_outlives_a_restart_and_a_revoked_one_does_not_work(self):
        gateway = self.gateway()
        api = set_up(gateway)
        status, second = api.call("POST", "/api/v1/tokens", {"name": "second"})
        self.assertEqual(status, 201)
        gateway.stop()
        gateway.start()
        self.assertFalse(os.path.exists(os.path.join(gateway.home, "state", "setup-token")))
        other = Api(gateway, second["token"])
        self.assertEqual({item["name"] for item in other.get("/api/v1/tokens")[1]["items"]},
                         {"setup", "second"})
        self.assertEqual(api.call("DELETE", "/api/v1/tokens/" + second["id"])[0], 204)
        self.assertEqual(other.get("/api/v1/tokens")[0], 401)

    def test_without_a_token_nothing_is_told_or_done(self):
        gateway = self.gateway()
        operations = control(gateway, "GET", "/api/v1")[1]["operations"]
        self.assertGreater(len(operations), 20)
        closed = [one for one in operations if one["path"].startswith("/api/")
                  and one["path"] != "/api/v1/setup"]
        for token in (None, "adm-pst-" + "0" * 64, gateway.key):
            for one in closed + [{"method": "GET", "path": "/api/v1/nothing"}]:
                status, _ = Api(gateway, token).call(one["method"], one["path"].replace("{id}", "x"),
                                                     {} if one["method"] != "GET" else None)
                self.assertEqual(status, 401, (one, token))
        for path in ("/healthz", "/readyz", "/metrics"):
            self.assertEqual(gateway.ask_admin(path).status, 200, path)

    def test_the_operations_are_those_of_the_document(self):
        gateway = self.gateway()
        have = {(one["method"], one["path"])
                for one in control(gateway, "GET", "/api/v1")[1]["operations"]}
        with open(os.path.join(ROOT, "docs", "openapi.yaml"), encoding="utf-8") as file:
            text = file.read()
        want, path = set(), None
        for line in text[text.index("\npaths:"):text.index("\ncomponents:")].splitlines():
            if found := re.fullmatch(r"  (/\S*):", line):
                path = found[1]
            elif found := re.fullmatch(r"    (get|post|put|patch|delete):", line):
                want.add((found[1].upper(), path))
        self.assertEqual(have, want)


@both_backends
class Objects(AdminTest):
    def test_an_account_and_a_key_made_by_the_api_serve_at_once(self):
        vendor = self.answering()
        gateway = self.gateway(config={"upstream": {"allow_cidr": ["127.0.0.0/8"]}})
        api = set_up(gateway)
        status, account = api.call("POST", "/api/v1/accounts", self.vendor_account(vendor))
        self.assertEqual(status, 201, account)
        self.assertEqual(account["api_key"], "********")
        for number in range(20):  # P137: whatever shard the next connection meets
            status, key = api.call("POST", "/api/v1/keys", {"name": f"k{number}"})
            self.assertEqual(status, 201, key)
            self.assertEqual(gateway.post(CHAT, chat(), key=key["key"]).status, 200, number)
            self.assertEqual(api.get("/api/v1/keys/" + key["id"])[1]["name"], f"k{number}")
            self.assertEqual(api.call("PATCH", "/api/v1/keys/" + key["id"],
                                      {"enabled": False})[0], 200)
            self.assertEqual(gateway.post(CHAT, chat(), key=key["key"]).status, 401, number)
            self.assertEqual(api.call("DELETE", "/api/v1/keys/" + key["id"])[0], 204)
            self.assertEqual(gateway.post(CHAT, chat(), key=key["key"]).status, 401, number)
        self.assertEqual(vendor.requests[0].get("authorization"), "Bearer " + CANARY)

    def test_a_key_is_shown_once(self):
        gateway = self.gateway()
        api = set_up(gateway)
        made = api.call("POST", "/api/v1/keys", {"name": "k"})[1]
        self.assertRegex(made["key"], r"^sk-pst-[0-9A-Za-z]{49}$")
        for path in ("/api/v1/keys", "/api/v1/keys/" + made["id"], "/api/v1/keys?name=k"):
            answer = api.call("GET", path, raw=True)
            self.assertNotIn(made["key"].encode(), answer.body)
            self.assertIn(made["key"][:11].encode(), answer.body)

    def test_P136_unknown_fields_are_refused_by_name(self):
        gateway = self.gateway()
        api = set_up(gateway)
        made = api.call("POST", "/api/v1/keys", {"name": "k"})[1]
        for method, path, body, field in (
            ("POST", "/api/v1/keys", {"name": "x", "colour": "red"}, "colour"),
            ("POST", "/api/v1/keys", {"name": "x", "shown_head": "sk-pst-AbCd"}, "shown_head"),
            ("POST", "/api/v1/keys", {"name": "x", "digest": "0" * 64}, "digest"),
            ("POST", "/api/v1/keys", {"name": 7}, "name"),
            ("POST", "/api/v1/keys", {}, "name"),
            ("PATCH", "/api/v1/keys/" + made["id"], {"id": "other"}, "id"),
            ("PATCH", "/api/v1/keys/" + made["id"], {"created_at": "2020-01-01"}, "created_at"),
            ("POST", "/api/v1/accounts", {"name": "a", "type": "openai", "api_key": "x",
                                          "allow_private": True}, "allow_private"),
            ("POST", "/api/v1/accounts", {"name": "a", "type": "openai", "api_key": "x",
                                          "api_key_file": "/etc/passwd"}, "api_key_file"),
            ("POST", "/api/v1/accounts", {"name": "a", "type": "other", "api_key": "x"}, "type"),
            ("POST", "/api/v1/tokens", {"name": "t", "scope": "all"}, "scope"),
            ("POST", "/api/v1/models", {"name": "x", "accounts": ["nobody"]}, "accounts[0]"),
        ):
            answer = api.call(method, path, body, raw=True)
            self.assertEqual(answer.status, 400, (body, answer.body))
            self.assertEqual(answer.get("content-type"), "application/problem+json")
            problem = answer.json()
            named = [error["path"] for error in problem.get("errors", [])]
            self.assertTrue(field in named or f"`{field}`" in problem["detail"], problem)
        self.assertEqual(api.get("/api/v1/keys/" + made["id"])[1], {
            key: value for key, value in made.items() if key != "key"})
        self.assertEqual([key["name"] for key in api.get("/api/v1/keys")[1]["items"]
                          if key["source"] == "store"], ["k"])
        for path in ("/api/v1/keys?colour=red", "/api/v1/keys?limit=0", "/api/v1/usage?by=shoe",
                     "/api/v1/usage?from=yesterday", "/api/v1/usage?tz=Mars", "/readyz?x=1"):
            self.assertEqual(api.get(path)[0], 400, path)

    def test_bodies_that_are_none(self):
        gateway = self.gateway()
        api = set_up(gateway)
        for body in (b"", b"[]", b"{", b'{"name":"a","name":"b"}', b"null", b"[" * 5000,
                     b'{"name":' + b"[" * 40 + b"]" * 40 + b"}"):
            self.assertEqual(api.call("POST", "/api/v1/keys", body)[0], 400, body[:40])
        self.assertEqual(api.call("POST", "/api/v1/keys", b"x" * (1 << 20 | 1))[0], 413)
        with Client(gateway.admin) as client:
            client.send(f"POST /api/v1/keys HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {api.token}"
                        "\r\ncontent-type: text/plain\r\ncontent-length: 12\r\n\r\n{\"name\":\"k\"}")
            self.assertEqual(client.answer().status, 415)
        answer = api.call("PUT", "/api/v1/keys", {}, raw=True)
        self.assertEqual(answer.status, 405)
        answer = api.call("DELETE", "/api/v1/keys", raw=True)
        self.assertEqual((answer.status, answer.get("allow")), (405, "GET, HEAD, POST"))

    def test_versions_guard_against_lost_changes(self):
        gateway = self.gateway()
        api = set_up(gateway)
        answer = api.call("POST", "/api/v1/keys", {"name": "k"}, raw=True)
        path, first = "/api/v1/keys/" + answer.json()["id"], answer.get("etag")
        answer = api.call("PATCH", path, {"description": "1"}, [("if-match", first)], raw=True)
        self.assertEqual(answer.status, 200)
        self.assertNotEqual(answer.get("etag"), first)
        self.assertEqual(api.call("PATCH", path, {"description": "2"}, [("if-match", first)])[0], 409)
        self.assertEqual(api.call("DELETE", path, headers=[("if-match", first)])[0], 409)
        self.assertEqual(api.get(path)[1]["description"], "1")
        self.assertEqual(api.call("DELETE", path, headers=[("if-match", answer.get("etag"))])[0], 204)

    def test_many_writers_lose_nothing(self):
        gateway = self.gateway()
        api = set_up(gateway)
        path = "/api/v1/keys/" + api.call("POST", "/api/v1/keys", {"name": "k"})[1]["id"]
        outcomes = []

        def write(field, value):
            outcomes.append(api.call("PATCH", path, {field: value})[0])

        threads = [threading.Thread(target=write, args=pair) for pair in (
            ("description", "d"), ("models", ["a", "b*"]), ("formats", ["gemini"]),
            ("expires_at", "2040-01-01T00:00:00Z"), ("name", "new"))]
        names = [threading.Thread(target=lambda: outcomes.append(
            api.call("POST", "/api/v1/keys", {"name": "same"})[0])) for _ in range(8)]
        for thread in threads + names:
            thread.start()
        for thread in threads + names:
            thread.join()
        self.assertEqual(sorted(outcomes), [200] * 5 + [201] + [409] * 7)
        key = api.get(path)[1]
        self.assertEqual((key["description"], key["models"], key["formats"], key["name"]),
                         ("d", ["a", "b*"], ["gemini"], "new"))

    def test_what_the_file_declares_changes_there_only(self):
        gateway = self.gateway(openai=self.answering())
        api = set_up(gateway)
        for plural in ("accounts", "keys"):
            one = api.get("/api/v1/" + plural)[1]["items"][0]
            self.assertEqual(one["source"], "file")
            path = f"/api/v1/{plural}/{one['id']}"
            self.assertEqual(api.call("PATCH", path, {"enabled": False})[0], 409)
            self.assertEqual(api.call("DELETE", path)[0], 409)
            self.assertEqual(api.call("POST", "/api/v1/" + plural, {
                "name": one["name"], **({"type": "openai", "api_key": "x"}
                                        if plural == "accounts" else {})})[0], 409)
        self.assertEqual(gateway.post(CHAT, chat()).status, 200)

    def test_pages_hold_everything_once(self):
        gateway = self.gateway()
        api = set_up(gateway)
        for number in range(25):
            self.assertEqual(api.call("POST", "/api/v1/keys", {"name": f"k{number}"})[0], 201)
        names, path = [], "/api/v1/keys?limit=7"
        for _ in range(10):
            page = api.get(path)[1]
            self.assertLessEqual(len(page["items"]), 7)
            names += [item["name"] for item in page["items"]]
            if page["next"] is None:
                break
            path = "/api/v1/keys?limit=7&cursor=" + page["next"]
        self.assertEqual(sorted(names), sorted(["test"] + [f"k{number}" for number in range(25)]))

    def test_private_addresses_need_to_be_allowed(self):
        gateway = self.gateway(config={"upstream": {"allow_cidr": ["10.1.0.0/16"]}})
        api = set_up(gateway)
        for host, remote, local in (
            ("127.0.0.1:9", 400, 201), ("localhost:9", 400, 201), ("[::1]:9", 400, 201),
            ("10.1.2.3", 201, 201), ("10.2.0.1", 400, 201), ("192.168.1.1", 400, 201),
            ("169.254.169.254", 400, 400), ("[fe80::1]", 400, 400),
            ("[::ffff:10.2.0.1]", 400, 201), ("[::ffff:169.254.169.254]", 400, 400),
            ("93.184.216.34", 201, 201),
        ):
            for name, call, want in (("r", api.call, remote), ("l", lambda *a: control(gateway, *a),
                                                               local)):
                body = {"name": name + host.translate({91: None, 93: None}), "api_key": "x",
                        "type": "openai-compatible", "base_url": f"http://{host}/v1"}
                status, answer = call("POST", "/api/v1/accounts", body)
                self.assertEqual(status, want, (name, host, answer))

    def test_an_account_in_use_is_not_removed(self):
        vendor = self.answering()
        gateway = self.gateway()
        made = control(gateway, "POST", "/api/v1/accounts", self.vendor_account(vendor))[1]
        model = control(gateway, "POST", "/api/v1/models", {
            "name": "alias", "target": "m", "accounts": ["main"]})
        self.assertEqual(model[0], 201, model)
        path = "/api/v1/accounts/" + made["id"]
        self.assertEqual(control(gateway, "DELETE", path)[0], 409)
        self.assertEqual(control(gateway, "PATCH", path, {"name": "other"})[0], 409)
        self.assertEqual(gateway.post(CHAT, chat("alias")).status, 200)
        self.assertEqual(control(gateway, "DELETE", "/api/v1/models/" + model[1]["id"])[0], 204)
        self.assertEqual(control(gateway, "DELETE", path)[0], 204)
        self.assertNotEqual(gateway.post(CHAT, chat()).status, 200)

    def test_an_account_is_tested_against_its_vendor(self):
        def listing(peer, request):
            good = request.get("authorization") == "Bearer " + CANARY
            peer.answer({"data": []} if good else {"error": {}}, status=200 if good else 401)

        vendor = self.vendor(serving(listing))
        gateway = self.gateway()
        outcomes = {}
        for name, more in (("good", {}), ("bad", {"api_key": "wrong"}),
                           ("dead", {"base_url": "http://127.0.0.1:9/v1"})):
            made = control(gateway, "POST", "/api/v1/accounts",
                           self.vendor_account(vendor, name=name, **more))[1]
            status, outcomes[name] = control(gateway, "POST",
                                             f"/api/v1/accounts/{made['id']}/test")
            self.assertEqual(status, 200)
        self.assertEqual(vendor.requests[0].target, "/v1/models")
        self.assertEqual({name: (one["ok"], one["stage"]) for name, one in outcomes.items()},
                         {"good": (True, "answer"), "bad": (False, "credential"),
                          "dead": (False, "connect")})


@both_backends
class Secrets(AdminTest):
    def test_P130_P135_no_secret_leaves(self):
        vendor = self.vendor(serving(lambda peer, _: peer.answer(
            {"error": {"message": f"bad key {CANARY}"}}, status=401)))
        gateway = self.gateway(config={"log": {"level": "debug"}})
        api = set_up(gateway)
        body = self.vendor_account(vendor, headers={"x-extra": CANARY + "-header"})
        made = control(gateway, "POST", "/api/v1/accounts", body)[1]
        key = control(gateway, "POST", "/api/v1/keys", {"name": "k"})[1]
        control(gateway, "POST", "/api/v1/accounts/" + made["id"] + "/test")
        secrets = [CANARY, key["key"], api.token]
        for credential in (key["key"], key["key"][:-1] + "!", CANARY):
            gateway.post(CHAT, chat(), key=credential)
        gateway.post("/v1beta/models/m:generateContent?key=" + key["key"], chat())
        answers = [api.call("GET", path, raw=True).body for path in (
            "/api/v1/accounts", "/api/v1/accounts/" + made["id"], "/api/v1/keys", "/api/v1/tokens",
            "/api/v1/status", "/api/v1/usage?by=key,account,model", "/api/v1/requests", "/metrics",
            "/healthz?verbose=1")]
        answers.append(api.call("POST", "/api/v1/accounts", b'{"name":"a", "api_key":"'
                                + CANARY.encode(), raw=True).body)
        answers.append(json.dumps(control(gateway, "PATCH", "/api/v1/accounts/" + made["id"],
                                          {"api_key": CANARY, "colour": CANARY})).encode())
        self.eventually(lambda: "req_id" in gateway.log(), "an access line")
        gateway.stop()
        everything = b"".join(answers) + gateway.log().encode()
        for folder in ("state", "run"):
            for path, _, files in os.walk(os.path.join(gateway.home, folder)):
                for file in files:
                    if stat.S_ISREG(os.lstat(os.path.join(path, file)).st_mode):
                        with open(os.path.join(path, file), "rb") as opened:
                            everything += opened.read()
        for secret in secrets:
            self.assertNotIn(secret.encode(), everything, secret[:8])

    def test_the_socket_is_its_owners(self):
        gateway = self.gateway()
        path = os.path.join(gateway.home, "run", "control.sock")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        self.assertEqual(stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode), 0o700)
        if os.getuid() != 0:
            self.skipTest("only root can become somebody else")
        os.chmod(gateway.home, 0o755)
        os.chmod(os.path.dirname(path), 0o755)
        os.chmod(path, 0o777)  # the mode is not the only guard
        script = ("import socket,os,sys; os.setgid(65534); os.setuid(65534); s=socket.socket("
                  "socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(b'GET /api/v1/keys HTTP/1.1"
                  "\\r\\nhost: x\\r\\nconnection: close\\r\\n\\r\\n'); print(s.recv(4096)[:12].decode())")
        done = subprocess.run(["python3", "-c", script, path], capture_output=True, text=True,
                              timeout=20)
        self.assertEqual(done.stdout.strip(), "HTTP/1.1 401", done.stderr)


@both_backends
class Durable(AdminTest):
    def requests(self, gateway, key, count):
        for _ in range(count):
            self.assertEqual(gateway.post(CHAT, chat(), key=key).status, 200)

    def expect_usage(self, gateway, count, query=""):
        def sums():
            items = self.usage(gateway, "?by=key,account,model,day" + query)
            return [(row["key"]["name"], row["account"]["name"], row["model"], row["requests"],
                     row["tokens"]["input"], row["tokens"]["output"]) for row in items]
        want = [("k", "main", "m", count, 11 * count, 7 * count)]
        self.eventually(lambda: sums() == want, f"{want}, not {sums()}")

    def prepare(self):
        vendor = self.answering()
        gateway = self.gateway()
        control(gateway, "POST", "/api/v1/accounts", self.vendor_account(vendor))
        return gateway, control(gateway, "POST", "/api/v1/keys", {"name": "k"})[1]["key"]

    def test_usage_is_what_was_sent_and_outlives_a_restart(self):
        gateway, key = self.prepare()
        self.requests(gateway, key, 12)
        self.expect_usage(gateway, 12)
        gateway.stop()
        gateway.start()
        self.expect_usage(gateway, 12)
        self.requests(gateway, key, 3)
        self.expect_usage(gateway, 15)
        status, page = control(gateway, "GET", "/api/v1/requests?limit=4")
        seen = list(page["items"])
        while page["next"]:
            status, page = control(gateway, "GET", "/api/v1/requests?limit=4&cursor=" + page["next"])
            seen += page["items"]
        self.assertEqual((status, len(seen)), (200, 15))
        self.assertEqual({(one["status"], one["key"]["name"], one["route"]) for one in seen},
                         {(200, "k", "chat")})

    def test_a_killed_process_has_lost_nothing_that_it_answered(self):
        gateway, key = self.prepare()
        for round_ in range(1, 4):
            made = control(gateway, "POST", "/api/v1/keys", {"name": f"last{round_}"})[1]
            self.requests(gateway, key, 5)
            gateway.kill()
            gateway.start()
            self.expect_usage(gateway, 5 * round_, "&key=k")
            self.assertEqual(gateway.post(CHAT, chat(), key=made["key"]).status, 200)
            self.assertEqual(control(gateway, "DELETE", "/api/v1/keys/" + made["id"])[0], 204)
            gateway.kill()
            gateway.start()
            self.assertEqual(gateway.post(CHAT, chat(), key=made["key"]).status, 401)
            # What a removed key has used is still told by its name.
            gone = {"id": made["id"], "name": f"last{round_}", "removed": True}
            self.eventually(lambda: [row["requests"] for row in self.usage(gateway, "?by=key")
                                     if row["key"] == gone] == [1], f"the usage of {gone}")
        health = gateway.ask_admin("/healthz?verbose=1").json()
        self.assertEqual(health["store"]["records_missing"], 0)


@both_backends
class CommandLine(AdminTest):
    def test_verbs_with_and_without_a_gateway(self):
        vendor = self.answering()
        gateway = Gateway(self.backend)
        self.addCleanup(gateway.close)
        gateway.write_config()
        key = gateway.cli("key", "create", "--name", "early").stdout.strip()
        self.assertRegex(key, r"^sk-pst-[0-9A-Za-z]{49}$")
        gateway.cli("account", "add", "--name", "main", "--type", "openai-compatible", "--base-url",
                    vendor.url + "/v1", "--models", "m,n*", "--api-key-stdin", stdin=CANARY + "\n")
        gateway.start()
        self.assertEqual(gateway.post(CHAT, chat(), key=key).status, 200)
        self.assertEqual(vendor.requests[0].get("authorization"), "Bearer " + CANARY)
        late = gateway.cli("key", "create", "--name", "late", "--models", "m").stdout.strip()
        self.assertEqual(gateway.post(CHAT, chat(), key=late).status, 200)
        for running in (True, False):
            if not running:
                gateway.stop()
            accounts = json.loads(gateway.cli("account", "list", "-o", "json").stdout)
            self.assertEqual([(one["name"], one["models"], one["api_key"]) for one in accounts],
                             [("main", ["m", "n*"], "********")])
            names = [line.split("\t")[1] for line in gateway.cli("key", "list").stdout.splitlines()]
            self.assertEqual(sorted(names), ["early", "late", "test"])
            self.assertIn("name: late", gateway.cli("key", "get", "late").stdout)
            def rows():
                out = gateway.cli("usage", "--by", "key", "--tz", "UTC").stdout
                return sorted(line.split("\t")[:2] for line in out.splitlines())
            self.eventually(lambda: rows() == [["early", "1"], ["late", "1"]], "the usage")
            self.assertEqual(gateway.cli("key", "get", "nobody", check=False).returncode, 4)
            self.assertEqual(gateway.cli("key", "create", "--name", "late", check=False).returncode, 6)
            self.assertEqual(gateway.cli("key", "create", "--name", "a/b", check=False).returncode, 3)
            self.assertEqual(gateway.cli("key", "revoke", "test", check=False).returncode, 6)
            self.assertEqual(gateway.cli("account", "add", "--name", "x", check=False).returncode, 3)
            self.assertEqual(gateway.cli("status", check=False).returncode, 0 if running else 7)
            self.assertEqual(gateway.cli("account", "test", "main", check=False).returncode,
                             0 if running else 7)
        gateway.cli("key", "revoke", "early")
        gateway.start()
        self.assertEqual(gateway.post(CHAT, chat(), key=key).status, 401)
        self.assertEqual(gateway.post(CHAT, chat(), key=late).status, 200)

    def test_secrets_are_not_taken_from_arguments(self):
        gateway = self.gateway()
        done = gateway.cli("account", "add", "--name", "a", "--type", "openai", "--api-key", "x",
                           check=False)
        self.assertEqual(done.returncode, 2)
        path = os.path.join(gateway.home, "secret")
        with open(path, "w", encoding="ascii") as file:
            file.write(CANARY)
        gateway.cli("account", "add", "--name", "a", "--type", "openai", "--api-key-file", path)

    def test_help_says_where_a_verb_works(self):
        text = subprocess.run([binary(), "key", "--help"], capture_output=True, text=True,
                              timeout=20).stdout
        self.assertIn("opens the store itself", text)
        text = subprocess.run([binary(), "status", "--help"], capture_output=True, text=True,
                              timeout=20).stdout
        self.assertIn("Needs a running gateway", text)
        self.assertEqual(subprocess.run([binary(), "frob"], capture_output=True,
                                        timeout=20).returncode, 2)


@both_backends
class Operating(AdminTest):
    def test_metrics_count_what_happened(self):
        gateway = self.gateway(openai=self.answering())
        for _ in range(7):
            self.assertEqual(gateway.post(CHAT, chat()).status, 200)
        self.assertEqual(gateway.post(CHAT, chat("nothing")).status, 404)
        self.assertEqual(gateway.post(CHAT, chat(), key="sk-pst-no").status, 401)
        text = gateway.ask_admin("/metrics").body.decode()
        self.assertEqual(metric(text, "penstock_requests_total", route="chat", status_class="2xx"), 7)
        self.assertEqual(metric(text, "penstock_requests_total", status_class="4xx"), 2)
        self.assertEqual(metric(text, "penstock_tokens_total", provider="openai", model="m",
                                type="input"), 77)
        self.assertEqual(metric(text, "penstock_requests_total", provider="openai",
                                stream="false"), 7)
        self.assertEqual(metric(text, "penstock_requests_total", provider="none"), 2)
        self.assertEqual(metric(text, "penstock_upstream_attempts_total", provider="openai",
                                outcome="ok", attempt="1"), 7)
        self.assertEqual(metric(text, "penstock_upstream_connect_duration_seconds_count",
                                provider="openai"), 7)
        self.assertEqual(metric(text, "penstock_account_state", account="test-openai",
                                state="available"), 1)
        self.assertEqual(metric(text, "penstock_account_state"), 1)
        self.assertEqual(metric(text, "penstock_account_requests_in_flight"), 0)
        self.assertGreater(metric(text, "penstock_io_syscalls_total"), 0)
        self.assertEqual(metric(text, "penstock_tokens_total", type="output"), 49)
        self.assertEqual(metric(text, "penstock_request_errors_total", reason="key_invalid"), 1)
        self.assertEqual(metric(text, "penstock_request_duration_seconds_count", route="chat"), 9)
        self.assertEqual(metric(text, "penstock_request_duration_seconds_bucket", route="chat",
                                le="+Inf"), 9)
        self.assertEqual(metric(text, "penstock_io_backend", backend=self.backend), 1)
        self.assertEqual(metric(text, "penstock_requests_in_flight"), 0)
        names = set()
        for line in text.splitlines():
            if line.startswith("# TYPE"):
                self.assertNotIn(line.split()[2], names, "a metric is told twice")
                names.add(line.split()[2])
            elif not line.startswith("#"):
                self.assertRegex(line, r'^[a-z_]+(\{([a-z_]+="[^"\\\n]*",?)+\})? [0-9.]+$')

    def test_one_access_line_a_request(self):
        gateway = self.gateway(openai=self.answering())
        ids = [gateway.post(CHAT, chat()).get("x-request-id") for _ in range(5)]
        ids.append(gateway.post(CHAT, chat("a\"b\u20ac")).get("x-request-id"))

        def lines():
            found = [json.loads(line) for line in gateway.log().splitlines() if "req_id" in line]
            return {line["req_id"]: line for line in found}
        self.eventually(lambda: set(lines()) == set(ids), "a line for each request")
        line = lines()[ids[0]]
        self.assertEqual((line["key"], line["account"], line["model_req"], line["status"],
                          line["route"], line["in_tok"], line["out_tok"], line["provider"]),
                         ("test", "test-openai", "m", 200, "chat", 11, 7, "openai"))
        self.assertEqual((line["client"], line.get("model_res"), line.get("err_stage")),
                         ("127.0.0.1", None, None))
        missed = lines()[ids[5]]
        self.assertEqual((missed["status"], missed["err_code"], missed["err_stage"]),
                         (404, "MODEL_UNKNOWN", "pick"))

    def test_an_access_line_names_the_vendors_model(self):
        gateway = self.gateway(openai=self.answering(),
                               models=[{"name": "alias", "target": "m"}])
        self.assertEqual(gateway.post(CHAT, chat("alias")).status, 200)
        self.eventually(lambda: "req_id" in gateway.log(), "the line")
        line = next(json.loads(line) for line in gateway.log().splitlines() if "req_id" in line)
        self.assertEqual((line["model_req"], line["model_res"]), ("alias", "m"))

    def test_no_access_lines_when_they_are_off(self):
        gateway = self.gateway(openai=self.answering(), config={"log": {"access": False}})
        gateway.post(CHAT, chat())
        self.eventually(lambda: self.usage(gateway) and self.usage(gateway)[0]["requests"] == 1,
                        "the usage")
        time.sleep(0.1)
        self.assertNotIn("req_id", gateway.log())

    def test_a_moved_log_is_opened_again(self):
        gateway = Gateway(self.backend, openai=self.answering())
        path = os.path.join(gateway.home, "access.log")
        gateway.config["log"] = {"file": path}
        self.addCleanup(gateway.close)
        gateway.start()

        def count(name):
            with open(name, encoding="utf-8") as file:
                return sum("req_id" in line for line in file)
        gateway.post(CHAT, chat())
        self.eventually(lambda: count(path) == 1, "a line")
        os.rename(path, path + ".1")
        gateway.signal(signal.SIGHUP)
        self.eventually(lambda: os.path.exists(path), "the log's name")
        gateway.post(CHAT, chat())
        self.eventually(lambda: count(path) == 1, "a line in the new file")
        self.assertEqual(count(path + ".1"), 1)

    def test_no_line_is_lost_by_a_move_or_the_end(self):
        gateway = Gateway(self.backend, openai=self.answering())
        path = os.path.join(gateway.home, "access.log")
        gateway.config["log"] = {"file": path}
        self.addCleanup(gateway.close)
        gateway.start()
        client, ids = gateway.client(), []
        for number in range(400):
            client.request("POST", CHAT, chat(), [("authorization", f"Bearer {gateway.key}")])
            ids.append(client.answer().get("x-request-id"))
            if number == 200:
                os.rename(path, path + ".1")
                gateway.signal(signal.SIGHUP)
        client.close()
        gateway.stop()
        found = []
        for name in (path + ".1", path):
            with open(name, encoding="utf-8") as file:
                found += [json.loads(line)["req_id"] for line in file if "req_id" in line]
        self.assertEqual(found, ids)

    def test_a_reader_that_stops_reading_the_log_stops_nothing(self):
        gateway = Gateway(self.backend, openai=self.answering())
        self.addCleanup(gateway.close)
        gateway.write_config()
        read_end, write_end = os.pipe()
        gateway.process = subprocess.Popen([binary(), "serve", "-c", gateway.config_path],
                                           cwd=gateway.home, stdin=subprocess.DEVNULL,
                                           stdout=subprocess.DEVNULL, stderr=write_end)
        os.close(write_end)
        open(gateway.log_path, "w", encoding="ascii").close()
        gateway.wait_ready()
        client = gateway.client()
        with self.within(60, "5000 requests without a reader of the log"):
            for _ in range(5000):
                client.request("POST", CHAT, chat(), [("authorization", f"Bearer {gateway.key}")])
                self.assertEqual(client.answer().status, 200)
            self.assertEqual(gateway.ask_admin("/readyz").status, 200)
        client.close()
        text = gateway.ask_admin("/metrics").body.decode()
        self.assertGreater(metric(text, "penstock_log_records_dropped_total"), 0)
        os.close(read_end)

    def test_sigterm_fails_readiness_first_and_accepts_until_the_delay_is_over(self):
        gateway = self.gateway(openai=self.answering(), config={"timeouts": {"drain_delay": "1s"}})
        gateway.signal(signal.SIGTERM)
        self.eventually(lambda: gateway.ask_admin("/readyz").status == 503, "a failing readiness", 1)
        self.assertEqual(gateway.ask_admin("/healthz").status, 200)
        self.assertEqual(gateway.post(CHAT, chat()).status, 200)
        self.assertEqual(gateway.process.wait(STOP_S), 0)

    def test_systemd_is_told(self):
        gateway = Gateway(self.backend)
        self.addCleanup(gateway.close)
        path = os.path.join(gateway.home, "notify")
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.bind(path)
        sock.settimeout(20)
        gateway.env = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "600000"}
        gateway.start()
        told = [sock.recv(4096).decode() for _ in range(4)]
        self.assertIn("READY=1", told[0])
        self.assertEqual(told[1:], ["WATCHDOG=1"] * 3)
        gateway.signal(signal.SIGHUP)
        while not (last := sock.recv(4096).decode()).startswith("RELOADING=1"):
            self.assertEqual(last, "WATCHDOG=1")
        gateway.signal(signal.SIGTERM)
        while not (last := sock.recv(4096).decode()).startswith("STOPPING=1"):
            self.assertIn(last, ("WATCHDOG=1", "READY=1"))
        self.assertEqual(gateway.process.wait(STOP_S), 0)

    def test_health_tells_of_its_parts(self):
        gateway = self.gateway()
        health = gateway.ask_admin("/healthz?verbose=1").json()
        self.assertEqual((health["ready"], health["store"]["state"], health["io"]["backend"]),
                         (True, "ok", self.backend))
        self.assertGreater(health["memory"]["limit_bytes"], 0)
        self.assertEqual(gateway.ask_admin("/healthz").body, b"ok\n")
