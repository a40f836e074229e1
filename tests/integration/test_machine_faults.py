"""Trouble below the process: kills, full and failing disks, damaged files, clocks that jump, threads
that end or hang, name servers that fail. Rows P1 to P4, P7, P12, P14 and U20 of the fault matrix."""

import errno
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time

from faults import (FAIL, FORMATS, OPENAI, FaultGateway, FaultTest, begin_stream, begun, good, respond)
from harness import Gateway, binary, both_backends, merged, to_yaml
from raw import Client, Cut
from test_admin import AdminTest, CHAT, chat, control
from world import NameServer, World


def create(gateway, name):
    """Whether the gateway acknowledged a new key; the status, or None where it died first."""
    try:
        return control(gateway, "POST", "/api/v1/keys", {"name": name})[0]
    except (OSError, IndexError, ValueError):
        return None


def keys_of(gateway):
    """{name: id} of every key, over all pages."""
    names, cursor = {}, ""
    while cursor is not None:
        status, page = control(gateway, "GET", f"/api/v1/keys?limit=200{cursor}")
        assert status == 200, page
        names.update((one["name"], one["id"]) for one in page["items"])
        cursor = page["next"] and "&cursor=" + page["next"]
    return names


class StoreTest(AdminTest):
    backend = "epoll"  # the store knows nothing of it
    world = None

    def prepare(self, world=None, **options):
        gateway = self.gateway(env=world.env if world else None, openai=self.answering(), **options)
        return gateway, control(gateway, "POST", "/api/v1/keys", {"name": "k"})[1]["key"]

    def store_state(self, gateway):
        return gateway.ask_admin("/healthz?verbose=1").json()["store"]

    def served(self, gateway, key, count):
        for _ in range(count):
            with self.within(2, "a request"):
                self.assertEqual(gateway.post(CHAT, chat(), key=key).status, 200)

    def count_of(self, gateway, name="k"):
        return sum(row["requests"] for row in self.usage(gateway, "?by=key")
                   if row["key"] and row["key"]["name"] == name)


