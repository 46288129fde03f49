"""Blocking chat calls from many threads: calls a second, CPU a call, share of the ideal.

With ``busy`` one thread more computes all the while, as parsing and ranking in Python do.
"""

from measure import chat_client, compute_beside, on_threads, parameters, report

given = parameters(threads=32, calls=20_000, busy=False)

if given.busy:
    compute_beside()
client = chat_client(given.url)
report(**on_threads(given.threads, given.calls, lambda: client.complete("Say hello.")))
