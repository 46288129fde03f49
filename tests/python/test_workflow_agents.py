"""Agents at work: what the model is asked, what becomes of its answers, of its failures, and of the metadata."""

from __future__ import annotations

import asyncio
import datetime
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from graphbit import Executor, LlmConfig, Node, Workflow
from llm_setup import ECHO, KEY
from simulator import Server, Simulator
from workflow_setup import (
    agent,
    asked,
    bodies,
    calls,
    chain,
    executor,
    message,
    model,
    says,
    workflow,
)

NODE_KEYS = {
    *("node_id", "node_name", "node_type", "user_input", "tools_available"),
    *("total_tools_available", "start_time", "end_time", "duration_ms", "success", "error"),
    *("final_output", "total_iterations", "max_iterations", "exit_reason", "total_usage"),
    *("total_tool_calls", "total_retries", "tools_used", "executions"),
}
WORKFLOW_KEYS = {
    *("workflow_id", "workflow_name", "start_time", "end_time", "duration_ms", "user_input"),
    *("user_input_masked", "final_output", "final_output_masked", "workflow_state", "nodes"),
    *("total_usage", "total_tool_calls"),
}
LLM_CALL_KEYS = {
    *("type", "id", "model", "provider", "input", "output", "finish_reason", "tool_calls"),
    *("start_time", "end_time", "duration_ms", "usage", "retries"),
}
TOOL_CALL_KEYS = {
    *("type", "id", "tool_name", "parameters", "output", "success", "error"),
    *("start_time", "end_time", "latency_ms", "retries"),
}
USAGE_KEYS = {
    *("prompt_tokens", "completion_tokens", "total_tokens"),
    *("prompt_tokens_details", "completion_tokens_details"),
}


def weather(city: str) -> str:
    """Tells the weather."""
    return f"rain in {city}"


def test_the_body_of_a_bare_agent(server: Server) -> None:
    result = executor(server).execute(workflow([agent("a")]))
    expected = {"model": "m", "messages": [{"role": "user", "content": "ask a"}]}
    assert bodies(server) == [expected]
    assert result.is_success() and result.is_completed() and not result.is_failed()
    assert (result.state(), result.error(), result.output()) == (
        "Completed",
        None,
        ECHO + "ask a",
    )


def test_the_body_of_an_agent_with_everything(server: Server) -> None:
    server.behaviour(replies=[says("a", "A")])
    node = agent(
        "a",
        context="Be kind.",
        tools=[weather],
        system_prompt="You are {{node.a}}.",
        temperature=1.7,
        max_tokens=9,
    )
    executor(server).execute(workflow([node]))
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string", "description": "Parameter city"}},
        "required": ["city"],
    }
    function = {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": parameters,
    }
    (body,) = bodies(server)
    assert body == {
        "model": "m",
        "messages": [
            {"role": "system", "content": "You are {{node.a}}."},
            {"role": "user", "content": "Be kind.\n\nask a"},
        ],
        "temperature": 1.7,
        # OpenAI's own name for it; Azure and others are told `max_tokens`.
        "max_completion_tokens": 9,
        "tools": [{"type": "function", "function": function}],
        "tool_choice": "auto",
    }


def test_an_empty_list_of_tools_is_not_sent(server: Server) -> None:
    executor(server).execute(workflow([agent("a", tools=[])]))
    (body,) = bodies(server)
    assert body.keys() == {"model", "messages"}


def test_azure_is_asked_by_its_deployment_and_without_a_model(server: Server) -> None:
    config = LlmConfig.azurellm(KEY, "prod-chat", server.base_url)
    Executor(config).execute(workflow([agent("a", max_tokens=9)]))
    (body,) = bodies(server)
    assert body == {"messages": [{"role": "user", "content": "ask a"}], "max_tokens": 9}


def test_the_preamble_is_in_reverse_order_of_connect_with_blank_lines(server: Server) -> None:
    server.behaviour(replies=[says("a", "A"), says("b", '{"z": 1, "a": [2]}'), says("c", "C")])
    made = workflow(
        [agent("a"), agent("b"), agent("c"), agent("d", context="Context {a}")],
        *(("a", "d"), ("b", "d"), ("c", "d"), ("a", "d")),
    )
    executor(server).execute(made)
    assert message(server, "d") == 'Context A\n\nA\n\nC\n\n{"a":[2],"z":1}\n\nA\n\nask d'


