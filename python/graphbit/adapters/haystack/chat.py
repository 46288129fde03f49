"""A chat generator for Haystack.

Messages are text: images and files are refused by name (`ValidationError`), not dropped.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, cast

from haystack import component, default_from_dict, default_to_dict, logging, utils
from haystack.dataclasses import (
    ChatMessage,
    ComponentInfo,
    StreamingChunk,
    TextContent,
    ToolCall,
    ToolCallDelta,
    select_streaming_callback,
)
from haystack.dataclasses.chat_message import ReasoningContent
from haystack.dataclasses.streaming_chunk import StreamingCallbackT
from haystack.tools import (
    ToolsType,
    deserialize_tools_or_toolset_inplace,
    flatten_tools_or_toolsets,
    serialize_tools_or_toolset,
    warm_up_tools,
)

from graphbit.adapters._answers import (
    call_again,
    call_arguments,
    counted,
    reasoning,
    signatures,
)
from graphbit.adapters._clients import first_config, llm_client, streams, to_data

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self, Unpack

    from graphbit import LlmClient, LlmResponse, StreamEvent
    from graphbit.adapters._clients import Llm, LlmSettings

__all__ = ["GraphbitChatGenerator"]

# Their callables are bare, so their types are not known in part.
_utils = cast("Any", utils)

_log = logging.getLogger(__name__)

#: The entry of `ToolCall.extra` that the provider wants back with the call.
_SIGNATURE = "thought_signature"


@component
class GraphbitChatGenerator:
    """Any model that `LlmClient` speaks to.

    Args:
        llm: A configuration, or a client, which is then shared. Saved without the key, which is read from
            the environment where the pipeline is loaded.
        generation_kwargs: Keywords of `LlmClient.chat`, such as `temperature`, `max_tokens` or
            `response_format`; those of a run win over them, one by one.
        streaming_callback: Told each piece of an answer as it arrives.
        tools: What the model may call.
        settings: The keywords of `LlmClient`, such as `retry`, `fallbacks` or `cache`.

    What the client raises, a run raises.

    Attributes:
        client: The client underneath.
    """

    client: LlmClient

    def __init__(
        self,
        llm: Llm | dict[str, Any],
        *,
        generation_kwargs: dict[str, Any] | None = None,
        streaming_callback: StreamingCallbackT | None = None,
        tools: ToolsType | None = None,
        **settings: Unpack[LlmSettings],
    ) -> None:
        self.client = llm_client(llm, settings)
        self.generation_kwargs = generation_kwargs or {}
        self.streaming_callback = streaming_callback
        self.tools = tools

    def warm_up(self) -> None:
        """Prepare the tools that want it; the model needs nothing."""
        warm_up_tools(self.tools)

    def to_dict(self) -> dict[str, Any]:
        """The component as JSON, without the key; a pydantic `response_format` becomes its schema."""
        keywords = dict(self.generation_kwargs)
        described = getattr(keywords.get("response_format"), "model_json_schema", None)
        if described is not None:
            keywords["response_format"] = described()
        callback = self.streaming_callback
        return default_to_dict(
            self,
            llm=to_data(self.client),
            generation_kwargs=keywords,
            streaming_callback=None if callback is None else _utils.serialize_callable(callback),
            tools=serialize_tools_or_toolset(self.tools),
        )

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The component that `to_dict` described."""
        given = data["init_parameters"] = dict(data.get("init_parameters", {}))
        deserialize_tools_or_toolset_inplace(given, key="tools")
        if given.get("streaming_callback"):
            given["streaming_callback"] = _utils.deserialize_callable(given["streaming_callback"])
        return default_from_dict(cls, data)

    @component.output_types(replies=list[ChatMessage])
    def run(
        self,
        messages: list[ChatMessage] | str,
        streaming_callback: StreamingCallbackT | None = None,
        generation_kwargs: dict[str, Any] | None = None,
        *,
        tools: ToolsType | None = None,
    ) -> dict[str, list[ChatMessage]]:
        """Give one answer as `replies`; none for no messages."""
        callback = select_streaming_callback(
            self.streaming_callback, streaming_callback, requires_async=False
        )
        turns, options = _turns(messages), self._options(generation_kwargs, tools)
        if not turns:
            return {"replies": []}
        if callback is None or not streams(self.client):
            return {"replies": [_message(self.client.chat(turns, **options))]}
        with self.client.stream_events(turns, **options) as events:
            pieces = _Pieces(ComponentInfo.from_component(self), first_config(self.client).model())
            for event in events:
                callback(pieces.piece(event))
        return {"replies": [_message(_whole(events.response))]}

    @component.output_types(replies=list[ChatMessage])
    async def run_async(
        self,
        messages: list[ChatMessage] | str,
        streaming_callback: StreamingCallbackT | None = None,
        generation_kwargs: dict[str, Any] | None = None,
        *,
        tools: ToolsType | None = None,
    ) -> dict[str, list[ChatMessage]]:
        """`run` without blocking. A callback that is a coroutine function is awaited."""
        callback = select_streaming_callback(
            self.streaming_callback, streaming_callback, requires_async=True
        )
        turns, options = _turns(messages), self._options(generation_kwargs, tools)
        if not turns:
            return {"replies": []}
        if callback is None or not streams(self.client):
            return {"replies": [_message(await self.client.chat_async(turns, **options))]}
        async with self.client.stream_events(turns, **options) as events:
            pieces = _Pieces(ComponentInfo.from_component(self), first_config(self.client).model())
            async for event in events:
                told = callback(pieces.piece(event))
                if inspect.isawaitable(told):
                    await told
        return {"replies": [_message(_whole(events.response))]}

    def _options(self, keywords: dict[str, Any] | None, tools: ToolsType | None) -> dict[str, Any]:
        offered = flatten_tools_or_toolsets(tools if tools is not None else self.tools)
        options = self.generation_kwargs | (keywords or {})
        return options | ({"tools": [tool.tool_spec for tool in offered]} if offered else {})


