"""The same question again and again, and from many threads at once."""

import threading

from graphbit import Cache, LlmClient
from measure import Stopwatch, chat_config, parameters, report, served

given = parameters(threads=1, calls=50_000)
client = LlmClient(chat_config(given.url), cache=Cache())
before = served(given.url)["requests"]


def ask() -> str:
    return client.complete("Say hello.", temperature=0.0)


watch = Stopwatch()
if given.threads == 1:
    ask()
    watch.start()
    for _ in range(given.calls):
        ask()
    times = watch.stop()
else:
    ready = threading.Barrier(given.threads, action=watch.start)

    def run() -> None:
        ready.wait()
        ask()

    threads = [threading.Thread(target=run) for _ in range(given.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    times = watch.stop()
report(
    figures={
        "us/hit": times["seconds"] / given.calls * 1e6,
        "CPU us/hit": times["cpu_seconds"] / given.calls * 1e6,
        "seconds": times["seconds"],
        "requests": served(given.url)["requests"] - before,
    }
)
