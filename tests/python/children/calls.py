"""Calls whose outcome has to be the same in GraphBit 0.6.8 and here, one function each.

Run by both interpreters with the same environment; a function returns what it saw and judges nothing.
"""

import asyncio
import inspect
import json
import math
from itertools import pairwise

import graphbit
from forks import KEY, attempt, bodies, client, embedder, run
from graphbit import (
    EmbeddingClient,
    EmbeddingConfig,
    FinishReason,
    LlmClient,
    LlmConfig,
    LlmResponse,
    LlmToolCall,
    LlmUsage,
)

# Constructors over a plain HTTP API, with what they need beside the key.
MAKERS = {
    **dict.fromkeys(("openai", "anthropic", "bytedance", "deepseek", "perplexity"), ()),
    **dict.fromkeys(("openrouter", "openrouter_with_site", "fireworks", "ai21"), ()),
    **dict.fromkeys(("replicate", "togetherai", "xai", "mistralai", "gemini"), ()),
    "azurellm": ("deployment", "https://host"),
}
SHORTEST = {"openai": 20, "anthropic": 15}
CHATTING = [
    *("openai", "bytedance", "deepseek", "perplexity", "openrouter", "fireworks", "togetherai"),
    *("xai", "ai21", "mistralai", "azurellm"),
]


