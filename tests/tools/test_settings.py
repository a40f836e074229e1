"""Nothing that an operator may set is parsed and then forgotten.

Walks the tables of settings and of account fields, and follows each member through the structs that
carry it on, up to code that reads it. A new setting fails here until something reads it.
"""

import os
import re
import unittest

ROOT = os.path.join(os.path.dirname(__file__), "..", "..")


def text(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def sources(*folders, but=()):
    """All code below src/FOLDER, comments apart, in one string."""
    whole = ""
    for folder in folders:
        for at, _, names in os.walk(os.path.join(ROOT, "src", folder)):
            for name in sorted(names):
                if name.endswith((".c", ".h")) and not re.match("|".join(but) or "$^", name):
                    whole += re.sub(r"//[^\n]*", "", text(os.path.join(at, name)))
    return whole


def rows(path):
    """[(the name that operators write, the member)] of a table."""
    found = re.findall(r'\b(?:ROW\(\w+, |DEADLINE\()"([\w.]+)", (?:\d+, )?([\w.]+)', text(*path))
    assert len(found) > 20, f"the table in {path} is not read any more"
    return found


def members(header, struct):
    body = re.search(r"struct %s \{(.*?)\n\};" % struct, text(*header), re.S)[1]
    body = re.sub(r"//[^\n]*", "", body)
    names = [name for line in re.findall(r"([^;]+);", body) for name in
             re.findall(r"\*?\s*(\w+)(?:\[[^\]]*\])?\s*(?:,|$)", line.strip().split(" ", 1)[1])]
    assert len(names) > 4, f"struct {struct} is not read any more"
    return names


def reads(member, code):
    """Whether `code` takes the member's value somewhere, not only sets it."""
    return re.search(r"(?:->|\.)%s\b(?!\s*=[^=])" % re.escape(member), code) is not None


class Settings(unittest.TestCase):
    def test_every_setting_is_read(self):
        code = sources("", but=("config_table", "config_check"))
        for name, member in rows(("src", "ctl", "config_table.c")):
            if name in ("config_version", "address", "cert", "key", "tls"):
                continue  # the first is checked while reading; the others are a listener's
            with self.subTest(name):
                holders = r"(?:cfg|config|next|loader->cfg)->"
                self.assertRegex(code, holders + re.escape(member) + r"\b", f"nobody reads {name}")

    def test_what_shards_are_told_is_read_by_them(self):
        code = sources("relay")
        for name in members(("include", "penstock", "relay", "shard.h"), "relay_limits"):
            with self.subTest(name):
                self.assertTrue(reads(name, code), f"relay_limits.{name} is set and not read")
        code = sources("http")
        for name in members(("include", "penstock", "http", "server.h"), "server_limits"):
            with self.subTest(name):
                self.assertTrue(reads(name, code), f"server_limits.{name} is set and not read")

    def test_every_field_of_an_account_is_read(self):
        code = sources("acct", "ctl", "relay", "provider")
        shown_only = {"id", "description", "created_at", "updated_at"}
        for name, member in rows(("src", "model", "account.c")):
            if name in shown_only:
                continue
            with self.subTest(name):
                self.assertRegex(code, r"account->" + member + r"\b", f"nobody reads {name}")

    def test_what_a_snapshot_keeps_of_an_account_is_read(self):
        header = ("include", "penstock", "acct", "snapshot.h")
        code = sources("relay", "provider", "ctl") + text(*header)  # which has what reads for them
        # What the builder itself needs: where the address leads is in the destination.
        own = {"id", "idx", "formats", "priority", "host", "port", "tls", "allow_private",
               "from_file", "server_name", "ca_file"}
        for name in members(header, "snap_account"):
            with self.subTest(name):
                if name not in own:
                    self.assertTrue(reads(name, code), f"snap_account.{name} is set and not read")

    def test_it_finds_what_is_there_to_find(self):
        self.assertTrue(reads("depth", "if (limits->depth > 3)"))
        self.assertTrue(reads("depth", "if (limits.depth == 3)"))
        self.assertFalse(reads("depth", "limits->depth = 3;"))
        self.assertFalse(reads("depth", "x = (struct limits){ .depth = 3 };"))
        self.assertIn("total_ns", members(("include", "penstock", "relay", "shard.h"), "relay_limits"))


if __name__ == "__main__":
    unittest.main()
