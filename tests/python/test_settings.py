"""Configurations from the environment, and through pickles into other processes."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import re
from typing import Any

import pytest
from disguises import disguises
from graphbit import EmbeddingClient, EmbeddingConfig, LlmClient, LlmConfig
from graphbit.exceptions import ConfigurationError
from llm_setup import ECHO
from simulator import Server

KEY = "sk-Pickle/d+Key=0123456789~x"
#: Constructor, its environment variable for the key, further arguments.
MADE = [
    ("openai", "OPENAI_API_KEY", {"model": "m", "timeout": 5, "headers": {"x-team": "blue"}}),
    ("openai", "OPENAI_API_KEY", {"api": "responses"}),
    ("anthropic", "ANTHROPIC_API_KEY", {}),
    ("gemini", "GOOGLE_API_KEY", {"base_url": "https://host/v9"}),
    ("azurellm", "AZURE_OPENAI_API_KEY", {"deployment_name": "d", "endpoint": "https://host"}),
    ("openrouter_with_site", "OPENROUTER_API_KEY", {"site_url": "https://me", "site_name": "Me"}),
    ("ai21", "AI21_API_KEY", {"organization": "o"}),
    ("replicate", "REPLICATE_API_TOKEN", {"version": "v"}),
    ("bytedance", "ARK_API_KEY", {"base_url": "https://region"}),
    ("mistralai", "MISTRAL_API_KEY", {"http_proxy": "http://proxy:3128"}),
]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing the machine itself has set may decide."""
    words = ("API_KEY", "API_TOKEN", "BASE_URL", "OLLAMA", "AZURE_OPENAI", "GRAPHBIT_PROVIDER")
    words += ("GRAPHBIT_MODEL", "OPENAI_MODEL", "OPENAI_API_VERSION")
    for name in list(os.environ):
        if any(word in name for word in words):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(("constructor", "variable", "arguments"), MADE)
def test_a_configuration_pickles_without_its_key(
    constructor: str, variable: str, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = getattr(LlmConfig, constructor)(KEY, **arguments)
    for value in (config, LlmClient(config)):
        data = pickle.dumps(value)
        assert not any(form.encode() in data for form in disguises(KEY).values())
        with pytest.raises(ConfigurationError, match=variable):
            pickle.loads(data)
    monkeypatch.setenv(variable, f" {KEY}\n")
    assert pickle.loads(pickle.dumps(config)) == config
    again = pickle.loads(pickle.dumps(LlmClient(config)))
    assert isinstance(again, LlmClient)
    assert repr(again) == repr(LlmClient(config))
    # Another key makes another configuration.
    monkeypatch.setenv(variable, "sk-another-key-0123456789")
    assert pickle.loads(pickle.dumps(config)) != config


def test_a_portable_configuration_carries_its_key() -> None:
    config = LlmConfig.openai(KEY, headers={"authorization": "Bearer other-key"})
    portable = config.with_portable_key()
    assert portable == config
    assert repr(portable) == repr(config)
    assert pickle.loads(pickle.dumps(portable)) == config
    # It stays portable.
    assert pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(portable)))) == config


@pytest.mark.parametrize(
    ("config", "named"),
    [
        (LlmConfig.openai(KEY, headers={"X-Api-Key": "hidden-word"}), "X-Api-Key"),
        (LlmConfig.openai(KEY, http_proxy="http://u:hidden-word@proxy"), "http_proxy"),
        (LlmConfig.openai(KEY, base_url="https://u:hidden-word@host"), "base_url"),
        (LlmConfig.openai(KEY, base_url="https://hidden-word@host/v1"), "base_url"),
        (LlmConfig.ollama(base_url="u:hidden-word@box"), "base_url"),
        (
            LlmConfig.openai_compatible("http://host", "m", "hidden-word"),
            "key of openai_compatible",
        ),
    ],
)
def test_what_would_be_lost_or_leaked_is_refused(config: LlmConfig, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named) as caught:
        pickle.dumps(config)
    assert "with_portable_key" in str(caught.value)
    assert "hidden-word" not in str(caught.value)
    assert pickle.loads(pickle.dumps(config.with_portable_key())) == config


