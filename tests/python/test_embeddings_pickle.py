"""Configurations and clients as values: equality, copies, pickles, and what a pickle never holds."""

from __future__ import annotations

import copy
import datetime as dt
import pickle
from pathlib import Path
from typing import Any

import pytest
from graphbit import EmbeddingClient, EmbeddingConfig, exceptions
from simulator import Server, expected_embedding

KEY = "hunter2-0123456789-abcdef"
VARIABLES = {
    "openai": "OPENAI_API_KEY",
    "cohere": "COHERE_API_KEY",
    "voyage": "VOYAGE_API_KEY",
    "mistral": "MISTRAL_API_KEY",
    "jina": "JINA_API_KEY",
}


def lengths(texts: list[str]) -> list[list[float]]:
    return [[float(len(text))] for text in texts]


def again(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


def everything(url: str) -> dict[str, Any]:
    return {
        "dimensions": 4,
        "base_url": url,
        "timeout": dt.timedelta(milliseconds=1500),
        "headers": {"x-team": "blue"},
        "http_proxy": "",
    }


def test_equal_arguments_make_equal_configurations() -> None:
    make = EmbeddingConfig.openai
    assert make(KEY) == make(KEY)
    assert hash(make(KEY)) == hash(make(KEY))
    for other in (
        make(KEY + "x"),
        make(KEY, "other"),
        make(KEY, dimensions=8),
        make(KEY, headers={"a": "b"}),
        make(KEY, timeout=3),
        EmbeddingConfig.openai_compatible("http://h", "text-embedding-3-small", KEY),
        EmbeddingConfig.from_callable(lengths),
        "openai",
    ):
        assert make(KEY) != other
    callable_ = EmbeddingConfig.from_callable
    assert callable_(lengths, dimensions=1) == callable_(lengths, dimensions=1)
    assert callable_(lengths) != callable_(lengths, dimensions=1)
    assert callable_(lengths) != callable_(lambda texts: lengths(texts))
    assert {make(KEY): 1}[make(KEY)] == 1
    config = make(KEY)
    assert copy.copy(config) is config and copy.deepcopy(config) is config


@pytest.mark.parametrize("provider", VARIABLES)
def test_the_key_is_left_out_and_found_again(
    monkeypatch: pytest.MonkeyPatch, provider: str
) -> None:
    config = getattr(EmbeddingConfig, provider)(KEY, **everything("http://host/v1"))
    data = pickle.dumps(config)
    assert b"hunter2" not in data
    monkeypatch.setenv(VARIABLES[provider], KEY)
    assert pickle.loads(data) == config
    monkeypatch.setenv(VARIABLES[provider], KEY + "-other")
    assert pickle.loads(data) != config
    monkeypatch.delenv(VARIABLES[provider])
    with pytest.raises(exceptions.ConfigurationError, match=f"set {VARIABLES[provider]} "):
        pickle.loads(data)


def test_every_argument_survives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COHERE_API_KEY", KEY)
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    monkeypatch.setenv("JINA_API_KEY", KEY)
    extras = everything("http://host")
    for config in (
        EmbeddingConfig.cohere(KEY, "m", input_type="search_query", truncate=True, **extras),
        EmbeddingConfig.jina(KEY, task="text-matching", encoding_format="float", **extras),
        EmbeddingConfig.azure(KEY, "dep", "https://host", "shown", "v9", dimensions=3),
        EmbeddingConfig.ollama(truncate=True, **extras),
        EmbeddingConfig.ollama(),
        EmbeddingConfig.openai_compatible("http://h", "m", encoding_format="base64"),
    ):
        for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
            assert pickle.loads(pickle.dumps(config, protocol)) == config


def test_a_portable_configuration_carries_everything() -> None:
    plain = EmbeddingConfig.openai_compatible(
        "http://user:pass@host/v1",
        "m",
        KEY,
        headers={"X-Api-Key": "hunter3"},
        http_proxy="http://user:hunter4@proxy:1",
    )
    portable = plain.with_portable_key()
    assert portable == plain and repr(portable) == repr(plain)
    assert again(portable) == plain
    # A copy that came out of a pickle goes into the next one.
    assert again(again(portable)) == plain
    assert again(EmbeddingConfig.openai(KEY).with_portable_key()) == EmbeddingConfig.openai(KEY)
    assert "hunter" not in repr(portable)


@pytest.mark.parametrize(
    ("extras", "named"),
    [
        ({"api_key": KEY}, "the key of openai_compatible"),
        ({"headers": {"X-Api-Key": "hunter3"}}, "the header 'X-Api-Key'"),
        ({"headers": {"cookie": "hunter3"}}, "the header 'cookie'"),
        ({"http_proxy": "http://u:hunter4@proxy:1"}, "the password in http_proxy"),
    ],
)
def test_what_could_not_be_found_again_is_refused(extras: dict[str, Any], named: str) -> None:
    config = EmbeddingConfig.openai_compatible("http://host", "m", **extras)
    for value in (config, EmbeddingClient(config)):
        with pytest.raises(exceptions.ConfigurationError, match=named) as caught:
            pickle.dumps(value)
        assert "with_portable_key()" in str(caught.value)
        assert "hunter" not in str(caught.value)


def test_a_password_in_the_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    config = EmbeddingConfig.ollama(base_url="http://user:hunter2@host")
    with pytest.raises(exceptions.ConfigurationError, match="the password in base_url"):
        pickle.dumps(config)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert again(EmbeddingConfig.openai(KEY, http_proxy="http://proxy:1"))


def test_a_client_pickles_as_its_configuration(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    client = EmbeddingClient(EmbeddingConfig.openai(KEY, dimensions=4, base_url=server.openai_url))
    client.embed("one")
    other = again(client)
    assert other.get_stats()["total_requests"] == 0
    assert other.embed("alpha") == expected_embedding("alpha", 4)
    assert server.log()[-1]["headers"]["authorization"] == f"Bearer {KEY}"


def test_models_of_the_users_own_pickle_by_what_made_them(tmp_path: Path) -> None:
    config = EmbeddingConfig.from_callable(lengths, model="lengths", max_batch=3)
    assert again(config) == config
    assert again(EmbeddingClient(config)).embed("abc") == [3.0]
    with pytest.raises((pickle.PicklingError, AttributeError)):
        pickle.dumps(EmbeddingConfig.from_callable(lambda texts: lengths(texts)))
    weights = tmp_path / "weights.safetensors"
    tokenizer = tmp_path / "tokenizer.json"
    for path in (weights, tokenizer):
        path.write_text("read on first use")
    local = EmbeddingConfig.local(path=weights)
    assert again(local) == local
    assert local != EmbeddingConfig.local("named", path=weights, tokenizer=tokenizer)


def test_a_pickle_is_read_in_another_process(run_child: Any, tmp_path: Path) -> None:
    config = EmbeddingConfig.voyage(KEY, input_type="query")
    (tmp_path / "config").write_bytes(pickle.dumps(config))
    child = run_child(
        f"""
        import pickle
        from pathlib import Path
        config = pickle.loads(Path({str(tmp_path / "config")!r}).read_bytes())
        print(config, config == type(config).voyage({KEY!r}, input_type="query"))
        """,
        env={"VOYAGE_API_KEY": KEY},
    )
    expected = "EmbeddingConfig(provider='voyage', model='voyage-4') True\n"
    assert (child.returncode, child.stdout) == (0, expected), child.stderr
