"""The command line in processes of its own: real folders, pipes, exit statuses, and an empty environment."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import graphbit
import numpy as np
import pytest
from graphbit import EmbeddingConfig, LlmConfig, ParallelRAG, VectorStore
from graphbit.exceptions import StoreError
from simulator import Server, Simulator

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("wordllama") is None, reason="needs the package wordllama"
)

COMMAND = [sys.executable, "-m", "graphbit"]
ROOT = Path(__file__).resolve().parents[2]
KEY = "sk-hunter2-0123456789-abcdef"
HERON = "The heron stands still in shallow water and waits for fish."
SWIFT = "The swift sleeps on the wing and lands only to nest."


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    """Two documents, one of them in a folder of its own."""
    folder = tmp_path / "notes"
    (folder / "air").mkdir(parents=True)
    (folder / "heron.md").write_text(HERON, encoding="utf-8")
    (folder / "air" / "swift.md").write_text(SWIFT, encoding="utf-8")
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command in the temporary folder, with nothing in its environment but what is given."""

    def started(
        *arguments: object, stdin: bytes = b"", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            input=stdin,
            capture_output=True,
            timeout=50,
            cwd=tmp_path,
            env=environment,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    return started


def hosted(server: Server) -> dict[str, str]:
    """An environment that offers the simulator in the place of OpenAI."""
    return {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": server.openai_url}


def test_files_go_in_and_answers_with_citations_come_out(run: Any, notes: Path) -> None:
    done = run("ingest", "notes", "--store", "birds.db")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(
        "documents: 2 ingested, 0 unchanged, 0 failed; passages: 2 embedded, 2 in birds.db; "
    )

    done = run("ask", "Where does the swift sleep?", "--store", "birds.db")
    assert (done.returncode, done.stderr) == (0, "")
    answer, _, citations = done.stdout.partition("\n\n")
    assert answer.splitlines()[1:] == [f"“{SWIFT}” [1]"]
    source = Path("notes", "air", "swift.md")
    assert citations.startswith(f"[1] {source}, characters 0-52, score 0.")
    assert citations.count("\n") == 1

    done = run("ask", "-", "--json", "--store", "birds.db", stdin=b"Where does the swift sleep?")
    told = json.loads(done.stdout)
    assert told["answer"] == answer
    first, second = told["citations"]
    assert (first["source"], first["text"], first["cited"]) == (str(source), SWIFT, True)
    assert (second["number"], second["text"], second["cited"]) == (2, HERON, False)
    assert first["score"] > second["score"]


def test_what_the_store_holds_is_not_embedded_again(run: Any, notes: Path) -> None:
    def ingest(*more: object) -> tuple[dict[str, Any], list[str]]:
        done = run("ingest", "notes", *more, "--store", "birds.db", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        told = json.loads(done.stdout)
        return told, [outcome["status"] for outcome in told["outcomes"]]

    assert ingest()[1] == ["ingested", "ingested"]
    told, statuses = ingest("notes/heron.md")
    assert (statuses, told["tokens"]) == (["unchanged", "unchanged"], 0)
    assert [outcome["chunks"] for outcome in told["outcomes"]] == [1, 1]

    (notes / "heron.md").write_text("The heron has left.", encoding="utf-8")
    told, statuses = ingest()
    assert statuses == ["ingested", "unchanged"]
    assert told["chunks_in_store"] == 2
    done = run("ask", "What has the heron done?", "--store", "birds.db")
    assert "The heron has left." in done.stdout
    assert "shallow" not in done.stdout

    told, statuses = ingest("--chunk-size", 20, "--chunk-overlap", 0)
    assert statuses == ["unchanged", "ingested"]  # one is shorter than a chunk either way
    assert told["chunks_in_store"] == 1 + told["outcomes"][1]["chunks"] > 2


def test_folders_are_walked_as_the_library_does(run: Any, notes: Path, tmp_path: Path) -> None:
    for name in ("b.txt", "B.txt", "ä.txt", "air/.hidden", ".git/config", "z/y/x.md", "air-2/a.md"):
        path = notes / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("Some words.", encoding="utf-8")
    (notes / "empty").mkdir()
    (notes / "round").symlink_to(notes)
    (notes / "link.md").symlink_to(notes / "heron.md")
    done = run("ingest", notes, "--store", "birds.db", "--json")
    library = ParallelRAG(llm=LlmConfig.extractive()).ingest(notes)
    sources = [outcome["source"] for outcome in json.loads(done.stdout)["outcomes"]]
    assert sources == [outcome.source for outcome in library.outcomes]
    assert len(sources) == 8


def test_a_document_that_fails_is_named_and_the_others_are_stored(
    run: Any, notes: Path, tmp_path: Path
) -> None:
    (notes / "photo.md").write_bytes(b"\x89PNG\0")
    (tmp_path / "empty").mkdir()
    arguments = ("notes", "missing.md", "empty", "-", "--store", "birds.db")
    done = run("ingest", *arguments, "--json", stdin=b"caf\xe9")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert (told["ingested"], told["failed"], told["chunks_in_store"]) == (2, 4, 2)
    assert [outcome["source"] for outcome in told["outcomes"] if outcome["error"]] == [
        str(Path("notes", "photo.md")), "missing.md", "empty", "stdin",
    ]  # fmt: skip
    lines = done.stderr.splitlines()
    assert [line.split("'")[1] for line in lines] == [
        str(Path("notes", "photo.md")), "missing.md", "empty", "stdin",
    ]  # fmt: skip
    assert "binary" in lines[0]
    assert "holds no files" in lines[2]

    for command in ("split", "count-tokens"):
        done = run(command, *arguments[:-2], "--json", stdin=b"caf\xe9")
        assert done.returncode == 1
        assert [line.split("'")[1] for line in done.stderr.splitlines()] == [
            line.split("'")[1] for line in lines
        ]
        told = [json.loads(line) for line in done.stdout.splitlines()]
        assert ["error" in line for line in told] == [False, True, False, True, True, True]


def test_nothing_relevant_is_an_answer_and_no_failure(run: Any, notes: Path) -> None:
    run("ingest", "notes", "--store", "birds.db")
    done = run("ask", "Who won the 1954 final?", "--store", "birds.db")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Nothing relevant to the question was found")
    assert done.stdout.count("\n") == 1


def test_a_key_in_the_environment_sends_nothing_away(run: Any, notes: Path, server: Server) -> None:
    environment = hosted(server) | {"OLLAMA_HOST": server.base_url, "GRAPHBIT_PROVIDER": "openai"}
    run("ingest", "notes", "--store", "birds.db", **environment)
    done = run("ask", "Where does the swift sleep?", "--store", "birds.db", **environment)
    assert done.returncode == 0
    assert server.log() == []


def test_named_providers_are_asked(run: Any, notes: Path, server: Server) -> None:
    names = ("--store", "birds.db", "--embedding", "openai/text-embedding-3-small")
    assert run("ingest", "notes", *names, **hosted(server)).returncode == 0
    done = run("ask", "Where?", *names, "--llm", "openai/vendor/model", "--json", **hosted(server))
    assert (done.returncode, done.stderr) == (0, "")
    assert "Question: Where?" in json.loads(done.stdout)["answer"]
    asked = server.log()[-1]
    assert asked["path"].endswith("/chat/completions")
    assert json.loads(asked["body"])["model"] == "vendor/model"

    server.behaviour(status=[401])
    done = run("ask", "Where?", *names, **hosted(server))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("graphbit: ")
    assert "401" in done.stderr
    assert KEY not in done.stderr


def test_another_embedding_model_is_refused(
    run: Any, notes: Path, tmp_path: Path, server: Server
) -> None:
    run("ingest", "notes", "--store", "birds.db")
    before = {path.name: path.read_bytes() for path in (tmp_path / "birds.db").iterdir()}
    other = ("--store", "birds.db", "--embedding", "openai")
    for command in (("ask", "Where?"), ("ingest", "notes")):
        done = run(*command, *other, **hosted(server))
        assert done.returncode == 2
        assert "--embedding: 'birds.db' was filled with another model than openai/" in done.stderr
    after = {path.name: path.read_bytes() for path in (tmp_path / "birds.db").iterdir()}
    assert after == before

    # As many dimensions do not make it the same model.
    store = VectorStore()
    store.add(np.random.default_rng(7).normal(size=(2, 256)), [HERON, SWIFT])
    store.save(tmp_path / "like.store")
    done = run("ask", "Where?", "--store", "like.store")
    assert done.returncode == 2
    assert "--embedding: 'like.store' was filled with another model than local/" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", "required: COMMAND"),
        ("fly", "invalid choice: 'fly'"),
        ("ingest notes", "required: --store"),
        ("ingest --store s", "required: PATH"),
        ("ingest notes --store notes", "argument --store: 'notes' is a folder of other files"),
        ("ingest notes --store notes/heron.md", "argument --store: 'notes/heron.md' is a file"),
        ("ingest notes --store s --chunk-size 0", "argument --chunk-size: '0' must be a whole"),
        ("ingest notes --store s --chunk-overlap 1000", "argument --chunk-overlap: 1000 must be"),
        (
            "ingest notes --store s --embedding skynet",
            "argument --embedding: there is no embedding",
        ),
        ("ingest notes --store s --embedding local/x", "argument --embedding: there is no local"),
        ("ingest notes --store s --embedding openai", "argument --embedding: set OPENAI_API_KEY"),
        ("ask What? --store s", "argument --store: there is no store in 's'"),
        ("ask What? --store notes", "argument --store: there is no store in 'notes'"),
        (
            "ask What? --store s --top-k 1001",
            "argument --top-k: '1001' must be a whole number from",
        ),
        ("ask What? --store s --llm openai/", "argument --llm: 'openai/' must be PROVIDER or"),
        ("ask What? --store s --llm anthropic", "argument --llm: set ANTHROPIC_API_KEY"),
        ("ask - --store s", "argument QUESTION: must not be blank"),
        ("split notes --strategy magic", "argument --strategy: invalid choice: 'magic'"),
        ("split notes --unit tokens --encoding x", 'encoding: "x" is neither'),
        ("count-tokens notes --encoding x", 'encoding: "x" is neither'),
        ("count-tokens notes --enc x", "unrecognized arguments: --enc"),
    ],
)
def test_unusable_arguments_are_named(
    arguments: str, words: str, run: Any, notes: Path, tmp_path: Path
) -> None:
    done = run(*arguments.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ingest", "", "--store", "s"], "argument PATH: '' is no path"),
        (["ingest", "notes", "", "--store", "s"], "argument PATH: '' is no path"),
        (["split", ""], "argument PATH: '' is no path"),
        (["count-tokens", ""], "argument PATH: '' is no path"),
        (["ingest", "notes", "--store", ""], "argument --store: '' is no folder"),
        (["ask", "What?", "--store", ""], "argument --store: '' is no folder"),
    ],
)
def test_a_variable_that_was_never_set_is_not_the_working_folder(
    arguments: list[str], words: str, run: Any, notes: Path, tmp_path: Path
) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


