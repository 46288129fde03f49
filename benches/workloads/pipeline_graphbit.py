"""Documents in, an answer for each out, by `ParallelRAG`: one ingest, and one question a document."""

import resource
import tempfile
from pathlib import Path

from graphbit import EmbeddingConfig, LlmConfig, ParallelRAG, PgVectorStore, VectorStore
from measure import KEY, Stopwatch, parameters, pipeline_documents, report

given = parameters(documents=200, at_once=100, disk=False, dsn="", questions=0)


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def store_in(folder: str) -> VectorStore | PgVectorStore:
    if given.dsn:
        return PgVectorStore.connect(given.dsn, "pipeline")
    return VectorStore.open(Path(folder) / "store") if given.disk else VectorStore()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = store_in(folder)
        rag = ParallelRAG(
            EmbeddingConfig.azure(KEY, "prod-embed", given.url),
            LlmConfig.azurellm(KEY, "prod-chat", given.url),
            store=store,
            max_concurrency=given.at_once or None,
        )
        before, watch = peak_megabytes(), Stopwatch()
        watch.start()
        ingested = rag.ingest(pipeline_documents(given.documents), progress=False)
        names = [name for name, _ in pipeline_documents(given.questions or given.documents)]
        answers = rag.ask_many(
            [f"What does {name} say?" for name in names], max_concurrency=given.at_once or None
        )
        times = watch.stop()
        assert ingested.documents == given.documents, ingested
        assert all(answer.text for answer in answers)
        report(**times, megabytes=peak_megabytes() - before)


main()
