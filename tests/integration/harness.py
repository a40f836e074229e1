"""What every integration test stands on: the real binary, raw clients, scripted vendors.

    @both_backends
    class Streams(GatewayTest):
        def test_events_pass(self):
            vendor = self.vendor(lambda peer: peer.answer_sse([b"data: 1\\n\\n"]))
            gateway = self.gateway(openai=vendor)
            answer = gateway.post("/v1/chat/completions", {"model": "m", "stream": True})
            self.assertEqual(answer.body, b"data: 1\\n\\n")

A test class so decorated runs twice, over io_uring and over epoll. Nothing outlives a test: every
gateway is stopped, has to exit with 0 and may not have left a sanitizer's report; a script that
raised fails the test that it belongs to. Only the standard library is needed.

PENSTOCK_BIN names the binary (build/debug/penstock otherwise).
"""

import ctypes
import errno
import os
import re
import secrets
import signal
import socket
import string
import subprocess
import sys
import tempfile
import time
import unittest
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from raw import Client, Vendor, free_port, hold_port  # noqa: E402

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BACKENDS = ("uring", "epoll")
# A sanitized binary on a busy machine is slow to start; none of these is waited out in a good run.
READY_S = 30
DRAIN_S = 5
STOP_S = 30
REPORTS = re.compile(
    r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error: |LeakSanitizer|"
    r"^(assertion|promise|bug)\b.* failed", re.M
)


def binary():
    path = os.environ.get("PENSTOCK_BIN") or os.path.join(ROOT, "build", "debug", "penstock")
    if not os.access(path, os.X_OK):
        raise AssertionError(f"no penstock at {path}; build it, or set PENSTOCK_BIN")
    return path


def uring_offered():
    """Whether this kernel lets us set up a ring at all: io_uring_setup(1, NULL) is told apart."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(425, 1, None)
    return ctypes.get_errno() == errno.EFAULT


def outside(path):
    """Recorded material that lives beside the tree; a test that wants it skips without it, and may
    not skip in CI."""
    found = os.path.join(ROOT, "..", "shared", path)
    if os.path.exists(found):
        return found
    if os.environ.get("CI") == "true":
        raise AssertionError(f"{path} is missing, and CI has to have it")
    raise unittest.SkipTest(f"{path} is not there")


def new_key():
    """A client key of the gateway's own form: prefix, 32 random bytes, a CRC over both."""
    digits = string.digits + string.ascii_uppercase + string.ascii_lowercase

    def base62(number, length):
        text = ""
        for _ in range(length):
            number, digit = divmod(number, 62)
            text = digits[digit] + text
        return text

    text = "sk-pst-" + base62(int.from_bytes(secrets.token_bytes(32), "big"), 43)
    return text + base62(zlib.crc32(text.encode()), 6)


def memory_returns():
    """The environment in which a sanitized gateway gives back what it frees, for the sake of RSS."""
    options = os.environ.get("ASAN_OPTIONS", "")
    return {"ASAN_OPTIONS": options + (":" if options else "") + "quarantine_size_mb=1"}


def is_sanitized():
    with open(binary(), "rb") as file:
        return b"__asan_init" in file.read()


def to_yaml(value, indent=0):
    """Block YAML of dicts, lists and scalars: no more of it than a configuration needs."""
    pad = "  " * indent
    if isinstance(value, dict):
        if not value:
            return " {}\n"
        lines = "" if indent == 0 else "\n"
        for name, inner in value.items():
            lines += f"{pad}{name}:{to_yaml(inner, indent + 1)}"
        return lines
    if isinstance(value, (list, tuple)):
        if not value:
            return " []\n"
        lines = "\n"
        for inner in value:
            text = to_yaml(inner, indent + 1)
            if isinstance(inner, dict) and inner:
                text = " " + text.lstrip("\n")[len(pad) + 2:]
            lines += f"{pad}-{text}"
        return lines
    if isinstance(value, bool):
        return f" {str(value).lower()}\n"
    if isinstance(value, (int, float)):
        return f" {value}\n"
    plain = re.fullmatch(r"[A-Za-z0-9_./:-]+", str(value)) and not str(value).endswith(":")
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f" {value}\n" if plain else f' "{escaped}"\n'


def merged(base, more):
    """`base` with `more` laid over it, dict by dict."""
    out = dict(base)
    for name, value in more.items():
        both = isinstance(value, dict) and isinstance(out.get(name), dict)
        out[name] = merged(out[name], value) if both else value
    return out


def models_of(kind):
    """"m", which all accounts have, and one that no account of another format has: a request for it
    is never converted."""
    return ["m", "m-" + kind.split("-")[0]]


