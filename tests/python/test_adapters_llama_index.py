"""LlamaIndex over the adapters: chats, tools, indexes, node parsers, against the simulator."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from adapter_setup import KEY, calls, embedding, sent, without_threads
from graphbit import EmbeddingConfig, LlmConfig, RetryPolicy, count_tokens
from graphbit.adapters.llama_index import GraphbitEmbedding, GraphbitLLM, GraphbitNodeParser
from graphbit.exceptions import ParameterError, RateLimitError, ValidationError
from llama_index.core import Document, PromptTemplate, VectorStoreIndex
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.ingestion.pipeline import get_transformation_hash
from llama_index.core.tools import FunctionTool
from llm_setup import config, wait_until
from pydantic import BaseModel
from simulator import Server, expected_embedding


def model(server: Server, kind: str = "openai", **keywords: Any) -> GraphbitLLM:
    return GraphbitLLM(config(kind, server), **keywords)


def get_weather(town: str) -> str:
    """The weather in a town."""
    return f"rain in {town}"


TOOL = FunctionTool.from_defaults(get_weather)


class Bird(BaseModel):
    """A bird."""

    name: str


# --- chat -----------------------------------------------------------------------------------------


def test_what_is_asked_reaches_the_server(server: Server) -> None:
    llm = model(server, temperature=0.5, additional_kwargs={"stop": ["."], "seed": 1})
    messages = [ChatMessage("Be brief.", role="system"), ChatMessage("heron")]
    answer = llm.chat(messages, max_tokens=9, seed=7)
    assert answer.message.content == "echo: heron"
    assert answer.additional_kwargs["completion_tokens"] > 0
    (body,) = sent(server)
    assert [each["role"] for each in body["messages"]] == ["system", "user"]
    assert (body["temperature"], body["stop"], body["seed"]) == (0.5, ["."], 7)
    assert body.get("max_tokens", body.get("max_completion_tokens")) == 9


@pytest.mark.parametrize("kind", ["openai", "anthropic", "gemini"])
async def test_pieces_add_up_to_the_answer(kind: str, server: Server) -> None:
    llm = model(server, kind)
    pieces = list(llm.stream_chat([ChatMessage("heron")]))
    assert len(pieces) > 2
    assert "".join(each.delta or "" for each in pieces) == "echo: heron"
    assert pieces[-1].message == llm.chat([ChatMessage("heron")]).message
    assert [each.delta async for each in await llm.astream_complete("heron")] == [
        each.delta for each in pieces
    ]
    assert llm.complete("heron").text == "echo: heron"


async def test_asynchronous_methods_use_no_thread(server: Server) -> None:
    llm, vectors = model(server), GraphbitEmbedding(embedding(server))
    with without_threads():
        assert (await llm.achat([ChatMessage("heron")])).message.content == "echo: heron"
        assert (await llm.acomplete("heron")).text == "echo: heron"
        assert [piece async for piece in await llm.astream_chat([ChatMessage("heron")])]
        assert await vectors.aget_query_embedding("heron") == expected_embedding("heron")
        assert len(await vectors.aget_text_embedding_batch(["heron", "swift"])) == 2


def test_a_model_without_pieces_streams_its_answer_whole() -> None:
    llm = GraphbitLLM(LlmConfig.from_callable(lambda messages, **options: "A heron."))
    assert [piece.delta for piece in llm.stream_complete("?")] == ["A heron."]


async def test_leaving_a_stream_closes_its_connection(server: Server) -> None:
    server.behaviour(slow_stream={"chunks": 50, "delay_ms": 50})
    stream: Any = model(server).stream_chat(
        [ChatMessage("one two three four five six seven eight")]
    )
    next(stream)
    stream.close()
    wait_until(lambda: server.stats()["disconnects"] == 1)


def test_errors_pass_through_as_they_are(server: Server) -> None:
    server.behaviour(status=[429, 429])
    with pytest.raises(RateLimitError) as raised:
        model(server, retry=RetryPolicy(attempts=2, base_delay=0.01)).complete("heron")
    assert (raised.value.attempts, raised.value.status_code) == (2, 429)


def test_images_are_refused_by_name_and_thoughts_are_not_sent(server: Server) -> None:
    llm = model(server)
    picture = ImageBlock(image=b"x", image_mimetype="image/png")
    with pytest.raises(ValidationError, match=r"messages\[0\]\.content\[1\]\.type.*'image'"):
        llm.chat([ChatMessage([TextBlock(text="What is it?"), picture])])
    thought = [ThinkingBlock(content="Hm."), TextBlock(text="A heron.")]
    llm.chat([ChatMessage("?"), ChatMessage(thought, role="assistant"), ChatMessage("Sure?")])
    (body,) = sent(server)
    assert "Hm." not in json.dumps(body)
    assert body["messages"][1]["content"] == "A heron."


# --- tools ----------------------------------------------------------------------------------------


# LlamaIndex's own agent looks at fields in ways that pydantic deprecates.
@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
async def test_an_agent_calls_tools_until_it_knows(server: Server) -> None:
    asked = "Rain in Oslo?"
    server.behaviour(
        replies=[
            calls("get_weather", {"town": "Oslo"}, asked, turn=0),
            {"prompt": asked, "turn": 1, "content": "Yes, rain."},
        ]
    )
    agent = FunctionAgent(tools=[TOOL], llm=model(server))
    assert str(await agent.run(asked)) == "Yes, rain."
    told = sent(server)[-1]["messages"][-1]
    assert (told["role"], told["tool_call_id"]) == ("tool", "call_1")
    assert "rain in Oslo" in told["content"]


@pytest.mark.parametrize("streamed", [False, True])
def test_a_signature_goes_back_with_its_call(streamed: bool, server: Server) -> None:
    llm = model(server, "gemini")
    if streamed:
        *_, answer = llm.stream_chat_with_tools([TOOL], "Rain?")
    else:
        answer = llm.chat_with_tools([TOOL], "Rain?")
    kept = ChatMessage.model_validate_json(answer.message.model_dump_json())
    (call,) = llm.get_tool_calls_from_response(answer)
    told = ChatMessage("rain", role="tool", additional_kwargs={"tool_call_id": call.tool_id})
    llm.chat_with_tools([TOOL], chat_history=[ChatMessage("Rain?"), kept, told])
    (part,) = sent(server)[-1]["contents"][1]["parts"]
    assert part["functionCall"]["name"] == "get_weather"
    assert part["thoughtSignature"] == "c2ltdWxhdGVk"


def test_one_call_unless_several_are_allowed(server: Server) -> None:
    two = [[f"call_{number}", "get_weather", {"town": f"{number}"}] for number in (1, 2)]
    server.behaviour(replies=[{"prompt": "Rain?", "tool_calls": two}])
    llm = model(server)
    one = llm.chat_with_tools([TOOL], "Rain?", tool_required=True)
    both = llm.chat_with_tools([TOOL], "Rain?", allow_parallel_tool_calls=True)
    selected = [llm.get_tool_calls_from_response(answer) for answer in (one, both)]
    assert [[each.tool_id for each in calls] for calls in selected] == [
        ["call_1"],
        ["call_1", "call_2"],
    ]
    assert [body.get("tool_choice") for body in sent(server)] == ["required", "auto"]
    none = llm.chat_with_tools([TOOL], "heron")
    assert llm.get_tool_calls_from_response(none, error_on_no_tool_call=False) == []
    with pytest.raises(ValueError, match="calls no tool: 'echo: heron'"):
        llm.get_tool_calls_from_response(none)


def test_arguments_that_are_no_json_go_back_as_they_came(server: Server) -> None:
    server.behaviour(replies=[calls("get_weather", "{oops", "Rain?")])
    llm = model(server)
    answer = llm.chat_with_tools([TOOL], "Rain?")
    (block,) = [each for each in answer.message.blocks if isinstance(each, ToolCallBlock)]
    assert block.tool_kwargs == "{oops"
    told = ChatMessage("what?", role="tool", additional_kwargs={"tool_call_id": "call_1"})
    llm.chat([ChatMessage("Rain?"), answer.message, told, ChatMessage("Again.")])
    call = sent(server)[-1]["messages"][1]["tool_calls"][0]
    assert call["function"]["arguments"] == "{oops"


def test_an_instance_of_a_class_is_predicted(server: Server) -> None:
    server.behaviour(replies=[calls("Bird", {"name": "heron"})])
    assert model(server).structured_predict(Bird, PromptTemplate("Which?")) == Bird(name="heron")


# --- embeddings and indexes -----------------------------------------------------------------------


def test_a_question_is_answered_from_an_index(server: Server) -> None:
    index = VectorStoreIndex.from_documents(
        [Document(text="The heron stands in water."), Document(text="The swift sleeps in flight.")],
        embed_model=GraphbitEmbedding(EmbeddingConfig.local()),
        transformations=[GraphbitNodeParser(chunk_size=20, chunk_overlap=0)],
    )
    engine = index.as_query_engine(llm=model(server), similarity_top_k=1)
    answer: Any = engine.query("Who sleeps in flight?")
    assert [node.get_content() for node in answer.source_nodes] == ["The swift sleeps in flight."]
    assert "The swift sleeps in flight." in str(answer)


def test_many_texts_are_few_requests(server: Server) -> None:
    texts = [f"bird {number}" for number in range(300)]
    vectors = GraphbitEmbedding(embedding(server, dimensions=8)).get_text_embedding_batch(texts)
    assert vectors == [expected_embedding(text, 8) for text in texts]
    assert server.stats()["requests"] < 10


def test_saved_and_pickled_without_the_key(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = model(server, temperature=0.5, retry=RetryPolicy(attempts=2), context_window=8000)
    vectors = GraphbitEmbedding(embedding(server))
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    for part in (llm, vectors):
        saved, pickled = part.to_json(), pickle.dumps(part)
        assert KEY not in saved
        assert KEY.encode() not in pickled
        assert type(part).from_json(saved).to_json() == saved
        assert pickle.loads(pickled).to_json() == saved
    again = GraphbitLLM.from_json(llm.to_json())
    assert again.complete("heron").text == "echo: heron"
    assert (again.metadata.context_window, again.metadata.model_name) == (8000, "m")


# --- nodes ----------------------------------------------------------------------------------------


def test_nodes_are_slices_with_their_place() -> None:
    text = "ab ab ab ab ab ab. Größere Reiher, ab ab ab!"
    parser = GraphbitNodeParser(chunk_size=8, chunk_overlap=3, strategy="recursive", unit="chars")
    document = Document(text=text, metadata={"page": 1})
    nodes: list[Any] = parser.get_nodes_from_documents([document, Document(text="other text")])
    own = [node for node in nodes if node.ref_doc_id == document.doc_id]
    for node in own:
        assert text[node.start_char_idx : node.end_char_idx].strip() == node.text
        assert len(node.text) <= 8
        assert node.metadata == {"page": 1}
    starts = [node.start_char_idx for node in own]
    assert starts == sorted(set(starts))
    assert own[0].next_node.node_id == own[1].node_id
    assert parser.split_texts([text]) == parser.split_text(text) == [node.text for node in own]


def test_nodes_keep_their_size_in_tokens() -> None:
    nodes = GraphbitNodeParser(chunk_size=16, chunk_overlap=4).get_nodes_from_documents(
        [Document(text="One heron stands in the shallow water. " * 30)]
    )
    assert max(count_tokens(node.get_content()) for node in nodes) <= 16


def test_a_parser_is_saved_and_told_apart() -> None:
    parser = GraphbitNodeParser(chunk_size=64, chunk_overlap=8, strategy="markdown", unit="words")
    assert GraphbitNodeParser.from_json(parser.to_json()).to_json() == parser.to_json()
    assert pickle.loads(pickle.dumps(parser)).split_text("# One\n\ntwo") == ["# One\n\ntwo"]
    other = parser.model_copy(update={"unit": "chars"})
    assert get_transformation_hash([], parser) != get_transformation_hash([], other)
    with pytest.raises(ParameterError):
        GraphbitNodeParser(chunk_size=10, chunk_overlap=10)


def test_a_semantic_parser_is_saved_with_its_client() -> None:
    options = {"client": EmbeddingConfig.local()}
    with pytest.raises(TypeError, match="EmbeddingClient"):
        GraphbitNodeParser(strategy="semantic", options=options)
    vectors = GraphbitEmbedding(EmbeddingConfig.local())
    parser = GraphbitNodeParser(strategy="semantic", options={"client": vectors.embedding})
    again = GraphbitNodeParser.from_json(parser.to_json())
    assert again.split_text("One heron. Two herons.") == parser.split_text("One heron. Two herons.")


def test_a_pipeline_splits_and_embeds(server: Server) -> None:
    parts: list[Any] = [
        GraphbitNodeParser(chunk_size=8, chunk_overlap=0),
        GraphbitEmbedding(embedding(server, dimensions=4)),
    ]
    pipeline = IngestionPipeline(transformations=parts)
    nodes = pipeline.run(documents=[Document(text="One heron stands. " * 9)])
    assert len(nodes) > 3
    assert nodes[0].embedding == expected_embedding(nodes[0].get_content(), 4)
    assert pipeline.run(documents=[]) == []
