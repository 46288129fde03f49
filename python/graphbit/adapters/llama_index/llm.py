"""A language model for LlamaIndex, which can call functions.

Messages are text: images, audio and files are refused by name (`ValidationError`), not dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

from llama_index.core.base.llms.generic_utils import (
    achat_to_completion_decorator,
    astream_chat_to_completion_decorator,
    chat_to_completion_decorator,
    stream_chat_to_completion_decorator,
)
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    ContentBlock,
    LLMMetadata,
    MessageRole,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.constants import DEFAULT_CONTEXT_WINDOW, DEFAULT_NUM_OUTPUTS
from llama_index.core.llms import callbacks
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from pydantic import Field, PlainSerializer

from graphbit import LlmClient, LlmToolCall
from graphbit.adapters._answers import (
    SIGNATURES,
    call_again,
    call_arguments,
    counted,
    reasoning,
    signatures,
)
from graphbit.adapters._clients import first_config, llm_client, llm_settings, streams, to_data

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from llama_index.core.tools.types import BaseTool

    from graphbit import LlmResponse, StreamEvent
    from graphbit.adapters._clients import Llm

__all__ = ["GraphbitLLM"]

_Method = TypeVar("_Method", bound="Callable[..., Any]")


# LlamaIndex types what its decorators return as "some callable"; they keep the method's signature.
def _told_as_chat(method: _Method) -> _Method:
    return cast("Any", callbacks).llm_chat_callback()(method)


def _told_as_completion(method: _Method) -> _Method:
    return cast("Any", callbacks).llm_completion_callback()(method)


class GraphbitLLM(FunctionCallingLLM):
    """Any model that `LlmClient` speaks to.

    Args:
        llm: A configuration, or a client, which is then shared. With a configuration, the keywords of
            `LlmClient` (`retry`, `fallbacks`, `cache`, ...) may follow. Saved without the key, which is
            read from the environment where it is loaded.

    Keywords of a call are those of `LlmClient.chat`; they win over the fields. What the client raises,
    the model raises.
    """

    llm: Annotated[LlmClient, PlainSerializer(to_data)]
    """The client underneath."""
    max_tokens: int | None = None
    """At least 1; default the provider's."""
    temperature: float | None = None
    """0.0 to 2.0; default the provider's."""
    context_window: int = DEFAULT_CONTEXT_WINDOW
    """Tokens of a request and its answer together. No provider tells: set what your model has."""
    is_function_calling_model: bool = True
    """Whether agents may offer tools to it."""
    additional_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Further keywords of `LlmClient.chat`, such as `seed`, `stop` or `extra_body`."""

    def __init__(self, llm: Llm, **keywords: Any) -> None:
        settings = llm_settings(keywords)
        super().__init__(llm=llm_client(llm, settings), **keywords)

    @classmethod
    def class_name(cls) -> str:
        """The name in saved data."""
        return "GraphbitLLM"

    @property
    def metadata(self) -> LLMMetadata:
        """What LlamaIndex plans with."""
        return LLMMetadata(
            context_window=self.context_window,
            num_output=self.max_tokens or DEFAULT_NUM_OUTPUTS,
            is_chat_model=True,
            is_function_calling_model=self.is_function_calling_model,
            model_name=first_config(self.llm).model(),
        )

    def _options(self, keywords: dict[str, Any]) -> dict[str, Any]:
        fields = {"max_tokens": self.max_tokens, "temperature": self.temperature}
        return fields | self.additional_kwargs | keywords

    # --- conversations ----------------------------------------------------------------------------

    @_told_as_chat
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """One answer."""
        return _response(self.llm.chat(_turns(messages), **self._options(kwargs)))

    @_told_as_chat
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        """`chat` without blocking."""
        return _response(await self.llm.chat_async(_turns(messages), **self._options(kwargs)))

    @_told_as_chat
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        """The answer so far, each time a piece has arrived; a whole one where there are no pieces."""
        turns, options = _turns(messages), self._options(kwargs)

        def pieces() -> ChatResponseGen:
            if not streams(self.llm):
                yield _response(self.llm.chat(turns, **options), whole=True)
                return
            with self.llm.stream_events(turns, **options) as events:
                so_far = _Growing()
                for event in events:
                    yield so_far.heard(event)

        return pieces()

    @_told_as_chat
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        """`stream_chat` without blocking."""
        turns, options = _turns(messages), self._options(kwargs)

        async def pieces() -> ChatResponseAsyncGen:
            if not streams(self.llm):
                yield _response(await self.llm.chat_async(turns, **options), whole=True)
                return
            async with self.llm.stream_events(turns, **options) as events:
                so_far = _Growing()
                async for event in events:
                    yield so_far.heard(event)

        return pieces()

    # --- single prompts ---------------------------------------------------------------------------

    @_told_as_completion
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """One answer to one prompt."""
        return chat_to_completion_decorator(self.chat)(prompt, **kwargs)

    @_told_as_completion
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        """`complete` without blocking."""
        return await achat_to_completion_decorator(self.achat)(prompt, **kwargs)

    @_told_as_completion
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        """The answer to one prompt so far, each time a piece has arrived."""
        return stream_chat_to_completion_decorator(self.stream_chat)(prompt, **kwargs)

    @_told_as_completion
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        """`stream_complete` without blocking."""
        return await astream_chat_to_completion_decorator(self.astream_chat)(prompt, **kwargs)

    # --- tools ------------------------------------------------------------------------------------

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: str | dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        messages = list(chat_history or [])
        if user_msg is not None:
            said = ChatMessage(user_msg) if isinstance(user_msg, str) else user_msg
            messages.append(said)
        offered = [tool.metadata.to_openai_tool(skip_length_check=True) for tool in tools]
        choice = tool_choice or ("required" if tool_required else None)
        given = {"messages": messages, **kwargs}
        return given | ({"tools": offered, "tool_choice": choice} if offered else {})

    def _validate_chat_with_tools_response(
        self,
        response: ChatResponse,
        tools: Sequence[BaseTool],
        allow_parallel_tool_calls: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        if not allow_parallel_tool_calls:
            calls = [each for each in response.message.blocks if isinstance(each, ToolCallBlock)]
            dropped = {id(call) for call in calls[1:]}
            response.message.blocks = [
                block for block in response.message.blocks if id(block) not in dropped
            ]
        return response

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """The calls of an answer, with the arguments the model wrote; none of them is made here.

        Raises:
            ValueError: There are none, unless `error_on_no_tool_call` is false.
        """
        calls = [each for each in response.message.blocks if isinstance(each, ToolCallBlock)]
        if not calls and error_on_no_tool_call:
            raise ValueError(f"the answer calls no tool: {response.message.content!r}")
        return [
            ToolSelection(
                tool_id=call.tool_call_id or "",
                tool_name=call.tool_name,
                tool_kwargs=call.tool_kwargs if isinstance(call.tool_kwargs, dict) else {},
            )
            for call in calls
        ]


# --- turns into messages and back -----------------------------------------------------------------


def _turns(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    return [_turn(message) for message in messages]


def _turn(message: ChatMessage) -> dict[str, Any]:
    signed = message.additional_kwargs.get(SIGNATURES, {})
    calls: list[LlmToolCall] = []
    content: list[dict[str, Any]] = []
    for block in message.blocks:
        if isinstance(block, ToolCallBlock):
            calls.append(
                call_again(block.tool_call_id or "", block.tool_name, block.tool_kwargs, signed)
            )
        elif isinstance(block, TextBlock):
            content.append({"type": "text", "text": block.text})
        elif not isinstance(block, ThinkingBlock):
            # Handed on as what it is, so that the client names it in its refusal.
            content.append({"type": block.block_type})
    turn: dict[str, Any] = {
        "role": _ROLES.get(message.role, message.role.value),
        "content": content,
    }
    if calls:
        turn["tool_calls"] = calls
    if message.role in (MessageRole.TOOL, MessageRole.FUNCTION):
        turn["tool_call_id"] = message.additional_kwargs.get("tool_call_id")
    return turn


_ROLES = {
    MessageRole.FUNCTION: "tool",
    MessageRole.CHATBOT: "assistant",
    MessageRole.MODEL: "assistant",
}


def _response(answer: LlmResponse, *, whole: bool = False) -> ChatResponse:
    usage = counted(answer.usage)
    return ChatResponse(
        message=_message(answer.content, reasoning(answer), answer.tool_calls, signatures(answer)),
        raw=answer.raw if answer.raw is not None else answer.to_dict(),
        delta=answer.content if whole else None,
        additional_kwargs={}
        if usage is None
        else {
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total_tokens,
        },
    )


def _message(
    text: str, thought: str | None, calls: Sequence[LlmToolCall], signed: dict[str, str]
) -> ChatMessage:
    blocks: list[ContentBlock] = []
    if thought:
        blocks.append(ThinkingBlock(content=thought))
    if text or not calls:
        blocks.append(TextBlock(text=text))
    blocks.extend(
        ToolCallBlock(tool_call_id=call.id, tool_name=call.name, tool_kwargs=call_arguments(call))
        for call in calls
    )
    return ChatMessage(
        role=MessageRole.ASSISTANT,
        blocks=blocks,
        additional_kwargs={SIGNATURES: signed} if signed else {},
    )


class _Growing:
    """An answer that is on its way. Calls of tools are told by the last event, when they are whole."""

    def __init__(self) -> None:
        self._text = ""
        self._thought = ""

    def heard(self, event: StreamEvent) -> ChatResponse:
        if event.response is not None:
            response = _response(event.response)
            response.delta = ""
            return response
        piece = event.text or ""
        if event.type == "text":
            self._text += piece
        elif event.type == "reasoning":
            self._thought += piece
        return ChatResponse(
            message=_message(self._text, self._thought, [], {}),
            delta=piece if event.type == "text" else "",
            additional_kwargs={"thinking_delta": piece} if event.type == "reasoning" else {},
        )
