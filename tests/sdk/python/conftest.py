"""The gateway under test, and the names that the mock vendor answers to."""

import json
import os

import anthropic
import openai
import pytest
from google import genai

REQUEST_TIMEOUT_S = 30
NOT_A_KEY = "sk-pst-0000000000000000000000000000000000000000000000000"


def needed(name):
    value = os.environ.get(name)
    if not value:
        pytest.exit(f"{name} is not set; tests/sdk/serve.py sets it", returncode=2)
    return value


with open(needed("PENSTOCK_CONTRACT"), encoding="utf-8") as file:
    CONTRACT = json.load(file)


@pytest.fixture(scope="session")
def url():
    return needed("PENSTOCK_URL").rstrip("/")


@pytest.fixture(scope="session")
def key():
    return needed("PENSTOCK_KEY")


@pytest.fixture(scope="session")
def models():
    return CONTRACT["models"]


@pytest.fixture(scope="session")
def faults():
    """Model names that make the mock vendor fail in a certain way."""
    return CONTRACT["faults"]


@pytest.fixture
def make_openai(url, key):
    """A client as a user makes it: base URL and key, nothing else. No retries: a test wants to see
    the first answer."""
    made = []

    def make(prefix="/v1", api_key=key, **options):
        client = openai.OpenAI(base_url=url + prefix, api_key=api_key, max_retries=0,
                               timeout=REQUEST_TIMEOUT_S, **options)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def make_anthropic(url, key):
    made = []

    def make(prefix="", api_key=key, **options):
        client = anthropic.Anthropic(base_url=url + prefix, api_key=api_key, max_retries=0,
                                     timeout=REQUEST_TIMEOUT_S, **options)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def make_gemini(url, key):
    made = []  # a client that nobody holds closes itself, even while its `models` are in use

    def make(prefix="", api_key=key, version=None):
        options = {"base_url": url + prefix, "timeout": REQUEST_TIMEOUT_S * 1000}
        if version:
            options["api_version"] = version
        client = genai.Client(api_key=api_key, http_options=options)
        made.append(client)
        return client

    yield make
    for client in made:
        client.close()


@pytest.fixture
def not_a_key():
    return NOT_A_KEY
