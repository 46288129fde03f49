"""What GraphBit 0.6.8 gets wrong with providers whose addresses are fixed there, one function each.

Run by both interpreters with the same environment, in which all addresses lead to the simulator
(``interception.py``); a function returns what it saw and judges nothing.
"""

import asyncio
import json
import os
import sys
from io import StringIO
from types import ModuleType

from forks import KEY, attempt, client, run

FAMILY = ["azurellm", "bytedance", "openrouter", "fireworks", "togetherai"]


def reply(message=None, finish="stop", **more):
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    choice = {"index": 0, "message": message or {"role": "assistant", "content": "hi"}}
    whole = {"id": "1", "model": "m-7", "choices": [choice | {"finish_reason": finish}]}
    return whole | {"usage": usage} | more


def sse(*deltas):
    whole = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    frames = [whole | {"choices": [choice]} for choice in choices]
    return "".join(f"data: {json.dumps(frame)}\n\n" for frame in frames)


def calling(name="f", arguments='{"a": 1}'):
    return {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}}


async def collect(stream):
    return [piece async for piece in stream]


# ---------------------------------------------------------------- the process


def stream_asked_again(server):
    async def main():
        stream = client("openai", server).stream("a b")
        seen = ["".join(await collect(stream))]
        for _ in range(2):
            try:
                seen.append(await stream.__anext__())
            except StopAsyncIteration:
                seen.append("end")
        return [*seen, await stream.streaming_response()]

    return asyncio.run(main())


def call_inside_a_bridge(server):
    import graphbit

    for name in ("huggingface_hub", "litellm"):
        sys.modules[name] = ModuleType(name)
    sys.modules["huggingface_hub"].InferenceClient = None
    for name in ("completion", "embedding", "aembedding"):
        setattr(sys.modules["litellm"], name, None)
    import graphbit.providers.huggingface.llm as wrapper

    inner = client("azurellm", server)

    class Nesting:
        def __init__(self, *_, **__):
            pass

        def chat(self, model, messages, **options):
            return inner.complete(messages[-1]["content"])

    wrapper.HuggingfaceLLM = Nesting
    return graphbit.LlmClient(graphbit.LlmConfig.huggingface(KEY)).complete("deep")


def streaming_to_stdout(server):
    sys.stdout = StringIO()

    async def main():
        return await client("openai", server).stream("a b").streaming_response()

    whole = asyncio.run(main())
    return [whole, sys.stdout.getvalue()]


# ---------------------------------------------------------------- requests


def ollama_options(server):
    client("ollama", server).complete("x", max_tokens=7)
    log = server.log()
    sent = json.loads(log[-1]["body"])
    return [[entry["path"] for entry in log], sent.get("options")]


def organization(server):
    import graphbit

    config = graphbit.LlmConfig.ai21(KEY, None, "my-org")
    graphbit.LlmClient(config).complete("x")
    return server.log()[0]["headers"].get("ai21-organization")


def base_urls(server):
    from graphbit import EmbeddingConfig, LlmClient, LlmConfig

    makers = ["openai", "anthropic", "deepseek", "gemini", "xai", "mistralai", "replicate"]
    accepted = {
        name: attempt(getattr(LlmConfig, name), KEY, base_url=server.openai_url).get("is", [])
        for name in makers
    }
    accepted["embeddings"] = attempt(EmbeddingConfig.openai, KEY, base_url=server.openai_url).get(
        "is", []
    )
    os.environ["OLLAMA_HOST"] = server.base_url
    for variable in ("HTTP_PROXY", "HTTPS_PROXY"):
        os.environ.pop(variable, None)
    server.behaviour(status=[[400, "seen"]] * 9)
    told = attempt(LlmClient(LlmConfig.ollama("m")).complete, "x")["text"]
    return [accepted, "seen" in told]


# ---------------------------------------------------------------- failures


# ---------------------------------------------------------------- answers


