"""Messages as a vendor that holds to its own documents serves it."""

import base64
import json
import re

from common import Refusal, is_int, is_number, letters, pieces
from script import Asked, Call, Item, image_mark, result_text
from seal import prefix_digest, prefix_texts

FAMILY = "anthropic"
FIELDS = set("""model max_tokens messages system stream stop_sequences temperature top_p top_k thinking
    output_config tools tool_choice metadata service_tier speed inference_geo container cache_control
    context_management""".split())
BLOCK_FIELDS = {
    "text": {"text", "citations", "cache_control"},
    "image": {"source", "cache_control"},
    "document": {"source", "title", "context", "citations", "cache_control"},
    "tool_use": {"id", "name", "input", "cache_control", "caller"},
    "search_result": {"source", "title", "content", "citations", "cache_control"},
    "tool_result": {"tool_use_id", "content", "is_error", "cache_control"},
    "thinking": {"thinking", "signature"},
    "redacted_thinking": {"data"},
}
ROLE_BLOCKS = {"user": ("text", "image", "document", "search_result", "tool_result"),
               "assistant": ("text", "thinking", "redacted_thinking", "tool_use")}
MEDIA = ("image/jpeg", "image/png", "image/gif", "image/webp")
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
ID = re.compile(r"[a-zA-Z0-9_-]+")
EFFORTS = ("low", "medium", "high", "xhigh", "max")
MARKS_MAX = 4
# Tools that the vendor knows by their types, with dates behind: run by the client, or by the vendor.
TYPED_TOOLS = ("bash_", "text_editor_", "memory_", "computer_", "web_search_", "web_fetch_",
               "code_execution_", "tool_search_tool_")
FINISH = {"stop": "end_turn", "calls": "tool_use", "length": "max_tokens",
          "stop_string": "stop_sequence", "refused": "refusal", "filtered": "refusal"}
THINKING_DOCS = ("Please consult our documentation at https://docs.claude.com/en/docs/"
                 "build-with-claude/extended-thinking")


def refuse(message, status=400, kind=None):
    raise Refusal(message, status, kind)


def only(given, known, path):
    for name in given:
        if name not in known:
            refuse(f"{path}{name}: Extra inputs are not permitted")


def need(given, names, path):
    for name in names:
        if name not in given:
            refuse(f"{path}{name}: Field required")


def text_of(value, path):
    if not isinstance(value, str):
        refuse(f"{path}: Input should be a valid string")
    return value


def read_image(source, path):
    kind = source.get("type")
    if kind == "url":
        need(source, ("url",), f"{path}.url.")
        return image_mark("url", text_of(source["url"], path + ".url.url").encode())
    if kind != "base64":
        refuse(f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags: "
               "'base64', 'url', 'file'")
    only(source, {"type", "media_type", "data"}, path + ".base64.")
    need(source, ("media_type", "data"), path + ".base64.")
    if source["media_type"] not in MEDIA:
        refuse(f"{path}.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or "
               "'image/webp'")
    try:
        return image_mark(source["media_type"], base64.b64decode(source["data"], validate=True))
    except ValueError:
        refuse(f"{path}.base64: invalid base64 data")


def read_document(source, path):
    """The mark of a document, or its text where it is one."""
    kind = source.get("type")
    if kind == "url":
        need(source, ("url",), f"{path}.url.")
        return image_mark("url", text_of(source["url"], path + ".url.url").encode())
    if kind not in ("base64", "text"):
        refuse(f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags: "
               "'base64', 'content', 'file', 'text', 'url'")
    wanted = {"base64": "application/pdf", "text": "text/plain"}[kind]
    only(source, {"type", "media_type", "data"}, f"{path}.{kind}.")
    need(source, ("media_type", "data"), f"{path}.{kind}.")
    if source["media_type"] != wanted:
        refuse(f"{path}.{kind}.media_type: Input should be '{wanted}'")
    if kind == "text":
        return image_mark(wanted, source["data"].encode())
    try:
        data = base64.b64decode(source["data"], validate=True)
    except ValueError:
        refuse(f"{path}.base64: invalid base64 data")
    if not data.startswith(b"%PDF-"):
        refuse(f"{path}.base64.data: The PDF specified was not valid.")
    return image_mark(wanted, data)


