"""Texts embedded in a second by the model that needs no network."""

from pathlib import Path

from measure import Stopwatch, parameters, report

given = parameters(model="wordllama", texts=20_000)
texts = [f"Passage {number}: what the reference says about expressions." for number in range(1000)]
texts = texts * (given.texts // len(texts))

if given.model == "wordllama package":
    import wordllama

    # The package carries its tokenizer, but looks for it in a cache, and then on the network.
    home = Path(wordllama.__file__).parent
    embed = wordllama.WordLlama.load(cache_dir=home, disable_download=True).embed
else:
    import graphbit

    client = graphbit.EmbeddingClient(graphbit.EmbeddingConfig.local(model=given.model))
    embed = client.embed_array

embed(texts[:64])
watch = Stopwatch()
watch.start()
vectors = embed(texts)
report(**watch.stop(), texts=len(texts), output=f"{vectors.shape} {vectors.dtype}")
