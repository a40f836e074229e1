"""The strict vendor's model: what it says follows from the conversation alone.

The last message of the user holds lines that begin with `> `, one order each; `> then` parts the
answers of one turn, of which each but the last ends in calls. Whatever it says as text ends in a
digest of all that it was told so far, so a conversation that lost or changed something on its way
to the vendor is told apart from one that did not.

    > think TEXT        thinks first, where the request asks for it
    > say TEXT
    > results           says what the tools answered
    > see               says which images, documents and sounds it was given
    > cite URL TITLE WORDS   says the words as what stands at the URL (no spaces in either)
    > redact            thinks, and shows nobody what
    > call NAME JSON
    > write NAME JSON   a call with free text, which JSON holds as a string
    > half NAME JSON    a call that the length limit cuts
    > json JSON         answers in JSON, where a schema asks for it
    > refuse TEXT       in the model's own words
    > filter            what was said until here stands, and a filter ends it
    > block             a filter lets the prompt not even in
    > bare              the text without the digest
    > error STATUS      an error instead of an answer, by its status or its name
    > break NAME        an error in the middle of the stream; an unnamed one is the server's
    > cut               the connection ends in the middle of the answer: of its text, or of a call
"""

import hashlib
import json
import re
from dataclasses import dataclass, field

from common import digest, sorted_text

BYTES_A_TOKEN = 4
REDACTED_TOKENS = 5
TAIL = ' \u00ab{}\u00bb \U0001f600 "q" \\ \u2028.'  # what a copy that is not exact gets wrong


@dataclass
class Call:
    name: str
    args: dict
    id: str = ""
    free: bool = False  # the arguments' `input` is what the model wrote


@dataclass
class Item:
    """One step of a conversation, whatever its format: who is user, assistant or tools."""

    who: str
    text: str = ""
    images: list = field(default_factory=list)  # marks of all that is no text
    calls: list = field(default_factory=list)
    results: list = field(default_factory=list)  # (index of the call, text)
    refusal: str = ""

    def said(self):
        """All of it that counts, as one text."""
        return "\x1f".join([self.who, self.text, *self.images,
                            *(f"{call.name}({sorted_text(call.args)})" for call in self.calls),
                            *(f"{at}={text}" for at, text in sorted(self.results)), self.refusal])


@dataclass
class Asked:
    """A request as the model sees it."""

    account: str
    model: str
    system: str = ""
    items: list = field(default_factory=list)
    tools: dict = field(default_factory=dict)  # name: what it is described as
    choice: str = "auto"                       # none, auto, must, or =NAME
    parallel: bool = True
    thinks: bool = False
    schema: object = None                      # the JSON schema, or True for any JSON
    cap: int | None = None
    stops: list = field(default_factory=list)
    stream: bool = False
    free: set = field(default_factory=set)     # names of the tools that take free text
    choices: int = 1
    logprobs: int | None = None                # how many others a token, where asked for
    usage_wanted: bool = True
    prefix: str = ""                           # digest of all that stands before the answer
    extra: dict = field(default_factory=dict)  # of the format that read it


@dataclass
class Usage:
    fresh: int = 0   # input that is new
    cached: int = 0  # input of earlier turns
    output: int = 0  # all of it
    thought: int = 0


@dataclass
class Answer:
    thought: str | None = None
    shown: bool = True    # the thought, and not only its signature
    text: str = ""
    refusal: str = ""
    calls: list = field(default_factory=list)
    finish: str = "stop"  # stop, calls, length, stop_string, refused, filtered
    stop_string: str = ""
    cites: list = field(default_factory=list)  # (from, to, url, title): of the text's characters
    redacted: bool = False
    blocked: bool = False
    half: bool = False    # the last call was cut by the limit
    broken: str = ""      # break, cut; in the first call, or else in the text
    why: str = ""         # the kind of error that breaks it
    usage: Usage = field(default_factory=Usage)


class Trouble(Exception):
    """An error that the script asks for."""

    def __init__(self, kind):
        super().__init__(kind)
        self.kind = kind


def image_mark(media, data):
    return f"{media}:{hashlib.sha256(data).hexdigest()[:16]}"


def tokens(text):
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_A_TOKEN)


def merged(items):
    """Steps of one side that follow each other are one."""
    out = []
    for item in items:
        if out and out[-1].who == item.who:
            last = out[-1]
            between = "" if item.who == "assistant" else "\n"  # a stream may be kept piece by piece
            last.text = between.join(text for text in (last.text, item.text) if text)
            last.images = last.images + item.images
            last.calls = last.calls + item.calls
            last.results = last.results + item.results
            last.refusal = last.refusal or item.refusal
        else:
            out.append(Item(item.who, item.text, list(item.images), list(item.calls),
                            list(item.results), item.refusal))
    return out


def result_text(value, failed=False):
    """What a tool answered, told alike whether the format has a place for failure or not."""
    text = value if isinstance(value, str) else sorted_text(value)
    return text if not failed or text.startswith("Error: ") else "Error: " + text


def orders_of(text):
    """[[(word, rest)] an answer]"""
    answers = [[]]
    for line in text.split("\n"):
        if not line.startswith("> "):
            continue
        word, _, rest = line[2:].strip().partition(" ")
        if word == "then":
            answers.append([])
        else:
            answers[-1].append((word, rest))
    return answers