def tool_call_replies(server):
    server.behaviour(
        body=reply({"role": "assistant", "content": None, "tool_calls": [calling()]}, "tool_calls")
    )
    seen = {}
    for provider in ("bytedance", "deepseek", "perplexity"):
        outcome = attempt(client(provider, server).complete_full, "x")
        if "returned" in outcome:
            answer = outcome["returned"]
            outcome = [answer.content, [call.parameters for call in answer.tool_calls]]
        seen[provider] = outcome
    return seen


def invented_sentences(server):
    server.behaviour(
        body=reply({"role": "assistant", "content": "", "tool_calls": [calling()]}, "tool_calls")
    )
    providers = ("openai", "ai21", "fireworks", "xai", "mistralai", "bytedance")
    seen = {provider: client(provider, server).complete("x") for provider in providers}
    for finish in ("length", "content_filter"):
        server.behaviour(body=reply({"role": "assistant", "content": ""}, finish))
        seen[f"azurellm {finish}"] = client("azurellm", server).complete("x")
    return seen


def accounting(server):
    usage = {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
    usage["prompt_tokens_details"] = {"cached_tokens": 4}
    server.behaviour(body=reply(usage=usage, citations=["https://a"]))
    answers = [client(name, server).complete_full("x") for name in ("openai", "perplexity")]
    return [answers[0].usage.cache_read_tokens, *(answer.metadata for answer in answers)]


def finish_reasons(server):
    from graphbit import FinishReason

    server.behaviour(body=reply(finish="content_filter"))
    blocked = client("ai21", server).complete_full("x").finish_reason
    server.behaviour(body=reply({"role": "assistant", "content": "x"}, "surprise"))
    odd = client("xai", server).complete_full("x").finish_reason
    assert str(FinishReason.content_filter()) == "content_filter"
    return [str(blocked), blocked.is_error(), str(odd)]


# ---------------------------------------------------------------- streams


def one_packet(server):
    server.behaviour(one_packet=True)
    providers = ("openai", "anthropic", "deepseek", "perplexity", "xai", "mistralai", "ai21")
    return {
        provider: attempt(lambda p=provider: asyncio.run(collected(p, server)))
        for provider in (*providers, "gemini")
    }


async def collected(provider, server, prompt="one two three four"):
    return "".join(await collect(client(provider, server).stream(prompt)))


def broken_frames(server):
    frames = {
        "error": sse({"content": "a"}) + 'data: {"error": {"message": "broke"}}\n\n',
        "null calls": sse({"content": "a", "tool_calls": None}, {"content": "b"}),
        "no line end": sse({"content": "a"}) + sse({"content": "b"}).rstrip(),
        "no blank": sse({"content": "a"}).replace("data: ", "data:") + sse({"content": "b"}),
    }
    seen = {}
    for name, body in frames.items():
        server.behaviour(body=body)
        seen[name] = attempt(lambda: asyncio.run(collected("openai", server)))
    server.behaviour(split_utf8=True)
    seen["cut characters"] = attempt(lambda: asyncio.run(collected("openai", server, "żółć 🦀")))
    return seen


def counted_streams(server):
    answering = client("openai", server)
    asyncio.run(collect(answering.stream("x")))
    return answering.get_stats()["total_requests"]


def streams_of_the_family(server):
    return {
        provider: attempt(lambda p=provider: asyncio.run(collected(p, server)))
        for provider in FAMILY
    }


CASES = {
    case.__name__: case
    for case in (
        stream_asked_again,
        call_inside_a_bridge,
        streaming_to_stdout,
        ollama_options,
        organization,
        base_urls,
        tool_call_replies,
        invented_sentences,
        accounting,
        finish_reasons,
        one_packet,
        broken_frames,
        counted_streams,
        streams_of_the_family,
    )
}

if __name__ == "__main__":
    run({name: CASES[name] for name in sys.argv[2:] or CASES}, float(sys.argv[1]))
