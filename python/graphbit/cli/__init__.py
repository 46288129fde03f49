"""The command line: files into a store, answers with citations out of it; texts cut and counted.

    graphbit ingest notes/ --store notes.db
    graphbit ask "Where does the swift sleep?" --store notes.db

Nothing leaves the machine and no key is read unless ``--llm`` or ``--embedding`` names a provider: a key that
happens to be in the environment is no order to send documents away. What is asked for goes to standard
output, everything else to standard error.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys
from typing import TYPE_CHECKING

from graphbit.cli.arguments import CONFIGURATION, UsageError, parser
from graphbit.exceptions import ConfigurationError, GraphbitError, ParameterError, ValidationError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["main"]

_FAILED = 1
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: What follows the program's name; default those of this process.

    Returns:
        0 when all went well, 1 when a document or the command failed, 130 after Ctrl-C.

    Raises:
        SystemExit: With 0 after ``--help`` and ``--version``, with 2 when an argument is unusable.
    """
    _speak_utf8()
    options = parser().parse_args(arguments)
    try:
        # Each command brings in what it needs, so that `--help` does not wait for all of it.
        code: int = importlib.import_module(f"graphbit.cli.{options.module}").run(options)
        sys.stdout.flush()
    except (UsageError, ConfigurationError, ParameterError, ValidationError) as error:
        command: argparse.ArgumentParser = options.command
        command.error(str(error).removeprefix(CONFIGURATION))
    except GraphbitError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # The reader, `head` for instance, has seen enough: that is no failure.
        _forget_output()
        return 0
    except OSError as error:
        _forget_output()
        return _fail(str(error))
    return code


def _fail(text: str) -> int:
    print(f"graphbit: {text}", file=sys.stderr)
    return _FAILED


def _speak_utf8() -> None:
    """Print any text and any file name, whatever the locale; only a terminal keeps its encoding."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            if stream.isatty():
                stream.reconfigure(errors="backslashreplace")
            else:
                stream.reconfigure(encoding="utf-8", errors="surrogateescape")


def _forget_output() -> None:
    """Let nothing be flushed into a broken pipe or a full disk at exit, where it would be reported again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
