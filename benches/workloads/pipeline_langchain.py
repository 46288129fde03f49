"""The same by LangChain's own parts, with the concurrency they offer."""

import resource

from langchain_core.vectorstores import InMemoryVectorStore
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_text_splitters import RecursiveCharacterTextSplitter
from measure import KEY, Stopwatch, parameters, pipeline_documents, report

given = parameters(documents=200, at_once=100, questions=0)
server = {"base_url": given.url + "/v1", "api_key": KEY}
llm = ChatOpenAI(model="m", **server)
embeddings = OpenAIEmbeddings(
    model="m", chunk_size=64, check_embedding_ctx_length=False, **server
)  # fmt: skip
splitter = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=100)
documents = list(pipeline_documents(given.documents))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
watch = Stopwatch()
watch.start()
store = InMemoryVectorStore(embeddings)
named = [{"source": name} for name, _ in documents]
store.add_documents(splitter.create_documents([text for _, text in documents], metadatas=named))
prompts = []
for name, _ in documents[: given.questions or None]:
    question = f"What does {name} say?"
    found = store.similarity_search(question, k=4)
    passages = "\n\n".join(passage.page_content for passage in found)
    prompts.append(f"Answer from these passages.\n{passages}\n\nQuestion: {question}")
answers = llm.batch(prompts, config={"max_concurrency": given.at_once})
times = watch.stop()
assert all(answer.content for answer in answers)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
report(**times, megabytes=(peak - before) / 1024)
