"""`chat`: conversations, tools and options on OpenAI's wire, and what is refused before it is sent."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from graphbit import FinishReason, LlmClient, LlmConfig, LlmResponse, LlmToolCall, LlmUsage
from graphbit.exceptions import GraphbitError, ValidationError
from llm_setup import ECHO, KINDS, config
from simulator import Server

CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city":"Oslo"}'},
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Now",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


@pytest.fixture
def client(server: Server) -> LlmClient:
    return LlmClient(config("openai", server))


def last_body(server: Server) -> Any:
    return json.loads(server.log()[-1]["body"])


def reply(message: dict[str, Any], finish: str = "stop", **more: Any) -> dict[str, Any]:
    return {"id": "r1", "choices": [{"message": message, "finish_reason": finish}], **more}


# requests


@pytest.mark.parametrize(
    ("messages", "sent"),
    [
        ("Hi", [{"role": "user", "content": "Hi"}]),
        ([("user", "Hi")], [{"role": "user", "content": "Hi"}]),
        (
            [("system", "s"), ("developer", "d"), ("user", "u"), ("assistant", "a")],
            [
                {"role": "system", "content": "s"},
                {"role": "system", "content": "d"},
                {"role": "user", "content": "u"},
                {"role": "assistant", "content": "a"},
            ],
        ),
        (
            (
                {"role": "user", "content": ["a", {"type": "text", "text": "b"}], "name": "x"}
                for _ in "1"
            ),
            [{"role": "user", "content": "ab"}],
        ),
        (
            [
                {"role": "user", "content": "u"},
                {"role": "assistant", "content": None, "tool_calls": [CALL], "audio": None},
                {"role": "tool", "tool_call_id": "c1", "content": ""},
            ],
            [
                {"role": "user", "content": "u"},
                {"role": "assistant", "content": "", "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c1", "content": ""},
            ],
        ),
        (
            [
                {
                    "role": "assistant",
                    "tool_calls": [LlmToolCall("c1", "weather", '{"city": "Oslo"}')],
                }
            ],
            [{"role": "assistant", "content": "", "tool_calls": [CALL]}],
        ),
        (
            [
                {
                    "role": "assistant",
                    "content": "x",
                    "tool_calls": [
                        {"id": "c1", "name": "weather", "parameters": '{"city": "Oslo"}'},
                        {"id": "c2", "function": {"name": "f", "arguments": {"b": [1, None]}}},
                        {"id": "c3", "function": {"name": "f", "arguments": "broken"}},
                    ],
                }
            ],
            [
                {
                    "role": "assistant",
                    "content": "x",
                    "tool_calls": [
                        CALL,
                        {
                            "id": "c2",
                            "type": "function",
                            "function": {"name": "f", "arguments": '{"b":[1,null]}'},
                        },
                        {
                            "id": "c3",
                            "type": "function",
                            "function": {"name": "f", "arguments": "broken"},
                        },
                    ],
                }
            ],
        ),
    ],
)
def test_messages_on_the_wire(messages: Any, sent: Any, server: Server, client: LlmClient) -> None:
    client.chat(messages)
    assert last_body(server) == {"model": "m", "messages": sent}


def test_every_option_on_the_wire(server: Server, client: LlmClient) -> None:
    server.behaviour(body=reply({"content": "{}"}))
    client.chat(
        "Hi",
        [WEATHER],
        "weather",
        {"type": "json_object"},
        ["x", "y"],
        -7,
        0.3,
        {"logit_bias": {"5": 1}, "user": "me", "seed": 8},
        max_tokens=9,
        temperature=0.7,
    )
    assert last_body(server) == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "max_completion_tokens": 9,
        "temperature": 0.7,
        "top_p": 0.3,
        "tools": [WEATHER],
        "tool_choice": {"type": "function", "function": {"name": "weather"}},
        "response_format": {"type": "json_object"},
        "stop": ["x", "y"],
        "seed": 8,
        "logit_bias": {"5": 1},
        "user": "me",
    }


class Tool:
    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)


@pytest.mark.parametrize(
    "tool",
    [
        WEATHER,
        {"type": "function", **WEATHER["function"], "strict": None},  # type: ignore[dict-item]
        WEATHER["function"],
        SimpleNamespace(to_dict=lambda: WEATHER),
        Tool(**WEATHER["function"]),  # type: ignore[arg-type]
    ],
)
def test_tools_in_each_of_their_shapes(tool: Any, server: Server, client: LlmClient) -> None:
    client.chat("Hi", tools=(tool,))
    assert last_body(server)["tools"] == [WEATHER]
    assert last_body(server)["tool_choice"] == "auto"


def test_a_tool_without_parameters(server: Server, client: LlmClient) -> None:
    client.chat("Hi", tools=[{"name": "now", "description": None}])
    assert last_body(server)["tools"][0]["function"] == {
        "name": "now",
        "description": "",
        "parameters": {"type": "object", "properties": {}},
    }


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ("weather", {"type": "function", "function": {"name": "weather"}}),
        (
            {"type": "function", "function": {"name": "weather"}},
            {"type": "function", "function": {"name": "weather"}},
        ),
        ({"name": "weather"}, {"type": "function", "function": {"name": "weather"}}),
    ],
)
def test_tool_choices(choice: Any, sent: Any, server: Server, client: LlmClient) -> None:
    client.chat("Hi", tools=[WEATHER], tool_choice=choice)
    assert last_body(server)["tool_choice"] == sent


def test_a_choice_among_no_tools_is_not_sent(server: Server, client: LlmClient) -> None:
    client.chat("Hi", tools=[], tool_choice="none")
    assert last_body(server) == {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}


def test_one_stop_text(server: Server, client: LlmClient) -> None:
    client.chat("Hi", stop="END")
    assert last_body(server)["stop"] == ["END"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_provider_takes_a_conversation(kind: str, server: Server) -> None:
    messages: list[Any] = [
        ("system", "Be brief."),
        ("user", "one"),
        ("assistant", "1"),
        ("user", "two"),
    ]
    answer = LlmClient(config(kind, server)).chat(messages, tools=[WEATHER], top_p=0.5, stop="x")
    # The simulator's Gemini takes an offered tool, the others just talk.
    said = answer.tool_calls[0].name if kind == "gemini" else answer.content
    assert said == ("weather" if kind == "gemini" else ECHO + "two")
    assert "Be brief." in server.log()[-1]["body"] and "weather" in server.log()[-1]["body"]


# answers


def test_a_conversation_with_a_tool(server: Server, client: LlmClient) -> None:
    server.behaviour(body=reply({"content": None, "tool_calls": [CALL]}, "tool_calls"))
    messages: list[Any] = [("user", "How warm is Oslo?")]
    answer = client.chat(messages, tools=[WEATHER])
    assert answer.has_tool_calls() and answer.finish_reason == FinishReason.tool_calls()
    [call] = answer.tool_calls
    messages += [answer, {"role": "tool", "tool_call_id": call.id, "content": "21"}]
    server.behaviour(body=reply({"content": "21 degrees"}))
    final = client.chat(messages, tools=[WEATHER])
    assert final.content == "21 degrees"
    assert last_body(server)["messages"] == [
        {"role": "user", "content": "How warm is Oslo?"},
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "21"},
    ]
    messages += [final, ("user", "Thanks")]
    client.chat(messages)
    assert last_body(server)["messages"][3:] == [
        {"role": "assistant", "content": "21 degrees"},
        {"role": "user", "content": "Thanks"},
    ]


def test_the_raw_answer_is_kept_on_demand(server: Server, client: LlmClient) -> None:
    body = reply({"content": "a"}, system_fingerprint="f")
    server.behaviour(body=body)
    assert client.chat("x", include_raw=True).raw == body
    assert client.chat("x").raw is None
    assert (
        LlmClient(LlmConfig.from_callable(lambda messages: "a")).chat("x", include_raw=True).raw
        is None
    )


def test_both_colours_answer_alike(server: Server, client: LlmClient) -> None:
    async def main() -> LlmResponse:
        future = client.chat_async([("user", "a b")], max_tokens=4, include_raw=True)
        assert asyncio.isfuture(future)
        return await future

    assert asyncio.run(main()) == client.chat("a b", max_tokens=4, include_raw=True)
    one, other = (json.loads(entry["body"]) for entry in server.log())
    assert one == other


def test_a_function_gets_the_options() -> None:
    seen: list[Any] = []

    def answer(messages: list[dict[str, Any]], **options: Any) -> str:
        seen.append((messages, options))
        return "ok"

    LlmClient(LlmConfig.from_callable(answer)).chat(
        [("system", "s"), ("user", "u")], seed=3, stop="x"
    )
    [(messages, options)] = seen
    assert [each["role"] for each in messages] == ["system", "user"]
    assert options == {"seed": 3, "stop": ["x"]}


# what is refused, by the call itself


USER = {"role": "user", "content": "u"}
TURNS: list[tuple[Any, str]] = [
    ([], "field 'messages': Messages list cannot be empty"),
    ("", "field 'messages' with value '': Prompt cannot be empty"),
    ([USER, {"role": "robot", "content": "x"}], r"'messages\[1\].role' with value 'robot'"),
    ([{"content": "x"}], r"'messages\[0\].role': must be 'system'"),
    ([{"role": 5, "content": "x"}], r"'messages\[0\].role'"),
    ([("User", "x")], r"'messages\[0\].role' with value 'User'"),
    ([("user", "x", "y")], r"'messages\[0\]': a tuple must be"),
    ([("tool", "x")], r"'messages\[0\]': a tool's turn needs a mapping"),
    ([["user", "x"]], r"'messages\[0\]': must be a mapping.*not 'list'"),
    ([USER, 7], r"'messages\[1\]': must be a mapping.*not 'int'"),
    ([{"role": "user"}], r"'messages\[0\].content': must be text"),
    ([{"role": "user", "content": None}], r"'messages\[0\].content': must be text"),
    ([{"role": "assistant", "content": None, "tool_calls": []}], r"'messages\[0\].content'"),
    ([{"role": "user", "content": 5}], r"'messages\[0\].content'.*not 'int'"),
    ([("user", b"x")], r"'messages\[0\].content\[0\]'"),
    ([{"role": "user", "content": {"text": "x"}}], r"'messages\[0\].content'.*not 'dict'"),
    (
        [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "x"},
                    {"type": "image_url", "image_url": {"url": "u"}},
                ],
            }
        ],
        r"'messages\[0\].content\[1\].type' with value 'image_url': only parts of type 'text'",
    ),
    ([{"role": "user", "content": [{"type": "text"}]}], r"'messages\[0\].content\[0\].text'"),
    ([{"role": "user", "content": [3]}], r"'messages\[0\].content\[0\]'"),
    ([{"role": "tool", "content": "x"}], r"'messages\[0\].tool_call_id'"),
    ([{"role": "tool", "content": "x", "tool_call_id": 5}], r"'messages\[0\].tool_call_id'"),
    ([{"role": "user", "content": "x", "tool_calls": [CALL]}], r"'messages\[0\].tool_calls'"),
    (
        [{"role": "assistant", "content": "x", "function_call": {}}],
        r"'messages\[0\].function_call'",
    ),
    ([{"role": "assistant", "tool_calls": CALL}], r"'messages\[0\].tool_calls': must be a list"),
    ([{"role": "assistant", "tool_calls": ["x"]}], r"'messages\[0\].tool_calls\[0\]'"),
    ([{"role": "assistant", "tool_calls": [{**CALL, "id": ""}]}], r"tool_calls\[0\].id'"),
    (
        [{"role": "assistant", "tool_calls": [{**CALL, "type": "custom"}]}],
        r"\[0\].type' with value 'custom'",
    ),
    ([{"role": "assistant", "tool_calls": [{"id": "c", "function": {}}]}], r"\[0\].function.name'"),
    ([{"role": "assistant", "tool_calls": [{"id": "c", "function": 5}]}], r"\[0\].function'"),
    (
        [
            {
                "role": "assistant",
                "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {1j}}}],
            }
        ],
        r"\[0\].function.arguments': it must be something that JSON can say",
    ),
]


@pytest.mark.parametrize(("messages", "text"), TURNS)
def test_bad_messages_are_named(
    messages: Any, text: str, server: Server, client: LlmClient
) -> None:
    for method in (client.chat, client.chat_async, client.stream_events):
        with pytest.raises(ValidationError, match=text):
            method(messages)
    assert server.log() == []


OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"tools": [{}]}, r"'tools\[0\].name'"),
    ({"tools": [WEATHER, 5]}, r"'tools\[1\]': must be a mapping or a tool object, not 'int'"),
    ({"tools": [WEATHER, WEATHER]}, r"'tools\[1\].name' with value 'weather': two tools"),
    ({"tools": [{"type": "function", "function": {"name": ""}}]}, r"'tools\[0\].function.name'"),
    ({"tools": [{"type": "web_search"}]}, r"'tools\[0\].type' with value 'web_search'"),
    ({"tools": [{"name": "f", "parameters": "x"}]}, r"'tools\[0\].parameters': must be a mapping"),
    (
        {"tools": [{"name": "f", "parameters": {"x": object()}}]},
        r"'tools\[0\].parameters': it must",
    ),
    ({"tools": [{"name": "f", "description": 5}]}, r"'tools\[0\].description'"),
    ({"tools": [WEATHER], "tool_choice": "any"}, "'tool_choice' with value 'any'"),
    ({"tool_choice": "weather"}, "'tool_choice' with value 'weather'"),
    ({"tool_choice": "required"}, "'tool_choice' with value 'required': there are no tools"),
    ({"tools": [WEATHER], "tool_choice": {"type": "function"}}, "'tool_choice.function.name'"),
    ({"response_format": "xml"}, "'response_format' with value 'xml'"),
    ({"response_format": {}}, "'response_format': must be"),
    ({"response_format": {"type": "json_schema"}}, "'response_format.json_schema'"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}},
        "json_schema.schema'",
    ),
    ({"stop": ["a", ""]}, r"'stop\[1\]'"),
    ({"top_p": 1.5}, "'top_p' with value '1.5': top_p must be between 0.0 and 1.0"),
    ({"top_p": float("nan")}, "'top_p' with value 'NaN'"),
    ({"extra_body": {"x": float("nan")}}, "'extra_body': it must be"),
    ({"max_tokens": 0}, "'max_tokens' with value '0': max_tokens must be greater than 0"),
    ({"max_tokens": 2**32}, "max_tokens is too large"),
    ({"temperature": 2.1}, "temperature must be between 0.0 and 2.0"),
    ({"top_p": 9, "max_tokens": 0}, "top_p"),
    ({"max_tokens": 0, "temperature": 9}, "max_tokens"),
]


@pytest.mark.parametrize(("options", "text"), OPTIONS)
def test_bad_options_are_named(
    options: dict[str, Any], text: str, server: Server, client: LlmClient
) -> None:
    for method in (client.chat, client.chat_async, client.stream_events):
        with pytest.raises(ValidationError, match=text):
            method("x", **options)
    assert server.log() == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"messages": 5},
        {"messages": USER},
        {"messages": LlmResponse("a", "m")},
        {"tools": WEATHER},
        {"tools": "weather"},
        {"tools": 5},
        {"tools": [WEATHER], "tool_choice": 5},
        {"response_format": 5},
        {"stop": 5},
        {"stop": [5]},
        {"seed": 1.5},
        {"seed": "x"},
        {"top_p": "x"},
        {"extra_body": [1]},
        {"include_raw": 1},
        {"unknown": 1},
    ],
)
def test_wrong_types_are_type_errors(arguments: dict[str, Any], client: LlmClient) -> None:
    with pytest.raises(TypeError):
        client.chat(**({"messages": "x"} | arguments))
    with pytest.raises(OverflowError):
        client.chat("x", seed=2**63)


def test_errors_of_the_server_pass_through(server: Server, client: LlmClient) -> None:
    server.behaviour(status=[[400, "bad schema"]])
    with pytest.raises(GraphbitError, match="API error: bad schema"):
        client.chat("x", response_format="json")
    assert client.get_stats()["failed_requests"] == 1


def test_usage_adds_up_over_turns(client: LlmClient) -> None:
    total = LlmUsage.empty()
    for _ in range(3):
        total += client.chat("a b").usage
    assert total.completion_tokens == 9
