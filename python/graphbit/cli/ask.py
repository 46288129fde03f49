"""`graphbit ask`: an answer from a store, and the passages it rests on.

A question that no passage answers is no failure: the answer says so, and cites nothing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from graphbit._graphbit import ParallelRAG
from graphbit.cli import arguments, documents, stores
from graphbit.exceptions import DocumentError

if TYPE_CHECKING:
    import argparse

    from graphbit._graphbit import Answer


def run(options: argparse.Namespace) -> int:
    """Ask and print."""
    question = options.question
    if question == documents.STDIN:
        document = documents.read(question)
        if document.error is not None:
            raise DocumentError(document.error)
        question = document.text
    if not question.strip():
        raise arguments.UsageError("argument QUESTION: must not be blank")
    embedding = arguments.embedding(options)
    llm = arguments.llm(options)
    store = stores.open_to_read(options.store)
    rag = ParallelRAG(embedding, llm, store=store, top_k=options.top_k)
    stores.check_model(store, options.store, rag, embedding)
    answer = rag.ask(question)
    print(_as_json(question, answer) if options.json else _as_text(answer))
    return 0


def _as_text(answer: Answer) -> str:
    lines = [answer.text]
    cited = [citation for citation in answer.citations if citation.cited]
    if cited:
        lines.append("")
    lines += [
        f"[{citation.number}] {citation.source}, characters {citation.start_char}-{citation.end_char}, "
        f"score {citation.score:.2f}"
        for citation in cited
    ]
    return "\n".join(lines)


def _as_json(question: str, answer: Answer) -> str:
    usage = answer.usage
    result = {
        "question": question,
        "answer": answer.text,
        "model": answer.model,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "citations": [
            {
                "number": citation.number,
                "source": citation.source,
                "start_char": citation.start_char,
                "end_char": citation.end_char,
                "score": citation.score,
                "cited": citation.cited,
                "text": citation.text,
            }
            for citation in answer.citations
        ],
    }
    return json.dumps(result, ensure_ascii=False)
