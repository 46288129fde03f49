"""What both packages do with a memory: ``same_memories.py URL case...``, see ``flows.py``."""

import json
import sys
import tempfile
from pathlib import Path

from graphbit import EmbeddingConfig, LlmConfig, MemoryClient, MemoryConfig

sys.path.insert(0, str(Path(__file__).parent))

from flows import KEY, URL, control, main, raised, script

FOLDER = tempfile.mkdtemp()


def client(name=":memory:", threshold=0.0):
    llm, embedding = LlmConfig.azurellm(KEY, "chat", URL), EmbeddingConfig.azure(KEY, "e", URL)
    return MemoryClient(MemoryConfig(llm, embedding, name, threshold))


def replies(*texts):
    """One after the other: facts, decisions, facts, ..."""
    control("reset")
    script(*({"content": text, "times": 1} for text in map(said, texts)))


def said(reply):
    return reply if isinstance(reply, str) else json.dumps(reply)


def decide(*entries):
    keys = ("fact", "action", "target_memory_id")
    return [dict(zip(keys, entry, strict=False)) for entry in entries]


def kept(memory, *contents, **scope):
    replies(list(contents), decide(*((content, "ADD") for content in contents)))
    return memory.add([("user", "x")], **scope)


def chats():
    bodies = [json.loads(entry["body"]) for entry in control("log") if "chat" in entry["path"]]
    return [
        [
            sorted(body),
            [message["role"] for message in body["messages"]],
            body["max_tokens"],
            round(body["temperature"], 6),
        ]
        for body in bodies
    ]


def embedded():
    bodies = [json.loads(entry["body"]) for entry in control("log") if "embed" in entry["path"]]
    return [body["input"] for body in bodies]


def shown(memories):
    return [[m.content, m.user_id, m.agent_id, m.run_id, m.metadata] for m in memories]


def same_requests():
    memory = client()
    replies(["a fact"], decide(("a fact", "add", None)))
    said = [("user", "hi"), ("tool", "t"), ("system", "s"), ("assistant", "a"), ("Assistant", "b")]
    added = memory.add(said, "u", run_id="r")
    before = [shown(added), chats(), embedded()]
    users = [json.loads(e["body"])["messages"][1]["content"] for e in control("log")[:2]]
    lines = [line for line in users[0].splitlines() if line.startswith(("User:", "Assi", "Sys"))]
    numbered = [line for line in users[1].splitlines() if line.startswith("1. ")]
    control("reset")
    found = memory.search("a fact", top_k=3)
    return [
        *before,
        lines,
        numbered,
        shown([found[0].memory]),
        round(found[0].score, 4),
        embedded(),
    ]


def same_listing():
    memory = client()
    kept(memory, "one", user_id="u")
    kept(memory, "two", user_id="v")
    kept(memory, "three")
    replies(["x"], [])
    memory.add([("user", "x")], user_id="u", agent_id=None)
    text = json.loads(control("log")[1]["body"])["messages"][1]["content"]
    listed = [line.split(" | ")[1] for line in text.splitlines() if line.startswith("ID: ")]
    return [
        listed,
        *(shown(memory.get_all(**scope)) for scope in ({}, {"user_id": "v"}, {"run_id": "r"})),
    ]


def same_readings():
    memory = client()
    found = []
    for facts, decisions in [
        ("[]", "unread"),
        ("nothing", "unread"),
        ('["a", 1]', "unread"),
        ('```json\n["a"]\n```', 'so: [{"fact": "f", "action": "Add"}] !'),
        ('["a"]', "nothing"),
        ('["a"]', "[]"),
        ('["a"]', {"fact": "one", "action": "ADD"}),
        ('["a"]', [{"fact": 5, "action": "ADD"}, {"action": "ADD"}, "x", {"fact": "g"}]),
        ('["a"]', [{"fact": "h", "action": "ADD", "target_memory_id": 5}]),
        ('["a"]', [{"fact": "i", "action": "FROB"}, {"fact": "j", "action": "NOOP"}]),
        ('["a"]', [{"fact": "k", "action": "UPDATE"}, {"fact": "k", "action": "DELETE"}]),
    ]:
        replies(facts, decisions)
        found.append([shown(memory.add([("user", "x")])), len(control("log"))])
    return found