def _whole(answer: LlmResponse | None) -> LlmResponse:
    # A stream that ends without an answer has raised.
    if answer is None:
        raise RuntimeError("the stream has not ended")
    return answer


# --- turns into messages and back -----------------------------------------------------------------


def _turns(messages: Sequence[ChatMessage] | str) -> list[dict[str, Any]]:
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    return [turn for message in messages for turn in _turns_of(message)]


def _turns_of(message: ChatMessage) -> list[dict[str, Any]]:
    if message.tool_call_results:
        return [
            {"role": "tool", "tool_call_id": told.origin.id, "content": _content(told.result)}
            for told in message.tool_call_results
        ]
    refused = [{"type": "image"} for _ in message.images] + [
        {"type": "file"} for _ in message.files
    ]
    texts = [{"type": "text", "text": text} for text in message.texts]
    turn: dict[str, Any] = {"role": message.role.value, "content": texts + refused}
    calls = [
        call_again(
            call.id or "",
            call.tool_name,
            call.arguments,
            {call.id or "": (call.extra or {})[_SIGNATURE]}
            if _SIGNATURE in (call.extra or {})
            else {},
        )
        for call in message.tool_calls
    ]
    return [turn | ({"tool_calls": calls} if calls else {})]


def _content(result: Any) -> Any:
    if isinstance(result, str):
        return result
    return [
        {"type": "text", "text": part.text} if isinstance(part, TextContent) else {"type": "image"}
        for part in result
    ]


def _message(answer: LlmResponse) -> ChatMessage:
    signed = signatures(answer)
    calls: list[ToolCall] = []
    for call in answer.tool_calls:
        arguments = call_arguments(call)
        if not isinstance(arguments, dict):
            # There is no place in a ToolCall for what cannot be read.
            _log.warning(
                "The model called {tool} with arguments that are no JSON object; the call is left out: "
                "{arguments}",
                tool=call.name,
                arguments=arguments,
            )
            continue
        extra = {_SIGNATURE: signed[call.id]} if call.id in signed else None
        calls.append(ToolCall(id=call.id, tool_name=call.name, arguments=arguments, extra=extra))
    return ChatMessage.from_assistant(
        text=answer.content or (None if calls else ""),
        tool_calls=calls,
        reasoning=reasoning(answer),
        meta=_meta(answer),
    )


def _meta(answer: LlmResponse) -> dict[str, Any]:
    usage = counted(answer.usage)
    return {
        "model": answer.model,
        "index": 0,
        "finish_reason": answer.finish_reason.to_string(),
        "usage": None if usage is None else usage.to_dict(),
    }


class _Pieces:
    """Events as the chunks that callbacks know, blocks numbered in the order of their beginning."""

    def __init__(self, teller: ComponentInfo, model: str) -> None:
        self._teller = teller
        self._model = model
        self._blocks: dict[tuple[str, int | None], int] = {}

    def piece(self, event: StreamEvent) -> StreamingChunk:
        if event.response is not None:
            reason = event.response.finish_reason.to_string()
            known: Any = reason if reason in _REASONS else None
            return StreamingChunk(
                content="",
                meta=_meta(event.response),
                component_info=self._teller,
                finish_reason=known,
            )
        block = (event.type, event.index)
        begins = block not in self._blocks
        number = self._blocks.setdefault(block, len(self._blocks))
        return StreamingChunk(
            content=event.text or "" if event.type == "text" else "",
            meta={"model": self._model},
            component_info=self._teller,
            index=number,
            start=begins,
            reasoning=ReasoningContent(event.text or "") if event.type == "reasoning" else None,
            tool_calls=[
                ToolCallDelta(
                    index=event.index or 0,
                    tool_name=event.name,
                    arguments=event.arguments,
                    id=event.id,
                )
            ]
            if event.type == "tool_call"
            else None,
        )


_REASONS = ("stop", "length", "tool_calls", "content_filter")
