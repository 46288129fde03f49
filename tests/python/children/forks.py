"""Runs functions of a program each in a fork of its own, all at once, on a kill timer.

An abort or a hang of the library under test costs one case, and the interpreter's start is paid once.
Prints one JSON object: for each case ``{"value": what it returned}``, or ``{"raised": text}``, or
``{"signal": number}``, or ``{"hung": true}``; ``stdout`` and ``stderr`` beside it.
"""

import json
import os
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from simulator import Server, Simulator


class Running(Simulator):
    """The simulator that the tests have started."""

    def __init__(self, url):
        self.address = url.removeprefix("http://")


SIMULATOR = Running(os.environ["SIMULATOR"])
KEY = "sk-0123456789abcdef0123"
AT_ONCE = 8


def run(cases, limit):
    """Runs the cases, at most ``limit`` seconds each."""
    import graphbit  # before the forks, so that it is loaded once

    assert graphbit.version()
    waiting, running, outcomes = list(cases.items()), {}, {}
    with tempfile.TemporaryDirectory() as folder:
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                name, case = waiting.pop(0)
                running[start(name, case, Path(folder))] = (name, time.monotonic() + limit)
            for pid, (name, deadline) in list(running.items()):
                done, status = os.waitpid(pid, os.WNOHANG)
                if not done and time.monotonic() < deadline:
                    continue
                del running[pid]
                if not done:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                outcomes[name] = outcome(name, Path(folder), None if not done else status)
            time.sleep(0.005)
    json.dump(outcomes, sys.stdout)


def start(name, case, folder):
    pid = os.fork()
    if pid:
        return pid
    for number, stream in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(folder / f"{name}.{stream}", os.O_WRONLY | os.O_CREAT), number)
    code = 0
    try:
        # What the environment said of the scope is replaced by this case's own.
        scope = f"{os.environ['SCOPE']}-{name}"
        for variable in ("HTTP_PROXY", "HTTPS_PROXY"):
            if variable in os.environ:
                os.environ[variable] = os.environ[variable].replace("none:", f"{scope}:")
        value = {"value": case(Server(SIMULATOR, scope))}
        (folder / name).write_text(json.dumps(value))
    except BaseException:
        (folder / name).write_text(json.dumps({"raised": traceback.format_exc()}))
        code = 1
    finally:
        sys.stdout.flush()
        os._exit(code)


def outcome(name, folder, status):
    written = {
        stream: (folder / f"{name}.{stream}").read_text(errors="replace")[-4000:]
        for stream in ("stdout", "stderr")
    }
    if status is None:
        return {"hung": True} | written
    if os.WIFSIGNALED(status):
        return {"signal": os.WTERMSIG(status)} | written
    return json.loads((folder / name).read_text()) | written


def configuration(provider, server):
    """A provider with 0.6.8's own parameters; most addresses are the interceptor's business."""
    from graphbit import LlmConfig

    if provider == "azurellm":
        return LlmConfig.azurellm(KEY, "prod-chat", server.base_url)
    if provider == "azurellm-responses":
        return LlmConfig.azurellm(KEY, "gpt-4o", server.base_url)
    if provider == "bytedance":
        return LlmConfig.bytedance(KEY, None, server.openai_url)
    if provider == "ollama":
        return LlmConfig.ollama()
    return getattr(LlmConfig, provider)(KEY)


def client(provider, server):
    from graphbit import LlmClient

    return LlmClient(configuration(provider, server))


def embedder(server):
    from graphbit import EmbeddingClient, EmbeddingConfig

    return EmbeddingClient(EmbeddingConfig.azure(KEY, "embed", server.base_url))


def attempt(work, *arguments, **options):
    """What a call returned, or the built-in classes and the text of what it raised."""
    try:
        return {"returned": work(*arguments, **options)}
    except Exception as error:
        names = [one.__name__ for one in type(error).__mro__ if one.__module__ == "builtins"]
        return {"raised": names[0] if type(error).__module__ == "builtins" else "", "is": names} | {
            "text": str(error)
        }


def bodies(server):
    return [json.loads(entry["body"] or "null") for entry in server.log()]