def test_placeholders(server: Server) -> None:
    """Names with spaces, ids, keys, indices; what is not resolved stays (D53)."""
    server.behaviour(
        replies=[says("a b", '{"k": {"l": ["x", {"m": true}]}, "n": null}'), says("o", "O")]
    )
    first, other = agent("a b"), agent("o", output_name="published")
    prompt = (
        "{{node.a b.k.l.0}} {{node.a b.k.l.1}} {{node.a b.n}} {o} {{node.ID}} {ID} {published} "
        "{input} {{node.nobody}} {{node.o.x}} {{ node.o }} ask t"
    ).replace("ID", other.id())
    executor(server).execute(workflow([first, other, Node.agent("t", prompt)]))
    wanted = 'x {"m":true} null O O O O {input} {{node.nobody}} {{node.o.x}} {{ node.o }} ask t'
    assert message(server, "t") == wanted


def test_a_node_waits_for_the_nodes_that_it_names(server: Server) -> None:
    """The answer of a node that is no parent is there, however late it comes; no preamble."""
    server.behaviour(replies=[says("slow", "S", latency_ms=300)])
    made = workflow([Node.agent("t", "{{node.slow}} ask t"), agent("slow")])
    executor(server).execute(made)
    assert message(server, "t") == "S ask t"


def test_two_that_name_each_other_do_not_wait_for_ever(server: Server) -> None:
    made = workflow([Node.agent("a", "{b} ask a"), Node.agent("b", "{a} ask b")])
    result = executor(server, timeout_seconds=10).execute(made)
    assert result.is_success()
    texts = sorted([message(server, "a"), message(server, "b")])
    assert sum(text.startswith("{") for text in texts) == 1


def test_what_a_model_writes_is_never_a_template(server: Server) -> None:
    """D4: neither in the preamble nor where it was put in."""
    trap = "{{node.secret}} {secret} {input}"
    server.behaviour(replies=[says("trap", trap), says("secret", "SECRET")])
    made = workflow(
        [agent("secret"), agent("trap"), Node.agent("t", "{trap} ask t")],
        ("secret", "trap"),
        ("trap", "t"),
    )
    executor(server).execute(made)
    assert message(server, "t") == f"{trap}\n\n{trap} ask t"