def block_of(block, role, path):
    """Checks the block's shape, and gives its type."""
    if not isinstance(block, dict):
        refuse(f"{path}: Input should be a valid dictionary or object to extract fields from")
    kind = block.get("type")
    if kind is None:
        refuse(f"{path}.type: Field required")
    if kind not in BLOCK_FIELDS:
        tags = ", ".join(f"'{name}'" for name in BLOCK_FIELDS)
        refuse(f"{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags: "
               f"{tags}")
    if kind not in ROLE_BLOCKS[role]:
        refuse(f"{path[:path.index('.content')]}: `{kind}` blocks can only be in "
               f"`{'assistant' if role == 'user' else 'user'}` messages")
    only(block, BLOCK_FIELDS[kind] | {"type"}, f"{path}.{kind}.")
    return kind


def blocks_of(message, at):
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    if not isinstance(content, list):
        refuse(f"messages.{at}.content: Input should be a valid list")
    return content


class Turns:
    """Reads messages in their order."""

    def __init__(self, body, call, asked, vendor):
        self.body, self.call, self.asked, self.vendor = body, call, asked, vendor
        self.owed, self.ids = [], set()

    def read(self):
        messages = self.body["messages"]
        for at, message in enumerate(messages):
            if not isinstance(message, dict):
                refuse(f"messages.{at}: Input should be a valid dictionary or object to extract fields "
                       "from")
            need(message, ("role", "content"), f"messages.{at}.")
            only(message, {"role", "content"}, f"messages.{at}.")
            role = message["role"]
            if role == "system":
                refuse('messages: Unexpected role "system". The Messages API accepts a top-level '
                       '`system` parameter, not "system" as an input message role.')
            if role not in ROLE_BLOCKS:
                refuse(f"messages.{at}.role: Input should be 'user' or 'assistant'")
            blocks = blocks_of(message, at)
            last = at == len(messages) - 1
            if not blocks and not (last and role == "assistant"):
                refuse(f"messages.{at}: all messages must have non-empty content except for the "
                       "optional final assistant message")
            (self.user if role == "user" else self.assistant)(blocks, at)
        self.settled(len(messages) - 1, [])
        if messages[-1]["role"] == "assistant":
            refuse("This model does not support assistant message prefill. The conversation must end "
                   "with a user message.")

    def settled(self, at, found):
        lacking = [name for name in self.owed if name not in found]
        if lacking:
            refuse(f"messages.{at}: `tool_use` ids were found without `tool_result` blocks immediately "
                   f"after: {', '.join(lacking)}. Each `tool_use` block must have a corresponding "
                   "`tool_result` block in the next message.")

    def user(self, blocks, at):
        item, found, texts = Item("user"), [], []
        tools = Item("tools")
        for n, block in enumerate(blocks):
            path = f"messages.{at}.content.{n}"
            kind = block_of(block, "user", path)
            if kind == "tool_result":
                if texts or item.images:  # results stand before all else
                    self.settled(at - 1, found)
                self.result(block, path, found, tools)
            elif kind == "text":
                texts.append(self.text(block, path))
            elif kind == "image":
                need(block, ("source",), path + ".image.")
                item.images.append(read_image(block["source"], path + ".image.source"))
            elif kind == "document":
                need(block, ("source",), path + ".document.")
                item.images.append(read_document(block["source"], path + ".document.source"))
            elif kind == "search_result":
                need(block, ("source", "title", "content"), path + ".search_result.")
        self.settled(at - 1, found)
        self.owed = []
        item.text = "\n".join(texts)
        if tools.results:
            self.asked.items.append(tools)
        if item.text or item.images:
            self.asked.items.append(item)

    def result(self, block, path, found, tools):
        need(block, ("tool_use_id",), path + ".tool_result.")
        name = block["tool_use_id"]
        if name in found:
            refuse(f"{path.replace('.content.', ': content.')}: each tool_use must have a single "
                   f"result. Found multiple `tool_result` blocks with id: {name}")
        if name not in self.owed:
            refuse(f"{path}: unexpected `tool_use_id` found in `tool_result` blocks: {name}. Each "
                   "`tool_result` block must have a corresponding `tool_use` block in the previous "
                   "message.")
        found.append(name)
        content, texts = block.get("content") or "", []
        if isinstance(content, str):
            texts = [content]
        else:
            for n, part in enumerate(content):
                here = f"{path}.tool_result.content.{n}"
                kind = part.get("type")
                if kind == "text":
                    only(part, BLOCK_FIELDS["text"] | {"type"}, here + ".text.")
                    texts.append(self.text(part, here))
                elif kind == "image":
                    tools.images.append(read_image(part["source"], here + ".image.source"))
                elif kind == "document":
                    tools.images.append(read_document(part["source"], here + ".document.source"))
                elif kind == "tool_reference":
                    need(part, ("tool_name",), here + ".tool_reference.")
                    if part["tool_name"] not in self.asked.tools:
                        refuse(f"{here}.tool_reference: Tool reference '{part['tool_name']}' not found in "
                               "available tools")
                    texts.append(f"Loaded tool {part['tool_name']}")
                else:
                    refuse(f"{here}: Input tag '{kind}' found using 'type' does not match any of the "
                           "expected tags: 'document', 'image', 'search_result', 'text', "
                           "'tool_reference'")
        text = result_text("\n".join(texts), block.get("is_error") is True)
        tools.results.append((self.owed.index(name), text))

    def text(self, block, path):
        need(block, ("text",), path + ".text.")
        text = text_of(block["text"], path + ".text.text")
        if not text:
            if block.get("cache_control"):
                refuse(f"{path}.text: cache_control cannot be set for empty text blocks")
            refuse("messages: text content blocks must be non-empty")
        if not text.strip():
            refuse("messages: text content blocks must contain non-whitespace text")
        return text

    def assistant(self, blocks, at):
        self.settled(at - 1, [])
        item, texts = Item("assistant"), []
        for n, block in enumerate(blocks):
            path = f"messages.{at}.content.{n}"
            kind = block_of(block, "assistant", path)
            if kind == "text":
                texts.append(self.text(block, path))
            elif kind == "tool_use":
                self.use(block, path, item)
            else:
                self.thought(block, kind, at, path)
        self.owed = [call.id for call in item.calls]
        item.text = "".join(texts)
        self.asked.items.append(item)

    def use(self, block, path, item):
        need(block, ("id", "name", "input"), path + ".tool_use.")
        if not ID.fullmatch(text_of(block["id"], path + ".tool_use.id")):
            refuse(f"{path}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'")
        if not TOOL_NAME.fullmatch(text_of(block["name"], path + ".tool_use.name")):
            refuse(f"{path}.tool_use.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        if not isinstance(block["input"], dict):
            refuse(f"{path}.tool_use.input: Input should be a valid dictionary")
        if block["id"] in self.ids:
            refuse("messages: `tool_use` ids must be unique")
        self.ids.add(block["id"])
        item.calls.append(Call(block["name"], block["input"], block["id"]))

    def thought(self, block, kind, at, path):
        """A thought that comes back: whole, ours, of this account and model, in its old place."""
        if kind == "redacted_thinking":
            need(block, ("data",), f"{path}.{kind}.")
            sign, text, field = block["data"], "", "`data`"
        else:
            need(block, ("signature", "thinking"), f"{path}.{kind}.")
            sign, text, field = block["signature"], block["thinking"], "`signature`"
        said = self.vendor.seals.open(sign, FAMILY)
        if said is None or said["a"] != self.call.account:
            refuse(f"{path}: Invalid {field} in `{kind}` block")
        if said["t"] != self.vendor.digest(text):
            refuse(f"{path}: `thinking` or `redacted_thinking` blocks in the latest assistant message "
                   "cannot be modified. These blocks must remain as they were in the original "
                   "response.")
        if said["m"] != self.asked.model:
            refuse(f"{path}: Invalid {field} in `{kind}` block: it was not issued to this model")
        if said["p"] != prefix_digest(self.asked.extra["prefix"][:2 + at]):
            refuse(f"{path}: `{kind}` block is bound to a different conversation")
        self.vendor.returned(self.call, sign)


def read_tools(body, asked):
    tools = body.get("tools")
    if tools is not None and not isinstance(tools, list):
        refuse("tools: Input should be a valid list")
    for at, tool in enumerate(tools or []):
        kind = tool.get("type") or "custom"
        if kind.startswith(TYPED_TOOLS):
            need(tool, ("name",), f"tools.{at}.{kind}.")
            if "input_schema" in tool:
                refuse(f"tools.{at}.{kind}.input_schema: Extra inputs are not permitted")
            asked.tools[tool["name"]] = kind
            continue
        if kind != "custom":
            tags = ", ".join(f"'{name}...'" for name in TYPED_TOOLS)
            refuse(f"tools.{at}: Input tag '{kind}' found using 'type' does not match any of the expected "
                   f"tags: 'custom', {tags}")
        path = f"tools.{at}.custom."
        only(tool, {"name", "description", "input_schema", "type", "strict", "cache_control",
                    "defer_loading", "input_examples", "allowed_callers", "eager_input_streaming"}, path)
        need(tool, ("name", "input_schema"), path)
        if not TOOL_NAME.fullmatch(text_of(tool["name"], path + "name")):
            refuse(f"{path}name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'")
        schema = tool["input_schema"]
        if not isinstance(schema, dict):
            refuse(f"{path}input_schema: Input should be a valid dictionary")
        need(schema, ("type",), path + "input_schema.")
        if schema["type"] != "object":
            refuse(f"{path}input_schema.type: Input should be 'object'")
        if any(name in schema for name in ("anyOf", "oneOf", "allOf")):
            refuse(f"{path}input_schema: input_schema does not support oneOf, allOf, or anyOf at the "
                   "top level")
        if tool["name"] in asked.tools:
            refuse("tools: Tool names must be unique.")
        asked.tools[tool["name"]] = tool.get("description") or ""
    choice = body.get("tool_choice")
    if choice is None:
        return
    kind = choice.get("type")
    if kind not in ("auto", "any", "tool", "none"):
        refuse(f"tool_choice: Input tag '{kind}' found using 'type' does not match any of the expected "
               "tags: 'auto', 'any', 'tool', 'none'")
    known = {"type"} | ({"disable_parallel_tool_use"} if kind != "none" else set()) | (
        {"name"} if kind == "tool" else set())
    only(choice, known, f"tool_choice.{kind}.")
    if not tools and kind != "none":
        refuse(f"tool_choice.{kind}: may only be specified while providing tools")
    if kind == "tool" and choice.get("name") not in asked.tools:
        refuse(f"Tool '{choice.get('name')}' not found in provided tools")
    asked.choice = {"auto": "auto", "any": "must", "none": "none"}.get(kind, f"={choice.get('name')}")
    asked.parallel = choice.get("disable_parallel_tool_use") is not True


def read_thinking(body, asked):
    thinking = body.get("thinking")
    if thinking is None:
        return
    kind = thinking.get("type")
    if kind not in ("enabled", "disabled", "adaptive"):
        refuse(f"thinking: Input tag '{kind}' found using 'type' does not match any of the expected "
               "tags: 'adaptive', 'disabled', 'enabled'")
    only(thinking, {"type", "display"} | ({"budget_tokens"} if kind == "enabled" else set()),
         f"thinking.{kind}.")
    if kind == "disabled":
        return
    asked.thinks = True
    if kind == "enabled":
        need(thinking, ("budget_tokens",), "thinking.enabled.")
        if not is_int(thinking["budget_tokens"]) or thinking["budget_tokens"] < 1024:
            refuse("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024")
        if thinking["budget_tokens"] >= body["max_tokens"]:
            refuse("`max_tokens` must be greater than `thinking.budget_tokens`. " + THINKING_DOCS)
    if asked.choice == "must" or asked.choice.startswith("="):
        refuse("Thinking may not be enabled when tool_choice forces tool use.")
    if body.get("temperature") not in (None, 1):
        refuse("`temperature` may only be set to 1 when thinking is enabled. " + THINKING_DOCS)
    if body.get("top_k") is not None:
        refuse("`top_k` must be unset when thinking is enabled. " + THINKING_DOCS)
    if body.get("top_p") is not None and body["top_p"] < 0.95:
        refuse("`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled. "
               + THINKING_DOCS)
    if kind == "enabled":
        thought_first(body["messages"])


def thought_first(messages):
    """With a budget, the turn whose tools were just answered begins with a thought."""
    if len(messages) < 2 or not isinstance(messages[-1]["content"], list):
        return
    if not any(block.get("type") == "tool_result" for block in messages[-1]["content"]):
        return
    at = len(messages) - 2
    while at > 1 and any(block.get("type") == "tool_result" for block in blocks_of(messages[at - 1], at)):
        at -= 2  # the first answer of the turn is the one that has to begin so
    kind = blocks_of(messages[at], at)[0].get("type")
    if kind not in ("thinking", "redacted_thinking"):
        refuse(f"messages.{at}.content.0.type: Expected `thinking` or `redacted_thinking`, but found "
               f"`{kind}`. When `thinking` is enabled, a final `assistant` message must start with a "
               "thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks). "
               "We recommend you include thinking blocks from previous turns. To avoid this "
               "requirement, disable `thinking`. " + THINKING_DOCS)


def read_options(body, asked):
    for name, high in (("temperature", 1), ("top_p", 1)):
        value = body.get(name)
        if value is not None and (not is_number(value) or not 0 <= value <= high):
            refuse(f"{name}: range: 0..{high}")
    if body.get("temperature") is not None and body.get("top_p") is not None:
        refuse("`temperature` and `top_p` cannot both be specified for this model. Please use only one.")
    for name in body.get("stop_sequences") or []:
        if not name.strip():
            refuse("stop_sequences: each stop sequence must contain non-whitespace")
    asked.stops = body.get("stop_sequences") or []
    only(body.get("metadata") or {}, {"user_id"}, "metadata.")
    config = body.get("output_config") or {}
    only(config, {"effort", "format"}, "output_config.")
    if config.get("effort") not in (None, *EFFORTS):
        refuse("output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'")
    form = config.get("format")
    if form is not None:
        need(form, ("type", "schema"), "output_config.format.")
        only(form, {"type", "schema"}, "output_config.format.")
        for where in objects_of(form["schema"]):
            if where.get("additionalProperties") is not False:
                refuse("output_config.format.schema: For 'object' type, 'additionalProperties' must be "
                       "explicitly set to false")
        asked.schema = form["schema"]
    read_marks(body)


def objects_of(schema):
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for inner in schema.values():
            yield from objects_of(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from objects_of(inner)


def marks_of(value, path):
    """(path, mark) of each mark in the order of a prompt's parts."""
    if isinstance(value, dict):
        if value.get("cache_control") is not None:
            yield path + "cache_control", value["cache_control"]
        for name, inner in value.items():
            if name not in ("cache_control", "input", "input_schema"):
                yield from marks_of(inner, f"{path}{name}.")
    elif isinstance(value, list):
        for at, inner in enumerate(value):
            yield from marks_of(inner, f"{path}{at}.")


def read_marks(body):
    """At most four, of a length that there is, the long ones first."""
    marks = [mark for name in ("tools", "system", "messages") for mark in marks_of(body.get(name), name + ".")]
    if body.get("cache_control") is not None:
        marks.append(("cache_control", body["cache_control"]))
    short = False
    for path, mark in marks:
        if mark.get("type") != "ephemeral":
            refuse(f"{path}: Input tag '{mark.get('type')}' found using 'type' does not match any of the "
                   "expected tags: 'ephemeral'")
        only(mark, {"type", "ttl"}, f"{path}.ephemeral.")
        if mark.get("ttl", "5m") not in ("5m", "1h"):
            refuse(f"{path}.ephemeral.ttl: Input should be '5m' or '1h'")
        if short and mark.get("ttl") == "1h":
            refuse(f"{path}.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control "
                   "block. Note that blocks are processed in the following order: `tools`, `system`, "
                   "`messages`.")
        short = short or mark.get("ttl", "5m") == "5m"
    if len(marks) > MARKS_MAX:
        refuse(f"A maximum of {MARKS_MAX} blocks with cache_control may be provided. Found {len(marks)}.")


def read_system(system, asked):
    if isinstance(system, str):
        asked.system = system
    elif system is not None:
        for at, block in enumerate(system):
            if block.get("type") != "text":
                refuse(f"system.{at}.type: Input should be 'text'")
            only(block, BLOCK_FIELDS["text"] | {"type"}, f"system.{at}.")
            if not block.get("text"):
                refuse("system: text content blocks must be non-empty")
        asked.system = "\n\n".join(block["text"] for block in system)


def read(body, call, vendor):
    """The request as the model sees it, or a Refusal."""
    if not call.headers.get("anthropic-version"):
        refuse("anthropic-version: header is required")
    need(body, ("model", "messages", "max_tokens"), "")
    only(body, FIELDS, "")
    if not is_int(body["max_tokens"]) or body["max_tokens"] < 1:
        refuse("max_tokens: Input should be greater than or equal to 1")
    if not isinstance(body["messages"], list) or not body["messages"]:
        refuse("messages: at least one message is required")
    asked = Asked(call.account, text_of(body["model"], "model"), cap=body["max_tokens"])
    asked.stream = body.get("stream") is True
    asked.extra["prefix"] = prefix_texts(body.get("tools"), body.get("system"), *body["messages"])
    read_system(body.get("system"), asked)
    read_tools(body, asked)
    read_options(body, asked)
    Turns(body, call, asked, vendor).read()
    read_thinking(body, asked)
    return asked


# --- answers ----------------------------------------------------------------------------------------


def usage(answer):
    use = answer.usage
    return {"input_tokens": use.fresh, "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": use.cached,
            "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
            "output_tokens": use.output, "output_tokens_details": {"thinking_tokens": use.thought},
            "server_tool_use": None, "service_tier": "standard", "inference_geo": None, "speed": None}


def blocks(asked, answer, vendor):
    call, out = asked.extra["call"], []
    if answer.thought is not None:
        sign = vendor.seals.sign(FAMILY, call.account, asked.model,
                                 prefix_digest(asked.extra["prefix"]), answer.thought)
        vendor.issued(call, sign)
        out.append({"type": "thinking", "thinking": answer.thought, "signature": sign})
    if answer.redacted:
        data = vendor.seals.sign(FAMILY, call.account, asked.model, prefix_digest(asked.extra["prefix"]), "")
        vendor.issued(call, data)
        out.append({"type": "redacted_thinking", "data": data})
    out += text_blocks(answer)
    for k, made in enumerate(answer.calls):
        half = answer.half and k == len(answer.calls) - 1
        out.append({"type": "tool_use", "id": "toolu_" + letters(made.id, 24), "name": made.name,
                    "input": {} if half else made.args, "caller": {"type": "direct"}})
    return out


def text_blocks(answer):
    """Cited words are blocks of their own; between them stands the rest."""
    text, at, out = answer.text or answer.refusal, 0, []
    for start, end, url, title in answer.cites:
        cite = {"type": "web_search_result_location", "url": url, "title": title,
                "cited_text": text[start:end], "encrypted_index": "RW5j"}
        out += [(text[at:start], None), (text[start:end], [cite])]
        at = end
    out.append((text[at:], None))
    return [{"type": "text", "text": part, "citations": cites} for part, cites in out if part]


def ending(answer):
    details = None
    if answer.finish in ("refused", "filtered"):
        details = {"type": "refusal", "category": None, "explanation": None}
    return {"stop_reason": FINISH[answer.finish], "stop_sequence": answer.stop_string or None,
            "stop_details": details, "container": None}


def whole(asked, answer, vendor):
    return {"id": "msg_" + letters(asked.account + asked.prefix, 24), "type": "message",
            "role": "assistant", "model": asked.model, "content": blocks(asked, answer, vendor),
            **ending(answer), "diagnostics": None, "usage": usage(answer)}


def event(value):
    return f"event: {value['type']}\ndata: {json.dumps(value, ensure_ascii=False)}\n\n".encode()


def events(asked, answer, vendor):
    content = blocks(asked, answer, vendor)
    start = whole(asked, answer, vendor)
    start.update(content=[], stop_reason=None, stop_sequence=None, stop_details=None)
    start["usage"] = {**start["usage"], "output_tokens": 1, "output_tokens_details": None}
    yield event({"type": "message_start", "message": start})
    yield event({"type": "ping"})
    for at, block in enumerate(content):
        for made in block_events(at, block, asked, answer):
            if made is None:
                if answer.broken == "break":
                    yield event({**error_body(TROUBLES[answer.why]())})
                return
            yield made
    yield event({"type": "message_delta", "delta": ending(answer), "usage": usage(answer)})
    yield event({"type": "message_stop"})


def block_events(at, block, asked, answer):
    kind, seed = block["type"], asked.prefix

    def delta(**members):
        return event({"type": "content_block_delta", "index": at, "delta": members})

    if kind == "thinking":
        shell, deltas = {**block, "thinking": "", "signature": ""}, [
            {"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"], seed)
        ] + [{"type": "signature_delta", "signature": block["signature"]}]
    elif kind == "text":
        shell, deltas = {**block, "text": ""}, [
            {"type": "text_delta", "text": piece} for piece in pieces(block["text"], seed)]
        if block["citations"]:
            shell["citations"] = []
            deltas += [{"type": "citations_delta", "citation": cite} for cite in block["citations"]]
    elif kind == "redacted_thinking":
        shell, deltas = block, []
    elif answer.half and block["id"] == "toolu_" + letters(answer.calls[-1].id, 24):
        shell = {**block, "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces(
            json.dumps(answer.calls[-1].args, ensure_ascii=False)[:-2], seed)]
    else:
        text = json.dumps(block["input"], ensure_ascii=False)
        shell = {**block, "input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": ""}] + [
            {"type": "input_json_delta", "partial_json": piece}
            for piece in pieces(text if block["input"] else "", seed)]
    yield event({"type": "content_block_start", "index": at, "content_block": shell})
    for n, members in enumerate(deltas):
        if answer.broken and (kind, n) == (("tool_use", 2) if answer.calls else ("text", 3)):
            yield None
            return
        yield delta(**members)
    yield event({"type": "content_block_stop", "index": at})


