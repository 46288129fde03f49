"""One contestant of `benches/splitting.py`: a process that splits or counts what it is told to.

Started as ``python contestants.py NAME CORES``; reads one JSON request a line and answers each with one
line. It lives through the whole run, so that importing and warming are paid once and the rounds of
all contestants can be interleaved finely.

Every timed call is given a string that nobody has read before, made outside the clock: CPython keeps
the UTF-8 form of a string once somebody asked for it, and a second call would find it there. The
time of a call ends when every chunk's content has been read and all chunks are freed again.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# ruff: noqa: ARG001 - every contestant is asked in the same way, whether it needs all of it or not

# Content of every chunk, read: how many chunks, how many characters in them.
Read = Callable[[str], "tuple[int, int]"]
SEPARATORS = ["\n\n", "\n", ". ", "! ", "? ", "; ", ": ", " - ", " "]


def contents(split: Callable[[str], Any]) -> Read:
    """For chunks that are objects."""

    def read(text: str) -> tuple[int, int]:
        chunks = split(text)
        return len(chunks), sum([len(chunk.content) for chunk in chunks])

    return read


def strings(split: Callable[[str], Any]) -> Read:
    """For chunks that are strings already."""

    def read(text: str) -> tuple[int, int]:
        chunks = split(text)
        return len(chunks), sum(map(len, chunks))

    return read


def graphbit_task(task: str, given: dict[str, Any], **exact: Any) -> Read:
    """0.6.8's classes and ours, which are called alike."""
    import graphbit

    if task == "count":
        return lambda text: (graphbit.count_tokens(text, encoding=given["encoding"]), len(text))
    if task == "bpe":
        size = {"encoding": given["encoding"], **exact}
        return contents(graphbit.TokenSplitter(200, 20, **size).split_text)
    if task == "recursive without overlap":
        return contents(graphbit.RecursiveSplitter(1000, 0, SEPARATORS, **exact).split_text)
    sizes = {"token": (200, 20), "sentence": (1000, 1)}.get(task, (1000, 100))
    if exact and task == "sentence":
        sizes = (1000, 100)  # exact overlap counts code points, not sentences
    splitter = getattr(graphbit, f"{task.capitalize()}Splitter")(*sizes, **exact)
    return contents(splitter.split_text)


def floor_task(
    task: str, given: dict[str, Any], *, objects: bool = False, encoded: bool = False
) -> Read:
    """CPython's own part of the work: slicing ready-made spans, with or without an object each, and
    making the UTF-8 that every splitter outside CPython reads."""
    import graphbit

    class Plain:
        __slots__ = ("content", "end", "start")

        def __init__(self, content: str, start: int, end: int) -> None:
            self.content = content
            self.start = start
            self.end = end

    splitter = graphbit_splitter(graphbit, task)
    spans: dict[str, list[tuple[int, int]]] = {}

    def prepare(text: str) -> None:
        # The UTF-8 form stays with the string that was split, not with an equal one.
        chunks = splitter.split_text(text[:-1] + text[-1:])
        spans[text] = [(chunk.start_char, chunk.end_char) for chunk in chunks]

    def slices(text: str) -> tuple[int, int]:
        if encoded:
            text.encode()
        cut = [text[start:end] for start, end in spans[text]]
        return len(cut), sum(map(len, cut))

    def plain(text: str) -> tuple[int, int]:
        cut = [Plain(text[start:end], start, end) for start, end in spans[text]]
        return len(cut), sum([len(one.content) for one in cut])

    read = plain if objects else slices
    read.prepare = prepare  # type: ignore[attr-defined]
    return read


def graphbit_splitter(graphbit: Any, task: str) -> Any:
    if task == "recursive without overlap":
        return graphbit.RecursiveSplitter(1000, 0, SEPARATORS)
    sizes = {"token": (200, 20), "sentence": (1000, 1)}.get(task, (1000, 100))
    return getattr(graphbit, f"{task.capitalize()}Splitter")(*sizes)


def langchain_task(task: str, given: dict[str, Any]) -> Read:
    import langchain_text_splitters as langchain

    if task == "bpe":
        splitter = langchain.TokenTextSplitter(given["encoding"], chunk_size=200, chunk_overlap=20)
        return strings(splitter.split_text)
    kind = langchain.RecursiveCharacterTextSplitter
    return strings(kind(chunk_size=1000, chunk_overlap=100).split_text)


def semantic_task(task: str, given: dict[str, Any]) -> Read:
    from semantic_text_splitter import TextSplitter

    if task == "bpe":
        model = {"cl100k_base": "gpt-4", "o200k_base": "gpt-4o"}[given["encoding"]]
        return strings(TextSplitter.from_tiktoken_model(model, 200, overlap=20).chunks)
    return strings(TextSplitter(1000, overlap=100).chunks)


def chonkie_task(task: str, given: dict[str, Any]) -> Read:
    import chonkie

    if task == "bpe":
        import tiktoken

        chunker = chonkie.TokenChunker(tiktoken.get_encoding(given["encoding"]), 200, 20)
    else:
        chunker = chonkie.RecursiveChunker("character", 1000)

    def read(text: str) -> tuple[int, int]:
        chunks = chunker.chunk(text)
        return len(chunks), sum([len(chunk.text) for chunk in chunks])

    return read


def chunkr_task(task: str, given: dict[str, Any]) -> Read:
    import chunkr

    if task == "count":
        counter = chunkr.TokenChunker(encoding=given["encoding"])
        return lambda text: (counter.count_tokens(text), len(text))
    if task == "bpe":
        return contents(chunkr.TokenChunker(200, 20, given["encoding"]).chunk)
    return contents(chunkr.RecursiveChunker(1000, 100).chunk)