@pytest.mark.parametrize(
    ("reply", "output"),
    [
        ('{"b": 1, "a": {"d": 1.5, "c": "ü"}}', '{"a":{"c":"ü","d":1.5},"b":1}'),
        ("[1, 2]", "[1,2]"),
        ('{"x": 0.18670199999999998}', '{"x":0.18670199999999998}'),
        ('"text"', "text"),
        ("true", "true"),
        ("1.50", "1.50"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("not {json}", "not {json}"),
        ("", ""),
    ],
)
def test_json_becomes_its_value_and_text_stays(reply: str, output: str, server: Server) -> None:
    server.behaviour(replies=[says("a", reply)])
    node = agent("a")
    result = executor(server).execute(workflow([node]))
    assert result.get_node_output("a") == result.get_node_output(node.id()) == output
    assert result.get_all_node_outputs() == {node.id(): output, "a": output}
    assert result.get_all_nodes_outputs() == result.get_all_node_outputs()
    # D53: the raw text, no quotes around it.
    assert result.get_variable("a") == output
    assert (
        dict(result.variables()) == result.get_all_variables() == {node.id(): output, "a": output}
    )


def test_null_is_an_output_that_is_not_told(server: Server) -> None:
    server.behaviour(replies=[says("a", "null")])
    result = executor(server).execute(workflow([agent("a")]))
    assert result.get_node_output("a") is None and result.get_all_node_outputs() == {}
    assert result.get_variable("a") == "null"
    assert result.get_node_output("nobody") is None and result.get_variable("nobody") is None


def test_agents_with_tools_give_text(server: Server) -> None:
    server.behaviour(replies=[says("a", '{"b": 1, "a": 2}')])
    result = executor(server).execute(workflow([agent("a", tools=[weather])]))
    assert result.get_node_output("a") == '{"b": 1, "a": 2}'


def test_calls_that_nothing_was_offered_for_are_ignored(server: Server) -> None:
    server.behaviour(replies=[says("a", "text", tool_calls=[("c", "weather", {"city": "x"})])])
    for tools in (None, []):
        result = executor(server).execute(workflow([agent("a", tools=tools)]))
        assert result.get_node_output("a") == "text"
    assert len(bodies(server)) == 2


def test_output_names_publish(server: Server) -> None:
    """D43."""
    server.behaviour(replies=[says("a", "A"), says("b", "B")])
    made = chain([agent("a", output_name="draft"), Node.agent("b", "{{node.draft}} ask b")])
    result = executor(server).execute(made)
    assert result.get_node_output("draft") == result.get_variable("draft") == "A"
    assert result.get_all_node_outputs()["draft"] == "A"
    assert message(server, "b") == "A\n\nA ask b"


def test_a_node_s_own_model_is_asked(server: Server, simulator: Simulator) -> None:
    other = Server(simulator, simulator.new_scope("other"))
    made = workflow([agent("a"), agent("b", llm_config=model(other, "own"))])
    executor(server).execute(made)
    assert [body["model"] for body in bodies(server)] == ["m"]
    # D49: no greeting is sent to find out whether the two models work.
    assert [body["model"] for body in bodies(other)] == ["own"]
    assert message(other, "b") == "ask b"
    simulator.forget(other.scope)


def test_transforms(server: Server) -> None:
    """D54: operations, and templates."""
    server.behaviour(replies=[says("a", " Hello  World "), says("b", "B"), says("end", "E")])
    made = workflow(
        [
            agent("a"),
            agent("b"),
            Node.transform("up", "trim | uppercase"),
            Node.transform("count", "word_count"),
            Node.transform("card", "<{input}> {{node.b}} {x}"),
            Node.transform("joined", "collapse_whitespace"),
            agent("end"),
        ],
        *(("a", "up"), ("a", "count"), ("up", "card"), ("up", "joined"), ("b", "joined")),
        *(("card", "end"), ("count", "end")),
    )
    result = executor(server).execute(made)
    assert result.is_success()
    outputs = [result.get_node_output(name) for name in ("up", "count", "card", "joined")]
    assert outputs == ["HELLO  WORLD", "2", "<HELLO  WORLD> B {x}", "B HELLO WORLD"]
    assert message(server, "end") == "2\n\n<HELLO  WORLD> B {x}\n\nask end"
    assert result.get_node_response_metadata("up") is None


def test_a_transform_that_does_not_exist_is_refused_before_anything_is_paid_for(
    server: Server,
) -> None:
    made = chain([agent("a"), Node.transform("t", "shout")])
    for run in (executor(server).execute, executor(server).execute_streaming):
        with pytest.raises(ValueError, match="field 'workflow': Invalid workflow: .*'shout'"):
            run(made)
    assert server.log() == []


def test_a_workflow_without_agents_does_not_run(server: Server) -> None:
    made = workflow([Node.transform("t", "trim")])
    with pytest.raises(RuntimeError) as caught:
        executor(server).execute(made)
    assert str(caught.value) == "Validation error: workflow - No agents found in workflow"


def test_what_is_wrong_comes_to_light_at_every_door(server: Server) -> None:
    run = executor(server)
    empty, cyclic = Workflow("w"), workflow([agent("a")], ("a", "a"))
    cycle = (
        "Validation error for field 'workflow': Invalid workflow: "
        "Graph error: Workflow graph contains cycles"
    )
    nothing = "Validation error for field 'workflow': Workflow cannot be empty"

    async def main() -> None:
        with pytest.raises(ValueError) as caught:
            await run.run_async(cyclic)
        assert str(caught.value) == cycle
        with pytest.raises(RuntimeError) as late:
            await run.run_async(empty)
        assert str(late.value) == "Validation error: workflow - No agents found in workflow"

    asyncio.run(main())
    for door in (run.execute, run.execute_streaming):
        for made, text in ((cyclic, cycle), (empty, nothing)):
            with pytest.raises(ValueError) as caught:
                door(made)
            assert str(caught.value) == text
    with pytest.raises(RuntimeError, match="no running event loop"):
        run.run_async(workflow([agent("a")]))
    assert server.log() == []


# --- failures


def test_a_failed_node_fails_the_run_and_what_is_below_it(server: Server) -> None:
    """D3: the error is told; dependants do not run; what has nothing to do with it goes on."""
    server.behaviour(replies=[says("bad", status=400), says("slow", "S", latency_ms=150)])
    made = workflow(
        [agent(name) for name in ("bad", "below", "far", "slow", "fine", "mixed")],
        *(
            ("bad", "below"),
            ("below", "far"),
            ("slow", "fine"),
            ("slow", "mixed"),
            ("bad", "mixed"),
        ),
    )
    result = executor(server).execute(made)
    assert (result.is_success(), result.is_completed(), result.is_failed()) == (False, False, True)
    error = result.error()
    assert error is not None
    begin = "Workflow execution error: Node 'bad' failed: Core error: LLM provider error: openai - "
    assert error.startswith(begin) and "simulated failure 400" in error
    assert result.state().startswith(f'Failed {{ error: "{begin}')
    outputs = result.get_all_node_outputs()
    assert {name for name in outputs if len(name) < 9} == {"slow", "fine"}
    for name in ("below", "far", "mixed"):
        assert asked(server, name) == [] and result.get_node_response_metadata(name) is None
    told = result.get_node_response_metadata("bad")
    assert told is not None and told.keys() == NODE_KEYS
    assert (told["success"], told["exit_reason"], told["final_output"]) == (False, "error", "")
    assert "simulated failure 400" in told["error"]
    everything = result.get_all_node_response_metadata()
    assert everything["workflow_state"] == "failed"
    assert {node["node_name"] for node in everything["nodes"]} == {"bad", "slow", "fine"}


def test_a_node_that_only_names_a_failed_one_still_runs(server: Server) -> None:
    server.behaviour(replies=[says("bad", status=400)])
    made = workflow([agent("bad"), Node.agent("t", "{{node.bad}} ask t")])
    result = executor(server).execute(made)
    assert result.is_failed() and message(server, "t") == "{{node.bad}} ask t"


def test_a_follow_up_that_fails_fails_the_node(server: Server) -> None:
    """D3: what the tools said is not passed off as the answer."""
    server.behaviour(
        replies=[calls("a", ("c", "weather", {"city": "x"})), says("a", turn=1, status=400)]
    )
    result = executor(server).execute(workflow([agent("a", tools=[weather])]))
    assert result.is_failed() and result.get_node_output("a") is None
    told = result.get_node_response_metadata("a")
    assert told is not None and told["total_tool_calls"] == 1
    assert [each["type"] for each in told["executions"]] == ["llm_call", "tool_call"]


def retried(server: Server, replies: list[Any], retries: int = 1) -> tuple[Any, int, float]:
    server.behaviour(replies=replies)
    run = executor(server)
    run.configure(max_retries=retries)
    started = time.monotonic()
    result = run.execute(workflow([agent("a", tools=[weather])]))
    return result, len(server.log()), time.monotonic() - started


@pytest.mark.parametrize(
    ("statuses", "retries", "requests", "succeeds"),
    [
        ([503], 1, 2, True),
        ([500], 1, 2, True),
        ([429], 1, 2, True),
        ([502, 503], 1, 2, False),
        ([503, 503], 2, 3, True),
        ([400], 3, 1, False),
        ([401], 3, 1, False),
        ([403], 3, 1, False),
        ([404], 3, 1, False),
        (["reset"], 1, 2, True),
    ],
)
def test_retries_go_by_status_and_heed_max_retries(
    statuses: list[Any], retries: int, requests: int, succeeds: bool, server: Server
) -> None:
    """D46."""
    server.behaviour(status=statuses)
    run = executor(server)
    run.configure(max_retries=retries)
    started = time.monotonic()
    result = run.execute(workflow([agent("a")]))
    took = time.monotonic() - started
    assert (len(server.log()), result.is_success()) == (requests, succeeds)
    # GraphBit's pauses: a second, doubling; never shorter.
    assert took >= sum(2**pause for pause in range(requests - 1)) * 0.98
    told = result.get_node_response_metadata("a")
    assert told is not None and told["total_retries"] == requests - 1


def test_follow_ups_are_retried_too(server: Server) -> None:
    """D46, D57: and counted."""
    result, requests, _ = retried(
        server,
        [
            calls("a", ("c", "weather", {"city": "x"})),
            says("a", turn=1, status=503, times=1),
            says("a", "done"),
        ],
    )
    assert result.is_success() and requests == 3 and result.get_node_output("a") == "done"
    told = result.get_node_response_metadata("a")
    assert told["total_retries"] == 1 and told["executions"][2]["retries"] != []


def test_retry_after_is_heeded(server: Server) -> None:
    server.behaviour(status=[[429, "slow down", {"retry-after": "2"}]])
    started = time.monotonic()
    assert executor(server).execute(workflow([agent("a")])).is_success()
    assert time.monotonic() - started >= 1.98


# --- metadata


def when(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text)


def test_the_metadata_of_a_node_without_tools(server: Server) -> None:
    node = agent("a", context="Context")
    told = executor(server).execute(workflow([node])).get_node_response_metadata("a")
    assert told is not None and told.keys() == NODE_KEYS
    wanted = {
        "node_id": node.id(),
        "node_name": "a",
        "node_type": "Agent",
        "user_input": "ask a",
        "tools_available": [],
        "total_tools_available": 0,
        "success": True,
        "error": None,
        "final_output": ECHO + "Context\n\nask a",
        "total_iterations": 0,
        "max_iterations": 10,
        "exit_reason": "stop",
        "total_tool_calls": 0,
        "total_retries": 0,
        "tools_used": [],
    }
    assert {key: told[key] for key in wanted} == wanted
    assert when(told["start_time"]) <= when(told["end_time"])
    (call,) = told["executions"]
    assert call.keys() == LLM_CALL_KEYS
    assert (call["type"], call["model"], call["provider"]) == ("llm_call", "m", "openai")
    assert (call["id"], call["finish_reason"]) == ("chatcmpl-simulated", "stop")
    assert (call["tool_calls"], call["retries"]) == ([], [])
    assert call["usage"] == told["total_usage"] and call["usage"].keys() == USAGE_KEYS
    assert call["usage"]["prompt_tokens_details"] == {
        "cached_tokens": 0,
        "cache_creation_tokens": 0,
        "audio_tokens": 0,
    }
    assert call["usage"]["completion_tokens_details"] == {
        "reasoning_tokens": 0,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    }


def test_the_metadata_of_a_node_with_tools_and_of_the_run(server: Server) -> None:
    """D57: sums, counts, times and limits are true."""
    server.behaviour(
        replies=[
            calls("a", ("c1", "weather", {"city": "x"}), ("c2", "nothing", {}), content="one two"),
            calls("a", ("c3", "weather", {}), turn=1),
            says("a", "three", finish_reason="odd"),
        ]
    )
    made = workflow([agent("a", tools=[weather], max_iterations=7), agent("b")], name="whole")
    result = executor(server).execute(made)
    told = result.get_node_response_metadata("a")
    assert told is not None and told.keys() == NODE_KEYS
    assert (told["total_iterations"], told["max_iterations"]) == (2, 7)
    assert (told["total_tool_calls"], told["tools_used"]) == (3, ["weather", "nothing"])
    assert told["exit_reason"] == "odd" and told["tools_available"] == ["weather"]
    kinds = [each["type"] for each in told["executions"]]
    assert kinds == ["llm_call", *["tool_call"] * 2, "llm_call", "tool_call", "llm_call"]
    for each in told["executions"]:
        assert each.keys() == (LLM_CALL_KEYS if each["type"] == "llm_call" else TOOL_CALL_KEYS)
        assert when(each["start_time"]) <= when(each["end_time"])
    first, good, unknown, _, bad, _ = told["executions"]
    assert first["tool_calls"][0] == {
        "id": "c1",
        "type": "function",
        "name": "weather",
        "parameters": {"city": "x"},
        "function": {"name": "weather", "arguments": '{"city":"x"}'},
    }
    assert (good["output"], good["success"], good["error"]) == ("rain in x", True, None)
    assert good["parameters"] == {"city": "x"} and good["tool_name"] == "weather"
    assert (unknown["output"], unknown["success"], bad["success"]) == ("", False, False)
    usages = [each["usage"] for each in told["executions"] if each["type"] == "llm_call"]
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert told["total_usage"][name] == sum(usage[name] for usage in usages) > 0
    everything = result.get_all_node_response_metadata()
    assert everything.keys() == WORKFLOW_KEYS
    assert (everything["workflow_name"], everything["workflow_state"]) == ("whole", "completed")
    assert everything["total_tool_calls"] == 3
    assert everything["user_input_masked"] == everything["final_output_masked"] == ""
    starts = [node["start_time"] for node in everything["nodes"]]
    assert starts == sorted(starts) and len(starts) == 2
    assert everything["user_input"] == everything["nodes"][0]["user_input"]
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        parts = [node["total_usage"][name] for node in everything["nodes"]]
        assert everything["total_usage"][name] == sum(parts)


def test_the_time_of_a_run_includes_its_tools(server: Server) -> None:
    """D57."""

    def nap() -> str:
        time.sleep(0.2)
        return "rested"

    server.behaviour(replies=[calls("a", ("c", "nap", {})), says("a", "done")])
    result = executor(server).execute(workflow([agent("a", tools=[nap])]))
    told = result.get_node_response_metadata("a")
    assert told is not None and told["duration_ms"] >= 200
    assert result.execution_time_ms() >= 200
    assert told["executions"][1]["latency_ms"] >= 200


def test_one_workflow_runs_in_many_threads_at_once(server: Server) -> None:
    server.behaviour(latency_ms={"uniform": [0, 20]})
    made = chain([agent("a"), agent("b")])
    run = executor(server)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: run.execute(made), range(24)))
    wanted = ECHO + ECHO + "ask a\n\nask b"
    assert [result.get_node_output("b") for result in results] == [wanted] * 24
    assert len(server.log()) == 48
    # The id is the workflow's, and every run has it.
    told = [
        json.dumps(result.get_all_node_response_metadata()["workflow_id"]) for result in results
    ]
    assert len(set(told)) == 1
