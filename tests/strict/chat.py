"""Chat Completions as a vendor that holds to its own documents serves it."""

import base64
import itertools
import json
import re

from common import Refusal, is_int, is_number, letters, pieces
from script import Asked, Call, Item, image_mark, result_text
from seal import prefix_texts

FAMILY = "openai"
IDS = "call_"
FIELDS = set("""model messages stream stream_options max_completion_tokens max_tokens temperature top_p
    n stop presence_penalty frequency_penalty logit_bias logprobs top_logprobs seed tools tool_choice
    parallel_tool_calls functions function_call response_format reasoning_effort verbosity modalities
    audio prediction moderation web_search_options metadata store service_tier user safety_identifier
    prompt_cache_key prompt_cache_options prompt_cache_retention""".split())
MESSAGE_FIELDS = {
    "developer": {"content", "name"}, "system": {"content", "name"}, "user": {"content", "name"},
    "assistant": {"content", "refusal", "tool_calls", "audio", "function_call", "name", "annotations"},
    "tool": {"content", "tool_call_id"}, "function": {"content", "name"},
}
PART_FIELDS = {
    "text": {"text"}, "image_url": {"image_url"}, "input_audio": {"input_audio"}, "file": {"file"},
    "refusal": {"refusal"},
}
PART_ROLES = {"text": MESSAGE_FIELDS.keys(), "image_url": {"user"}, "input_audio": {"user"},
              "file": {"user"}, "refusal": {"assistant"}}
NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
ID_MAX = 64
STOPS_MAX = 4
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
# Models of compatible servers, and what becomes of the reasoning that they tell: asked for again beside
# calls, or refused (both as documented: DeepSeek's V4 and R1).
DIALECTS = {"deepseek-v4": "wanted", "deepseek-reasoner": "refused"}
FINISH = {"stop": "stop", "calls": "tool_calls", "length": "length", "stop_string": "stop",
          "refused": "stop", "filtered": "content_filter"}


def reasons(model):
    """Whether the model is one of those that think, and then refuse to be steered otherwise."""
    return re.match(r"gpt-5|o\d", model) is not None


def refuse(message, param=None, code=None, status=400):
    raise Refusal(message, status, "invalid_request_error", code, param)


def unknown(param):
    refuse(f"Unknown parameter: '{param}'.", param, "unknown_parameter")


def missing(param):
    refuse(f"Missing required parameter: '{param}'.", param, "missing_required_parameter")


def wrong_type(param, wanted, value):
    names = {str: "a string", bool: "a boolean", int: "an integer", float: "a decimal",
             list: "an array", dict: "an object", type(None): "null"}
    refuse(f"Invalid type for '{param}': expected {wanted}, but got {names[type(value)]} instead.",
           param, "invalid_type")


def want(value, kind, param):
    wanted = {str: "a string", list: "an array", dict: "an object", bool: "a boolean"}[kind]
    if not isinstance(value, kind):
        wrong_type(param, wanted, value)
    return value


def only(given, known, path):
    for name in given:
        if name not in known:
            unknown(f"{path}.{name}" if path else name)


def within(value, low, high, param):
    if not is_number(value):
        wrong_type(param, "a decimal", value)
    kind = "integer" if is_int(value) else "decimal"
    if value < low:
        refuse(f"Invalid '{param}': {kind} below minimum value. Expected a value >= {low}, but got "
               f"{value} instead.", param, f"{kind}_below_min_value")
    if value > high:
        refuse(f"Invalid '{param}': {kind} above maximum value. Expected a value <= {high}, but got "
               f"{value} instead.", param, f"{kind}_above_max_value")


def identifier(value, param):
    want(value, str, param)
    if not value:
        refuse(f"Invalid '{param}': empty string. Expected a string with minimum length 1, but got an "
               "empty string instead.", param, "empty_string")
    if len(value) > ID_MAX:
        refuse(f"Invalid '{param}': string too long. Expected a string with maximum length {ID_MAX}, "
               f"but got a string with length {len(value)} instead.", param, "string_above_max_length")