def conversation_of(items):
    """The marker by which the first message names its conversation, or None."""
    first = next((item.text for item in items if item.who == "user"), "")
    found = re.search(r"\bconversation ([A-Za-z0-9-]+)", first)
    return found.group(1) if found else None


def answer(asked):
    """What the model says; raises Trouble."""
    items = merged(asked.items)
    told = digest(asked.system, *(item.said() for item in items))
    users = [i for i, item in enumerate(items) if item.who == "user"]
    ordered = [i for i in users if orders_of(items[i].text) != [[]]]
    at = max(ordered or users, default=None)  # pictures of results may stand behind the orders
    orders, step, results, images = [[]], 0, [], []
    if at is not None:
        orders = orders_of(items[at].text)
        step = sum(item.who == "assistant" for item in items[at:])
        results = [text for item in items[at:] for _, text in sorted(item.results)]
        images = [mark for item in items for mark in item.images]
    out = Answer(shown=asked.extra.get("show", True))
    texts, cites, wants_json, bare = [], [], None, False
    for word, rest in orders[step] if step < len(orders) else []:
        if word == "think" and asked.thinks:
            out.thought = f"{rest} <{told}>"
        elif word == "say":
            texts.append(rest)
        elif word == "results":
            texts.append("results " + "; ".join(results))
        elif word == "see":
            texts.append("I see " + (", ".join(images) or "nothing"))
        elif word == "cite":
            url, title, words = rest.split(" ", 2)
            start = len(" ".join([*texts, ""]))
            texts.append(words)
            cites.append((start, start + len(words), url, title))
        elif word == "redact" and asked.thinks:
            out.redacted = True
        elif word == "call":
            name, _, args = rest.partition(" ")
            if name in asked.tools:
                out.calls.append(Call(name, json.loads(args or "{}")))
            else:
                texts.append(f"there is no tool {name}")
        elif word == "write":
            name, _, text = rest.partition(" ")
            if name in asked.tools:
                out.calls.append(Call(name, {"input": json.loads(text)}, free=name in asked.free))
            else:
                texts.append(f"there is no tool {name}")
        elif word == "half":
            name, _, args = rest.partition(" ")
            out.calls.append(Call(name, json.loads(args), free=name in asked.free))
            out.half = True
        elif word == "json":
            wants_json = rest
        elif word == "refuse":
            out.refusal = rest
        elif word == "error":
            raise Trouble(rest)
        elif word == "filter":
            out.finish, bare = "filtered", True
        elif word == "block":
            out.finish, out.blocked, bare = "filtered", True, True
        elif word == "bare":
            bare = True
        elif word in ("break", "cut"):
            out.broken, out.why = word, rest or "server"
    forced_calls(asked, out, texts)
    if wants_json is not None and asked.schema is not None:
        out.text = wants_json
    elif out.refusal:
        out.finish = "refused"
    elif not out.calls or texts:
        out.text = " ".join(texts or ([] if out.blocked else ["ok"])) + ("" if bare else TAIL.format(told))
    out.cites = cites
    if out.calls:
        out.finish = "length" if out.half else "calls"
    number_calls(asked, out)
    limit(asked, out)
    count(asked, items, out)
    return out


def forced_calls(asked, out, texts):
    """The choice of tools is obeyed, so that one that was lost on the way shows in the answer."""
    if asked.choice == "none" and out.calls:
        out.calls = []
        texts.append("calls are off")
    elif asked.choice == "must" and not out.calls:
        out.calls = [Call(sorted(asked.tools)[0], {})]
    elif asked.choice.startswith("="):
        kept = [call for call in out.calls if call.name == asked.choice[1:]]
        out.calls = kept or [Call(asked.choice[1:], {})]
    if not asked.parallel:
        out.calls = out.calls[:1]


def number_calls(asked, out):
    for k, call in enumerate(out.calls):
        call.id = digest(asked.account, asked.prefix, str(k))


def limit(asked, out):
    """Stop strings and the cap, in this order; a call is never cut, as the cap is on text."""
    for stop in asked.stops:
        head, found, _ = out.text.partition(stop)
        if found:
            out.text, out.finish, out.stop_string = head, "stop_string", stop
    room = asked.cap
    if room is not None and tokens(out.text) > room:
        data = out.text.encode()[:room * BYTES_A_TOKEN]
        out.text, out.calls = data.decode("utf-8", "ignore"), []
        out.finish, out.stop_string = "length", ""


def count(asked, items, out):
    sizes = [tokens(item.said()) for item in items]
    tools = sum(tokens(name + about) for name, about in asked.tools.items())
    fixed = tokens(asked.system) + tools
    use = out.usage
    use.cached = fixed + sum(sizes[:-1]) if len(sizes) > 1 else 0
    use.fresh = sum(sizes) + fixed - use.cached
    use.thought = tokens(out.thought or "") + (REDACTED_TOKENS if out.redacted else 0)
    use.output = use.thought + tokens(out.text) + tokens(out.refusal) + sum(
        tokens(call.name + sorted_text(call.args)) for call in out.calls)
