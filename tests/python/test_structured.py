"""Answers in a format: what is asked for, what they are read as, and that a bad one is not lost."""

from __future__ import annotations

import asyncio
import json
import pickle
import threading
from typing import Any, ClassVar

import pytest
from graphbit import FinishReason, LlmClient, LlmResponse
from graphbit.exceptions import ResponseError
from llm_setup import config
from simulator import Server

SCHEMA = {
    "title": "Point",
    "type": "object",
    "properties": {"x": {"type": "integer"}},
    "required": ["x"],
    "additionalProperties": False,
}


class Point:
    """Stands in for a pydantic model: the two methods are all that is asked of one."""

    SCHEMA: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {"x": {"type": "integer"}},
        "required": ["x"],
    }

    def __init__(self, x: int) -> None:
        self.x = x

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and other.x == self.x

    def __hash__(self) -> int:
        return hash(self.x)

    @classmethod
    def model_json_schema(cls) -> dict[str, Any]:
        return cls.SCHEMA

    @classmethod
    def model_validate_json(cls, data: str) -> Point:
        fields = json.loads(data)
        if not isinstance(fields.get("x"), int):
            raise ValueError("1 validation error for Point\nx: an int is wanted")
        return cls(fields["x"])


class Loose(Point):
    SCHEMA: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {"x": {"type": "integer", "default": 3}},
    }


@pytest.fixture
def client(server: Server) -> LlmClient:
    return LlmClient(config("openai", server))


def says(server: Server, content: str | None, finish: str = "stop", **message: Any) -> None:
    choice = {"message": {"content": content, **message}, "finish_reason": finish}
    server.behaviour(body={"id": "r", "choices": [choice]})


def sent_format(server: Server) -> Any:
    return json.loads(server.log()[-1]["body"]).get("response_format")


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("json", {"type": "json_object"}),
        ({"type": "json_object"}, {"type": "json_object"}),
        (
            SCHEMA,
            {
                "type": "json_schema",
                "json_schema": {"name": "Point", "schema": SCHEMA, "strict": True},
            },
        ),
        (
            Loose.SCHEMA,
            {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": Loose.SCHEMA, "strict": False},
            },
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "N", "schema": SCHEMA}},
            {
                "type": "json_schema",
                "json_schema": {"name": "N", "schema": SCHEMA, "strict": False},
            },
        ),
        (
            {"type": "json_schema", "name": "N", "schema": Loose.SCHEMA, "strict": True},
            {
                "type": "json_schema",
                "json_schema": {"name": "N", "schema": Loose.SCHEMA, "strict": True},
            },
        ),
        (
            Point,
            {
                "type": "json_schema",
                "json_schema": {
                    "name": "Point",
                    "schema": {**Point.SCHEMA, "additionalProperties": False},
                    "strict": True,
                },
            },
        ),
        (
            Loose,
            {
                "type": "json_schema",
                "json_schema": {"name": "Loose", "schema": Loose.SCHEMA, "strict": False},
            },
        ),
    ],
)
def test_formats_on_the_wire(asked: Any, sent: Any, server: Server, client: LlmClient) -> None:
    says(server, '{"x": 1}')
    client.chat("Where?", response_format=asked)
    assert sent_format(server) == sent


def test_text_asks_for_nothing(server: Server, client: LlmClient) -> None:
    for asked in (None, "text", {"type": "text"}):
        response = client.chat("Where?", response_format=asked)
        assert sent_format(server) is None and response.parsed is None


@pytest.mark.parametrize("content", ['{"x": 1}', ' \n```json\n{"x": 1}\n```\n', '```\n{"x": 1}```'])
def test_answers_are_read(content: str, server: Server, client: LlmClient) -> None:
    says(server, content)
    assert client.chat("Where?", response_format="json").parsed == {"x": 1}
    assert client.chat("Where?", response_format=SCHEMA).parsed == {"x": 1}
    response = client.chat("Where?", response_format=Point)
    assert response.parsed == Point(1) and response.content == content
    assert response.parsed is response.parsed


@pytest.mark.parametrize(
    ("content", "asked", "cause"),
    [
        ("I think it is 1.", "json", json.JSONDecodeError),
        ("", SCHEMA, json.JSONDecodeError),
        ('{"x": 1', Point, json.JSONDecodeError),
        ('{"x": "one"}', Point, ValueError),
        (None, "json", json.JSONDecodeError),
    ],
)
def test_an_answer_that_does_not_fit_is_not_lost(
    content: str | None,
    asked: Any,
    cause: type[Exception],
    server: Server,
    client: LlmClient,
) -> None:
    says(server, content, model_extra=1)

    async def main() -> LlmResponse:
        return await client.chat_async("Where?", response_format=asked)

    for ask in (
        lambda: client.chat("Where?", response_format=asked),
        lambda: asyncio.run(main()),
    ):
        with pytest.raises(ResponseError, match="not the JSON that was asked for") as caught:
            ask()
        error = caught.value
        assert isinstance(error.__cause__, cause)
        assert error.response is not None
        assert (error.response.content, error.response.id) == (content or "", "r")
        assert error.response.parsed is None
        assert (error.kind, error.provider) == ("decode", "openai")
        assert pickle.loads(pickle.dumps(error)).response == error.response
    assert len(server.log()) == 2, "the answer was paid for; asking again is the caller's to decide"
    assert client.get_stats()["successful_requests"] == 2


def test_why_an_answer_does_not_fit(server: Server, client: LlmClient) -> None:
    says(server, '{"x":', "length")
    with pytest.raises(ResponseError, match="cut off by the token limit") as caught:
        client.chat("Where?", response_format=Point)
    assert caught.value.response is not None and caught.value.response.is_truncated()
    says(server, None, refusal="I must not.")
    with pytest.raises(ResponseError, match="the model refused: .I must not"):
        client.chat("Where?", response_format=Point)
    says(server, '{"x": "one"}')
    with pytest.raises(ResponseError, match="asked for: 1 validation error for Point$"):
        client.chat("Where?", response_format=Point)


def test_an_answer_that_calls_tools_is_not_read(server: Server, client: LlmClient) -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": "{}"}}
    says(server, "One moment.", "tool_calls", tool_calls=[call])
    response = client.chat("Where?", tools=[{"name": "f"}], response_format=Point)
    assert response.parsed is None and response.has_tool_calls()
    assert response.finish_reason == FinishReason.tool_calls()


def test_a_class_may_call_clients(server: Server, client: LlmClient) -> None:
    threads: list[threading.Thread] = []

    class Nested(Point):
        @classmethod
        def model_validate_json(cls, data: str) -> Nested:
            threads.append(threading.current_thread())
            return cls(len(client.chat("inner", response_format=Point).parsed.__dict__))

    says(server, '{"x": 7}')
    assert client.chat("outer", response_format=Nested).parsed.x == 1

    async def main() -> LlmResponse:
        return await client.chat_async("outer", response_format=Nested)

    assert asyncio.run(main()).parsed.x == 1
    assert threading.main_thread() not in threads


def test_a_real_model_class(server: Server, client: LlmClient) -> None:
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Place", x=(int, ...), name=(str, ...))
    says(server, '{"x": 1, "name": "Oslo"}')
    assert client.chat("Where?", response_format=model).parsed == model(x=1, name="Oslo")
    sent = sent_format(server)["json_schema"]
    assert sent["strict"] is True and sent["name"] == "Place"
    says(server, '{"x": "one"}')
    with pytest.raises(ResponseError, match="validation errors for Place") as caught:
        client.chat("Where?", response_format=model)
    assert isinstance(caught.value.__cause__, pydantic.ValidationError)
