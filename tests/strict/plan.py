"""Seeded conversations: what a user says in twenty turns, and what the tools answer.

A plan does not know formats. The same seed gives the same words, so two conversations of one plan can
be compared turn by turn.
"""

import base64
import json
import random
import struct
import zlib

TURNS = 20
SYSTEM = "You are exact.\nAnswer \u201cbriefly\u201d."
TOOLS = [
    {"name": "add", "about": "Adds two numbers.", "schema": {
        "type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
        "required": ["a", "b"]}},
    {"name": "now", "about": "Tells the time.", "schema": {"type": "object", "properties": {}}},
    {"name": "note", "about": "Keeps a note, and what belongs to it.", "schema": {
        "type": "object", "properties": {
            "text": {"type": "string", "description": "The note."},
            "tags": {"type": "array", "items": {"type": "string"}},
            "place": {"type": "object", "properties": {"x": {"type": "integer"}}}},
        "required": ["text"]}},
    {"name": "find", "about": "Finds notes; fails where there are none.", "schema": {
        "type": "object", "properties": {"what": {"type": "string"}}, "required": ["what"]}},
]
WORDS = ("river stone \u00e9t\u00e9 na\u00efve \u65e5\u672c\u8a9e \U0001f30a tab\\t \"quoted\" slash/back\\\\ "
         "\u2028line <tag> &amp; {brace} [x] null 1e5 \u0416\u0443\u043a long-hyphenated").split(" ")


def picture(seed):
    """A PNG of one pixel, base64."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    pixel = zlib.compress(b"\0" + random.Random(seed).randbytes(3))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
                            + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")).decode()


class Turn:
    def __init__(self, text, images, stream):
        self.text, self.images, self.stream = text, images, stream


def words(rng, least, most):
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(least, most)))


def call_line(rng):
    kind = rng.choice(["add", "now", "note", "find"])
    if kind == "add":
        args = {"a": rng.randint(-99, 99), "b": rng.choice([0.5, 7, -3])}
    elif kind == "now":
        args = {}
    elif kind == "note":
        args = {"text": words(rng, 1, 30), "tags": [words(rng, 1, 2) for _ in range(rng.randint(0, 3))],
                "place": {"x": rng.randint(0, 9)}}
    else:
        args = {"what": rng.choice(["river", "nothing"])}
    return f"> call {kind} {json.dumps(args, ensure_ascii=rng.random() < 0.5)}"


def turns_of(seed, count=TURNS, thinks=True, marker=None):
    """The turns of a conversation. Each of the things that may come up comes up in any twenty."""
    rng = random.Random(seed)
    kinds = ["say", "call", "calls", "chain", "see", "long", "call", "chain"]
    deck = [kinds[i % len(kinds)] for i in range(count)]
    rng.shuffle(deck)
    turns = []
    for at, kind in enumerate(deck):
        lines = [f"conversation {marker or seed}, turn {at}"]
        images = []

        def open_step(first=False):
            if thinks and (first or rng.random() < 0.5):
                lines.append("> think " + words(rng, 1, 12))
            if rng.random() < 0.5:
                lines.append("> say " + words(rng, 1, 6))

        open_step(True)  # a model that is told to think begins with it
        if kind == "say":
            lines.append("> say " + words(rng, 1, 10))
        elif kind == "long":
            lines.append("> say " + words(rng, 200, 400))
        elif kind == "see":
            images = [picture(rng.random()) for _ in range(rng.randint(1, 2))]
            lines.append("> see")
        else:
            for step in range({"call": 1, "calls": 1, "chain": 3}[kind]):
                if step:
                    lines.append("> then")
                    open_step()
                for _ in range(rng.randint(2, 4) if kind == "calls" else 1):
                    lines.append(call_line(rng))
            lines.append("> then")
            lines.append("> results")
        turns.append(Turn("\n".join(lines), images, rng.random() < 0.5))
    return turns


def run_tool(name, args):
    """(text, failed)"""
    if name == "add":
        return str(args["a"] + args["b"]), False
    if name == "now":
        return "noon", False
    if name == "note":
        return json.dumps({"kept": args["text"], "tags": len(args.get("tags", []))}, ensure_ascii=False), \
            False
    if args["what"] == "nothing":
        return "no notes", True
    return "", False  # an empty result is a result


def hold(talk, turns, before=lambda at, step: None):
    """Holds a conversation to its end: [(turn, answer)] of every step. `before` is called ahead of each
    request."""
    said = []
    for at, turn in enumerate(turns):
        before(at, 0)
        answer = talk.ask(turn.text, turn.stream, turn.images)
        said.append((at, answer))
        step = 0
        while answer["calls"]:
            step += 1
            before(at, step)
            results = [run_tool(name, args) for name, args in answer["calls"]]
            answer = talk.results(results, turn.stream)
            said.append((at, answer))
    return said


def words_of(said):
    """A transcript without what depends on the format: which turn, text, calls, end, input."""
    return [(at, answer["text"], answer["calls"], answer["finish"], answer["usage"]["input"],
             answer["usage"]["cached"]) for at, answer in said]
