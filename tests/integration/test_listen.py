"""Where the gateway listens: Unix sockets, and which shard a connection goes to."""

import json
import os
import socket
import stat
import tempfile
import threading
import time

from faults import FAIL, FORMATS, OPENAI, FaultGateway, FaultTest, begin_stream, failing
from harness import both_backends
from raw import Client
from test_admin import metric


class ListenTest(FaultTest):
    def auth(self, gateway):
        return [("authorization", f"Bearer {gateway.key}")]

    def ask(self, gateway, client, form=OPENAI, stream=False):
        path, body = form.request("x", stream)
        client.request("POST", path, body, self.auth(gateway))
        return client.answer()

    def local(self, path, **options):
        # Another shard may have answered before the first one listens here.
        self.eventually(lambda: os.path.exists(path), "it is there")
        client = Client(path, **options)
        self.addCleanup(client.close)
        return client

    def metric(self, gateway, name, **labels):
        return metric(gateway.ask_admin("/metrics").body.decode(), name, **labels)


@both_backends
class UnixSockets(ListenTest):
    def listening(self, paths, shards=1, **options):
        config = {"shards": shards, **options.pop("config", {})}
        vendor = self.vendor()
        gateway = FaultGateway(self.backend, config={"timeouts": {"drain": "1s"}, **config},
                               openai=vendor, anthropic=vendor, gemini=vendor, **options)
        gateway.config["listen"]["data"] = ["%s:%d" % gateway.data] + ["unix:" + path for path in paths]
        self.addCleanup(gateway.close)
        return gateway, vendor

    def vendor(self):
        vendor = super().vendor(failing)
        vendor.fault = None
        return vendor

    def path(self, name="data.sock"):
        folder = self.enterContext(tempfile.TemporaryDirectory(prefix="penstock-test-"))
        return os.path.join(folder, name)

    def test_every_format_over_a_unix_socket(self):
        path = self.path()
        gateway, vendor = self.listening([path], shards=2)
        gateway.start()
        self.local(path).close()
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        for form in FORMATS:
            for stream in (False, True):
                with self.subTest(form=form.name, stream=stream):
                    client = self.local(path)
                    for _ in range(2):  # and again on the same connection
                        answer = self.ask(gateway, client, form, stream)
                        self.assertEqual((answer.status, answer.complete), (200, True))
                        self.assertEqual(answer.body, form.sse if stream else form.whole)
        large = self.local(path)
        large.request("POST", OPENAI.path, {"model": "m", "messages": ["x" * 300_000]}, self.auth(gateway))
        self.assertEqual(large.answer().status, 200)
        self.assertEqual(len(vendor.requests[-1].body), len(json.dumps({"model": "m", "messages": ["x" * 300_000]})))
        self.assert_good(gateway)  # and the other listener
        gateway.stop()
        self.assertFalse(os.path.exists(path), "the file stays behind")
        lines = [json.loads(line) for line in gateway.log().splitlines() if '"req_id"' in line]
        clients = {line.get("client") for line in lines}
        self.assertEqual(clients, {"unix", "127.0.0.1"})

    def test_who_leaves_ends_its_request(self):
        path = self.path()
        gateway, vendor = self.listening([path])
        gone = threading.Event()

        def stream(peer, request):
            begin_stream(peer, OPENAI)
            peer.hang(10)
            gone.set()
        vendor.fault = stream
        gateway.start()
        client = self.local(path)
        where, body = OPENAI.request(FAIL, True)
        client.request("POST", where, body, self.auth(gateway))
        self.assertEqual(client.head().status, 200)
        client.close()
        self.assertTrue(gone.wait(3), "the vendor goes on for nobody")
        vendor.fault = None
        self.assert_good(gateway)

    def test_no_limit_for_an_address_but_the_cap(self):
        path = self.path()
        gateway, _ = self.listening([path], config={"limits": {"per_address": 3, "connections": 64}})
        gateway.start()
        clients = [self.local(path) for _ in range(20)]
        for client in clients:
            self.assertEqual(self.ask(gateway, client).status, 200)

    def test_several_and_a_stale_file(self):
        first, second = self.path("a.sock"), self.path("b.sock")
        left = socket.socket(socket.AF_UNIX)
        left.bind(first)
        left.close()  # as a killed process leaves it
        self.assertTrue(os.path.exists(first))
        gateway, _ = self.listening([first, second], shards=2)
        gateway.start()
        for path in (first, second):
            self.assertEqual(self.ask(gateway, self.local(path)).status, 200)
        # Another gateway does not take a socket that is in use.
        other, _ = self.listening([first])
        other.start(wait=False)
        self.assertNotEqual(other.process.wait(20), 0)
        self.assertIn(f"cannot listen on unix:{first}: Address already in use", other.log())
        other.process = None
        self.assertEqual(self.ask(gateway, self.local(first)).status, 200)

    def test_what_is_no_socket_stays(self):
        path = self.path()
        with open(path, "w", encoding="ascii") as file:
            file.write("precious")
        gateway, _ = self.listening([path])
        gateway.start(wait=False)
        self.assertNotEqual(gateway.process.wait(20), 0)
        self.assertIn(f"cannot listen on unix:{path}: File exists", gateway.log())
        gateway.process = None
        with open(path, encoding="ascii") as file:
            self.assertEqual(file.read(), "precious")

    def test_a_successors_file_stays(self):
        path = self.path()
        gateway, _ = self.listening([path])
        gateway.start()
        self.local(path).close()
        os.unlink(path)
        successor = socket.socket(socket.AF_UNIX)
        self.addCleanup(successor.close)
        successor.bind(path)
        gateway.stop()
        self.assertTrue(os.path.exists(path), "another process's socket was removed")

    def test_requests_finish_while_it_drains(self):
        path = self.path()
        gateway, vendor = self.listening([path], shards=2)
        held = threading.Event()
        self.addCleanup(held.set)

        def slowly(peer, _):
            held.wait(5)
            peer.answer(OPENAI.whole)
        vendor.fault = slowly
        gateway.start()
        clients = [self.local(path) for _ in range(12)]
        for client in clients:
            where, body = OPENAI.request(FAIL, False)
            client.request("POST", where, body, self.auth(gateway))
        self.eventually(lambda: len(vendor.requests) == 12, "all are under way")
        stopping = threading.Thread(target=gateway.stop)
        stopping.start()
        self.eventually(lambda: gateway.ask_admin("/readyz").status == 503, "it drains")
        time.sleep(0.3)  # until all shards have heard of it
        held.set()
        for client in clients:
            answer = client.answer()
            self.assertEqual((answer.status, answer.get("connection")), (200, "close"))
        stopping.join()