def same_decisions():
    memory = client()
    first, second, third = kept(memory, "first", "second", "third", user_id="u")
    nobody = "00000000-0000-0000-0000-000000000000"
    entries = [
        ("newer", "update", first.id.upper()),
        ("gone", "DELETE", second.id),
        ("late", "UPDATE", second.id),
        ("x", "UPDATE", nobody),
        ("x", "DELETE", "no uuid"),
        ("third", "NOOP", third.id),
        ("fourth", "ADD", first.id),
    ]
    replies(["x"], decide(*entries))
    changed = memory.add([("user", "x")])
    history = memory.history(first.id)
    return [
        shown(changed),
        shown(memory.get_all()),
        [[h.action, h.old_content, h.new_content, h.memory_id == first.id] for h in history],
        changed[0].id == first.id,
        changed[0].created_at == first.created_at,
        changed[0].updated_at > first.updated_at,
    ]


def same_search():
    memory = client(threshold=-1)
    kept(memory, "one", "two", "three", user_id="u")
    hits = memory.search("two")
    return [
        [[hit.memory.content, round(hit.score, 4)] for hit in hits],
        [hit.memory.content for hit in memory.search("two", top_k=1)],
        memory.search("two", top_k=0),
        [hit.memory.content for hit in above()],
    ]


def above():
    strict = client(threshold=0.99)
    kept(strict, "one", "two")
    return strict.search("two")


def same_refusals():
    memory = client()
    nobody = "00000000-0000-0000-0000-000000000000"
    control("reset")
    (kept_one,) = kept(memory, "one")
    refused = [
        # What is wrong with it, the two say in words of their own.
        *(
            [kinds, text.rpartition("': ")[0]]
            for kinds, text in (
                raised(memory.get, "abc"),
                raised(memory.update, "abc", "x"),
                raised(memory.delete, ""),
                raised(memory.history, "x"),
            )
        ),
        memory.get(nobody),
        memory.delete(nobody),
        memory.history(nobody),
        memory.get(kept_one.id.replace("-", "")).content,
        memory.add([]),
        memory.add(()),
    ]
    kinds = []
    for bad in (
        [["user", "x"]],
        [{"role": "user"}],
        [("a", "b", "c")],
        [("a", 1)],
        "text",
        iter(()),
    ):
        kinds.append(raised(memory.add, bad)[0][0])
    kinds.append(raised(memory.search, "x", top_k=-1)[0][0])
    missing = raised(memory.update, nobody, "x")
    files = [raised(client, name)[1] for name in ("/no/such/folder/memory.db", FOLDER)]
    text = Path(FOLDER, "text.db")
    text.write_text("no database, but a long text " * 100)
    files.append(raised(client, str(text))[1])
    files = [text.replace(FOLDER, "FOLDER") for text in files]
    return [refused, kinds, "FileNotFoundError" in missing[0], missing[1], files]


def same_failures():
    found = []
    for plan in (
        [{"content": "x", "status": 401}],
        [{"content": '["f"]', "times": 1}, {"content": "x", "status": 401}],
    ):
        control("reset")
        script(*plan)
        kinds, text = raised(client().add, [("user", "x")])
        found.append(["RuntimeError" in kinds, text.split("{")[0]])
    return found


def same_values():
    memory = client()
    (one,) = kept(memory, "it's")
    (hit,) = memory.search("it's")
    (change,) = memory.history(one.id)
    texts = [repr(one), repr(hit), repr(change)]
    dates = [one.created_at[10] + one.created_at[-6:], change.timestamp[10], change.action]
    return [[text.replace(one.id, "ID") for text in texts], dates, one.created_at == one.updated_at]


def write_file():
    """For the other package: three memories, a change and a deletion."""
    memory = client(sys.argv[3])
    first, second, _ = kept(memory, "first", "second", "third", user_id="u", run_id="r")
    memory.update(first.id, "newer")
    memory.delete(second.id)
    return [first.id, second.id]


def read_file():
    """What the other package has left, and that all of it goes on working."""
    memory = client(sys.argv[3])
    memories = memory.get_all()
    histories = [
        [[change.action, change.old_content, change.new_content] for change in memory.history(m.id)]
        for m in memories
    ]
    hits = [[hit.memory.content, round(hit.score, 4)] for hit in memory.search("newer", top_k=1)]
    kept(memory, "added")
    memory.update(memories[1].id, "changed")
    memory.delete(memories[0].id)
    return [shown(memories), histories, hits, shown(memory.get_all())]


if __name__ == "__main__":
    CASES = {name: work for name, work in globals().items() if name.startswith("same_")}
    if sys.argv[2] in ("write_file", "read_file"):
        print(json.dumps(globals()[sys.argv[2]]()))
    else:
        main(CASES)
