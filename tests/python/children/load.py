"""Run by an interpreter that has GraphBit 0.6.8: loads the documents it reads, one JSON line each.

Each input line is ``[type, text]``; each output line ``[content, metadata]``, or the message of what was
raised.
"""

import json
import os
import sys
import tempfile
from pathlib import Path


def main() -> None:
    import graphbit

    assert graphbit.version() == "0.6.8", graphbit.version()
    loader = graphbit.DocumentLoader()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        file = Path("document")
        for line in sys.stdin:
            document_type, text = json.loads(line)
            file.write_text(text, encoding="utf-8", newline="")
            try:
                loaded = loader.load_document("document", document_type)
                answer = [loaded.content, loaded.metadata]
            except ValueError as error:
                answer = str(error)
            print(json.dumps(answer))


main()
