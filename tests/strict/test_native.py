"""The vendors' clients hold conversations with the strict vendor itself: the reference."""

import concurrent.futures
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import plan  # noqa: E402
from driver import FORMATS, PROGRAMS, Driver, Failed  # noqa: E402
from vendor import MODELS, StrictVendor  # noqa: E402

SEEDS = {"node": range(4), "python": range(1)}  # the Python clients take long over large histories


class Native(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.vendor = StrictVendor()
        cls.addClassCleanup(cls.vendor.close)
        cls.drivers = {language: Driver(language) for language in PROGRAMS}
        for driver in cls.drivers.values():
            cls.addClassCleanup(driver.close)

    def converse(self, language, form, seed):
        account = f"strict-{language}-{form}"
        talk = self.drivers[language].talk(form, self.vendor.url, account, MODELS[form], thinks=True,
                                           system=plan.SYSTEM, tools=plan.TOOLS)
        said = plan.hold(talk, plan.turns_of(seed))
        talk.close()
        return said

    def test_twenty_turns_are_the_same_in_all_formats_and_languages(self):
        jobs = [(language, form, seed) for language in PROGRAMS for form in FORMATS
                for seed in SEEDS[language]]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            said = dict(zip(jobs, pool.map(lambda job: self.converse(*job), jobs)))
        refusals = [entry.why for entry in self.vendor.refusals() if entry.account != "strict-x"]
        self.assertEqual(refusals, [])
        for language, form, seed in jobs:
            first = plan.words_of(said["node", "openai", seed])
            with self.subTest(language=language, form=form, seed=seed):
                self.assertGreater(len(first), plan.TURNS)
                self.assertEqual(plan.words_of(said[language, form, seed]), first)
                if form != "openai":
                    thoughts = [answer["thought"] for _, answer in said[language, form, seed]]
                    self.assertTrue(any(thoughts), "no thought was shown")
                    self.check_signatures(f"strict-{language}-{form}", seed)
                if form == "gemini":  # a turn that the chat helper finds invalid is not sent again
                    self.assertTrue(all(answer["kept"] for _, answer in said[language, form, seed]))

    def check_signatures(self, account, seed):
        """The last request of the conversation brought back all that was given before it."""
        entries = self.vendor.entries(str(seed), account)
        given = set().union(*(entry.given for entry in entries[:-1]))
        self.assertGreater(len(given), plan.TURNS // 2)
        self.assertLessEqual(given, entries[-1].came_back)

    def test_a_refusal_reaches_the_client(self):
        for language, driver in self.drivers.items():
            for form in FORMATS:
                talk = driver.talk(form, self.vendor.url, "strict-x", "no-such-model")
                with self.assertRaises(Failed) as raised:
                    talk.ask("hello", False)
                self.assertEqual(raised.exception.status, 404, f"{language} {form}")
                self.assertTrue(raised.exception.vendors)


if __name__ == "__main__":
    unittest.main()
