"""The same blocking chat calls through OpenAI's own SDK, one client shared by the threads."""

import openai
from measure import KEY, on_threads, parameters, report

given = parameters(threads=32, calls=2000)
client = openai.OpenAI(api_key=KEY, base_url=given.url + "/v1")
hello = [{"role": "user", "content": "Say hello."}]


def call() -> str:
    reply = client.chat.completions.create(model="m", messages=hello)
    return reply.choices[0].message.content


report(**on_threads(given.threads, given.calls, call))
