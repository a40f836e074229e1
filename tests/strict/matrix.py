#!/usr/bin/env python3
"""What each client gets of each vendor: the vendors' own clients drive the gateway in every pair of
formats, and each answer is held against the one that the same client gets without a gateway.

    python3 tests/strict/matrix.py            prints the table
    python3 tests/strict/matrix.py --write    and puts it into docs/conversion.md
    python3 tests/strict/matrix.py --check    and fails where docs/conversion.md says something else
    python3 tests/strict/matrix.py -k gemini  only rows whose names contain this

An answer is what the client's accumulator made of it: text, thoughts, calls, end, usage. PENSTOCK_BIN
names the binary.
"""

import argparse
import concurrent.futures
import itertools
import json
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import plan  # noqa: E402
from driver import FORMATS, NAMES, PROGRAMS, Driver, Failed  # noqa: E402
from fabric import TARGETS, Fabric, account_key, account_name, binary  # noqa: E402
from features import FEATURES as ALL_FEATURES  # noqa: E402
from features import KNOWN, Instead, Refused  # noqa: E402
from vendor import MODELS, StrictVendor  # noqa: E402

FEATURES = {name: feature for name, feature in ALL_FEATURES.items() if feature.vendors}
DOC = Path(__file__).parents[2] / "docs" / "conversion.md"
BEGIN = "<!-- What follows is written by tests/strict/matrix.py --write. -->"
END = "<!-- Until here. -->"
JOBS = 6
FAULTY_ACCOUNTS = 64  # a vendor's failure has its account left alone for a while, so each has its own

REPLY = {"type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "integer"}},
         "required": ["city", "n"], "additionalProperties": False}
RIVER = plan.picture("river")

# name: (title, what the talk is opened with, [(text, images)], what has to happen)
CASES = {
    "text": ("text", {}, [("> say h\u00e9llo \U0001f30a", [])], "answer"),
    "tools": ("tool loop", {"tools": plan.TOOLS}, [
        ('> say first\n> call add {"a": 1, "b": 2}\n> then\n> results', []),
        ('> call note {"text": "\u00e9 \\"q\\"", "tags": ["x"]}\n> then\n> call now\n> then\n> results', []),
        ('> call find {"what": "nothing"}\n> then\n> results', [])], "answer"),
    "parallel": ("parallel calls", {"tools": plan.TOOLS}, [
        ('> call add {"a": 1, "b": 2}\n> call now\n> call note {"text": "' + "xx" + "\u00e9\U0001f30a" * 60
         + '"}\n> call add {"a": 3, "b": 4}\n> then\n> results', [])], "answer"),
    "image": ("image", {}, [("> see", [RIVER])], "answer"),
    "thinking": ("thinking, replayed", {"tools": plan.TOOLS, "thinks": True}, [
        ('> think one\n> call add {"a": 1, "b": 2}\n> then\n> think two\n> results', []),
        ("> think three\n> say so", [])], "answer"),
    "json": ("structured output", {"schema": REPLY}, [('> json {"city":"Troms\u00f8","n":3}', [])],
             "answer"),
    "refusal": ("refusal", {}, [("> refuse I will not.", [])], "refusal"),
    "filter": ("filtered", {}, [("> say I will not.\n> filter", [])], "answer"),
    "said": ("(words alone)", {}, [("> say I will not.\n> bare", [])], "answer"),
    "length": ("length", {"cap": 16}, [("> say " + "abcd " * 40, [])], "answer"),
    "error": ("vendor's error", {}, [("> error 429", [])], "error"),
    "break": ("error in the stream", {}, [("> say some more words\n> break", [])], "error"),
    "cut": ("cut off", {}, [("> say some more words\n> cut", [])], "cut"),
    "torn": ("cut in a call", {"tools": plan.TOOLS}, [
        ('> say so\n> bare\n> call note {"text": "some words that nobody may take for all of them"}\n> cut', [])], "cut"),
}
STREAM_ONLY = ("break", "cut", "torn")
UNSHOWN = ("said",)  # only there for others to be compared with

# What a client's accumulator cannot do, whatever it is sent.
LIMITS = {
    ("node", "openai", "thinking", "stream"):
        "Node's Chat helper keeps the last piece of a key that it does not know: streamed "
        "`reasoning_content` is lost there (the pieces arrive).",
}


ASKED_FOR = "as asked for"  # what the vendor notes of an error that the script wants


class Mismatch(Exception):
    """What a client got through the gateway is not what it should get."""


