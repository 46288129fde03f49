"""A chat model for LangChain.

Messages are text: images, audio and files are refused by name (`ValidationError`), not dropped.
"""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal, cast

from langchain_core.language_models import BaseChatModel, LangSmithParams
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableMap, RunnablePassthrough
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import BaseModel, ConfigDict

from graphbit import LlmClient, encode_tokens
from graphbit.adapters._answers import (
    SIGNATURES,
    call_again,
    call_arguments,
    counted,
    reasoning,
    signatures,
)
from graphbit.adapters._clients import first_config, llm_client, llm_settings, streams
from graphbit.exceptions import ParameterError, ResponseError, ValidationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from langchain_core.callbacks import (
        AsyncCallbackManagerForLLMRun,
        CallbackManagerForLLMRun,
    )
    from langchain_core.language_models import LanguageModelInput
    from langchain_core.messages import InvalidToolCall, ToolCall
    from langchain_core.messages.ai import UsageMetadata
    from langchain_core.runnables import Runnable, RunnableConfig
    from langchain_core.tools import BaseTool

    from graphbit import LlmResponse, LlmUsage, StreamEvent
    from graphbit.adapters._clients import Llm

__all__ = ["ChatGraphbit"]

#: Requests of one batch that are under way at once, as in `LlmClient.complete_many`.
_MAX_CONCURRENCY = 256


