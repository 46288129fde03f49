"""Puts secrets into addresses, proxies and headers, fails, and prints everything that can be printed then.

    KEY_PLACES='["key", "value of a header", "password"]' python key_places.py http://127.0.0.1:PORT

What is printed, and what the log says meanwhile at its most talkative, must not have a trace of the three.
Constructors are found by looking. (Answers and streams that quote the key are ``key_hunt.py``'s.)
"""

import asyncio
import copy
import inspect
import json
import os
import pickle
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from urllib.parse import quote

import graphbit
from graphbit import EmbeddingClient, EmbeddingConfig, LlmClient, LlmConfig

KEY, TOKEN, PASSWORD = json.loads(os.environ.pop("KEY_PLACES"))
QUOTED = quote(PASSWORD, safe="")
(SERVER,) = sys.argv[1:]
CLOSED = "http://127.0.0.1:9"
# Long texts of two threads must not mix: each line counts for the label above it.
PRINTING = threading.Lock()
# Parameters of no secrecy, with something to fill them.
KNOWN = {"model": "m", "deployment_name": "prod-chat"}
SECRET_WORDS = ("key", "token", "secret", "password", "auth", "credential")


def stand_in_libraries():
    """Libraries behind the bridges that complain about the key by quoting it."""

    class InferenceClient:
        def __init__(self, token=None, **_):
            self.token = token

        def __getattr__(self, name):
            def refuse(**_):
                raise RuntimeError(f"401 Unauthorized for Bearer {self.token}")

            return refuse

    def refuse(api_key=None, **_):
        raise RuntimeError(f"401 Unauthorized: {api_key} is no key")

    async def refuse_later(**options):
        refuse(**options)

    hub, litellm = ModuleType("huggingface_hub"), ModuleType("litellm")
    hub.InferenceClient = InferenceClient
    litellm.completion = litellm.embedding = refuse
    litellm.aembedding = refuse_later
    sys.modules.update(huggingface_hub=hub, litellm=litellm)


def constructors():
    """Every constructor that takes a secret: name, function, names of its parameters."""
    for cls in (LlmConfig, EmbeddingConfig):
        for name, raw in vars(cls).items():
            if name.startswith("_") or not isinstance(raw, staticmethod):
                continue
            make = getattr(cls, name)
            parameters = inspect.signature(make).parameters
            if {"api_key", "headers", "http_proxy"} & set(parameters):
                yield f"{cls.__name__}.{name}", make, parameters


def made(make, parameters, base, **changes):
    """One configuration with a secret in every place that can hold one."""
    given = {
        "api_key": KEY,
        "base_url": base,
        "endpoint": base,
        "timeout": 0.3,
        "headers": {"x-team-token": TOKEN, "authorization-extra": f"Basic {TOKEN}"},
    } | changes
    arguments = {}
    for name, parameter in parameters.items():
        if name in given:
            arguments[name] = given[name]
        elif name == "http_proxy":
            continue  # none unless a job has one
        elif name in KNOWN:
            arguments[name] = KNOWN[name]
        elif parameter.default is parameter.empty or any(word in name for word in SECRET_WORDS):
            raise LookupError(f"the hunt does not know the parameter {name!r} of {make}")
    return make(**arguments)


def tell(label, *things):
    """Prints every text that each thing has."""
    lines = [f"--- {label}"]
    for thing in things:
        lines += [repr(thing), str(thing), str(getattr(thing, "__dict__", ""))]
        if isinstance(thing, BaseException):
            # Without the lines of our own frames: they hold what was given, by right.
            lines += traceback.format_exception(type(thing), thing, thing.__traceback__)
            lines += [repr(thing.args), repr(vars(thing)), repr(getattr(thing, "__notes__", ""))]
            lines += [repr(thing.__cause__), repr(thing.__context__)]
        for copied in (pickle.dumps, copy.copy, copy.deepcopy):
            try:
                lines.append(str(copied(thing)))
            except Exception as error:
                lines.append(f"{copied.__name__}: {error!r}")
    with PRINTING:
        sys.stdout.write("\n".join(lines) + "\n")


def fail(label, make, parameters, base, **changes):
    """Makes a configuration and uses it in every way; how that ends is printed."""
    try:
        config = made(make, parameters, base, **changes)
    except LookupError:
        raise
    except Exception as error:
        tell(f"{label}: not made", error)
        return
    chat = isinstance(config, LlmConfig)
    client = (LlmClient if chat else EmbeddingClient)(config)
    tell(label, config, client)

    async def later():
        return await (client.complete_async("x") if chat else client.embed_async("x"))

    works = {"async": lambda: asyncio.run(later())}
    if chat:
        works["complete"] = lambda: client.complete_full("x")
        works["stream"] = lambda: list(client.stream("x"))
    else:
        works["parallel"] = lambda: client.embed_batch_parallel([["a"], ["b"]])
    for name, work in works.items():
        try:
            tell(f"{label}: {name} answered", work())
        except Exception as error:
            tell(f"{label}: {name} failed", error)
    tell(f"{label}: after", client, client.get_stats())


def main():
    graphbit.init(log_level="trace", enable_tracing=True)
    stand_in_libraries()
    jobs = []
    for name, make, parameters in constructors():

        def add(label, base, make=make, parameters=parameters, name=name, **changes):
            jobs.append((f"{name} {label}", make, parameters, base, changes))

        add("redirect", f"{SERVER}/307")
        add("refusal", f"{SERVER}/401")
        add("key with a line break", SERVER, api_key=KEY + "\n")
        add("header with a line break", SERVER, headers={"x-token": TOKEN + "\r\n"})
        add("unusable header name", SERVER, headers={f"x {TOKEN}": "1"})
        add("secrets in the address", f"{SERVER}/401/?key={PASSWORD}")
        add("user in the address", f"{SERVER.replace('//', f'//user:{QUOTED}@')}/401")
        add("user at a closed door", f"{CLOSED.replace('//', f'//user:{QUOTED}@')}?q={QUOTED}")
        add("unusable address", f"htp//user:{PASSWORD}@host/?key={PASSWORD}")
        if "http_proxy" in parameters:
            add("closed proxy", SERVER, http_proxy=CLOSED.replace("//", f"//user:{QUOTED}@"))
            add("unusable proxy", SERVER, http_proxy=f"::{PASSWORD}::")
            add("refusing proxy", "http://far.invalid", http_proxy=f"{SERVER}/407?k={QUOTED}")
    sys.stdout.write(f"--- {len(jobs)} jobs\n")
    with ThreadPoolExecutor(160) as pool:
        for job in [pool.submit(fail, *job[:4], **job[4]) for job in jobs]:
            job.result()
    graphbit.shutdown()


if __name__ == "__main__":
    main()
