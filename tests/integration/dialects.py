"""The four APIs as far as the converter's tests need them: what a client of each asks and understands,
and what a vendor of each sees and answers. A test speaks of texts, calls and usage; which API says it
how stands here alone.
"""

import json
import os
import re

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
TOOL = {"name": "get_weather", "description": "The weather", "schema": {
    "type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}
USAGE = {"input": 11, "cached": 4, "output": 7}  # every vendor here tells these


def sse(data, name=None):
    if not isinstance(data, str):
        data = json.dumps(data)
    return ((f"event: {name}\n" if name else "") + f"data: {data}\n\n").encode()


class Said:
    """What a client understood of an answer, or a vendor of a request."""

    def __init__(self):
        self.text, self.calls, self.finish, self.usage, self.model = "", [], None, None, None
        self.error, self.ended, self.results, self.tools = None, False, [], []

    def __repr__(self):
        return repr(vars(self))


class Dialect:
    name = family = kind = ""  # of accounts and metrics; in converters.def; type of account
    loss, lossy = "", {}  # a setting that no other format can carry
    opening = 0  # events up to the second piece of text

    def account(self, vendor, **more):
        base = vendor.url + ("/v1" if self.kind == "openai" else "")
        return {"name": f"test-{self.name}", "type": self.kind, "base_url": base, "formats": [self.name],
                "api_key": f"secret-of-{self.name}", "models": ["m"], **more}

    def error(self, body):
        """(type, message, param) of an error's body."""
        error = body["error"]
        return error.get("type") or error.get("status"), error["message"], error.get("param")


class Chat(Dialect):
    name, family, kind, loss, lossy = "openai", "OPENAI", "openai", "logit_bias", {"logit_bias": {"7": 5}}
    opening = 3
    finishes = {"stop": "stop", "tool_calls": "calls", "length": "length"}

    def path(self, model, stream):
        return "/v1/chat/completions"

    def request(self, text, stream=False, model="m", tools=False, turns=(), **more):
        messages = [{"role": "system", "content": "be brief"}, {"role": "user", "content": text}]
        for call, result in turns:
            messages += [
                {"role": "assistant", "content": None, "tool_calls": [{"id": call[0], "type": "function",
                 "function": {"name": call[1], "arguments": json.dumps(call[2])}}]},
                {"role": "tool", "tool_call_id": call[0], "content": result}]
        body = {"model": model, "messages": messages, **more}
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        if tools:
            body["tools"] = [{"type": "function", "function": {
                "name": TOOL["name"], "description": TOOL["description"], "parameters": TOOL["schema"]}}]
        return body

    bad = [({"messages": [{"role": "usher", "content": "x"}]}, "messages[0].role"),
           ({"messages": "x"}, "messages"),
           ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content")]

    def seen(self, request):
        body, said = request.json(), Said()
        said.stream, said.model = body.get("stream", False), body["model"]
        for message in body["messages"]:
            content = message.get("content") or ""
            if not isinstance(content, str):
                content = "".join(part["text"] for part in content)
            if message["role"] == "tool":
                said.results.append((message["tool_call_id"], content))
            elif message["role"] == "user":
                said.text += content
            for call in message.get("tool_calls", []):
                said.calls.append((call["id"], call["function"]["name"],
                                   json.loads(call["function"]["arguments"])))
        said.tools = [tool["function"]["name"] for tool in body.get("tools", [])]
        return said

    usage = {"prompt_tokens": 15, "completion_tokens": 7, "total_tokens": 22,
             "prompt_tokens_details": {"cached_tokens": 4}}

    def whole(self, text="", calls=(), model="m"):
        message = {"role": "assistant", "content": text or None}
        if calls:
            message["tool_calls"] = [{"id": id, "type": "function", "function": {
                "name": name, "arguments": json.dumps(args)}} for id, name, args in calls]
        return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model, "choices": [
            {"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}],
            "usage": self.usage}

    def chunk(self, delta, finish=None):
        return sse({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
                    "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    def events(self, texts=(), calls=()):
        out = [self.chunk({"role": "assistant", "content": ""})]
        out += [self.chunk({"content": text}) for text in texts]
        for at, (id, name, args) in enumerate(calls):
            text = json.dumps(args)
            function = {"name": name, "arguments": ""}
            out.append(self.chunk({"tool_calls": [{"index": at, "id": id, "type": "function",
                                                   "function": function}]}))
            for piece in (text[:5], text[5:]):
                out.append(self.chunk({"tool_calls": [{"index": at, "function": {"arguments": piece}}]}))
        out.append(self.chunk({}, "tool_calls" if calls else "stop"))
        out.append(sse({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m",
                        "choices": [], "usage": self.usage}))
        return out + [sse("[DONE]")]

    def error_event(self, message):
        return sse({"error": {"message": message, "type": "server_error", "code": None, "param": None}})

    def error_answer(self, peer, message):
        peer.answer({"error": {"message": message, "type": "rate_limit_error", "param": None,
                               "code": "rate_limit_exceeded"}}, status="429 Too Many Requests")

    def _usage(self, usage):
        cached = usage["prompt_tokens_details"]["cached_tokens"]
        return {"input": usage["prompt_tokens"] - cached, "cached": cached,
                "output": usage["completion_tokens"]}

    def understand(self, body):
        said, choice = Said(), body["choices"][0]
        said.text, said.model = choice["message"]["content"] or "", body["model"]
        said.calls = [(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"]))
                      for call in choice["message"].get("tool_calls") or []]
        said.finish = self.finishes[choice["finish_reason"]]
        said.usage, said.ended = self._usage(body["usage"]), True
        return said

    def listen(self, answer):
        said, calls = Said(), {}
        for data in answer.events():
            if data == "[DONE]":
                said.ended = True
                continue
            event = json.loads(data)
            if "error" in event:
                said.error = event["error"]["message"]
                continue
            said.model = event["model"]
            if event.get("usage"):
                said.usage = self._usage(event["usage"])
            for choice in event["choices"]:
                said.text += choice["delta"].get("content") or ""
                said.finish = self.finishes.get(choice["finish_reason"], said.finish)
                for call in choice["delta"].get("tool_calls") or []:
                    known = calls.setdefault(call["index"], ["", "", ""])
                    known[0] += call.get("id") or ""
                    known[1] += call["function"].get("name") or ""
                    known[2] += call["function"].get("arguments") or ""
        if said.finish:
            said.calls = [(id, name, json.loads(args)) for id, name, args in calls.values()]
        return said


class Messages(Dialect):
    name, family, kind, loss, lossy = "anthropic", "ANTHROPIC", "anthropic", "made_up", {"made_up": 5}
    opening = 4
    finishes = {"end_turn": "stop", "tool_use": "calls", "max_tokens": "length"}

    def path(self, model, stream):
        return "/v1/messages"

    def request(self, text, stream=False, model="m", tools=False, turns=(), **more):
        messages = [{"role": "user", "content": text}]
        for call, result in turns:
            messages += [
                {"role": "assistant", "content": [
                    {"type": "tool_use", "id": call[0], "name": call[1], "input": call[2]}]},
                {"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": call[0], "content": result}]}]
        body = {"model": model, "max_tokens": 100, "system": "be brief", "messages": messages, **more}
        if stream:
            body["stream"] = True
        if tools:
            body["tools"] = [{"name": TOOL["name"], "description": TOOL["description"],
                              "input_schema": TOOL["schema"]}]
        return body

    bad = [({"messages": [{"role": "usher", "content": "x"}]}, "messages[0].role"),
           ({"messages": "x"}, "messages"),
           ({"messages": [{"role": "user", "content": 7}]}, "messages[0].content")]

    def seen(self, request):
        body, said = request.json(), Said()
        said.stream, said.model = body.get("stream", False), body["model"]
        for message in body["messages"]:
            content = message["content"]
            if isinstance(content, str):
                content = [{"type": "text", "text": content}]
            for block in content:
                if block["type"] == "text" and message["role"] == "user":
                    said.text += block["text"]
                elif block["type"] == "tool_use":
                    said.calls.append((block["id"], block["name"], block["input"]))
                elif block["type"] == "tool_result":
                    result = block["content"]
                    if not isinstance(result, str):
                        result = "".join(part["text"] for part in result)
                    said.results.append((block["tool_use_id"], result))
        said.tools = [tool["name"] for tool in body.get("tools", [])]
        return said

    usage = {"input_tokens": 11, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0,
             "output_tokens": 7}

    def whole(self, text="", calls=(), model="m"):
        content = [{"type": "text", "text": text}] if text else []
        content += [{"type": "tool_use", "id": id, "name": name, "input": args} for id, name, args in calls]
        return {"id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": content,
                "stop_reason": "tool_use" if calls else "end_turn", "stop_sequence": None,
                "usage": self.usage}

    def event(self, name, **more):
        return sse({"type": name, **more}, name)

    def events(self, texts=(), calls=()):
        start = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [],
                 "stop_reason": None, "stop_sequence": None, "usage": {**self.usage, "output_tokens": 1}}
        out, at = [self.event("message_start", message=start)], 0
        if texts:
            out.append(self.event("content_block_start", index=0,
                                  content_block={"type": "text", "text": ""}))
            out += [self.event("content_block_delta", index=0, delta={"type": "text_delta", "text": text})
                    for text in texts]
            out.append(self.event("content_block_stop", index=0))
            at = 1
        for at, (id, name, args) in enumerate(calls, at):
            text = json.dumps(args)
            block = {"type": "tool_use", "id": id, "name": name, "input": {}}
            out.append(self.event("content_block_start", index=at, content_block=block))
            out += [self.event("content_block_delta", index=at,
                               delta={"type": "input_json_delta", "partial_json": piece})
                    for piece in (text[:5], text[5:])]
            out.append(self.event("content_block_stop", index=at))
        reason = {"stop_reason": "tool_use" if calls else "end_turn", "stop_sequence": None}
        out.append(self.event("message_delta", delta=reason, usage={"output_tokens": 7}))
        return out + [self.event("message_stop")]

    def error_event(self, message):
        return self.event("error", error={"type": "overloaded_error", "message": message})

    def error_answer(self, peer, message):
        peer.answer({"type": "error", "error": {"type": "rate_limit_error", "message": message}},
                    status="429 Too Many Requests")

    def _usage(self, usage):
        return {"input": usage["input_tokens"], "cached": usage["cache_read_input_tokens"],
                "output": usage["output_tokens"]}

    def understand(self, body):
        said = Said()
        said.model, said.finish = body["model"], self.finishes[body["stop_reason"]]
        for block in body["content"]:
            if block["type"] == "text":
                said.text += block["text"]
            elif block["type"] == "tool_use":
                said.calls.append((block["id"], block["name"], block["input"]))
        said.usage, said.ended = self._usage(body["usage"]), True
        return said

    def listen(self, answer):
        said, usage, calls, open_block = Said(), {}, {}, None
        for data in answer.events():
            event = json.loads(data)
            kind = event["type"]
            if kind == "message_start":
                said.model = event["message"]["model"]
                usage |= event["message"]["usage"]
            elif kind == "content_block_start":
                assert open_block is None, "two blocks are open"
                open_block, block = event["index"], event["content_block"]
                if block["type"] == "tool_use":
                    calls[open_block] = [block["id"], block["name"], ""]
            elif kind == "content_block_delta":
                assert event["index"] == open_block, "a delta without its block"
                said.text += event["delta"].get("text", "")
                if "partial_json" in event["delta"]:
                    calls[open_block][2] += event["delta"]["partial_json"]
            elif kind == "content_block_stop":
                open_block = None
            elif kind == "message_delta":
                said.finish = self.finishes[event["delta"]["stop_reason"]]
                usage |= event["usage"]
            elif kind == "message_stop":
                said.ended = True
            elif kind == "error":
                said.error = event["error"]["message"]
        if said.ended:
            said.usage = self._usage(usage)
            said.calls = [(id, name, json.loads(args or "{}")) for id, name, args in calls.values()]
        return said


class Responses(Dialect):
    name, family, kind, loss, lossy = "responses", "RESPONSES", "openai", "made_up", {"made_up": [5]}
    opening = 6

    def path(self, model, stream):
        return "/v1/responses"

    def request(self, text, stream=False, model="m", tools=False, turns=(), **more):
        items = [{"role": "user", "content": text}]
        for call, result in turns:
            items += [{"type": "function_call", "call_id": call[0], "name": call[1],
                       "arguments": json.dumps(call[2])},
                      {"type": "function_call_output", "call_id": call[0], "output": result}]
        body = {"model": model, "instructions": "be brief", "input": items, "store": False, **more}
        if stream:
            body["stream"] = True
        if tools:
            body["tools"] = [{"type": "function", "name": TOOL["name"], "parameters": TOOL["schema"],
                              "description": TOOL["description"], "strict": False}]
        return body

    bad = [({"input": [{"role": "usher", "content": "x"}]}, "input[0].role"), ({"input": 7}, "input")]

    def seen(self, request):
        body, said = request.json(), Said()
        said.stream, said.model = body.get("stream", False), body["model"]
        items = body["input"]
        if isinstance(items, str):
            items = [{"role": "user", "content": items}]
        for item in items:
            kind = item.get("type", "message")
            if kind == "message" and item["role"] == "user":
                content = item["content"]
                said.text += content if isinstance(content, str) else "".join(
                    part["text"] for part in content)
            elif kind == "function_call":
                said.calls.append((item["call_id"], item["name"], json.loads(item["arguments"])))
            elif kind == "function_call_output":
                output = item["output"]
                if not isinstance(output, str):
                    output = "".join(part["text"] for part in output)
                said.results.append((item["call_id"], output))
        said.tools = [tool["name"] for tool in body.get("tools", [])]
        return said

    usage = {"input_tokens": 15, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 7,
             "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 22}

    def _items(self, text, calls):
        items = []
        if text:
            items.append({"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
                          "content": [{"type": "output_text", "text": text, "annotations": [],
                                       "logprobs": []}]})
        return items + [{"type": "function_call", "id": f"fc_{id}", "status": "completed", "call_id": id,
                         "name": name, "arguments": json.dumps(args)} for id, name, args in calls]

    def whole(self, text="", calls=(), model="m", status="completed"):
        return {"id": "resp_1", "object": "response", "created_at": 1, "status": status, "model": model,
                "output": self._items(text, calls) if status == "completed" else [], "error": None,
                "incomplete_details": None, "instructions": None, "metadata": {},
                "parallel_tool_calls": True, "temperature": 1.0, "tool_choice": "auto", "tools": [],
                "top_p": 1.0, "usage": self.usage if status == "completed" else None}

    def events(self, texts=(), calls=()):
        out, number = [], 0

        def add(kind, **more):
            nonlocal number
            out.append(sse({"type": kind, **more, "sequence_number": number}, kind))
            number += 1

        add("response.created", response=self.whole(status="in_progress"))
        add("response.in_progress", response=self.whole(status="in_progress"))
        for at, item in enumerate(self._items("".join(texts), calls)):
            message = item["type"] == "message"
            start = {**item, "status": "in_progress", **({"content": []} if message else {"arguments": ""})}
            add("response.output_item.added", output_index=at, item=start)
            place = {"item_id": item["id"], "output_index": at}
            if message:
                part = item["content"][0]
                place["content_index"] = 0
                add("response.content_part.added", **place, part={**part, "text": ""})
                for text in texts:
                    add("response.output_text.delta", **place, delta=text, logprobs=[])
                add("response.output_text.done", **place, text=part["text"], logprobs=[])
                add("response.content_part.done", **place, part=part)
            else:
                for piece in (item["arguments"][:5], item["arguments"][5:]):
                    add("response.function_call_arguments.delta", **place, delta=piece)
                add("response.function_call_arguments.done", **place, arguments=item["arguments"])
            add("response.output_item.done", output_index=at, item=item)
        add("response.completed", response=self.whole("".join(texts), calls))
        return out

    def error_event(self, message):
        return sse({"type": "error", "code": "server_error", "message": message, "param": None,
                    "sequence_number": 9}, "error")

    def error_answer(self, peer, message):
        Chat().error_answer(peer, message)

    def _usage(self, usage):
        cached = usage["input_tokens_details"]["cached_tokens"]
        return {"input": usage["input_tokens"] - cached, "cached": cached, "output": usage["output_tokens"]}

    def understand(self, body):
        said = Said()
        said.model = body["model"]
        for item in body["output"]:
            if item["type"] == "message":
                said.text += "".join(part.get("text", "") for part in item["content"])
            elif item["type"] == "function_call":
                said.calls.append((item["call_id"], item["name"], json.loads(item["arguments"])))
        said.finish = "calls" if said.calls else "stop" if body["status"] == "completed" else "length"
        said.usage, said.ended = self._usage(body["usage"]), True
        return said

    def listen(self, answer):
        said, text, number = Said(), "", -1
        for data in answer.events():
            event = json.loads(data)
            assert event["sequence_number"] > number, f"{event['sequence_number']} after {number}"
            number, kind = event["sequence_number"], event["type"]
            if kind == "response.output_text.delta":
                text += event["delta"]
            elif kind in ("response.completed", "response.incomplete"):
                said = self.understand(event["response"])
                assert said.text == text, "the end repeats another text"
            elif kind == "error":
                said.error = event["message"]
            elif kind == "response.failed":
                assert said.error, "failed without a reason"
        said.text = text
        return said


class Gemini(Dialect):
    name, family, kind, loss, lossy = "gemini", "GEMINI", "gemini", "madeUp", {"madeUp": {"a": 5}}
    opening = 2
    finishes = {"STOP": "stop", "MAX_TOKENS": "length"}

    def path(self, model, stream):
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/models/{model}:{method}"

    def request(self, text, stream=False, model="m", tools=False, turns=(), **more):
        contents = [{"role": "user", "parts": [{"text": text}]}]
        for call, result in turns:
            contents += [{"role": "model", "parts": [{"functionCall": {"name": call[1], "args": call[2]}}]},
                         {"role": "user", "parts": [{"functionResponse": {
                             "name": call[1], "response": {"result": result}}}]}]
        body = {"systemInstruction": {"parts": [{"text": "be brief"}]}, "contents": contents, **more}
        if tools:
            body["tools"] = [{"functionDeclarations": [{
                "name": TOOL["name"], "description": TOOL["description"],
                "parametersJsonSchema": TOOL["schema"]}]}]
        return body

    bad = [({"contents": [{"role": "usher", "parts": [{"text": "x"}]}]}, "contents[0].role"),
           ({"contents": 7}, "contents")]

    def seen(self, request):
        body, said = request.json(), Said()
        said.stream = ":streamGenerateContent" in request.target
        assert not said.stream or request.target.endswith("?alt=sse"), request.target
        said.model = re.search(r"/models/([^:]*):", request.target).group(1)
        for content in body["contents"]:
            for part in content["parts"]:
                if "text" in part and content["role"] == "user":
                    said.text += part["text"]
                elif "functionCall" in part:
                    call = part["functionCall"]
                    said.calls.append((call.get("id"), call["name"], call["args"]))
                elif "functionResponse" in part:
                    response = part["functionResponse"]
                    said.results.append((response.get("id"), "".join(
                        str(value) for value in response["response"].values())))
        for tool in body.get("tools", []):
            said.tools += [function["name"] for function in tool.get("functionDeclarations", [])]
        return said

    usage = {"promptTokenCount": 15, "cachedContentTokenCount": 4, "candidatesTokenCount": 7,
             "totalTokenCount": 22}

    def whole(self, text="", calls=(), model="m", finish="STOP"):
        parts = [{"text": text}] if text else []
        parts += [{"functionCall": {"id": id, "name": name, "args": args}} for id, name, args in calls]
        candidate = {"content": {"role": "model", "parts": parts}, "index": 0}
        if finish:
            candidate["finishReason"] = finish
        return {"candidates": [candidate], "usageMetadata": self.usage, "modelVersion": model,
                "responseId": "r1"}

    def events(self, texts=(), calls=()):
        out = [sse(self.whole(text, finish=None)) for text in texts]
        return out + [sse(self.whole("" if calls or texts else "x", calls))]

    def error_event(self, message):
        return sse({"error": {"code": 503, "message": message, "status": "UNAVAILABLE"}})

    def error_answer(self, peer, message):
        peer.answer({"error": {"code": 429, "message": message, "status": "RESOURCE_EXHAUSTED"}},
                    status="429 Too Many Requests")

    def _usage(self, usage):
        cached = usage.get("cachedContentTokenCount", 0)
        return {"input": usage["promptTokenCount"] - cached, "cached": cached,
                "output": usage["candidatesTokenCount"] + usage.get("thoughtsTokenCount", 0)}

    def _add(self, said, body):
        said.model = body.get("modelVersion", said.model)
        for candidate in body.get("candidates", []):
            for part in candidate.get("content", {}).get("parts", []):
                if "functionCall" in part:
                    call = part["functionCall"]
                    said.calls.append((call.get("id"), call["name"], call["args"]))
                elif not part.get("thought"):
                    said.text += part.get("text", "")
            if candidate.get("finishReason"):
                said.ended = True
                said.finish = "calls" if said.calls else self.finishes[candidate["finishReason"]]
        if "usageMetadata" in body and "candidatesTokenCount" in body["usageMetadata"]:
            said.usage = self._usage(body["usageMetadata"])

    def understand(self, body):
        said = Said()
        self._add(said, body)
        return said

    def collect(self, bodies):
        """A stream as an array."""
        said = Said()
        for body in bodies:
            self._add(said, body)
        return said

    def listen(self, answer):
        said = Said()
        for data in answer.events():
            event = json.loads(data)
            if "error" in event:
                said.error = event["error"]["message"]
            else:
                self._add(said, event)
        return said


def converted():
    """The dialects that the converter's table has a row for."""
    with open(os.path.join(ROOT, "include", "penstock", "convert", "converters.def"), encoding="utf-8") as file:
        rows = set(re.findall(r"^CONVERTER\((\w+),", file.read(), re.M))
    every = [Chat(), Responses(), Messages(), Gemini()]
    assert rows <= {dialect.family for dialect in every}, f"no dialect for one of {rows}"
    return [dialect for dialect in every if dialect.family in rows]


def pairs():
    """[(client, vendor)] of different formats."""
    return [(client, vendor) for client in converted() for vendor in converted() if client.name != vendor.name]


def few_pairs():
    """The same, but each format only once as the client's and once as the vendor's."""
    every = converted()
    return list(zip(every, every[1:] + every[:1]))
