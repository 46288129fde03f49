"""Chat models."""

from __future__ import annotations

from typing import Any

from graphbit.providers._answers import output_content
from graphbit.providers._library import imported
from graphbit.providers.litellm._calls import arguments, failing_as

__all__ = ["LiteLLMLLM"]

completion = imported("litellm", "completion", extra="litellm")


class LiteLLMLLM:
    """Chat completions. Without a key litellm reads the service's environment variable.

    Attributes:
        api_key: The key, or None.
        config: Further arguments of the constructor, which are passed to every call.
    """

    def __init__(self, api_key: str | None = None, **kwargs: Any) -> None:
        self.api_key = api_key
        self.config = kwargs

    def chat(  # noqa: PLR0917 - GraphBit's signature
        self,
        model: str,
        messages: list[dict[str, Any]],
        temperature: float | None = None,
        max_tokens: int | None = None,
        top_p: float | None = None,
        stream: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Return the result of `litellm.completion`: its response, or with ``stream`` an iterator.

        Args:
            model: litellm's name for it, such as ``"anthropic/claude-sonnet-4-5"``.
            messages: In OpenAI's shape.
            temperature: Sent when given, as the next two are.
            max_tokens: Upper bound on generated tokens.
            top_p: Nucleus sampling mass.
            stream: Return an iterator over pieces.
            kwargs: Anything else `litellm.completion` takes; wins over the constructor's.

        Raises:
            Exception: ``LiteLLM completion failed: ...``, without the key, from litellm's own error.
        """
        given = {
            "temperature": temperature,
            "max_tokens": max_tokens,
            "top_p": top_p,
            "stream": stream or None,
        }
        call = arguments(self.api_key, self.config, given, kwargs)
        with failing_as("LiteLLM completion failed: ", call.get("api_key")):
            return completion(model=model, messages=messages, **call)

    def get_output_content(self, response: Any) -> Any:
        """Return the text of the first choice of what `chat` returned, an object or a mapping.

        Raises:
            Exception: ``Failed to extract content from response: ...``
        """
        with failing_as("Failed to extract content from response: ", self.api_key):
            return output_content(response)
