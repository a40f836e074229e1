"""The harness tells a good answer from a bad one; without this the other tests prove little."""

import time
import unittest

import soak
from harness import Gateway, merged, new_key, to_yaml
from raw import Client, Cut, Vendor, serving


class Raw(unittest.TestCase):
    def ask(self, script, method="GET"):
        vendor = Vendor(script)
        self.addCleanup(vendor.close)
        client = Client(vendor.addr, timeout=5)
        self.addCleanup(client.close)
        client.request(method, "/", None if method == "GET" else b"{}")
        return vendor, client

    def test_a_whole_answer_is_complete(self):
        vendor, client = self.ask(serving(lambda peer, _: peer.answer({"a": 1})), "POST")
        answer = client.answer()
        self.assertEqual((answer.status, answer.json(), answer.complete), (200, {"a": 1}, True))
        self.assertEqual(vendor.requests[0].body, b"{}")
        client.request("POST", "/again", b"{}")
        self.assertTrue(client.answer().complete)
        self.assertEqual((vendor.connections, len(vendor.requests)), (1, 2))

    def test_a_cut_length_is_seen(self):
        def script(peer):
            peer.request()
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345")

        _, client = self.ask(script)
        answer = client.answer()
        self.assertEqual((answer.body, answer.complete, answer.trouble),
                         (b"12345", False, "end of stream"))

    def test_a_cut_or_bad_chunk_is_seen(self):
        def cut(peer):
            peer.request()
            peer.sse_head()
            peer.chunk(b"data: 1\n\n")

        _, client = self.ask(cut)
        answer = client.answer()
        self.assertEqual((answer.events(), answer.complete), (["1"], False))

        def bad(peer):
            peer.request()
            peer.sse_head()
            peer.send("3\r\nabcd\r\n0\r\n\r\n")

        _, client = self.ask(bad)
        with self.assertRaisesRegex(AssertionError, "line end"):
            client.answer()

    def test_a_reset_is_told_from_an_end(self):
        def script(peer):
            peer.request()
            peer.sse_head()
            time.sleep(0.1)
            peer.reset()

        _, client = self.ask(script)
        self.assertIn("reset", client.answer().trouble)
        _, client = self.ask(lambda peer: peer.request())
        with self.assertRaises(Cut):
            client.head()

    def test_times_of_the_pieces(self):
        _, client = self.ask(lambda p: (p.request(), p.answer_sse([b"a", b"b"], gap_s=0.2)))
        pieces = client.answer().pieces
        self.assertEqual([data for _, data in pieces], [b"a", b"b"])
        self.assertGreater(pieces[1][0] - pieces[0][0], 0.15)

    def test_two_lengths_are_refused(self):
        def script(peer):
            peer.request()
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")

        _, client = self.ask(script)
        with self.assertRaisesRegex(AssertionError, "both"):
            client.answer()

    def test_a_hanging_vendor_sees_the_other_side_leave(self):
        seen = []
        _, client = self.ask(lambda peer: (peer.request(), seen.append(peer.hang())))
        time.sleep(0.1)
        client.reset()
        end = time.monotonic() + 3
        while not seen and time.monotonic() < end:
            time.sleep(0.01)
        self.assertEqual(seen, ["reset"])

    def test_a_script_that_raises_fails_its_test(self):
        vendor = Vendor(lambda peer: (peer.request(), 1 / 0))
        client = Client(vendor.addr, timeout=5)
        client.request("GET", "/")
        self.assertEqual(client.ended(), "fin")
        client.close()
        with self.assertRaisesRegex(AssertionError, "ZeroDivisionError"):
            vendor.close()

    def test_scripts_by_connection(self):
        def says(text):
            return lambda peer: (peer.request(), peer.answer(text))

        vendor, client = self.ask([says("first"), says("later")])
        self.assertEqual(client.answer().json(), "first")
        for _ in range(2):
            with Client(vendor.addr, timeout=5) as other:
                other.request("GET", "/")
                self.assertEqual(other.answer().json(), "later")


class Configuration(unittest.TestCase):
    def test_yaml(self):
        text = to_yaml({"a": 1, "b": {"c": "x: y", "d": []}, "e": [{"f": True, "g": ["h"]}, "i"]})
        self.assertEqual(text, 'a: 1\nb:\n  c: "x: y"\n  d: []\ne:\n  - f: true\n    g:\n      - h\n  - i\n')

    def test_merge(self):
        self.assertEqual(merged({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}, "d": 4}),
                         {"a": {"b": 3, "c": 2}, "d": 4})

    def test_keys_have_the_products_form(self):
        self.assertRegex(new_key(), r"^sk-pst-[0-9A-Za-z]{49}$")

    def test_a_report_in_the_log_is_found(self):
        gateway = Gateway("epoll")
        self.addCleanup(gateway.own_home.cleanup)
        for line, bad in [("all well\n", False), ("==1==ERROR: AddressSanitizer: heap\n", True),
                          ("x.c:1:2: runtime error: misaligned\n", True)]:
            with open(gateway.log_path, "w", encoding="utf-8") as file:
                file.write(line)
            if bad:
                self.assertRaises(AssertionError, gateway.check_log)
            else:
                gateway.check_log()


class SoakJudge(unittest.TestCase):
    def test_growth_is_told_from_noise(self):
        judge = soak.Soak_epoll("test_nothing_grows")
        level = [10, 40] + [50 + number % 5 for number in range(98)]  # it fills, and stays
        judge.flat("memory", level, 5)
        with self.assertRaises(AssertionError):
            judge.flat("memory", [50 + number / 5 for number in range(100)], 5)
        with self.assertRaises(AssertionError):  # late, and then for good
            judge.flat("memory", [50] * 80 + [60] * 20, 5)


if __name__ == "__main__":
    unittest.main()
