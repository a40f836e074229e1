"""Each kind of error that a vendor tells, before its answer and inside a stream, by every client.

What a client is due is the class of the error in its own format: the status of the table below, and the
exception that its library makes of that status. An account's own troubles are the gateway's to hide.
"""

import concurrent.futures
import itertools
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from driver import FORMATS, PROGRAMS, Driver, Failed  # noqa: E402
from fabric import Fabric, account_key, account_name  # noqa: E402
from vendor import FORMATS as VENDORS  # noqa: E402
from vendor import MODELS, StrictVendor  # noqa: E402

JOBS = 6
CHAT, RESPONSES, MESSAGES, GEMINI = FORMATS
SECRETS = ("sk-strict-secret", "org-b1WqsUxyKMm5mpA2NtaSIUzp", "strict-")

# The status of each class for clients of Chat and Responses, Messages, Gemini.
DUE = {
    "context": (400, 400, 400), "policy": (400, 400, 400), "key": (502, 502, 503),
    "country": (502, 502, 503), "large": (413, 413, 400), "rate": (429, 429, 429),
    "quota": (429, 402, 429), "server": (500, 500, 500), "overloaded": (503, 529, 503),
    "timeout": (504, 504, 504),
}
# What else stands in it. Programs look for these words to shorten a conversation, or to give up.
CODES = {"context": "context_length_exceeded", "policy": "content_policy_violation",
         "quota": "insufficient_quota", "rate": "rate_limit_exceeded"}
WORDS = {("context", MESSAGES): "prompt is too long"}
# What a vendor has no words for, and says as the other.
SAID_AS = {(GEMINI, "quota"): "rate"}
CODELESS = {(MESSAGES, "policy")}  # a 400 like any other
INSIDE = ("server", "overloaded", "rate", "context")
# Inside a stream Responses has a closed list of codes; agents stop at one that tells of a vendor's load,
# although another account may answer the next time.
CODE_INSIDE = {(RESPONSES, "overloaded"): "server_error"}


def due_status(client, vendor, kind):
    kind = SAID_AS.get((vendor, kind), kind)
    return DUE[kind][0 if client in (CHAT, RESPONSES) else FORMATS.index(client) - 1]


class Errors(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.drivers = {language: Driver(language) for language in PROGRAMS}
        for driver in cls.drivers.values():
            cls.addClassCleanup(driver.close)
        cls.native = StrictVendor()
        cls.addClassCleanup(cls.native.close)
        ways = len(PROGRAMS) * (2 * len(DUE) + len(INSIDE))
        cls.fabric = Fabric(accounts=len(FORMATS) * ways)
        cls.addClassCleanup(cls.fabric.close)
        cls.numbers = {form: itertools.count(1) for form in FORMATS}  # who failed is left alone for a while

    def fails(self, language, form, url, key, model, order, stream):
        """What the client raises, or None."""
        talk = self.drivers[language].talk(form, url, key, model)
        try:
            talk.ask(f"> say some words before it comes\n> {order}", stream)
        except Failed as failed:
            return failed
        finally:
            talk.close()
        return None

    def natively(self, language, form, order, stream=False):
        return self.fails(language, form, self.native.url, f"strict-{form}", MODELS[form], order, stream)

    def through(self, language, client, vendor, order, stream):
        number = next(self.numbers[vendor])
        route = self.fabric.route(account_name(vendor, number))
        failed = self.fails(language, client, self.fabric.gateway.url, self.fabric.gateway.key, route.name,
                            order, stream)
        self.assertTrue(self.fabric.vendor.entries(account=account_key(vendor, number)),
                        "no request reached the vendor")
        return failed

    def check_before(self, language, client, vendor, kind, stream):
        status = due_status(client, vendor, kind)
        failed = self.through(language, client, vendor, f"error {kind}", stream)
        self.assertIsNotNone(failed, "nothing was raised")
        self.assertEqual(failed.status, status, failed)
        self.assertEqual(failed.kind, self.natively(language, client, f"error {status}").kind)
        for secret in SECRETS:
            self.assertNotIn(secret, failed.message)
        code = CODES.get(SAID_AS.get((vendor, kind), kind))
        if client in (CHAT, RESPONSES) and code is not None and (vendor, kind) not in CODELESS:
            self.assertEqual(failed.code, code)
        self.assertIn(WORDS.get((kind, client), ""), failed.message)
        if kind not in ("key", "country") and (kind, client) not in WORDS:  # what the vendor had to say
            said = VENDORS[vendor].TROUBLES[kind]().message
            self.assertIn(said.split(" in organization")[0], failed.message)

    def check_inside(self, language, client, vendor, kind):
        failed = self.through(language, client, vendor, f"break {kind}", True)
        self.assertIsNotNone(failed, "nothing was raised")
        native = self.natively(language, client, f"break {kind}", True)
        self.assertEqual((failed.kind, failed.vendors), (native.kind, native.vendors), failed)
        if client in (CHAT, RESPONSES):
            code = CODE_INSIDE.get((client, kind), native.code)
            # Python's helper reads an error that a stream brings as an event like any other.
            self.assertEqual(failed.code, code if native.code is not None else None, failed)
        else:
            self.assertEqual(failed.status, native.status, failed)

    def run_all(self, check, jobs):
        def one(job):
            try:
                check(*job)
            except AssertionError as error:
                return str(error)
            return None

        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            for job, why in zip(jobs, pool.map(one, jobs)):
                with self.subTest(job=job):
                    self.assertIsNone(why)
        self.assertTrue(self.fabric.gateway.running(), "the gateway is gone")


def before(client, vendor):
    def test(self):
        self.run_all(self.check_before, [
            (language, client, vendor, kind, stream) for language in PROGRAMS for kind in DUE
            for stream in (False, True) if kind in VENDORS[vendor].TROUBLES])
    return test


def inside(client, vendor):
    def test(self):
        self.run_all(self.check_inside, [
            (language, client, vendor, kind) for language in PROGRAMS for kind in INSIDE])
    return test


for one in FORMATS:
    for other in FORMATS:
        setattr(Errors, f"test_{one}_of_{other}", before(one, other))
        setattr(Errors, f"test_{one}_of_{other}_in_streams", inside(one, other))


if __name__ == "__main__":
    unittest.main()
