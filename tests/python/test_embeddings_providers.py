"""What each embedding provider is sent, and how its answers and refusals are read."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from graphbit import EmbeddingClient, EmbeddingConfig, exceptions
from simulator import Server, expected_embedding

KEY = "hunter2-0123456789-abcdef"
BASE64 = {"encoding_format": "base64"}

# For each provider: where it is below the simulator, the path it asks, and the fields that every one of
# its bodies has beside model and texts.
PROVIDERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "openai": ("/v1", "/v1/embeddings", BASE64),
    "voyage": ("/v1", "/v1/embeddings", {"truncation": False} | BASE64),
    "mistral": ("/v1", "/v1/embeddings", {}),
    "jina": ("/v1", "/v1/embeddings", {"embedding_type": "base64"}),
    "cohere": (
        "",
        "/v2/embed",
        {"input_type": "search_document", "embedding_types": ["float"], "truncate": "NONE"},
    ),
    "ollama": ("", "/api/embed", {"truncate": False}),
}
MODELS = {
    "openai": "text-embedding-3-small",
    "voyage": "voyage-4",
    "mistral": "mistral-embed",
    "jina": "jina-embeddings-v3",
    "cohere": "embed-v4.0",
    "ollama": "nomic-embed-text",
}


def config(server: Server, provider: str, **extras: Any) -> EmbeddingConfig:
    base_url = server.base_url + PROVIDERS[provider][0]
    key = () if provider == "ollama" else (KEY,)
    return getattr(EmbeddingConfig, provider)(*key, base_url=base_url, **extras)


def client(server: Server, provider: str, **extras: Any) -> EmbeddingClient:
    return EmbeddingClient(config(server, provider, **extras))


def body(entry: dict[str, Any]) -> Any:
    value = entry["body"]
    return json.loads(value) if isinstance(value, str) else value


@pytest.mark.parametrize("provider", PROVIDERS)
def test_bodies_address_and_key(server: Server, provider: str) -> None:
    asked = config(server, provider)
    assert (asked.provider(), asked.model()) == (provider, MODELS[provider])
    EmbeddingClient(asked).embed("one")
    EmbeddingClient(asked).embed_many(["one", "zwei ü"])
    _, path, fields = PROVIDERS[provider]
    single, several = server.log()
    assert single["path"] == several["path"] == path
    assert single["headers"].get("authorization") == (
        None if provider == "ollama" else f"Bearer {KEY}"
    )
    name = "texts" if provider == "cohere" else "input"
    model = {"model": MODELS[provider]}
    one = ["one"] if provider == "cohere" else "one"
    assert body(single) == model | {name: one} | fields
    assert body(several) == model | {name: ["one", "zwei ü"]} | fields


@pytest.mark.parametrize(
    ("provider", "keywords", "fields"),
    [
        ("openai", {"dimensions": 8, "encoding_format": "float"}, {"encoding_format": "float"}),
        ("voyage", {"input_type": "query", "truncate": True}, {"truncation": True}),
        ("voyage", {"input_type": "query"}, {"input_type": "query"}),
        ("voyage", {"dimensions": 8}, {"output_dimension": 8}),
        ("voyage", {"encoding_format": "float"}, {}),
        ("mistral", {"dimensions": 8}, {"output_dimension": 8}),
        ("mistral", {"encoding_format": "base64"}, BASE64),
        ("jina", {"task": "retrieval.query", "dimensions": 8}, {"task": "retrieval.query"}),
        ("jina", {"truncate": True, "dimensions": 8}, {"truncate": True, "dimensions": 8}),
        ("jina", {"encoding_format": "float"}, {"embedding_type": "float"}),
        ("cohere", {"input_type": "search_query"}, {"input_type": "search_query"}),
        ("cohere", {"dimensions": 8, "truncate": True}, {"output_dimension": 8, "truncate": "END"}),
        ("cohere", {"encoding_format": "base64"}, {"embedding_types": ["base64"]}),
        ("ollama", {"dimensions": 8, "truncate": True}, {"dimensions": 8, "truncate": True}),
    ],
)
def test_keywords_have_the_names_of_their_provider(
    server: Server, provider: str, keywords: dict[str, Any], fields: dict[str, Any]
) -> None:
    server.behaviour(dimensions=8)
    vector = client(server, provider, **keywords).embed("alpha")
    assert vector == expected_embedding("alpha", 8)
    (entry,) = server.log()
    sent = body(entry)
    assert sent.items() >= fields.items()
    if keywords.get("encoding_format") == "float" and provider == "voyage":
        assert "encoding_format" not in sent


@pytest.mark.parametrize("provider", PROVIDERS)
def test_vectors_are_the_servers_to_the_bit(server: Server, provider: str) -> None:
    texts = ["alpha", "beta", "gämmä", ""]
    expected = [expected_embedding(text, 16) for text in texts]
    asking = client(server, provider, dimensions=16)
    assert asking.embed_many(texts) == expected
    assert asking.embed_array(texts, batch_size=3).tolist() == expected


def test_azure_keywords_and_another_address(server: Server) -> None:
    azure = EmbeddingConfig.azure(
        KEY,
        "dep",
        "https://unused",
        dimensions=8,
        encoding_format="float",
        base_url=server.base_url,
    )
    EmbeddingClient(azure).embed("one")
    (entry,) = server.log()
    assert entry["path"] == "/openai/deployments/dep/embeddings?api-version=2024-02-01"
    assert body(entry) == {"input": "one", "encoding_format": "float", "dimensions": 8}


def test_ollama_is_found_by_its_variable_and_advises(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", server.base_url.removeprefix("http://"))
    asking = EmbeddingClient(EmbeddingConfig.ollama("gemma", dimensions=4))
    assert asking.embed("alpha") == expected_embedding("alpha", 4)
    server.behaviour(status=[[404, '{"error":"model \\"gemma\\" not found"}']])
    with pytest.raises(exceptions.NotFoundError, match="Run `ollama pull gemma`"):
        asking.embed("alpha")
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    lonely = EmbeddingClient(EmbeddingConfig.ollama(timeout=2))
    with pytest.raises(
        ConnectionError, match=r"Make sure Ollama is running on http://127\.0\.0\.1:9"
    ):
        lonely.embed("a")


# ---------------------------------------------------------------- what servers refuse


@pytest.mark.parametrize(
    ("provider", "complaint"),
    [
        ("openai", "Unknown parameter: encoding_format"),
        ("jina", "embedding_type: extra fields not permitted"),
        ("cohere", "embedding_types must be one of"),
        ("voyage", "base64 is not supported by this model"),
    ],
)
def test_a_refused_encoding_is_left_out_from_then_on(
    server: Server, provider: str, complaint: str
) -> None:
    server.behaviour(status=[[400, complaint]], dimensions=4)
    asking = client(server, provider)
    for _ in range(2):
        assert asking.embed("alpha") == expected_embedding("alpha", 4)
    first, again, later = server.log()
    assert body(first).items() >= PROVIDERS[provider][2].items()
    assert body(again) == body(later)
    if provider != "cohere":
        assert not {"encoding_format", "embedding_type"} & body(again).keys()


def test_another_fault_that_names_the_encoding_is_not_remembered(server: Server) -> None:
    complaint = [400, 'bad words in {"encoding_format":"base64"}']
    server.behaviour(status=[complaint, complaint], dimensions=4)
    asking = client(server, "openai")
    with pytest.raises(exceptions.BadRequestError, match="bad words"):
        asking.embed("alpha")
    asking.embed("alpha")
    assert [body(entry).get("encoding_format") for entry in server.log()] == [
        "base64",
        None,
        "base64",
    ]


def test_a_server_that_ignores_the_dimensions_is_an_error(server: Server) -> None:
    server.behaviour(body={"data": [{"embedding": [1, 2, 3]}]})
    with pytest.raises(exceptions.ResponseError, match="OpenAI sent 3 dimensions instead of 8"):
        client(server, "openai", dimensions=8).embed("alpha")
    # It would answer the same way again.
    assert len(server.log()) == 1


def test_the_status_decides_and_never_the_words(server: Server) -> None:
    words = (
        "timeout deadline permission unauthorized not found missing invalid malformed connection"
    )
    for status, expected in (
        (400, exceptions.BadRequestError),
        (401, exceptions.AuthenticationError),
        (403, exceptions.PermissionDeniedError),
        (404, exceptions.NotFoundError),
        (422, exceptions.BadRequestError),
    ):
        for provider in PROVIDERS:
            server.behaviour(status=[[status, words]])
            with pytest.raises(exceptions.GraphbitError) as caught:
                client(server, provider).embed("a")
            assert type(caught.value) is expected
            assert caught.value.status_code == status
            assert caught.value.provider == provider
            assert KEY not in str(caught.value)
    # In 0.6.8 "not found" made a FileNotFoundError of a 400, which must not pass for a missing file.
    server.behaviour(status=[[400, "not found"]])
    with pytest.raises(ValueError, match="not found") as refused:
        client(server, "openai").embed("a")
    assert not isinstance(refused.value, FileNotFoundError)


def test_keys_and_options_are_checked_by_every_constructor() -> None:
    for provider, label in (
        ("cohere", "Cohere"),
        ("voyage", "Voyage"),
        ("mistral", "Mistral"),
        ("jina", "Jina"),
    ):
        make = getattr(EmbeddingConfig, provider)
        with pytest.raises(ValueError, match=f"^{label} API key cannot be empty$"):
            make("")
        with pytest.raises(ValueError, match=f"^{label} API key too short$"):
            make("1234567")
        make("12345678")
        with pytest.raises(ValueError, match="dimensions"):
            make(KEY, dimensions=0)
        with pytest.raises(ValueError, match="encoding_format"):
            make(KEY, encoding_format="int8")
        with pytest.raises(OverflowError):
            make(KEY, dimensions=-1)
        with pytest.raises(TypeError):
            make(KEY, "model", 8)
        with pytest.raises(TypeError):
            make(KEY, temperature=1)


# ---------------------------------------------------------------- the environment


@pytest.fixture
def no_keys(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("OPENAI", "AZURE_OPENAI", "COHERE", "CO", "VOYAGE", "MISTRAL", "JINA", "JINAAI"):
        monkeypatch.delenv(f"{name}_API_KEY", raising=False)
    for name in ("OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT", "OLLAMA_HOST", "CO_API_URL"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_from_env_reads_key_and_address(server: Server, no_keys: pytest.MonkeyPatch) -> None:
    with pytest.raises(exceptions.ConfigurationError, match="OPENAI_API_KEY.*JINA_API_KEY"):
        EmbeddingConfig.from_env()
    with pytest.raises(exceptions.ConfigurationError, match="set VOYAGE_API_KEY to use voyage"):
        EmbeddingConfig.from_env("voyage")
    with pytest.raises(exceptions.ConfigurationError, match="no embedding provider 'skynet'"):
        EmbeddingConfig.from_env("skynet")
    no_keys.setenv("JINA_API_KEY", KEY)
    assert EmbeddingConfig.from_env() == EmbeddingConfig.jina(KEY)
    no_keys.setenv("OPENAI_API_KEY", KEY)
    no_keys.setenv("OPENAI_BASE_URL", server.openai_url)
    found = EmbeddingConfig.from_env()
    assert found == EmbeddingConfig.openai(KEY, base_url=server.openai_url)
    assert EmbeddingClient(found).embed("one")
    assert EmbeddingConfig.from_env("jina", "jina-embeddings-v4").model() == "jina-embeddings-v4"
    no_keys.setenv("AZURE_OPENAI_API_KEY", KEY)
    no_keys.setenv("AZURE_OPENAI_ENDPOINT", server.base_url)
    EmbeddingClient(EmbeddingConfig.from_env("azure", "dep")).embed("one")
    assert server.log()[-1]["path"].startswith("/openai/deployments/dep/embeddings")
    assert EmbeddingConfig.from_env("ollama").provider() == "ollama"
    no_keys.setenv("OPENAI_API_KEY", "short")
    with pytest.raises(ValueError, match="OpenAI API key too short"):
        EmbeddingConfig.from_env("openai")


# ---------------------------------------------------------------- one vector and many


def test_similarity_many() -> None:
    many = EmbeddingClient.similarity_many
    rng = np.random.default_rng(7)
    vectors = rng.normal(size=(300, 65)).astype(np.float32)
    query = vectors[17]
    expected = [EmbeddingClient.similarity(query, vector) for vector in vectors]
    forms = [
        vectors,
        vectors.astype(np.float64),
        np.asfortranarray(vectors),
        np.repeat(vectors, 2, axis=0)[::2],
        vectors.tolist(),
        list(vectors),
        tuple(map(tuple, vectors.tolist())),
    ]
    for form in forms:
        found = many(query, form)
        assert (found.dtype, found.shape) == (np.float32, (300,))
        assert np.allclose(found, expected, atol=1e-6)
    assert found.argmax() == 17
    zero = many([0.0, 0.0], [[1.0, 2.0], [0.0, 0.0]])
    assert zero.tolist() == [0.0, 0.0]
    assert many([1, 0], [[0, 0], [2, 0]]).tolist() == [0.0, 1.0]
    assert np.isnan(many([1.0], [[np.nan]])).all()
    for empty in ([], np.zeros((0, 3), np.float32)):
        assert many([1.0, 2.0, 3.0], empty).shape == (0,)


def test_similarity_many_refuses_what_does_not_fit() -> None:
    many = EmbeddingClient.similarity_many
    message = "^Validation error: dimensions - Embedding dimensions must match$"
    for wrong in ([[1.0, 2.0, 3.0]], [[1.0, 2.0], [1.0]], np.zeros((2, 3)), [[]]):
        with pytest.raises(exceptions.ParameterError, match=message):
            many([1.0, 2.0], wrong)
    for odd in (np.zeros(2), np.zeros((1, 2, 2)), 7, ["ab"], [1.0, 2.0]):
        with pytest.raises(TypeError):
            many([1.0, 2.0], odd)