def run_case(talk, case, stream):
    """The steps' answers, or the error that ended them."""
    steps = []
    try:
        for text, images in CASES[case][2]:
            turn = plan.Turn(f"conversation {talk.marker}\n{text}", images, stream)
            steps += [answer for _, answer in plan.hold(talk, [turn])]
    except Failed as failed:
        return steps, failed
    return steps, None


def run_feature(talk, feature, stream):
    """The steps' answers, or the error that ended them."""
    steps = []
    try:
        for turn, text in enumerate(feature.says):
            parts = feature.parts.get(talk.form, []) if turn == 0 else []
            answer = talk.ask(f"conversation {talk.marker}\n{text}", stream, parts=parts)
            steps.append(answer)
            while answer["calls"] and answer["finish"] == "calls":
                results = [(feature.results or run_tool)(talk.form, *call) for call in answer["calls"]]
                answer = talk.results(results, stream)
                steps.append(answer)
    except Failed as failed:
        return steps, failed
    return steps, None


def run_tool(form, name, args):
    return plan.run_tool(name, args)


def refusal_like(client, vendor):
    """The case whose answer a refusal of the vendor's model looks like to a client of another format."""
    own_words = ("openai", "responses")
    if vendor in own_words and client in own_words:
        return "refusal"
    return "said" if vendor in own_words and client == "gemini" else "filter"


def said(steps):
    return [(step["text"], step["refusal"], step["calls"], step["finish"]) for step in steps]


