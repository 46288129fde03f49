"""LangChain's own suites over the adapters, and what they do not ask: formats, batches, errors, threads."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from adapter_setup import KEY, calls, embedding, sent, without_threads
from graphbit import (
    EmbeddingConfig,
    LlmConfig,
    RetryPolicy,
    VectorStore,
    count_tokens,
)
from graphbit.adapters.langchain import (
    ChatGraphbit,
    GraphbitEmbeddings,
    GraphbitTextSplitter,
    GraphbitVectorStore,
)
from graphbit.exceptions import ParameterError, RateLimitError, ResponseError, ValidationError
from langchain_core.documents import Document
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, ToolMessage
from langchain_tests.integration_tests import (
    ChatModelIntegrationTests,
    EmbeddingsIntegrationTests,
    VectorStoreIntegrationTests,
)
from langchain_tests.unit_tests import ChatModelUnitTests, EmbeddingsUnitTests
from llm_setup import config, wait_until
from pydantic import BaseModel
from simulator import Server


def chat(server: Server, kind: str = "openai", **keywords: Any) -> ChatGraphbit:
    return ChatGraphbit(config(kind, server), **keywords)


@pytest.fixture
def vcr() -> SimpleNamespace:
    """In place of the plugin's: nothing is recorded, the server is here."""
    return SimpleNamespace(responses=[])


# --- LangChain's suites ---------------------------------------------------------------------------


class ChatParameters:
    """What both suites of chat models are told."""

    @property
    def chat_model_class(self) -> type[ChatGraphbit]:
        return ChatGraphbit

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        # A time limit is the configuration's, tries are a RetryPolicy: no fields of the model.
        return {"temperature": 0, "max_tokens": 100, "stop": []}

    @property
    def supports_model_override(self) -> bool:
        return False


class TestChatUnit(ChatParameters, ChatModelUnitTests):
    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"llm": LlmConfig.openai(KEY, "m")}


# What measures streams does so only when asked to, and its fixture complains.
@pytest.mark.filterwarnings("ignore:Benchmark fixture was not used")
class TestChatOnTheSimulator(ChatParameters, ChatModelIntegrationTests):
    """The suite asks a real model for sensible answers; here a script knows what it will be asked.

    It skips by itself what the adapter refuses: pictures, sounds, files, and another model for one call.
    """

    @pytest.fixture(autouse=True)
    def scripted(self, server: Server) -> None:
        self.server = server
        joke = json.dumps({"setup": "Why do cats sit?", "punchline": "They are tired."})
        customers = ["'你好啊集团' (Hello Group) - a Chinese technology company"]
        customers += ["'こんにちは株式会社' (Hello Corporation) - a Japanese company"]
        made = [{"customer_name": asked.split("'")[1], "description": asked} for asked in customers]
        server.behaviour(
            replies=[
                calls("magic_function", {"input": 3}, "magic_function(3)? Use the tool."),
                calls("magic_function_no_args", {}, "magic_function_no_args()? Use the tool."),
                calls("magic_function", {"input": 1}, "Hello!"),
                calls("greeting_generator", {"answer_style": "pirate"}, "a Pirate greeting."),
                calls("get_weather", {"location": "Paris"}, "the weather in San Francisco, CA?", turn=0),
                *(calls("unicode_customer", *pair) for pair in zip(made, customers, strict=True)),
                {"prompt": "Tell me a joke about cats.", "content": joke},
                {"prompt": "Return nothing other than JSON.", "content": joke},
                {"prompt": "no punchline.", "content": '{"setup": "Why do cats sit?"}'},
                {"prompt": "include the punchline.", "content": joke},
            ]
        )  # fmt: skip

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"llm": config("openai", self.server)}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def enable_vcr_tests(self) -> bool:
        return True


class TestEmbeddingsUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[GraphbitEmbeddings]:
        return GraphbitEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"embedding": EmbeddingConfig.openai(KEY)}


