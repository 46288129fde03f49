"""Clients for other people's Python libraries: `Huggingface` over huggingface_hub, `Litellm` over litellm.

Each needs its own library only, and imports it when it is first asked for::

    from graphbit.providers import Huggingface

Without the library that line raises `ImportError` and says what to install. `LlmConfig.huggingface`,
`LlmConfig.litellm` and their counterparts in `EmbeddingConfig` put the same classes behind a client.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphbit.providers import huggingface as huggingface
    from graphbit.providers import litellm as litellm
    from graphbit.providers.huggingface import Huggingface as Huggingface
    from graphbit.providers.litellm import Litellm as Litellm
else:
    import importlib
    import importlib.util
    import sys

    # The library that each name stands on.
    _LIBRARIES = {
        "Huggingface": "huggingface_hub",
        "Litellm": "litellm",
        "huggingface": "huggingface_hub",
        "litellm": "litellm",
    }

    # Unseen by type checkers: they would take any name for one that this function finds.
    def __getattr__(name: str) -> object:
        if name not in _LIBRARIES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = importlib.import_module(f"{__name__}.{name.lower()}")
        return module if name.islower() else getattr(module, name)

    def __dir__() -> list[str]:
        # Only what can be had: whoever walks over a module gets every name that it lists.
        found = {name for name, library in _LIBRARIES.items() if _is_there(library)}
        return sorted({*globals(), *found})

    def _is_there(library: str) -> bool:
        if library in sys.modules:
            return sys.modules[library] is not None
        return importlib.util.find_spec(library) is not None


__all__ = ["Huggingface", "Litellm"]