class Matrix:
    def __init__(self, wanted):
        self.drivers = {language: Driver(language) for language in PROGRAMS}
        self.fabric = Fabric(accounts=2 + FAULTY_ACCOUNTS)
        self.native = StrictVendor()
        self.cells = self.fabric.cells()
        self.wanted = wanted
        self.faulty = {form: itertools.count(3) for form in FORMATS}
        self.ways = [(language, mode) for language in PROGRAMS for mode in ("whole", "stream")]

    def close(self):
        for driver in self.drivers.values():
            driver.close()
        self.native.close()
        self.fabric.close()

    def open(self, language, client, url, key, model, case, mode):
        talk = self.drivers[language].talk(client, url, key, model, system=plan.SYSTEM, **CASES[case][1])
        talk.marker = f"{client}-{case}-{language}-{mode}"
        return talk

    def open_feature(self, language, client, url, key, model, name, mode):
        feature = FEATURES[name]
        talk = self.drivers[language].talk(
            client, url, key, model, system=plan.SYSTEM, whole=True, extra=feature.extra.get(client, {}),
            **feature.options)
        talk.marker = f"{client}-{name}-{language}-{mode}"
        return talk

    def run_native_feature(self, client, name, language, mode):
        feature = FEATURES[name]
        talk = self.open_feature(language, client, self.native.url, f"strict-{client}",
                                 TARGETS[feature.target][client], name, mode)
        try:
            steps, failed = run_feature(talk, feature, mode == "stream")
        finally:
            talk.close()
        return (None if failed else feature.read(client, steps)), failed

    def run_feature_cell(self, client, vendor, name, language, mode):
        """Raises Mismatch."""
        feature, fabric = FEATURES[name], self.fabric
        route = fabric.route(account_name(vendor, 2), target=feature.target)
        talk = self.open_feature(language, client, fabric.gateway.url, fabric.gateway.key, route.name, name,
                                 mode)
        steps, failed = run_feature(talk, feature, mode == "stream")
        talk.close()
        entries = fabric.vendor.entries(talk.marker, account_key(vendor, 2))
        why = [entry.why for entry in entries if entry.status != 200]
        if why:
            raise Mismatch("the vendor refused: " + "; ".join(why))
        wanted = feature.of(client, vendor)
        if isinstance(wanted, Refused):
            if entries or failed is None or failed.status != 400 or wanted.path not in failed.message:
                raise Mismatch(f"{wanted.path} was not refused: {failed or said(steps)}")
            return
        native, native_failed = self.native_features[client, name, language, mode]
        if native_failed is not None:
            self.same_error(failed, native_failed, steps, name)
            return
        if failed is not None:
            raise Mismatch(str(failed))
        got = feature.read(client, steps)
        value = wanted.value if isinstance(wanted, Instead) else native
        if got != value:
            raise Mismatch(f"{got} is not {value}")
        if feature.signed:
            given = set().union(*(entry.given for entry in entries[:-1]))
            if not given or not given <= entries[-1].came_back:
                raise Mismatch(f"of {len(given)} signatures {len(given & entries[-1].came_back)} came back")

    def run_native(self, client, case, language, mode):
        talk = self.open(language, client, self.native.url, f"strict-{client}", MODELS[client], case, mode)
        try:
            return run_case(talk, case, mode == "stream")
        finally:
            talk.close()

    def run_cell(self, client, vendor, case, language, mode):
        """Raises Mismatch."""
        want = CASES[case][3]
        number = next(self.faulty[vendor]) if want in ("error", "cut") else 1
        fabric, way = self.fabric, (language, client, case, mode)
        route = fabric.route(account_name(vendor, number))
        talk = self.open(language, client, fabric.gateway.url, fabric.gateway.key, route.name, case, mode)
        steps, failed = run_case(talk, case, mode == "stream")
        talk.close()
        entries = fabric.vendor.entries(talk.marker, account_key(vendor, number))
        why = [entry.why for entry in entries if entry.status != 200 and entry.why != ASKED_FOR]
        if why:
            raise Mismatch("the vendor refused: " + "; ".join(why))
        if not entries:
            raise Mismatch(f"no request reached the vendor; the client got {failed or said(steps)}")
        # A bare client may take a cut stream for an end; behind the gateway it is always an error. And
        # where a format has no words of the model's own for it, a refusal is a filter's.
        like = "break" if want == "cut" else case
        if want == "refusal" and client != vendor:
            like = refusal_like(client, vendor)
        native_steps, native = self.native_of[client, like, language, mode]
        if native is not None:
            self.same_error(failed, native, steps, case)
            return
        if failed is not None:
            raise Mismatch(str(failed))
        if said(steps) != said(native_steps):
            raise Mismatch(f"{said(steps)} is not {said(native_steps)}")
        self.same_as_vendor(steps, entries, way)
        if case == "thinking" and vendor != "openai":
            if not any(entry.came_back for entry in entries):
                raise Mismatch("no signature came back")

    @staticmethod
    def same_error(failed, native, steps, case):
        if failed is None:
            raise Mismatch(f"no error was raised, but {said(steps)} came")
        # Inside a stream a client only learns what kind of error it was, and vendors differ in theirs.
        same_status = failed.status == native.status or case != "error"
        if failed.kind != native.kind or not same_status:
            raise Mismatch(f"{failed} is not of {native.kind} {native.status}")

    @staticmethod
    def same_as_vendor(steps, entries, way):
        """Thoughts and usage are those of the vendor that answered."""
        for step, entry in zip(steps, entries):
            answer, use = entry.answer, step["usage"]
            wanted = {"input": answer.usage.fresh + answer.usage.cached, "cached": answer.usage.cached,
                      "output": answer.usage.output, "thought": answer.usage.thought}
            if use != wanted:
                raise Mismatch(f"usage {use} is not {wanted}")
            if not answer.shown and answer.thought is not None and CASES[way[2]][1].get("thinks"):
                raise Mismatch("the vendor was not asked to show its thoughts")
            thought = answer.thought if answer.shown else None
            if step["thought"] != (thought or "") and way not in LIMITS:
                raise Mismatch(f"the thought {step['thought']!r} is not {thought!r}")
            if not step.get("kept", True):
                raise Mismatch("the chat helper found the turn invalid")

    def rows(self):
        return [cell for cell in itertools.product(FORMATS, FORMATS)
                if not self.wanted or any(word in " to ".join(cell) for word in self.wanted)]

    def run(self):
        """{(client, vendor, case): [(language, mode, why)]} of what did not hold, and what ran."""
        rows = [cell for cell in self.rows() if self.cells[cell] is None]
        clients = {row[0] for row in rows}
        natives = [(client, case, language, mode) for client in FORMATS if client in clients
                   for case in CASES if CASES[case][3] != "cut"
                   for language, mode in self.ways if mode == "stream" or case not in STREAM_ONLY]
        features = [(client, name, *way) for client in FORMATS if client in clients
                    for name, feature in FEATURES.items() if client in feature.clients
                    for way in self.ways]
        jobs = [(*row, case, language, mode) for row in rows for case in CASES
                for language, mode in self.ways if mode == "stream" or case not in STREAM_ONLY]
        jobs += [(client, vendor, name, *way) for client, vendor in rows for name in FEATURES
                 for way in self.ways if has_feature(client, vendor, name)]
        failures = {}
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            self.native_of = dict(zip(natives, pool.map(lambda job: self.run_native(*job), natives)))
            self.native_features = dict(zip(features, pool.map(
                lambda job: self.run_native_feature(*job), features)))

            def one(job):
                try:
                    (self.run_cell if job[2] in CASES else self.run_feature_cell)(*job)
                except Mismatch as mismatch:
                    return str(mismatch)
                except (OSError, IndexError) as error:
                    if self.fabric.gateway.running():
                        raise
                    return f"the gateway is gone ({error})"
                return None

            for job, why in zip(jobs, pool.map(one, jobs)):
                if why is not None:
                    failures.setdefault(job[:3], []).append((*job[3:], why))
        return failures, len(jobs)


