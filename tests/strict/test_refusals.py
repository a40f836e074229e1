"""The strict vendor refuses what a vendor refuses, in its words, and takes what lies just beside it."""

import ast
import base64
import copy
import http.client
import json
import sys
import unittest
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import common  # noqa: E402
import vendor  # noqa: E402
from vendor import MODELS, StrictVendor  # noqa: E402

RULES = ("chat.py", "responses.py", "messages.py", "gemini.py")
REFUSERS = ("refuse", "fault", "unknown", "missing", "wrong_type", "fail")
used = set()  # (file, line) of every call on the way to a refusal
ran = set()   # names of the test classes' cases that were run


def note_site(refusal, *args, **more):
    frame = sys._getframe(1)
    while frame is not None:
        used.add((Path(frame.f_code.co_filename).name, frame.f_lineno))
        frame = frame.f_back
    init(refusal, *args, **more)


init, common.Refusal.__init__ = common.Refusal.__init__, note_site


def tearDownModule():
    """No rule without its case: each call that refuses was on the way of some refusal."""
    common.Refusal.__init__ = init
    if ran != {f"{cls.__name__}.{name}" for cls in (Refusals, Seals, Script)
               for name in unittest.defaultTestLoader.getTestCaseNames(cls)}:
        return  # only some cases were asked for
    unused = []
    for name in RULES:
        for node in ast.walk(ast.parse((HERE / name).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in REFUSERS:
                if not any((name, line) in used for line in range(node.lineno, node.end_lineno + 1)):
                    unused.append(f"{name}:{node.lineno}")
    if unused:
        raise AssertionError("no case sees these refuse: " + ", ".join(unused))

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
STRICT = {**SCHEMA, "required": ["a"], "additionalProperties": False}
PNG = base64.b64encode(b"\x89PNG not really").decode()
PDF_URL = "data:application/pdf;base64," + base64.b64encode(b"%PDF-1.4").decode()
ASK = "conversation {}\n> think hm\n> call add {{\"a\": 1}}\n> call now {{}}\n> then\n> results"
PATHS = {"openai": "/v1/chat/completions", "responses": "/v1/responses", "anthropic": "/v1/messages",
         "gemini": "/v1beta/models/gemini-3-pro:generateContent"}

BASE = {
    "openai": {
        "model": MODELS["openai"],
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "> call add {}"},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{}"}},
                {"id": "call_2", "type": "function", "function": {"name": "now", "arguments": ""}}]},
            {"role": "tool", "tool_call_id": "call_2", "content": "noon"},
            {"role": "tool", "tool_call_id": "call_1", "content": "3"},
        ],
        "tools": [{"type": "function", "function": {"name": "add", "parameters": SCHEMA}},
                  {"type": "function", "function": {"name": "now"}}],
    },
    "responses": {
        "model": MODELS["responses"], "instructions": "Be brief.",
        "input": [
            {"role": "user", "content": "> call add {}"},
            {"type": "message", "role": "assistant", "content": [
                {"type": "output_text", "text": "well", "annotations": []}]},
            {"type": "function_call", "call_id": "call_1", "name": "add", "arguments": "{}"},
            {"type": "function_call", "call_id": "call_2", "name": "now", "arguments": ""},
            {"type": "function_call_output", "call_id": "call_2", "output": "noon"},
            {"type": "function_call_output", "call_id": "call_1", "output": "3"},
        ],
        "tools": [{"type": "function", "name": "add", "parameters": SCHEMA, "strict": False},
                  {"type": "function", "name": "now", "parameters": STRICT}],
    },
    "anthropic": {
        "model": MODELS["anthropic"], "max_tokens": 4000, "system": "Be brief.",
        "messages": [
            {"role": "user", "content": "> call add {}"},
            {"role": "assistant", "content": [
                {"type": "text", "text": "well"},
                {"type": "tool_use", "id": "toolu_1", "name": "add", "input": {}},
                {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": "noon"},
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "3"},
                {"type": "text", "text": "> say so"}]},
        ],
        "tools": [{"name": "add", "input_schema": SCHEMA}, {"name": "now", "input_schema": SCHEMA}],
    },
    "gemini": {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "> call add {}"}]},
            {"role": "model", "parts": [
                {"functionCall": {"name": "add", "args": {}},
                 "thoughtSignature": base64.b64encode(b"skip_thought_signature_validator").decode()},
                {"functionCall": {"name": "now", "args": {}}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"name": "now", "response": {"output": "noon"}}},
                {"functionResponse": {"name": "add", "response": {"output": "3"}}}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "add", "parameters": SCHEMA}, {"name": "now"}]}],
    },
}


def put(path, value):
    """A change: the member at `a.0.b` becomes `value`; in front of a number, + inserts before it."""
    def change(body):
        *way, last = path.split(".")
        for step in way:
            body = body[int(step) if isinstance(body, list) else step]
        if last.startswith("+"):
            body.insert(int(last[1:]), value)
        elif isinstance(body, list):
            body[int(last)] = value
        else:
            body[last] = value
    return change


def drop(path):
    def change(body):
        *way, last = path.split(".")
        for step in way:
            body = body[int(step) if isinstance(body, list) else step]
        del body[int(last) if isinstance(body, list) else last]
    return change


def both(*changes):
    return lambda body: [change(body) for change in changes]


def swap(path, i, j):
    def change(body):
        for step in path.split("."):
            body = body[int(step) if isinstance(body, list) else step]
        body[i], body[j] = body[j], body[i]
    return change


CHAT_SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA, "strict": True}}
IMAGE_PART = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + PNG}}
ALIEN = "U1Yx" + "A" * 600

