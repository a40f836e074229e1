"""The OpenAI client: chat, completions, embeddings, responses, models."""

import base64
import struct

import openai
import pytest
from conftest import CONTRACT

HELLO = [{"role": "user", "content": "Say hello."}]
WEATHER = {
    "type": "function",
    "function": {
        "name": CONTRACT["tool"],
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


@pytest.fixture
def client(make_openai):
    return make_openai()


# --- chat -----------------------------------------------------------------------------------------


def test_chat_whole(client, models):
    answer = client.chat.completions.create(model=models["chat"], messages=HELLO)
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_chat_streamed(client, models):
    text, finish, roles, usages = "", [], [], 0
    for chunk in client.chat.completions.create(model=models["chat"], messages=HELLO, stream=True):
        usages += chunk.usage is not None
        for choice in chunk.choices:
            text += choice.delta.content or ""
            roles += [choice.delta.role] if choice.delta.role else []
            finish += [choice.finish_reason] if choice.finish_reason else []
    assert text
    assert roles == ["assistant"]
    assert finish == ["stop"]
    assert usages == 0, "usage was not asked for, so the client may not see it"


def test_chat_streamed_with_usage(client, models):
    chunks = list(client.chat.completions.create(
        model=models["chat"], messages=HELLO, stream=True, stream_options={"include_usage": True}))
    with_usage = [chunk for chunk in chunks if chunk.usage]
    assert len(with_usage) == 1
    assert with_usage[0] is chunks[-1]
    assert with_usage[0].choices == []
    assert with_usage[0].usage.completion_tokens > 0


def test_chat_whole_and_streamed_say_the_same(client, models):
    whole = client.chat.completions.create(model=models["chat"], messages=HELLO)
    streamed = client.chat.completions.create(model=models["chat"], messages=HELLO, stream=True)
    text = "".join(choice.delta.content or "" for chunk in streamed for choice in chunk.choices)
    assert text == whole.choices[0].message.content


def test_chat_stream_helper(client, models):
    with client.chat.completions.stream(model=models["chat"], messages=HELLO) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    assert final.choices[0].message.content


def test_chat_tool_call(client, models):
    answer = client.chat.completions.create(model=models["tool_caller"], messages=HELLO, tools=[WEATHER])
    call = answer.choices[0].message.tool_calls[0]
    assert answer.choices[0].finish_reason == "tool_calls"
    assert call.function.name == CONTRACT["tool"]
    assert call.function.arguments.startswith("{")


def test_chat_tool_call_streamed(client, models):
    name, arguments = "", ""
    for chunk in client.chat.completions.create(
        model=models["tool_caller"], messages=HELLO, tools=[WEATHER], stream=True
    ):
        for choice in chunk.choices:
            for call in choice.delta.tool_calls or []:
                name += call.function.name or ""
                arguments += call.function.arguments or ""
    assert name == CONTRACT["tool"]
    assert arguments.startswith("{") and arguments.endswith("}")


# --- completions, embeddings ----------------------------------------------------------------------


def test_completion_whole(client, models):
    answer = client.completions.create(model=models["completion"], prompt="Say hello.")
    assert answer.object == "text_completion"
    assert answer.choices[0].text
    assert answer.usage.total_tokens > 0


def test_completion_streamed(client, models):
    chunks = list(client.completions.create(model=models["completion"], prompt="Hello", stream=True))
    assert "".join(choice.text for chunk in chunks for choice in chunk.choices)
    assert [c.finish_reason for chunk in chunks for c in chunk.choices if c.finish_reason] == ["stop"]


@pytest.mark.parametrize("encoding", ["float", "base64", None])
def test_embeddings(client, models, encoding):
    options = {"encoding_format": encoding} if encoding else {}
    answer = client.embeddings.create(model=models["embedding"], input=["one", "two"], **options)
    assert [item.index for item in answer.data] == [0, 1]
    for item in answer.data:
        numbers = item.embedding
        if encoding == "base64":  # the client hands out what it was asked to ask for
            numbers = list(struct.unpack("<3f", base64.b64decode(numbers, validate=True)))
        assert numbers == [0.25, -0.5, 0.125]
    assert answer.usage.prompt_tokens > 0


@pytest.mark.parametrize("vendor", ["messages", "gemini"])
def test_completion_elsewhere(client, models, vendor):
    """No vendor of this one speaks the format."""
    whole = client.completions.create(model=models[vendor], prompt="Say hello.")
    assert whole.object == "text_completion"
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    pieces = list(client.completions.create(model=models[vendor], prompt="Say hello.", stream=True))
    assert pieces[-1].choices[0].finish_reason == "stop"
    assert "".join(piece.choices[0].text for piece in pieces) == whole.choices[0].text != ""


# --- responses ------------------------------------------------------------------------------------


def test_response_whole(client, models):
    answer = client.responses.create(model=models["responses"], input="Say hello.")
    assert answer.status == "completed"
    assert answer.output_text
    assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens


def test_response_input_tokens(client, models):
    answer = client.responses.input_tokens.count(model=models["responses"], input="Say hello.")
    assert answer.object == "response.input_tokens"
    assert answer.input_tokens > 0


@pytest.mark.parametrize("vendor", ["messages", "gemini"])
def test_response_input_tokens_elsewhere(client, models, vendor):
    """C-059: no vendor is there to tell."""
    raw = client.responses.input_tokens.with_raw_response.count(model=models[vendor], input="Say hello.")
    assert raw.headers["x-penstock-estimated"] == "true"
    assert raw.parse().input_tokens > 0


def test_response_streamed(client, models):
    events = list(client.responses.create(model=models["responses"], input="Hello", stream=True))
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta")
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))


