"""generateContent as a vendor that holds to its own documents serves it."""

import base64
import itertools
import json
import re

from chat import seed_of
from common import Refusal, is_int, is_number, letters, pieces, sorted_text
from script import Asked, Call, Item, image_mark, result_text
from seal import prefix_digest, prefix_texts

FAMILY = "gemini"
FIELDS = set("""contents systemInstruction tools toolConfig safetySettings generationConfig cachedContent
    labels serviceTier store""".split())
CONFIG_FIELDS = set("""temperature topP topK candidateCount maxOutputTokens stopSequences presencePenalty
    frequencyPenalty seed responseMimeType responseSchema responseJsonSchema responseModalities
    responseLogprobs logprobs thinkingConfig speechConfig imageConfig mediaResolution audioTimestamp
    enableEnhancedCivicAnswers enableAffectiveDialog""".split())
PART_DATA = {
    "text": None, "inlineData": {"mimeType", "data", "displayName"},
    "fileData": {"fileUri", "mimeType", "displayName"}, "functionCall": {"name", "args", "id"},
    "functionResponse": {"name", "response", "id", "parts", "scheduling", "willContinue"},
}
PART_BESIDE = {"thought", "thoughtSignature", "videoMetadata", "mediaResolution", "partMetadata"}
SCHEMA_FIELDS = set("""type format title description nullable enum items properties propertyOrdering
    required minItems maxItems minProperties maxProperties minLength maxLength minimum maximum pattern
    anyOf default example""".split())
TYPES = ("STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL")
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")
PLACEHOLDERS = ("skip_thought_signature_validator", "context_engineering_is_the_way_to_go")
HOSTED = ("googleSearch", "urlContext", "codeExecution")
STOPS_MAX = 5
CHOICES_MAX = 8
FINISH = {"stop": "STOP", "calls": "STOP", "length": "MAX_TOKENS", "stop_string": "STOP",
          "refused": "SAFETY", "filtered": "SAFETY"}
SIGNATURE_DOCS = "https://ai.google.dev/gemini-api/docs/thought-signatures"


def refuse(message, status=400, kind="INVALID_ARGUMENT"):
    raise Refusal(message, status, kind)


def snake(name):
    return re.sub(r"[A-Z]", lambda found: "_" + found.group().lower(), name)


def camel(name):
    return re.sub(r"_([a-z])", lambda found: found.group(1).upper(), name)


