"""What CPython alone takes of memory for the user's script: the same lists and texts, nobody asked for them."""

import json
import os
import resource
import time
from array import array
from concurrent.futures import ThreadPoolExecutor

DOCUMENTS = int(os.environ["DOCUMENTS"])
WORKERS = int(os.environ["WORKERS"])
#: Chunks of a document that `user_script.py` makes, and seconds that a call takes there.
CHUNKS, LATENCY = 14, 0.05
VALUES = array("d", (0.001 * number for number in range(1536)))


def process(document: str) -> tuple[int, str]:
    vectors = []
    for _ in range(CHUNKS):
        time.sleep(LATENCY)
        vectors.append(VALUES.tolist())
    time.sleep(LATENCY)
    return len(vectors), f"Summarise:\n{document}"


documents = [str(number).ljust(10_000) for number in range(DOCUMENTS)]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
with ThreadPoolExecutor(max_workers=WORKERS) as pool:
    results = list(pool.map(process, documents))
seconds = time.perf_counter() - start
megabytes = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
assert len(results) == DOCUMENTS
print(json.dumps({"seconds": seconds, "megabytes": megabytes}))
