"""What may stand on the command line, and what it says about itself.

Refuses what can be seen to be wrong before any work starts, naming the argument: that is `UsageError`, and
exit status 2.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from graphbit._graphbit import EmbeddingConfig, LlmConfig, version
from graphbit.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

STRATEGIES = ("recursive", "sentence", "paragraph", "markdown", "code")
UNITS = ("chars", "graphemes", "bytes", "words", "tokens")
ENCODING = "cl100k_base"
#: What such errors begin with. Behind an argument's name it would say nothing.
CONFIGURATION = "Configuration error: "
_MOST_PASSAGES = 1000

_DESCRIPTION = """\
Files into a store, answers with citations out of it; texts cut and counted. Works offline and without a
key, unless --llm or --embedding names a provider."""
_EPILOG = """\
exit status: 0, all well, also when nothing relevant was found; 1, some documents or the command failed; 2, an
argument is unusable; 130, Ctrl-C"""
_INGEST = """\
Reads, cuts and embeds documents and keeps the passages in a folder, each document as soon as it is finished. May
be repeated, also after Ctrl-C or a crash: a document whose text the store holds already, cut the same way, is not
embedded again; one that has changed is replaced. A document is known by its path as given, and stays in the store
when its file is deleted. One ingest at a time; ask does not wait for it."""
_ASK = """\
Prints an answer from the passages most similar to the question, then those it cites: document, characters, score.
Where none answers the question, says so and exits with 0."""
_SPLIT = """\
Cuts texts and prints each chunk below a line with its document and characters. Chunks are exact pieces of the
text and never longer than --chunk-size."""
_COUNT = "Counts the tokens that OpenAI's models see in each text, and in all."


class UsageError(Exception):
    """An argument is unusable; the text names it."""


def parser() -> argparse.ArgumentParser:
    """Build the parser. Options carry `module`, where the command lives, and `command`, its parser."""
    root = argparse.ArgumentParser(
        prog="graphbit", description=_DESCRIPTION, epilog=_EPILOG, allow_abbrev=False
    )
    root.add_argument("--version", action="version", version=f"graphbit {version()}")
    commands = root.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, module: str, short: str, long: str) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name, help=short, description=long, epilog=_EPILOG, allow_abbrev=False
        )
        made.set_defaults(module=module, command=made)
        made.add_argument("--json", action="store_true", help="print JSON, one object a line")
        return made

    ingest = command("ingest", "ingest", "put documents into a store", _INGEST)
    _paths(ingest)
    _store(ingest)
    _sizes(ingest, unit="characters")

    ask = command("ask", "ask", "answer a question from a store", _ASK)
    ask.add_argument("question", metavar="QUESTION", help="- reads it from standard input")
    _store(ask)
    ask.add_argument(
        "--llm",
        default="extractive",
        metavar="PROVIDER/MODEL",
        help="who words the answer, such as openai/gpt-4o-mini or ollama, with the key from the environment; "
        "default: quotes from the passages, without a language model",
    )
    ask.add_argument(
        "--top-k",
        type=_whole(1, _MOST_PASSAGES),
        default=4,
        metavar="N",
        help="passages to answer from (default %(default)s)",
    )

    split = command("split", "texts", "cut texts into chunks", _SPLIT)
    _paths(split)
    split.add_argument(
        "--strategy", choices=STRATEGIES, default=STRATEGIES[0], help="default %(default)s"
    )
    _sizes(split, unit="units")
    split.add_argument("--unit", choices=UNITS, default=UNITS[0], help="default %(default)s")
    _encoding(split)
    split.set_defaults(counts=False)

    count = command("count-tokens", "texts", "count tokens of texts", _COUNT)
    _paths(count)
    _encoding(count)
    count.set_defaults(counts=True)
    return root


def embedding(options: argparse.Namespace) -> EmbeddingConfig:
    """The model that ``--embedding`` names."""
    provider, model = _named("--embedding", options.embedding)
    try:
        if provider == "local":
            return EmbeddingConfig.local(model)
        return EmbeddingConfig.from_env(provider, model)
    except ConfigurationError as error:
        raise _unusable("--embedding", error) from error


def llm(options: argparse.Namespace) -> LlmConfig:
    """The model that ``--llm`` names."""
    if options.llm == "extractive":
        return LlmConfig.extractive()
    provider, model = _named("--llm", options.llm)
    try:
        return LlmConfig.from_env(provider, model)
    except ConfigurationError as error:
        raise _unusable("--llm", error) from error


def check_sizes(options: argparse.Namespace) -> None:
    """Refuse an overlap that leaves no room for anything new in a chunk."""
    if options.chunk_overlap >= options.chunk_size:
        raise UsageError(
            f"argument --chunk-overlap: {options.chunk_overlap} must be less than --chunk-size, "
            f"which is {options.chunk_size}"
        )


def _named(argument: str, name: str) -> tuple[str, str | None]:
    # Only the first slash counts: models of routers have slashes of their own.
    provider, slash, model = name.partition("/")
    if not provider or (slash and not model):
        raise UsageError(f"argument {argument}: '{name}' must be PROVIDER or PROVIDER/MODEL")
    return provider, model or None


def _unusable(argument: str, error: ConfigurationError) -> UsageError:
    return UsageError(f"argument {argument}: {str(error).removeprefix(CONFIGURATION)}")


def _paths(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "paths",
        type=_named_path,
        nargs="+",
        metavar="PATH",
        help="a file, a folder with all files below it (names starting with a dot are skipped), a pattern such as "
        "'notes/**/*.pdf', or - for standard input",
    )


def _store(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--store",
        type=_folder,
        required=True,
        metavar="FOLDER",
        help="the folder of the passages alone",
    )
    command.add_argument(
        "--embedding",
        default="local",
        metavar="PROVIDER/MODEL",
        help="who makes vectors, such as openai/text-embedding-3-small or local/minilm, with the key from the "
        "environment; the same one for every use of a store (default: %(default)s, on this machine)",
    )


def _sizes(command: argparse.ArgumentParser, unit: str) -> None:
    command.add_argument(
        "--chunk-size",
        type=_whole(1),
        default=1000,
        metavar="N",
        help=f"{unit} of a chunk at most (default %(default)s)",
    )
    command.add_argument(
        "--chunk-overlap",
        type=_whole(0),
        default=100,
        metavar="N",
        help=f"{unit} repeated from the chunk before at most (default %(default)s)",
    )


def _encoding(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--encoding",
        default=ENCODING,
        metavar="NAME",
        help="of the tokens: an encoding, or an OpenAI model (default %(default)s)",
    )


def _named_path(text: str) -> str:
    # The library of paths takes "" for the working folder. Here it is a variable that was never set.
    if not text:
        raise argparse.ArgumentTypeError(
            "'' is no path; write . for the working folder, and - for standard input"
        )
    return text


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("'' is no folder; name one for the store alone")
    return Path(text)


def _whole(least: int, most: int = 2**31) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if least <= number <= most:
            return number
        limits = f"of at least {least}" if most == 2**31 else f"from {least} to {most}"
        raise argparse.ArgumentTypeError(f"'{text}' must be a whole number {limits}")

    return parse
