"""Nodes and graphs before they run: what is refused, in which order and words, and what is told."""

from __future__ import annotations

import copy
import json
import math
import pickle
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from graphbit import LlmConfig, Node, Workflow
from llm_setup import KEY
from simulator import Server
from workflow_setup import agent, executor, workflow

DIGITS = "0123456789abcdef0123"


def lookup(what: str, limit: int = 3) -> str:
    """Finds things.

    Args:
        what: The thing.
    """
    return what * limit


def first(situation: dict[str, Any]) -> str:
    return "b"


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: Node.agent(" ", "p"), ValueError, "Name cannot be empty"),
    (lambda: Node.agent("n", "\n"), ValueError, "Prompt cannot be empty"),
    (
        lambda: Node.agent("n", "p", temperature=2.1),
        ValueError,
        "Temperature must be between 0.0 and 2.0",
    ),
    (
        lambda: Node.agent("n", "p", temperature=-0.1),
        ValueError,
        "Temperature must be between 0.0 and 2.0",
    ),
    (
        lambda: Node.agent("n", "p", max_tokens=0),
        ValueError,
        "max_tokens must be greater than 0",
    ),
    (
        lambda: Node.agent("n", "p", max_iterations=0),
        ValueError,
        "max_iterations must be between 1 and 100",
    ),
    (
        lambda: Node.agent("n", "p", max_iterations=101),
        ValueError,
        "max_iterations must be between 1 and 100",
    ),
    (lambda: Node.transform("", "trim"), ValueError, "Transform name cannot be empty"),
    (lambda: Node.transform("n", " "), ValueError, "Transform transformation cannot be empty"),
    (lambda: Node.condition(" ", first), ValueError, "Condition name cannot be empty"),
    (lambda: Node.condition("n", "b"), TypeError, "Condition handler must be callable"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("case", range(len(REFUSED)))
def test_what_cannot_be_meant_is_refused_in_0_6_8_s_words(case: int) -> None:
    make, kind, text = REFUSED[case]
    with pytest.raises(kind) as caught:
        make()
    assert str(caught.value) == text


def test_a_temperature_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError):
        Node.agent("n", "p", temperature=math.nan)


def test_the_checks_have_an_order() -> None:
    wrong: dict[str, Any] = {
        "name": "",
        "prompt": "",
        "temperature": 9.0,
        "max_tokens": 0,
        "max_iterations": 0,
    }
    right = {"name": "n", "prompt": "p", "temperature": 1.0, "max_tokens": 1, "max_iterations": 1}
    begins = ["Name", "Prompt", "Temperature", "max_tokens", "max_iterations"]
    for field, begin in zip(right, begins, strict=True):
        with pytest.raises(ValueError, match=f"^{begin}"):
            Node.agent(**wrong)
        wrong[field] = right[field]
    Node.agent(**wrong)


@pytest.mark.parametrize("value", [-1, 2**32])
def test_numbers_beyond_32_bits_overflow(value: int) -> None:
    with pytest.raises(OverflowError):
        Node.agent("n", "p", max_tokens=value)


def test_wrong_types_and_missing_arguments_are_type_errors() -> None:
    for make in (
        lambda: Node.agent("n", "p", tools=(lookup,)),  # type: ignore[arg-type]
        lambda: Node.agent("n"),  # type: ignore[call-arg]
        lambda: Node.agent("n", 3),  # type: ignore[arg-type]
        lambda: Node.agent("n", "p", tools=[3]),
        lambda: Node(),
        lambda: Workflow(),  # type: ignore[call-arg]
        lambda: Workflow("w").add_node("n"),  # type: ignore[arg-type]
    ):
        with pytest.raises(TypeError):
            make()


def test_the_arguments_have_0_6_8_s_order() -> None:
    node = Node.agent("n", "p", "c", "id", "out", [lookup], "sys", None, 0.5, 7, 4, True)
    config = json.loads(node.get_config())
    assert (config["output_name"], config["system_prompt"]) == ("out", "sys")
    assert (config["temperature"], config["max_tokens"], config["max_iterations"]) == (0.5, 7, 4)
    assert config["enable_prompt_caching"] is True