def tool_name(name, param):
    if name is None:
        missing(param)
    if not NAME.fullmatch(want(name, str, param)):
        refuse(f"Invalid '{param}': string does not match pattern. Expected a string that matches the "
               "pattern '^[a-zA-Z0-9_-]+$'.", param, "invalid_value")


def strict_schema(schema, path, param, what):
    """What a strict schema has to say of each of its objects."""
    def fail(why):
        refuse(f"Invalid schema for {what}: In context={path}, {why}", param,
               "invalid_function_parameters" if what.startswith("function") else None)
    if not isinstance(schema, dict):
        return
    if "properties" in schema or schema.get("type") == "object":
        if schema.get("additionalProperties") is not False:
            fail("'additionalProperties' is required to be supplied and to be false.")
        names = set(schema.get("properties", {}))
        if set(schema.get("required", [])) != names:
            fail("'required' is required to be supplied and to be an array including every key in "
                 f"properties. Missing '{(sorted(names - set(schema.get('required', []))) or ['?'])[0]}'.")
        for name, inner in schema.get("properties", {}).items():
            strict_schema(inner, (*path, "properties", name), param, what)
    strict_schema(schema.get("items"), (*path, "items"), param, what)
    for at, inner in enumerate(schema.get("anyOf", [])):
        strict_schema(inner, (*path, "anyOf", str(at)), param, what)


def document_of(given, path, name):
    """The mark of a file that comes along with the request; `name` is the member that has it."""
    if given.get("file_id") is not None:
        refuse(f"Invalid file id: '{given['file_id']}' was not found.", f"{path}.file_id", "invalid_value", 404)
    if given.get(name) is None:
        missing(f"{path}.{name}")
    if not given.get("filename"):
        missing(f"{path}.filename")
    found = re.fullmatch(r"data:([a-z]+/[a-z0-9.+-]+);base64,([A-Za-z0-9+/]+={0,2})", given[name])
    if found is None:
        refuse(f"Invalid '{path}.{name}'. Expected a base64-encoded data URL with a file's MIME type.",
               f"{path}.{name}", "invalid_value")
    return image_mark(found.group(1), base64.b64decode(found.group(2)))


def sound_of(given, path):
    only(want(given, dict, path), {"data", "format"}, path)
    if given.get("format") not in ("wav", "mp3"):
        refuse(f"Invalid value: '{given.get('format')}'. Supported values are: 'wav' and 'mp3'.",
               f"{path}.format", "invalid_value")
    try:
        data = base64.b64decode(want(given.get("data"), str, path + ".data"), validate=True)
    except ValueError:
        refuse(f"Invalid '{path}.data': expected base64-encoded audio.", f"{path}.data", "invalid_value")
    return image_mark("audio/" + given["format"], data)


def free_format(form, path):
    """What a free-text tool says of its text. Chat wraps a grammar once more than Responses."""
    kind = want(form, dict, path).get("type")
    if kind not in ("text", "grammar"):
        refuse(f"Invalid value: '{kind}'. Supported values are: 'text' and 'grammar'.", path + ".type",
               "invalid_value")


def data_url(url, param):
    """(media type, bytes) of a data URL; the mark of any other."""
    found = re.fullmatch(r"data:([a-z]+/[a-z0-9.+-]+);base64,([A-Za-z0-9+/]+={0,2})", url)
    if found is None:
        if url.startswith("https://"):
            return "url", url.encode()
        refuse(f"Invalid '{param}'. Expected a base64-encoded data URL with an image MIME type (e.g. "
               "'data:image/png;base64,aW1nIGJ5dGVzIGhlcmU='), but got a value without the 'data:' "
               "prefix." if not url.startswith("data:") else
               f"Invalid base64 image_url in '{param}'.", param, "invalid_image_url")
    return found.group(1), base64.b64decode(found.group(2))