# (what changes in the good request, a part of what the vendor says)
REFUSED = {
    "openai": [
        (drop("model"), "you must provide a model parameter"),
        (put("model", "gpt-0"), "does not exist or you do not have access to it"),
        (drop("messages"), "Missing required parameter: 'messages'."),
        (put("messages", []), "Invalid 'messages': empty array."),
        (put("thinking", {}), "Unrecognized request argument supplied: thinking"),
        (put("messages.2.reasoning_content", "x"), "Unknown parameter: 'messages[2].reasoning_content'."),
        (put("messages.1.content", [{"type": "text", "text": "x", "cache_control": {}}]),
         "Unknown parameter: 'messages[1].content[0].cache_control'."),
        (put("messages.1.role", "model"), "Invalid value: 'model'. Supported values are: 'system'"),
        (put("messages.1.content", None), "Invalid value for 'content': expected a string, got null."),
        (put("messages.2", {"role": "assistant", "content": None}), "expected a string, got null"),
        (drop("messages.4"), "did not have response messages: call_1"),
        (put("messages.+3", {"role": "user", "content": "x"}),
         "must be followed by tool messages responding to each 'tool_call_id'"),
        (put("messages.4.tool_call_id", "call_9"),
         "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'"),
        (put("messages.4.tool_call_id", "call_2"), "messages with role 'tool' must be a response"),
        (put("messages.2.tool_calls.0.id", "c" * 65),
         "string too long. Expected a string with maximum length 64, but got a string with length 65"),
        (put("messages.2.tool_calls.0.id", ""), "Invalid 'messages[2].tool_calls[0].id': empty string."),
        (put("messages.2.tool_calls.0.id", "call_2"), "Duplicate value for 'tool_call_id'"),
        (put("messages.2.tool_calls", []), "Invalid 'messages[2].tool_calls': empty array."),
        (put("messages.2.tool_calls.0.function.arguments", {}),
         "Invalid type for 'messages[2].tool_calls[0].function.arguments': expected a string, but got an "
         "object instead."),
        (put("messages.3.content", [IMAGE_PART]), "Invalid value: 'image_url'. Supported values are:"),
        (put("messages.1.content", [{"type": "image_url", "image_url": {"url": "iVBO"}}]),
         "Expected a base64-encoded data URL"),
        (put("tools.0.function.name", "a b"), "string does not match pattern"),
        (put("tools.0.function.input_schema", {}),
         "Unknown parameter: 'tools[0].function.input_schema'."),
        (put("tools.0.function.parameters", {"type": "string"}), "got 'type: \"string\"'"),
        (put("tools.0.function.strict", True), "'additionalProperties' is required to be supplied"),
        (both(drop("tools"), put("tool_choice", "auto")), "'tool_choice' is only allowed when 'tools'"),
        (both(drop("tools"), put("parallel_tool_calls", False)),
         "'parallel_tool_calls' is only allowed when 'tools' are specified"),
        (put("tool_choice", {"type": "function", "function": {"name": "sub"}}),
         "no function named 'sub' was specified"),
        (put("tool_choice", "any"), "Invalid value: 'any'. Supported values are: 'none', 'auto'"),
        (put("stream_options", {"include_usage": True}), "only allowed when 'stream' is enabled"),
        (put("max_tokens", 100), "Use 'max_completion_tokens' instead."),
        (put("temperature", 0.5), "'temperature' does not support 0.5 with this model"),
        (put("temperature", 3), "Expected a value <= 2, but got 3 instead."),
        (both(put("model", "gpt-4.1"), put("top_logprobs", 2)), "only allowed when 'logprobs' is enabled"),
        (both(put("model", "gpt-4.1"), put("stop", ["a"] * 5)), "Expected an array with maximum length 4"),
        (put("stop", ["a"]), "Unsupported parameter: 'stop' is not supported with this model."),
        (put("logprobs", True), "Unsupported parameter: 'logprobs' is not supported with this model."),
        (put("presence_penalty", 0.5), "'presence_penalty' is not supported with this model."),
        (put("messages.1.content", [{"type": "file", "file": {"file_data": PDF_URL}}]),
         "Missing required parameter: 'messages[1].content[0].file.filename'."),
        (put("messages.1.content", [{"type": "file", "file": {"filename": "a.pdf"}}]),
         "Missing required parameter: 'messages[1].content[0].file.file_data'."),
        (put("messages.1.content", [{"type": "file", "file": {"file_id": "file-1"}}]),
         "Invalid file id: 'file-1' was not found."),
        (put("messages.1.content", [{"type": "file", "file": {"file_data": PNG, "filename": "a"}}]),
         "Expected a base64-encoded data URL with a file's MIME type."),
        (put("messages.1.content", [{"type": "file", "file": {"url": "x"}}]),
         "Unknown parameter: 'messages[1].content[0].file.url'."),
        (put("messages.1.content", [{"type": "input_audio", "input_audio": {"data": PNG, "format": "ogg"}}]),
         "Invalid value: 'ogg'. Supported values are: 'wav' and 'mp3'."),
        (put("messages.1.content", [{"type": "input_audio", "input_audio": {"data": "*", "format": "wav"}}]),
         "expected base64-encoded audio"),
        (put("tools.0", {"type": "custom", "custom": {"name": "x", "format": {"type": "lark"}}}),
         "Invalid value: 'lark'. Supported values are: 'text' and 'grammar'."),
        (put("tools.0", {"type": "custom", "custom": {}}), "parameter: 'tools[0].custom.name'."),
        (put("messages.2.tool_calls.0", {"id": "call_1", "type": "custom", "custom": {"name": "x"}}),
         "Missing required parameter: 'messages[2].tool_calls[0].custom.input'."),
        (put("model", "deepseek-v4"), "The `reasoning_content` in the thinking mode must be passed back"),
        (both(put("model", "deepseek-reasoner"), put("messages.2.reasoning_content", "x")),
         "reasoning_content is not allowed in the input messages (messages[2])."),
        (put("reasoning_effort", "huge"), "Invalid value: 'huge'."),
        (put("response_format", CHAT_SCHEMA), "'additionalProperties' is required to be supplied"),
        (put("response_format", {"type": "json_object"}), "must contain the word 'json'"),
        (put("temperature", "hot"), "Invalid type for 'temperature': expected a decimal"),
        (put("n", 0), "Invalid 'n': integer below minimum value. Expected a value >= 1, but got 0"),
        (put("tools.0.function", {"name": "add", "strict": True, "parameters": {
            **STRICT, "required": []}}), "'required' is required to be supplied and to be an array"),
        (put("messages.1.content", []), "Invalid 'messages[1].content': empty array."),
        (put("messages.1.content", [{"text": "x"}]), "'messages[1].content[0].type'."),
        (put("messages.1.content", [{"type": "text"}]), "'messages[1].content[0].text'."),
        (put("messages.1.content", [{"type": "image_url", "image_url": {
            "url": "data:image/png;base64,*"}}]), "Invalid base64 image_url"),
        (drop("messages.2.tool_calls.0.id"), "parameter: 'messages[2].tool_calls[0].id'."),
        (drop("messages.2.tool_calls.0.function.name"), "'messages[2].tool_calls[0].function.name'."),
        (drop("messages.2.tool_calls.0.function.arguments"),
         "Missing required parameter: 'messages[2].tool_calls[0].function.arguments'."),
        (drop("messages.1.role"), "Missing required parameter: 'messages[1].role'."),
        (drop("messages.3.tool_call_id"), "Missing required parameter: 'messages[3].tool_call_id'."),
        (put("tools", []), "Invalid 'tools': empty array."),
        (put("tools.0.type", "tool"), "Invalid value: 'tool'. Supported values are: 'function'"),
        (drop("tools.0.function"), "Missing required parameter: 'tools[0].function'."),
        (both(put("model", "gpt-4.1"), put("reasoning_effort", "low")),
         "Unrecognized request argument supplied: reasoning_effort"),
        (put("response_format", {"type": "json_schema"}), "parameter: 'response_format.json_schema'."),
        (put("response_format", {"type": "xml"}), "Invalid value: 'xml'."),
        (put("metadata", {"a": "b"}), "only allowed when 'store' is enabled"),
    ],
    "responses": [
        (drop("model"), "Missing required parameter: 'model'."),
        (drop("input"), "Missing required parameter: 'input'."),
        (put("input", []), "Invalid 'input': empty array."),
        (put("stop", ["x"]), "Unknown parameter: 'stop'."),
        (put("top_logprobs", 2), "Unsupported parameter: 'top_logprobs' is not supported with this model."),
        (put("top_logprobs", 21), "Expected a value <= 20, but got 21"),
        (put("input.0.content", [{"type": "input_file", "file_data": PDF_URL}]),
         "Missing required parameter: 'input[0].content[0].filename'."),
        (put("input.0.content", [{"type": "input_audio", "input_audio": {"format": "aac"}}]),
         "Invalid value: 'aac'."),
        (put("input.5.output", [{"type": "input_audio"}]), "Invalid value: 'input_audio'."),
        (put("input.3", {"type": "custom_tool_call", "call_id": "call_2", "name": "now"}),
         "Missing required parameter: 'input[3].input'."),
        (put("input.3", {"type": "custom_tool_call", "call_id": "call_2", "name": "now", "input": ""}),
         "No tool call found for function call output with call_id call_2."),
        (put("input.5", {"type": "tool_search_output", "call_id": "call_1"}),
         "Missing required parameter: 'input[5].tools'."),
        (put("tools.0", {"type": "custom", "name": "a b"}), "string does not match pattern"),
        (put("tools.0", {"type": "namespace", "name": "n", "tools": [{"type": "function", "name": "x"}]}),
         "Missing required parameter: 'tools[0].tools[0].parameters'."),
        (put("input.0.cache_control", {}), "Unknown parameter: 'input[0].cache_control'."),
        (put("input.1.content.0.type", "input_text"),
         "Invalid value: 'input_text'. Supported values are: 'output_text' and 'refusal'."),
        (put("input.0.content", [{"type": "output_text", "text": "x", "annotations": []}]),
         "Invalid value: 'output_text'. Supported values are: 'input_text'"),
        (put("input.0.content", [{"type": "text", "text": "x"}]), "Invalid value: 'text'."),
        (drop("input.1.content.0.annotations"),
         "Missing required parameter: 'input[1].content[0].annotations'."),
        (drop("input.5"), "No tool output found for function call call_1."),
        (put("input.5.call_id", "call_7"),
         "No tool call found for function call output with call_id call_7."),
        (put("input.5.call_id", "call_2"), "No tool call found for function call output"),
        (swap("input", 2, 5), "No tool call found for function call output with call_id call_1."),
        (put("input.2.call_id", "call_2"), "Duplicate function call with call_id call_2."),
        (put("input.2.call_id", "c" * 65), "Expected a string with maximum length 64"),
        (put("input.2.id", "toolu_1"),
         "Invalid 'input[2].id': 'toolu_1'. Expected an ID that begins with 'fc'."),
        (put("input.2.id", None), "Invalid type for 'input[2].id': expected a string, but got null"),
        (put("input.1.id", "chatcmpl-1"), "Expected an ID that begins with 'msg'."),
        (both(put("input.2.id", "fc_1"), put("input.3.id", "fc_1")),
         "Duplicate item found with id fc_1."),
        (put("input.2.arguments", {}), "Invalid type for 'input[2].arguments': expected a string"),
        (put("input.2.status", "done"), "Invalid value: 'done'."),
        (put("input.+1", {"type": "reasoning", "id": "rs_1"}),
         "Missing required parameter: 'input[1].summary'."),
        (put("input.+1", {"type": "reasoning", "id": "rs_1", "summary": []}),
         "Items are not persisted when `store` is set to false."),
        (put("input.+1", {"type": "reasoning", "summary": [], "encrypted_content": "gAAAAAB" + ALIEN}),
         "could not be verified. Reason: Encrypted content could not be decrypted or parsed."),
        (put("input.+1", {"type": "item_reference", "id": "msg_1"}), "Item with id 'msg_1' not found."),
        (put("previous_response_id", "resp_1"), "Previous response with id 'resp_1' not found."),
        (put("max_output_tokens", 15), "Expected a value >= 16, but got 15 instead."),
        (put("temperature", 0.2), "Unsupported parameter: 'temperature' is not supported"),
        (put("reasoning", {"effort": "huge"}), "Invalid value: 'huge'."),
        (put("reasoning", {"budget": 1}), "Unknown parameter: 'reasoning.budget'."),
        (put("include", ["usage"]), "Invalid value: 'usage'."),
        (put("tools.0", {"type": "function", "function": {"name": "add"}}),
         "Unknown parameter: 'tools[0].function'."),
        (drop("tools.0.parameters"), "Missing required parameter: 'tools[0].parameters'."),
        (drop("tools.0.strict"), "'additionalProperties' is required to be supplied and to be false."),
        (put("tools.0.name", "now"), "Duplicate tool names are not allowed"),
        (put("tool_choice", {"type": "function", "name": "sub"}), "Tool choice 'sub' not found"),
        (put("tool_choice", {"type": "function", "function": {"name": "add"}}),
         "Tool choice 'function' not found"),
        (put("text", {"format": {"type": "json_schema", "schema": SCHEMA}}),
         "Missing required parameter: 'text.format.name'."),
        (put("input.0.content", [{"text": "x"}]), "parameter: 'input[0].content[0].type'."),
        (put("input.0.content", [{"type": "input_text"}]), "'input[0].content[0].text'."),
        (put("input.0.content", [{"type": "input_image"}]), "'input[0].content[0].image_url'."),
        (put("input.0.type", "msg"), "Invalid value: 'msg'. Supported values are: 'custom_tool_call'"),
        (put("input.0.role", "tool"), "Invalid value: 'tool'. Supported values are: 'assistant'"),
        (drop("input.0.content"), "Missing required parameter: 'input[0].content'."),
        (drop("input.2.name"), "Missing required parameter: 'input[2].name'."),
        (drop("input.4.output"), "Missing required parameter: 'input[4].output'."),
        (put("tools.0.type", "tool"), "Invalid value: 'tool'. Supported values are: 'function'"),
        (put("tools.0.parameters", {"type": "string"}), "got 'type: \"string\"'"),
        (put("tool_choice", "any"), "Invalid value: 'any'. Supported values are: 'none', 'auto'"),
        (both(drop("tools"), put("tool_choice", "required")),
         "Tool choice 'required' must be specified with 'tools' parameter."),
        (both(put("model", "gpt-4.1"), put("reasoning", {"effort": "low"})),
         "Unsupported parameter: 'reasoning.effort' is not supported with this model."),
        (put("text", {"format": {"type": "json_schema", "name": "x"}}),
         "Missing required parameter: 'text.format.schema'."),
        (put("text", {"format": {"type": "xml"}}), "Invalid value: 'xml'."),
        (put("text", {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA, "strict": True}}),
         "'additionalProperties' is required to be supplied and to be false."),
    ],
    "anthropic": [
        (drop("max_tokens"), "max_tokens: Field required"),
        (drop("messages"), "messages: Field required"),
        (put("messages", []), "messages: at least one message is required"),
        (put("frequency_penalty", 0), "frequency_penalty: Extra inputs are not permitted"),
        (put("messages.1.reasoning_content", "x"),
         "messages.1.reasoning_content: Extra inputs are not permitted"),
        (put("messages.1.content.1.index", 0),
         "messages.1.content.1.tool_use.index: Extra inputs are not permitted"),
        (put("messages.0.role", "system"), 'messages: Unexpected role "system".'),
        (put("messages.0.role", "tool"), "messages.0.role: Input should be 'user' or 'assistant'"),
        (put("messages.1.content.0.text", ""), "messages: text content blocks must be non-empty"),
        (put("messages.1.content.0.text", " \n"),
         "messages: text content blocks must contain non-whitespace text"),
        (put("messages.0.content", ""),
         "messages.0: all messages must have non-empty content except for the optional final assistant"),
        (put("system", [{"type": "text", "text": ""}]), "system: text content blocks must be non-empty"),
        (drop("messages.2"), "`tool_use` ids were found without `tool_result` blocks"),
        (drop("messages.2.content.0"),
         "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: toolu_2."),
        (swap("messages.2.content", 0, 2), "`tool_use` ids were found without `tool_result` blocks"),
        (put("messages.+2", {"role": "user", "content": "wait"}),
         "`tool_use` ids were found without `tool_result` blocks"),
        (put("messages.2.content.0.tool_use_id", "toolu_9"),
         "unexpected `tool_use_id` found in `tool_result` blocks: toolu_9."),
        (put("messages.2.content.0.tool_use_id", "toolu_1"),
         "each tool_use must have a single result. Found multiple `tool_result` blocks with id: toolu_1"),
        (put("messages.1.content.1.id", "toolu_2"), "messages: `tool_use` ids must be unique"),
        (put("messages.1.content.1.id", "functions.add:0"),
         "messages.1.content.1.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"),
        (put("messages.1.content.1.input", "{}"),
         "messages.1.content.1.tool_use.input: Input should be a valid dictionary"),
        (put("messages.1.content.1.type", "tool_call"), "Input tag 'tool_call' found using 'type'"),
        (put("messages.0.content", [{"type": "tool_use", "id": "x", "name": "add", "input": {}}]),
         "`tool_use` blocks can only be in `assistant` messages"),
        (put("messages.0.content", [{"type": "image", "source": {
            "type": "base64", "media_type": "image/bmp", "data": PNG}}]),
         "media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'"),
        (put("messages.1.content.+0", {"type": "thinking", "thinking": "x"}),
         "messages.1.content.0.thinking.signature: Field required"),
        (put("messages.1.content.+0", {"type": "thinking", "thinking": "x", "signature": ALIEN}),
         "messages.1.content.0: Invalid `signature` in `thinking` block"),
        (put("messages.1.content.+0", {"type": "redacted_thinking", "data": ALIEN}),
         "messages.1.content.0: Invalid `data` in `redacted_thinking` block"),
        (put("messages.+3", {"role": "assistant", "content": "{"}),
         "This model does not support assistant message prefill."),
        (put("thinking", {"type": "enabled", "budget_tokens": 100}),
         "budget_tokens: Input should be greater than or equal to 1024"),
        (put("thinking", {"type": "enabled", "budget_tokens": 4000}),
         "`max_tokens` must be greater than `thinking.budget_tokens`."),
        (put("thinking", {"type": "enabled", "budget_tokens": 2000}),
         "messages.1.content.0.type: Expected `thinking` or `redacted_thinking`, but found `text`."),
        (both(put("thinking", {"type": "adaptive"}), put("tool_choice", {"type": "any"})),
         "Thinking may not be enabled when tool_choice forces tool use."),
        (both(put("thinking", {"type": "adaptive"}), put("temperature", 0)),
         "`temperature` may only be set to 1 when thinking is enabled."),
        (both(put("thinking", {"type": "adaptive"}), put("top_k", 4)), "`top_k` must be unset"),
        (both(put("thinking", {"type": "adaptive"}), put("top_p", 0.5)), "`top_p` must be greater"),
        (both(put("temperature", 0.5), put("top_p", 0.5)), "cannot both be specified"),
        (put("temperature", 1.5), "temperature: range: 0..1"),
        (put("stop_sequences", [" "]), "each stop sequence must contain non-whitespace"),
        (put("metadata", {"trace": "x"}), "metadata.trace: Extra inputs are not permitted"),
        (put("tools.0.parameters", {}), "tools.0.custom.parameters: Extra inputs are not permitted"),
        (drop("tools.0.input_schema.type"), "tools.0.custom.input_schema.type: Field required"),
        (put("tools.0.input_schema.anyOf", []), "does not support oneOf, allOf, or anyOf at the top"),
        (put("tools.0.name", "now"), "tools: Tool names must be unique."),
        (put("tools.0.name", "a b"), "tools.0.custom.name: String should match pattern"),
        (put("tool_choice", {"type": "tool", "name": "sub"}), "Tool 'sub' not found in provided tools"),
        (put("tool_choice", {"type": "none", "disable_parallel_tool_use": True}),
         "tool_choice.none.disable_parallel_tool_use: Extra inputs are not permitted"),
        (put("tool_choice", "auto"), "Invalid request body"),
        (put("output_config", {"format": {"type": "json_schema", "name": "x", "schema": STRICT}}),
         "output_config.format.name: Extra inputs are not permitted"),
        (put("output_config", {"format": {"type": "json_schema", "schema": SCHEMA}}),
         "'additionalProperties' must be explicitly set to false"),
        (put("messages.1.content.0.text", 3), "text: Input should be a valid string"),
        (put("messages.0.content", [{"type": "image", "source": {"type": "data"}}]),
         "Input tag 'data' found using 'type'"),
        (put("messages.0.content", [{"type": "image", "source": {
            "type": "base64", "media_type": "image/png", "data": "*"}}]), "invalid base64 data"),
        (put("messages.0.content", ["x"]), "messages.0.content.0: Input should be a valid dictionary"),
        (put("messages.0.content", [{"text": "x"}]), "messages.0.content.0.type: Field required"),
        (put("messages.0.content", None), "messages.0.content: Input should be a valid list"),
        (put("messages.0", "x"), "messages.0: Input should be a valid dictionary or object"),
        (put("messages.2.content.0.content", [{"type": "input_text"}]), "Input tag 'input_text' found"),
        (put("messages.1.content.0", {"type": "text", "text": "", "cache_control": {"type": "ephemeral"}}),
         "cache_control cannot be set for empty text blocks"),
        (put("messages.1.content.1.name", "a b"), "tool_use.name: String should match pattern"),
        (put("tools", {}), "tools: Input should be a valid list"),
        (put("tools.0.input_schema", "{}"), "input_schema: Input should be a valid dictionary"),
        (put("tools.0.input_schema.type", "array"), "input_schema.type: Input should be 'object'"),
        (put("tool_choice", {"type": "required"}), "Input tag 'required' found using 'type'"),
        (both(drop("tools"), put("tool_choice", {"type": "auto"})),
         "tool_choice.auto: may only be specified while providing tools"),
        (put("thinking", {"type": "on"}), "thinking: Input tag 'on' found using 'type'"),
        (put("output_config", {"effort": "minimal"}), "output_config.effort: Input should be 'low'"),
        (put("system", [{"type": "image"}]), "system.0.type: Input should be 'text'"),
        (put("max_tokens", 0), "max_tokens: Input should be greater than or equal to 1"),
        (put("system", [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}] * 5),
         "A maximum of 4 blocks with cache_control may be provided. Found 5."),
        (both(put("cache_control", {"type": "ephemeral"}),
              put("system", [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}] * 4)),
         "Found 5."),
        (put("cache_control", {"type": "forever"}), "Input tag 'forever' found using 'type'"),
        (put("cache_control", {"type": "ephemeral", "ttl": "30m"}), "Input should be '5m' or '1h'"),
        (both(put("tools.0.cache_control", {"type": "ephemeral"}),
              put("cache_control", {"type": "ephemeral", "ttl": "1h"})),
         "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block"),
        (put("messages.1.content.+0", {"type": "thinking", "thinking": "x", "signature": "x",
                                       "cache_control": {"type": "ephemeral"}}),
         "thinking.cache_control: Extra inputs are not permitted"),
        (put("messages.0.content", [{"type": "document", "source": {"type": "data"}}]),
         "Input tag 'data' found using 'type'"),
        (put("messages.0.content", [{"type": "document", "source": {
            "type": "base64", "media_type": "image/png", "data": PNG}}]), "Input should be 'application/pdf'"),
        (put("messages.0.content", [{"type": "document", "source": {
            "type": "base64", "media_type": "application/pdf", "data": PNG}}]),
         "The PDF specified was not valid."),
        (put("messages.0.content", [{"type": "document", "source": {
            "type": "base64", "media_type": "application/pdf", "data": "*"}}]), "invalid base64 data"),
        (put("messages.2.content.0.content", [{"type": "tool_reference", "tool_name": "sub"}]),
         "Tool reference 'sub' not found in available tools"),
        (put("tools.0", {"type": "web_browser_1", "name": "x"}), "Input tag 'web_browser_1' found"),
        (put("tools.0", {"type": "bash_20250124", "name": "bash", "input_schema": SCHEMA}),
         "tools.0.bash_20250124.input_schema: Extra inputs are not permitted"),
    ],
    "gemini": [
        (drop("contents"), "* GenerateContentRequest.contents: contents is not specified"),
        (put("messages", []), 'Invalid JSON payload received. Unknown name "messages": Cannot find field.'),
        (put("contents.0.parts.0.cache_control", {}),
         'Unknown name "cache_control" at \'contents[0].parts[0]\': Cannot find field.'),
        (put("contents.0.role", "assistant"), "Please use a valid role: user, model."),
        (put("contents.0.parts", []), "contents[0].parts: contents.parts must not be empty."),
        (put("contents.0.parts", [{}]), "required oneof field 'data' must have one initialized field"),
        (put("contents.0.parts.0.inlineData", {}), "oneof field 'data' is already set"),
        (drop("contents.2.parts.0"), "the number of function response parts is equal to the number of"),
        (drop("contents.2"), "the number of function response parts is equal to the number of"),
        (put("contents.2.parts", [{"text": "so?"}]), "the number of function response parts is equal"),
        (drop("contents.1"), "function response turn comes immediately after a function call turn"),
        (drop("contents.0"), "function call turn comes immediately after a user turn"),
        (put("contents.2.parts.0.functionResponse.name", "sub"), "'sub' was not called"),
        (put("contents.2.parts.0.functionResponse.response", "noon"),
         "function_response.response' (type.googleapis.com/google.protobuf.Struct)"),
        (drop("contents.2.parts.0.functionResponse.name"), "function_response.name: Name cannot be empty."),
        (put("contents.1.parts.0.functionCall.args", "{}"), "function_call.args' (type.googleapis.com"),
        (drop("contents.1.parts.0.thoughtSignature"),
         "Function call is missing a thought_signature in functionCall parts."),
        (put("contents.1.parts.0.thoughtSignature", ALIEN), "Corrupted thought signature."),
        (put("contents.1.parts.0.thoughtSignature", "gw1.a.e30"), "Base64 decoding failed"),
        (put("tools.0.functionDeclarations.0.parameters.$schema", "x"),
         "Unknown name \"$schema\" at 'tools[0].function_declarations[0].parameters': Cannot find field."),
        (put("tools.0.functionDeclarations.0.parameters.properties.a.exclusiveMinimum", 1),
         'Unknown name "exclusiveMinimum"'),
        (put("tools.0.functionDeclarations.0.parameters.additionalProperties", False),
         'Unknown name "additionalProperties"'),
        (put("tools.0.functionDeclarations.0.parameters.properties", {}),
         "should be non-empty for OBJECT type"),
        (put("tools.0.functionDeclarations.0.parameters.properties.a", {"type": "array"}),
         "properties[a].items: missing field."),
        (put("tools.0.functionDeclarations.0.parameters.properties.a.enum", ["1"]),
         "enum: only allowed for STRING type"),
        (put("tools.0.functionDeclarations.0.parameters.required", ["b"]), "property is not defined"),
        (put("tools.0.functionDeclarations.0.parameters.properties.a.type", ["integer", "null"]),
         "Invalid value at 'tools[0].function_declarations[0].parameters"),
        (put("tools.0.functionDeclarations.0.parametersJsonSchema", SCHEMA), "mutually exclusive"),
        (put("tools.0.functionDeclarations.0.name", "1 b"), "Invalid function name."),
        (put("tools.0.functionDeclarations.0.name", "now"), "Duplicate function declaration found: now"),
        (both(drop("tools"), put("toolConfig", {"functionCallingConfig": {"mode": "ANY"}})),
         "Function calling config is set without function_declarations."),
        (put("toolConfig", {"functionCallingConfig": {"mode": "AUTO", "allowedFunctionNames": ["add"]}}),
         "only when function calling mode is ANY"),
        (put("toolConfig", {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["sub"]}}),
         "'sub' is not among the function_declarations"),
        (put("generationConfig", {"temperature": 2.5}), "temperature must be in the range [0.0, 2.0]."),
        (put("generationConfig", {"stopSequences": ["a"] * 6}), "must not exceed 5"),
        (put("generationConfig", {"responseJsonSchema": SCHEMA}), "only allowed with response_mime_type"),
        (put("generationConfig", {"responseMimeType": "application/json",
                                  "responseSchema": {**SCHEMA, "$defs": {}}}), 'Unknown name "$defs"'),
        (put("generationConfig", {"thinkingConfig": {"thinkingBudget": 1, "thinkingLevel": "LOW"}}),
         "only one of thinking budget and thinking level"),
        (put("contents", ["x"]), "Invalid value at 'contents[0]'"),
        (put("generationConfig", {"candidateCount": 9}), "candidate_count must be in the range [1, 8]."),
        (put("generationConfig", {"logprobs": 2}), "only allowed with response_logprobs."),
        (put("contents.0.parts.0", {"fileData": {"fileUri": "https://example.com/a"}}),
         "file_data.mime_type: mime_type is required."),
        (put("contents.0.parts.0", {"fileData": {"fileUri": "files/a", "mimeType": "image/png"}}),
         "Invalid or unsupported file uri: files/a"),
        (put("contents.0.parts.0", {"inlineData": {"mimeType": "application/pdf", "data": PNG}}),
         "The document has no pages."),
        (put("contents.2.parts.0.functionResponse.parts", [{"text": "x"}]), 'Unknown name "text"'),
        (put("system_instruction", {}), "Duplicate field 'system_instruction'."),
        (put("tools.0.functionDeclarations.0.parameters.properties.a", {}), "specify the schema type"),
        (put("tools.0.functionDeclarations.0.parameters.properties.a", {"type": "string", "enum": [1]}),
         "enum[0]' (TYPE_STRING)"),
        (put("toolConfig", {"functionCallingConfig": {"mode": "auto"}}), "Mode), \"auto\""),
        (put("contents.0.parts.0.text", 3), "contents[0].parts[0].text' (TYPE_STRING), 3"),
        (put("contents.0.parts.0", {"inlineData": {"data": PNG}}), "mime_type is required."),
        (put("contents.0.parts.0", {"inlineData": {"mimeType": "image/png", "data": "*"}}),
         "inline_data.data' (TYPE_BYTES), Base64 decoding failed"),
        (put("contents.0.parts.0", {"functionCall": {"name": "add"}}), "comes immediately after a user"),
        (drop("contents.1.parts.0.functionCall.name"), "function_call.name: Name cannot be empty."),
        (put("contents.1.parts.0", {"functionResponse": {"name": "add", "response": {}}}),
         "function response turn comes immediately after a function call turn"),
        (put("generationConfig", {"maxOutputTokens": 0}), "max_output_tokens must be positive."),
        (put("generationConfig", {"responseMimeType": "text/html"}), "allowed mimetypes are"),
        (put("generationConfig", {"responseMimeType": "application/json", "responseSchema": SCHEMA,
                                  "responseJsonSchema": SCHEMA}), "mutually exclusive"),
        (put("generationConfig", {"thinkingConfig": {"thinkingLevel": "XHIGH"}}), 'ThinkingLevel), "XHIGH"'),
        (put("generationConfig", {"thinkingConfig": {"effort": "low"}}), 'Unknown name "effort"'),
    ],
}

