"""Responses as a vendor that holds to its own documents serves it."""

import json
import re

import chat
from chat import data_url, identifier, missing, only, reasons, refuse, strict_schema, tool_name, want, within
from common import letters, pieces
from script import Asked, Call, Item, image_mark, result_text
from seal import prefix_digest, prefix_texts

FAMILY = "responses"
FIELDS = set("""model input instructions previous_response_id conversation store background stream
    stream_options max_output_tokens max_tool_calls temperature top_p top_logprobs reasoning text tools
    tool_choice parallel_tool_calls include truncation context_management metadata user
    safety_identifier prompt_cache_key prompt_cache_retention prompt_cache_options service_tier prompt
    moderation""".split())
ITEM_FIELDS = {
    "message": {"role", "content", "phase"},
    "function_call": {"call_id", "name", "arguments", "namespace"},
    "function_call_output": {"call_id", "output"},
    "custom_tool_call": {"call_id", "name", "input", "namespace"},
    "custom_tool_call_output": {"call_id", "output"},
    "tool_search_call": {"call_id", "execution", "arguments"},
    "tool_search_output": {"call_id", "execution", "tools"},
    "reasoning": {"summary", "content", "encrypted_content"},
    "item_reference": set(),
}
ID_STARTS = {"message": "msg", "function_call": "fc", "reasoning": "rs", "function_call_output": "fc",
             "custom_tool_call": "ctc", "custom_tool_call_output": "ctc", "tool_search_call": "tsc",
             "tool_search_output": "tso"}
CALLS = ("function_call", "custom_tool_call", "tool_search_call")
OUTPUTS = ("function_call_output", "custom_tool_call_output", "tool_search_output")
# Tools that the vendor runs by itself.
HOSTED = ("web_search", "web_search_preview", "file_search", "code_interpreter", "image_generation",
          "local_shell", "shell", "apply_patch", "mcp", "computer")
PART_FIELDS = {
    "input_text": {"text"}, "input_image": {"image_url", "file_id", "detail"},
    "input_file": {"file_data", "file_url", "file_id", "filename", "detail"},
    "input_audio": {"input_audio"},
    "output_text": {"text", "annotations", "logprobs"}, "refusal": {"refusal"},
}
ROLE_PARTS = {"user": ("input_text", "input_image", "input_file", "input_audio"), "system": ("input_text",),
              "developer": ("input_text",), "assistant": ("output_text", "refusal")}
INCLUDES = ("file_search_call.results", "web_search_call.results", "web_search_call.action.sources",
            "message.input_image.image_url", "computer_call_output.output.image_url",
            "code_interpreter_call.outputs", "reasoning.encrypted_content",
            "message.output_text.logprobs")
INCOMPLETE = {"length": "max_output_tokens", "filtered": "content_filter"}
SEALED = "gAAAAAB"  # how sealed reasoning begins


def read_parts(content, allowed, path):
    if isinstance(content, str):
        return content, [], ""
    texts, images, refusal = [], [], ""
    for at, part in enumerate(want(content, list, path)):
        here = f"{path}[{at}]"
        kind = want(part, dict, here).get("type")
        if kind is None:
            missing(here + ".type")
        if kind not in allowed:
            words = " and ".join(f"'{name}'" for name in allowed) if len(allowed) < 3 else (
                ", ".join(f"'{name}'" for name in allowed[:-1]) + f", and '{allowed[-1]}'")
            refuse(f"Invalid value: '{kind}'. Supported values are: {words}.", here, "invalid_value")
        only(part, PART_FIELDS[kind] | {"type", "prompt_cache_breakpoint"}, here)
        if kind in ("input_text", "output_text"):
            if "text" not in part:
                missing(here + ".text")
            texts.append(want(part["text"], str, here + ".text"))
            if kind == "output_text" and "annotations" not in part:
                missing(here + ".annotations")
        elif kind == "refusal":
            refusal = want(part.get("refusal"), str, here + ".refusal")
        elif kind == "input_image":
            if part.get("image_url") is None:
                missing(here + ".image_url")
            media, data = data_url(want(part["image_url"], str, here + ".image_url"),
                                   here + ".image_url")
            images.append(image_mark(media, data))
        elif kind == "input_audio":
            images.append(chat.sound_of(part.get("input_audio"), here + ".input_audio"))
        elif kind == "input_file" and part.get("file_url") is not None:
            images.append(image_mark("url", want(part["file_url"], str, here + ".file_url").encode()))
        elif kind == "input_file":
            images.append(chat.document_of(part, here, "file_data"))
    return ("" if "output_text" in allowed else "\n").join(texts), images, refusal


