"""Ctrl-C inside a blocking call, again and again.

    python interrupt.py ROUNDS

Every round: the main thread waits on a server that never answers, another thread sends SIGINT to the
process once that server has the request, the main thread must get KeyboardInterrupt, and the next call
must work. Prints a JSON object with the delay of each round in milliseconds.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import urllib.request

import graphbit

URL = os.environ["GRAPHBIT_SIMULATOR_URL"]
HANG = os.environ["GRAPHBIT_HANGING_URL"]


def arrived() -> int:
    """How many requests the silent server has seen."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{HANG}/control/stats") as answer:
        return int(json.load(answer)["requests"])


def main() -> None:
    rounds = int(sys.argv[1])
    hanging = graphbit.LlmClient(graphbit.LlmConfig.azurellm("key-0123456789", "prod-chat", HANG))
    working = graphbit.LlmClient(graphbit.LlmConfig.azurellm("key-0123456789", "prod-chat", URL))
    delays: list[float] = []
    for turn in range(rounds):
        sent: list[float] = []

        def press(turn: int = turn, sent: list[float] = sent) -> None:
            while arrived() <= turn:
                time.sleep(0.001)
            time.sleep(0.03 + 0.001 * (turn % 40))
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)

        finger = threading.Thread(target=press)
        finger.start()
        try:
            hanging.complete("are you there?")
        except KeyboardInterrupt:
            delays.append(1000 * (time.perf_counter() - sent[0]))
        finger.join()
        assert working.complete("ping") == "echo: ping"
    print(json.dumps({"rounds": rounds, "delays_ms": delays}))


if __name__ == "__main__":
    main()
