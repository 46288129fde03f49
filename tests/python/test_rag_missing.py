"""What an ingest with delete_missing=True deletes, and what it leaves: real folders, links, and modes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from graphbit import EmbeddingConfig, LlmConfig, ParallelRAG, VectorStore
from letter_embedder import LetterEmbedder

modes = pytest.mark.skipif(
    os.name == "nt", reason="there are no such modes, and links need a right"
)


@pytest.fixture
def store() -> VectorStore:
    return VectorStore()


@pytest.fixture
def rag(store: VectorStore) -> ParallelRAG:
    return ParallelRAG(
        EmbeddingConfig.from_callable(LetterEmbedder()), LlmConfig.extractive(), store=store
    )


def held(store: VectorStore) -> list[str]:
    return sorted({entry.metadata["source"] for entry in store.entries()})


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"Words of {name}.")


@modes
def test_what_a_walk_passes_over_is_not_missing(
    rag: ParallelRAG, store: VectorStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "n/a.txt", "n/b.txt", "n/.notes.txt", "elsewhere/e.txt")
    Path("n/link").symlink_to(tmp_path / "elsewhere")
    alone = ["n/.notes.txt", "n/link/e.txt", ("n/wiki", "A page of the wiki."), "n/a.txt"]
    assert rag.ingest(alone).failed == []
    kept = ["n/.notes.txt", "n/a.txt", "n/b.txt", "n/link/e.txt", "n/wiki"]
    for _ in range(2):
        assert rag.ingest("n", delete_missing=True).deleted == 0
        assert held(store) == kept
    # Nor is what was named one by one, though it is gone.
    Path("n/.notes.txt").unlink()
    Path("elsewhere/e.txt").unlink()
    Path("n/b.txt").unlink()
    assert rag.ingest("n", delete_missing=True).deleted == 1
    assert held(store) == ["n/.notes.txt", "n/a.txt", "n/link/e.txt", "n/wiki"]


def test_a_text_that_takes_the_name_of_a_file_is_a_text(
    rag: ParallelRAG, store: VectorStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "n/a.txt", "n/b.txt", "n/c.txt")
    rag.ingest("n")
    names = held(store)
    rag.ingest([(names[1], Path("n/b.txt").read_text())])
    Path("n/b.txt").unlink()
    Path("n/c.txt").unlink()
    assert rag.ingest("n", delete_missing=True).deleted == 1
    assert held(store) == names[:2]
    # And a file again, once there is one.
    write(tmp_path, "n/b.txt")
    assert [outcome.unchanged for outcome in rag.ingest("n").outcomes] == [True, False]
    Path("n/b.txt").unlink()
    assert rag.ingest("n", delete_missing=True).deleted == 1


def test_a_pattern_misses_only_what_it_would_match(
    rag: ParallelRAG, store: VectorStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "a.txt", "b.txt", "c.md", "n/d.txt")
    rag.ingest(["*.txt", "c.md", str(Path("n", "d.txt"))])
    for name in ("b.txt", "c.md", "n/d.txt"):
        Path(name).unlink()
    assert rag.ingest("*.txt", delete_missing=True).deleted == 1
    assert held(store) == ["a.txt", "c.md", str(Path("n", "d.txt"))]


def test_a_folder_without_files_loses_nothing(
    rag: ParallelRAG, store: VectorStore, tmp_path: Path
) -> None:
    mounted = tmp_path / "mnt"
    write(mounted, "a.txt", "deep/b.txt")
    rag.ingest(mounted)
    names = held(store)
    for name in ("a.txt", "deep/b.txt"):
        (mounted / name).unlink()
    for given in (mounted, mounted / "**" / "*.txt", [mounted, tmp_path / "missing"]):
        report = rag.ingest(given, delete_missing=True)
        assert (report.deleted, held(store)) == (0, names)
        assert not report.outcomes[0].ok
    # One that holds others has lost these.
    write(mounted, "c.txt")
    assert rag.ingest(mounted, delete_missing=True).deleted == 2
    assert held(store) == [str(mounted / "c.txt")]


#: Root may read everything, so the code becomes somebody else, who cannot import anything any more.
UNREADABLE = """
    import os, sys, tempfile
    from pathlib import Path

    root = Path(tempfile.mkdtemp())
    for name in ("a.txt", "lost+found/b.txt", "z/c.txt"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(f"Words of {name}.")
    os.chdir(root)

    def lock():
        os.chmod("lost+found", 0)
        if os.geteuid() == 0:
            os.chmod(root, 0o755)
            os.seteuid(65534)
"""


@modes
def test_a_folder_that_cannot_be_read_is_one_failure(run_child: Any) -> None:
    child = run_child(
        UNREADABLE
        + """
    from graphbit import EmbeddingConfig, LlmConfig, ParallelRAG, VectorStore

    store = VectorStore()
    embedding = EmbeddingConfig.from_callable(lambda texts: [[1.0] for _ in texts])
    rag = ParallelRAG(embedding, LlmConfig.extractive(), store=store)
    print(rag.ingest(".", progress=False).documents)
    os.unlink("a.txt")
    (root / "new.txt").write_text("New words.")
    lock()
    for given in (".", "**/*.txt"):
        report = rag.ingest(given, progress=False, delete_missing=True)
        print([(outcome.source, outcome.ok) for outcome in report.outcomes])
        print([outcome.error for outcome in report.failed], report.deleted)
    print(len(store))
    """
    )
    denied = "Permission denied (os error 13)"
    assert child.stderr == ""
    assert child.stdout.splitlines() == [
        "3",
        "[('./new.txt', True), ('./lost+found', False), ('./z/c.txt', True)]",
        f"[\"Cannot read './lost+found': {denied}\"] 0",
        "[('new.txt', True), ('lost+found', False), ('z/c.txt', True)]",
        f"[\"Cannot read 'lost+found': {denied}\"] 0",
        "6",
    ]


@modes
def test_a_folder_that_cannot_be_read_does_not_end_a_command(run_child: Any) -> None:
    child = run_child(
        UNREADABLE
        + """
    import graphbit.cli
    assert graphbit.cli.main(["count-tokens", "z"]) == 0  # which imports what it needs
    lock()
    code = graphbit.cli.main(["count-tokens", "--encoding", "o200k_base", ".", "lost+found/b.txt"])
    sys.stdout.flush()
    print(code)
    """
    )
    _, *counts, code = child.stdout.splitlines()
    assert code == "1"
    assert [line.partition("\t")[2] for line in counts] == ["a.txt", "z/c.txt", "total"]
    first, second = child.stderr.splitlines()
    assert first == "graphbit: Cannot read 'lost+found': Permission denied"
    assert second.startswith("graphbit: Cannot read 'lost+found/b.txt': ")