def read_reasoning(items, at, here, call, asked, vendor):
    """A thought that comes back: it is ours, of this account, and stands where it stood."""
    item = items[at]
    if "summary" not in item:
        missing(here + ".summary")
    for n, part in enumerate(want(item["summary"], list, here + ".summary")):
        only(part, {"type", "text"}, f"{here}.summary[{n}]")
    sealed, name = item.get("encrypted_content"), item.get("id") or "(no id)"
    if sealed is None:
        if item.get("id") not in vendor.stored:
            refuse(f"Item with id '{name}' not found. Items are not persisted when `store` is set to "
                   "false. Try again with `store` set to true, or remove this item from your input.",
                   "input", None, 404)
    else:
        said = vendor.seals.open(sealed[len(SEALED):], FAMILY) if sealed.startswith(SEALED) else None
        why = None
        if said is None:
            why = "Encrypted content could not be decrypted or parsed."
        elif said["a"] != call.account:
            why = "Encrypted content organization_id did not match the target organization."
        elif said["m"] != asked.model:
            why = "Encrypted content was issued for a different model."
        elif said["p"] != prefix_digest(asked.extra["prefix"][:2 + at]):
            why = "Encrypted content is bound to a different conversation."
        if why is not None:
            refuse(f"The encrypted content for item {name} could not be verified. Reason: {why}",
                   None, "invalid_encrypted_content")
        vendor.returned(call, sealed)
    follower = items[at + 1] if at + 1 < len(items) else {}
    kind = follower.get("type", "message")
    if not (kind in (*CALLS, "reasoning")
            or (kind == "message" and follower.get("role") == "assistant")):
        refuse(f"Item '{name}' of type 'reasoning' was provided without its required following item.",
               "input")


def read_input(items, call, asked, vendor):
    owed, outputs, names, lead = {}, set(), set(), True
    for at, item in enumerate(items):
        here = f"input[{at}]"
        kind = want(item, dict, here).get("type", "message" if "role" in item else None)
        if kind not in ITEM_FIELDS:
            refuse(f"Invalid value: '{kind}'. Supported values are: " +
                   ", ".join(f"'{name}'" for name in sorted(ITEM_FIELDS)) + ".", here, "invalid_value")
        only(item, ITEM_FIELDS[kind] | {"type", "id", "status"}, here)
        name = item.get("id")
        if kind == "item_reference":
            refuse(f"Item with id '{name}' not found.", "input", None, 404)
        if name is not None:
            if not isinstance(name, str) or not name.startswith(ID_STARTS[kind]):
                refuse(f"Invalid '{here}.id': '{name}'. Expected an ID that begins with "
                       f"'{ID_STARTS[kind]}'.", here + ".id", "invalid_value")
            if name in names:
                refuse(f"Duplicate item found with id {name}. Remove duplicate items from your input "
                       "and try again.", "input")
            names.add(name)
        elif "id" in item:
            wrong = "null"
            refuse(f"Invalid type for '{here}.id': expected a string, but got {wrong} instead.",
                   here + ".id", "invalid_type")
        if item.get("status", "completed") not in ("in_progress", "completed", "incomplete"):
            refuse(f"Invalid value: '{item['status']}'. Supported values are: 'in_progress', "
                   "'completed', and 'incomplete'.", here + ".status", "invalid_value")
        if kind == "message":
            role = item.get("role")
            if role not in ROLE_PARTS:
                refuse(f"Invalid value: '{role}'. Supported values are: 'assistant', 'system', "
                       "'developer', and 'user'.", here + ".role", "invalid_value")
            if "content" not in item:
                missing(here + ".content")
            text, images, refusal = read_parts(item["content"], ROLE_PARTS[role], here + ".content")
            if role in ("system", "developer") and lead:
                asked.system = "\n\n".join(part for part in (asked.system, text) if part)
                continue
            who = role if role in ("user", "assistant") else "system"
            asked.items.append(Item(who, text, images, refusal=refusal))
        elif kind in CALLS:
            wanted = {"function_call": ("call_id", "name", "arguments"), "custom_tool_call": (
                "call_id", "name", "input"), "tool_search_call": ("arguments",)}[kind]
            for field in wanted:
                if field not in item:
                    missing(f"{here}.{field}")
            identifier(item["call_id"], here + ".call_id")
            if item["call_id"] in owed or item["call_id"] in outputs:
                refuse(f"Duplicate function call with call_id {item['call_id']}.", "input")
            owed[item["call_id"]] = kind
            asked.items.append(Item("assistant", calls=[call_of(item, kind, here)]))
        elif kind in OUTPUTS:
            for field in ("call_id", "tools" if kind == "tool_search_output" else "output"):
                if field not in item:
                    missing(f"{here}.{field}")
            identifier(item["call_id"], here + ".call_id")
            if owed.get(item["call_id"]) != CALLS[OUTPUTS.index(kind)]:
                refuse("No tool call found for function call output with call_id "
                       f"{item['call_id']}.", "input")
            del owed[item["call_id"]]
            outputs.add(item["call_id"])
            text, images = json.dumps(item.get("tools")), []
            if kind == "tool_search_output":
                read_tools({"tools": item["tools"]}, asked, here + ".tools")
            else:
                text, images, _ = read_parts(item["output"], ROLE_PARTS["user"][:3], here + ".output")
            place = calls_before(asked.items).index(item["call_id"])
            asked.items.append(Item("tools", results=[(place, result_text(text))], images=images))
        else:
            read_reasoning(items, at, here, call, asked, vendor)
        lead = False
    if owed:
        refuse(f"No tool output found for function call {next(iter(owed))}.", "input")