def proto(value, known, path):
    """The members of a message by their JSON names; either spelling is taken, no other name is."""
    if not isinstance(value, dict):
        where = f" at '{path}'" if path else ""
        refuse(f"Invalid value{where} ({snake(path)}), {json.dumps(value)[:80]}")
    out = {}
    for name, inner in value.items():
        if camel(name) not in known:
            where = f" at '{path}'" if path else ""
            refuse(f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.')
        if camel(name) in out:
            refuse(f"Invalid JSON payload received. Duplicate field '{snake(name)}'.")
        out[camel(name)] = inner
    return out


def fault(field, why):
    refuse(f"* GenerateContentRequest.{field}: {why}\n")


def read_schema(schema, path, field):
    """What `parameters` may say: the subset that the vendor knows."""
    schema = proto(schema, SCHEMA_FIELDS, path)
    kind = schema.get("type")
    if kind is None and "anyOf" not in schema:
        fault(field, "schema didn't specify the schema type field.")
    if kind is not None and (not isinstance(kind, str) or kind.upper() not in TYPES):
        refuse(f"Invalid value at '{path}.type' (type.googleapis.com/google.ai.generativelanguage."
               f"v1beta.Type), {json.dumps(kind)}")
    kind = (kind or "").upper()
    if "enum" in schema and kind != "STRING":
        fault(field + ".enum", "only allowed for STRING type")
    if any(not isinstance(value, str) for value in schema.get("enum", [])):
        refuse(f"Invalid value at '{path}.enum[0]' (TYPE_STRING)")
    if kind == "OBJECT":
        if schema.get("properties") == {}:
            fault(field + ".properties", "should be non-empty for OBJECT type")
        for name, inner in schema.get("properties", {}).items():
            read_schema(inner, f"{path}.properties[{name!r}].value", f"{field}.properties[{name}]")
        for at, name in enumerate(schema.get("required", [])):
            if name not in schema.get("properties", {}):
                fault(f"{field}.required[{at}]", "property is not defined")
    if kind == "ARRAY":
        if "items" not in schema:
            fault(field + ".items", "missing field.")
        read_schema(schema["items"], path + ".items", field + ".items")
    for at, inner in enumerate(schema.get("anyOf", [])):
        read_schema(inner, f"{path}.any_of[{at}]", f"{field}.any_of[{at}]")


def read_tools(body, asked):
    tools = body.get("tools") or []
    for at, tool in enumerate(tools if isinstance(tools, list) else [tools]):
        tool = proto(tool, {"functionDeclarations", *HOSTED}, f"tools[{at}]")
        asked.tools.update({name: "(the vendor's)" for name in HOSTED if name in tool})
        for n, made in enumerate(tool.get("functionDeclarations") or []):
            path = f"tools[{at}].function_declarations[{n}]"
            made = proto(made, {"name", "description", "parameters", "parametersJsonSchema", "response",
                                "responseJsonSchema", "behavior"}, path)
            if not isinstance(made.get("name"), str) or not NAME.fullmatch(made["name"]):
                fault(path + ".name", "[Invalid function name. Must start with a letter or an "
                      "underscore. Must be alphameric (a-z, A-Z, 0-9), underscores (_), dots (.), "
                      "colons (:), or dashes (-), with a maximum length of 64.]")
            if made["name"] in asked.tools:
                refuse(f"Duplicate function declaration found: {made['name']}")
            if "parameters" in made and "parametersJsonSchema" in made:
                fault(path, "parameters and parameters_json_schema are mutually exclusive.")
            if made.get("parameters") is not None:
                read_schema(made["parameters"], path + ".parameters", path + ".parameters")
            asked.tools[made["name"]] = made.get("description") or ""
    config = proto(body.get("toolConfig") or {},
                   {"functionCallingConfig", "retrievalConfig"}, "tool_config")
    calling = proto(config.get("functionCallingConfig") or {}, {"mode", "allowedFunctionNames"},
                    "tool_config.function_calling_config")
    mode, names = calling.get("mode", "AUTO"), calling.get("allowedFunctionNames") or []
    if mode not in ("AUTO", "ANY", "NONE", "VALIDATED"):
        refuse("Invalid value at 'tool_config.function_calling_config.mode' (type.googleapis.com/google."
               f"ai.generativelanguage.v1beta.FunctionCallingConfig.Mode), {json.dumps(mode)}")
    if calling and mode != "NONE" and not asked.tools:
        refuse("Function calling config is set without function_declarations.")
    if names and mode not in ("ANY", "VALIDATED"):
        refuse("Please set allowed_function_names only when function calling mode is ANY.")
    for name in names:
        if name not in asked.tools:
            refuse(f"The allowed function name '{name}' is not among the function_declarations.")
    asked.choice = {"AUTO": "auto", "VALIDATED": "auto", "NONE": "none", "ANY": "must"}[mode]
    if mode == "ANY" and len(names) == 1:
        asked.choice = "=" + names[0]


def joined(contents):
    """Neighbours of one role are one content to the vendor: helpers keep a stream chunk by chunk."""
    out = []
    for at, content in enumerate(contents):
        content = proto(content, {"role", "parts"}, f"contents[{at}]")
        parts, role = content.get("parts"), content.get("role", "user")
        if not parts:
            fault(f"contents[{at}].parts", "contents.parts must not be empty.")
        if role not in ("user", "model", "function"):
            refuse("Please use a valid role: user, model.")
        role = "model" if role == "model" else "user"
        parts = parts if isinstance(parts, list) else [parts]
        if out and out[-1]["role"] == role:
            out[-1]["parts"] = out[-1]["parts"] + parts
        else:
            out.append({"role": role, "parts": parts})
    return out


def signature_of(text, path):
    """The signature in the vendor's own spelling. As bytes of a message, any base64 will do."""
    if not isinstance(text, str) or not re.fullmatch(r"[A-Za-z0-9+/_-]*={0,2}", text):
        refuse(f"Invalid value at '{path}.thought_signature' (TYPE_BYTES), Base64 decoding failed for "
               f'"{str(text)[:40]}"')
    text = text.replace("-", "+").replace("_", "/").rstrip("=")
    return text + "=" * (-len(text) % 4)


class Turns:
    """Reads contents in their order."""

    def __init__(self, contents, call, asked, vendor):
        self.call, self.asked, self.vendor = call, asked, vendor
        self.contents = contents
        for at, content in enumerate(contents):
            content["parts"] = [proto(part, PART_DATA.keys() | PART_BESIDE, f"contents[{at}].parts[{n}]")
                                for n, part in enumerate(content["parts"])]

    def read(self):
        before, calls = None, []
        turn = self.turn_start()
        for at, content in enumerate(self.contents):
            model = content.get("role") == "model"
            item, tools = Item("assistant" if model else "user"), Item("tools")
            texts, responses = [], []
            for n, part in enumerate(content["parts"]):
                path = f"contents[{at}].parts[{n}]"
                kind = self.data_of(part, path)
                if part.get("thoughtSignature") is not None:
                    self.signed(part, kind, at, path)
                if kind == "text" and not part.get("thought"):
                    texts.append(part["text"])
                elif kind == "inlineData":
                    item.images.append(self.image(part["inlineData"], path))
                elif kind == "fileData":
                    item.images.append(self.file(part["fileData"], path))
                elif kind == "functionCall":
                    item.calls.append(self.function_call(part["functionCall"], path, model))
                elif kind == "functionResponse":
                    responses.append(self.response(part["functionResponse"], path, model))
                    tools.images += self.response_images(part["functionResponse"], path)
            if item.calls and at >= turn and "thoughtSignature" not in next(
                    part for part in content["parts"] if "functionCall" in part):
                refuse("Function call is missing a thought_signature in functionCall parts. This is "
                       "required for tools to work correctly, and missing thought_signature may lead to "
                       "degraded model performance. Additional data, function call "
                       f"`default_api:{item.calls[0].name}` , position {at + 1}. Please refer to "
                       f"{SIGNATURE_DOCS} for more details.")
            self.order(before, item, calls, responses)
            tools.results = self.paired(calls, responses)
            calls, item.text = item.calls, ("" if model else "\n").join(filter(None, texts))
            before = "call" if calls else "response" if responses else "model" if model else "user"
            if tools.results:
                self.asked.items.append(tools)
            if model or item.text or item.images:
                self.asked.items.append(item)
        if calls:
            self.order("call", Item("user"), calls, [])

    def turn_start(self):
        """Where the current turn begins: at the last content of the user that is no tools' answer."""
        for at in range(len(self.contents) - 1, -1, -1):
            if self.contents[at].get("role") != "model" and any(
                    "functionResponse" not in part for part in self.contents[at]["parts"]):
                return at
        return 0

    def data_of(self, part, path):
        kinds = [name for name in PART_DATA if part.get(name) is not None]
        if len(kinds) > 1:
            refuse(f"Invalid value at '{path}' (oneof), oneof field 'data' is already set. Cannot set "
                   f"'{kinds[1]}'")
        if not kinds:
            fault(path + ".data", "required oneof field 'data' must have one initialized field")
        kind = kinds[0]
        if kind == "text":
            if not isinstance(part["text"], str):
                refuse(f"Invalid value at '{path}.text' (TYPE_STRING), {json.dumps(part['text'])}")
        else:
            part[kind] = proto(part[kind], PART_DATA[kind], f"{path}.{snake(kind)}")
        return kind

    def image(self, data, path):
        if not data.get("mimeType"):
            fault(path + ".inline_data.mime_type", "mime_type is required.")
        try:
            text = data.get("data", "").replace("-", "+").replace("_", "/").rstrip("=")
            raw = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except ValueError:
            refuse(f"Invalid value at '{path}.inline_data.data' (TYPE_BYTES), Base64 decoding failed")
        if data["mimeType"] == "application/pdf" and not raw.startswith(b"%PDF-"):
            refuse("The document has no pages.")
        return image_mark(data["mimeType"], raw)

    def file(self, data, path):
        if not data.get("mimeType"):
            fault(path + ".file_data.mime_type", "mime_type is required.")
        uri = data.get("fileUri") or ""
        if not uri.startswith("https://"):
            refuse(f"Invalid or unsupported file uri: {uri}")
        return image_mark("url", uri.encode())

    def response_images(self, response, path):
        """What stands beside a function's answer: pictures and documents of newer models."""
        out = []
        for n, part in enumerate(response.get("parts") or []):
            here = f"{path}.function_response.parts[{n}]"
            part = proto(part, {"inlineData", "fileData"}, here)
            if "inlineData" in part:
                out.append(self.image(proto(part["inlineData"], PART_DATA["inlineData"], here), here))
        return out

    def function_call(self, call, path, model):
        if not model:
            refuse("Please ensure that function call turn comes immediately after a user turn or after "
                   "a function response turn.")
        if not call.get("name"):
            fault(path + ".function_call.name", "Name cannot be empty.")
        args = call.get("args", {})
        if not isinstance(args, dict):
            refuse(f"Invalid value at '{path}.function_call.args' (type.googleapis.com/google.protobuf."
                   f"Struct), {json.dumps(args)[:80]}")
        return Call(call["name"], args, call.get("id") or "")

    def response(self, response, path, model):
        if model:
            refuse("Please ensure that function response turn comes immediately after a function call "
                   "turn.")
        if not response.get("name"):
            fault(path + ".function_response.name", "Name cannot be empty.")
        if not isinstance(response.get("response"), dict):
            refuse(f"Invalid value at '{path}.function_response.response' (type.googleapis.com/google."
                   f"protobuf.Struct), {json.dumps(response.get('response'))[:80]}")
        return response

    def order(self, before, item, calls, responses):
        if item.calls and before not in ("user", "response"):
            refuse("Please ensure that function call turn comes immediately after a user turn or after "
                   "a function response turn.")
        if responses and before != "call":
            refuse("Please ensure that function response turn comes immediately after a function call "
                   "turn.")
        if len(calls) != len(responses) and (calls or responses):
            refuse("Please ensure that the number of function response parts is equal to the number of "
                   "function call parts of the function call turn.")

    def paired(self, calls, responses):
        """[(place of the call, text)]: by id where there is one, else by name and order."""
        left, out = list(range(len(calls))), []
        for response in responses:
            found = [k for k in left if (calls[k].id == response["id"] if response.get("id")
                                         else calls[k].name == response["name"])]
            if not found or calls[found[0]].name != response["name"]:
                refuse("Please ensure that function response parts match the function call parts of the "
                       f"function call turn: '{response['name']}' was not called.")
            left.remove(found[0])
            value = response["response"]
            failed = set(value) == {"error"}
            one = next(iter(value.values())) if set(value) in ({"error"}, {"output"}) else value
            out.append((found[0], result_text(one, failed)))
        return out

    def signed(self, part, kind, at, path):
        text = part["thoughtSignature"]
        if text in PLACEHOLDERS:
            self.vendor.placeholder(self.call)
            return
        sign = signature_of(text, path)
        if base64.b64decode(sign) in [name.encode() for name in PLACEHOLDERS]:
            self.vendor.placeholder(self.call)
            return
        said = self.vendor.seals.open(sign, FAMILY)
        if said is None:
            refuse("Corrupted thought signature.")
        call = part.get("functionCall")
        mark = f"{call['name']}({sorted_text(call.get('args', {}))})" if call else "text"
        if said["a"] != self.call.account:
            refuse("Thought signature is not valid: it was not issued to this caller.")
        if said["k"] != mark:
            refuse("Thought signature is not valid: it does not belong to this part.")
        if said["m"] != self.asked.model:
            refuse("Thought signature is not valid: it was issued for a different model.")
        if said["p"] != prefix_digest(self.asked.extra["prefix"][:2 + at]):
            refuse("Thought signature is not valid: it is bound to a different conversation.")
        self.vendor.returned(self.call, sign)


def read_config(body, asked):
    config = proto(body.get("generationConfig") or {}, CONFIG_FIELDS, "generation_config")
    for name, low, high in (("temperature", 0, 2), ("topP", 0, 1)):
        value = config.get(name)
        if value is not None and (not is_number(value) or not low <= value <= high):
            fault(f"generation_config.{snake(name)}",
                  f"{snake(name)} must be in the range [{low}.0, {high}.0].")
    asked.stops = config.get("stopSequences") or []
    if len(asked.stops) > STOPS_MAX:
        fault("generation_config.stop_sequences", f"the number of stop sequences must not exceed "
              f"{STOPS_MAX}.")
    asked.choices = config.get("candidateCount") or 1
    if not is_int(asked.choices) or not 1 <= asked.choices <= CHOICES_MAX:
        fault("generation_config.candidate_count", f"candidate_count must be in the range [1, {CHOICES_MAX}].")
    if config.get("logprobs") is not None and not config.get("responseLogprobs"):
        fault("generation_config.logprobs", "logprobs is only allowed with response_logprobs.")
    asked.logprobs = (config.get("logprobs") or 0) if config.get("responseLogprobs") else None
    asked.cap = config.get("maxOutputTokens")
    if asked.cap is not None and (not is_int(asked.cap) or asked.cap < 1):
        fault("generation_config.max_output_tokens", "max_output_tokens must be positive.")
    mime = config.get("responseMimeType")
    if mime not in (None, "text/plain", "application/json", "text/x.enum"):
        fault("generation_config.response_mime_type", "allowed mimetypes are `text/plain`, "
              "`application/json`, `application/xml`, `application/yaml` and `text/x.enum`.")
    given = [name for name in ("responseSchema", "responseJsonSchema") if config.get(name) is not None]
    if len(given) > 1:
        fault("generation_config", "response_schema and response_json_schema are mutually exclusive.")
    if given and mime != "application/json":
        fault(f"generation_config.{snake(given[0])}", "only allowed with response_mime_type "
              "'application/json'.")
    if given == ["responseSchema"]:
        read_schema(config["responseSchema"], "generation_config.response_schema",
                    "generation_config.response_schema")
    if mime == "application/json":
        asked.schema = config[given[0]] if given else True
    thinking = proto(config.get("thinkingConfig") or {},
                     {"includeThoughts", "thinkingBudget", "thinkingLevel"},
                     "generation_config.thinking_config")
    if thinking.get("thinkingBudget") is not None and thinking.get("thinkingLevel") is not None:
        refuse("You can only set only one of thinking budget and thinking level.")
    if thinking.get("thinkingLevel") not in (None, "MINIMAL", "LOW", "MEDIUM", "HIGH",
                                             "minimal", "low", "medium", "high"):
        refuse("Invalid value at 'generation_config.thinking_config.thinking_level' (type.googleapis."
               "com/google.ai.generativelanguage.v1beta.ThinkingConfig.ThinkingLevel), "
               + json.dumps(thinking["thinkingLevel"]))
    asked.thinks = True  # these models always do; `includeThoughts` only shows it
    asked.extra["show"] = thinking.get("includeThoughts") is True


def read(body, call, vendor):
    """The request as the model sees it, or a Refusal."""
    whole_body = proto(body, FIELDS, "")
    contents = whole_body.get("contents")
    if not contents:
        fault("contents", "contents is not specified")
    contents = joined(contents if isinstance(contents, list) else [contents])
    asked = Asked(call.account, call.model, stream=call.stream)
    system = whole_body.get("systemInstruction")
    asked.extra["prefix"] = prefix_texts(whole_body.get("tools"), system, *contents)
    if system is not None:
        parts = proto(system, {"role", "parts"}, "system_instruction").get("parts") or []
        parts = parts if isinstance(parts, list) else [parts]
        asked.system = "\n\n".join(part.get("text", "") for part in parts)
    read_tools(whole_body, asked)
    read_config(whole_body, asked)
    Turns(contents, call, asked, vendor).read()
    return asked


# --- answers ----------------------------------------------------------------------------------------


def usage(answer):
    use = answer.usage
    out = {"promptTokenCount": use.fresh + use.cached,
           "candidatesTokenCount": use.output - use.thought,
           "totalTokenCount": use.fresh + use.cached + use.output,
           "promptTokensDetails": [{"modality": "TEXT", "tokenCount": use.fresh + use.cached}]}
    if use.cached:
        out["cachedContentTokenCount"] = use.cached
    if use.thought:
        out["thoughtsTokenCount"] = use.thought
    return out


def frame(asked):
    return {"modelVersion": asked.model, "responseId": letters(asked.account + asked.prefix, 22)}


def signature(asked, vendor, mark):
    call = asked.extra["call"]
    sign = vendor.seals.sign(FAMILY, call.account, asked.model, prefix_digest(asked.extra["prefix"]),
                             "", mark)
    vendor.issued(call, sign, optional=mark == "text")
    return sign


def parts_of(asked, answer, vendor):
    """(thought parts, call parts); a turn without calls that thought signs its last text. A call that
    the limit cut is not told at all."""
    thoughts, calls = [], []
    if answer.thought is not None and asked.extra["show"]:
        thoughts = [{"text": answer.thought, "thought": True}]
    for k, made in enumerate(answer.calls[:-1] if answer.half else answer.calls):
        part = {"functionCall": {"name": made.name, "args": made.args}}
        if k == 0:
            part["thoughtSignature"] = signature(asked, vendor, f"{made.name}({sorted_text(made.args)})")
        calls.append(part)
    return thoughts, calls


def choice_text(answer, k):
    return (answer.text or answer.refusal) + f" ({k})" * (k > 0)


def last_text(asked, answer, vendor, text):
    part = {"text": text}
    if answer.thought is not None and not answer.calls and answer.finish in ("stop", "stop_string"):
        part["thoughtSignature"] = signature(asked, vendor, "text")
    return part


def grounding(answer):
    """What stands where: places are bytes of the text."""
    def place(at):
        return len(answer.text[:at].encode())

    return {"webSearchQueries": ["strict"],
            "groundingChunks": [{"web": {"uri": url, "title": title}} for _, _, url, title in answer.cites],
            "groundingSupports": [{"segment": {"startIndex": place(start), "endIndex": place(end),
                                               "text": answer.text[start:end]},
                                   "groundingChunkIndices": [n], "confidenceScores": [0.5]}
                                  for n, (start, end, _, _) in enumerate(answer.cites)]}


def probable(asked, *texts):
    def one(text, at):
        return {"token": text, "tokenId": at, "logProbability": -0.125 - at}
    return {"chosenCandidates": [one(text, len(text)) for text in texts],
            "topCandidates": [{"candidates": [one(text + "?" * k, k) for k in range(asked.logprobs)]}
                              for text in texts]}


def end_of(asked, answer, *texts):
    more = {"finishReason": FINISH[answer.finish]}
    if answer.cites:
        more["groundingMetadata"] = grounding(answer)
    if asked.logprobs is not None and texts:
        more["logprobsResult"] = probable(asked, *texts)
    return more


def blocked(asked, answer):
    return {"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": usage(answer), **frame(asked)}


def whole(asked, answer, vendor):
    if answer.blocked:
        return blocked(asked, answer)
    thoughts, calls = parts_of(asked, answer, vendor)
    candidates = []
    for k in range(asked.choices):
        text = choice_text(answer, k)
        texts = [last_text(asked, answer, vendor, text)] if text else []
        candidates.append({"content": {"parts": thoughts + texts + calls, "role": "model"}, "index": k,
                           **end_of(asked, answer, *pieces(text, seed_of(asked)))})
    return {"candidates": candidates, "usageMetadata": usage(answer), **frame(asked)}


def event(value):
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\r\n\r\n"


def chunks(asked, answer, vendor):
    if answer.blocked:
        yield blocked(asked, answer)
        return
    thoughts, calls = parts_of(asked, answer, vendor)
    early = {"promptTokenCount": usage(answer)["promptTokenCount"]}

    def chunk(k, parts, finish=False, more=None):
        candidate = {"content": {"parts": parts, "role": "model"}, "index": k, **(more or {})}
        return {"candidates": [candidate], "usageMetadata": usage(answer) if finish else early,
                **frame(asked)}

    def choice(k):
        for thought in thoughts:
            for piece in pieces(thought["text"], asked.prefix):
                yield chunk(k, [{"text": piece, "thought": True}])
        for n, piece in enumerate(pieces(choice_text(answer, k), seed_of(asked))):
            if answer.broken and not answer.calls and n == 3:
                yield error_body(TROUBLES[answer.why]()) if answer.broken == "break" else None
                return
            yield chunk(k, [{"text": piece}], more=None if asked.logprobs is None else {
                "logprobsResult": probable(asked, piece)})
        if answer.broken and calls:
            yield None  # calls come whole, or not at all
            return
        for part in calls:
            yield chunk(k, [part])
        yield chunk(k, [last_text(asked, answer, vendor, "")], True, end_of(asked, answer))

    for round_of in itertools.zip_longest(*(choice(k) for k in range(asked.choices)), fillvalue=()):
        for made in round_of:
            if made is None:
                return
            if made:
                yield made


def events(asked, answer, vendor):
    if asked.extra["call"].sse:
        for value in chunks(asked, answer, vendor):
            yield event(value)
        return
    lead = b"["
    for value in chunks(asked, answer, vendor):
        yield lead + json.dumps(value, indent=2).encode()
        lead = b",\r\n"
    yield b"]"


KINDS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
         429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}


def trouble(message, status):
    return lambda: Refusal(message, status)


# Errors that have nothing to do with the request's form, by the names of the script. A prompt that is
# blocked is no error here, but an answer without a candidate.
TROUBLES = {
    "context": trouble("The input token count (1200000) exceeds the maximum number of tokens allowed "
                       "(1048576).", 400),
    "key": trouble("API key not valid. Please pass a valid API key.", 401),
    "country": trouble("User location is not supported for the API use.", 403),
    "rate": trouble("Resource has been exhausted (e.g. check quota).", 429),
    "quota": trouble("You exceeded your current quota, please check your plan and billing details.", 429),
    "server": trouble("An internal error has occurred. Please retry or report.", 500),
    "overloaded": trouble("The model is overloaded. Please try again later.", 503),
    "timeout": trouble("Deadline expired before operation could complete.", 504),
}


def error_body(refusal):
    status = KINDS.get(refusal.status, "INTERNAL")
    body = {"code": refusal.status, "message": refusal.message, "status": status}
    if refusal.status == 429:
        body["details"] = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "7s"}]
    return {"error": body}
