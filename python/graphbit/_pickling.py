"""Makes configurations again from what their pickles hold.

A pickle names a constructor and its keywords. The key is not among them, unless the configuration was
made by ``with_portable_key()``: it is read from the environment of the process that unpickles.

What one version has written, a later one reads: entries that it does not know are passed over.
"""

from __future__ import annotations

import inspect
import os
from typing import Any

from graphbit._graphbit import EmbeddingConfig, GuardRailPolicyConfig, LlmConfig
from graphbit.exceptions import ConfigurationError

#: Grows when an older version would misread a newer dict; one without the entry has format 1.
FORMAT = 1


def embedding_config(settings: dict[str, Any]) -> EmbeddingConfig:
    """Call the constructor that ``settings`` names with the rest of it as keywords."""
    config: EmbeddingConfig = _made_again(EmbeddingConfig, settings)
    return config


def llm_config(settings: dict[str, Any]) -> LlmConfig:
    """Call the constructor that ``settings`` names with the rest of it as keywords."""
    config: LlmConfig = _made_again(LlmConfig, settings)
    return config


def guard_rail_policy(document: str) -> GuardRailPolicyConfig:
    """Read the policy that ``document`` holds as JSON."""
    return GuardRailPolicyConfig.from_json(document)


def _made_again(kind: type, settings: dict[str, Any]) -> Any:
    keywords = dict(settings)
    written = keywords.pop("format", FORMAT)
    if written != FORMAT:
        raise ConfigurationError(
            f"Configuration error: this pickle of an {kind.__name__} has format {written}, "
            f"and this version of graphbit reads format {FORMAT}"
        )
    constructor = keywords.pop("constructor")
    portable = keywords.pop("portable", False)
    variables = keywords.pop("key_variables", None)
    if variables is not None:
        keywords["api_key"] = _key(kind, constructor, variables)
    make = getattr(kind, constructor)
    known = inspect.signature(make).parameters
    config = make(**{name: value for name, value in keywords.items() if name in known})
    return config.with_portable_key() if portable else config


def _key(kind: type, constructor: str, variables: list[str]) -> str:
    for name in variables:
        if key := os.environ.get(name, "").strip():
            return key
    raise ConfigurationError(
        f"Configuration error: set {' or '.join(variables)} to unpickle an {kind.__name__} of "
        f"{constructor}, or pickle config.with_portable_key()"
    )