def test_chunks_are_pieces_of_the_text(run: Any, tmp_path: Path) -> None:
    text = "Grüße 😀 an alle. Zweiter Satz, länger als der erste.\n\nEin Absatz.\n" * 50
    (tmp_path / "a.txt").write_bytes(("\ufeff" + text).encode("utf-16-le"))
    for more in ((), ("--strategy", "sentence"), ("--unit", "tokens", "--encoding", "o200k_base")):
        done = run("split", "a.txt", "--json", "--chunk-size", 40, "--chunk-overlap", 5, *more)
        assert (done.returncode, done.stderr) == (0, "")
        chunks = [json.loads(line) for line in done.stdout.splitlines()]
        assert [chunk["chunk"] for chunk in chunks] == list(range(len(chunks)))
        for chunk in chunks:
            assert chunk["text"] == text[chunk["start_char"] : chunk["end_char"]]
            measure = graphbit.count_tokens if "tokens" in more else len
            assert measure(chunk["text"], *more[3:]) <= 40
        assert len(chunks) > 20
    done = run(
        "split", "-", "--chunk-size", 10, "--chunk-overlap", 0, stdin="Grüße an alle".encode()
    )
    assert done.stdout == "stdin:0-8\nGrüße an\n\nstdin:9-13\nalle\n\n"


