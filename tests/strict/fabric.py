"""A gateway between the vendors' clients and the strict vendor, and what it can do today."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "integration"))
from harness import Gateway, binary  # noqa: E402

from chat import DIALECTS  # noqa: E402
from driver import FORMATS  # noqa: E402
from vendor import MODELS, PLAIN, StrictVendor  # noqa: E402

TYPES = {"openai": "openai", "responses": "openai", "anthropic": "anthropic", "gemini": "gemini"}
# What a route asks for; each account's map says what that is at its vendor.
TARGET = "strict"
TARGETS = {TARGET: MODELS, "plain": PLAIN}
PROBE_S = 20
HELLO = {
    "openai": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hello"}]}),
    "responses": ("/v1/responses", {"input": "hello"}),
    "anthropic": ("/v1/messages", {"max_tokens": 64, "messages": [
        {"role": "user", "content": "hello"}]}),
    "gemini": ("/v1beta/models/{}:generateContent", {"contents": [
        {"role": "user", "parts": [{"text": "hello"}]}]}),
}
# What an operation is not served for: the model has no account that this format could reach.
NOT_ROUTED = ((404, "model"), (503, "no account is available"))


def account_name(form, number=1):
    return f"{form}-{number}"


def account_key(form, number=1):
    return f"strict-{form}-{number}"


class Fabric:
    """The strict vendor with accounts of each format at it, a gateway before them, and routes that
    can be turned to any of the accounts."""

    def __init__(self, backend="auto", accounts=2, config=None):
        self.vendor = StrictVendor()
        made = [self.account(form, n + 1) for form in FORMATS for n in range(accounts)]
        made.append({"name": "compatible", "type": "openai-compatible", "base_url": self.vendor.url + "/v1",
                     "allow_private": True, "api_key": "strict-compatible", "formats": ["openai"],
                     "model_map": {model: model for model in DIALECTS}})
        self.gateway = Gateway(backend, accounts=made, config=config)
        self.gateway.start()
        self.routes = 0

    def account(self, form, number):
        suffix = "/v1" if TYPES[form] == "openai" else ""
        return {"name": account_name(form, number), "type": TYPES[form],
                "base_url": self.vendor.url + suffix, "allow_private": True,
                "api_key": account_key(form, number), "formats": [form],
                "model_map": {target: models[form] for target, models in TARGETS.items()}}

    def control(self, method, path, body=None):
        """A call over the gateway's own socket."""
        data = json.dumps(body).encode() if body is not None else b""
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(PROBE_S)
            sock.connect(os.path.join(self.gateway.home, "run", "control.sock"))
            sock.sendall(f"{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: "
                         f"application/json\r\ncontent-length: {len(data)}\r\n\r\n".encode() + data)
            raw = b""
            while piece := sock.recv(65536):
                raw += piece
        head, _, rest = raw.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        if status >= 300:
            raise AssertionError(f"{method} {path}: {raw.decode()}")
        return json.loads(rest) if rest else None

    def route(self, *accounts, target=TARGET):
        """A new model that these accounts serve, the first of them first."""
        self.routes += 1
        name = f"route-{self.routes}"
        made = self.control("POST", "/api/v1/models",
                            {"name": name, "target": target, "accounts": list(accounts)})
        return Route(self, name, made["id"])

    def close(self):
        try:
            self.gateway.close()
        finally:
            self.vendor.close()

    def carries(self, client, vendor):
        """None where requests of the one format reach vendors of the other, or why they do not."""
        if client != vendor:
            done = subprocess.run(
                [binary(), "convert", "--from", client, "--to", vendor, "--model", MODELS[vendor]],
                input=json.dumps({"model": "m", **HELLO[client][1]}), text=True, capture_output=True,
                timeout=PROBE_S)
            if done.returncode == 2:  # of the formats' names, one is not known
                return "no converter yet"
        path, body = HELLO[client]
        route = self.route(account_name(vendor))
        answer = self.gateway.post(path.format(route.name), {**({} if client == "gemini" else {
            "model": route.name}), **body}, headers=[("anthropic-version", "2023-06-01")])
        text = answer.body.decode(errors="replace")
        if client != vendor and any(answer.status == status and words in text
                                    for status, words in NOT_ROUTED):
            return "not routed yet"
        return None

    def cells(self):
        """{(client's format, vendor's format): None or why it is not served}"""
        return {(client, vendor): self.carries(client, vendor) for client in FORMATS
                for vendor in FORMATS}


class Route:
    def __init__(self, fabric, name, ident):
        self.fabric, self.name, self.ident = fabric, name, ident

    def turn_to(self, *accounts):
        self.fabric.control("PATCH", f"/api/v1/models/{self.ident}", {"accounts": list(accounts)})