def call_of(item, kind, here):
    if kind == "custom_tool_call":
        tool_name(item["name"], here + ".name")
        text = want(item["input"], str, here + ".input")
        return Call(item["name"], {"input": text}, item["call_id"], True)
    if kind == "tool_search_call":
        return Call("tool_search", want(item["arguments"], dict, here + ".arguments"), item["call_id"])
    tool_name(item["name"], here + ".name")
    try:
        args = json.loads(want(item["arguments"], str, here + ".arguments") or "{}")
    except ValueError:
        args = {"_text": item["arguments"]}
    return Call(item["name"], args, item["call_id"])


def calls_before(items):
    """Ids of the calls of the last run of assistant items."""
    ids, at = [], len(items) - 1
    while at >= 0 and items[at].who == "tools":
        at -= 1
    while at >= 0 and items[at].who == "assistant":
        ids = [call.id for call in items[at].calls] + ids
        at -= 1
    return ids


def read_tools(body, asked, path="tools"):
    tools = want(body.get("tools") or [], list, path)
    for at, tool in enumerate(tools):
        here = f"{path}[{at}]"
        kind = want(tool, dict, here).get("type")
        if kind == "custom":
            only(tool, {"type", "name", "description", "format"}, here)
            tool_name(tool.get("name"), here + ".name")
            if tool.get("format") is not None:
                chat.free_format(tool["format"], here + ".format")
            asked.tools[tool["name"]] = tool.get("description") or ""
            asked.free.add(tool["name"])
            continue
        if kind == "namespace":
            only(tool, {"type", "name", "description", "tools"}, here)
            tool_name(tool.get("name"), here + ".name")
            inner = Asked("", "")
            read_tools({"tools": tool.get("tools")}, inner, here + ".tools")
            asked.tools.update({f"{tool['name']}.{name}": about for name, about in inner.tools.items()})
            continue
        if kind == "tool_search":
            only(tool, {"type", "execution", "description", "parameters"}, here)
            asked.tools["tool_search"] = tool.get("description") or ""
            continue
        if kind in HOSTED:
            asked.tools[kind] = "(the vendor's)"
            continue
        if kind != "function":
            refuse(f"Invalid value: '{tool.get('type')}'. Supported values are: 'function' and "
                   "'custom'.", here + ".type", "invalid_value")
        only(tool, {"type", "name", "description", "parameters", "strict", "defer_loading"}, here)
        tool_name(tool.get("name"), here + ".name")
        if "parameters" not in tool:
            missing(here + ".parameters")
        parameters = tool["parameters"]
        if parameters is not None and parameters.get("type") != "object":
            refuse(f"Invalid schema for function '{tool['name']}': schema must be a JSON Schema of "
                   f"'type: \"object\"', got 'type: \"{parameters.get('type', 'None')}\"'.",
                   here + ".parameters", "invalid_function_parameters")
        if tool.get("strict", True):
            strict_schema(parameters, (), here + ".parameters", f"function '{tool['name']}'")
        if tool["name"] in asked.tools:
            refuse(f"Duplicate tool names are not allowed: '{tool['name']}'.", here + ".name")
        asked.tools[tool["name"]] = tool.get("description") or ""
    choice = body.get("tool_choice")
    if isinstance(choice, dict):
        if choice.get("type") not in ("function", "custom") or choice.get("name") not in asked.tools:
            refuse(f"Tool choice '{choice.get('name', choice.get('type'))}' not found in 'tools' "
                   "parameter.", "tool_choice")
        only(choice, {"type", "name"}, "tool_choice")
        asked.choice = "=" + choice["name"]
    elif choice is not None:
        words = {"none": "none", "auto": "auto", "required": "must"}
        if choice not in words:
            refuse(f"Invalid value: '{choice}'. Supported values are: 'none', 'auto', and 'required'.",
                   "tool_choice", "invalid_value")
        if choice == "required" and not tools:
            refuse("Tool choice 'required' must be specified with 'tools' parameter.", "tool_choice")
        asked.choice = words[choice]
    asked.parallel = body.get("parallel_tool_calls") is not False