class ChatGraphbit(BaseChatModel):
    """Any model that `LlmClient` speaks to.

    Args:
        llm: A configuration, or a client, which is then shared. With a configuration, the keywords of
            `LlmClient` (`retry`, `fallbacks`, `cache`, ...) may follow.

    Keywords of a call (`bind`, `invoke`) are those of `LlmClient.chat`; they win over the fields. What
    the client raises, the model raises.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    llm: LlmClient
    """The client underneath."""
    max_tokens: int | None = None
    """At least 1; default the provider's."""
    temperature: float | None = None
    """0.0 to 2.0; default the provider's."""
    top_p: float | None = None
    """0.0 to 1.0; default the provider's."""
    seed: int | None = None
    """Makes sampling repeatable, where the provider has one."""
    stop: list[str] | None = None
    """Texts that end an answer, unless the call names others."""
    extra_body: dict[str, Any] | None = None
    """Fields added to the request's body."""
    enable_prompt_caching: bool = False
    """Kept for providers that have such a switch."""
    streaming: bool = False
    """Lets `invoke` stream as well, for callbacks that want each token."""

    def __init__(self, llm: Llm, **keywords: Any) -> None:
        settings = llm_settings(keywords)
        fields: dict[str, Any] = {"llm": llm_client(llm, settings), **keywords}
        if not streams(fields["llm"]):
            fields.setdefault("disable_streaming", True)
        super().__init__(**fields)

    @property
    def _llm_type(self) -> str:
        return "graphbit"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        config = first_config(self.llm)
        # Part of the key under which LangChain caches answers: whatever changes an answer belongs here.
        return {"provider": config.provider(), "model": config.model(), **self._fields()}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        config, options = first_config(self.llm), self._options(stop, kwargs)
        params = LangSmithParams(
            ls_provider=config.provider(),
            ls_model_name=kwargs.get("model", config.model()),
            ls_model_type="chat",
        )
        if options.get("temperature") is not None:
            params["ls_temperature"] = options["temperature"]
        if options.get("max_tokens") is not None:
            params["ls_max_tokens"] = options["max_tokens"]
        if options.get("stop"):
            params["ls_stop"] = options["stop"]
        return params

    def _fields(self) -> dict[str, Any]:
        names = ("max_tokens", "temperature", "top_p", "seed", "stop", "extra_body")
        fields = {name: getattr(self, name) for name in names}
        return fields | {"enable_prompt_caching": self.enable_prompt_caching}

    def _options(self, stop: list[str] | None, keywords: dict[str, Any]) -> dict[str, Any]:
        options = self._fields() | keywords
        if stop is not None:
            options["stop"] = stop
        options["stop"] = options["stop"] or None
        return options

    # --- one answer -------------------------------------------------------------------------------

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        *,
        keep_unfit: bool = False,
        **kwargs: Any,
    ) -> ChatResult:
        try:
            answer = self.llm.chat(_turns(messages), **self._options(stop, kwargs))
        except ResponseError as error:
            answer = _kept(error, keep_unfit=keep_unfit)
        return ChatResult(generations=[ChatGeneration(message=_message(answer))])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        *,
        keep_unfit: bool = False,
        **kwargs: Any,
    ) -> ChatResult:
        try:
            answer = await self.llm.chat_async(_turns(messages), **self._options(stop, kwargs))
        except ResponseError as error:
            answer = _kept(error, keep_unfit=keep_unfit)
        return ChatResult(generations=[ChatGeneration(message=_message(answer))])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        *,
        keep_unfit: bool = False,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        try:
            # Leaving the loop early closes the connection.
            with self.llm.stream_events(_turns(messages), **self._options(stop, kwargs)) as events:
                for event in events:
                    yield ChatGenerationChunk(message=_chunk(event))
        except ResponseError as error:
            yield ChatGenerationChunk(message=_last(_kept(error, keep_unfit=keep_unfit)))

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        *,
        keep_unfit: bool = False,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        try:
            events = self.llm.stream_events(_turns(messages), **self._options(stop, kwargs))
            async with events:
                async for event in events:
                    yield ChatGenerationChunk(message=_chunk(event))
        except ResponseError as error:
            yield ChatGenerationChunk(message=_last(_kept(error, keep_unfit=keep_unfit)))

    # --- many answers -----------------------------------------------------------------------------

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """One answer for each input, in order, 256 requests at a time unless `max_concurrency` is set."""
        return super().batch(
            inputs, _bounded(config), return_exceptions=return_exceptions, **kwargs
        )

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """`batch` without blocking."""
        return await super().abatch(
            inputs, _bounded(config), return_exceptions=return_exceptions, **kwargs
        )

    # --- tools and formats ------------------------------------------------------------------------

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """A model that is offered `tools`.

        Args:
            tools: Whatever `convert_to_openai_tool` takes.
            tool_choice: `"auto"`, `"none"`, a tool's name or OpenAI's mapping; `"any"`, `"required"` or
                `True` for one of them, whichever.
            kwargs: Keywords of `LlmClient.chat`.
        """
        offered = [convert_to_openai_tool(tool) for tool in tools]
        if tool_choice is True or tool_choice == "any":
            tool_choice = "required"
        return self.bind(tools=offered, tool_choice=tool_choice or None, **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        method: Literal["json_schema", "json_mode", "function_calling"] = "json_schema",
        include_raw: bool = False,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """A model whose answers are instances of `schema`, or dicts where it is no pydantic class.

        Args:
            schema: A pydantic class, a `TypedDict`, a JSON schema or an OpenAI tool.
            method: How the model is told: as the format of its answer, as any JSON with the schema left
                to the prompt, or as a tool that it must call.
            include_raw: Gives a dict of `raw`, the message, `parsed`, and `parsing_error`, which is not
                raised then.

        Raises:
            ResponseError: From the call, if the answer is no JSON or no instance of the pydantic class;
                `error.response` is that answer. In `json_mode` the shape is left to LangChain's parser.
        """
        if method == "function_calling":
            return super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        if method not in ("json_schema", "json_mode"):
            raise ValidationError(
                f"Validation error: field 'method' with value '{method}': must be one of json_schema, "
                "json_mode, function_calling"
            )
        described = convert_to_json_schema(schema)
        wanted: Any = described if method == "json_schema" else "json"
        parser: Runnable[Any, Any] = JsonOutputParser()
        if isinstance(schema, type) and is_basemodel_subclass(schema):
            parser = cast("Any", PydanticOutputParser)(pydantic_object=schema)
            if method == "json_schema" and issubclass(schema, BaseModel):
                wanted = schema  # the client then says itself what does not fit
        bound = self.bind(
            response_format=wanted,
            ls_structured_output_format={"kwargs": {"method": method}, "schema": described},
            **({"keep_unfit": True} if include_raw else {}),
            **kwargs,
        )
        if not include_raw:
            return bound | parser
        parsed = RunnablePassthrough.assign(
            parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
        )
        unfit = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=bound) | parsed.with_fallbacks(
            [unfit], exception_key="parsing_error"
        )

    def get_token_ids(self, text: str) -> list[int]:
        """The tokens of `text` for OpenAI's models, those of `cl100k_base` as an estimate for others."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        try:
            return encode_tokens(text, first_config(self.llm).model())
        except ParameterError:
            return encode_tokens(text)


def _bounded(
    config: RunnableConfig | list[RunnableConfig] | None,
) -> RunnableConfig | list[RunnableConfig]:
    # LangChain's default is a few threads, which would be idle most of the time, or no bound at all.
    bound: RunnableConfig = {"max_concurrency": _MAX_CONCURRENCY}
    if isinstance(config, list):
        return [{**bound, **each} for each in config]
    return {**bound, **(config or {})}


def _kept(error: ResponseError, *, keep_unfit: bool) -> LlmResponse:
    """The answer that does not fit its format, where a parser is to say so."""
    if keep_unfit and error.response is not None:
        return error.response
    raise error


# --- turns into messages and back -----------------------------------------------------------------


def _turns(messages: Sequence[BaseMessage]) -> list[dict[str, Any]]:
    return [_turn(message) for message in messages]


def _turn(message: BaseMessage) -> dict[str, Any]:
    if isinstance(message, AIMessage):
        # Its other blocks are for people (reasoning) or say again what `tool_calls` say.
        signed = message.additional_kwargs.get(SIGNATURES, {})
        calls = [
            call_again(call["id"] or "", call["name"], call["args"], signed)
            for call in message.tool_calls
        ] + [
            call_again(call["id"] or "", call["name"] or "", call["args"] or "", signed)
            for call in message.invalid_tool_calls
        ]
        turn: dict[str, Any] = {"role": "assistant", "content": str(message.text)}
        return turn | ({"tool_calls": calls} if calls else {})
    content: Any = message.content  # pyright: ignore[reportUnknownMemberType]
    if isinstance(message, ToolMessage):
        return {"role": "tool", "tool_call_id": message.tool_call_id, "content": content}
    if isinstance(message, SystemMessage):
        return {"role": "system", "content": content}
    if isinstance(message, HumanMessage):
        return {"role": "user", "content": content}
    role = message.role if isinstance(message, ChatMessage) else message.type
    return {"role": role, "content": content}


def _message(answer: LlmResponse) -> AIMessage:
    calls: list[ToolCall] = []
    invalid: list[InvalidToolCall] = []
    for call in answer.tool_calls:
        arguments = call_arguments(call)
        if isinstance(arguments, dict):
            calls.append(tool_call(id=call.id, name=call.name, args=arguments))
        else:
            error = "the arguments are no JSON object"
            invalid.append(
                invalid_tool_call(id=call.id, name=call.name, args=arguments, error=error)
            )
    thought = reasoning(answer)
    return AIMessage(
        content=answer.content,
        tool_calls=calls,
        invalid_tool_calls=invalid,
        additional_kwargs=_additional(answer) | ({"reasoning_content": thought} if thought else {}),
        response_metadata=_metadata(answer),
        usage_metadata=_usage(answer.usage),
    )


def _chunk(event: StreamEvent) -> AIMessageChunk:
    if event.type == "text":
        return AIMessageChunk(content=event.text or "")
    if event.type == "reasoning":
        return AIMessageChunk(content="", additional_kwargs={"reasoning_content": event.text})
    if event.type == "tool_call":
        piece = tool_call_chunk(
            id=event.id, name=event.name, args=event.arguments, index=event.index
        )
        return AIMessageChunk(content="", tool_call_chunks=[piece])
    return AIMessageChunk(content="") if event.response is None else _last(event.response)


def _last(answer: LlmResponse) -> AIMessageChunk:
    return AIMessageChunk(
        content="",
        additional_kwargs=_additional(answer),
        response_metadata=_metadata(answer),
        usage_metadata=_usage(answer.usage),
        chunk_position="last",
    )


def _additional(answer: LlmResponse) -> dict[str, Any]:
    signed = signatures(answer)
    return {SIGNATURES: signed} if signed else {}


def _metadata(answer: LlmResponse) -> dict[str, Any]:
    told = {
        "model_name": answer.model,
        "provider": answer.provider,
        "finish_reason": answer.finish_reason.to_string(),
        "id": answer.id,
        "cost": answer.cost,
    }
    return {name: value for name, value in told.items() if value is not None}


def _usage(usage: LlmUsage) -> UsageMetadata | None:
    if counted(usage) is None:
        return None
    metadata: Any = {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    if usage.cache_read_tokens is not None or usage.cache_creation_tokens is not None:
        metadata["input_token_details"] = {
            "cache_read": usage.cache_read_tokens or 0,
            "cache_creation": usage.cache_creation_tokens or 0,
        }
    if usage.reasoning_tokens is not None:
        metadata["output_token_details"] = {"reasoning": usage.reasoning_tokens}
    return metadata
