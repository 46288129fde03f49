"""Makes an `EmbeddingConfig` again from what its pickle holds.

A pickle names a constructor and its keywords. The key is not among them, unless the configuration was
made by ``with_portable_key()``: it is read from the environment of the process that unpickles.
"""

from __future__ import annotations

import os
from typing import Any

from graphbit._graphbit import EmbeddingConfig
from graphbit.exceptions import ConfigurationError


def embedding_config(settings: dict[str, Any]) -> EmbeddingConfig:
    """Call the constructor that ``settings`` names with the rest of it as keywords."""
    keywords = dict(settings)
    constructor = keywords.pop("constructor")
    portable = keywords.pop("portable", False)
    variables = keywords.pop("key_variables", None)
    if variables is not None:
        keywords["api_key"] = _key(constructor, variables)
    config: EmbeddingConfig = getattr(EmbeddingConfig, constructor)(**keywords)
    return config.with_portable_key() if portable else config


def _key(provider: str, variables: list[str]) -> str:
    for name in variables:
        if key := os.environ.get(name):
            return key
    raise ConfigurationError(
        f"Configuration error: set {variables[0]} to unpickle an EmbeddingConfig of {provider}, "
        "or pickle config.with_portable_key()"
    )