def read_options(body, asked):
    cap = body.get("max_output_tokens")
    if cap is not None:
        within(cap, 16, 1 << 31, "max_output_tokens")
    asked.cap = cap
    for name, high in (("temperature", 2), ("top_p", 1)):
        if body.get(name) is not None:
            within(body[name], 0, high, name)
            if reasons(asked.model) and body[name] != 1:
                refuse(f"Unsupported parameter: '{name}' is not supported with this model.", name)
    reasoning = body.get("reasoning")
    if reasoning is not None:
        if not reasons(asked.model):
            refuse("Unsupported parameter: 'reasoning.effort' is not supported with this model.",
                   "reasoning.effort", "unsupported_parameter")
        only(reasoning, {"effort", "summary", "generate_summary", "context", "mode"}, "reasoning")
        if reasoning.get("effort") not in (None, *chat.EFFORTS):
            refuse(f"Invalid value: '{reasoning['effort']}'. Supported values are: 'none', 'minimal', "
                   "'low', 'medium', 'high', 'xhigh', and 'max'.", "reasoning.effort", "invalid_value")
    asked.thinks = reasons(asked.model) and (reasoning or {}).get("effort") != "none"
    asked.extra["show"] = (reasoning or {}).get("summary") is not None
    for at, name in enumerate(body.get("include") or []):
        if name not in INCLUDES:
            refuse(f"Invalid value: '{name}'. Supported values are: " +
                   ", ".join(f"'{word}'" for word in INCLUDES) + ".", f"include[{at}]", "invalid_value")
    asked.logprobs = None
    if "message.output_text.logprobs" in (body.get("include") or []):
        asked.logprobs = body.get("top_logprobs") or 0
    if body.get("top_logprobs") is not None:
        within(body["top_logprobs"], 0, 20, "top_logprobs")
    if reasons(asked.model) and (asked.logprobs is not None or body.get("top_logprobs")):
        refuse("Unsupported parameter: 'top_logprobs' is not supported with this model.", "top_logprobs",
               "unsupported_parameter")
    asked.extra["sealed"] = "reasoning.encrypted_content" in (body.get("include") or [])
    asked.extra["store"] = body.get("store") is not False
    text = body.get("text")
    if text is not None:
        only(text, {"format", "verbosity"}, "text")
        form = text.get("format") or {"type": "text"}
        if form.get("type") == "json_schema":
            only(form, {"type", "name", "schema", "description", "strict"}, "text.format")
            tool_name(form.get("name"), "text.format.name")
            if "schema" not in form:
                missing("text.format.schema")
            if form.get("strict"):
                strict_schema(form["schema"], (), "text.format.schema",
                              f"response_format '{form['name']}'")
            asked.schema = form["schema"]
        elif form.get("type") == "json_object":
            asked.schema = True
        elif form.get("type") != "text":
            refuse(f"Invalid value: '{form.get('type')}'. Supported values are: 'json_object', "
                   "'json_schema', and 'text'.", "text.format.type", "invalid_value")


