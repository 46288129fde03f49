"""Guard rails: what a policy calls private is in no request, and where it belongs again afterwards.

What 0.6.8 does the same, and what it leaks (D60), is in ``test_peer_workflows.py``.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from graphbit import GuardRailPolicyConfig, Node, WorkflowResult, tool
from guard_rail_setup import (
    EMAIL,
    MAPPING,
    MASKING,
    RULES,
    TOKEN,
    policy,
    private,
    ran,
    talks_to,
    tokens,
    user,
)
from parrot import Answer, Parrot
from simulator import Server
from workflow_setup import chain, executor, workflow


def entries(result: WorkflowResult, name: str = "a") -> list[Any]:
    metadata = result.get_node_response_metadata(name)
    assert metadata is not None
    found: list[Any] = metadata["executions"]
    return found


# --- what the model reads


@pytest.mark.parametrize(
    "rules", [MAPPING, MASKING, policy()], ids=["mapping", "masking", "neither"]
)
def test_every_part_of_a_first_request_is_masked(rules: GuardRailPolicyConfig) -> None:
    """D60: the system prompt as well, and what is said of the tools."""

    @tool(description="Writes to ann@x.com.")
    def write(to: str = "ann@x.com", how: str = "") -> str:
        """.

        Args:
            how: Not by 555-1234.
        """
        return to

    node = Node.agent(
        "a",
        "joe@x.com wants 555-1234",
        context="Of joe@x.com.",
        system_prompt="You work for ann@x.com.",
        tools=[write],
    )
    result, [body] = ran(lambda body, _: "done", rules, node)
    assert result.is_success()
    assert private(body) == []
    system, message = (each["content"] for each in json.loads(body)["messages"])
    assert re.fullmatch("You work for <EMAIL:.{12}>.", system)
    # Equal values have equal tokens, wherever they stand.
    assert re.search(r"Of (<EMAIL:.{12}>)\.\n\n\1 wants <phone no:.{12}>$", message)
    [described] = json.loads(body)["tools"]
    assert tokens(json.dumps(described)) == tokens(system) * 2
    assert set(described["function"]["parameters"]["properties"]) == {"to", "how"}


def test_only_where_there_is_a_token_the_model_is_told_of_it() -> None:
    for prompt, told in (("hello", False), ("joe@x.com", True)):
        _, [body] = ran(lambda body, _: "done", MAPPING, Node.agent("a", prompt))
        message = user(json.loads(body))
        assert ("\n\n" in message) == told
        assert TOKEN.sub("<>", message).endswith("<>" if told else "hello")


def test_a_policy_that_does_nothing_changes_nothing() -> None:
    off = policy(masking=False, mapping=False)
    inactive = GuardRailPolicyConfig.from_json(
        json.dumps({"active": False, "guardrail_policy": {"pii_rules": RULES}})
    )
    for rules in (off, inactive, GuardRailPolicyConfig.default_config()):
        result, [body] = ran(lambda body, _: "to joe@x.com", rules, Node.agent("a", "of ann@x.com"))
        assert user(json.loads(body)) == "of ann@x.com"
        assert result.get_node_output("a") == "to joe@x.com"
        shown = [(each["type"], each.get("operation")) for each in entries(result)]
        told = "guardrail_policy"
        assert shown == [(told, "encode"), ("llm_call", None), (told, "rehydrate")]


def test_outputs_of_nodes_above_are_masked_again() -> None:
    def answer(body: Any, number: int) -> str:
        return tokens(user(body))[-1] if number == 0 else user(body).rpartition("\n\n")[2]

    nodes = (Node.agent("a", "of joe@x.com"), Node.agent("b", "{{node.a}} and again {a}"))
    result, bodies = ran(answer, MAPPING, *nodes)
    assert result.get_node_output("a") == "joe@x.com"
    assert result.get_node_output("b") == "joe@x.com and again joe@x.com"
    assert private("".join(bodies)) == []


def test_attempts_again_are_masked() -> None:
    def answer(body: Any, number: int) -> Answer:
        return {"status": 503} if number == 0 else tokens(user(body))[0]

    result, bodies = ran(answer, MAPPING, Node.agent("a", "of joe@x.com"))
    assert result.get_node_output("a") == "joe@x.com"
    assert len(bodies) == 2 and bodies[0] == bodies[1] and private(bodies[0]) == []


def test_nodes_side_by_side_have_values_of_their_own(server: Server) -> None:
    names = [f"n{number}" for number in range(8)]
    nodes = [Node.agent(name, f"x{'abcdefgh'[at]}@x.com asks") for at, name in enumerate(names)]
    result = executor(server).execute(workflow(nodes), MAPPING)
    bodies = [entry["body"] for entry in server.log()]
    assert len(bodies) == 8 and private("".join(bodies)) == []
    assert len(set(tokens("".join(bodies)))) == 8
    for at, name in enumerate(names):
        assert (result.get_node_output(name) or "").endswith(f"x{'abcdefgh'[at]}@x.com asks")


# --- tools


class Desk:
    """Tools, and what they were given."""

    def __init__(self) -> None:
        self.given: list[Any] = []

    def send(self, to: str, more: dict[str, Any] | None = None) -> str:
        """Sends."""
        self.given.append((to, more))
        return f"sent to {to}, copy to zoe@x.com"

    def fail(self, to: str) -> str:
        """Fails."""
        raise ValueError(f"{to} is unknown, ask 555-1234")


def busy(body: Any, number: int) -> Answer:
    """Calls both tools with what it was told, then says everything it was told."""
    code = tokens(user(body))[0]
    if number == 0:
        more = {"list": [code, {code: f"re: {code}"}], "invented": "eve@x.com"}
        again = code[:-4] + "999>"
        return {
            "content": f"I write to {code} for eve@x.com.",
            "tool_calls": [("1", "send", {"to": again, "more": more}), ("2", "fail", {"to": code})],
        }
    if number == 1:
        return {"tool_calls": [("3", "send", {"to": "zoe@x.com"})]}
    return " | ".join(each["content"] or "" for each in body["messages"][1:])


@pytest.mark.parametrize("streamed", [False, True], ids=["execute", "streaming"])
def test_a_tool_loop_with_mapping(streamed: bool) -> None:
    """D60: every request is masked, the tools get the values, and the last answer has them."""
    desk = Desk()
    made = workflow([Node.agent("a", "Tell joe@x.com.", tools=[desk.send, desk.fail])])
    with Parrot(busy) as parrot:
        run = talks_to(parrot)
        if streamed:
            stream = run.execute_streaming(made, MAPPING, "all")
            events = list(stream)
            result = events[-1]["result"]
        else:
            events, result = [], run.execute(made, MAPPING)
    assert desk.given == [
        (
            "joe@x.com",
            {"list": ["joe@x.com", {"joe@x.com": "re: joe@x.com"}], "invented": "eve@x.com"},
        ),
        ("zoe@x.com", None),
    ]
    assert len(parrot.bodies) == 3
    assert [private(body) for body in parrot.bodies] == [[], [], []]
    assert result.get_node_output("a") == (
        "I write to joe@x.com for eve@x.com. | sent to joe@x.com, copy to zoe@x.com | "
        "Tool execution failed: ValueError: joe@x.com is unknown, ask 555-1234 |  | "
        "sent to zoe@x.com, copy to zoe@x.com"
    )
    # Who is who can be told: two persons and one who was invented, each with one token.
    assert len({token[:-5] for token in tokens("".join(parrot.bodies))}) == 3
    metadata = json.dumps(result.get_all_node_response_metadata())
    assert private(metadata) == [] and "phone no" in metadata
    values = ("node_completed", "workflow_completed", "token")
    told = [event for event in events if event["event"] not in values]
    assert private(json.dumps([{**event, "time": ""} for event in told])) == []
    assert bool(told) == streamed


def test_a_tool_loop_with_masking_alone_stays_masked() -> None:
    """As in 0.6.8, what is masked for good is so for the tools, too."""
    desk = Desk()
    node = Node.agent("a", "Tell joe@x.com.", tools=[desk.send, desk.fail])
    result, bodies = ran(busy, MASKING, node)
    [(to, _), _] = desk.given
    assert EMAIL.fullmatch(to)
    assert [private(body) for body in bodies] == [[], [], []]
    assert private(result.get_node_output("a") or "") == []


def test_what_a_tool_says_first_has_its_token_explained() -> None:
    def look() -> str:
        """Looks."""
        return json.dumps({"mail": "joe@x.com", "phone": "555-1234"})

    def answer(body: Any, number: int) -> Answer:
        if number == 0:
            return {"tool_calls": [("1", "look", {})]}
        return "It is " + tokens(body["messages"][-1]["content"])[0]

    result, bodies = ran(answer, MAPPING, Node.agent("a", "Who?", tools=[look]))
    assert result.get_node_output("a") == "It is joe@x.com"
    assert user(json.loads(bodies[0])) == "Who?"
    assert re.search(r"<NAME:code>.*\n\nWho\?$", user(json.loads(bodies[1])))


# --- what comes out


def test_answers_that_are_json_stay_json() -> None:
    rules = [{"type": "regex", "name": "NAME", "pattern": r'joe "the\\" \w+'}]
    quoted = GuardRailPolicyConfig.from_json(
        json.dumps({"guardrail_policy": {"pii_rules": rules, "mapping": True}})
    )

    def answer(body: Any, _: int) -> str:
        [token] = [found[0] for found in TOKEN.finditer(user(body))]
        return json.dumps({"who": [token]})

    result, _ = ran(answer, quoted, Node.agent("a", 'It is joe "the\\" smith.'))
    assert json.loads(result.get_node_output("a") or "") == {"who": ['joe "the\\" smith']}


def test_text_of_the_shape_of_a_token_is_left_alone() -> None:
    forged = "<EMAIL:00c0ffee-123> and <EMAIL:zz>"

    def answer(body: Any, _: int) -> str:
        return user(body).rpartition("\n\n")[2]

    result, [body] = ran(answer, MAPPING, Node.agent("a", f"{forged} of joe@x.com"))
    assert forged in user(json.loads(body))
    assert result.get_node_output("a") == f"{forged} of joe@x.com"


def test_metadata_are_masked_and_the_output_is_not() -> None:
    def answer(body: Any, _: int) -> str:
        return "for " + tokens(user(body))[0]

    result, _ = ran(answer, MAPPING, Node.agent("a", "of joe@x.com and 555-1234"))
    metadata = result.get_node_response_metadata("a")
    assert metadata is not None
    assert private(json.dumps(result.get_all_node_response_metadata())) == []
    assert EMAIL.search(metadata["user_input"]) and EMAIL.search(metadata["final_output"])
    assert result.output() == result.get_variable("a") == "for joe@x.com"
    first, _, last = entries(result)
    assert first == {
        "type": "guardrail_policy",
        "operation": "encode",
        "policy_name": "contacts",
        "pii_rules_applied_count": 2,
        "pii_rule_names": ["EMAIL", "phone no"],
    }
    assert (last["operation"], last["pii_rule_names"]) == ("rehydrate", ["EMAIL"])


def test_the_entries_of_a_tool_loop_count_what_was_done() -> None:
    desk = Desk()
    node = Node.agent("a", "Tell joe@x.com.", tools=[desk.send, desk.fail])
    result, _ = ran(busy, MAPPING, node)
    told = [
        (each.get("operation", each["type"]), each.get("pii_rules_applied_count"))
        for each in entries(result)
    ]
    assert told == [
        ("encode", 1),
        ("llm_call", None),
        ("rehydrate", 6),
        ("tool_call", None),
        ("tool_call", None),
        ("encode", 6),
        ("llm_call", None),
        ("decode", 0),
        ("tool_call", None),
        ("encode", 3),
        ("llm_call", None),
        ("decode", 8),
    ]


def test_a_run_that_ends_with_a_transform_has_masked_metadata(server: Server) -> None:
    made = chain([Node.agent("a", "joe@x.com"), Node.transform("t", "last_line")])
    result = executor(server).execute(made, MAPPING)
    assert result.output() == "joe@x.com"
    assert private(json.dumps(result.get_all_node_response_metadata())) == []


def test_errors_quote_what_was_sent() -> None:
    def quote(body: Any, _: int) -> Answer:
        return {"status": 400, "body": {"error": {"message": f"cannot read {user(body)}"}}}

    result, _ = ran(quote, MAPPING, Node.agent("a", "joe@x.com"))
    assert "cannot read" in (result.error() or "")
    assert private(result.error() or "") == []


# --- streams


def pieces_of(size: int) -> Callable[[Any, int], Answer]:
    def answer(body: Any, _: int) -> Answer:
        code = tokens(user(body))[0]
        text = f"a < b, <EMAIL:x {code}{code}, <EMAIL"
        return {
            "content": text,
            "pieces": [text[at : at + size] for at in range(0, len(text), size)],
        }

    return answer


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_streamed_tokens_show_what_the_output_has(size: int) -> None:
    with Parrot(pieces_of(size)) as parrot:
        made = workflow([Node.agent("a", "of joe@x.com")])
        events = list(talks_to(parrot).execute_streaming(made, MAPPING, "all"))
    shown = [event["content"] for event in events if event["event"] == "token"]
    expected = "a < b, <EMAIL:x joe@x.comjoe@x.com, <EMAIL"
    assert "".join(shown) == expected and "" not in shown
    assert events[-1]["result"].get_node_output("a") == expected
    told = {event["event"]: event for event in events}
    assert told["node_completed"]["output"] == expected
    assert private(told["llm_call_completed"]["output"]) == []
    if size == 1:
        # Nothing waits for longer than until it can be no token any more.
        assert shown[:7] == ["a", " ", "< ", "b", ",", " ", "<EMAIL:x"]


def test_streamed_tokens_of_masking_alone_are_as_they_come() -> None:
    with Parrot(pieces_of(7)) as parrot:
        made = workflow([Node.agent("a", "of joe@x.com")])
        events = list(talks_to(parrot).execute_streaming(made, MASKING, "messages"))
    text = "".join(event["content"] for event in events[:-1])
    assert len(tokens(text)) == 2 and text == events[-1]["result"].get_node_output("a")


def test_run_async_is_masked() -> None:
    async def main() -> WorkflowResult:
        return await talks_to(parrot).run_async(workflow([Node.agent("a", "joe@x.com")]), MAPPING)

    with Parrot(lambda body, _: tokens(user(body))[0]) as parrot:
        assert asyncio.run(main()).get_node_output("a") == "joe@x.com"
        assert private(parrot.bodies[0]) == []


# --- checkpoints


def test_a_checkpoint_belongs_to_its_policy(tmp_path: Path) -> None:
    file = tmp_path / "c"
    made = workflow([Node.agent("a", "of joe@x.com")])
    with Parrot(lambda body, _: (tokens(user(body)) or ["joe@x.com"])[0]) as parrot:
        run = talks_to(parrot)
        outputs = [
            run.execute(made, rules, checkpoint=file).get_node_output("a") or ""
            for rules in (MASKING, MASKING, MAPPING, MAPPING, None, policy(masking=False))
        ]
    # One for masking, one for mapping, and one for no policy and the one that does nothing.
    assert len(parrot.bodies) == 3
    assert EMAIL.fullmatch(outputs[0]) and outputs[1] == outputs[0]
    assert set(outputs[2:]) == {"joe@x.com"}


def test_a_checkpoint_of_masking_alone_has_no_value(tmp_path: Path) -> None:
    file = tmp_path / "c"
    made = workflow([Node.agent("a", "of joe@x.com")])
    with Parrot(lambda body, _: tokens(user(body))[0]) as parrot:
        talks_to(parrot).execute(made, MASKING, checkpoint=file)
        assert private(file.read_text()) == []
        mapped = tmp_path / "mapped"
        talks_to(parrot).execute(made, MAPPING, checkpoint=mapped)
    # The output, with which the run goes on, and nothing else.
    assert private(mapped.read_text()) == ["joe@x.com"]
