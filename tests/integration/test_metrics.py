"""What /metrics, the health check and the access line tell: that all of it is there, in a sound form,
bounded, and true."""

import datetime
import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import time

from faults import FAIL, FORMATS, OPENAI, FaultTest, begin_stream, begun, failing
from harness import Gateway, ROOT, both_backends, merged, models_of
from pki import Authority
from prometheus import lint, parse
from raw import Client, Cut
from test_admin import metric
from world import World

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
OTHER = "0af7651916cd43dd8448eb211c80319c"


class MetricsTest(FaultTest):
    def text(self, gateway):
        return gateway.ask_admin("/metrics").body.decode()

    def families(self, gateway):
        answer = gateway.ask_admin("/metrics")
        self.assertEqual(answer.get("content-type"), "text/plain; version=0.0.4; charset=utf-8")
        return parse(answer.body.decode())

    def lines(self, gateway, count):
        """The first `count` access lines."""
        def found():
            return [json.loads(line) for line in gateway.log().splitlines() if '"req_id"' in line]
        self.eventually(lambda: len(found()) >= count, f"{count} lines")
        return found()[:count]

    def mixed(self, gateway):
        """Some of everything."""
        for form in FORMATS:
            for stream in (True, False):
                gateway.ask(form, stream=stream)
                gateway.ask(form, FAIL, stream=stream)
        gateway.get("/v1/models")
        gateway.get("/nothing")
        gateway.post(OPENAI.path, {"model": 'a"b\\c\nd'})
        gateway.post(OPENAI.path, {}, key="no")


def documented():
    """{name: (type, labels)} of the tables in docs/metrics.md."""
    found = {}
    with open(os.path.join(ROOT, "docs", "metrics.md"), encoding="utf-8") as file:
        for line in file:
            if row := re.fullmatch(r"\| `(\w+)` \| (\w+)(?:, fine)? \| ([\w, ]*?) ?\| \S.* \|\n", line):
                assert row[1] not in found, f"{row[1]} stands twice"
                found[row[1]] = (row[2], set(row[3].replace(" ", "").split(",")) - {""})
            else:
                assert not line.startswith("| `"), f"no row of a metric: {line}"
    return found


@both_backends
class Form(MetricsTest):
    def refusing(self, peer, form):
        peer.answer({"error": {"message": "no"}}, "429 No")
        return True

    @staticmethod
    def series(text):
        return {line.rsplit(" ", 1)[0] for line in text.splitlines() if not line.startswith("#")}

    def test_every_metric_is_documented_and_every_documented_one_is_there(self):
        gateway, _ = self.pair(self.refusing)
        self.mixed(gateway)
        have, want = self.families(gateway), documented()
        self.assertGreater(len(want), 60)
        self.assertEqual(set(have) - set(want), set(), "not in docs/metrics.md")
        self.assertEqual(set(want) - set(have), set(), "only in docs/metrics.md")
        for name, family in have.items():
            self.assertEqual(family.type, want[name][0], name)
            if family.samples:
                self.assertEqual(family.labels(), want[name][1], name)

    def test_the_text_is_sound(self):
        strange = "a{b},c=d"
        gateway, _ = self.pair(self.refusing, models=[{"name": strange, "target": "m"}])
        self.assertEqual(lint(self.families(gateway)), [], "before anything happened")
        self.mixed(gateway)
        self.assertEqual(gateway.post(OPENAI.path, merged(OPENAI.request("x", False)[1], {"model": strange})).status, 200)
        families = self.families(gateway)
        self.assertEqual(lint(families), [])
        models = {labels["model"] for _, labels, _ in families["penstock_tokens_total"].samples}
        self.assertIn(strange, models)
        told = [name for name, family in families.items() if family.samples]
        for name in ("penstock_inter_token_gap_seconds", "penstock_gateway_overhead_seconds",
                     "penstock_loop_lag_seconds", "penstock_loop_busy_ratio", "penstock_ratelimit_rejections_total",
                     "penstock_request_errors_total", "penstock_upstream_attempts_total"):
            self.assertIn(name, told)

    def test_clients_do_not_make_series(self):
        gateway, _ = self.pair(self.refusing)

        def storm(name):
            for number in range(40):
                gateway.post(OPENAI.path, {"model": f"{name}-{number}"}, [("user-agent", f"{name}/{number}")])
                gateway.get(f"/v1/{name}/{number}")
                gateway.post(OPENAI.path + f"?{name}={number}", {}, key=f"sk-pst-{name}-{number}")
                gateway.get(f"/v1/models/{name}-{number}")
        self.mixed(gateway)
        storm("first")
        self.text(gateway)  # the look itself is counted too
        before = self.series(self.text(gateway))
        storm("second")
        text = self.text(gateway)
        self.assertEqual(self.series(text) - before, set())
        self.assertNotIn("first-", text)
        self.assertNotIn("sk-pst", text)
        self.assertLess(len(text), 256 * 1024)


