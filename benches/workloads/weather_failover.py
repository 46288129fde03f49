"""A batch whose first server dies in the middle; the second is named as fallback."""

from graphbit import LlmClient
from measure import Stopwatch, chat_config, parameters, report

given = parameters(urls=[], prompts=1000, concurrency=50)
prompts = [f"Prompt number {number}." for number in range(given.prompts)]
client = LlmClient([chat_config(url) for url in given.urls])
watch = Stopwatch()
watch.start()
answers = client.complete_many(prompts, on_error="return", max_concurrency=given.concurrency)
times = watch.stop()
answered = [text for text in answers if isinstance(text, str)]
in_order = answers == [f"echo: {prompt}" for prompt in prompts]
report(**times, answered=len(answered), in_order=in_order)
