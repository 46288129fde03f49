"""How far an ingest is, on the screen: with rich in a terminal, with tqdm in a notebook, else one line of text.

Both packages are used where they are installed and needed nowhere. Nothing is drawn for a file or a pipe.
"""

from __future__ import annotations

import sys
import threading
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from typing import TextIO

    from graphbit._graphbit import IngestProgress

_WIDTH = 20


class _Drawn(Protocol):
    def draw(self, progress: IngestProgress) -> None: ...
    def close(self) -> None: ...


class Bar:
    """A callback that draws, on whatever thread, until it is closed or the ingest has ended."""

    def __init__(self, drawn: _Drawn) -> None:
        self._drawn: _Drawn | None = drawn
        self._lock = threading.Lock()

    def __call__(self, progress: IngestProgress) -> None:
        with self._lock:
            if self._drawn is not None:
                self._drawn.draw(progress)
        if progress.finished:
            self.close()

    def close(self) -> None:
        """Leave the bar as it is and give the screen back."""
        with self._lock:
            drawn, self._drawn = self._drawn, None
            if drawn is not None:
                drawn.close()


def bar() -> Bar | None:
    """Return a callback that draws the progress, or ``None`` when nobody would see it."""
    stream = sys.stderr
    if stream is None:  # under pythonw
        return None
    if _in_notebook():
        return Bar(_Notebook() if find_spec("tqdm") else _Line(stream))
    try:
        if not stream.isatty():
            return None
    except ValueError:  # closed
        return None
    return Bar(_Rich(stream) if find_spec("rich") else _Line(stream))


def _in_notebook() -> bool:
    # Whoever runs in a kernel has imported IPython; importing it here would only cost time.
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in shell.config


def _settled(progress: IngestProgress) -> int:
    return progress.documents_done + progress.documents_failed


def _figures(progress: IngestProgress) -> list[str]:
    """What there is to tell beside the documents, the more important first."""
    figures = [f"{progress.chunks_done} chunks", f"{progress.chunks_per_second:.0f}/s"]
    if progress.cost is not None:
        figures.append(f"${progress.cost:.4f}")
    if progress.documents_failed:
        figures.append(f"{progress.documents_failed} failed")
    if progress.retries:
        figures.append(f"{progress.retries} retries")
    return figures


def _line(progress: IngestProgress) -> str:
    documents = f"{_settled(progress)}/{progress.documents_total} documents"
    eta = progress.eta_seconds
    if progress.finished or eta is None:
        time = f"{progress.seconds:.1f} s"
    else:
        minutes, seconds = divmod(round(eta), 60)
        hours, minutes = divmod(minutes, 60)
        time = (
            f"{hours}:{minutes:02}:{seconds:02} left" if hours else f"{minutes}:{seconds:02} left"
        )
    return ", ".join([documents, time, *_figures(progress)])


class _Line:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._width = 0

    def draw(self, progress: IngestProgress) -> None:
        total = progress.documents_total
        share = _settled(progress) / total if total else 0.0
        line = f"[{('#' * round(share * _WIDTH)).ljust(_WIDTH, '.')}] {_line(progress)}"
        # A shorter line must not leave the end of a longer one behind.
        self._stream.write("\r" + line.ljust(self._width))
        self._stream.flush()
        self._width = len(line)

    def close(self) -> None:
        if self._width:
            self._stream.write("\n")
            self._stream.flush()


class _Rich:
    def __init__(self, stream: TextIO) -> None:
        rich: Any = import_module("rich.progress")
        # A thread that draws by itself, or another standard output, would be the program's business.
        self._bar: Any = rich.Progress(
            rich.BarColumn(_WIDTH),
            rich.TextColumn("{task.description}", markup=False),
            console=rich.Console(file=stream),
            auto_refresh=False,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._bar.add_task("", total=None)
        self._bar.start()

    def draw(self, progress: IngestProgress) -> None:
        self._bar.update(
            self._task,
            total=progress.documents_total or None,
            completed=_settled(progress),
            description=_line(progress),
            refresh=True,
        )

    def close(self) -> None:
        self._bar.stop()


class _Notebook:
    def __init__(self) -> None:
        # As tqdm.auto chooses, without its warning where there are no widgets.
        tqdm: Any = import_module("tqdm.notebook" if find_spec("ipywidgets") else "tqdm.std")
        self._bar: Any = tqdm.tqdm(unit=" documents")

    def draw(self, progress: IngestProgress) -> None:
        self._bar.total = progress.documents_total or None
        self._bar.n = _settled(progress)
        self._bar.set_postfix_str(", ".join(_figures(progress)), refresh=False)
        self._bar.refresh()

    def close(self) -> None:
        self._bar.close()
