"""The face of the package: names, versions, and no work at import."""

from __future__ import annotations

import ast
import asyncio
import importlib.metadata
import inspect
import re
from pathlib import Path
from typing import Any

import graphbit
import pytest
from graphbit import stores

ROOT = Path(__file__).resolve().parents[2]

# What GraphBit 0.6.8 exports and this version has too.
SHARED = [
    "CharacterSplitter",
    "DocumentContent",
    "DocumentLoader",
    "DocumentLoaderConfig",
    "EmbeddingClient",
    "EmbeddingConfig",
    "FinishReason",
    "LlmClient",
    "LlmConfig",
    "LlmResponse",
    "LlmToolCall",
    "LlmUsage",
    "RecursiveSplitter",
    "SentenceSplitter",
    "TextChunk",
    "TextSplitter",
    "TextSplitterConfig",
    "TokenSplitter",
    "configure_runtime",
    "get_system_info",
    "health_check",
    "init",
    "shutdown",
    "version",
]


def test_every_exported_name_exists_once() -> None:
    assert len(set(graphbit.__all__)) == len(graphbit.__all__)
    for name in graphbit.__all__:
        assert getattr(graphbit, name) is not None, name
    assert set(SHARED) <= set(graphbit.__all__)


def test_the_version_is_one() -> None:
    manifest = (ROOT / "Cargo.toml").read_text(encoding="utf-8")
    declared = re.search(r'^version = "(.+)"$', manifest, re.MULTILINE)
    assert declared is not None
    assert graphbit.__version__ == graphbit.version() == declared[1]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## {declared[1]}" in changelog


def test_the_wheel_needs_only_numpy() -> None:
    try:
        metadata = importlib.metadata.metadata("graphbit")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("not installed, imported from its source folder")
    assert metadata["Version"] == graphbit.version()
    assert metadata["License-Expression"] == "Apache-2.0"
    required = [need for need in metadata.get_all("Requires-Dist", []) if "extra ==" not in need]
    assert required == ["numpy>=1.24"]


def test_the_native_module_is_importable_by_its_old_name() -> None:
    import graphbit.graphbit as old

    for name in SHARED:
        assert getattr(old, name) is getattr(graphbit, name), name


def test_native_classes_say_where_they_live() -> None:
    for name in graphbit.__all__:
        thing = getattr(graphbit, name)
        if isinstance(thing, type):
            assert thing.__module__ in {"graphbit", "graphbit.exceptions", "graphbit.resilience"}, (
                name
            )
            assert thing.__doc__, name


def test_importing_starts_nothing(run_child: Any) -> None:
    child = run_child(
        """
        import sys, threading
        before = set(sys.modules)
        import graphbit
        assert graphbit.get_system_info()["runtime_initialized"] is False
        assert threading.active_count() == 1
        if sys.platform == "linux":
            import os
            assert len(os.listdir("/proc/self/task")) == 1, os.listdir("/proc/self/task")
        heavy = {"numpy", "asyncio", "wordllama", "onnxruntime", "logging"} & (set(sys.modules) - before)
        assert not heavy, heavy
        """
    )
    assert (child.returncode, child.stderr) == (0, "")


def test_async_twins_take_what_their_verbs_take() -> None:
    checked = 0
    for class_name in (
        "LlmClient",
        "EmbeddingClient",
        "ParallelRAG",
        "DocumentLoader",
        "MemoryClient",
    ):
        cls = getattr(graphbit, class_name)
        for name in dir(cls):
            if name.endswith("_async") and not name.startswith("_"):
                verb = getattr(cls, name.removesuffix("_async"))
                assert inspect.signature(verb) == inspect.signature(getattr(cls, name)), name
                checked += 1
    assert checked >= 8


def test_waiting_verbs_have_both_colours() -> None:
    for cls, verbs in {
        graphbit.LlmClient: ("complete", "complete_full", "complete_many", "chat"),
        graphbit.EmbeddingClient: ("embed", "embed_many", "embed_array"),
        graphbit.ParallelRAG: ("ingest", "ask", "search"),
        graphbit.DocumentLoader: ("load_document", "load_many"),
        graphbit.MemoryClient: (
            "add",
            "search",
            "get",
            "get_all",
            "update",
            "delete",
            "delete_all",
            "history",
        ),
    }.items():
        for verb in verbs:
            assert callable(getattr(cls, verb)), verb
            assert callable(getattr(cls, f"{verb}_async")), verb


def test_the_stub_names_what_the_package_exports() -> None:
    stub = ast.parse((ROOT / "python/graphbit/_graphbit.pyi").read_text(encoding="utf-8"))
    kinds = (ast.ClassDef, ast.FunctionDef)
    named = {node.name for node in stub.body if isinstance(node, kinds)}
    exported = {name for name in graphbit.__all__ if not name.startswith("_")}
    own = {"exceptions", "GraphbitError", *graphbit._lazy.NAMES}
    public = {name for name in named if not name.startswith("_")}
    # Iterators are obtained from a client only, as in GraphBit; the others are for the package's own use.
    internal = {
        "EventIterator",
        "PreparedSettings",
        "StreamIterator",
        "prepare_settings",
        "without_key",
    }
    assert public - internal - set(stores.__all__) == exported - own


def test_async_verbs_need_a_running_loop() -> None:
    client = graphbit.LlmClient(graphbit.LlmConfig.from_callable(lambda messages: "HERON"))
    with pytest.raises(RuntimeError, match="no running event loop"):
        client.complete_async("heron")

    async def run() -> str:
        future = client.complete_async("heron")
        assert asyncio.isfuture(future)
        return await future

    assert asyncio.run(run()) == "HERON"