def read(body, call, vendor):
    """The request as the model sees it, or a Refusal."""
    only(body, FIELDS, "")
    if not body.get("model"):
        missing("model")
    if body.get("previous_response_id") is not None:
        refuse(f"Previous response with id '{body['previous_response_id']}' not found.",
               "previous_response_id", "previous_response_not_found")
    if "input" not in body:
        missing("input")
    asked = Asked(call.account, want(body["model"], str, "model"))
    asked.stream = body.get("stream") is True
    asked.system = body.get("instructions") or ""
    items = body["input"]
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    if not want(items, list, "input"):
        refuse("Invalid 'input': empty array. Expected an array with minimum length 1, but got an empty "
               "array instead.", "input", "empty_array")
    asked.extra["body"] = body
    # Written whole or as a text, a user's message is the same to the model.
    asked.extra["prefix"] = prefix_texts(body.get("tools"), body.get("instructions"), *items)
    read_options(body, asked)
    read_tools(body, asked)
    read_input(items, call, asked, vendor)
    return asked


# --- answers ----------------------------------------------------------------------------------------


def usage(answer):
    use = answer.usage
    total_in = use.fresh + use.cached
    return {"input_tokens": total_in,
            "input_tokens_details": {"cached_tokens": use.cached, "cache_write_tokens": 0},
            "output_tokens": use.output, "output_tokens_details": {"reasoning_tokens": use.thought},
            "total_tokens": total_in + use.output}


def output(asked, answer, vendor, call):
    """The finished items of an answer."""
    seed, items = asked.account + asked.prefix, []
    if answer.thought is not None:
        sealed = None
        if asked.extra["sealed"]:
            sealed = SEALED + vendor.seals.sign(FAMILY, call.account, asked.model,
                                                prefix_digest(asked.extra["prefix"]), "")
            vendor.issued(call, sealed)
        item = {"id": "rs_" + letters(seed + "rs", 40), "type": "reasoning",
                "summary": [{"type": "summary_text", "text": answer.thought}]
                if asked.extra["show"] else []}
        if sealed is not None:
            item["encrypted_content"] = sealed
        items.append(item)
    content = [{"type": "output_text", "text": answer.text,
                "annotations": [cite["url_citation"] | {"type": cite["type"]}
                                for cite in chat.cites_json(answer)],
                "logprobs": [] if asked.logprobs is None else chat.tokens_of(answer.text, asked)}]
    if answer.refusal:
        content = [{"type": "refusal", "refusal": answer.refusal}]
    if answer.text or answer.refusal or not answer.calls:
        items.append({"id": "msg_" + letters(seed + "msg", 40), "type": "message",
                      "status": "incomplete" if answer.finish in INCOMPLETE else "completed",
                      "role": "assistant", "content": content})
    for k, made in enumerate(answer.calls):
        items.append(call_item(made, seed + made.id, answer.half and k == len(answer.calls) - 1))
    if asked.extra["store"]:
        vendor.stored.update(item["id"] for item in items)
    return items


def call_item(made, seed, half):
    call_id, status = chat.IDS + letters(made.id, 24), "incomplete" if half else "completed"
    if made.free:
        return {"id": "ctc_" + letters(seed, 40), "type": "custom_tool_call", "status": status,
                "call_id": call_id, "name": made.name, "input": made.args["input"][:-1 if half else None]}
    if made.name == "tool_search":
        return {"id": "tsc_" + letters(seed, 40), "type": "tool_search_call", "status": status,
                "call_id": call_id, "execution": "client", "arguments": made.args}
    text = json.dumps(made.args, ensure_ascii=False)
    space, _, name = made.name.rpartition(".")
    return {"id": "fc_" + letters(seed, 40), "type": "function_call", "status": status, "call_id": call_id,
            "name": name, **({"namespace": space} if space else {}),
            "arguments": text[:-2] if half else text}


def envelope(asked, status, items, used, answer):
    body = asked.extra["body"]
    text = body.get("text") or {"format": {"type": "text"}, "verbosity": "medium"}
    return {
        "id": "resp_" + letters(asked.account + asked.prefix + "resp", 40), "object": "response",
        "created_at": 1760000000, "status": status, "background": False, "error": None,
        "incomplete_details": {"reason": INCOMPLETE[answer.finish]} if status == "incomplete" else None,
        "instructions": body.get("instructions"), "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": None, "model": asked.model + "-2026-01-31", "output": items,
        "parallel_tool_calls": asked.parallel, "previous_response_id": None,
        "prompt_cache_key": body.get("prompt_cache_key"),
        "reasoning": {"effort": None, "summary": None, **(body.get("reasoning") or {})},
        "safety_identifier": None, "service_tier": "default", "store": asked.extra["store"],
        "temperature": 1.0, "text": {"format": {"type": "text"}, **text},
        "tool_choice": body.get("tool_choice", "auto"), "tools": body.get("tools") or [],
        "top_logprobs": 0, "top_p": 1.0, "truncation": "disabled", "usage": used, "user": None,
        "metadata": body.get("metadata") or {},
    }


