"""The Google GenAI client: content, streams, token counts, embeddings, models."""

import pytest
from google.genai import errors, types

HELLO = "Say hello."


@pytest.fixture
def client(make_gemini):
    return make_gemini()


@pytest.mark.parametrize("version", ["v1beta", "v1"])
def test_content_whole(make_gemini, models, version):
    answer = make_gemini(version=version).models.generate_content(
        model=models["gemini"], contents=HELLO)
    assert answer.text
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP
    assert answer.usage_metadata.total_token_count > 0


@pytest.mark.parametrize("version", ["v1beta", "v1"])
def test_content_streamed(make_gemini, models, version):
    client = make_gemini(version=version)
    chunks = list(client.models.generate_content_stream(model=models["gemini"], contents=HELLO))
    assert len(chunks) > 1
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
    whole = client.models.generate_content(model=models["gemini"], contents=HELLO)
    assert "".join(chunk.text or "" for chunk in chunks) == whole.text


def test_model_with_its_prefix(client, models):
    answer = client.models.generate_content(model="models/" + models["gemini"], contents=HELLO)
    assert answer.text


def test_chat_helper(client, models):
    chat = client.chats.create(model=models["gemini"])
    assert chat.send_message(HELLO).text
    assert "".join(chunk.text or "" for chunk in chat.send_message_stream("And again."))
    whole, kept = chat.get_history(), chat.get_history(curated=True)
    assert len(kept) == len(whole) > 3, "a turn that the helper finds invalid drops out of its history"


def test_count_tokens(client, models):
    assert client.models.count_tokens(model=models["gemini"], contents=HELLO).total_tokens > 0


@pytest.mark.parametrize("vendor", ["chat", "messages"])
def test_count_tokens_elsewhere(client, models, vendor):
    """C-059: no vendor is there to tell."""
    answer = client.models.count_tokens(model=models[vendor], contents=HELLO)
    assert answer.total_tokens > 0
    assert answer.sdk_http_response.headers["x-penstock-estimated"] == "true"


def test_embed_content(client, models):
    # Of strings, the client would make the parts of one content.
    contents = [types.UserContent(text) for text in ("one", "two")]
    answer = client.models.embed_content(model=models["gemini_embedding"], contents=contents)
    assert [item.values for item in answer.embeddings] == [[0.25, -0.5, 0.125]] * 2


def test_models(client, models):
    listed = {model.name for model in client.models.list()}
    assert "models/" + models["gemini"] in listed
    assert client.models.get(model=models["gemini"]).name == "models/" + models["gemini"]


@pytest.mark.parametrize("prefix", ["", "/gemini", "/google", "/api"])
def test_prefixes(make_gemini, models, prefix):
    assert make_gemini(prefix).models.generate_content(model=models["gemini"], contents=HELLO).text


# --- errors -----------------------------------------------------------------------------------------


def test_bad_key(make_gemini, models, not_a_key):
    with pytest.raises(errors.ClientError) as error:
        make_gemini(api_key=not_a_key).models.generate_content(model=models["gemini"], contents=HELLO)
    assert (error.value.code, error.value.status) == (401, "UNAUTHENTICATED")
    assert not_a_key not in str(error.value)


@pytest.mark.parametrize("streamed", [False, True])
def test_unknown_model(client, models, streamed):
    with pytest.raises(errors.ClientError) as error:
        if streamed:
            list(client.models.generate_content_stream(model=models["unknown"], contents=HELLO))
        else:
            client.models.generate_content(model=models["unknown"], contents=HELLO)
    assert (error.value.code, error.value.status) == (404, "NOT_FOUND")


def test_unknown_model_is_not_listed(client, models):
    with pytest.raises(errors.ClientError):
        client.models.get(model=models["unknown"])


def test_rate_limit(client, faults):
    with pytest.raises(errors.ClientError) as error:
        client.models.generate_content(model=faults["rate_limit"], contents=HELLO)
    assert (error.value.code, error.value.status) == (429, "RESOURCE_EXHAUSTED")


def test_overloaded(client, faults):
    with pytest.raises(errors.ServerError) as error:
        client.models.generate_content(model=faults["overloaded"]["gemini"], contents=HELLO)
    assert error.value.code == 503


def test_an_error_before_any_content_is_a_status(client, faults):
    with pytest.raises(errors.ServerError) as error:
        list(client.models.generate_content_stream(model=faults["early_error"], contents=HELLO))
    assert error.value.code == 503


@pytest.mark.parametrize("fault", ["error_event", "cut", "reset", "no_end"])
def test_a_stream_that_breaks_is_an_error_not_an_end(client, faults, fault):
    seen = []
    with pytest.raises(errors.APIError):
        for chunk in client.models.generate_content_stream(model=faults[fault], contents=HELLO):
            seen.append(chunk)
    assert seen
    assert not any(c.finish_reason for chunk in seen for c in chunk.candidates or [])