class TestEmbeddingsOnTheSimulator(EmbeddingsIntegrationTests):
    @pytest.fixture(autouse=True)
    def served(self, server: Server) -> None:
        self.server = server

    @property
    def embeddings_class(self) -> type[GraphbitEmbeddings]:
        return GraphbitEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"embedding": embedding(self.server)}


class TestVectorStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self) -> GraphbitVectorStore:
        return GraphbitVectorStore(self.get_embeddings())


# --- chat -----------------------------------------------------------------------------------------


class Bird(BaseModel):
    """A bird."""

    name: str


def get_weather(town: str) -> str:
    """The weather in a town."""
    return f"rain in {town}"


def test_what_is_asked_reaches_the_server(server: Server) -> None:
    model = chat(server, temperature=0.5, stop=["."], extra_body={"user": "u"})
    offered = model.bind_tools([get_weather], tool_choice="any", seed=7)
    offered.invoke([("system", "Be brief."), ("human", "Rain?")], stop=["!"], max_tokens=9)
    (body,) = sent(server)
    assert [each["role"] for each in body["messages"]] == ["system", "user"]
    assert (body["temperature"], body["stop"], body["seed"], body["user"]) == (0.5, ["!"], 7, "u")
    assert body["tool_choice"] == "required"
    assert [each["function"]["name"] for each in body["tools"]] == ["get_weather"]


@pytest.mark.parametrize("kind", ["openai", "anthropic", "gemini"])
async def test_pieces_add_up_to_the_answer(kind: str, server: Server) -> None:
    model = chat(server, kind)
    answer = await model.ainvoke("heron")
    whole = AIMessageChunk(content="")
    async for piece in model.astream("heron"):
        whole += piece
    pieces = list(model.stream("heron"))
    assert len(pieces) > 2
    assert [each.chunk_position for each in pieces].count("last") == 1
    assert "".join(each.text for each in pieces) == whole.text == answer.text == "echo: heron"
    assert whole.usage_metadata == answer.usage_metadata is not None
    assert whole.response_metadata["finish_reason"] == "stop"


async def test_calls_of_tools_arrive_in_pieces_too(server: Server) -> None:
    server.behaviour(replies=[calls("get_weather", {"town": "Oslo"})])
    model = chat(server).bind_tools([get_weather])
    whole = AIMessageChunk(content="")
    async for piece in model.astream("Rain?"):
        whole += piece
    asked = model.invoke("Rain?")
    assert whole.tool_calls == asked.tool_calls
    assert asked.tool_calls[0]["args"] == {"town": "Oslo"}


def test_arguments_that_are_no_json_are_told_apart(server: Server) -> None:
    server.behaviour(replies=[calls("get_weather", "{oops")])
    answer = chat(server).bind_tools([get_weather]).invoke("Rain?")
    assert answer.tool_calls == []
    assert [each["args"] for each in answer.invalid_tool_calls] == ["{oops"]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_signature_goes_back_with_its_call(streamed: bool, server: Server) -> None:
    model = chat(server, "gemini").bind_tools([get_weather])
    if streamed:
        answer: Any = AIMessageChunk(content="")
        for piece in model.stream("Rain?"):
            answer += piece
    else:
        answer = model.invoke("Rain?")
    kept = AIMessage.model_validate_json(
        AIMessage(**answer.model_dump(exclude={"type"})).model_dump_json()
    )
    result = ToolMessage("rain", tool_call_id=kept.tool_calls[0]["id"])
    model.invoke([HumanMessage("Rain?"), kept, result])
    (part,) = sent(server)[-1]["contents"][1]["parts"]
    assert part["functionCall"]["name"] == "get_weather"
    assert part["thoughtSignature"] == "c2ltdWxhdGVk"


