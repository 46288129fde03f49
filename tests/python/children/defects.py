"""What either package does where GraphBit 0.6.8 is wrong: `defects.py <scope's URL> <case>...`.

Runs under 0.6.8 and under this package alike. Each case returns its verdict; the last line printed is
all of them as one JSON object. The docstring of a case names the defect of the contract's list.
"""

import asyncio
import json
import math
import os
import signal
import sys
import threading
import time
import urllib.request
from pathlib import Path

import graphbit

URL = sys.argv[1]
KEY = "sk-0123456789abcdef0123"
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}


def control(verb, **settings):
    body = None if verb in ("log", "stats") else json.dumps(settings).encode()
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"{URL}/control/{verb}", body, headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=10) as reply:
        text = reply.read()
    return json.loads(text) if text else None


def azure(deployment="prod-chat"):
    return graphbit.LlmClient(graphbit.LlmConfig.azurellm(KEY, deployment, URL))


def bytedance():
    return graphbit.LlmClient(graphbit.LlmConfig.bytedance(KEY, "m", URL + "/v1"))


def embeddings():
    return graphbit.EmbeddingClient(graphbit.EmbeddingConfig.azure(KEY, "d", URL))


def answered(message, finish="stop", **usage):
    usage = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9, **usage}
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    control("behaviour", body={"id": "r1", "model": "m-1", "choices": [choice], "usage": usage})


def caught(work, *arguments, **options):
    """The built-in classes of what is raised, most special first, and the exception."""
    try:
        return ["answered"], work(*arguments, **options)
    except Exception as error:
        names = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == "builtins"]
        return [
            name for name in names if name not in ("Exception", "BaseException", "object")
        ], error


def last_body():
    return json.loads(control("log")[-1]["body"])


def repr_multibyte():
    """D-1: the fiftieth byte of the content is inside a character."""
    return repr(graphbit.LlmResponse("a" + "é" * 40, "m")).startswith("LlmResponse(content='aé")


def temperature_above_one():
    """D-2: what is sent for 1.7."""
    azure().complete("x", temperature=1.7)
    return last_body()["temperature"]


def temperature_digits():
    """D-21: what is sent for 0.7."""
    azure().complete("x", temperature=0.7)
    return last_body()["temperature"]


def temperature_nan():
    """D-20: the asynchronous variant and a NaN."""

    async def main():
        return await azure().complete_async("x", temperature=math.nan)

    return caught(asyncio.run, main())[0]


def batch():
    """D-3: entries for ten prompts and an empty one, and whether the answers keep their order."""
    control("behaviour", latency_ms={"uniform": [0, 150]})
    prompts = [str(number) for number in range(10)]

    async def main():
        return await azure().complete_batch([*prompts[:5], "", *prompts[5:]], max_concurrency=11)

    answers = asyncio.run(main())
    said = [answer for answer in answers if answer.startswith("echo: ")]
    return [len(answers), said == [f"echo: {prompt}" for prompt in prompts]]


def null_content():
    """D-4: the ordinary reply that calls a tool."""
    answered({"content": None, "tool_calls": [CALL]}, "tool_calls")
    kinds, response = caught(bytedance().complete_full, "x")
    return [response.content, len(response.tool_calls)] if kinds == ["answered"] else kinds


def no_concurrency():
    """D-6: `max_concurrency=0`."""
    return caught(embeddings().embed_batch_parallel, [["a"]], max_concurrency=0)[0][0]


def batch_connections():
    """D-6: whether six inner batches, one after the other, share connections.

    An answer is there a moment before its connection is free again: on a busy machine the next
    request may open a second one, and from then on one of the two is always free.
    """
    embeddings().embed_batch_parallel([["a"]] * 6, max_concurrency=1)
    return len({entry["connection_id"] for entry in control("log")}) <= 2