def test_tokens_are_counted_by_text_and_in_all(run: Any, notes: Path) -> None:
    heron, swift, words = map(graphbit.count_tokens, (HERON, SWIFT, "some words"))
    done = run("count-tokens", "notes", "-", stdin=b"some words")
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [int(count) for count, _ in rows] == [heron, swift, words, heron + swift + words]
    assert [name for _, name in rows[2:]] == ["stdin", "total"]
    done = run("count-tokens", "-", "--encoding", "gpt-4o", "--json", stdin=SWIFT.encode())
    assert json.loads(done.stdout) == {
        "source": "stdin",
        "tokens": graphbit.count_tokens(SWIFT, "gpt-4o"),
    }


def test_a_reader_that_leaves_early_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("Some words in a row.\n" * 100_000, encoding="utf-8")
    with subprocess.Popen(
        [*COMMAND, "split", "long.txt"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env={},
    ) as process:
        assert process.stdout and process.stderr
        assert process.stdout.readline() == b"long.txt:0-986\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=30) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_under_the_output_is_a_failure(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, "count-tokens", "-"],
            input=b"words",
            stdout=full,
            stderr=subprocess.PIPE,
            env={},
            timeout=30,
        )
    assert done.returncode == 1
    assert done.stderr.startswith(b"graphbit: ")
    assert done.stderr.count(b"\n") == 1


