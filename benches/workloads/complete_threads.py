"""Blocking chat calls from many threads: calls a second, CPU a call, share of the ideal."""

from measure import chat_client, on_threads, parameters, report

given = parameters(threads=32, calls=20_000)
client = chat_client(given.url)
report(**on_threads(given.threads, given.calls, lambda: client.complete("Say hello.")))
