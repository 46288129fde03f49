"""Files in, answers with citations out, in a dozen lines.

    python examples/05_rag.py [QUESTION [PATH ...]]

Runs offline: embeddings are computed here, and answers are quotes, unless OPENAI_API_KEY (with
OPENAI_BASE_URL for another server) or OLLAMA_HOST offers a language model.
"""

import sys
from pathlib import Path

from graphbit import ParallelRAG

QUESTION = "How do the forked workers use the clients of the parent?"


def main() -> None:
    """Ingest the paths given, or these examples; then ask."""
    question, *paths = sys.argv[1:] or [QUESTION]
    rag = ParallelRAG()
    report = rag.ingest(paths or [Path(__file__).parent])
    for outcome in report.failed:
        print("skipped:", outcome.error)
    print(report)

    answer = rag.ask(question)
    print(f"\n{question}\n{answer}\n")
    for citation in answer.citations:
        mark = "*" if citation.cited else " "
        place = f"{citation.source}:{citation.start_char}-{citation.end_char}"
        print(f"{mark} [{citation.number}] {citation.score:.2f} {place}")


if __name__ == "__main__":
    main()