@both_backends
class Own(MetricsTest):
    """The time that the gateway itself takes, on a machine on which each look at the clock takes its
    shard 20 ms, and so each turn."""

    DRAG_MS = 20

    def slow(self, fault=None, **options):
        world = World()
        gateway, vendor = self.pair(fault, env=world.env, **options)
        return world, gateway, vendor

    def drag(self, world):
        world.drag_ms, world.drag = self.DRAG_MS, b"shard-0"

    def test_overhead_is_own_time_and_no_wait(self):
        """A vendor that takes 400 ms, a client that takes 400 ms to send: neither counts."""
        def late(peer, form):
            time.sleep(0.4)
            peer.answer(form.whole)
            return True
        world, gateway, _ = self.slow(late)
        self.drag(world)
        client = gateway.client()
        path, body = OPENAI.request(FAIL, False)
        wire = json.dumps(body).encode()
        client.method = "POST"
        client.send(f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}\r\n"
                    f"content-type: application/json\r\ncontent-length: {len(wire)}\r\n\r\n".encode() + wire[:20])
        time.sleep(0.4)
        client.send(wire[20:])
        self.assertEqual(client.answer().status, 200)
        world.drag_ms = 0
        line = self.lines(gateway, 2)[1]  # the first was the readiness check
        self.assertGreater(line["dur_ms"], 600)
        # One turn each way at least; with the vendor's connection and head in turns of their own,
        # and a look more at the clock in some, at most a few.
        self.assertGreaterEqual(line["overhead_us"], 2 * self.DRAG_MS * 1000)
        self.assertLess(line["overhead_us"], 350_000)
        text = self.text(gateway)
        name = "penstock_gateway_overhead_seconds"
        for stage in ("route", "write"):
            long = metric(text, name + "_count", format="openai", stage=stage) - metric(
                text, name + "_bucket", format="openai", stage=stage, le="0.01024")
            self.assertIn(long, (1, 2), stage)
        self.assertAlmostEqual(metric(text, name + "_sum") * 1e6,
                               sum(line["overhead_us"] for line in self.lines(gateway, 2)), delta=2)

    def test_a_refusal_is_own_time_too(self):
        world, gateway, _ = self.slow()
        self.drag(world)
        self.assertEqual(gateway.post(OPENAI.path, {}, key="no").status, 401)
        world.drag_ms = 0
        line = self.lines(gateway, 2)[1]
        self.assertGreaterEqual(line["overhead_us"], self.DRAG_MS * 1000)
        self.assertEqual(line["queue_ms"], 0)

    def test_slow_turns_are_told_once_in_a_while(self):
        world, gateway, _ = self.slow(config={"log": {"access": False}})  # no line wakes the control thread
        before = metric(self.text(gateway), "penstock_loop_slow_turns_total", thread="shard-0")
        self.drag(world)
        for _ in range(5):
            self.assertEqual(gateway.ask(OPENAI, stream=False).status, 200)
        world.drag_ms = 0
        told = re.compile(r"shard 0: a turn of its loop took (\d+) ms")
        self.eventually(lambda: told.search(gateway.log()), "the line", 0.5)
        took = [int(found) for found in told.findall(gateway.log())]
        self.assertEqual(len(took), 1)
        text = self.text(gateway)
        slow = metric(text, "penstock_loop_slow_turns_total", thread="shard-0") - before
        self.assertGreaterEqual(slow, 10)
        lag = [metric(text, "penstock_loop_lag_seconds_bucket", thread="shard-0", le=le) for le in ("0.01024", "+Inf")]
        self.assertGreaterEqual(lag[1] - lag[0], 10)
        self.assertGreaterEqual(metric(text, "penstock_loop_lag_seconds_sum", thread="shard-0"), 0.2)
        self.assertGreater(metric(text, "penstock_loop_busy_ratio", thread="shard-0"), 0)

    def test_what_waits_in_the_gateway_is_told(self):
        """A body that is read in several turns waits for the others' in between."""
        world, gateway, _ = self.slow()
        path, body = OPENAI.request("x" * (3 << 20), False)
        client = gateway.client()
        wire = json.dumps(body).encode()
        client.method = "POST"
        client.send(f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {gateway.key}\r\n"
                    f"content-type: application/json\r\ncontent-length: {len(wire)}\r\n\r\n".encode() + wire[:-1])
        time.sleep(0.3)
        self.drag(world)
        client.send(wire[-1:])
        self.assertEqual(client.answer().status, 200)
        world.drag_ms = 0
        line = self.lines(gateway, 2)[1]
        self.assertGreaterEqual(line["queue_ms"], 4 * self.DRAG_MS)
        self.assertGreater(line["overhead_us"], line["queue_ms"] * 1000)

    def test_the_gap_between_tokens(self):
        """Twelve events, 60 ms apart; a machine under load brings some of them later, and together."""
        def paced(peer, form):
            peer.sse_head()
            for event in form.events[:-1]:
                peer.chunk(event)
            for _ in range(12):
                time.sleep(0.06)
                peer.chunk(form.events[1])
            peer.chunk(form.events[-1])
            peer.last_chunk()
            return True
        gateway, _ = self.pair(paced)
        self.assertTrue(gateway.ask(OPENAI, FAIL).complete)
        name, text = "penstock_inter_token_gap_seconds", self.text(gateway)

        def below(bound):
            return metric(text, name + "_bucket", provider="openai", le=bound)
        self.assertGreaterEqual(below("+Inf") - below("0.04"), 8)
        self.assertGreaterEqual(below("0.16") - below("0.04"), 4)
        self.assertLessEqual(below("+Inf"), 14)
        self.assertGreaterEqual(metric(text, name + "_sum", provider="openai"), 0.7)
        self.assertEqual(metric(text, name + "_count", provider="anthropic"), 0)