def test_images_are_refused_by_name(server: Server) -> None:
    picture = [{"type": "text", "text": "What is it?"}, {"type": "image", "url": "http://x/y.png"}]
    with pytest.raises(ValidationError, match=r"messages\[0\]\.content\[1\]\.type"):
        chat(server).invoke([HumanMessage(picture)])
    assert server.log() == []


def test_errors_pass_through_as_they_are(server: Server) -> None:
    server.behaviour(status=[429, 429])
    with pytest.raises(RateLimitError) as raised:
        chat(server, retry=RetryPolicy(attempts=2, base_delay=0.01)).invoke("heron")
    assert (raised.value.attempts, raised.value.status_code) == (2, 429)


async def test_leaving_a_stream_closes_its_connection(server: Server) -> None:
    server.behaviour(slow_stream={"chunks": 50, "delay_ms": 50})
    model = chat(server)
    for _ in model.stream("one two three four five six seven eight"):
        break
    wait_until(lambda: server.stats()["disconnects"] == 1)
    stream = model.astream("one two three four five six seven eight")
    await anext(stream)
    await stream.aclose()
    wait_until(lambda: server.stats()["disconnects"] == 2)


def test_a_batch_is_under_way_all_at_once_and_in_order(server: Server) -> None:
    # Time enough for as many threads to start.
    server.behaviour(latency_ms=2000, replies=[{"prompt": "7!", "status": 400}])
    prompts = [f"{number}!" for number in (*range(8), *range(10, 50))]
    prompts[7] = "7!"
    outcomes: Any = chat(server).batch(prompts, return_exceptions=True)
    assert [each.text for each in outcomes[:7]] == [f"echo: {each}" for each in prompts[:7]]
    assert getattr(outcomes[7], "status_code", None) == 400
    assert server.stats()["max_in_flight"] == len(prompts)


async def test_a_batch_keeps_to_the_limit_it_is_given(server: Server) -> None:
    server.behaviour(latency_ms=20)
    model = chat(server)
    await model.abatch([str(number) for number in range(12)], {"max_concurrency": 3})
    model.batch([str(number) for number in range(12)], {"max_concurrency": 3})
    assert server.stats()["max_in_flight"] == 3


@pytest.mark.parametrize("method", ["json_schema", "json_mode", "function_calling"])
def test_an_answer_of_a_given_shape(method: Any, server: Server) -> None:
    bird = {"name": "heron"}
    tool = calls("Bird", bird) if method == "function_calling" else {"content": json.dumps(bird)}
    server.behaviour(replies=[tool])
    assert chat(server).with_structured_output(Bird, method=method).invoke("?") == Bird(
        name="heron"
    )
    (body,) = sent(server)
    assert body.get("response_format", {}).get("type") == {
        "json_schema": "json_schema", "json_mode": "json_object", "function_calling": None,
    }[method]  # fmt: skip


def test_an_answer_of_another_shape_is_raised_or_kept(server: Server) -> None:
    server.behaviour(replies=[{"content": '{"title": "heron"}'}])
    model = chat(server)
    with pytest.raises(ResponseError) as raised:
        model.with_structured_output(Bird).invoke("?")
    assert raised.value.response is not None
    told = model.with_structured_output(Bird, include_raw=True).invoke("?")
    assert (told["raw"].text, told["parsed"]) == ('{"title": "heron"}', None)
    assert isinstance(told["parsing_error"], OutputParserException)
    unknown: Any = "yaml"
    with pytest.raises(ValidationError, match="'method' with value 'yaml'"):
        model.with_structured_output(Bird, method=unknown)


def test_a_model_without_pieces_streams_its_answer_whole() -> None:
    model = ChatGraphbit(LlmConfig.from_callable(lambda messages: "A heron."))
    assert "".join(piece.text for piece in model.stream("?")) == "A heron."


def test_a_keyword_that_nobody_knows_is_refused(server: Server) -> None:
    with pytest.raises(ValueError, match="max_retries"):
        chat(server, max_retries=3)
    with pytest.raises(TypeError, match="logprobs"):
        chat(server).invoke("heron", logprobs=True)