def read_parts(content, role, path):
    """(text, image marks)"""
    if isinstance(content, str):
        return content, []
    texts, images = [], []
    if not want(content, list, f"{path}.content"):
        refuse(f"Invalid '{path}.content': empty array. Expected an array with minimum length 1, but "
               "got an empty array instead.", f"{path}.content", "empty_array")
    for at, part in enumerate(content):
        here = f"{path}.content[{at}]"
        kind = want(part, dict, here).get("type")
        if kind is None:
            missing(here + ".type")
        if kind not in PART_FIELDS or role not in PART_ROLES[kind]:
            allowed = [name for name in PART_FIELDS if role in PART_ROLES[name]]
            words = ", ".join(f"'{name}'" for name in allowed)
            refuse(f"Invalid value: '{kind}'. Supported values are: {words}.", here, "invalid_value")
        only(part, PART_FIELDS[kind] | {"type", "prompt_cache_breakpoint"}, here)
        if kind not in part:
            missing(f"{here}.{kind}")
        if kind in ("text", "refusal"):
            texts.append(want(part[kind], str, f"{here}.{kind}"))
        elif kind == "image_url":
            only(want(part[kind], dict, here + ".image_url"), {"url", "detail"}, here + ".image_url")
            media, data = data_url(part[kind].get("url", ""), here + ".image_url.url")
            images.append(image_mark(media, data))
        elif kind == "input_audio":
            images.append(sound_of(part[kind], here + ".input_audio"))
        elif kind == "file":
            only(want(part[kind], dict, here + ".file"), {"file_data", "file_id", "filename"}, here + ".file")
            images.append(document_of(part[kind], here + ".file", "file_data"))
    return ("" if role == "assistant" else "\n").join(texts), images


def read_calls(calls, path):
    out = []
    if not want(calls, list, path):
        refuse(f"Invalid '{path}': empty array. Expected an array with minimum length 1, but got an "
               "empty array instead.", path, "empty_array")
    for at, call in enumerate(calls):
        here = f"{path}[{at}]"
        free = want(call, dict, here).get("type") == "custom"
        kind = "custom" if free else "function"
        only(call, {"id", "type", kind}, here)
        for name in ("id", "type", kind):
            if name not in call:
                missing(f"{here}.{name}")
        identifier(call["id"], here + ".id")
        if call["id"] in [made.id for made in out]:
            refuse(f"Duplicate value for 'tool_call_id' of '{call['id']}'", path, None)
        if free:
            only(call["custom"], {"name", "input"}, here + ".custom")
            tool_name(call["custom"].get("name"), here + ".custom.name")
            if "input" not in call["custom"]:
                missing(here + ".custom.input")
            out.append(Call(call["custom"]["name"], {"input": call["custom"]["input"]}, call["id"], True))
            continue
        only(call["function"], {"name", "arguments"}, here + ".function")
        tool_name(call["function"].get("name"), here + ".function.name")
        text = call["function"].get("arguments")
        if text is None:
            missing(here + ".function.arguments")
        try:
            args = json.loads(want(text, str, here + ".function.arguments") or "{}")
        except ValueError:
            args = {"_text": text}
        out.append(Call(call["function"]["name"], args, call["id"]))
    return out


def reasoning_fields(message, model, at):
    """What of a message's reasoning a compatible server takes, wants or refuses."""
    way = DIALECTS.get(model)
    if message.get("role") != "assistant" or way is None:
        return set()
    if way == "wanted" and message.get("tool_calls") and not message.get("reasoning_content"):
        refuse("The `reasoning_content` in the thinking mode must be passed back to the API.")
    if way == "refused" and "reasoning_content" in message:
        refuse(f"reasoning_content is not allowed in the input messages (messages[{at}]).")
    return {"reasoning_content"}


