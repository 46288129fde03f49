"""The same by LlamaIndex's own parts, with the concurrency they offer."""

import asyncio
import resource

from llama_index.core import Document, VectorStoreIndex
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.embeddings.openai import OpenAIEmbedding
from llama_index.llms.openai import OpenAI
from measure import KEY, Stopwatch, parameters, pipeline_documents, report

given = parameters(documents=200, at_once=100, questions=0)
server = {"api_base": given.url + "/v1", "api_key": KEY}
llm = OpenAI(model="gpt-4o-mini", **server)
# `num_workers` is how many requests its asynchronous batches have under way.
embedding = OpenAIEmbedding(embed_batch_size=64, num_workers=given.at_once, **server)


async def run() -> list[str]:
    documents = [
        Document(text=text, metadata={"source": name})
        for name, text in pipeline_documents(given.documents)
    ]
    # It counts tokens; 250 are about 1000 characters of English.
    splitter = SentenceSplitter(chunk_size=250, chunk_overlap=25)
    nodes = await IngestionPipeline(transformations=[splitter, embedding]).arun(documents=documents)
    index = VectorStoreIndex(nodes, embed_model=embedding)
    engine = index.as_query_engine(llm=llm, similarity_top_k=4)
    turns = asyncio.Semaphore(given.at_once)

    async def ask(name: str) -> str:
        async with turns:
            return str(await engine.aquery(f"What does {name} say?"))

    names = [name for name, _ in pipeline_documents(given.questions or given.documents)]
    return await asyncio.gather(*map(ask, names))


before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
watch = Stopwatch()
watch.start()
answers = asyncio.run(run())
times = watch.stop()
assert all(answers)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report(**times, megabytes=(peak - before) / 1024)