def answer(messages: list[dict[str, str]], **_: Any) -> str:
    return messages[-1]["content"].upper()


def test_models_without_a_key_pickle_too() -> None:
    for config in (LlmConfig.ollama("m"), LlmConfig.extractive(), LlmConfig.from_callable(answer)):
        assert pickle.loads(pickle.dumps(config)) == config
    client = pickle.loads(pickle.dumps(LlmClient(LlmConfig.from_callable(answer))))
    assert client.complete("hi") == "HI"


def test_copies_need_no_environment() -> None:
    config = LlmConfig.anthropic(KEY)
    assert copy.copy(config) == config == copy.deepcopy({"a": config})["a"]


def ask(client: LlmClient) -> str:
    return client.complete("from afar")


def embed(client: EmbeddingClient) -> int:
    return len(client.embed("from afar"))


def test_clients_work_in_spawned_processes(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    client = LlmClient(LlmConfig.openai(KEY, base_url=server.openai_url))
    embeddings = EmbeddingClient(EmbeddingConfig.openai(KEY, base_url=server.openai_url))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(ask, [client]) == [ECHO + "from afar"]
        assert pool.map(embed, [embeddings]) == [1536]
    assert {entry["headers"]["authorization"] for entry in server.log()} == {f"Bearer {KEY}"}


def test_the_environment_describes_a_client(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match="OPENAI_API_KEY") as caught:
        LlmConfig.from_env()
    assert isinstance(caught.value, ValueError)
    with pytest.raises(ConfigurationError, match="MISTRAL_API_KEY"):
        LlmConfig.from_env("mistralai")
    with pytest.raises(ConfigurationError, match="no provider 'skynet'"):
        LlmConfig.from_env("skynet")

    monkeypatch.setenv("OLLAMA_HOST", server.base_url)
    assert LlmConfig.from_env().provider() == "ollama"
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n")
    monkeypatch.setenv("OPENAI_BASE_URL", server.openai_url)
    config = LlmConfig.from_env(timeout=5, headers={"x-team": "blue"})
    assert LlmClient(config).complete("hi") == ECHO + "hi"
    headers = server.log()[-1]["headers"]
    assert (headers["authorization"], headers["x-team"]) == (f"Bearer {KEY}", "blue")

    monkeypatch.setenv("GRAPHBIT_MODEL", "gpt-9")
    assert LlmConfig.from_env().model() == "gpt-9"
    assert LlmConfig.from_env(model="gpt-10").model() == "gpt-10"
    monkeypatch.setenv("GRAPHBIT_PROVIDER", "ollama")
    assert LlmConfig.from_env().provider() == "ollama"
    assert LlmConfig.from_env("openai").provider() == "openai"


def test_errors_name_model_and_attempts(server: Server) -> None:
    client = LlmClient(LlmConfig.openai(KEY, "gpt-9", base_url=server.openai_url))
    server.behaviour(status=[[401, "no"]])
    with pytest.raises(PermissionError) as caught:
        client.complete("hi")
    assert (caught.value.model, caught.value.attempts) == ("gpt-9", 1)  # type: ignore[attr-defined]
    server.behaviour(status=[[503, "busy"]] * 8)
    with pytest.raises(RuntimeError) as busy:
        client.complete("hi")
    error: Any = busy.value
    assert (error.model, error.attempts, error.status_code) == ("gpt-9", 4, 503)
    again = pickle.loads(pickle.dumps(error))
    assert (again.model, again.attempts) == ("gpt-9", 4)
    embeddings = EmbeddingClient(EmbeddingConfig.openai(KEY, "e", base_url=server.openai_url))
    with pytest.raises(RuntimeError) as failed:
        embeddings.embed("hi")
    error = failed.value
    assert (error.model, error.attempts, error.operation) == ("e", 4, "embed")


VARIABLE = re.compile(r"\b[A-Z][A-Z0-9]*_[A-Z0-9_]+\b")


def refused(*arguments: Any, **keywords: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        LlmConfig.from_env(*arguments, **keywords)
    return str(caught.value)


def complaint(provider: str) -> str | None:
    try:
        LlmConfig.from_env(provider)
    except ConfigurationError as error:
        return str(error)
    return None


def providers() -> list[str]:
    return refused("skynet").split("there are ")[1].split(", ")


@pytest.mark.parametrize("provider", providers())
def test_each_provider_names_its_variables_and_takes_them(
    provider: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which those are is read out of the messages, so that no list here can fall behind."""
    if provider == "ollama":
        assert LlmConfig.from_env(provider) == LlmConfig.ollama()
        return
    groups: list[list[str]] = []
    while text := complaint(provider):
        assert provider in text and len(groups) < 3, text
        for group in text.split(" and "):
            groups.append(VARIABLE.findall(group))
            value = KEY if groups[-1][-1].endswith(("KEY", "TOKEN")) else "something"
            monkeypatch.setenv(groups[-1][-1], f"  {value}\n")
    config = LlmConfig.from_env(provider)
    assert config.provider() == provider
    assert config == LlmConfig.from_env() or provider == "openai_compatible"
    assert KEY not in repr(config)
    if provider != "openai_compatible":
        monkeypatch.setenv(groups[0][-1], "k")
        assert f"{groups[0][-1]} is unusable: " in refused(provider)
    monkeypatch.setenv(groups[0][-1], " \n")
    assert groups[0][-1] in refused(provider), "blank is not set"


def test_a_server_of_one_s_own_needs_no_key(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.openai_url)
    assert "OPENAI_MODEL or GRAPHBIT_MODEL" in refused()
    config = LlmConfig.from_env(model="qwen")
    assert config == LlmConfig.openai_compatible(server.openai_url, "qwen")
    assert LlmClient(config).complete("hi") == ECHO + "hi"
    assert "authorization" not in server.log()[-1]["headers"]


def test_azure_takes_a_deployment_and_a_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    assert "set AZURE_OPENAI_ENDPOINT to use azurellm" in refused()
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://x.example")
    assert "AZURE_OPENAI_DEPLOYMENT" in refused()
    made = LlmConfig.azurellm(KEY, "prod", "https://x.example")
    assert LlmConfig.from_env(model="prod") == made
    monkeypatch.setenv("AZURE_OPENAI_DEPLOYMENT", "prod")
    assert LlmConfig.from_env("azurellm") == made
    monkeypatch.setenv("AZURE_OPENAI_API_VERSION", "2024-06-01")
    with_version = LlmConfig.azurellm(KEY, "prod", "https://x.example", "2024-06-01")
    assert LlmConfig.from_env() == with_version
    assert pickle.loads(pickle.dumps(with_version)) == with_version


def test_a_model_for_one_provider_is_not_another_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("GRAPHBIT_PROVIDER", "ollama")
    monkeypatch.setenv("GRAPHBIT_MODEL", "llama")
    assert LlmConfig.from_env() == LlmConfig.ollama("llama")
    assert LlmConfig.from_env("openai") == LlmConfig.openai(KEY)


def test_arguments_are_checked_before_the_environment() -> None:
    for wrong in ({"timeout": 0}, {"timeout": "soon"}, {"headers": 5}, {"provider": 5}):
        with pytest.raises((ValueError, TypeError)) as caught:
            LlmConfig.from_env(**wrong)  # type: ignore[arg-type]
        assert not isinstance(caught.value, ConfigurationError)


def test_another_version_s_pickle_is_read_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for config in (LlmConfig.openai(KEY, "m", timeout=5), EmbeddingConfig.openai(KEY)):
        restore, (state,) = config.__reduce__()  # type: ignore[misc]
        assert state["format"] == 1
        assert restore(state | {"colour": "blue"}) == config
        without = {name: value for name, value in state.items() if name != "format"}
        assert restore(without) == config
        with pytest.raises(ConfigurationError, match="format 2"):
            restore(state | {"format": 2})