@both_backends
class Spread(ListenTest):
    """Several shards, and clients that hold their connections."""

    def all_up(self, gateway):
        """One shard answers before the others are there."""
        self.eventually(lambda: gateway.ask_admin("/readyz").status == 200, "all shards are there")
        self.eventually(lambda: sum(self.shares(gateway)) == 0, "nobody is connected")

    def shares(self, gateway):
        shards = gateway.ask_admin("/healthz?verbose=1").json()["shards"]
        return [shard["connections"] for shard in shards]

    def hold(self, addr, count):
        """Connections of clients that are known, and go on."""
        clients = [Client(addr, timeout=20) for _ in range(count)]
        for client in clients:
            client.request("GET", "/livez")
        for client in clients:
            self.assertEqual(client.answer().status, 200)
        return clients

    def test_connections_go_where_there_is_less_to_do(self):
        """The kernel's hash alone misses this in one of five rounds."""
        gateway = self.gateway(config={"shards": 2})
        self.all_up(gateway)
        for number in range(24):
            clients = self.hold(gateway.data, 24)
            self.eventually(lambda: sum(self.shares(gateway)) == 24, "all are counted")
            low, high = sorted(self.shares(gateway))
            self.assertLessEqual(high - low, 7, number)
            for client in clients:
                client.close()
            self.eventually(lambda: sum(self.shares(gateway)) == 0, "all are gone")
        self.assertGreater(self.metric(gateway, "penstock_connections_passed_total"), 0)

    def test_a_unix_socket_serves_all_shards(self):
        folder = self.enterContext(tempfile.TemporaryDirectory(prefix="penstock-test-"))
        path = os.path.join(folder, "data.sock")
        gateway = FaultGateway(self.backend, config={"shards": 3, "timeouts": {"drain": "1s"}})
        gateway.config["listen"]["data"] = ["%s:%d" % gateway.data, "unix:" + path]
        self.addCleanup(gateway.close)
        gateway.start()
        self.all_up(gateway)
        clients = self.hold(path, 60)
        self.eventually(lambda: sum(self.shares(gateway)) == 60, "all are counted")
        self.assertGreater(min(self.shares(gateway)), 13, self.shares(gateway))
        for client in clients:  # those that travelled are as good as the others
            client.request("GET", "/livez")
            self.assertEqual(client.answer().status, 200)
            client.close()

    def test_a_full_shard_passes_on(self):
        """The cap is the process's, not that of the shard which the hash chose."""
        gateway = self.gateway(config={"shards": 2, "limits": {"connections": 16}})
        self.all_up(gateway)
        clients = self.hold(gateway.data, 16)
        self.eventually(lambda: self.shares(gateway) == [8, 8], "each has its half")
        self.assertEqual(self.metric(gateway, "penstock_connections_evicted_total"), 0)
        for client in clients:
            client.close()