def test_response_stream_helper(client, models):
    with client.responses.stream(model=models["responses"], input="Say hello.") as stream:
        for _ in stream:
            pass
        final = stream.get_final_response()
    assert final.status == "completed"
    assert final.output_text


def test_response_compact(client, models):
    answer = client.responses.compact(model=models["responses"], input="A long talk.")
    assert (answer.id[:4], answer.object) == ("cmp_", "response.compaction")
    assert [item.type for item in answer.output] == ["message", "compaction"]


# --- models ---------------------------------------------------------------------------------------


def test_models(client, models):
    listed = {model.id for model in client.models.list()}
    assert {models["chat"], models["embedding"]} <= listed
    model = client.models.retrieve(models["chat"])
    assert (model.id, model.object) == (models["chat"], "model")


def test_unknown_model_is_not_listed(client, models):
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve(models["unknown"])


# --- where the base URL points ----------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/v1", "/openai/v1", "/openai", "/api/v1", "/api"])
def test_prefixes(make_openai, models, prefix):
    answer = make_openai(prefix).chat.completions.create(model=models["chat"], messages=HELLO)
    assert answer.choices[0].message.content


# --- errors -----------------------------------------------------------------------------------------


def test_bad_key(make_openai, models, not_a_key):
    with pytest.raises(openai.AuthenticationError) as error:
        make_openai(api_key=not_a_key).chat.completions.create(model=models["chat"], messages=HELLO)
    assert error.value.status_code == 401
    assert error.value.code == "invalid_api_key"
    assert not_a_key not in str(error.value)


@pytest.mark.parametrize("stream", [False, True])
def test_unknown_model(client, models, stream):
    with pytest.raises(openai.NotFoundError) as error:
        client.chat.completions.create(model=models["unknown"], messages=HELLO, stream=stream)
    assert error.value.code == "model_not_found"
    assert error.value.request_id


def test_rate_limit(client, faults):
    with pytest.raises(openai.RateLimitError) as error:
        client.chat.completions.create(model=faults["rate_limit"], messages=HELLO)
    assert float(error.value.response.headers["retry-after"]) > 0


def test_overloaded(client, faults):
    with pytest.raises(openai.InternalServerError) as error:
        client.chat.completions.create(model=faults["overloaded"]["openai"], messages=HELLO)
    assert error.value.status_code == 503


@pytest.mark.parametrize("fault", ["error_event", "cut", "reset"])
def test_a_stream_that_breaks_is_an_error_not_an_end(client, faults, fault):
    seen = []
    with pytest.raises(openai.APIError):
        for chunk in client.chat.completions.create(model=faults[fault], messages=HELLO, stream=True):
            seen.append(chunk)
    assert seen, "what came before the break was delivered"
    assert not any(choice.finish_reason for chunk in seen for choice in chunk.choices)


def test_a_finish_reason_ends_an_answer_without_its_marker(client, models, faults):
    """Many servers never send `[DONE]`; the choice has said how it ended, so nothing is missing."""
    chunks, whole = (
        list(client.chat.completions.create(model=model, messages=HELLO, stream=True))
        for model in (faults["no_end"], models["chat"])
    )
    assert [c.choices[0].finish_reason for c in chunks][-1] == "stop"
    assert [c.choices[0].delta for c in chunks] == [c.choices[0].delta for c in whole]


def test_an_error_before_any_content_is_a_status(client, faults):
    with pytest.raises(openai.InternalServerError) as error:
        client.chat.completions.create(model=faults["early_error"], messages=HELLO, stream=True)
    assert error.value.status_code == 502  # the event names a class, no status


@pytest.mark.parametrize("fault", ["error_event", "cut", "reset", "no_end"])
def test_a_response_that_breaks_is_an_error_not_an_end(client, faults, fault):
    """Either the client raises, or the stream says so in an event of its own."""
    seen = []
    try:
        for event in client.responses.create(model=faults[fault], input="Hi", stream=True):
            seen.append(event.type)
    except openai.APIError:
        seen.append("raised")
    assert "response.completed" not in seen
    assert {"raised", "error", "response.failed"} & set(seen)


def test_request_id(client, models):
    raw = client.chat.completions.with_raw_response.create(model=models["chat"], messages=HELLO)
    assert raw.headers["x-request-id"]
    assert raw.parse()._request_id == raw.headers["x-request-id"]