# Changes that stay within the rules.
TAKEN = {
    "openai": [put("temperature", 1), put("tool_choice", "required"), put("parallel_tool_calls", False),
               put("messages.2.content", "well"), put("messages.1.content", [IMAGE_PART]),
               put("max_completion_tokens", 50), put("reasoning_effort", "low"),
               put("messages.1.content", [{"type": "file", "file": {"file_data": PDF_URL, "filename": "a"}}]),
               both(put("model", "deepseek-v4"), put("messages.2.reasoning_content", "x"))],
    "responses": [put("input", "hello"), put("input.2.id", "fc_1"), put("store", False),
                  put("include", ["reasoning.encrypted_content"]), put("reasoning", {"effort": "low"}),
                  put("tool_choice", {"type": "function", "name": "add"}),
                  put("input.0.content", [{"type": "input_file", "file_url": "https://example.com/a.pdf"}]),
                  put("tools.+2", {"type": "web_search"})],
    "anthropic": [put("temperature", 0.5), put("thinking", {"type": "adaptive"}),
                  put("tool_choice", {"type": "auto", "disable_parallel_tool_use": True}),
                  put("messages.2.content.0.is_error", True),
               put("messages.2.content.0.content", [{"type": "tool_reference", "tool_name": "now"}]),
               put("tools.+2", {"type": "bash_20250124", "name": "bash"}),
               both(put("tools.0.cache_control", {"type": "ephemeral", "ttl": "1h"}),
                    put("messages.0.content", [{"type": "text", "text": "x",
                                                "cache_control": {"type": "ephemeral"}}])),
                  put("output_config", {"format": {"type": "json_schema", "schema": STRICT}})],
    "gemini": [put("system_instruction", {"parts": [{"text": "x"}]}), put("toolConfig", {
        "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["add"]}}),
               put("generationConfig", {"thinkingConfig": {"thinkingBudget": 1}}),
               put("tools.0.function_declarations", [])],
}


class Vendor(unittest.TestCase):
    def setUp(self):
        ran.add(f"{type(self).__name__}.{self._testMethodName}")
        self.vendor = StrictVendor()
        self.addCleanup(self.vendor.close)

    def ask(self, family, body, account="strict-one", stream=False, **headers):
        """(status, the answer's JSON or text)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.vendor.port, timeout=20)
        self.addCleanup(connection.close)
        path = PATHS[family]
        if stream and family == "gemini":
            path = path.replace("generateContent", "streamGenerateContent") + "?alt=sse"
        elif stream:
            body = {**body, "stream": True}
        given = {"content-type": "application/json", "anthropic-version": "2023-06-01",
                 "authorization": "Bearer " + account, "x-goog-api-key": account, **headers}
        given = {name: value for name, value in given.items() if value is not None}
        connection.request("POST", path, json.dumps(body), given)
        answer = connection.getresponse()
        text = answer.read().decode()
        return answer.status, text if stream and answer.status == 200 else json.loads(text)

    def message_of(self, family, answer):
        if family == "anthropic":
            self.assertEqual(answer["type"], "error")
        return answer["error"]["message"]


class Refusals(Vendor):
    def check(self, family):
        status, answer = self.ask(family, BASE[family])
        self.assertEqual(status, 200, answer)
        for change, words in REFUSED[family]:
            body = copy.deepcopy(BASE[family])
            change(body)
            for stream in (False, True):
                if stream and "stream_options" in body:
                    continue
                status, answer = self.ask(family, body, stream=stream)
                with self.subTest(words=words, stream=stream):
                    self.assertIn(status, (400, 404), answer)
                    self.assertIn(words, self.message_of(family, answer))
        for change in TAKEN[family]:
            body = copy.deepcopy(BASE[family])
            change(body)
            if "system_instruction" in body:
                del body["systemInstruction"]
            if "function_declarations" in str(body.get("tools")):
                del body["tools"][0]["functionDeclarations"]
            status, answer = self.ask(family, body)
            self.assertEqual(status, 200, answer)

    def test_chat(self):
        self.check("openai")

    def test_responses(self):
        self.check("responses")

    def test_messages(self):
        self.check("anthropic")

    def test_gemini(self):
        self.check("gemini")

    def test_keys_and_versions(self):
        for family, status, words in (("openai", 401, "Incorrect API key"), ("responses", 401, "Incorrect"),
                                      ("anthropic", 401, "invalid x-api-key"),
                                      ("gemini", 400, "API key not valid.")):
            got, answer = self.ask(family, BASE[family], account="sk-other")
            self.assertEqual(got, status)
            self.assertIn(words, self.message_of(family, answer))
        status, answer = self.ask("anthropic", BASE["anthropic"], **{"anthropic-version": None})
        self.assertIn("anthropic-version: header is required", self.message_of("anthropic", answer))


def first_ask(family, marker):
    text = ASK.format(marker)
    body = copy.deepcopy(BASE[family])
    if family == "openai":
        body["messages"] = [{"role": "user", "content": text}]
    elif family == "responses":
        body["input"] = [{"role": "user", "content": text}]
        body.update(include=["reasoning.encrypted_content"], store=False, reasoning={"summary": "auto"})
    elif family == "anthropic":
        body["messages"] = [{"role": "user", "content": text}]
        body["thinking"] = {"type": "enabled", "budget_tokens": 2000}
    else:
        body["contents"] = [{"role": "user", "parts": [{"text": text}]}]
    return body


def grown(family, body, answer):
    """The request of the next step: the answer, and what its two tools say."""
    body = copy.deepcopy(body)
    if family == "openai":
        message = answer["choices"][0]["message"]
        del message["annotations"]
        body["messages"] += [message] + [
            {"role": "tool", "tool_call_id": call["id"], "content": "r"}
            for call in message["tool_calls"]]
    elif family == "responses":
        body["input"] += answer["output"] + [
            {"type": "function_call_output", "call_id": item["call_id"], "output": "r"}
            for item in answer["output"] if item["type"] == "function_call"]
    elif family == "anthropic":
        body["messages"] += [{"role": "assistant", "content": answer["content"]}, {
            "role": "user", "content": [
                {"type": "tool_result", "tool_use_id": block["id"], "content": "r"}
                for block in answer["content"] if block["type"] == "tool_use"]}]
    else:
        content = answer["candidates"][0]["content"]
        body["contents"] += [content, {"role": "user", "parts": [
            {"functionResponse": {"name": part["functionCall"]["name"], "response": {"output": "r"}}}
            for part in content["parts"] if "functionCall" in part]}]
    return body


SIGNED = ("responses", "anthropic", "gemini")
FOREIGN = {"responses": "organization_id did not match", "anthropic": "Invalid `signature`",
           "gemini": "not issued to this caller"}
MOVED = "bound to a different conversation"


def set_signature(family, body, change):
    """Applies `change` to the only signature of the body."""
    if family == "responses":
        item = next(item for item in body["input"] if item.get("type") == "reasoning")
        item["encrypted_content"] = change(item["encrypted_content"])
    elif family == "anthropic":
        block = body["messages"][1]["content"][0]
        block["signature"] = change(block["signature"])
    else:
        part = next(part for part in body["contents"][1]["parts"] if "thoughtSignature" in part)
        part["thoughtSignature"] = change(part["thoughtSignature"])


def set_first_text(family, body, text):
    if family == "gemini":
        body["contents"][0]["parts"][0]["text"] = text
    else:
        body["input" if family == "responses" else "messages"][0]["content"] = text


class Seals(Vendor):
    """Thoughts go back to who made them, as they were, where they were."""

    def begun(self, family, marker):
        body = first_ask(family, marker)
        status, answer = self.ask(family, body)
        self.assertEqual(status, 200, answer)
        return grown(family, body, answer)

    def refused(self, family, body, words, **options):
        status, answer = self.ask(family, body, **options)
        self.assertEqual(status, 400, answer)
        self.assertIn(words, self.message_of(family, answer))

    def test_taken_back(self):
        for family in SIGNED:
            status, answer = self.ask(family, self.begun(family, "one"))
            self.assertEqual(status, 200, answer)
            self.assertEqual(len(self.vendor.log[-1].came_back), 1)
            self.assertEqual(self.vendor.log[-1].came_back, self.vendor.given["strict-one"]
                             & self.vendor.log[-1].came_back)

    def test_another_account(self):
        for family in SIGNED:
            self.refused(family, self.begun(family, "two"), FOREIGN[family], account="strict-two")

    def test_a_changed_byte(self):
        for family in SIGNED:
            body = self.begun(family, "three")
            for at in (20, 200, 500):
                changed = copy.deepcopy(body)
                set_signature(family, changed, lambda text: text[:at] + (
                    "A" if text[at] != "A" else "B") + text[at + 1:])
                self.refused(family, changed, {"responses": "could not be decrypted",
                                               "anthropic": "Invalid `signature`",
                                               "gemini": "Corrupted thought signature"}[family])
            changed = copy.deepcopy(body)
            set_signature(family, changed, lambda text: text + " ")
            self.assertEqual(self.ask(family, changed)[0], 400)

    def test_base64_alphabets_are_one_to_gemini_alone(self):
        for family in SIGNED:
            body = self.begun(family, "four")
            set_signature(family, body, lambda text: text.replace("+", "-").replace("/", "_").rstrip("="))
            self.assertEqual(self.ask(family, body)[0], 200 if family == "gemini" else 400)

    def test_a_changed_prefix(self):
        for family in SIGNED:
            body = self.begun(family, "five")
            set_first_text(family, body, ASK.format("other") + " ")
            self.refused(family, body, MOVED)
            body = self.begun(family, "five")
            body["tools"] = body["tools"][::-1]
            if family == "gemini":
                body["tools"][0]["functionDeclarations"].reverse()
            self.refused(family, body, MOVED)

    def test_another_model(self):
        for family, words in (("responses", "issued for a different model"),
                              ("anthropic", "it was not issued to this model"),
                              ("gemini", "it was issued for a different model")):
            body = self.begun(family, "model")
            if family == "gemini":
                path, PATHS[family] = PATHS[family], PATHS[family].replace("pro", "flash")
                self.addCleanup(PATHS.__setitem__, family, path)
            else:
                body["model"] = "claude-opus-5" if family == "anthropic" else "o4"
            if family == "responses":
                self.addCleanup(setattr, vendor, "OTHER_MODELS", vendor.OTHER_MODELS)
                vendor.OTHER_MODELS += ("o4",)
            self.refused(family, body, words)

    def test_a_changed_thought(self):
        body = self.begun("anthropic", "six")
        body["messages"][1]["content"][0]["thinking"] += "!"
        self.refused("anthropic", body, "cannot be modified")

    def test_another_part(self):
        body = self.begun("gemini", "seven")
        parts = body["contents"][1]["parts"]
        parts[0]["thoughtSignature"], parts[1]["thoughtSignature"] = "skip_thought_signature_validator", \
            parts[0]["thoughtSignature"]
        self.refused("gemini", body, "does not belong to this part")

    def test_reasoning_without_what_followed(self):
        body = self.begun("responses", "eight")
        body["input"] = body["input"][:2]
        self.refused("responses", body, "without its required following item")

    def test_turns_only_grow(self):
        for family in PATHS:
            body = self.begun(family, "grow-" + family)
            self.assertEqual(self.ask(family, body)[0], 200)
            self.assertEqual(self.ask(family, body)[0], 200, "the same again is no change")
            shorter = first_ask(family, "grow-" + family)
            self.refused(family, shorter, "is not the one of the turn before")
            self.assertEqual(self.ask(family, shorter, account="strict-two")[0], 200)
            marked = copy.deepcopy(body)
            if family == "anthropic":
                marked["messages"][2]["content"][-1]["cache_control"] = {"type": "ephemeral"}
                self.assertEqual(self.ask(family, marked)[0], 200, "a cache mark is no change")


class Script(Vendor):
    """What the model says depends on the conversation and on nothing else."""

    def text_of(self, family, answer):
        if family == "openai":
            return answer["choices"][0]["message"]["content"]
        if family == "responses":
            return answer["output"][-1]["content"][0]["text"]
        if family == "anthropic":
            return answer["content"][-1]["text"]
        return "".join(part.get("text", "") for part in answer["candidates"][0]["content"]["parts"])

    def test_all_formats_say_the_same(self):
        texts = set()
        for family in PATHS:
            body = first_ask(family, "same")
            if family != "openai":
                body = {**body, **({"systemInstruction": BASE["gemini"]["systemInstruction"]}
                                   if family == "gemini" else {})}
            else:
                body["messages"].insert(0, {"role": "system", "content": "Be brief."})
            answer = self.ask(family, body)[1]
            texts.add(self.text_of(family, self.ask(family, grown(family, body, answer))[1]))
        self.assertEqual(len(texts), 1, texts)
        self.assertIn("results r; r", texts.pop())

    def test_what_was_told_differs(self):
        body = copy.deepcopy(BASE["openai"])
        first = self.text_of("openai", self.ask("openai", body)[1])
        body["messages"][3]["content"] = "One"
        self.assertNotEqual(self.text_of("openai", self.ask("openai", body)[1]), first)

    def test_choices_are_obeyed(self):
        body = copy.deepcopy(BASE["openai"])
        body["messages"] = [{"role": "user", "content": '> call add {"a": 1}\n> call now'}]

        def names(**more):
            message = self.ask("openai", {**body, **more})[1]["choices"][0]["message"]
            return [call["function"]["name"] for call in message.get("tool_calls", [])]

        self.assertEqual(names(), ["add", "now"])
        self.assertEqual(names(parallel_tool_calls=False), ["add"])
        self.assertEqual(names(tool_choice="none"), [])
        self.assertEqual(names(tool_choice={"type": "function", "function": {"name": "now"}}), ["now"])

    def test_errors_and_caps(self):
        for family in PATHS:
            body = first_ask(family, "x")
            set_first_text(family, body, "> error 429")
            status, answer = self.ask(family, body)
            self.assertEqual(status, 429)
            set_first_text(family, body, "> say " + "word " * 30 + "\n> break")
            status, _ = self.ask(family, body)
            self.assertEqual(status, 500)
            status, text = self.ask(family, body, stream=True)
            self.assertEqual(status, 200)
            self.assertIn("error", text.splitlines()[-2] + text.splitlines()[-3])


if __name__ == "__main__":
    unittest.main()
