"""Run by an interpreter that has GraphBit 0.6.8: splits the cases it reads, one JSON line each.

Each input line is ``[class, arguments, text]``; each output line ``[content, start, end, index,
metadata]`` of every chunk, or null where GraphBit aborted the process. The work is done in forks of
this process, so that an abort costs one case and not the interpreter's start.
"""

import json
import mmap
import os
import resource
import sys


def main() -> None:
    import graphbit

    assert graphbit.version() == "0.6.8", graphbit.version()
    cases = [json.loads(line) for line in sys.stdin]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    progress = mmap.mmap(-1, 8)
    done = 0
    null = os.open(os.devnull, os.O_WRONLY)
    while done < len(cases):
        if (child := os.fork()) == 0:
            os.dup2(null, 2)  # what an abort prints
            for number in range(done, len(cases)):
                name, arguments, text = cases[number]
                chunks = getattr(graphbit, name)(*arguments).split_text(text)
                rows = [
                    [c.content, c.start_index, c.end_index, c.chunk_index, c.metadata]
                    for c in chunks
                ]
                os.write(1, json.dumps(rows).encode() + b"\n")
                progress[:] = (number + 1).to_bytes(8, "little")
            os._exit(0)
        _, status = os.waitpid(child, 0)
        done = int.from_bytes(progress[:], "little")
        if status:
            assert os.WIFSIGNALED(status), status  # an abort, not an exception
            os.write(1, b"null\n")
            done += 1
            progress[:] = done.to_bytes(8, "little")


main()