def keys(server):
    """Shortest and too short keys of every constructor."""
    seen = {}
    for name, more in MAKERS.items():
        shortest = SHORTEST.get(name, 8)
        for key in ("", "k" * (shortest - 1), "k" * shortest, "é" * (shortest // 2 + 1), " " * 30):
            outcome = attempt(getattr(LlmConfig, name), key, *more)
            outcome.pop("returned", None)
            seen[f"{name} {len(key)}"] = outcome
    for name, more in (("openai", ()), ("azure", ("d", "https://host"))):
        for length in (0, 7, 8, 19, 20):
            outcome = attempt(getattr(EmbeddingConfig, name), "k" * length, *more)
            outcome.pop("returned", None)
            seen[f"embedding {name} {length}"] = outcome
    return seen


def names(server):
    """Provider and model, given and not; an empty model stays empty."""
    seen = {}
    for name, more in MAKERS.items():
        for arguments in ((), ("mine",), ("",)):
            if name == "azurellm" and arguments:
                continue
            config = getattr(LlmConfig, name)(KEY, *more, *arguments)
            seen[f"{name} {arguments}"] = [config.provider(), config.model(), config.cleanup()]
            with config as entered:
                seen[f"{name} with"] = entered is config
            seen[f"{name} leaving"] = config.__exit__(None, None, None)
    seen["ollama"] = [LlmConfig.ollama().model(), LlmConfig.ollama("x").model()]
    return seen


ARGUMENTS = [
    {"prompt": ""},
    {"prompt": "", "max_tokens": 0, "temperature": 9.0},
    {"max_tokens": 0},
    {"max_tokens": -1},
    {"max_tokens": 0, "temperature": 9.0},
    {"max_tokens": 100_000},
    {"max_tokens": 100_001},
    {"max_tokens": 2**32 - 1},
    {"max_tokens": 2**32},
    {"max_tokens": 2**63},
    {"max_tokens": 1.5},
    {"max_tokens": True},
    {"max_tokens": "1"},
    {"temperature": -0.1},
    {"temperature": 0},
    {"temperature": 1.0},
    {"temperature": 2.1},
    {"temperature": 3.0},
    {"temperature": math.nan},
    {"temperature": math.inf},
    {"temperature": -math.inf},
    {"temperature": "hot"},
    {"prompt": None},
    {"prompt": b"x"},
    {"prompt": " \n"},
    {"unknown": 1},
]


def when_it_fails(make):
    """Whether a call fails at once or when awaited, and how."""

    async def main():
        try:
            pending = make()
        except Exception as error:
            return ["at once", *described(error)]
        try:
            if inspect.isawaitable(pending):
                await pending
            elif hasattr(pending, "__anext__"):
                return ["stream"]
        except Exception as error:
            return ["awaited", *described(error)]
        return ["answered"]

    return asyncio.run(main())


def described(error):
    """The built-in classes, and the text where it is ours rather than the interpreter's."""
    bases = [one.__name__ for one in type(error).__mro__ if one.__module__ == "builtins"]
    return [bases, str(error) if "ValueError" in bases else None]


def arguments(server):
    """Every row of the table of argument checks, for every method."""
    seen = {}
    answering = client("azurellm", server)
    methods = ["complete", "complete_full", "complete_async", "complete_full_async"]
    for method in (*methods, "stream", "complete_stream"):
        for given in ARGUMENTS:
            call = {"prompt": "x"} | given
            work = getattr(answering, method)
            seen[f"{method} {given}"] = when_it_fails(lambda w=work, c=call: w(**c))
        seen[f"{method} nothing"] = when_it_fails(getattr(answering, method))
    options = [given for given in ARGUMENTS if "prompt" not in given]
    for given in [*options, {"max_concurrency": 0}, {"max_concurrency": -1}]:
        work = answering.complete_batch
        seen[f"batch {given}"] = when_it_fails(lambda w=work, g=given: w(["x"], **g))
    for prompts in ([], ("a", "b"), "ab", [1], None, ["a"] * 1001, ["a", None]):
        label = f"batch of {str(prompts)[:20]}"
        seen[label] = when_it_fails(lambda p=prompts: answering.complete_batch(p))
    both = {"max_tokens": 0, "max_concurrency": 0, "temperature": 9.0}
    seen["batch order"] = when_it_fails(lambda: answering.complete_batch([], **both))
    for given in options:
        seen[f"chat {given}"] = when_it_fails(
            lambda g=given: answering.chat_optimized([("user", "x")], **g)
        )
    for messages in (
        [],
        [["user", "x"]],
        [("user", "x", "y")],
        [{"role": "user", "content": "x"}],
        [("user", "")],
        [("user", ""), ("system", "")],
        [("user", 1)],
        (("user", "x"),),
        "ab",
        None,
    ):
        seen[f"chat {messages}"] = when_it_fails(lambda m=messages: answering.chat_optimized(m))
    for wrong in (None, "openai", LlmConfig, LlmUsage(1, 2)):
        seen[f"client {type(wrong).__name__}"] = when_it_fails(lambda w=wrong: LlmClient(w))
    return seen


def conversation(server):
    """Roles, and entries without content."""
    messages = [
        *(("system", "s"), ("user", "u"), ("assistant", "a"), ("tool", "t"), ("System", "S")),
        *(("user", ""), ("", "empty"), ("developer", "d"), ("user", "last")),
    ]

    async def main():
        answering = client("bytedance", server)
        return await answering.chat_optimized(messages, 5, 1.0, True)

    return [asyncio.run(main()), bodies(server)]


def statistics(server):
    """Keys, their order and types, before and after calls, a failure among them."""
    answering = client("azurellm", server)
    seen = [answering.get_stats()]
    answering.complete("x")
    seen.append(answering.get_stats())
    server.behaviour(status=[503, 503])
    answering.complete("x")
    seen.append(answering.get_stats())
    answering.reset_stats()
    seen.append(answering.get_stats())
    slow = seen[2]["average_response_time_ms"]
    for stats in seen:
        stats["average_response_time_ms"] = type(stats["average_response_time_ms"]).__name__
        stats["uptime_seconds"] = type(stats["uptime_seconds"]).__name__
    return [[list(stats.items()) for stats in seen], slow > 150]


def open_breaker(server):
    """What a call is told once the breaker is open."""
    failing = client("azurellm", server)
    server.behaviour(fail_every=1, fail_status=500)
    for _ in range(9):
        outcome = attempt(failing.complete, "x")
        if outcome["text"].startswith("Circuit"):
            break

    async def main():
        return await failing.complete_batch(["a"])

    batch = asyncio.run(main())
    return [outcome["text"], batch, failing.get_stats()["circuit_breaker_state"]]


def pauses(server):
    """How long is waited between the attempts of one call."""
    server.behaviour(fail_every=1, fail_status=500)
    outcome = attempt(client("azurellm", server).complete, "x")
    started = [entry["started"] for entry in server.log()]
    gaps = [after - before for before, after in pairwise(started)]
    return [outcome["text"], gaps]


def warm_up(server):
    """One request, once; the same words whatever becomes of it."""

    async def main():
        answering = client("bytedance", server)
        said = [await answering.warmup() for _ in range(2)]
        server.behaviour(fail_every=1, fail_status=500)
        return [*said, await client("bytedance", server).warmup(), answering.get_stats()]

    said = asyncio.run(main())
    said[-1] = said[-1]["total_requests"]
    return [said, bodies(server)[:1], len(server.log()) - 1]


def requests(server):
    """Path, credentials and body of a plain request and a stream, provider by provider."""
    seen = {}
    for provider in CHATTING:
        answering = client(provider, server)
        answering.complete_full("Hi", max_tokens=7, temperature=0.5)
        seen[provider] = entry_of(server)
        seen[f"{provider} bare"] = (answering.complete("Hi"), entry_of(server))[1]
        server.reset()
    for provider in ("openai", "deepseek", "perplexity", "xai", "mistralai", "ai21"):

        async def main(provider=provider):
            stream = client(provider, server).stream("Hi", max_tokens=7)
            return [piece async for piece in stream]

        pieces = asyncio.run(main())
        seen[f"{provider} stream"] = [*entry_of(server), "".join(pieces)]
        server.reset()
    site = LlmConfig.openrouter_with_site(KEY, None, "https://site", "Site")
    LlmClient(site).complete("Hi")
    headers = server.log()[-1]["headers"]
    seen["site"] = [headers.get("http-referer"), headers.get("x-title")]
    return seen


def entry_of(server):
    entry = server.log()[-1]
    names = ("authorization", "api-key", "content-type")
    headers = [entry["headers"].get(name) for name in names]
    return [entry["method"], entry["path"], headers, json.loads(entry["body"])]


def unsupported_streams(server):
    """A stream that cannot open fails on its first item, and may be asked again."""
    server.behaviour(status=[[400, "first"]] * 2)

    async def main():
        stream = client("openai", server).stream("x")
        seen = []
        for _ in range(2):
            try:
                await stream.__anext__()
            except RuntimeError as error:
                seen.append(str(error))
        return [*seen, "".join([piece async for piece in stream])]

    return asyncio.run(main())


def values(server):
    """Value types: what they print, hold and refuse."""
    usage = LlmUsage(3, 4)
    usage.add(LlmUsage(1, 1))
    usage += LlmUsage(1, 0)
    seen = [repr(usage), str(usage + LlmUsage(1, 1)), usage.to_dict(), LlmUsage.empty().to_dict()]
    good = {"prompt_tokens": 1, "completion_tokens": 2}
    seen.append(LlmUsage.from_dict(good | {"total_tokens": 9}).to_dict())
    for wrong in ({}, {"prompt_tokens": 1}, good | {"prompt_tokens": "1"}, [1]):
        seen.append(attempt(LlmUsage.from_dict, wrong).get("is"))
    for wrong in ((-1, 1), (2**32, 1), (1.5, 1), ("1", 1)):
        seen.append(attempt(LlmUsage, *wrong)["is"])
    reasons = ["stop", "length", "tool_calls", "content_filter", "error"]
    for reason in (*(getattr(FinishReason, name)() for name in reasons), FinishReason.other("x")):
        flags = [reason.is_natural_stop(), reason.is_truncated(), reason.is_error()]
        seen.append([repr(reason), str(reason), reason.to_string(), *flags])
    for text in ('{"b": 1, "a": [1, 2.5]}', "[]", "3", '"x"', "null", "12345678901234567890123"):
        call = LlmToolCall("i", "n", text)
        seen.append([call.parameters, call.to_dict(), repr(call), str(call)])
    for wrong in ("{", "", {}):
        seen.append(attempt(LlmToolCall, "i", "n", wrong))
    for content in ("", "a" * 50, "a" * 51, "é" * 25, "é" * 26, "日" * 10, 'it\'s "x"\n'):
        seen.append(repr(LlmResponse(content, "m")))
    response = LlmResponse("c", "m")
    response.with_usage(usage)
    response.with_tool_calls([LlmToolCall("i", "n", "{}")])
    response.with_finish_reason(FinishReason.length())
    response.with_id("7")
    response.with_metadata("text", '"x"')
    seen.append([list(response.to_dict().items()), response.metadata, repr(response)])
    seen.append([response.total_tokens(), response.is_truncated(), response.has_tool_calls()])
    seen.append(attempt(response.with_metadata, "k", "bad"))
    for cls in (LlmConfig, EmbeddingConfig, FinishReason):
        seen.append(attempt(cls)["is"])
    for thing in (response, usage, FinishReason.stop()):
        seen.append(attempt(setattr, thing, "extra", 1)["is"])
    return seen


def embeddings(server):
    """Azure embeddings: address, key, vectors, batches, failures."""
    slashes = EmbeddingConfig.azure(KEY, "dep", server.base_url + "//", api_version="v9")
    answering = EmbeddingClient(slashes)
    server.behaviour(dimensions=6)
    vectors = [answering.embed("one"), answering.embed_many(["one", "two", ""])]
    sent = [[*entry[:3], entry[3]["input"]] for entry in map(plain, server.log())]
    batch = answering.embed_batch_parallel([["a", "b"], ["c"]], max_concurrency=1)
    # One group only: which of several is asked for first is chance there.
    server.behaviour(dimensions=6, status=[[400, "bad words"]])
    partly = answering.embed_batch_parallel([["a", "b"]], max_concurrency=1)
    for result in (batch, partly):
        result["duration_ms"] = type(result["duration_ms"]).__name__
        average = result["stats"]["avg_response_time_ms"]
        result["stats"]["avg_response_time_ms"] = type(average).__name__
    shown = [list(result.items()) for result in (batch, partly)]
    shown += [list(result["stats"].items()) for result in (batch, partly)]
    wrong = [
        attempt(answering.embed, ""),
        attempt(answering.embed_many, []),
        attempt(answering.embed_batch_parallel, []),
        attempt(answering.embed_batch_parallel, ["a", "b"])["is"],
        attempt(answering.embed_batch_parallel, [["a"]], max_concurrency=-1)["is"],
        attempt(answering.embed, ["a"])["is"],
        attempt(answering.embed_many, "text")["is"],
        attempt(EmbeddingClient, "azure")["is"],
    ]
    return [vectors, sent, shown, wrong]


def plain(entry):
    headers = [entry["headers"].get(name) for name in ("authorization", "api-key")]
    return [entry["method"], entry["path"], headers, json.loads(entry["body"])]


def embedding_texts(server):
    """How an embedding failure reads, whatever its class."""
    seen = []
    for behaviour in ({"status": [[400, "no: {}"]]}, {"body": {"data": []}}, {"body": {}}):
        server.behaviour(**behaviour)
        seen.append(attempt(embedder(server).embed, "x")["text"])
    return seen


def similarities(server):
    """Cosines, to the bit."""
    pairs = [
        ([1.0, 0.0], [2.0, 0.0]),
        ([1, 1], (-1, -1)),
        ([0.1, 0.2, 0.3], [0.3, 0.2, 0.1]),
        ([0.0], [1.0]),
        ([], []),
        ([1e30, 1.0], [1e30, 1.0]),
        ([math.nan], [1.0]),
        ([1e-30], [1e-30]),
    ]
    seen = [repr(EmbeddingClient.similarity(one, other)) for one, other in pairs]
    refused = attempt(EmbeddingClient.similarity, [1.0], [1.0, 2.0])
    return [*seen, refused["text"], "RuntimeError" in refused["is"]]


def functions(server):
    """The functions of the module, before and after the runtime is there."""
    seen = [list(graphbit.get_system_info()), list(graphbit.health_check())]
    before = graphbit.health_check()
    seen.append([before["runtime_healthy"], before["overall_healthy"]])
    for given in (
        {"worker_threads": 0},
        {"max_blocking_threads": -1},
        {"thread_stack_size_mb": 0},
        {"worker_threads": 2**31},
        {"worker_threads": "2"},
    ):
        outcome = attempt(graphbit.configure_runtime, **given)
        seen.append([outcome["is"][0], outcome["text"] if "positive" in outcome["text"] else None])
    seen.append(graphbit.configure_runtime(worker_threads=2, max_blocking_threads=3))
    seen += [graphbit.init("no such level"), graphbit.init(), attempt(graphbit.init, 5)["is"][0]]
    info = graphbit.get_system_info()
    seen.append([list(info), info["runtime_initialized"], info["cpu_count"]])
    seen.append([type(value).__name__ for value in info.values()])
    health = graphbit.health_check()
    seen.append([list(health), health["overall_healthy"], health["runtime_uptime_ok"]])
    return [*seen, graphbit.shutdown(), graphbit.shutdown()]


CASES = {
    case.__name__: case
    for case in (
        keys,
        names,
        arguments,
        conversation,
        statistics,
        open_breaker,
        pauses,
        warm_up,
        requests,
        unsupported_streams,
        values,
        embeddings,
        embedding_texts,
        similarities,
        functions,
    )
}

if __name__ == "__main__":
    import sys

    run({name: CASES[name] for name in sys.argv[2:] or CASES}, float(sys.argv[1]))
