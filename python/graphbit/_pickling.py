"""Makes configurations again from what their pickles hold.

A pickle names a constructor and its keywords. The key is not among them, unless the configuration was
made by ``with_portable_key()``: it is read from the environment of the process that unpickles.
"""

from __future__ import annotations

import os
from typing import Any

from graphbit._graphbit import EmbeddingConfig, LlmConfig
from graphbit.exceptions import ConfigurationError


def embedding_config(settings: dict[str, Any]) -> EmbeddingConfig:
    """Call the constructor that ``settings`` names with the rest of it as keywords."""
    config: EmbeddingConfig = _made_again(EmbeddingConfig, settings)
    return config


def llm_config(settings: dict[str, Any]) -> LlmConfig:
    """Call the constructor that ``settings`` names with the rest of it as keywords."""
    config: LlmConfig = _made_again(LlmConfig, settings)
    return config


def _made_again(kind: type, settings: dict[str, Any]) -> Any:
    keywords = dict(settings)
    constructor = keywords.pop("constructor")
    portable = keywords.pop("portable", False)
    variables = keywords.pop("key_variables", None)
    if variables is not None:
        keywords["api_key"] = _key(kind, constructor, variables)
    config = getattr(kind, constructor)(**keywords)
    return config.with_portable_key() if portable else config


def _key(kind: type, constructor: str, variables: list[str]) -> str:
    for name in variables:
        if key := os.environ.get(name, "").strip():
            return key
    raise ConfigurationError(
        f"Configuration error: set {' or '.join(variables)} to unpickle an {kind.__name__} of "
        f"{constructor}, or pickle config.with_portable_key()"
    )