def test_the_configuration_holds_what_was_set_and_nothing_else(server: Server) -> None:
    for node in (
        agent("n"),
        agent("n", context="c", agent_id="i", enable_prompt_caching=False),
        Node.transform("t", "trim"),
        Node.condition("c", first),
    ):
        assert node.get_config() == "{}"
    node = agent("n", tools=[lookup], temperature=0.3)
    config = json.loads(node.get_config())
    assert config.keys() == {"tools", "tool_schemas", "temperature"}
    assert config["temperature"] == 0.3
    assert config["tools"] == ["lookup"]
    (schema,) = config["tool_schemas"]
    assert schema.keys() == {"name", "description", "parameters"}
    assert schema["name"] == "lookup" and schema["description"].startswith("Finds things.")
    parameters = schema["parameters"]
    assert parameters["required"] == ["what"]
    assert parameters["properties"] == {
        "what": {"type": "string", "description": "The thing."},
        "limit": {"type": "integer", "description": "Parameter limit", "default": 3},
    }
    assert node.get_config().startswith('{\n  "')


def test_no_key_is_shown(server: Server) -> None:
    """D45."""
    for config in (
        LlmConfig.openai(KEY, "m", base_url=server.openai_url),
        LlmConfig.azurellm(KEY, "d", server.base_url),
        LlmConfig.openai(KEY, "m", base_url=f"http://u:{DIGITS}@h/v1?k={DIGITS}"),
    ):
        text = agent("n", llm_config=config).get_config()
        assert DIGITS not in text
        assert json.loads(text)["llm_config"]["provider"] == config.provider()


def test_a_node_tells_what_it_is() -> None:
    bare, empty, full = agent("n"), agent("n", tools=[]), agent("n", tools=[lookup])
    assert [node.has_tools() for node in (bare, empty, full)] == [False, True, True]
    assert [node.get_tool_names() for node in (bare, empty, full)] == [[], [], ["lookup"]]
    assert uuid.UUID(bare.id()).version == 4 and bare.id() != empty.id()
    assert bare.id() == bare.id() and bare.name() == "n"
    for node, kind in (
        (bare, "Agent"),
        (Node.transform("n", "trim"), "Transform"),
        (Node.condition("n", first), "Condition"),
    ):
        assert repr(node) == str(node) == f"Node(id='{node.id()}', name='n', type='{kind}')"


def test_a_node_runs_its_own_tools() -> None:
    node = agent("n", tools=[lookup])
    call = {"id": "1", "name": "lookup", "parameters": {"what": "ab", "limit": 2}}
    assert node.execute_tools([call]) == "Tool Execution Results:\n1. lookup -> abab\n"
    results = node.create_tool_executor().execute_tools([call])
    assert [result.output for result in results.get_all()] == ["abab"]
    for toolless in (agent("n"), Node.transform("t", "trim")):
        with pytest.raises(ValueError, match="^This node does not have tools configured$"):
            toolless.execute_tools([call])


def test_two_nodes_keep_their_tools_of_one_name_apart() -> None:
    """D39: what was bound first is what is called."""

    def one() -> str:
        return "one"

    def other() -> str:
        return "other"

    other.__name__ = "one"
    nodes = [agent("a", tools=[one]), agent("b", tools=[other])]
    listings = [node.execute_tools([{"id": "1", "name": "one"}]) for node in nodes]
    assert [text.splitlines()[1] for text in listings] == ["1. one -> one", "1. one -> other"]


# --- Workflow


def test_a_workflow_counts_names_and_ids() -> None:
    made = Workflow("")
    assert (made.name(), made.node_count()) == ("", 0)
    node = agent("a")
    assert made.add_node(node) == node.id()
    made.add_node(agent("a"))
    assert made.node_count() == 2
    with pytest.raises(RuntimeError) as caught:
        made.add_node(node)
    assert str(caught.value).startswith(f"Graph error: Node already exists: id={node.id()}")
    assert Workflow("other").add_node(node) == node.id()
    made.validate()
    Workflow("empty").validate()


def test_connect_takes_ids_and_names_and_the_first_of_a_name(server: Server) -> None:
    first_a, second_a, below = agent("a", context="1"), agent("a", context="2"), agent("b")
    made = workflow([first_a, second_a, below], ("a", below.id()))
    server.behaviour(replies=[{"prompt": "ask b", "content": "B"}])
    executor(server).execute(made)
    bodies = [json.loads(entry["body"])["messages"][0]["content"] for entry in server.log()]
    assert "echo: 1\n\nask a\n\nask b" in bodies


def test_connect_knows_who_is_missing() -> None:
    made = workflow([agent("a")])
    nobody = str(uuid.uuid4())
    for source, target, text in (
        ("x", "a", "Source node x not found"),
        ("a", "x", "Target node x not found"),
        (nobody, "a", f"Graph error: Source node {nobody} not found"),
        ("a", nobody, f"Graph error: Target node {nobody} not found"),
    ):
        with pytest.raises(ValueError) as caught:
            made.connect(source, target)
        assert str(caught.value) == text