def semchunk_task(task: str, given: dict[str, Any]) -> Read:
    import semchunk

    if task == "bpe":
        import tiktoken

        encoding = tiktoken.get_encoding(given["encoding"])
        chunker = semchunk.chunkerify(encoding, 200)
        return strings(lambda text: chunker(text, overlap=20))
    chunker = semchunk.chunkerify(len, 1000, memoize=False)
    return strings(lambda text: chunker(text, overlap=100))


def tiktoken_task(task: str, given: dict[str, Any]) -> Read:
    import tiktoken

    encode = tiktoken.get_encoding(given["encoding"]).encode_ordinary
    return lambda text: (len(encode(text)), len(text))


def gigatoken_task(task: str, given: dict[str, Any]) -> Read:
    import gigatoken

    path = Path(os.environ["GRAPHBIT_VOCABULARIES"], f"{given['encoding']}.tiktoken")
    encode = gigatoken.Tokenizer.from_tiktoken(path).encode
    return lambda text: (len(encode(text)), len(text))


def rs_bpe_task(task: str, given: dict[str, Any]) -> Read:
    from rs_bpe.bpe import openai

    count = getattr(openai, given["encoding"])().count
    return lambda text: (count(text), len(text))


CONTESTANTS: dict[str, Callable[..., Read]] = {
    "ours": graphbit_task,
    "ours, exact": lambda task, given: graphbit_task(task, given, exact=True),
    "0.6.8": graphbit_task,
    "slices alone": lambda task, given: floor_task(task, given),
    "UTF-8, slices": lambda task, given: floor_task(task, given, encoded=True),
    "slices, objects": lambda task, given: floor_task(task, given, objects=True),
    "langchain": langchain_task,
    "semantic-text-splitter": semantic_task,
    "chonkie": chonkie_task,
    "chunkr-rs": chunkr_task,
    "semchunk": semchunk_task,
    "tiktoken": tiktoken_task,
    "gigatoken": gigatoken_task,
    "rs-bpe": rs_bpe_task,
}


class Documents:
    """Texts of one size from one corpus; fresh strings each time they are asked for."""

    def __init__(self) -> None:
        self._key: tuple[str, int, int] | None = None
        self._pieces: list[bytes] = []
        self.megabytes = 0.0

    def fresh(self, path: str, size: int, together: int) -> list[str]:
        """At most ``together`` bytes in all, or one document."""
        if self._key != (path, size, together):
            with Path(path).open("rb") as file:
                data = file.read(max(size, min(together, size * 200)))
            cuts = range(0, len(data) - size + 1, size)
            self._pieces = [data[cut : cut + size] for cut in cuts]
            self._key = (path, size, together)
            self.megabytes = sum(map(len, self._pieces)) / 1e6
        # An edge inside a character costs at most three bytes of it.
        return [piece.decode("utf-8", "ignore") for piece in self._pieces]


def once(read: Read, texts: list[str], threads: int) -> tuple[float, float, int, int]:
    """Wall and CPU seconds of reading all texts on each thread; chunks and characters of one."""
    results: list[tuple[int, int]] = []

    def run(own: list[str]) -> None:
        chunks = characters = 0
        for text in own:
            more, letters = read(text)
            chunks, characters = chunks + more, characters + letters
        results.append((chunks, characters))

    # Threads do not share strings either.
    shares = [texts, *([text[:-1] + text[-1:] for text in texts] for _ in range(threads - 1))]
    workers = [threading.Thread(target=run, args=(share,)) for share in shares[1:]]
    usage = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    for worker in workers:
        worker.start()
    run(shares[0])
    for worker in workers:
        worker.join()
    seconds = time.perf_counter() - start
    now = resource.getrusage(resource.RUSAGE_SELF)
    cpu = now.ru_utime + now.ru_stime - usage.ru_utime - usage.ru_stime
    if len(results) < threads:
        raise RuntimeError("a thread failed")
    return seconds, cpu, *results[0]


def measure(read: Read, documents: Documents, request: dict[str, Any]) -> dict[str, Any]:
    """As many passes as fill the wanted time, at least one."""
    threads = request.get("threads", 1)
    total = spent = megabytes = wanted = 0.0
    while True:
        texts = documents.fresh(request["path"], request["size"], request.get("together", 500_000))
        if prepare := getattr(read, "prepare", None):
            for text in texts:
                prepare(text)
        begun = time.perf_counter()
        seconds, cpu, chunks, characters = once(read, texts, threads)
        wanted += time.perf_counter() - begun
        total, spent = total + seconds, spent + cpu
        megabytes += documents.megabytes * threads
        if wanted >= request["seconds"]:
            break
    return {
        "mb_per_second": megabytes / total, "cores": spent / total, "seconds": seconds,
        "chunks": chunks, "characters": characters, "documents": len(texts),
    }  # fmt: skip


def main() -> None:
    name, cores = sys.argv[1], int(sys.argv[2])
    if hasattr(os, "sched_setaffinity"):
        # Before anything is imported, so that a rival's thread pool is bound by it as well.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    documents = Documents()
    tasks: dict[str, Read] = {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            key = json.dumps([request["task"], request.get("encoding")])
            if key not in tasks:
                tasks[key] = CONTESTANTS[name](request["task"], request)
            answer = measure(tasks[key], documents, request)
        except Exception as error:
            answer = {"failed": f"{type(error).__name__}: {error}".splitlines()[0][:160]}
        print(json.dumps(answer), flush=True)
    os._exit(0)


main()