MANY = 3000
INGEST = ("ingest", "many", "--store", "many.db", "--embedding", "openai")


@pytest.fixture
def ingesting(tmp_path: Path, server: Server) -> Iterator[subprocess.Popen[bytes]]:
    """An ingest of many documents, in the middle of its work."""
    (tmp_path / "many").mkdir()
    for number in range(MANY):
        (tmp_path / "many" / f"{number:04}.txt").write_text(f"Words of number {number}.")
    server.behaviour(latency_ms=400)
    with subprocess.Popen(
        [*COMMAND, *INGEST],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=hosted(server),
    ) as process:
        try:
            deadline = time.monotonic() + 30
            while not held(tmp_path):
                assert time.monotonic() < deadline, process.poll()
                time.sleep(0.02)
            yield process
        finally:
            process.kill()


def held(folder: Path) -> dict[str, str]:
    """The texts in the store of an ingest that may be under way, by document."""
    try:
        store = VectorStore.open(folder / "many.db", read_only=True)
    except StoreError:  # not yet there
        return {}
    hits = store.search([0.0] * (store.dimensions or 1), top_k=MANY) if len(store) else []
    return {hit.metadata["source"]: hit.text for hit in hits}


def test_ctrl_c_keeps_what_was_finished_and_the_next_run_goes_on(
    run: Any, tmp_path: Path, server: Server, ingesting: subprocess.Popen[bytes]
) -> None:
    ingesting.send_signal(signal.SIGINT)
    stdout, stderr = ingesting.communicate(timeout=20)
    assert (ingesting.returncode, stdout) == (130, b"")
    told = "graphbit: interrupted; what was finished is in many.db; repeat the command to go on"
    assert stderr.decode() == f"{told}\n"
    count = len(held(tmp_path))
    assert 0 < count < MANY

    server.reset()
    done = run(*INGEST, "--json", **hosted(server))
    again = json.loads(done.stdout)
    assert (done.returncode, again["unchanged"], again["ingested"]) == (0, count, MANY - count)
    assert again["chunks_in_store"] == MANY


def test_what_a_killed_ingest_had_stored_is_not_embedded_again(
    run: Any, tmp_path: Path, server: Server, ingesting: subprocess.Popen[bytes]
) -> None:
    seen = held(tmp_path)
    ingesting.kill()
    ingesting.wait(timeout=20)
    kept = held(tmp_path)
    assert seen.items() <= kept.items()
    assert 0 < len(kept) < MANY

    server.reset()
    done = run(*INGEST, "--json", **hosted(server))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["unchanged"] == len(kept)
    requests = [json.loads(request["body"])["input"] for request in server.log()]
    # The first asks whether the store has the same model.
    probe, *texts = [text for request in requests for text in request]
    assert probe in kept.values()
    assert not set(kept.values()) & set(texts)
    assert len(texts) == MANY - len(kept)
    assert len(held(tmp_path)) == MANY