def test_cycles_are_found_by_validate() -> None:
    for edges in ([("a", "a")], [("a", "b"), ("b", "a")]):
        made = workflow([agent("a"), agent("b")], *edges)
        with pytest.raises(RuntimeError) as caught:
            made.validate()
        assert str(caught.value) == "Graph error: Workflow graph contains cycles"
    workflow([agent("a"), agent("b")], ("a", "b"), ("a", "b")).validate()


def test_successors_of_a_condition_need_different_names() -> None:
    twins = [agent("b"), agent("b")]
    made = workflow([agent("a"), Node.condition("c", first), *twins], ("a", "c"))
    for twin in twins:
        made.connect("c", twin.id())
    with pytest.raises(RuntimeError) as caught:
        made.validate()
    assert str(caught.value).startswith("Graph error: ")
    assert str(caught.value).endswith("has duplicate successor name 'b'")


def test_agent_ids_are_unique_as_the_uuids_they_stand_for() -> None:
    derived = str(uuid.uuid5(uuid.NAMESPACE_DNS, "writer"))
    for one, other in (("writer", "writer"), ("writer", derived), (derived, derived.upper())):
        nodes = [agent("a", agent_id=one), agent("b", agent_id=other)]
        with pytest.raises(RuntimeError) as caught:
            workflow(nodes).validate()
        users = ", ".join(f"{{id={node.id()}, name='{node.name()}'}}" for node in nodes)
        assert f"agent_id='{derived}' used by: [{users}]" in str(caught.value)
    workflow([agent("a", agent_id=""), agent("b", agent_id="x"), agent("c"), agent("d")]).validate()


def test_unique_names_can_be_asked_for() -> None:
    made = workflow([agent("a"), agent("a")])
    made.set_graph_metadata("something_else", True)
    made.validate()
    made.set_graph_metadata("enforce_unique_node_names", True)
    with pytest.raises(RuntimeError, match="^Graph error: .*'a'"):
        made.validate()
    made.set_graph_metadata("enforce_unique_node_names", False)
    made.validate()


def test_what_is_wrong_has_an_order() -> None:
    """Cycle, then transforms, then successors, then agent ids, then names."""
    twins = [agent("b", agent_id="i"), agent("b", agent_id="i")]
    shout = Node.transform("t", "shout")
    nodes = [agent("a"), shout, Node.condition("c", first), *twins]
    edges = [("a", "c"), ("c", twins[0].id()), ("c", twins[1].id())]
    for removed, text in (
        ([], "cycles"),
        (["cycle"], "shout"),
        (["cycle", "t"], "duplicate successor"),
        (["cycle", "t", "edge"], "agent_id"),
    ):
        kept = [node for node in nodes if "t" not in removed or node is not shout]
        made = workflow(kept, *(edges[:2] if "edge" in removed else edges))
        made.set_graph_metadata("enforce_unique_node_names", True)
        if "cycle" not in removed:
            made.connect("a", "a")
        with pytest.raises(RuntimeError, match=text):
            made.validate()


def test_a_run_works_on_the_graph_as_it_was(server: Server) -> None:
    made = workflow([agent("a")])
    events = executor(server).execute_streaming(made)
    made.add_node(agent("b"))
    assert next(iter(events))["total_nodes"] == 1
    assert sum(event["event"] == "node_completed" for event in events) == 1
    result = executor(server).execute(made)
    assert result.get_all_node_outputs().keys() >= {"a", "b"}


# --- the classes


def test_none_is_made_or_subclassed_and_results_alone_copied_and_pickled(server: Server) -> None:
    made = workflow([agent("a")])
    run = executor(server)
    result = run.execute(made)
    for thing in [agent("n"), made, run, run.execute_streaming(made), result]:
        assert {thing: 1}[thing] == 1 and thing != object()
        with pytest.raises(TypeError):
            type("Special", (type(thing),), {})
        if thing is not result:
            with pytest.raises(TypeError):
                copy.copy(thing)
            with pytest.raises(TypeError):
                pickle.dumps(thing)


def test_the_names_are_where_0_6_8_has_them() -> None:
    import graphbit
    import graphbit.graphbit as inner

    names = ("Node", "Workflow", "Executor", "WorkflowResult", "WorkflowContext")
    for name in names:
        assert getattr(inner, name) is getattr(graphbit, name) and name in graphbit.__all__
    assert inner.WorkflowStreamIterator is graphbit.WorkflowStreamIterator