def test_two_models_are_two_in_a_cache() -> None:
    one, other = (ChatGraphbit(LlmConfig.ollama(model)) for model in ("a", "b"))
    assert one._get_llm_string() != other._get_llm_string()
    assert one._get_llm_string() == ChatGraphbit(LlmConfig.ollama("a"))._get_llm_string()


def test_tokens_are_counted_without_a_network() -> None:
    for model, encoding in (("gpt-4o", "o200k_base"), ("unheard-of", "cl100k_base")):
        counted = ChatGraphbit(LlmConfig.openai(KEY, model)).get_num_tokens("Grüße, heron!")
        assert counted == count_tokens("Grüße, heron!", encoding)


def test_pickles_work_without_the_key(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = (
        chat(server, temperature=0.5, retry=RetryPolicy(attempts=2)),
        GraphbitEmbeddings(embedding(server)),
        GraphbitTextSplitter(10, 0, unit="words"),
    )
    data = pickle.dumps(parts)
    assert KEY.encode() not in data
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    model, embeddings, splitter = pickle.loads(data)
    assert model.invoke("heron").text == "echo: heron"
    assert (model.temperature, len(embeddings.embed_query("heron"))) == (0.5, 1536)
    assert splitter.split_text("One heron. Two herons.") == ["One heron. Two herons."]


async def test_asynchronous_methods_use_no_thread(server: Server) -> None:
    model = chat(server)
    store = GraphbitVectorStore(embedding(server))
    with without_threads():
        assert (await model.ainvoke("heron")).text == "echo: heron"
        assert [piece async for piece in model.astream("heron")]
        assert len(await model.abatch(["heron", "swift"])) == 2
        await store.aadd_documents([Document("heron"), Document("swift")])
        assert len(await store.embeddings.aembed_documents(["heron"])) == 1
        assert await store.asimilarity_search("heron", 1) == await store.aget_by_ids(["0"])
        assert await store.amax_marginal_relevance_search("heron", 1)
        assert await store.asimilarity_search_with_relevance_scores("heron", 1)
        assert await store.adelete(["0", "1"])
        assert len((await GraphbitVectorStore.afrom_texts(["heron"], embedding(server))).store) == 1


# --- splitter -------------------------------------------------------------------------------------


def test_chunks_are_slices_with_their_place() -> None:
    texts = ["ab ab ab ab ab", "Ein größerer Reiher. Und noch einer."]
    splitter = GraphbitTextSplitter(8, 3, add_start_index=True)
    documents = splitter.create_documents(texts, [{"n": [0]}, {"n": [1]}])
    for document in documents:
        start = document.metadata["start_index"]
        source = texts[document.metadata["n"][0]]
        assert source[start : start + len(document.page_content)] == document.page_content
        assert len(document.page_content) <= 8
    starts = [each.metadata["start_index"] for each in documents if each.metadata["n"] == [0]]
    assert starts == sorted(set(starts))
    assert splitter.split_text(texts[0]) == [
        each.page_content for each in documents if each.metadata["n"] == [0]
    ]
    documents[0].metadata["n"].append("mine")
    assert documents[1].metadata["n"] == [0]


@pytest.mark.parametrize("strategy", ["token", "sentence", "recursive", "markdown", "code"])
def test_a_cap_in_tokens_holds(strategy: Any) -> None:
    splitter = GraphbitTextSplitter(16, 4, strategy=strategy, unit="tokens")
    chunks = splitter.split_documents([Document("# Herons\n\nOne heron stands. " * 20)])
    assert len(chunks) > 10
    assert max(count_tokens(each.page_content) for each in chunks) <= 16


def test_a_splitter_complains_when_it_is_made() -> None:
    with pytest.raises(ParameterError):
        GraphbitTextSplitter(10, 10)
    unknown: Any = "paper"
    with pytest.raises(ValidationError, match="'strategy' with value 'paper'"):
        GraphbitTextSplitter(10, 0, strategy=unknown)
    with pytest.raises(TypeError, match="colour"):
        GraphbitTextSplitter(10, 0, colour="red")
    assert GraphbitTextSplitter(9, 0, strategy="regex", pattern="-").split_text("heron-swift")


# --- vector store ---------------------------------------------------------------------------------


def on_axes(texts: list[str]) -> list[list[float]]:
    """Birds point one way, fish another; a number turns one of its kind a little."""
    return [
        [
            float("bird" in text),
            float("fish" in text),
            0.1 * sum(map(int, filter(str.isdigit, text))),
        ]
        for text in texts
    ]


@pytest.fixture
def store() -> GraphbitVectorStore:
    return GraphbitVectorStore.from_texts(
        ["bird 1", "bird 2", "fish 1"],
        EmbeddingConfig.from_callable(on_axes),
        [{"wings": 2, "name": "heron"}, {"wings": 2}, {"wings": 0, "seas": ["north"]}],
        ids=["b1", "b2", "f1"],
    )


def test_metadata_comes_back_as_it_was(store: GraphbitVectorStore, tmp_path: Path) -> None:
    assert store.get_by_ids(["f1", "b1", "none"]) == [
        Document("fish 1", id="f1", metadata={"wings": 0, "seas": ["north"]}),
        Document("bird 1", id="b1", metadata={"wings": 2, "name": "heron"}),
    ]
    assert store.store.search([1, 0, 0], 1)[0].metadata["name"] == "heron"
    store.store.save(tmp_path / "birds")
    loaded = GraphbitVectorStore(store.embeddings, VectorStore.load(tmp_path / "birds"))
    assert loaded.get_by_ids(["f1"]) == store.get_by_ids(["f1"])


def test_searches_find_the_like_the_filtered_and_the_varied(store: GraphbitVectorStore) -> None:
    assert [each.id for each in store.similarity_search("bird", 2)] == ["b1", "b2"]
    found = store.similarity_search("bird", 1, filter=lambda each: each.metadata["wings"] == 0)
    assert [each.id for each in found] == ["f1"]
    (kept,) = store.similarity_search("bird", 3, filter={"wings": {"lt": 1}})
    assert kept.metadata["wings"] == 0
    assert store.similarity_search("bird", 3, filter={"name": "nobody"}) == []
    with pytest.raises(ValidationError, match=r"where\.wings\.near"):
        store.similarity_search("bird", filter={"wings": {"near": 1}})
    varied = store.max_marginal_relevance_search("bird", 2, lambda_mult=0.1)
    assert [each.id for each in varied] == ["b1", "f1"]
    scores = [score for _, score in store.similarity_search_with_relevance_scores("bird", 3)]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
    retriever = store.as_retriever(search_type="mmr", search_kwargs={"k": 1})
    assert [each.id for each in retriever.invoke("fish")] == ["f1"]


def test_nothing_is_stored_unless_all_is(store: GraphbitVectorStore) -> None:
    with pytest.raises(TypeError, match="not JSON serializable"):
        store.add_texts(["fish 2", "fish 3"], [{}, {"when": object()}])
    with pytest.raises(ValueError, match="ids"):
        store.add_texts(["fish 2", "fish 3"], ids=["one"])
    with pytest.raises(TypeError, match="namespace"):
        store.add_texts(["fish 2"], namespace="x")
    assert len(store.store) == 3
    assert store.add_texts(iter([])) == []


def test_everything_is_deleted_without_ids(store: GraphbitVectorStore) -> None:
    assert store.delete(["b1", "never there"])
    assert len(store.store) == 2
    assert store.delete()
    assert store.get_by_ids(["b2"]) == store.similarity_search("bird") == []
    assert store.max_marginal_relevance_search("bird") == []
