"""What no client's library has to be asked for: requests as they come over the wire, and what the vendor
gets of them.

Tools that a vendor runs itself, marks for its cache, everything at once, and the dialects of compatible
servers.
"""

import copy
import json
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import plan  # noqa: E402
from driver import FORMATS, PROGRAMS, Driver  # noqa: E402
from fabric import Fabric, account_name  # noqa: E402
from features import FEATURES  # noqa: E402
from matrix import FULL, run_feature  # noqa: E402

CHAT, RESPONSES, MESSAGES, GEMINI = FORMATS
PATHS = {CHAT: "/v1/chat/completions", RESPONSES: "/v1/responses", MESSAGES: "/v1/messages",
         GEMINI: "/v1beta/models/{}:generateContent"}
FUNCTION = {
    CHAT: {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}},
    RESPONSES: {"type": "function", "name": "f", "parameters": None, "strict": False},
    MESSAGES: {"name": "f", "input_schema": {"type": "object", "properties": {}}},
    GEMINI: {"functionDeclarations": [{"name": "f"}]},
}
# Tools that only their own vendor can run.
HOSTED = {
    RESPONSES: [{"type": "file_search", "vector_store_ids": ["vs_1"]},
                {"type": "code_interpreter", "container": {"type": "auto"}}, {"type": "image_generation"}],
    MESSAGES: [{"type": "code_execution_20250825", "name": "code_execution"},
               {"type": "web_fetch_20250910", "name": "web_fetch"}],
    GEMINI: [{"codeExecution": {}}, {"urlContext": {}}],
}
# Tools that the client itself runs, in a way that only this vendor's models know.
OWN = {
    RESPONSES: [],
    MESSAGES: [{"type": "bash_20250124", "name": "bash"},
               {"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"},
               {"type": "computer_20250124", "name": "computer", "display_width_px": 800,
                "display_height_px": 600}],
    GEMINI: [],
}


