"""Haystack over the adapters: pipelines, agents, streams, saved components, against the simulator."""

from __future__ import annotations

import json
from typing import Any

import pytest
from adapter_setup import KEY, calls, embedding, sent, without_threads
from graphbit import EmbeddingConfig, LlmConfig, RetryPolicy, count_tokens
from graphbit.adapters.haystack import (
    GraphbitChatGenerator,
    GraphbitDocumentEmbedder,
    GraphbitDocumentSplitter,
    GraphbitTextEmbedder,
)
from graphbit.exceptions import ParameterError, RateLimitError, ResponseError, ValidationError
from haystack import Document, Pipeline
from haystack.components.agents import Agent
from haystack.components.generators.utils import print_streaming_chunk
from haystack.components.retrievers import InMemoryEmbeddingRetriever
from haystack.components.writers import DocumentWriter
from haystack.dataclasses import ChatMessage, ImageContent, StreamingChunk
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.tools import Tool, create_tool_from_function
from llm_setup import config, wait_until
from pydantic import BaseModel
from simulator import Server, expected_embedding


def generator(server: Server, kind: str = "openai", **keywords: Any) -> GraphbitChatGenerator:
    return GraphbitChatGenerator(config(kind, server), **keywords)


def get_weather(town: str) -> str:
    """The weather in a town."""
    return f"rain in {town}"


@pytest.fixture
def tool() -> Tool:
    return create_tool_from_function(get_weather)


class Bird(BaseModel):
    """A bird."""

    name: str


# --- chat -----------------------------------------------------------------------------------------


def test_what_is_asked_reaches_the_server(server: Server, tool: Tool) -> None:
    chat = generator(server, generation_kwargs={"temperature": 0.5, "seed": 1}, tools=[tool])
    messages = [ChatMessage.from_system("Be brief."), ChatMessage.from_user("heron")]
    (reply,) = chat.run(messages, generation_kwargs={"seed": 7, "stop": ["."]})["replies"]
    assert reply.text == "echo: heron"
    assert reply.meta["usage"]["completion_tokens"] > 0
    (body,) = sent(server)
    assert [each["role"] for each in body["messages"]] == ["system", "user"]
    assert (body["temperature"], body["stop"], body["seed"]) == (0.5, ["."], 7)
    assert [each["function"]["name"] for each in body["tools"]] == ["get_weather"]
    assert chat.run([]) == {"replies": []}


@pytest.mark.parametrize("kind", ["openai", "anthropic", "gemini"])
async def test_pieces_add_up_to_the_answer(kind: str, server: Server) -> None:
    heard: list[StreamingChunk] = []

    async def hear(chunk: StreamingChunk) -> None:
        heard.append(chunk)

    chat = generator(server, kind)
    answer = chat.run("heron")
    assert await chat.run_async("heron", streaming_callback=hear) == answer
    assert len(heard) > 2
    assert "".join(chunk.content for chunk in heard) == "echo: heron"
    assert [chunk.start for chunk in heard].index(True) == 0
    assert (heard[-1].finish_reason, heard[-1].meta) == ("stop", answer["replies"][0].meta)
    again: list[StreamingChunk] = []
    assert chat.run("heron", streaming_callback=again.append) == answer
    assert [chunk.content for chunk in again] == [chunk.content for chunk in heard]


def test_calls_of_tools_arrive_in_pieces_too(
    server: Server, tool: Tool, capsys: pytest.CaptureFixture[str]
) -> None:
    server.behaviour(replies=[calls("get_weather", {"town": "Oslo"})])
    chat = generator(server, tools=[tool])
    (reply,) = chat.run("Rain?", streaming_callback=print_streaming_chunk)["replies"]
    assert reply.tool_call is not None
    assert reply.tool_call.arguments == {"town": "Oslo"}
    assert "get_weather" in capsys.readouterr().out


async def test_asynchronous_methods_use_no_thread(server: Server) -> None:
    chat, text = generator(server), GraphbitTextEmbedder(embedding(server))
    documents = GraphbitDocumentEmbedder(embedding(server))
    with without_threads():
        assert (await chat.run_async("heron"))["replies"][0].text == "echo: heron"
        assert (await text.run_async("heron"))["embedding"] == expected_embedding("heron")
        assert len((await documents.run_async([Document(content="heron")]))["documents"]) == 1


def test_a_model_without_pieces_answers_whole() -> None:
    chat = GraphbitChatGenerator(LlmConfig.from_callable(lambda messages: "A heron."))
    (reply,) = chat.run("?", streaming_callback=print_streaming_chunk)["replies"]
    assert reply.text == "A heron."