class Gateway:
    """One running penstock with a state directory of its own.

    accounts: a list of account dicts as the configuration wants them, or, as keywords, a vendor (or
    a base URL) by type: openai=vendor, anthropic=vendor, gemini=vendor.
    config: laid over the configuration that follows from the rest.
    """

    def __init__(self, backend, accounts=(), config=None, models=(), home=None, env=None, **vendors):
        self.backend, self.env = backend, env or {}
        self.own_home = tempfile.TemporaryDirectory(prefix="penstock-test-") if home is None else None
        self.home = home or self.own_home.name
        self.key = new_key()
        self.held = [hold_port(), hold_port()]
        self.data, self.admin = (sock.getsockname() for sock in self.held)
        self.process = None
        self.clients = []
        accounts = list(accounts) + [self.account(kind, at) for kind, at in vendors.items()]
        resources = {"accounts": accounts, "keys": [{"name": "test", "key": self.key}]}
        if models:
            resources["models"] = list(models)
        self.config = merged({
            "config_version": 1,
            "io": {"backend": backend},
            "listen": {"data": "%s:%d" % self.data, "admin": "%s:%d" % self.admin},
            "state_dir": os.path.join(self.home, "state"),
            "runtime_dir": os.path.join(self.home, "run"),
            "timeouts": {"drain_delay": "off"},  # no load balancer waits to be told
            "resources": resources,
        }, config or {})

    @staticmethod
    def account(kind, at):
        kind = kind.replace("_", "-")
        base = at if isinstance(at, str) else at.url
        suffix = "/v1" if kind.startswith("openai") and not isinstance(at, str) else ""
        return {"name": f"test-{kind}", "type": kind, "base_url": base + suffix,
                "api_key": "vendor-secret-" + kind, "models": models_of(kind)}

    @property
    def url(self):
        return "http://%s:%d" % self.data

    @property
    def config_path(self):
        return os.path.join(self.home, "penstock.yaml")

    @property
    def log_path(self):
        return os.path.join(self.home, "penstock.log")

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def write_config(self):
        for folder in ("state", "run"):
            os.makedirs(os.path.join(self.home, folder), mode=0o700, exist_ok=True)
        with open(self.config_path, "w", encoding="utf-8") as file:
            file.write(to_yaml(self.config))

    def start(self, wait=True):
        self.write_config()
        environment = {**os.environ, **self.env}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                [binary(), "serve", "-c", self.config_path], cwd=self.home, env=environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self, seconds=READY_S):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(f"penstock exited with {self.process.returncode}:\n{self.log()}")
            try:
                if self.ask_admin("/readyz").status == 200:
                    return
            except (OSError, AssertionError):
                pass
            time.sleep(0.02)
        raise AssertionError(f"penstock was not ready after {seconds} s:\n{self.log()}")

    def ask_admin(self, path, token=None):
        with Client(self.admin, timeout=5) as client:
            auth = f"authorization: Bearer {token}\r\n" if token else ""
            client.send(f"GET {path} HTTP/1.1\r\nhost: x\r\n{auth}connection: close\r\n\r\n")
            return client.answer()

    def client(self, **options):
        """A raw connection to the data listener; closed with the gateway."""
        client = Client(self.data, **options)
        self.clients.append(client)
        return client

    def post(self, path, body, headers=(), key=None, **options):
        """One request on a connection of its own; the answer read to its end, however it ends."""
        client = self.client(**options)
        client.request("POST", path, body, [("authorization", f"Bearer {key or self.key}"), *headers])
        return client.answer()

    def get(self, path, headers=(), **options):
        client = self.client(**options)
        client.request("GET", path, None, [("authorization", f"Bearer {self.key}"), *headers])
        return client.answer()

    def cli(self, *args, stdin="", check=True, timeout=60):
        done = subprocess.run([binary(), *args, "-c", self.config_path], input=stdin, text=True,
                              capture_output=True, timeout=timeout, env={**os.environ, **self.env})
        if check and done.returncode != 0:
            raise AssertionError(f"penstock {' '.join(args)}: {done.returncode}\n{done.stderr}")
        return done

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """kill -9, and nothing of what a clean stop would see to."""
        self.process.kill()
        self.process.wait(STOP_S)
        self.process = None

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self, expect=0):
        """SIGTERM, and after a moment without a drain SIGQUIT. Raises if the end was not clean."""
        for client in self.clients:
            client.close()
        self.clients = []
        if self.process is None:
            return
        if self.running():
            self.signal(signal.SIGTERM)
            try:
                self.process.wait(DRAIN_S)
            except subprocess.TimeoutExpired:
                self.signal(signal.SIGQUIT)
        try:
            code = self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"penstock did not stop within {STOP_S} s:\n{self.log()[-4000:]}")
        finally:
            self.process = None
        self.check_log()
        if expect is not None and code != expect:
            raise AssertionError(f"penstock exited with {code}:\n{self.log()[-4000:]}")

    def check_log(self):
        found = REPORTS.search(self.log())
        if found:
            raise AssertionError(f"penstock reported:\n{self.log()[found.start():][:6000]}")

    def close(self):
        try:
            self.stop()
        finally:
            for sock in self.held:
                sock.close()
            if self.own_home:
                self.own_home.cleanup()


class GatewayTest(unittest.TestCase):
    """Makes gateways and vendors that end with the test. Use with @both_backends."""

    backend = None

    def setUp(self):
        if self.backend == "uring" and not uring_offered():
            if os.environ.get("CI") == "true":
                self.fail("io_uring is not offered here, and CI has to have it")
            self.skipTest("io_uring is not offered here")

    def gateway(self, **options):
        gateway = Gateway(self.backend, **options)
        self.addCleanup(gateway.close)
        return gateway.start()

    def vendor(self, script, **options):
        vendor = Vendor(script, **options)
        self.addCleanup(vendor.close)
        return vendor

    def within(self, seconds, what):
        """Context: fails when the block takes longer."""
        return _Within(self, seconds, what)

    def eventually(self, condition, what, seconds=5):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                self.fail(f"not within {seconds} s: {what}")
            time.sleep(0.01)


class _Within:
    def __init__(self, test, seconds, what):
        self.test, self.seconds, self.what = test, seconds, what

    def __enter__(self):
        self.began = time.monotonic()
        return self

    def __exit__(self, kind, value, trace):
        took = time.monotonic() - self.began
        if kind is None and took > self.seconds:
            self.test.fail(f"{self.what} took {took:.2f} s, at most {self.seconds} s")


def both_backends(cls):
    """Puts one subclass a backend into the class's module; the class itself is not a test."""
    module = sys.modules[cls.__module__]
    for backend in BACKENDS:
        name = f"{cls.__name__}_{backend}"
        setattr(module, name, type(name, (cls,), {"backend": backend, "__module__": cls.__module__}))
