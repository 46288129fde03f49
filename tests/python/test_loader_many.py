"""Many documents at once: an outcome for each, in order, side by side, and no more than a window."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from graphbit import DocumentContent, DocumentLoader, DocumentLoaderConfig, exceptions


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for number in range(40):
        Path(f"{number}.txt").write_text(str(number))
    Path("a.json").write_text('{"b": 1}')
    Path("bad.json").write_text("{")
    Path("notes.md").write_text("# notes")
    return tmp_path


def shown(outcome: Any) -> str:
    if isinstance(outcome, DocumentContent):
        return outcome.content
    assert isinstance(outcome, ValueError)
    return type(outcome).__name__


MIXED = ["3.txt", "nope.txt", Path("a.json"), "bad.json", "notes.md", "", "0.txt"]
OUTCOMES = [
    *("3", "DocumentNotFoundError", '{\n  "b": 1\n}', "DocumentError", "ValidationError"),
    *("ValidationError", "0"),
]


def test_each_path_has_its_outcome_in_its_place() -> None:
    loader = DocumentLoader()
    assert [shown(outcome) for outcome in loader.load_many(MIXED)] == OUTCOMES
    assert [shown(outcome) for outcome in loader.load_iter(MIXED)] == OUTCOMES

    async def run() -> list[str]:
        return [shown(outcome) for outcome in await loader.load_many_async(iter(MIXED))]

    assert asyncio.run(run()) == OUTCOMES
    assert loader.load_many([]) == [] == list(loader.load_iter([]))


def test_a_type_that_is_given_holds_for_all() -> None:
    outcomes = DocumentLoader().load_many(["notes.md", "a.json"], "txt")
    assert [shown(outcome) for outcome in outcomes] == ["# notes", '{"b": 1}']
    (refused,) = DocumentLoader().load_many(["notes.md"])
    assert "'document_type' with value 'notes.md'" in str(refused)


@pytest.mark.parametrize("workers", [1, 3, 100])
def test_order_is_that_of_the_paths_whatever_the_workers(workers: int) -> None:
    paths = [f"{number}.txt" for number in range(40)] * 5
    expected = [str(number) for number in range(40)] * 5
    loader = DocumentLoader()
    assert [shown(it) for it in loader.load_many(paths, max_workers=workers)] == expected
    assert [shown(it) for it in loader.load_iter(paths, max_workers=workers)] == expected


def test_an_iterator_draws_no_further_than_its_window() -> None:
    drawn = itertools.count()

    def paths() -> Iterator[str]:
        for number in drawn:
            yield f"{number % 40}.txt"

    documents = DocumentLoader().load_iter(paths(), max_workers=3)
    assert [shown(next(documents)) for _ in range(10)] == [str(number) for number in range(10)]
    assert next(drawn) <= 13


def test_what_drawing_raises_comes_after_what_was_drawn() -> None:
    def paths() -> Iterator[Any]:
        yield "1.txt"
        yield "2.txt"
        raise KeyError("lost")

    documents = DocumentLoader().load_iter(paths())
    assert [shown(next(documents)), shown(next(documents))] == ["1", "2"]
    with pytest.raises(KeyError, match="lost"):
        next(documents)
    assert list(documents) == []


def test_one_path_and_no_workers_are_refused() -> None:
    loader = DocumentLoader()
    for verb in (loader.load_many, loader.load_iter):
        for one in ("1.txt", Path("1.txt")):
            with pytest.raises(TypeError, match="an iterable of paths"):
                verb(one)
        with pytest.raises(ValueError, match="'max_workers' with value '0'"):
            verb([], max_workers=0)
    with pytest.raises(TypeError, match=r"paths\[1\] must be a str or an os.PathLike, not int"):
        loader.load_many(["1.txt", 7])


CUT_SHORT = """
    import os, signal, sys, threading, time
    from graphbit import DocumentLoader, DocumentLoaderConfig
    open("small.txt", "w").write("small")
    with open("big.csv", "w") as file:
        file.write("a,b\\n" + "1,2\\n" * 2_000_000)
    loader = DocumentLoader(DocumentLoaderConfig(full=True))
    threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGINT)).start()
    begun = time.monotonic()
    try:
        {call}
    except KeyboardInterrupt as error:
        print("interrupted", time.monotonic() - begun < 2)
        results = getattr(error, "results", None)
        print(results and [type(result).__name__ for result in results[:2] + results[-1:]])
        # The parser that nobody waits for any more stops as well.
        time.sleep(0.3)
        used = time.process_time()
        time.sleep(0.5)
        print("idle", time.process_time() - used < 0.2)
"""


@pytest.mark.parametrize(
    ("call", "results"),
    [
        (
            "loader.load_many(['small.txt'] + ['big.csv'] * 200, max_workers=2)",
            "['DocumentContent', ",
        ),
        ("list(loader.load_iter(['big.csv'] * 200, max_workers=2))", "None"),
        ("[loader.load_document('big.csv', 'csv') for _ in range(200)]", "None"),
    ],
    ids=["many", "iter", "one"],
)
def test_ctrl_c_ends_it_and_hands_over_what_was_finished(
    run_child: Any, call: str, results: str
) -> None:
    child = run_child(CUT_SHORT.format(call=call))
    lines = child.stdout.splitlines()
    assert lines[0] == "interrupted True", child
    assert lines[1].startswith(results), child
    assert lines[2] == "idle True", child


def test_an_iterator_stays_in_its_process(run_child: Any) -> None:
    child = run_child(
        """
        import os, warnings
        warnings.simplefilter("ignore")
        from graphbit import DocumentLoader
        open("a.txt", "w").write("a")
        documents = DocumentLoader().load_iter(["a.txt"] * 5, max_workers=2)
        assert next(documents).content == "a"
        if (pid := os.fork()) == 0:
            try:
                next(documents)
            except RuntimeError as error:
                assert "another process" in str(error)
                del documents
                os._exit(len(DocumentLoader().load_many(["a.txt"])))
            os._exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), len(list(documents)))
        """
    )
    assert child.stdout == "1 4\n", child


def test_a_limit_is_one_documents() -> None:
    loader = DocumentLoader(DocumentLoaderConfig(max_text_bytes=3))
    Path("long.txt").write_text("1234")
    first, second, third = loader.load_many(["1.txt", "long.txt", "2.txt"])
    assert isinstance(second, exceptions.DocumentError) and "max_text_bytes" in str(second)
    assert (shown(first), shown(third)) == ("1", "2")