class Store(StoreTest):
    def test_P1_kills_during_writes_lose_nothing_that_was_answered(self):
        gateway, key = self.prepare()
        chance = random.Random(1)
        have, gone, served = {"k", "test"}, set(), 0
        for round_ in range(5):
            made, removed, answered = [], [], [0]

            def write(number):
                for i in range(10_000):
                    name = f"r{round_}-{number}-{i}"
                    if create(gateway, name) != 201:
                        return
                    made.append(name)
                    if i % 3 == 2:  # and one that was made before goes
                        victim = f"r{round_}-{number}-{i - 1}"
                        try:
                            if control(gateway, "DELETE", f"/api/v1/keys/{victim}")[0] != 204:
                                return
                        except (OSError, IndexError, ValueError):
                            gone.add(victim)  # nobody knows
                            return
                        removed.append(victim)

            def ask():
                try:
                    while gateway.post(CHAT, chat(), key=key).status == 200:
                        answered[0] += 1
                except (OSError, Cut):
                    pass

            threads = [threading.Thread(target=write, args=(number,)) for number in range(3)]
            threads.append(threading.Thread(target=ask))
            for thread in threads:
                thread.start()
            time.sleep(0.15 + chance.random() / 2)
            gateway.kill()
            for thread in threads:
                thread.join()
            self.assertGreater(len(made), 3, "nothing was written when it was killed")
            have |= set(made)
            have -= set(removed)
            served += answered[0]
            with self.within(5, "the start after a kill"):
                gateway.start()
            names = keys_of(gateway)
            self.assertEqual(have - set(names) - gone, set(), "acknowledged keys are lost")
            self.assertEqual(set(removed) & set(names), set(), "removed keys are back")
            have = set(names)
            # The request that was cut by the kill may or may not have been counted.
            self.eventually(lambda: served <= self.count_of(gateway) <= served + round_ + 1, "the usage")
        self.assertEqual(self.store_state(gateway)["records_missing"], 0)

    def disk_fails(self, world, gateway, key, statuses):
        """With the disk failing: no write is acknowledged, everything else goes on."""
        self.assertIn(create(gateway, "lost"), statuses)
        self.eventually(lambda: self.store_state(gateway)["state"] == "degraded", "health says so")
        self.assertEqual(gateway.ask_admin("/readyz").status, 503)
        for number in range(6):
            self.assertIn(create(gateway, f"lost{number}"), statuses)
            self.served(gateway, key, 3)
            self.assertEqual(set(keys_of(gateway)), {"k", "test", "before"})
            time.sleep(0.1)
        self.assertGreater(world.failures, 0)
        self.assertEqual(gateway.ask_admin("/healthz").status, 200, "it would be killed for its disk")

    def disk_works_again(self, gateway, key, served):
        self.eventually(lambda: create(gateway, "after") == 201, "writes work again", 15)
        self.eventually(lambda: gateway.ask_admin("/readyz").status == 200, "it is ready again")
        self.served(gateway, key, 2)
        for end in (gateway.stop, gateway.start, gateway.kill, gateway.start):
            end()
        self.assertEqual(set(keys_of(gateway)), {"k", "test", "before", "after"},
                         "a refused write is there, or an acknowledged one is not")
        self.eventually(lambda: self.count_of(gateway) == served + 2, f"{served + 2} requests counted")

    def test_P2_a_full_disk(self):
        world = World()
        gateway, key = self.prepare(world)
        self.assertEqual(create(gateway, "before"), 201)
        self.served(gateway, key, 5)
        world.write_errno = errno.ENOSPC
        self.disk_fails(world, gateway, key, (507,))
        world.write_errno = 0
        self.disk_works_again(gateway, key, 5 + 18)

    def test_P2_a_disk_that_is_full_at_the_start(self):
        world = World()
        gateway, key = self.prepare(world)
        self.assertEqual(create(gateway, "before"), 201)
        gateway.stop()
        world.write_errno = errno.ENOSPC
        gateway.start(wait=False)
        status = gateway.process.wait(20)  # says so, and does not serve half of what it has
        self.assertNotEqual(status, 0)
        self.assertIn("penstock", gateway.log())
        gateway.process = None
        world.write_errno = 0
        gateway.start()
        self.assertEqual(set(keys_of(gateway)), {"k", "test", "before"})

    def test_P2_the_watermark_stops_detail_before_traffic(self):
        gateway, key = self.prepare(config={"store": {"disk_watermark": "16384GiB"}})
        self.eventually(lambda: self.store_state(gateway)["detail_stopped"], "detail is stopped")
        self.served(gateway, key, 5)
        self.assertEqual(create(gateway, "more"), 201)
        self.eventually(lambda: self.count_of(gateway) == 5, "the sums go on")
        items = control(gateway, "GET", "/api/v1/requests?limit=9")[1]["items"]
        self.assertLess(len(items), 5, "the record of each request is kept")
        self.assertEqual(gateway.ask_admin("/readyz").status, 200)

    def test_P3_a_failing_fsync(self):
        world = World()
        gateway, key = self.prepare(world)
        self.assertEqual(create(gateway, "before"), 201)
        self.served(gateway, key, 5)
        world.sync_errno = errno.EIO
        self.disk_fails(world, gateway, key, (503, 507))
        world.sync_errno = 0
        self.disk_works_again(gateway, key, 5 + 18)

    def test_P3_a_kill_while_fsync_fails(self):
        world = World()
        gateway, key = self.prepare(world)
        self.assertEqual(create(gateway, "before"), 201)
        world.sync_errno = errno.EIO
        self.assertIn(create(gateway, "lost"), (503, 507))
        self.served(gateway, key, 3)
        gateway.kill()
        world.sync_errno = 0
        gateway.start()
        self.assertEqual(set(keys_of(gateway)) - {"lost"}, {"k", "test", "before"})

    def test_P4_damaged_files(self):
        """Each file of the database with a byte changed, cut short, emptied or gone: a refusal that
        names it, or all keys; never fewer keys, never another answer to one of them."""
        gateway, _ = self.prepare()
        for number in range(300):
            if number == 150:
                gateway.stop()  # some of it in tables, some in the log
                gateway.start()
            self.assertEqual(create(gateway, f"n{number}"), 201)
        want = keys_of(gateway)
        gateway.kill()
        folder = os.path.join(gateway.home, "state", "db")
        good_copy = os.path.join(gateway.home, "good")
        shutil.copytree(folder, good_copy)
        chance = random.Random(4)

        def flip(path, size):
            with open(path, "r+b") as file:
                for at in {size // 2, chance.randrange(size), size - 1 - size // 10}:
                    file.seek(at)
                    byte = file.read(1)[0]
                    file.seek(at)
                    file.write(bytes([byte ^ 0x55]))

        def cut(path, size):
            os.truncate(path, size // 2)

        def empty(path, _):
            os.truncate(path, 0)

        def lose(path, _):
            os.unlink(path)

        def named(name):
            """Of a log that is gone nobody knows more than from where it is missing."""
            return ".log" if name.endswith(".log") else name.split("-")[0]

        refusals = {}
        names = [name for name in sorted(os.listdir(good_copy))
                 if os.path.getsize(os.path.join(good_copy, name)) > 0
                 and not name.startswith(("LOG", "OPTIONS", "PENSTOCK.LOCK", "IDENTITY"))]
        self.assertTrue(any(name.endswith(".sst") for name in names), names)
        self.assertTrue(any(name.endswith(".log") for name in names), names)
        for name in names:
            for damage in (flip, cut, empty, lose):
                with self.subTest(name, damage=damage.__name__):
                    shutil.rmtree(folder)
                    shutil.copytree(good_copy, folder)
                    path = os.path.join(folder, name)
                    damage(path, os.path.getsize(path))
                    open(gateway.log_path, "w", encoding="ascii").close()
                    gateway.start(wait=False)
                    try:
                        gateway.wait_ready()
                    except AssertionError:
                        self.assertGreater(gateway.process.wait(10), 0, "it died of a damaged file")
                        gateway.process = None
                        refusals[name] = refusals.get(name, 0) + 1
                        self.assertIn(named(name), gateway.log(), "the refusal does not name the file")
                        self.assertNotIn(".ldb", gateway.log(), "it names a file that never was there")
                        self.assertIn(f"penstock store repair --dir {folder}", gateway.log())
                        gateway.check_log()
                        continue
                    self.assertEqual(keys_of(gateway), want, "keys changed silently")
                    gateway.kill()
        for name in names:
            if name.endswith((".sst", ".log")) or name.startswith("MANIFEST"):
                self.assertGreater(refusals.get(name, 0), 0, f"no damage to {name} was ever told")
        # The command that a refusal tells does what it says.
        table = next(name for name in names if name.endswith(".sst"))
        shutil.rmtree(folder)
        shutil.copytree(good_copy, folder)
        flip(os.path.join(folder, table), os.path.getsize(os.path.join(folder, table)))
        done = subprocess.run([binary(), "store", "repair", "--dir", folder], text=True, capture_output=True,
                              timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        gateway.start()
        left = keys_of(gateway)
        self.assertLessEqual(set(left.items()), set(want.items()))
        self.assertGreater(len(left), 100, "nothing was salvaged")
        busy = subprocess.run([binary(), "store", "repair", "--dir", folder], text=True, capture_output=True,
                              timeout=60)
        self.assertEqual(busy.returncode, 6, "a running gateway's store was repaired")

    def test_P12_a_second_process_is_refused(self):
        gateway, key = self.prepare()
        done = subprocess.run([binary(), "serve", "-c", gateway.config_path], text=True,
                              capture_output=True, timeout=30)
        self.assertEqual(done.returncode, 6)
        self.assertIn(str(gateway.process.pid), done.stderr)
        # Another state directory behind the same control socket is refused as well, and the same
        # state directory behind another one.
        for more in ({"state_dir": os.path.join(gateway.home, "other")},
                     {"runtime_dir": os.path.join(gateway.home, "other-run")}):
            config = merged(gateway.config, {"listen": {"data": "127.0.0.1:0", "admin": []}, **more})
            path = os.path.join(gateway.home, "other.yaml")
            with open(path, "w", encoding="utf-8") as file:
                file.write(to_yaml(config))
            done = subprocess.run([binary(), "serve", "-c", path], text=True, capture_output=True,
                                  timeout=30)
            self.assertEqual(done.returncode, 6, done.stderr)
        self.assertEqual(control(gateway, "GET", "/api/v1/keys")[0], 200)
        self.served(gateway, key, 3)
        gateway.kill()  # which leaves its locks to nobody
        gateway.start()
        self.served(gateway, key, 1)


@both_backends
class Clock(FaultTest):
    def test_P7_a_clock_that_jumps(self):
        """The wall clock jumps under running streams, waiting heads and idle connections: none of
        them ends, requests go on, and what expires does so early rather than late."""
        world, go = World(), threading.Event()

        def wait(peer, form):
            begin_stream(peer, form)
            go.wait(20)
            for event in form.events[len(begun(form)):]:
                peer.chunk(event)
            peer.last_chunk()
            return True

        gateway, _ = self.pair(wait, env=world.env,
                               timeouts={"stream_idle": "15s", "idle": "15s", "header": "15s"})
        soon = time.time() + 1800
        expiring = control(gateway, "POST", "/api/v1/keys", {
            "name": "soon", "expires_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(soon))})
        self.assertEqual(expiring[0], 201, expiring)

        def status_of_soon():
            path, body = OPENAI.request("x", False)
            return gateway.post(path, body, key=expiring[1]["key"]).status

        self.assertEqual(status_of_soon(), 200)
        idle = gateway.begin(OPENAI, stream=False)
        self.assertTrue(idle.answer().complete)
        late = gateway.client()
        late.method = "POST"
        late.send(f"POST {OPENAI.path} HTTP/1.1\r\nhost: x\r\n")
        streams = [(form, gateway.begin(form, FAIL)) for form in FORMATS]
        heads = [client.head() for _, client in streams]
        hour, day = 3600, 86400
        for offset in (hour, -hour, 0, day, -day, 366 * day, 0, -366 * day, 0):
            world.wall_offset_s = offset
            time.sleep(0.15)
            with self.within(2, "requests behind the jump"):
                for stream in (True, False):
                    self.assert_good(gateway, FORMATS, stream)
            self.assertEqual(gateway.ask_admin("/readyz").status, 200)
            self.assertEqual(create(gateway, f"at{offset}-{time.monotonic_ns()}"), 201)
            self.assertEqual(status_of_soon(), 401 if offset >= hour else 200, offset)
        spent = gateway.cpu_s()
        time.sleep(0.5)
        self.assertLess(gateway.cpu_s() - spent, 0.35, "a timer fires without end")
        go.set()
        for (form, client), head in zip(streams, heads):
            self.assertEqual(b"".join(client.pieces(head)), form.sse, form)
        body = b'{"model":"m","messages":[]}'
        late.send(b"authorization: Bearer %s\r\ncontent-length: %d\r\n\r\n%s"
                  % (gateway.key.encode(), len(body), body))
        self.assertEqual(late.answer().status, 200)
        path, text = OPENAI.request("x", False)
        idle.request("POST", path, text, [("authorization", f"Bearer {gateway.key}")])
        self.assertEqual(idle.answer().status, 200)

    def test_P7_records_of_a_jump_are_kept(self):
        world = World()
        gateway, _ = self.pair(env=world.env)
        for offset in (0, 366 * 86400, -366 * 86400, 0):
            world.wall_offset_s = offset
            for _ in range(5):
                self.assert_good(gateway)

        def counted():
            status, answer = control(gateway, "GET", "/api/v1/usage?by=key&from=2020-01-01&to=2040-01-01")
            return status == 200 and sum(row["requests"] for row in answer["items"])
        self.eventually(lambda: counted() >= 20, "every request is counted")
        gateway.stop()
        gateway.start()
        self.assertGreaterEqual(counted(), 20)


def threads_of(gateway):
    """{name: thread id}"""
    found = {}
    for tid in os.listdir(f"/proc/{gateway.process.pid}/task"):
        with open(f"/proc/{gateway.process.pid}/task/{tid}/comm", encoding="ascii") as file:
            found.setdefault(file.read().strip(), int(tid))
    return found


@both_backends
class Threads(FaultTest):
    def test_P14_a_thread_that_dies_takes_the_process_along(self):
        """Nothing is half alive: the supervisor sees the end, and the next start has everything."""
        for name in ("shard-0", "store", "penstock"):
            gateway, _ = self.pair(config={"shards": 2})
            self.assertEqual(create(gateway, "kept"), 201)
            client = gateway.begin(OPENAI)
            self.assertTrue(client.answer().complete)
            tid = threads_of(gateway)[name]
            os.kill(tid, signal.SIGUSR2)  # nobody handles it; a thread's id names its process
            self.assertEqual(gateway.process.wait(5), -signal.SIGUSR2, name)
            self.assertIn(client.ended(2), ("fin", "reset"))
            gateway.process = None
            with self.within(5, "the next start"):
                gateway.start()
            self.assert_good(gateway)
            self.assertIn("kept", keys_of(gateway))
            gateway.stop()

    def watched(self, world):
        """A gateway with a service manager: (gateway, what tells the manager's news)."""
        folder = world.env["PENSTOCK_TEST_WORLD"] + ".notify"
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.bind(folder)
        gateway, _ = self.pair(config={"shards": 2}, env={
            **world.env, "NOTIFY_SOCKET": folder, "WATCHDOG_USEC": "600000"})

        def news(seconds):
            told, end = [], time.monotonic() + seconds
            while (left := end - time.monotonic()) > 0:
                sock.settimeout(left)
                try:
                    told += sock.recv(4096).decode().split("\n")
                except TimeoutError:
                    break
            return told

        return gateway, news

    def test_P14_a_shard_that_hangs_is_told_to_the_supervisor(self):
        world = World()
        gateway, news = self.watched(world)
        self.assertGreaterEqual(news(1).count("WATCHDOG=1"), 2)
        for thread in ("shard-0", "shard-1"):
            world.held, world.hold = 0, thread.encode()
            self.eventually(lambda: world.held, "the thread hangs")
            news(0.6)  # two periods in which it was still seen
            self.assertEqual(news(1), [], "a process that hangs in part says that it is alive")
            self.assertIn("a shard does not turn", gateway.log())
            world.hold = b""
            self.eventually(lambda: "WATCHDOG=1" in news(0.3), "alive again")
            self.assert_good(gateway)

    def test_P14_a_control_thread_that_hangs_is_told_and_traffic_goes_on(self):
        world = World()
        gateway, news = self.watched(world)
        world.hold = b"penstock"
        self.eventually(lambda: world.held, "the thread hangs")
        news(0.3)
        self.assertEqual(news(1), [], "a process that hangs in part says that it is alive")
        with self.within(3, "requests meanwhile"):
            self.assert_good(gateway, FORMATS)
        world.hold = b""
        self.eventually(lambda: "WATCHDOG=1" in news(0.3), "alive again")
        self.assertEqual(gateway.ask_admin("/readyz").status, 200)

    def test_P14_a_store_that_hangs_holds_up_no_traffic(self):
        world = World()
        gateway, _ = self.pair(env=world.env)
        world.hold = b"store"
        self.eventually(lambda: world.held, "the thread hangs")
        with self.within(3, "requests meanwhile"):
            for _ in range(5):
                self.assert_good(gateway, FORMATS)
        self.assertEqual(gateway.ask_admin("/healthz").status, 200)
        world.hold = b""
        self.eventually(lambda: create(gateway, "later") == 201, "it goes on")


class NamedGateway(FaultGateway):
    """Its vendor's name may not be known yet when it starts."""

    def wait_ready(self, seconds=30):
        Gateway.wait_ready(self, seconds)


@both_backends
class Names(FaultTest):
    def named(self, answers, url=None, ttl=1, timeouts=None, script=good, listen="127.0.0.1"):
        """(gateway, vendor, name server): accounts of all formats at http://vendor.test:PORT."""
        world, server = World(), NameServer(answers, ttl)
        self.addCleanup(server.close)
        world.name_server(server)
        vendor = self.vendor(script)
        base = "http://vendor.test:%d" % vendor.addr[1]
        gateway = NamedGateway(self.backend, env=world.env, openai=base + "/v1", anthropic=base, gemini=base,
                               config={"shards": 1, "timeouts": {"dns": "500ms", "drain": "1s", "connect": "1s",
                                                                 **(timeouts or {})}})
        self.addCleanup(gateway.close)
        return gateway.start(), vendor, server

    def test_U20_a_name_that_is_known(self):
        gateway, vendor, server = self.named({"vendor.test": ["127.0.0.1"]})
        self.assert_good(gateway, FORMATS)
        self.assertEqual(vendor.requests[0].get("host"), "vendor.test:%d" % vendor.addr[1])
        self.assertIn(("vendor.test", 1), server.asked)

    def test_U20_names_that_give_no_address(self):
        refused, servfail = b"\x81\x85\0\1\0\0\0\0\0\0", b"\x81\x82\0\1\0\0\0\0\0\0"
        for what, answers in (("no such name", {}), ("no address", {"vendor.test": []}),
                              ("refused", {"vendor.test": refused}), ("failed", {"vendor.test": servfail}),
                              ("garbage", {"vendor.test": b"\xff" * 40}), ("short", {"vendor.test": b"\x81"})):
            with self.subTest(what):
                gateway, vendor, _ = self.named(answers)
                with self.within(3, "four refusals"):
                    for form, answer in self.each_format(lambda form: gateway.ask(form)):
                        self.assert_refused(form, answer, (500, 502, 503, 504))
                self.assertEqual(vendor.connections, 0)
                self.assertEqual(gateway.ask_admin("/readyz").status, 200)

    def test_U20_a_name_server_that_is_silent_blocks_nobody(self):
        answers = {"vendor.test": None}
        gateway, vendor, server = self.named(answers)
        other = self.vendor(good)
        status, made = control(gateway, "POST", "/api/v1/keys", {"name": "x"})
        self.assertEqual(status, 201, made)
        began = time.monotonic()
        waiting = [gateway.begin(form) for form in FORMATS]
        with self.within(0.4, "the rest while a look-up hangs"):
            for _ in range(10):
                with Client(gateway.data, timeout=5) as client:
                    client.request("GET", "/v1/models", None, [("authorization", f"Bearer {gateway.key}")])
                    self.assertEqual(client.answer().status, 200)
        for form, client in zip(FORMATS, waiting):
            self.assert_refused(form, client.answer(), (500, 502, 503, 504))
        self.assertLess(time.monotonic() - began, 1.2, "the budget of 500 ms")
        answers["vendor.test"] = ["127.0.0.1"]
        self.eventually(lambda: gateway.ask(OPENAI).status == 200, "the name server is back", 12)
        self.assertEqual(len(other.requests), 0)

    def test_U20_an_old_answer_serves_while_the_name_server_is_down(self):
        answers = {"vendor.test": ["127.0.0.1"]}
        def once(peer):  # so that each request needs the address
            respond(peer, peer.request())

        gateway, vendor, server = self.named(answers, script=once)
        self.assert_good(gateway)
        for what in (None, b"\x81\x82\0\1\0\0\0\0\0\0", []):  # silence, failure, nothing
            answers["vendor.test"] = what
            asked = len(server.asked)
            self.eventually(lambda: len(server.asked) > asked, "it is asked again", 12)
            time.sleep(0.8)
            with self.within(1, "requests on the old answer"):
                self.assert_good(gateway, FORMATS)
        self.assertEqual(vendor.connections, 13)

    def test_U20_the_next_address_is_tried(self):
        """The vendor listens on 127.0.0.1 alone; the other addresses refuse or swallow."""
        for dead in (["127.0.0.2", "127.0.0.1"], ["127.0.0.3", "127.0.0.2", "127.0.0.1"], ["::1", "127.0.0.1"],
                     [f"127.0.0.{n}" for n in range(2, 60)] + ["127.0.0.1"]):
            with self.subTest(len(dead)):
                gateway, vendor, _ = self.named({"vendor.test": dead})
                with self.within(3, "the answer"):
                    answers = self.each_format(lambda form: gateway.ask(form))
                if len(dead) < 4:
                    self.assertEqual([answer.status for _, answer in answers], [200] * 4)
                else:  # so many are not tried; what is said is an error, at once
                    for form, answer in answers:
                        if answer.status != 200:
                            self.assert_refused(form, answer, (500, 502, 503, 504))

    def test_U20_an_address_that_moves_is_followed(self):
        answers = {"vendor.test": ["127.0.0.2"]}
        gateway, vendor, _ = self.named(answers)
        self.assert_refused(OPENAI, gateway.ask(OPENAI))
        answers["vendor.test"] = ["127.0.0.1"]
        self.eventually(lambda: gateway.ask(OPENAI).status == 200, "the new address", 15)