def read_messages(messages, asked):
    owed, calls = [], {}  # ids that have no answer yet; places of the calls of this turn

    def settled(at):
        if owed:
            refuse("An assistant message with 'tool_calls' must be followed by tool messages responding "
                   "to each 'tool_call_id'. The following tool_call_ids did not have response messages: "
                   + ", ".join(owed), f"messages.[{at}].role")

    for at, message in enumerate(messages):
        here = f"messages[{at}]"
        role = want(message, dict, here).get("role")
        if role is None:
            missing(here + ".role")
        if role not in MESSAGE_FIELDS:
            refuse(f"Invalid value: '{role}'. Supported values are: 'system', 'assistant', 'user', "
                   "'function', 'tool', and 'developer'.", here + ".role", "invalid_value")
        only(message, MESSAGE_FIELDS[role] | {"role"} | reasoning_fields(message, asked.model, at), here)
        content = message.get("content")
        if role == "tool":
            call = message.get("tool_call_id")
            if call is None:
                missing(here + ".tool_call_id")
            if call not in owed:
                refuse("Invalid parameter: messages with role 'tool' must be a response to a preceeding "
                       "message with 'tool_calls'.", f"messages.[{at}].role")
            owed.remove(call)
            text, _ = read_parts(content, role, here)
            asked.items.append(Item("tools", results=[(calls[call], result_text(text))]))
            continue
        settled(at)
        if role == "assistant":
            made = message.get("tool_calls")
            if content is None and made is None and not message.get("refusal"):
                refuse("Invalid value for 'content': expected a string, got null.",
                       f"messages.[{at}].content")
            text, _ = read_parts(content, role, here) if content is not None else ("", [])
            made = read_calls(made, here + ".tool_calls") if made is not None else []
            owed, calls = [call.id for call in made], {call.id: k for k, call in enumerate(made)}
            asked.items.append(Item("assistant", text, calls=made, refusal=message.get("refusal") or ""))
            continue
        if content is None:
            refuse("Invalid value for 'content': expected a string, got null.",
                   f"messages.[{at}].content")
        text, images = read_parts(content, role, here)
        if role in ("system", "developer") and not asked.items:
            asked.system = "\n\n".join(part for part in (asked.system, text) if part)
        else:
            asked.items.append(Item("user" if role == "user" else "system", text, images))
    settled(len(messages))


def read_tools(body, asked):
    tools = body.get("tools")
    if tools is not None and not want(tools, list, "tools"):
        refuse("Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty "
               "array instead.", "tools", "empty_array")
    for at, tool in enumerate(tools or []):
        here = f"tools[{at}]"
        if want(tool, dict, here).get("type") == "custom":
            only(tool, {"type", "custom"}, here)
            made = tool.get("custom") or {}
            only(made, {"name", "description", "format"}, here + ".custom")
            tool_name(made.get("name"), here + ".custom.name")
            if made.get("format") is not None:
                free_format(made["format"], here + ".custom.format")
            asked.tools[made["name"]] = made.get("description") or ""
            asked.free.add(made["name"])
            continue
        if tool.get("type") != "function":
            refuse(f"Invalid value: '{tool.get('type')}'. Supported values are: 'function' and "
                   "'custom'.", here + ".type", "invalid_value")
        only(tool, {"type", "function"}, here)
        if "function" not in tool:
            missing(here + ".function")
        function = tool["function"]
        only(function, {"name", "description", "parameters", "strict"}, here + ".function")
        tool_name(function.get("name"), here + ".function.name")
        parameters = function.get("parameters")
        if parameters is not None and parameters.get("type") != "object":
            refuse(f"Invalid schema for function '{function['name']}': schema must be a JSON Schema of "
                   f"'type: \"object\"', got 'type: \"{parameters.get('type', 'None')}\"'.",
                   here + ".function.parameters", "invalid_function_parameters")
        if function.get("strict"):
            strict_schema(parameters, (), here + ".function.parameters",
                          f"function '{function['name']}'")
        asked.tools[function["name"]] = function.get("description") or ""
    for name in ("tool_choice", "parallel_tool_calls"):
        if body.get(name) is not None and not tools:
            refuse(f"Invalid value for '{name}': '{name}' is only allowed when 'tools' are specified.",
                   name)
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        kind = choice.get("type") if choice.get("type") in ("function", "custom") else "function"
        name = (choice.get(kind) or {}).get("name")
        if choice.get("type") != kind or name not in asked.tools:
            refuse(f"Invalid value for 'tool_choice': no function named '{name}' was specified in the "
                   "'tools' parameter.", "tool_choice")
        asked.choice = "=" + name
    elif choice is not None:
        words = {"none": "none", "auto": "auto", "required": "must"}
        if choice not in words:
            refuse(f"Invalid value: '{choice}'. Supported values are: 'none', 'auto', and 'required'.",
                   "tool_choice", "invalid_value")
        asked.choice = words[choice]
    asked.parallel = body.get("parallel_tool_calls") is not False