def batch_waits_busily():
    """D-6: whether inner batches that wait for their turn burn the processor."""
    control("behaviour", latency_ms=300)
    before = time.process_time()
    embeddings().embed_batch_parallel([["a"]] * 3, max_concurrency=1)
    return time.process_time() - before > 0.1


def refusal_repeated():
    """D-8: requests for a call that is refused with 400."""
    control("behaviour", fail_every=1, fail_status=400)
    caught(azure().complete, "x")
    return len(control("log"))


def retry_after():
    """D-8: whether the server's `Retry-After` of half a second is waited for."""
    control("behaviour", status=[[429, "slow", {"retry-after": "0.5"}]])
    started = time.monotonic()
    azure().complete("x")
    return time.monotonic() - started >= 0.5


def refusal_class():
    """D-9: classes and status of a 401."""
    control("behaviour", fail_every=1, fail_status=401)
    kinds, error = caught(azure().complete, "x")
    return [
        "PermissionError" in kinds,
        "RuntimeError" in kinds,
        getattr(error, "status_code", None),
    ]


def embedding_refusal_class():
    """D-10: classes of refusals whose texts mislead."""
    client = embeddings()
    control("behaviour", status=[[401, "invalid api key"], [400, "a field is missing"]])
    kinds = [caught(client.embed, "x")[0] for _ in range(2)]
    return ["PermissionError" in kinds[0], "FileNotFoundError" in kinds[1]]


def filler_for_calls():
    """D-23: an invented sentence in place of no content at all, where the limit was reached."""
    answered({"content": None}, "length")
    return azure().complete("x")[:1]


def responses_version():
    """D-24: the version asked of Azure's Responses route, which came with 2025."""
    caught(azure("gpt-4o").complete, "x")
    return control("log")[0]["path"].rpartition("=")[2] >= "2025"


def usage_total():
    """D-27: a total beyond 32 bits."""
    return graphbit.LlmUsage(2**32 - 1, 2).total_tokens


def redirect():
    """D-28: requests that carry the key to another host, because a server says so."""
    elsewhere = URL.replace("127.0.0.1", "localhost") + "/v1/chat/completions"
    control("behaviour", status=[[307, "", {"location": elsewhere}]])
    caught(azure().complete, "x")
    entries = [entry["headers"] for entry in control("log")]
    return sum("localhost" in found["host"] and found.get("api-key") == KEY for found in entries)


def logging():
    """D-31: no verdict; what a failed call logs is what counts."""
    graphbit.init(log_level="debug", enable_tracing=True)
    control("behaviour", fail_every=1, fail_status=400)
    caught(azure().complete, "a prompt nobody else may read")


def interrupt():
    """D-29: whether Ctrl-C ends a call before its answer comes."""
    control("behaviour", latency_ms=1200)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    started = time.monotonic()
    try:
        azure().complete("x")
    except KeyboardInterrupt:
        pass
    return time.monotonic() - started < 1


def after_fork():
    """D-30: whether a child of a process that has made a call can make one."""
    client = azure()
    client.complete("x")
    if (child := os.fork()) == 0:
        client.complete("x")
        os._exit(0)
    for _ in range(100):
        if os.waitpid(child, os.WNOHANG) == (child, 0):
            return "answers"
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return "hangs"


def decode_reason():
    """D-33: whether an unreadable answer is explained."""
    control("behaviour", body='{"choices": 7}')
    return "line 1" in str(caught(azure().complete, "x")[1])


def breaker():
    """D-34: the breaker after a call refused with 400, and after another that met a 503."""
    client = azure()
    states = []
    for status in (400, 503):
        control("behaviour", fail_every=1, fail_status=status)
        caught(client.complete, "x")
        states.append(client.get_stats()["circuit_breaker_state"])
    return states


def rejected_calls():
    """D-34: calls that no count but the total has, after five failed and one was turned away."""
    control("behaviour", fail_every=1, fail_status=503)
    client = azure()

    async def main():
        return await client.complete_batch(["x"] * 5, max_concurrency=5)

    asyncio.run(main())
    text = str(caught(client.complete, "x")[1])
    stats = client.get_stats()
    parts = stats["successful_requests"] + stats["failed_requests"]
    return [text, stats["total_requests"] - parts]