def whole(asked, answer, vendor):
    items = output(asked, answer, vendor, asked.extra["call"])
    status = "incomplete" if answer.finish in INCOMPLETE else "completed"
    return envelope(asked, status, items, usage(answer), answer)


def events(asked, answer, vendor):
    number = 0

    def event(kind, **members):
        nonlocal number
        text = json.dumps({"type": kind, "sequence_number": number, **members}, ensure_ascii=False)
        number += 1
        return f"event: {kind}\ndata: {text}\n\n".encode()

    items = output(asked, answer, vendor, asked.extra["call"])
    yield event("response.created", response=envelope(asked, "in_progress", [], None, answer))
    yield event("response.in_progress", response=envelope(asked, "in_progress", [], None, answer))
    for at, item in enumerate(items):
        for made in item_events(event, at, item, asked, answer):
            if made is None:
                if answer.broken == "break":
                    why = TROUBLES[answer.why]()
                    code = why.code or "server_error"
                    yield event("error", code=code, param=None, message=why.message)
                    failed = envelope(asked, "failed", [], None, answer)
                    failed["error"] = {"code": code, "message": why.message}
                    yield event("response.failed", response=failed)
                return
            yield made
    status = "incomplete" if answer.finish in INCOMPLETE else "completed"
    yield event("response." + status, response=envelope(asked, status, items, usage(answer), answer))


def item_events(event, at, item, asked, answer):
    """Events of one item; None where a broken answer breaks."""
    ids = {"item_id": item["id"], "output_index": at}
    seed = asked.prefix
    if item["type"] == "reasoning":
        yield event("response.output_item.added", output_index=at, item={**item, "summary": []})
        for n, part in enumerate(item["summary"]):
            ids["summary_index"] = n
            yield event("response.reasoning_summary_part.added", **ids,
                        part={"type": "summary_text", "text": ""})
            for piece in pieces(part["text"], seed):
                yield event("response.reasoning_summary_text.delta", **ids, delta=piece,
                            obfuscation="x")
            yield event("response.reasoning_summary_text.done", **ids, text=part["text"])
            yield event("response.reasoning_summary_part.done", **ids, part=part)
    elif item["type"] == "message":
        yield event("response.output_item.added", output_index=at,
                    item={**item, "status": "in_progress", "content": []})
        part = item["content"][0]
        kind = "refusal" if part["type"] == "refusal" else "text"
        name = "response.refusal" if kind == "refusal" else "response.output_text"
        ids["content_index"] = 0
        more = {} if kind == "refusal" else {"logprobs": [], "annotations": []}
        yield event("response.content_part.added", **ids, part={**part, **more, kind: ""})
        for n, piece in enumerate(pieces(part[kind], chat.seed_of(asked))):
            if answer.broken and not answer.calls and n == 3:
                yield None
                return
            more = {} if kind == "refusal" else {"logprobs": part["logprobs"][n:n + 1]}
            yield event(name + ".delta", **ids, delta=piece, **more, obfuscation="x" * (n % 7))
        for n, cite in enumerate(part.get("annotations", [])):
            yield event("response.output_text.annotation.added", **ids, annotation_index=n, annotation=cite)
        more = {} if kind == "refusal" else {"logprobs": part["logprobs"]}
        yield event(name + ".done", **ids, **{kind: part[kind]}, **more)
        yield event("response.content_part.done", **ids, part=part)
    else:
        words = {"function_call": ("arguments", "response.function_call_arguments"),
                 "custom_tool_call": ("input", "response.custom_tool_call_input")}.get(item["type"])
        shell = {**item, "status": "in_progress", **({words[0]: ""} if words else {})}
        yield event("response.output_item.added", output_index=at, item=shell)
        if words:
            for n, piece in enumerate(pieces(item[words[0]], seed)):
                if answer.broken and n == 1:
                    yield None
                    return
                yield event(words[1] + ".delta", **ids, delta=piece, obfuscation="")
        if item["status"] == "incomplete":
            return  # the limit came: nothing of it is done
        if words:
            yield event(words[1] + ".done", **ids, **{words[0]: item[words[0]]})
    yield event("response.output_item.done", output_index=at, item=item)


TROUBLES = chat.TROUBLES
error_body = chat.error_body