def read_sampling(body, asked):
    for name, low, high in (("temperature", 0, 2), ("top_p", 0, 1), ("presence_penalty", -2, 2),
                            ("frequency_penalty", -2, 2), ("top_logprobs", 0, 20), ("n", 1, 128),
                            ("max_tokens", 1, 1 << 31), ("max_completion_tokens", 1, 1 << 31)):
        if body.get(name) is not None:
            within(body[name], low, high, name)
    if reasons(asked.model):
        if body.get("max_tokens") is not None:
            refuse("Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                   "'max_completion_tokens' instead.", "max_tokens", "unsupported_parameter")
        for name, only_value in (("temperature", 1), ("top_p", 1)):
            if body.get(name) not in (None, only_value):
                refuse(f"Unsupported value: '{name}' does not support {body[name]} with this model. Only "
                       f"the default ({only_value}) value is supported.", name, "unsupported_value")
        for name in ("presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "stop"):
            if body.get(name):
                refuse(f"Unsupported parameter: '{name}' is not supported with this model.", name,
                       "unsupported_parameter")
    elif body.get("reasoning_effort") is not None and asked.model not in DIALECTS:
        refuse("Unrecognized request argument supplied: reasoning_effort", None)
    effort = body.get("reasoning_effort")
    if effort is not None and effort not in EFFORTS:
        words = ", ".join(f"'{word}'" for word in EFFORTS[:-1])
        refuse(f"Invalid value: '{effort}'. Supported values are: {words}, and '{EFFORTS[-1]}'.",
               "reasoning_effort", "invalid_value")
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        refuse("Invalid value for 'top_logprobs': 'top_logprobs' is only allowed when 'logprobs' is "
               "enabled.", "top_logprobs")
    asked.choices = body.get("n") or 1
    asked.logprobs = (body.get("top_logprobs") or 0) if body.get("logprobs") else None
    stop = body.get("stop")
    asked.stops = [stop] if isinstance(stop, str) else list(stop or [])
    if len(asked.stops) > STOPS_MAX:
        refuse(f"Invalid 'stop': array too long. Expected an array with maximum length {STOPS_MAX}, but "
               f"got an array with length {len(asked.stops)} instead.", "stop", "array_above_max_length")
    asked.cap = body.get("max_completion_tokens") or body.get("max_tokens")
    if body.get("metadata") is not None and not body.get("store"):
        refuse("The 'metadata' parameter is only allowed when 'store' is enabled.", "metadata")


def read_format(body, asked):
    form = body.get("response_format")
    if form is None:
        return
    kind = want(form, dict, "response_format").get("type")
    if kind == "json_schema":
        only(form, {"type", "json_schema"}, "response_format")
        inner = form.get("json_schema")
        if inner is None:
            missing("response_format.json_schema")
        only(inner, {"name", "description", "schema", "strict"}, "response_format.json_schema")
        tool_name(inner.get("name"), "response_format.json_schema.name")
        if inner.get("strict"):
            strict_schema(inner.get("schema"), (), "response_format",
                          f"response_format '{inner['name']}'")
        asked.schema = inner.get("schema", True)
    elif kind == "json_object":
        if "json" not in json.dumps(body["messages"]).lower():
            refuse("'messages' must contain the word 'json' in some form, to use 'response_format' of "
                   "type 'json_object'.", "messages")
        asked.schema = True
    elif kind != "text":
        refuse(f"Invalid value: '{kind}'. Supported values are: 'json_object', 'json_schema', and "
               "'text'.", "response_format.type", "invalid_value")


def read(body, call, vendor):
    """The request as the model sees it, or a Refusal."""
    for name in body:
        if name not in FIELDS:
            refuse(f"Unrecognized request argument supplied: {name}")
    if not body.get("model"):
        refuse("you must provide a model parameter")
    if "messages" not in body:
        missing("messages")
    if not want(body["messages"], list, "messages"):
        refuse("Invalid 'messages': empty array. Expected an array with minimum length 1, but got an "
               "empty array instead.", "messages", "empty_array")
    asked = Asked(call.account, want(body["model"], str, "model"))
    asked.stream = body.get("stream") is True
    options = body.get("stream_options")
    if options is not None and not asked.stream:
        refuse("The 'stream_options' parameter is only allowed when 'stream' is enabled.",
               "stream_options")
    if options is not None:
        only(options, {"include_usage", "include_obfuscation"}, "stream_options")
    asked.thinks = asked.model in DIALECTS
    asked.usage_wanted = not asked.stream or bool((options or {}).get("include_usage"))
    read_messages(body["messages"], asked)
    read_tools(body, asked)
    read_sampling(body, asked)
    read_format(body, asked)
    asked.extra["prefix"] = prefix_texts(body.get("tools"), *body["messages"])
    return asked


# --- answers ----------------------------------------------------------------------------------------


def usage(answer):
    use = answer.usage
    total_in = use.fresh + use.cached
    return {"prompt_tokens": total_in, "completion_tokens": use.output,
            "total_tokens": total_in + use.output,
            "prompt_tokens_details": {"cached_tokens": use.cached, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": use.thought, "audio_tokens": 0,
                                          "accepted_prediction_tokens": 0,
                                          "rejected_prediction_tokens": 0}}


def call_json(call, half):
    if call.free:
        return {"id": IDS + letters(call.id, 24), "type": "custom",
                "custom": {"name": call.name, "input": call.args["input"][:-1 if half else None]}}
    text = json.dumps(call.args, ensure_ascii=False)
    return {"id": IDS + letters(call.id, 24), "type": "function",
            "function": {"name": call.name, "arguments": text[:-2] if half else text}}


def calls_json(answer):
    """The calls; of the last one the end is missing where the limit came first."""
    last = len(answer.calls) - 1
    return [call_json(call, answer.half and k == last) for k, call in enumerate(answer.calls)]


def frame(asked):
    return {"id": "chatcmpl-" + letters(asked.account + asked.prefix, 29), "created": 1760000000,
            "model": asked.model + "-2026-01-31", "service_tier": "default",
            "system_fingerprint": "fp_strict"}


def token(text, others):
    """A piece's log probability, and those of what might have stood there."""
    def one(text, at):
        return {"token": text, "logprob": -0.125 - at, "bytes": list(text.encode())}
    return {**one(text, len(text)), "top_logprobs": [one(text + "?" * k, k) for k in range(others)]}


def seed_of(asked):
    """What an answer's cuts follow from; where they are told as tokens, from the text alone."""
    return asked.prefix if asked.logprobs is None else ""


def tokens_of(text, asked):
    return [token(piece, asked.logprobs) for piece in pieces(text, seed_of(asked))]


def cites_json(answer):
    return [{"type": "url_citation", "url_citation": {"start_index": start, "end_index": end, "title": title,
                                                      "url": url}} for start, end, url, title in answer.cites]


def choice_text(answer, k):
    """What the choices after the first say is a little more."""
    return answer.text + f" ({k})" * (k > 0)


def whole(asked, answer, vendor):
    def choice(k):
        text = choice_text(answer, k)
        message = {"role": "assistant", "content": text or None, "refusal": answer.refusal or None,
                   "annotations": cites_json(answer)}
        if answer.calls:
            message["tool_calls"] = calls_json(answer)
        if answer.thought is not None:
            message["reasoning_content"] = answer.thought
        probable = None if asked.logprobs is None else {"content": tokens_of(text, asked), "refusal": None}
        return {"index": k, "message": message, "logprobs": probable, "finish_reason": FINISH[answer.finish]}

    return {**frame(asked), "object": "chat.completion",
            "choices": [choice(k) for k in range(asked.choices)], "usage": usage(answer)}


def events(asked, answer, vendor):
    """The bytes of each event; `broken` answers end where the error or the cut is. Choices interleave."""
    head = {**frame(asked), "object": "chat.completion.chunk"}
    tail = {"usage": None} if asked.usage_wanted else {}

    def chunk(k, delta, finish=None, probable=None):
        choice = {"index": k, "delta": delta, "logprobs": probable, "finish_reason": finish}
        return event({**head, "choices": [choice], **tail,
                      "obfuscation": letters(json.dumps(delta), 5)})

    def choice(k):
        yield chunk(k, {"role": "assistant", "content": None if answer.calls and not answer.text else "",
                        "refusal": None})
        for piece in pieces(answer.thought or "", asked.prefix):
            yield chunk(k, {"reasoning_content": piece})
        for name, text in (("content", choice_text(answer, k)), ("refusal", answer.refusal)):
            for at, piece in enumerate(pieces(text, seed_of(asked))):
                if answer.broken and not answer.calls and at == 3:
                    yield None
                    return
                probable = None if asked.logprobs is None else {
                    "content": [token(piece, asked.logprobs)], "refusal": None}
                yield chunk(k, {name: piece}, probable=probable)
        if answer.cites:
            yield chunk(k, {"annotations": cites_json(answer)})
        for n, made in enumerate(calls_json(answer)):
            kind, name = made["type"], "input" if made["type"] == "custom" else "arguments"
            text, made[kind][name] = made[kind][name], ""
            yield chunk(k, {"tool_calls": [{"index": n, **made}]})
            for at, piece in enumerate(pieces(text, asked.prefix)):
                if answer.broken and at == 1:
                    yield None
                    return
                yield chunk(k, {"tool_calls": [{"index": n, kind: {name: piece}}]})
        yield chunk(k, {}, FINISH[answer.finish])

    for round_of in itertools.zip_longest(*(choice(k) for k in range(asked.choices)), fillvalue=b""):
        for made in round_of:
            if made is None:
                if answer.broken == "break":
                    yield event(error_body(TROUBLES[answer.why]()))
                return
            yield made
    if asked.usage_wanted:
        yield event({**head, "choices": [], "usage": usage(answer)})
    yield b"data: [DONE]\n\n"


def event(value):
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"


KINDS = {401: ("invalid_request_error", "invalid_api_key"), 403: ("permission_error", None),
         404: ("invalid_request_error", "model_not_found"),
         429: ("rate_limit_error", "rate_limit_exceeded"), 500: ("server_error", None),
         503: ("server_error", "server_is_overloaded")}


def trouble(message, status, kind="invalid_request_error", code=None):
    return lambda: Refusal(message, status, kind, code)


# Errors that have nothing to do with the request's form, by the names of the script.
TROUBLES = {
    "context": trouble("Your input exceeds the context window of this model. Please adjust your input and "
                       "try again.", 400, code="context_length_exceeded"),
    "policy": trouble("Your request was rejected as a result of our safety system.", 400,
                      code="content_policy_violation"),
    "key": trouble("Incorrect API key provided: sk-strict-secret. You can find your API key at "
                   "https://platform.openai.com/account/api-keys.", 401, code="invalid_api_key"),
    "country": trouble("Country, region, or territory not supported", 403, "request_forbidden",
                       "unsupported_country_region_territory"),
    "large": trouble("Request too large.", 413),
    "rate": trouble("Rate limit reached for gpt-5 in organization org-b1WqsUxyKMm5mpA2NtaSIUzp on requests per min (RPM): "
                    "Limit 3, Used 3, Requested 1. Please try again in 7s.", 429, "requests",
                    "rate_limit_exceeded"),
    "quota": trouble("You exceeded your current quota, please check your plan and billing details.", 429,
                     "insufficient_quota", "insufficient_quota"),
    "server": trouble("The server had an error while processing your request. Sorry about that!", 500,
                      "server_error"),
    "overloaded": trouble("The server is currently overloaded with other requests. Sorry about that! You "
                          "can retry your request.", 503, "server_error", "server_is_overloaded"),
    "timeout": trouble("The server took too long to answer.", 504, "server_error", "timeout"),
}


def error_body(refusal):
    kind, code = KINDS.get(refusal.status, ("invalid_request_error", None))
    return {"error": {"message": refusal.message, "type": refusal.kind or kind,
                      "param": refusal.param, "code": refusal.code or code}}