def has_feature(client, vendor, name):
    return client in FEATURES[name].clients and vendor in FEATURES[name].vendors


# --- what is lost -----------------------------------------------------------------------------------

# A request of each format with all that may be lost of it.
FULL = {
    "openai": {
        "model": "m", "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "name": "ann", "content": [
                {"type": "text", "text": "look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64," + RIVER,
                                                    "detail": "low"}}]}],
        "temperature": 1.5, "top_p": 0.9, "stop": ["END"], "presence_penalty": 0.5,
        "frequency_penalty": 0.5, "logit_bias": {"50256": -100}, "logprobs": True, "top_logprobs": 2,
        "seed": 7, "reasoning_effort": "high", "verbosity": "low", "metadata": {"a": "b"}, "store": True,
        "service_tier": "priority", "user": "u", "prompt_cache_key": "k", "parallel_tool_calls": False,
        "prediction": {"type": "content", "content": "x"},
        "tools": [{"type": "function", "function": {"name": "f", "strict": True, "parameters": REPLY}}]},
    "responses": {
        "model": "m", "instructions": "Be brief.", "input": [{"role": "user", "content": "hi"}],
        "temperature": 1.5, "top_p": 0.9, "top_logprobs": 2,
        "include": ["message.output_text.logprobs", "reasoning.encrypted_content"], "store": True,
        "reasoning": {"effort": "high", "summary": "auto"}, "text": {"verbosity": "low"},
        "truncation": "auto", "metadata": {"a": "b"}, "service_tier": "flex", "user": "u",
        "prompt_cache_key": "k", "max_tool_calls": 3, "parallel_tool_calls": False,
        "tools": [{"type": "function", "name": "f", "parameters": REPLY, "strict": True}]},
    "anthropic": {
        "model": "m", "max_tokens": 4000, "system": [{"type": "text", "text": "Be brief.",
                                                      "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": "hi"}], "stop_sequences": ["END"], "temperature": 0.5,
        "top_k": 5, "metadata": {"user_id": "u"}, "service_tier": "standard_only",
        "output_config": {"effort": "high"},
        "tools": [{"name": "f", "input_schema": REPLY}],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
    "gemini": {
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
        "generationConfig": {"temperature": 1.5, "topP": 0.9, "topK": 5, "seed": 7,
                             "stopSequences": ["END"], "presencePenalty": 0.5, "frequencyPenalty": 0.5,
                             "responseLogprobs": True, "logprobs": 2,
                             "thinkingConfig": {"includeThoughts": True, "thinkingBudget": 4096}},
        "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": REPLY}]}]},
}


def losses(client, vendor):
    """(dropped, adjusted) as the gateway tells them of the full request."""
    done = subprocess.run([binary(), "convert", "--from", client, "--to", vendor, "--model",
                           MODELS[vendor]], input=json.dumps(FULL[client]), text=True,
                          capture_output=True, timeout=30)
    if done.returncode != 0:
        raise SystemExit(f"convert {client} to {vendor}: {done.stderr}")
    told = {"dropped": [], "adjusted": []}
    for line in done.stderr.splitlines():
        kind, _, path = line.partition(": ")
        if kind in told:
            told[kind].append(path)
    return told["dropped"], told["adjusted"]


# --- the table --------------------------------------------------------------------------------------


def own_limits(matrix):
    """Where a client's accumulator raises of itself what is no error of its vendor's classes."""
    found = {}
    for (client, case, language, mode), (_, failed) in matrix.native_of.items():
        if failed is not None and not failed.vendors:
            found.setdefault((language, client, mode, failed.kind), []).append(CASES[case][0])
    languages = {"node": "Node", "python": "Python"}
    return [f"- {languages[language]}'s {NAMES[client]} client ({mode}) raises `{kind}` of its own: "
            f"{', '.join(cases)}." for (language, client, mode, kind), cases in sorted(found.items())]