KINDS = {400: "invalid_request_error", 401: "authentication_error", 402: "billing_error",
         403: "permission_error", 404: "not_found_error", 413: "request_too_large",
         429: "rate_limit_error", 500: "api_error", 503: "api_error", 529: "overloaded_error"}


def trouble(message, status, kind=None):
    return lambda: Refusal(message, status, kind)


# Errors that have nothing to do with the request's form, by the names of the script.
TROUBLES = {
    "context": trouble("prompt is too long: 210021 tokens > 200000 maximum", 400),
    "policy": trouble("Output blocked by content filtering policy", 400),
    "key": trouble("invalid x-api-key", 401),
    "country": trouble("Your organization does not have access to Claude in this region.", 403),
    "large": trouble("Request exceeds the maximum size", 413),
    "rate": trouble("This request would exceed your organization's rate limit of 50 requests per minute.",
                    429),
    "quota": trouble("Your credit balance is too low to access the Anthropic API.", 402),
    "server": trouble("Internal server error", 500),
    "overloaded": trouble("Overloaded", 529),
    "timeout": trouble("Request timed out", 504, "timeout_error"),
}


def error_body(refusal):
    kind = refusal.kind or KINDS.get(refusal.status, "api_error")
    return {"type": "error", "error": {"type": kind, "message": refusal.message},
            "request_id": "req_strict"}
