"""Providers on the simulator and small waits, shared by the tests of LLM clients."""

from __future__ import annotations

import time
from typing import Any

from graphbit import LlmConfig
from simulator import Server

CORE = "Core error: LLM provider error: "
KEY = "sk-0123456789abcdef0123"
ECHO = "echo: "  # the simulator answers with the last user message behind this
KINDS = [
    "openai",
    "openai-responses",
    "anthropic",
    "azure-chat",
    "azure-responses",
    "gemini",
    "ollama",
    "compatible",
]


def config(kind: str, server: Server, **extra: Any) -> LlmConfig:
    if kind == "openai":
        return LlmConfig.openai(KEY, "m", base_url=server.openai_url, **extra)
    if kind == "anthropic":
        return LlmConfig.anthropic(KEY, "m", base_url=server.base_url, **extra)
    if kind == "openai-responses":
        return LlmConfig.openai(KEY, "m", api="responses", base_url=server.openai_url, **extra)
    if kind == "replicate":
        return LlmConfig.replicate(KEY, base_url=server.openai_url, **extra)
    if kind == "azure-chat":
        return LlmConfig.azurellm(KEY, "prod-chat", server.base_url + "//", **extra)
    if kind == "azure-responses":
        return LlmConfig.azurellm(KEY, "gpt-4o", server.base_url, **extra)
    if kind == "gemini":
        return LlmConfig.gemini(KEY, "m", base_url=server.base_url + "/v1beta", **extra)
    if kind == "ollama":
        return LlmConfig.ollama(base_url=server.base_url, **extra)
    return LlmConfig.openai_compatible(server.openai_url, "m", **extra)


def wait_until(condition: Any, seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.01)
