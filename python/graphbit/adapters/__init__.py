"""Clients, splitters and the vector store as the components of other frameworks.

Each folder needs its own framework only, and importing graphbit imports none of them::

    from graphbit.adapters.langchain import ChatGraphbit        # pip install 'graphbit[langchain]'
    from graphbit.adapters.llama_index import GraphbitLLM       # pip install 'graphbit[llama-index]'
    from graphbit.adapters.haystack import GraphbitChatGenerator  # pip install 'graphbit[haystack]'

They take a configuration or a client; with a configuration, the keywords of the client as well. What a
client raises, they raise. Their asynchronous methods wait on futures of the runtime, not in threads.
"""