def test_a_callback_that_fails_ends_the_request(server: Server) -> None:
    server.behaviour(slow_stream={"chunks": 50, "delay_ms": 50})

    def fail(chunk: StreamingChunk) -> None:
        raise ZeroDivisionError(chunk.content)

    with pytest.raises(ZeroDivisionError):
        generator(server).run("one two three four five six seven", streaming_callback=fail)
    wait_until(lambda: server.stats()["disconnects"] == 1)


def test_errors_pass_through_as_they_are(server: Server) -> None:
    server.behaviour(status=[429, 429])
    with pytest.raises(RateLimitError) as raised:
        generator(server, retry=RetryPolicy(attempts=2, base_delay=0.01)).run("heron")
    assert (raised.value.attempts, raised.value.status_code) == (2, 429)


def test_images_are_refused_by_name(server: Server) -> None:
    picture = ImageContent("iVBORw0KGgo=", mime_type="image/png", validation=False)
    with pytest.raises(ValidationError, match=r"messages\[0\]\.content\[1\]\.type.*'image'"):
        generator(server).run([ChatMessage.from_user(content_parts=["What is it?", picture])])
    assert server.log() == []


def test_an_answer_of_a_given_shape(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.behaviour(replies=[{"content": '{"name": "heron"}'}])
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    chat = generator(server, generation_kwargs={"response_format": Bird})
    again = GraphbitChatGenerator.from_dict(json.loads(json.dumps(chat.to_dict())))
    for each in (chat, again):
        assert json.loads(each.run("?")["replies"][0].text or "") == {"name": "heron"}
    schemas = [body["response_format"]["json_schema"]["schema"] for body in sent(server)]
    assert [list(schema["properties"]) for schema in schemas] == [["name"], ["name"]]
    server.behaviour(replies=[{"content": '{"title": "heron"}'}])
    with pytest.raises(ResponseError) as raised:
        chat.run("?")
    assert raised.value.response is not None


# --- tools ----------------------------------------------------------------------------------------


async def test_an_agent_calls_tools_until_it_knows(server: Server, tool: Tool) -> None:
    asked = "Rain in Oslo?"
    server.behaviour(
        replies=[
            calls("get_weather", {"town": "Oslo"}, asked, turn=0),
            {"prompt": asked, "turn": 1, "content": "Yes, rain."},
        ]
    )
    agent = Agent(chat_generator=generator(server), tools=[tool])
    assert agent.run([ChatMessage.from_user(asked)])["last_message"].text == "Yes, rain."
    told = sent(server)[-1]["messages"][-1]
    assert (told["role"], told["tool_call_id"], told["content"]) == (
        "tool",
        "call_1",
        "rain in Oslo",
    )
    told = await agent.run_async([ChatMessage.from_user(asked)])
    assert told["last_message"].text == "Yes, rain."


@pytest.mark.parametrize("callback", [None, print_streaming_chunk])
def test_a_signature_goes_back_with_its_call(callback: Any, server: Server, tool: Tool) -> None:
    chat = generator(server, "gemini", tools=[tool], streaming_callback=callback)
    asked = ChatMessage.from_user("Rain?")
    (answer,) = chat.run([asked])["replies"]
    kept = ChatMessage.from_dict(json.loads(json.dumps(answer.to_dict())))
    assert kept.tool_call is not None
    chat.run([asked, kept, ChatMessage.from_tool("rain", kept.tool_call)])
    (part,) = sent(server)[-1]["contents"][1]["parts"]
    assert part["functionCall"]["name"] == "get_weather"
    assert part["thoughtSignature"] == "c2ltdWxhdGVk"


def test_a_call_that_cannot_be_read_is_told_and_left_out(
    server: Server, tool: Tool, caplog: pytest.LogCaptureFixture
) -> None:
    two = [["c1", "get_weather", "{oops"], ["c2", "get_weather", {"town": "Oslo"}]]
    server.behaviour(replies=[{"tool_calls": two}])
    (reply,) = generator(server, tools=[tool]).run("Rain?")["replies"]
    assert [call.id for call in reply.tool_calls] == ["c2"]
    assert "{oops" in caplog.text


# --- embedders ------------------------------------------------------------------------------------


def test_documents_are_embedded_in_few_requests(server: Server) -> None:
    documents = [
        Document(content=f"bird {number}", meta={"name": "heron", "size": 1})
        for number in range(300)
    ]
    embedder = GraphbitDocumentEmbedder(
        embedding(server, dimensions=8), prefix="<", suffix=">", meta_fields_to_embed=["name", "none"]
    )  # fmt: skip
    told = embedder.run(documents)
    assert told["meta"] == {"model": "m"}
    assert [each.embedding for each in told["documents"]] == [
        expected_embedding(f"<heron\nbird {number}>", 8) for number in range(300)
    ]
    assert [each.id for each in told["documents"]] == [each.id for each in documents]
    assert documents[0].embedding is None
    assert server.stats()["requests"] < 10
    assert embedder.run([])["documents"] == []


def test_each_embedder_says_which_one_is_wanted(server: Server) -> None:
    wrong: Any = ["heron"]
    with pytest.raises(TypeError, match="GraphbitTextEmbedder"):
        GraphbitDocumentEmbedder(embedding(server)).run(wrong)
    with pytest.raises(TypeError, match="GraphbitDocumentEmbedder"):
        GraphbitTextEmbedder(embedding(server)).run(wrong)


# --- splitter -------------------------------------------------------------------------------------


def test_chunks_are_slices_with_their_place() -> None:
    text = "ab ab ab ab.\fGrößere Reiher.\fab ab ab ab."
    source = Document(content=text, meta={"tags": ["x"]})
    splitter = GraphbitDocumentSplitter(8, 3, strategy="recursive", unit="chars")
    chunks = splitter.run([source, Document(content="")])["documents"]
    for number, chunk in enumerate(chunks):
        start = chunk.meta["split_idx_start"]
        assert text[start : start + len(chunk.content or "")] == chunk.content
        assert len(chunk.content or "") <= 8
        assert chunk.meta["page_number"] == 1 + text[:start].count("\f")
        assert (chunk.meta["source_id"], chunk.meta["split_id"]) == (source.id, number)
    chunks[0].meta["tags"].append("y")
    assert (source.meta["tags"], chunks[1].meta["tags"]) == (["x"], ["x"])
    with pytest.raises(ValueError, match="has no text"):
        splitter.run([Document(content=None)])
    with pytest.raises(ParameterError):
        GraphbitDocumentSplitter(10, 10)


def test_chunks_keep_their_size_in_tokens() -> None:
    splitter = GraphbitDocumentSplitter(16, 4, unit="tokens")
    told = splitter.run([Document(content="One heron stands in the water. " * 30)])
    assert max(count_tokens(each.content or "") for each in told["documents"]) <= 16


# --- pipelines ------------------------------------------------------------------------------------


def test_a_pipeline_is_saved_without_the_key_and_runs_again(
    server: Server, tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = Pipeline()
    pipeline.add_component("split", GraphbitDocumentSplitter(9, strategy="sentence"))
    pipeline.add_component("documents", GraphbitDocumentEmbedder(embedding(server), prefix="p: "))
    pipeline.add_component("text", GraphbitTextEmbedder(embedding(server), suffix="?"))
    pipeline.add_component(
        "chat",
        generator(
            server,
            generation_kwargs={"temperature": 0.5},
            streaming_callback=print_streaming_chunk,
            tools=[tool],
            retry=RetryPolicy(attempts=2),
        ),
    )
    pipeline.connect("split", "documents")
    written = pipeline.dumps()
    assert KEY not in written
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    again = Pipeline.loads(written, allowed_modules=["graphbit.adapters.*", __name__])
    assert again.dumps() == written
    told = again.run(
        {
            "split": {"documents": [Document(content="One heron. Two herons.")]},
            "text": {"text": "heron"},
            "chat": {"messages": "heron"},
        }
    )
    assert told["text"]["embedding"] == expected_embedding("heron?")
    assert told["chat"]["replies"][0].text == "echo: heron"


def test_documents_are_found_by_their_meaning() -> None:
    store = InMemoryDocumentStore()
    ingest = Pipeline()
    ingest.add_component("split", GraphbitDocumentSplitter(6))
    ingest.add_component("embed", GraphbitDocumentEmbedder(EmbeddingConfig.local()))
    ingest.add_component("write", DocumentWriter(store))
    ingest.connect("split", "embed")
    ingest.connect("embed", "write")
    ingest.run(
        {"documents": [Document(content="The heron stands in water. The swift sleeps in flight.")]}
    )
    ask = Pipeline()
    ask.add_component("embed", GraphbitTextEmbedder(EmbeddingConfig.local()))
    ask.add_component("find", InMemoryEmbeddingRetriever(store, top_k=1))
    ask.connect("embed.embedding", "find.query_embedding")
    (found,) = ask.run({"embed": {"text": "Who sleeps in flight?"}})["find"]["documents"]
    assert found.content == "The swift sleeps in flight."
