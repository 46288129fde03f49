"""Blocking chat calls from a new ThreadPoolExecutor, nothing warmed: what a script sees."""

from concurrent.futures import ThreadPoolExecutor

from measure import Stopwatch, chat_client, parameters, report

given = parameters(threads=1000, calls=5000)
client = chat_client(given.url)
client.complete("Say hello.")

watch = Stopwatch()
watch.start()
with ThreadPoolExecutor(given.threads) as pool:
    answers = list(pool.map(client.complete, ["Say hello."] * given.calls))
report(**watch.stop(), answers=len(answers))