def table(matrix, failures):
    shown = [case for case in CASES if case not in UNSHOWN]
    lines = ["", "| client to vendor | " + " | ".join(CASES[case][0] for case in shown) + " |",
             "|---" * (1 + len(shown)) + "|"]
    for client, vendor in itertools.product(FORMATS, FORMATS):
        why = matrix.cells[client, vendor]
        marks = []
        for case in shown:
            limited = any(key[1] == client and key[2] == case for key in LIMITS) and vendor != "openai"
            mark = "no" if failures.get((client, vendor, case)) else "yes*" if limited else "yes"
            marks.append(mark if why is None else "")
        if why is not None:
            marks[0] = "not yet"
        lines.append(f"| {NAMES[client]} to {NAMES[vendor]} | " + " | ".join(marks) + " |")
    lines += ["", "\\* But for these limits of the clients' own accumulators:", ""]
    lines += [f"- {text}" for text in LIMITS.values()] + own_limits(matrix)
    lines += ["", "What is asked for less often: *refused* by a 400 that names the place, without asking the "
              "vendor; *dropped*, and told in", "the header; nothing where a client's format has no way to ask.",
              ""]
    lines += feature_table(matrix, failures)
    lines += ["", "What a request with everything in it loses (`x-penstock-dropped`, "
              "`x-penstock-adjusted`):", "", "| client to vendor | dropped | adjusted |", "|---|---|---|"]
    lines += ["| within one format | nothing | nothing |"]
    for client, vendor in itertools.permutations(FORMATS, 2):
        if matrix.cells[client, vendor] is not None:
            continue
        dropped, adjusted = (", ".join(f"`{path}`" for path in paths) or "nothing"
                             for paths in losses(client, vendor))
        lines.append(f"| {NAMES[client]} to {NAMES[vendor]} | {dropped} | {adjusted} |")
    return "\n".join(lines) + "\n"


def feature_table(matrix, failures):
    lines = ["| client to vendor | " + " | ".join(one.title for one in FEATURES.values()) + " |",
             "|---" * (1 + len(FEATURES)) + "|"]
    for client, vendor in itertools.product(FORMATS, FORMATS):
        marks = []
        for name, feature in FEATURES.items():
            wanted = feature.of(client, vendor)
            mark = {Refused: "refused", Instead: getattr(wanted, "mark", "")}.get(type(wanted), "yes")
            if not has_feature(client, vendor, name) or matrix.cells[client, vendor] is not None:
                mark = ""
            elif failures.get((client, vendor, name)):
                mark = "no"
            marks.append(mark)
        lines.append(f"| {NAMES[client]} to {NAMES[vendor]} | " + " | ".join(marks) + " |")
    return lines


def document(text, generated):
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{DOC.name} has no place for the table: {BEGIN}")
    return head + begin + "\n" + generated + "\n" + end + tail


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("-k", action="append", default=[])
    args = parser.parse_args()
    if args.k and (args.write or args.check):
        parser.error("the document needs all rows")
    matrix = Matrix(args.k)
    try:
        failures, count = matrix.run()
        generated = table(matrix, failures)
    finally:
        matrix.close()
    print(generated)
    skipped = 0
    for cell, why in KNOWN.items():
        found = failures.pop(cell, None)
        if found is None and cell[:2] in matrix.rows():
            failures[cell] = [("any", "any", "it holds now: take it from KNOWN")]
        elif found is not None:
            skipped += len(found)
            print(f"skipped: {NAMES[cell[0]]} to {NAMES[cell[1]]}, {cell[2]}: {why}; {found[0][2][:200]}")
    for (client, vendor, case), found in failures.items():
        for language, mode, why in found:
            print(f"{NAMES[client]} to {NAMES[vendor]}, {case}, {language}, {mode}: {why[:1500]}")
    for (client, vendor), why in matrix.cells.items():
        if why is not None:
            print(f"skipped: {NAMES[client]} to {NAMES[vendor]}: {why}")
    failed = sum(map(len, failures.values()))
    text = DOC.read_text(encoding="utf-8")
    fresh = document(text, generated)
    if args.write:
        DOC.write_text(fresh, encoding="utf-8")
    if args.check and fresh != text:
        failed += 1
        print("docs/conversion.md is not what this run found; after a look at the difference: "
              "python3 tests/strict/matrix.py --write")
    skipped += sum(why is not None for why in matrix.cells.values())
    print(f"{count - failed - skipped} passed, {failed} failed, {skipped} skipped")
    sys.exit(failed != 0)


if __name__ == "__main__":
    main()
