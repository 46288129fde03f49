"""What the adapters have in common: nothing is imported unasked, nothing secret is saved."""

from __future__ import annotations

import json
from typing import Any

import pytest
from graphbit import (
    AdaptiveConcurrency,
    Cache,
    CircuitBreaker,
    EmbeddingClient,
    EmbeddingConfig,
    LlmClient,
    LlmConfig,
    RateLimit,
    RetryPolicy,
)
from graphbit.adapters._clients import from_data, to_data
from graphbit.exceptions import ConfigurationError
from llm_setup import KEY


def test_importing_graphbit_imports_no_framework(run_child: Any) -> None:
    child = run_child(
        """
        import sys
        import graphbit, graphbit.adapters, graphbit.adapters._clients
        unasked = {"langchain_core", "llama_index", "haystack", "pydantic"} & set(sys.modules)
        assert not unasked, unasked
        """
    )
    assert (child.returncode, child.stderr) == (0, "")


@pytest.mark.parametrize(
    ("folder", "package", "extra"),
    [
        ("langchain", "langchain_core", "langchain"),
        ("langchain", "langchain_text_splitters", "langchain"),
        ("llama_index", "llama_index", "llama-index"),
        ("haystack", "haystack", "haystack"),
    ],
)
def test_a_missing_framework_is_told_with_its_extra(
    folder: str, package: str, extra: str, run_child: Any
) -> None:
    child = run_child(
        f"""
        import sys
        class Nowhere:
            def find_spec(self, name, path=None, target=None):
                if name == {package!r}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        sys.meta_path.insert(0, Nowhere())
        try:
            import graphbit.adapters.{folder}
        except ImportError as error:
            print(error, error.name)
        """
    )
    expected = f"the package {package!r} is not installed; run: pip install 'graphbit[{extra}]'"
    assert child.stdout.strip() == f"{expected} {package}", child.stderr


def test_a_client_is_saved_with_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    spare = LlmClient(LlmConfig.ollama("spare"), retry=RetryPolicy(attempts=9))
    client = LlmClient(
        [LlmConfig.openai(KEY, "m", base_url="http://127.0.0.1:1/v1", timeout=3), LlmConfig.extractive()],
        retry=RetryPolicy(attempts=2, deadline=7),
        circuit_breaker=CircuitBreaker(window=5),
        rate_limit=RateLimit(requests_per_minute=30),
        concurrency=AdaptiveConcurrency(initial=3),
        cache=Cache(ttl=60),
        fallbacks=spare,
        order="weighted",
        weights=[1, 2, 3],
    )  # fmt: skip
    written = json.dumps(to_data(client))
    again = from_data(json.loads(written), "llm")
    assert KEY not in written
    assert isinstance(again, LlmClient)
    assert to_data(again) == to_data(client)
    assert again.__getnewargs_ex__()[0] == client.__getnewargs_ex__()[0]
    vectors = EmbeddingClient(EmbeddingConfig.openai(KEY, dimensions=4), circuit_breaker=False)
    made: Any = from_data(json.loads(json.dumps(to_data(vectors))), "embedding")
    assert made.__getnewargs_ex__() == vectors.__getnewargs_ex__()


def test_a_portable_key_is_left_out_of_saved_data() -> None:
    config = LlmConfig.openai(KEY, "m", headers={"x-team": "blue"})
    assert to_data(config.with_portable_key()) == to_data(config)


def test_what_the_environment_cannot_give_back_is_refused() -> None:
    hidden = LlmConfig.openai(KEY, headers={"authorization": "Bearer hunter2"})
    with pytest.raises(ConfigurationError, match="authorization"):
        to_data(hidden.with_portable_key())
    limit = RateLimit(requests_per_minute=1, redis="redis://:hunter2@localhost:6379/0")
    with pytest.raises(ConfigurationError, match="password") as refused:
        to_data(LlmClient(LlmConfig.ollama(), rate_limit=limit))
    assert "hunter2" not in str(refused.value)


def test_only_settings_are_made_of_saved_data() -> None:
    given = {"settings": "dataclass", "repr": False}
    assert from_data(given, "llm") == given
