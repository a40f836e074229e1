"""The vendors' clients hold conversations through the gateway, at one vendor and hopping between many.

What must hold: the strict vendor refuses nothing; each signature comes back to the account that made it,
byte for byte, in every later request there; what an account sees of a conversation only grows (the vendor
refuses otherwise); and the words are those of a conversation that nobody stood between.

A pair of formats that the gateway does not carry yet is skipped, by name and with the reason.
"""

import concurrent.futures
import os
import random
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import forgetful  # noqa: E402
import plan  # noqa: E402
from driver import FORMATS, NAMES, PROGRAMS, Driver, Failed  # noqa: E402
from fabric import Fabric, account_key, account_name  # noqa: E402
from vendor import MODELS, StrictVendor  # noqa: E402

SEED = 41
MORE_SEEDS = range(1000, 1016) if os.environ.get("CHECK_LONG") else ()
# The Python clients take their time.
TURNS = {"node": plan.TURNS, "forgetful": plan.TURNS, "python": plan.TURNS // 2}
HOPS_WITHIN = 0.3  # how often the route turns in the middle of a turn's tool calls

# What does not hold yet. A test here is skipped with these words as long as it fails, and fails as soon
# as it would pass: then its line goes.
# For hops between accounts of another format: each client once, and each vendor that signs.
ANOTHER = {"openai": "anthropic", "responses": "gemini", "anthropic": "responses", "gemini": "anthropic"}
KNOWN = {}

shared = {}


def setUpModule():
    shared["drivers"] = {language: Driver(language) for language in PROGRAMS}
    shared["drivers"]["forgetful"] = forgetful.Driver()
    shared["fabric"] = Fabric()
    shared["cells"] = shared["fabric"].cells()
    shared["native"] = StrictVendor()
    shared["words"] = {}


def tearDownModule():
    for driver in shared["drivers"].values():
        driver.close()
    shared["native"].close()
    shared["fabric"].close()


def talk_of(language, client, url, key, model):
    return shared["drivers"][language].talk(client, url, key, model, thinks=True, system=plan.SYSTEM,
                                            tools=plan.TOOLS)


def native_words(client, seed, turns, marker):
    """What is said without a gateway."""
    name = (client, seed, turns, marker)
    if name not in shared["words"]:
        talk = talk_of("node", client, shared["native"].url, f"strict-native-{client}", MODELS[client])
        shared["words"][name] = plan.words_of(plan.hold(talk, plan.turns_of(seed, turns, marker=marker)))
        talk.close()
    return shared["words"][name]


class Conversations(unittest.TestCase):
    maxDiff = 4000

    def converse(self, language, client, seed, marker, accounts, rng=None):
        """One conversation over the accounts in the order that rng gives; the vendor's entries."""
        fabric, turns = shared["fabric"], TURNS[language]
        route = fabric.route(accounts[0])

        def hop(at, step):
            if rng is not None and (step == 0 or rng.random() < HOPS_WITHIN):
                route.turn_to(rng.choice(accounts))

        talk = talk_of(language, client, fabric.gateway.url, fabric.gateway.key, route.name)
        try:
            said = plan.hold(talk, plan.turns_of(seed, turns, marker=marker), hop)
        finally:
            talk.close()
        entries = fabric.vendor.entries(marker)
        self.assertEqual([entry.why for entry in entries if entry.status != 200], [])
        self.assertEqual(plan.words_of(said), native_words(client, seed, turns, marker))
        return entries

    def check_signatures(self, entries):
        for account in {entry.account for entry in entries}:
            given = set()
            for entry in entries:
                if entry.account == account:
                    self.assertLessEqual(given, entry.came_back,
                                         f"{account}: signatures were lost on their way back")
                    given |= entry.given

    def check_thoughts(self, entries, language, marker, seed):
        """A vendor that thinks was asked to, each time."""
        turns = plan.turns_of(seed, TURNS[language], marker=marker)
        self.assertEqual(sum(entry.answer.thought is not None for entry in entries),
                         sum(turn.text.count("\n> think ") for turn in turns))

    def in_all_languages(self, client, marker, accounts, hops, seed=SEED):
        # The native words come first: both languages are held against the same ones.
        for language in PROGRAMS:
            native_words(client, seed, TURNS[language], f"{marker}-{language}")

        def one(language):
            rng = random.Random(f"{seed} {marker}") if hops else None
            return self.converse(language, client, seed, f"{marker}-{language}", accounts, rng)

        with concurrent.futures.ThreadPoolExecutor(len(PROGRAMS)) as pool:
            for language, entries in zip(PROGRAMS, pool.map(one, PROGRAMS)):
                self.assertGreater(len(entries), plan.TURNS // 2)
                self.check_signatures(entries)
                if not hops and entries[0].family != "openai":
                    self.check_thoughts(entries, language, f"{marker}-{language}", seed)
                if hops:
                    self.assertGreater(len({entry.account for entry in entries}), 1)

    def reach(self, client):
        return [vendor for vendor in FORMATS if shared["cells"][client, vendor] is None]


class OneVendor(Conversations):
    """A whole conversation at one account: a test each pair of formats."""


class Forgetful(Conversations):
    """Clients that lose thoughts and signatures: what came with a call is given back for them (C-150)."""

    def check_signatures(self, entries):
        """Of the answers that call; nobody needs the others."""
        given = {}
        for entry in entries:
            for account, sign in given.items():
                if account == entry.account:
                    self.assertLessEqual(sign, entry.came_back,
                                         f"{account}: signatures were lost on their way back")
            if entry.answer.calls:
                given.setdefault(entry.account, set()).update(entry.given)
        self.assertGreater(sum(map(len, given.values())), 2)

    def lose(self, client, vendors, hops=False):
        for vendor in vendors:
            if shared["cells"][client, vendor] is not None:
                self.skipTest(shared["cells"][client, vendor])
        marker = f"lose-{client}-{'-'.join(vendors)}"
        rng = random.Random(f"{SEED} {marker}") if hops else None
        accounts = [account_name(vendor, number) for vendor in vendors for number in ((1, 2) if hops else (1,))]
        entries = self.converse("forgetful", client, SEED, marker, accounts, rng)
        self.assertGreater(len(entries), plan.TURNS)
        self.check_signatures(entries)
        if not hops:
            self.check_thoughts(entries, "forgetful", marker, SEED)


class Hops(Conversations):
    """Conversations that move from account to account, also in the middle of a turn."""


def one_vendor(client, vendor):
    def test(self):
        why = shared["cells"][client, vendor]
        if why is not None:
            self.skipTest(f"{NAMES[client]} to {NAMES[vendor]}: {why}")
        self.in_all_languages(client, f"one-{client}-{vendor}", [account_name(vendor)], False)
    return test


def forgetful_to(client, *vendors):
    def test(self):
        self.lose(client, vendors, hops=len(vendors) > 1)
    return test


def hops_of_one_format(client):
    def test(self):
        accounts = [account_name(client, 1), account_name(client, 2)]
        self.in_all_languages(client, f"own-{client}", accounts, True)
    return test


def hops_between_formats(client):
    def test(self):
        vendors = self.reach(client)
        if len(vendors) < 2:
            self.skipTest(f"{NAMES[client]}: no other format is reached yet")
        accounts = [account_name(vendor) for vendor in vendors]
        self.in_all_languages(client, f"all-{client}", accounts, True)
    return test


def known(name, test):
    """The test as it stands, or as one of those that are known to fail."""
    def fails(self):
        try:
            test(self)
        except (Failed, AssertionError) as error:
            self.assertTrue(shared["fabric"].gateway.running(), "the gateway is gone")
            self.skipTest(f"{KNOWN[name]}; it says: {str(error).splitlines()[0][:200]}")
        self.fail(f"it holds now: take {name} from KNOWN")
    return fails if name in KNOWN else test


def add(cls, name, test):
    setattr(cls, name, known(name, test))


def hops_elsewhere(client):
    """No request passes as it is: each of the vendors speaks another format than the client."""
    def test(self):
        vendors = [vendor for vendor in self.reach(client) if vendor != client]
        if len(vendors) < 2:
            self.skipTest(f"{NAMES[client]}: fewer than two other formats are reached yet")
        accounts = [account_name(vendor) for vendor in vendors]
        self.in_all_languages(client, f"else-{client}", accounts, True)
    return test


def hops_of_another(client, vendor):
    def test(self):
        why = shared["cells"][client, vendor]
        if why is not None:
            self.skipTest(f"{NAMES[client]} to {NAMES[vendor]}: {why}")
        accounts = [account_name(vendor, 1), account_name(vendor, 2)]
        self.in_all_languages(client, f"two-{client}-{vendor}", accounts, True)
    return test


def hops_everywhere(client, seed):
    """Between vendors and between the accounts of each."""
    def test(self):
        accounts = [account_name(vendor, number) for vendor in self.reach(client) for number in (1, 2)]
        self.in_all_languages(client, f"every-{client}-{seed}", accounts, True, seed)
    return test


for one in ("openai", "anthropic"):
    rest = [other for other in ("responses", "anthropic", "gemini") if other != one]
    for other in rest:
        add(Forgetful, f"test_{one}_to_{other}", forgetful_to(one, other))
    add(Forgetful, f"test_{one}_between_all", forgetful_to(one, *rest))

for one in FORMATS:
    for seed in (SEED, *MORE_SEEDS):
        add(Hops, f"test_{one}_everywhere_by_seed_{seed}", hops_everywhere(one, seed))
    for other in FORMATS:
        add(OneVendor, f"test_{one}_to_{other}", one_vendor(one, other))
    add(Hops, f"test_{one}_between_its_own", hops_of_one_format(one))
    add(Hops, f"test_{one}_between_formats", hops_between_formats(one))
    add(Hops, f"test_{one}_elsewhere", hops_elsewhere(one))
    add(Hops, f"test_{one}_between_accounts_of_{ANOTHER[one]}", hops_of_another(one, ANOTHER[one]))


if __name__ == "__main__":
    unittest.main()
