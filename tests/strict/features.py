"""What is asked for less often, and how: the rows of the matrix's second table.

A feature knows how each client asks for it and reads what came of it. It is held against what the same
client gets without a gateway, unless its table of cells says what a pair of formats makes of it instead:
refused with the path in the client's own request, or something else that conversion's tables promise.
"""

import base64
from dataclasses import dataclass, field
from typing import Callable

import plan

FORMATS = ("openai", "responses", "anthropic", "gemini")
PDF = base64.b64encode(b"%PDF-1.4\n1 0 obj <<>> endobj\n%%EOF\n").decode()
WAV = base64.b64encode(b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0").decode()
PAGE = "https://example.com/report.pdf"
PICTURE = "https://example.com/river.png"
SHOT = plan.picture("shot")


@dataclass
class Refused:
    """The client gets a 400 that names this path, and no vendor is asked."""

    path: str


@dataclass
class Instead:
    """What comes of it, and what the table calls that."""

    value: object
    mark: str


@dataclass
class Feature:
    title: str
    says: list                              # what the user says, a text a turn
    read: Callable                          # (format, steps): what is compared
    parts: dict = field(default_factory=dict)    # format: parts of the first turn
    extra: dict = field(default_factory=dict)    # format: members of the request
    clients: tuple = FORMATS                # the formats that can ask for it
    vendors: tuple = FORMATS                # the vendors that it is asked of
    options: dict = field(default_factory=dict)
    results: Callable = None                # (format, name, args): (text, failed, parts)
    cells: dict = field(default_factory=dict)    # (client, vendor): Refused or Instead; None is any
    target: str = "strict"
    like: str = ""                          # the client whose native answer counts, where not its own
    signed: bool = False                    # what the vendor signed has to come back

    def of(self, client, vendor):
        for key in ((client, vendor), (None, vendor), (client, None)):
            if key in self.cells and client != vendor:
                return self.cells[key]
        return None


def texts(form, steps):
    return [step["text"] for step in steps]


def loop(form, steps):
    return [(step["text"], step["calls"], step["finish"]) for step in steps]


def choices(form, steps):
    """The text of each choice."""
    if form == "openai":
        return [choice["message"]["content"] for choice in steps[0]["whole"]["choices"]]
    said = {}
    for chunk in steps[0]["whole"]:
        for one in chunk.get("candidates") or []:
            parts = (one.get("content") or {}).get("parts") or []
            said[one.get("index") or 0] = said.get(one.get("index") or 0, "") + "".join(
                part.get("text") or "" for part in parts)
    return [said[k] for k in sorted(said)]


def tokens(form, steps):
    """[(token, its log probability, what else might have stood there)], or nothing."""
    whole = steps[0]["whole"]
    if form == "gemini":
        found = [one["logprobsResult"] for chunk in whole for one in chunk.get("candidates") or []
                 if one.get("logprobsResult")]
        chosen = [one for result in found for one in result.get("chosenCandidates") or []]
        others = [one["candidates"] for result in found for one in result.get("topCandidates") or []]
        return [(one["token"], one["logProbability"],
                 [(other["token"], other["logProbability"]) for other in more or []])
                for one, more in zip(chosen, others)]
    if form == "openai":
        entries = (whole["choices"][0].get("logprobs") or {}).get("content") or []
    elif form == "responses":
        entries = [one for item in whole["output"] for part in item.get("content") or []
                   for one in part.get("logprobs") or []]
    else:
        return []
    return [(one["token"], one["logprob"], [(other["token"], other["logprob"])
                                            for other in one["top_logprobs"]]) for one in entries]


def sources(form, steps):
    """[(what was cited, url, title)] and the text."""
    whole, text = steps[0]["whole"], steps[0]["text"]
    if form == "openai":
        cites = [one["url_citation"] for one in whole["choices"][0]["message"].get("annotations") or []]
    elif form == "responses":  # places are those of their part
        return text, [(part["text"][one["start_index"]:one["end_index"]], one["url"], one["title"])
                      for item in whole["output"] for part in item.get("content") or []
                      for one in part.get("annotations") or []]
    elif form == "anthropic":
        return text, [(cite["cited_text"], cite["url"], cite["title"]) for block in whole["content"]
                      for cite in block.get("citations") or []]
    else:
        found = [one["groundingMetadata"] for chunk in whole for one in chunk.get("candidates") or []
                 if one.get("groundingMetadata")]
        webs = [chunk["web"] for one in found for chunk in one["groundingChunks"]]
        data = text.encode()
        return text, [(data[support["segment"].get("startIndex") or 0:support["segment"]["endIndex"]].decode(),
                       webs[n]["uri"], webs[n]["title"]) for one in found
                      for support in one["groundingSupports"] for n in support["groundingChunkIndices"]]
    return text, [(text[cite["start_index"]:cite["end_index"]], cite["url"], cite["title"])
                  for cite in cites]


def cut(form, steps):
    """The end, and whether a call that the limit cut is shown as if it were whole."""
    step = steps[0]
    whole = []
    if form == "openai":
        whole = [args for _, args in step["calls"] if not isinstance(args, str)]
    elif form == "responses":
        whole = [item for item in step["whole"]["output"]
                 if item["type"] == "function_call" and item["status"] != "incomplete"]
    elif form == "gemini":
        whole = step["calls"]
    return step["text"], step["finish"], whole


def stopped(form, steps):
    """The text, and which string it was where the format says so."""
    which = steps[0]["whole"]["stop_sequence"] if form == "anthropic" else None
    return steps[0]["text"], steps[0]["finish"], which


def ended(form, steps):
    """The text and the end; Gemini's own clients get no candidate at all of a prompt that was blocked."""
    finish = steps[0]["finish"]
    return steps[0]["text"], "filtered" if finish == "unknown end None" else finish


def note(text, *parts):
    """The same answer to each call."""
    return lambda form, name, args: (text, False, *parts)


def shown(form, name, args):
    """A picture from a tool."""
    return "a shot", False, {
        "responses": [{"type": "input_text", "text": "a shot"},
                      {"type": "input_image", "image_url": "data:image/png;base64," + SHOT, "detail": "auto"}],
        "anthropic": [{"type": "text", "text": "a shot"}, {"type": "image", "source": {
            "type": "base64", "media_type": "image/png", "data": SHOT}}],
        "gemini": [{"inlineData": {"mimeType": "image/png", "data": SHOT}}]}[form]


def found(form, name, args):
    """A search among tools brings one along."""
    if name != "tool_search":
        return "done", False
    return "", False, [{"type": "function", "name": "late", "description": "A tool that was found.",
                        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
                        "strict": False}]


WRITTEN = '"*** Begin\\n\\u00e9 \\"q\\" \\\\ \\ud83c\\udf0a {\\n\\t}"'
CITED = ("> say \u00e9\u00e9 \U0001f30a first.\n> cite https://example.com/a One Caf\u00e9s \U0001f30a open early.\n"
         "> say Then\n> cite https://example.com/b Two they close.\n> say So it is.\n> bare")
SEARCH = {"type": "tool_search", "execution": "client", "description": "Finds tools.",
          "parameters": {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"],
                         "additionalProperties": False}}

FEATURES = {
    "shot": Feature(
        "image from a tool", ["> call now\n> then\n> see\n> bare"], texts, options={"tools": plan.TOOLS},
        clients=("responses", "anthropic", "gemini"), results=shown),
    "pdf": Feature("PDF", ["> see\n> bare"], texts, {
        "openai": [{"type": "file", "file": {"filename": "a.pdf",
                                             "file_data": "data:application/pdf;base64," + PDF}}],
        "responses": [{"type": "input_file", "filename": "a.pdf",
                       "file_data": "data:application/pdf;base64," + PDF}],
        "anthropic": [{"type": "document", "title": "a.pdf", "source": {
            "type": "base64", "media_type": "application/pdf", "data": PDF}}],
        "gemini": [{"inlineData": {"mimeType": "application/pdf", "data": PDF}}]}),
    "page": Feature("PDF by URL", ["> see\n> bare"], texts, {
        "responses": [{"type": "input_file", "file_url": PAGE}],
        "anthropic": [{"type": "document", "source": {"type": "url", "url": PAGE}}],
        "gemini": [{"fileData": {"fileUri": PAGE, "mimeType": "application/pdf"}}]},
        clients=("responses", "anthropic", "gemini"), cells={
            ("responses", "openai"): Refused("input[0].content[1]"),
            ("anthropic", "openai"): Refused("messages[0].content[0]"),
            ("gemini", "openai"): Refused("contents[0].parts[0]")}),
    "link": Feature("image by URL", ["> see\n> bare"], texts, {
        "openai": [{"type": "image_url", "image_url": {"url": PICTURE}}],
        "responses": [{"type": "input_image", "image_url": PICTURE, "detail": "auto"}],
        "anthropic": [{"type": "image", "source": {"type": "url", "url": PICTURE}}],
        "gemini": [{"fileData": {"fileUri": PICTURE, "mimeType": "image/png"}}]}),
    "sound": Feature("sound", ["> see\n> bare"], texts, {
        "openai": [{"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}],
        "responses": [{"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}}],
        "gemini": [{"inlineData": {"mimeType": "audio/wav", "data": WAV}}]},
        clients=("openai", "responses", "gemini"), cells={
            ("openai", "anthropic"): Refused("messages[1].content[1]"),
            ("responses", "anthropic"): Refused("input[0].content[1]"),
            ("gemini", "anthropic"): Refused("contents[0].parts[0]")}),
    "free": Feature("free-text tool", ["> write patch " + WRITTEN + "\n> then\n> results"], loop, extra={
        "openai": {"tools": [{"type": "custom", "custom": {"name": "patch", "description": "Patches."}}]},
        "responses": {"tools": [{"type": "custom", "name": "patch", "description": "Patches."}]}},
        clients=("openai", "responses"), results=note("patched")),
    "search": Feature(
        "tool search", ['> call tool_search {"q": "x"}\n> then\n> call late {"a": 1}\n> then\n> say so\n> bare'],
        loop, extra={"responses": {"tools": [SEARCH]}}, clients=("responses",), results=found),
    "reference": Feature(
        "tool reference", ['> call find {"what": "x"}\n> then\n> results\n> bare'], texts,
        options={"tools": plan.TOOLS}, clients=("anthropic",),
        results=note("", [{"type": "tool_reference", "tool_name": "note"}])),
    "cites": Feature("citations", [CITED], sources, options={"tools": plan.TOOLS}, extra={
        "openai": {"web_search_options": {}}, "responses": {"tools": [{"type": "web_search"}]},
        "anthropic": {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        "gemini": {"tools": [{"googleSearch": {}}]}}),
    "probable": Feature("log probabilities", ["> say h\u00e9llo \U0001f30a there\n> bare"], tokens, extra={
        "openai": {"logprobs": True, "top_logprobs": 2},
        "responses": {"include": ["message.output_text.logprobs"], "top_logprobs": 2},
        "gemini": {"responseLogprobs": True, "logprobs": 2}},
        clients=("openai", "responses", "gemini"), target="plain",
        cells={(None, "anthropic"): Instead([], "dropped")}),
    "choices": Feature("two choices", ["> say one\n> bare"], choices, extra={
        "openai": {"n": 2}, "gemini": {"candidateCount": 2}}, clients=("openai", "gemini"), target="plain",
        cells={("openai", "responses"): Refused("n"), ("openai", "anthropic"): Refused("n"),
               ("gemini", "responses"): Refused("generationConfig.candidateCount"),
               ("gemini", "anthropic"): Refused("generationConfig.candidateCount")}),
    "stops": Feature("stop sequence", ["> say one END two\n> bare"], stopped, extra={
        "openai": {"stop": ["END"]}, "anthropic": {"stop_sequences": ["END"]},
        "gemini": {"stopSequences": ["END"]}}, clients=("openai", "anthropic", "gemini"), target="plain",
        cells={(None, "responses"): Instead(("one END two", "stop", None), "dropped"),
               ("anthropic", None): Instead(("one ", "stop", None), "yes")}),
    "redacted": Feature(
        "redacted thinking", ['> redact\n> say a\n> call add {"a": 1, "b": 2}\n> then\n> say b\n> bare',
                              "> say c\n> bare"], loop, options={"tools": plan.TOOLS, "thinks": True},
        vendors=("anthropic",), signed=True),
    # A vendor of Chat's kind that tells its reasoning: of use to test_features.py alone.
    "thoughts": Feature(
        "(reasoning)", ['> think one\n> call add {"a": 1, "b": 2}\n> then\n> think two\n> say b\n> bare',
                        '> think three\n> call now\n> then\n> say d\n> bare'], texts, vendors=(),
        options={"tools": plan.TOOLS, "thinks": True}),
    "block": Feature("prompt blocked", ["> block"], ended),
    "half": Feature(
        "call cut by the limit", ['> say so\n> bare\n> half note {"text": "some words that are not to be run"}'],
        cut, options={"tools": plan.TOOLS}),
}

# What does not hold yet: (client, vendor, feature): why. It counts as failed as soon as it holds.
KNOWN = {}
