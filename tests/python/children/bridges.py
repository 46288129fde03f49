"""Bridge calls that both GraphBit 0.6.8 and this package can make, with their outcomes as JSON.

``huggingface_hub`` and ``litellm`` are empty stand-ins: what answers are wrapper classes put in by hand.
"""

import inspect
import json
import sys
from importlib import import_module
from types import ModuleType
from types import SimpleNamespace as Thing

import graphbit

hub, litellm = ModuleType("huggingface_hub"), ModuleType("litellm")
hub.InferenceClient = litellm.completion = litellm.embedding = litellm.aembedding = None
sys.modules.update(huggingface_hub=hub, litellm=litellm)
hub_llm = import_module("graphbit.providers.huggingface.llm")
hub_embeddings = import_module("graphbit.providers.huggingface.embeddings")
litellm_llm = import_module("graphbit.providers.litellm.llm")
litellm_embeddings = import_module("graphbit.providers.litellm.embeddings")

KEY = "k" * 12
outcomes = {}
calls = []


def outcome(name, work, *arguments):
    try:
        outcomes[name] = work(*arguments)
    except Exception as error:
        bases = (ValueError, ImportError, AttributeError, RuntimeError)
        builtin = next(base for base in bases if isinstance(error, base))
        outcomes[name] = f"{builtin.__name__}: {error}"


def answering(result):
    class Wrapper:
        def __init__(self, *arguments, **options):
            calls.append(["made", arguments, options])

        def chat(self, *arguments, **options):
            calls.append(["chat", arguments, options])
            if isinstance(result, Exception):
                raise result
            return result

        def embed(self, *arguments, **options):
            calls.append(["embed", arguments, options])
            if isinstance(result, Exception):
                raise result
            return result

        def embed_many(self, *arguments, **options):
            calls.append(["embed_many", arguments, options])
            return result

    return Wrapper


def completion(content, **choice):
    return Thing(choices=[Thing(message=Thing(content=content), **choice)])


def described(client, *arguments):
    response = client.complete_full("hey", *arguments)
    usage = response.usage
    return [
        response.content,
        response.model,
        str(response.finish_reason),
        [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens],
    ]


# results of chat

thinking = Thing(message=Thing(content="", reasoning_content="thought"))
for name, result in {
    "completion": completion("hi"),
    "empty": completion(""),
    "reasoning": Thing(choices=[thinking]),
    "length": completion("x", finish_reason="length"),
    "own word": completion("x", finish_reason="weird"),
    "no word": completion("x", finish_reason=None),
    "usage": Thing(
        choices=completion("x").choices, usage=Thing(prompt_tokens=3, completion_tokens=4)
    ),
    "generation": [Thing(generated_text="g")],
    "str": "plain",
    "text": Thing(text="t"),
    "generated_text": Thing(generated_text="g2"),
}.items():
    litellm_llm.LiteLLMLLM = answering(result)
    client = graphbit.LlmClient(graphbit.LlmConfig.litellm(KEY, "mine"))
    outcome(f"chat: {name}", described, client, 4, 0.25)
    hub_llm.HuggingfaceLLM = answering(result)
    client = graphbit.LlmClient(graphbit.LlmConfig.huggingface(KEY))
    outcome(f"hub chat: {name}", described, client)

litellm_llm.LiteLLMLLM = answering(ValueError("boom"))
client = graphbit.LlmClient(graphbit.LlmConfig.litellm())
before = len(calls)
outcome("chat: raises", client.complete, "hey")
del calls[before + 1 :]  # 0.6.8 tries four times

# results of embed and embed_many

for name, result in {
    "vector": [0.1, 2],
    "rows": [[1, 2.5]],
    "none": None,
    "empty": [],
    "words": ["a"],
    "words in a row": [[1, "a"]],
    "raises": ValueError("boom"),
}.items():
    for cls, make in [
        ("HuggingfaceEmbeddings", graphbit.EmbeddingConfig.huggingface),
        ("LiteLLMEmbeddings", graphbit.EmbeddingConfig.litellm),
    ]:
        module = hub_embeddings if cls.startswith("H") else litellm_embeddings
        setattr(module, cls, answering(result))
        client = graphbit.EmbeddingClient(make(KEY))
        outcome(f"{cls}: {name}", client.embed, "a")
        if name != "raises":
            outcome(f"{cls}, many of one: {name}", client.embed_many, ["a"])
hub_embeddings.HuggingfaceEmbeddings = answering([[1, 2], [3, 4]])
client = graphbit.EmbeddingClient(graphbit.EmbeddingConfig.huggingface(KEY, "mine"))
outcome("many", client.embed_many, ["a", "b"])

# configurations

configs, embeddings = graphbit.LlmConfig, graphbit.EmbeddingConfig


def made(make, *arguments):
    make(*arguments)
    return "made"


for make, key in [
    (configs.huggingface, ""),
    (configs.huggingface, "k" * 9),
    (configs.litellm, ""),
    (configs.litellm, "k" * 7),
    (embeddings.huggingface, "é" * 4),
    (embeddings.litellm, ""),
    (embeddings.litellm, "k" * 7),
]:
    outcome(f"key of {len(key)} for {make.__qualname__}", made, make, key)
for make in (configs.huggingface, configs.litellm):
    config = make(KEY)
    outcomes[f"names of {make.__name__}"] = [config.provider(), config.model()]
    outcomes[f"cleanup of {make.__name__}"] = [config.cleanup(), config.cleanup()]


class Failing:
    def __init__(self, *arguments):
        raise ValueError("no")


for module, cls, make in [
    (hub_llm, "HuggingfaceLLM", configs.huggingface),
    (litellm_llm, "LiteLLMLLM", configs.litellm),
    (hub_embeddings, "HuggingfaceEmbeddings", embeddings.huggingface),
    (litellm_embeddings, "LiteLLMEmbeddings", embeddings.litellm),
]:
    setattr(module, cls, Failing)
    outcome(f"{cls} refuses", made, make, KEY)
    delattr(module, cls)
    outcome(f"{cls} is missing", made, make, KEY)
    sys.modules[module.__name__] = None
    outcome(f"{cls} cannot be imported", made, make, KEY)

# the wrappers' own signatures

for name in list(sys.modules):
    if name.startswith("graphbit.providers"):
        del sys.modules[name]
for module, cls in [
    ("huggingface.client", "Huggingface"),
    ("huggingface.inference", "HuggingfaceInference"),
    ("huggingface.llm", "HuggingfaceLLM"),
    ("huggingface.embeddings", "HuggingfaceEmbeddings"),
    ("litellm.client", "Litellm"),
    ("litellm.llm", "LiteLLMLLM"),
    ("litellm.embeddings", "LiteLLMEmbeddings"),
]:
    cls = getattr(import_module(f"graphbit.providers.{module}"), cls)
    for name, function in vars(cls).items():
        if inspect.isfunction(function):
            parameters = inspect.signature(function).parameters.values()
            outcomes[f"{cls.__name__}.{name}"] = [
                [p.name, str(p.kind), None if p.default is p.empty else repr(p.default)]
                for p in parameters
            ] + [inspect.iscoroutinefunction(function)]

print(json.dumps({"outcomes": outcomes, "calls": calls}))