class Wire(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.fabric = Fabric(accounts=1)
        cls.addClassCleanup(cls.fabric.close)

    def ask(self, client, vendor, body, target="strict"):
        """(the answer, what the vendor got or None)"""
        fabric = self.fabric
        route = fabric.route(account_name(vendor), target=target)
        before = len(fabric.vendor.entries())
        body = copy.deepcopy(body) if client == GEMINI else {**copy.deepcopy(body), "model": route.name}
        answer = fabric.gateway.post(PATHS[client].format(route.name), body,
                                     headers=[("anthropic-version", "2023-06-01")])
        entries = fabric.vendor.entries()[before:]
        return answer, entries[-1] if entries else None

    def hello(self, client, text="hello", **more):
        if client == GEMINI:
            return {"contents": [{"role": "user", "parts": [{"text": text}]}], **more}
        if client == RESPONSES:
            return {"input": [{"role": "user", "content": text}], **more}
        return {"max_tokens": 500, "messages": [{"role": "user", "content": text}], **more} if (
            client == MESSAGES) else {"messages": [{"role": "user", "content": text}], **more}

    def elsewhere(self):
        return [(client, vendor) for client in FORMATS for vendor in FORMATS if client != vendor]


class Everything(Wire):
    def test_a_request_with_everything_is_refused_by_nobody(self):
        for target in ("strict", "plain"):
            for client, vendor in self.elsewhere():
                with self.subTest(client=client, vendor=vendor, target=target):
                    answer, entry = self.ask(client, vendor, FULL[client], target)
                    self.assertEqual(answer.status, 200, answer.body)
                    self.assertEqual(entry.status, 200)


class Tools(Wire):
    def test_a_vendors_own_tool_is_left_out_beside_others_and_told(self):  # 3.3
        for client, tools in HOSTED.items():
            for tool in tools:
                for vendor in FORMATS:
                    if vendor == client:
                        continue
                    with self.subTest(client=client, vendor=vendor, tool=tool):
                        answer, entry = self.ask(client, vendor, self.hello(
                            client, tools=[FUNCTION[client], tool]))
                        self.assertEqual(answer.status, 200, answer.body)
                        self.assertEqual(answer.get("x-penstock-dropped"), "tools[1]")
                        self.assertIn('"f"', json.dumps(entry.body))

    def test_a_vendors_own_tool_alone_is_refused_elsewhere(self):
        for client, tools in HOSTED.items():
            for tool in tools:
                for vendor in FORMATS:
                    if vendor == client:
                        continue
                    with self.subTest(client=client, vendor=vendor, tool=tool):
                        answer, entry = self.ask(client, vendor, self.hello(client, tools=[tool]))
                        self.assertEqual(answer.status, 400, answer.body)
                        self.assertIn("tools", answer.body.decode())
                        self.assertIsNone(entry)

    def test_a_tool_that_the_client_runs_is_never_left_out(self):  # 5.3: refused
        for client, tools in OWN.items():
            for tool in tools:
                for vendor in FORMATS:
                    if vendor == client:
                        continue
                    with self.subTest(client=client, vendor=vendor, tool=tool):
                        answer, entry = self.ask(client, vendor, self.hello(
                            client, tools=[FUNCTION[client], tool]))
                        self.assertEqual(answer.status, 400, answer.body)
                        self.assertIn("tools[1]", answer.body.decode())
                        self.assertIsNone(entry)

    def test_tools_of_all_kinds_pass_to_their_own_vendor(self):
        for client in (RESPONSES, MESSAGES, GEMINI):
            for tool in HOSTED[client] + OWN[client]:
                with self.subTest(client=client, tool=tool):
                    answer, entry = self.ask(client, client, self.hello(client, tools=[tool]))
                    self.assertEqual(answer.status, 200, answer.body)
                    self.assertEqual(entry.body["tools"], [tool])
                    self.assertIsNone(answer.get("x-penstock-dropped"))


def marked(text, ttl=None):
    return {"type": "text", "text": text, "cache_control": {"type": "ephemeral", **({"ttl": ttl} if ttl else {})}}


class Marks(Wire):
    def turns(self, marker, count):
        """The requests of a conversation whose mark moves to its newest message each time."""
        said = []
        for turn in range(count):
            said.append({"role": "user", "content": [{"type": "text", "text": f"conversation {marker}, {turn}"}]})
            messages = copy.deepcopy(said)
            messages[-1]["content"][0]["cache_control"] = {"type": "ephemeral"}
            yield {"max_tokens": 500, "system": [marked("Be brief.", "1h")], "messages": messages,
                   "tools": [{**FUNCTION[MESSAGES], "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}
            said.append({"role": "assistant", "content": [{"type": "text", "text": f"ok {turn}"}]})

    def test_marks_that_move_change_no_prefix(self):  # C-115, C-137; the vendor compares
        for vendor in FORMATS:
            with self.subTest(vendor=vendor):
                for body in self.turns(f"marks-{vendor}", 5):
                    answer, entry = self.ask(MESSAGES, vendor, body)
                    self.assertEqual(answer.status, 200, answer.body)
                    self.assertIsNone(answer.get("x-penstock-dropped"))  # elsewhere caches find themselves
                    kept = json.dumps(entry.body).count("cache_control")
                    self.assertEqual(kept, 3 if vendor == MESSAGES else 0)

    def test_breakpoints_become_marks_and_at_most_four(self):  # C-115
        parts = [{"type": "text", "text": f"part {k}", "prompt_cache_breakpoint": {"mode": "explicit"}}
                 for k in range(6)]
        chat = {"messages": [{"role": "user", "content": parts}]}
        items = {"input": [{"role": "user", "content": [{**part, "type": "input_text"} for part in parts]}]}
        for client, body in ((CHAT, chat), (RESPONSES, items)):
            with self.subTest(client=client):
                answer, entry = self.ask(client, MESSAGES, body)
                self.assertEqual(answer.status, 200, answer.body)
                blocks = entry.body["messages"][0]["content"]
                self.assertEqual([block["text"] for block in blocks if "cache_control" in block],
                                 [f"part {k}" for k in range(2, 6)])
        answer, entry = self.ask(CHAT, RESPONSES, chat)
        self.assertEqual(answer.status, 200, answer.body)
        self.assertEqual(json.dumps(entry.body).count("prompt_cache_breakpoint"), 6)


class Dialects(Wire):
    """Compatible servers that tell their reasoning: some want it back, some refuse it (C-063)."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.drivers = {language: Driver(language) for language in PROGRAMS}
        for driver in cls.drivers.values():
            cls.addClassCleanup(driver.close)

    def loop(self, language, client, model, stream):
        """Two turns with calls; the vendor's entries."""
        fabric, case = self.fabric, FEATURES["thoughts"]
        route = fabric.route("compatible", target=model)
        talk = self.drivers[language].talk(client, fabric.gateway.url, fabric.gateway.key, route.name,
                                           tools=plan.TOOLS, thinks=True)
        talk.marker = f"dialect-{client}-{model}-{language}-{stream}"
        try:
            steps, failed = run_feature(talk, case, stream)
        finally:
            talk.close()
        self.assertIsNone(failed)
        self.assertEqual([step["text"] for step in steps], ["", "b", "", "d"])
        return steps, fabric.vendor.entries(talk.marker)

    def each_way(self, model, clients=FORMATS):
        for client in clients:
            for language in PROGRAMS:
                for stream in (False, True):
                    if (language, client, stream) == ("node", CHAT, True):
                        continue  # Node's helper keeps the last piece of a key that it does not know
                    with self.subTest(client=client, language=language, stream=stream):
                        yield client, *self.loop(language, client, model, stream)

    def test_reasoning_goes_back_to_a_server_that_wants_it(self):
        for _, steps, entries in self.each_way("deepseek-v4"):
            self.assertTrue(steps[0]["thought"].startswith("one <"), steps[0])
            kept = [message["reasoning_content"] for message in entries[-1].body["messages"]
                    if message["role"] == "assistant"]
            self.assertTrue(kept[0].startswith("one <"), kept)

    def test_reasoning_stays_away_from_a_server_that_refuses_it(self):
        # A client of Chat's own that sends it gets the vendor's refusal, as it does without a gateway.
        for _, _, entries in self.each_way("deepseek-reasoner", FORMATS[1:]):
            self.assertNotIn("reasoning_content", json.dumps(entries[-1].body))


if __name__ == "__main__":
    unittest.main()