@both_backends
class Limits(MetricsTest):
    def test_refusals_are_counted_by_their_limit(self):
        release = threading.Event()
        self.addCleanup(release.set)

        def wait(peer, form):
            begin_stream(peer, form)
            release.wait(20)
            for event in form.events[len(begun(form)):]:
                peer.chunk(event)
            peer.last_chunk()
            return True
        vendor = self.vendor(self.script_of(wait))
        account = {"name": "one", "type": "openai", "base_url": vendor.url + "/v1", "api_key": "vendor-secret-x",
                   "models": models_of("openai"), "max_in_flight": 1}
        gateway = self.gateway(accounts=[account], config={"limits": {"per_address": "6"}})
        stream = gateway.begin(OPENAI, FAIL)
        stream.head()
        for _ in range(3):
            self.assertEqual(gateway.ask(OPENAI).status, 503)
        name = "penstock_ratelimit_rejections_total"
        text = self.text(gateway)
        self.assertEqual(metric(text, name, scope="account", limit="in_flight"), 3)
        self.assertEqual(metric(text, name, scope="address"), 0)
        clients, refused = [], 0
        for _ in range(20):  # beyond the limit told so, and then closed at once
            try:
                clients.append(gateway.client())
            except OSError:
                refused += 1
        for client in clients:
            try:
                client.request("GET", "/v1/models", None, [("authorization", f"Bearer {gateway.key}")])
                refused += client.answer().status == 429
            except (Cut, OSError):
                refused += 1
        self.assertEqual(metric(self.text(gateway), name, scope="address", limit="connections"), refused)
        self.assertEqual(refused, 15)  # one of the six was the stream's
        release.set()

    @staticmethod
    def script_of(fault):
        def script(peer):
            peer.vendor.fault = fault
            failing(peer)
        return script


