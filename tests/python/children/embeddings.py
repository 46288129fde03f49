"""Runs under either package: makes the calls that both must answer alike, prints what came of them.

python embeddings.py http://127.0.0.1:1/s/scope
"""

import json
import sys

from graphbit import EmbeddingClient, EmbeddingConfig

URL = sys.argv[1]
KEY = "12345678"
make = EmbeddingConfig.azure
client = EmbeddingClient(make(KEY, "dep", URL + "//"))
batch = client.embed_batch_parallel
similar = EmbeddingClient.similarity

CALLS = {
    "one": lambda: client.embed("alpha"),
    "blank": lambda: client.embed("  "),
    "text": lambda: client.embed('gämmä 日本 🙂 \0 " \\ \n'),
    "many": lambda: client.embed_many(["alpha", "", "beta"]),
    "tuple": lambda: client.embed_many(("alpha",)),
    "groups": lambda: batch([["alpha", "beta"], ["gamma"]])["embeddings"],
    "group keys": lambda: [list(batch([["a"]])), list(batch([["a"]])["stats"])],
    "group counts": lambda: [
        batch([["a b", "c"], ["d"]], 1, 5000)["stats"][name]
        for name in ("successful_requests", "failed_requests", "total_embeddings", "total_tokens")
    ],
    "refused": lambda: EmbeddingClient(make(KEY, "refused", URL + "/no")).embed("a"),
    "empty text": lambda: client.embed(""),
    "empty list": lambda: client.embed_many([]),
    "empty batch": lambda: batch([]),
    "flat batch": lambda: batch(["a", "b"]),
    "string for list": lambda: client.embed_many("alpha"),
    "number for text": lambda: client.embed(7),
    "none in list": lambda: client.embed_many([None]),
    "negative": lambda: batch([["a"]], -1),
    "negative time": lambda: batch([["a"]], None, -1),
    "no argument": lambda: client.embed(),
    "unknown keyword": lambda: client.embed("a", model="m"),
    "no constructor": lambda: EmbeddingConfig(),
    "no key": lambda: make("", "dep", URL),
    "short key": lambda: make("1234567", "dep", URL),
    "bytes, not letters": lambda: type(make("éééé", "dep", URL)).__name__,
    "openai key": lambda: EmbeddingConfig.openai("x" * 19),
    "alike": lambda: similar([1.0, 2.0, 3.0], [2.0, 3.0, 4.5]),
    "opposite": lambda: similar([1, 1], (-1, -1)),
    "no length": lambda: similar([0.0, 0.0], [1.0, 2.0]),
    "nothing": lambda: similar([], []),
    "widened": lambda: similar([0.1], [0.3]),
    "unequal": lambda: similar([1.0], [1.0, 2.0]),
}


def outcome(call):
    try:
        return {"value": call()}
    except Exception as error:
        classes = [kind.__name__ for kind in type(error).__mro__]
        return {"classes": classes, "text": str(error)}


print(json.dumps({name: outcome(call) for name, call in CALLS.items()}))
