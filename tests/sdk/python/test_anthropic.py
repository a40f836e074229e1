"""The Anthropic client: messages, token counts, models."""

import anthropic
import pytest
from conftest import CONTRACT

HELLO = [{"role": "user", "content": "Say hello."}]
WEATHER = {
    "name": CONTRACT["tool"],
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


@pytest.fixture
def client(make_anthropic):
    return make_anthropic()


def ask(models, **options):
    return {"model": models["messages"], "max_tokens": 64, "messages": HELLO, **options}


# --- messages -------------------------------------------------------------------------------------


def test_message_whole(client, models):
    answer = client.messages.create(**ask(models))
    assert (answer.type, answer.role, answer.stop_reason) == ("message", "assistant", "end_turn")
    assert answer.content[0].text
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0


def test_message_streamed(client, models):
    events = list(client.messages.create(**ask(models), stream=True))
    kinds = [event.type for event in events]
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
    assert "".join(e.delta.text for e in events if e.type == "content_block_delta")
    delta = next(event for event in events if event.type == "message_delta")
    assert delta.delta.stop_reason == "end_turn"
    assert delta.usage.output_tokens > 0


def test_message_stream_helper(client, models):
    with client.messages.stream(**ask(models)) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == final.content[0].text
    whole = client.messages.create(**ask(models))
    assert text == whole.content[0].text


def test_tool_use(client, models):
    answer = client.messages.create(**ask(models, model=models["tool_caller"], tools=[WEATHER]))
    block = next(block for block in answer.content if block.type == "tool_use")
    assert answer.stop_reason == "tool_use"
    assert block.name == CONTRACT["tool"] and isinstance(block.input, dict)


def test_tool_use_streamed(client, models):
    with client.messages.stream(**ask(models, model=models["tool_caller"], tools=[WEATHER])) as stream:
        final = stream.get_final_message()
    block = next(block for block in final.content if block.type == "tool_use")
    assert block.name == CONTRACT["tool"] and block.input


def test_beta_route(client, models):
    """The beta calls add `?beta=true` and a header."""
    answer = client.beta.messages.create(**ask(models), betas=["interleaved-thinking-2025-05-14"])
    assert answer.content[0].text


def test_count_tokens(client, models):
    answer = client.messages.count_tokens(model=models["messages"], messages=HELLO)
    assert answer.input_tokens > 0


@pytest.mark.parametrize("vendor", ["chat", "gemini"])
def test_count_tokens_elsewhere(client, models, vendor):
    """C-059: no vendor is there to tell."""
    raw = client.messages.with_raw_response.count_tokens(model=models[vendor], messages=HELLO,
                                                         tools=[WEATHER])
    assert raw.headers["x-penstock-estimated"] == "true"
    assert raw.parse().input_tokens > 0


# --- models ---------------------------------------------------------------------------------------


def test_models(client, models):
    listed = {model.id: model for model in client.models.list()}
    assert models["messages"] in listed
    assert listed[models["messages"]].type == "model"
    assert client.models.retrieve(models["messages"]).id == models["messages"]


def test_unknown_model_is_not_listed(client, models):
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve(models["unknown"])


# --- where the base URL points, and with which key --------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/anthropic", "/claude", "/api", "/v1"])
def test_prefixes(make_anthropic, models, prefix):
    assert make_anthropic(prefix).messages.create(**ask(models)).content[0].text


def test_auth_token(make_anthropic, models, key):
    """`authorization: Bearer`, as the newer clients and Claude Code send it."""
    client = make_anthropic(api_key=None, auth_token=key)
    assert client.messages.create(**ask(models)).content[0].text


# --- errors -----------------------------------------------------------------------------------------


def test_bad_key(make_anthropic, models, not_a_key):
    with pytest.raises(anthropic.AuthenticationError) as error:
        make_anthropic(api_key=not_a_key).messages.create(**ask(models))
    assert error.value.status_code == 401
    assert error.value.body["type"] == "error"
    assert error.value.body["error"]["type"] == "authentication_error"
    assert not_a_key not in str(error.value)


@pytest.mark.parametrize("stream", [False, True])
def test_unknown_model(client, models, stream):
    with pytest.raises(anthropic.NotFoundError) as error:
        client.messages.create(**ask(models, model=models["unknown"]), stream=stream)
    assert error.value.body["error"]["type"] == "not_found_error"


def test_rate_limit(client, models, faults):
    with pytest.raises(anthropic.RateLimitError) as error:
        client.messages.create(**ask(models, model=faults["rate_limit"]))
    assert float(error.value.response.headers["retry-after"]) > 0
    assert error.value.body["error"]["type"] == "rate_limit_error"


def test_overloaded(client, models, faults):
    with pytest.raises(anthropic.InternalServerError) as error:
        client.messages.create(**ask(models, model=faults["overloaded"]["anthropic"]))
    assert error.value.status_code == 529
    assert error.value.body["error"]["type"] == "overloaded_error"


@pytest.mark.parametrize("fault", ["error_event", "cut", "reset"])
def test_a_stream_that_breaks_is_an_error_not_an_end(client, models, faults, fault):
    seen = []
    with pytest.raises(anthropic.APIError):
        for event in client.messages.create(**ask(models, model=faults[fault]), stream=True):
            seen.append(event.type)
    assert seen and "message_stop" not in seen


def test_a_stop_reason_ends_an_answer_without_its_last_event(client, models, faults):
    """How the answer ended has been said; only the event that repeats it is missing."""
    events = list(client.messages.create(**ask(models, model=faults["no_end"]), stream=True))
    assert events[-1].type == "message_delta"
    assert events[-1].delta.stop_reason == "end_turn"


def test_an_error_before_any_content_is_a_status(client, models, faults):
    with pytest.raises(anthropic.InternalServerError) as error:
        client.messages.create(**ask(models, model=faults["early_error"]), stream=True)
    assert error.value.status_code == 529
    assert error.value.body["error"]["type"] == "overloaded_error"


def test_request_id(client, models):
    raw = client.messages.with_raw_response.create(**ask(models))
    assert raw.headers["x-request-id"]