def average_time():
    """D-34: whether the mean of one success of 100 ms is 100 ms, after a failure."""
    client = azure()
    control("behaviour", fail_every=1, fail_status=400)
    caught(client.complete, "x")
    control("behaviour", latency_ms=100)
    client.complete("x")
    return client.get_stats()["average_response_time_ms"] >= 99


def threads():
    tasks = Path("/proc/self/task").iterdir()
    return {(task.name, (task / "comm").read_text().strip()) for task in tasks}


def runtimes():
    """D-12: names of the threads that the first asynchronous call starts beside the runtime's."""
    graphbit.configure_runtime(worker_threads=2, max_blocking_threads=2)
    client = azure()
    client.complete("x")
    before = threads()

    async def main():
        return await client.complete_async("x")

    asyncio.run(main())
    # A thread that has just begun still bears the name of the one that started it.
    begun = {name for _, name in threads() - before} - {name for _, name in before}
    deadline = time.monotonic() + 2
    while not begun and time.monotonic() < deadline:
        time.sleep(0.01)
        begun = {name for _, name in threads() - before} - {name for _, name in before}
    return sorted(begun)


def accounting():
    """D-36: cached tokens, and the model that answered."""
    answered({"content": "yes"}, prompt_tokens_details={"cached_tokens": 3})
    response = azure().complete_full("x")
    return [response.usage.cache_read_tokens, response.metadata.get("server_model")]


def filtered():
    """D-38: whether an answer cut by a content filter counts as an error."""
    body = {"id": "r1", "status": "incomplete", "output": [], "usage": {}}
    control("behaviour", body={**body, "incomplete_details": {"reason": "content_filter"}})
    reason = azure("gpt-4o").complete_full("x").finish_reason
    return [str(reason), reason.is_error()]


def streaming():
    """D-39: streams of Azure and ByteDance."""

    async def read(client):
        return "".join([piece async for piece in client.stream("a b")])

    outcomes = [caught(asyncio.run, read(client)) for client in (azure(), bytedance())]
    return [text if kinds == ["answered"] else kinds for kinds, text in outcomes]


def embedding_rows():
    """D-40: rows out of order, a row that is no vector, a row too few."""
    client = embeddings()
    verdicts = []
    for rows in (
        [{"index": 1, "embedding": [2]}, {"index": 0, "embedding": [1]}],
        [{"index": 0, "embedding": [1]}, {"index": 1, "embedding": ["x"]}],
        [{"index": 0, "embedding": [1]}],
    ):
        control("behaviour", body={"data": rows, "usage": {"prompt_tokens": 1, "total_tokens": 1}})
        kinds, vectors = caught(client.embed_many, ["a", "b"])
        verdicts.append(vectors if kinds == ["answered"] else "refused")
    return verdicts


def value_types():
    """D-42: equality by value, and what `with_*` returns."""
    response = graphbit.LlmResponse("a", "m")
    same = graphbit.LlmUsage(1, 2) == graphbit.LlmUsage(1, 2)
    return [same, response.with_id("r1") is response, response.id]


def system_info():
    """D-44: whether the build's target is read from the environment of the run."""
    os.environ["TARGET"] = "somewhere-else"
    azure().complete("x")
    info = graphbit.get_system_info()
    return [list(info), info["build_target"] == "somewhere-else"]


def main():
    verdicts = {}
    for name in sys.argv[2:]:
        control("reset")
        try:
            verdicts[name] = globals()[name]()
        except Exception as error:
            verdicts[name] = f"{type(error).__name__}: {error}"
    print(json.dumps(verdicts), flush=True)
    # D-1b: an ordinary exit soon after an asynchronous call may end 0.6.8 with a signal.
    os._exit(0)


main()