@both_backends
class Certificates(MetricsTest):
    def test_their_end_is_told_and_follows_a_reload(self):
        folder = tempfile.TemporaryDirectory(prefix="penstock-pki-")
        self.addCleanup(folder.cleanup)
        authority = Authority(folder.name)
        first, second, later = (authority.make(name, authority.root, days=(-1, days))
                                for name, days in (("first", 10), ("second", 20), ("later", 40)))
        gateway = Gateway(self.backend, openai="http://127.0.0.1:1")
        self.addCleanup(gateway.close)
        port = "%s:%d" % gateway.data
        gateway.config["listen"]["data"] = [{"address": port, "tls": [
            {"cert": first.chain, "key": first.key}, {"cert": second.chain, "key": second.key}]}]
        gateway.start()

        def ends():
            samples = self.families(gateway)["penstock_tls_cert_expiry_timestamp_seconds"].samples
            return {labels["name"]: value for _, labels, value in samples}

        def end_of(certificate):
            told = subprocess.run(["openssl", "x509", "-noout", "-enddate", "-dateopt", "iso_8601", "-in",
                                   certificate.cert], capture_output=True, text=True, timeout=20, check=True).stdout
            text = told.strip().removeprefix("notAfter=").replace(" ", "T")
            return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
        self.assertEqual(ends(), {port: end_of(first), port + "/2": end_of(second)})
        for kind in ("chain", "key", "cert"):
            os.replace(getattr(later, kind), getattr(second, kind))
        gateway.signal(signal.SIGHUP)
        self.eventually(lambda: ends() == {port: end_of(first), port + "/2": end_of(second)}, "the later end")
        self.assertGreater(end_of(second), end_of(first) + 25 * 86400)


@both_backends
class Tracing(MetricsTest):
    def ask(self, client, gateway, headers, key=None):
        client.request("POST", *OPENAI.request("x", False),
                       [("authorization", f"Bearer {key or gateway.key}"), *headers])
        return client.answer().status

    def test_a_trace_reaches_the_vendor_and_the_log(self):
        """Also where the same head comes again, and where another trace comes on the connection."""
        gateway, vendor = self.pair()
        client = gateway.client()
        told = [f"00-{trace}-{PARENT}-01" for trace in [TRACE] * 4 + [OTHER] * 3 + [TRACE]]
        for value in told:
            self.assertEqual(self.ask(client, gateway, [("traceparent", value), ("tracestate", "a=1,b=2")]), 200)
        self.assertEqual([request.get("traceparent") for request in vendor.requests], told)
        self.assertEqual({request.get("tracestate") for request in vendor.requests}, {"a=1,b=2"})
        lines = self.lines(gateway, 1 + len(told))[1:]
        self.assertEqual([line["trace_id"] for line in lines], [value.split("-")[1] for value in told])
        self.assertEqual({line["span_id"] for line in lines}, {PARENT})

    def test_a_refused_request_is_traced_too(self):
        gateway, _ = self.pair()
        with Client(gateway.data) as client:
            self.assertEqual(self.ask(client, gateway, [("traceparent", f"00-{TRACE}-{PARENT}-00")], "no"), 401)
        self.assertEqual(self.lines(gateway, 2)[1]["trace_id"], TRACE)

    def test_what_is_no_trace_goes_nowhere(self):
        gateway, vendor = self.pair()
        good = f"00-{TRACE}-{PARENT}-01"
        bad = [[("traceparent", value)] for value in (
            f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACE}-{'0' * 16}-01", f"ff-{TRACE}-{PARENT}-01",
            f"00-{TRACE.upper()}-{PARENT}-01", good + "-more", good[:-1], "", "x" * 55)]
        bad += [[("traceparent", good), ("traceparent", good)], []]
        before = metric(self.text(gateway), "penstock_request_fields_dropped_total")
        for fields in bad:
            with Client(gateway.data) as client:
                self.assertEqual(self.ask(client, gateway, fields + [("tracestate", "a=1")]), 200)
        for request in vendor.requests:
            self.assertEqual((request.all("traceparent"), request.all("tracestate")), ([], []))
        dropped = sum(len(fields) + 1 for fields in bad)
        self.assertEqual(metric(self.text(gateway), "penstock_request_fields_dropped_total") - before, dropped)
        for line in self.lines(gateway, 1 + len(bad))[1:]:
            self.assertNotIn("trace_id", line)
            self.assertNotIn("span_id", line)


@both_backends
class Health(MetricsTest):
    def test_the_verbose_form_has_its_parts(self):
        gateway, _ = self.pair(config={"store": {"disk_watermark": "3MiB"}})
        health = gateway.ask_admin("/healthz?verbose=1").json()
        self.assertEqual(health["disk"]["watermark_bytes"], 3 << 20)
        free = os.statvfs(gateway.home)
        self.assertLess(abs(health["disk"]["free_bytes"] - free.f_bavail * free.f_frsize), 1 << 30)
        self.assertEqual(health["store"]["state"], "ok")
        self.assertEqual(health["io"]["backend"], self.backend)
        self.assertEqual(len(health["shards"]), 1)
        self.assertGreater(health["shards"][0]["turns"], 0)
        self.assertGreater(health["memory"]["limit_bytes"], health["memory"]["held_bytes"])