def test_while_an_ingest_runs_others_may_ask_and_none_may_ingest(
    run: Any, simulator: Simulator, server: Server, ingesting: subprocess.Popen[bytes]
) -> None:
    server.behaviour(latency_ms=60_000)
    scope = simulator.new_scope("meanwhile")
    elsewhere = Server(simulator, scope)
    done = run("ask", "Where?", *INGEST[2:], "--json", **hosted(elsewhere))
    assert (done.returncode, done.stderr) == (0, "")
    assert len(json.loads(done.stdout)["citations"]) == 4
    sent = len(elsewhere.log())

    done = run(*INGEST, **hosted(elsewhere))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("graphbit: cannot open the vector store in 'many.db': another ")
    assert len(elsewhere.log()) == sent
    assert ingesting.poll() is None
    simulator.forget(scope)


def test_a_store_among_the_documents_is_no_document(run: Any, notes: Path) -> None:
    for status in ("ingested", "unchanged"):
        done = run("ingest", "notes", "--store", "notes/birds.db", "--json")
        assert (done.returncode, done.stderr) == (0, "")
        outcomes = json.loads(done.stdout)["outcomes"]
        assert [outcome["status"] for outcome in outcomes] == [status, status]


def test_a_store_that_cannot_be_used_is_a_failure(run: Any, notes: Path, tmp_path: Path) -> None:
    (tmp_path / "junk.store").write_text("Some words.")
    for command in ("ask What? --store junk.store", "ingest notes --store notes/heron.md/s"):
        done = run(*command.split())
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("graphbit: cannot ")
        assert command.split()[-1] in done.stderr
        assert done.stderr.count("\n") == 1


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_progress_is_drawn_for_a_terminal(notes: Path, tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [*COMMAND, "ingest", "notes", "--store", "birds.db", "--json"],
        stdout=subprocess.PIPE,
        stderr=theirs,
        cwd=tmp_path,
        env={},
    ) as process:
        stdout, _ = process.communicate(timeout=30)
    os.close(theirs)
    drawn = os.read(ours, 10_000)
    os.close(ours)
    assert b"2/2 documents" in drawn
    assert json.loads(stdout)["ingested"] == 2


def test_the_script_is_installed_and_says_what_it_is(run: Any) -> None:
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="graphbit")
    assert script.value == "graphbit.cli:main"
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"graphbit {graphbit.version()}\n")
    done = run("--help")
    assert done.returncode == 0
    for command in ("ingest", "ask", "split", "count-tokens"):
        assert command in done.stdout
        assert "exit status" in run(command, "--help").stdout


def test_a_store_of_the_library_can_be_asked(run: Any, tmp_path: Path) -> None:
    store = VectorStore()
    ParallelRAG(EmbeddingConfig.local(), LlmConfig.extractive(), store=store).ingest(
        {"swift": SWIFT, "heron": HERON}
    )
    store.save(tmp_path / "own.store")
    before = (tmp_path / "own.store").read_bytes()
    done = run("ask", "Where does the swift sleep?", "--store", "own.store", "--top-k", 1)
    assert f"“{SWIFT}” [1]\n\n[1] swift, characters 0-52, score" in done.stdout

    (tmp_path / "more.md").write_text(HERON)
    done = run("ingest", "more.md", "--store", "own.store")
    assert (done.returncode, done.stdout) == (2, "")
    assert "argument --store: 'own.store' is a file, which can be asked but not" in done.stderr
    assert (tmp_path / "own.store").read_bytes() == before


@pytest.mark.parametrize("page", ["README.md", "docs/command-line.md"])
def test_the_commands_of_the_pages_run(page: str, run: Any, notes: Path, server: Server) -> None:
    (notes.parent / "docs").symlink_to(ROOT / "docs")
    blocks = re.findall(
        r"^```sh\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    lines = [line for block in blocks for line in block.replace("\\\n", "").splitlines()]
    commands = [shlex.split(line, comments=True) for line in lines if "graphbit " in line]
    checked = 0
    for command in commands:
        environment = hosted(server) if {"--llm", "--embedding"} & {*command} else {}
        if command[0].endswith("graphbit"):
            done = run(*command[1:], **environment)
            assert (done.returncode, done.stderr) == (0, ""), command
            assert "Nothing relevant" not in done.stdout, command
            checked += 1
    assert checked >= 2
