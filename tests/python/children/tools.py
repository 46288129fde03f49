"""Runs the cases that are named, with the graphbit of this interpreter, and prints their outcomes as JSON.

A case of ``SAME`` has the outcome of GraphBit 0.6.8 here too; one of ``DEFECTS`` has not, on purpose.
"""

# ruff: noqa: B006, E741 - defaults and names of every sort

import asyncio
import json
import sys
import threading
import time
from typing import Any, Dict, List  # noqa: UP035

import graphbit as g

TIMES = ("created_at", "last_called_at", "timestamp", "start_time", "end_time", "execution_id")


def untimed(value):
    """The value without what is different in each run, JSON texts parsed."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            value = json.loads(value)
        except ValueError:
            return value
    if isinstance(value, dict):
        changing = (*TIMES, "duration_ms", "elapsed_ms", "latency_ms", "total_duration_ms")
        return {
            key: "changing" if key in changing and item is not None else untimed(item)
            for key, item in value.items()
        }
    return [untimed(item) for item in value] if isinstance(value, (list, tuple)) else value


def attempt(function, *arguments):
    """What a call gives, or the class of its exception and, unless that is a TypeError, its text."""
    try:
        return untimed(function(*arguments))
    except Exception as error:
        text = "" if isinstance(error, TypeError) else str(error)
        return [type(error).__name__, text]


class Tools:
    """Tools as a node has them, also before there are nodes."""

    def __init__(self, tools):
        if hasattr(g, "Node"):
            node = g.Node.agent("node", "prompt", tools=tools)
            self.execute_tools, self.create_tool_executor = (
                node.execute_tools,
                node.create_tool_executor,
            )
            self.schemas = json.loads(node.get_config()).get("tool_schemas", [])
        else:
            from graphbit import tools as made

            bound = made.bind_tools(tools)
            self.execute_tools = lambda calls: made.execute_listing(bound, calls)
            self.create_tool_executor = lambda: made.executor_for(bound)
            self.schemas = [
                {"name": each.name, "description": each.description, "parameters": each.parameters}
                for each in bound
            ]


def schema(function):
    return Tools([function]).schemas[0]


def registry(**functions):
    made = g.ToolRegistry()
    for name, function in functions.items():
        made.register_tool(name, "Described.", function, {"type": "object"}, None)
    return made


def echo(**given):
    """Echo."""
    return given


def bad():
    """Bad."""
    raise ValueError("no")


def plain(
    a: int, b: float, c: str, d: bool, e: list, f: dict, g, h: int | None, i: str | None,
    j: float = 1.5, k: str = "x", l: int = 3, m: dict | None = None, n: list = [], o: int = 2**70,
    *, p: str, q=None, r=float("nan"),
):  # fmt: skip
    """Do it.

    Args:
        a: the a
        b (float): the b
        c : of c: with a colon
        i(str): i

    Returns:
        z: nothing
    """


def undocumented(value): ...


class Service:
    def ask(self, question: str):
        """Asks."""
        return "asked " + question


def same_schemas():
    return [schema(plain), schema(undocumented), schema(Service().ask)]


def same_registry():
    made = registry(echo=echo, bad=bad)
    calls = [
        attempt(lambda name=name, params=params: made.execute_tool(name, params).to_json())
        for name, params in (("echo", {"b": 1, "a": "é"}), ("bad", {}), ("none", {}), ("echo", []))
    ]
    refused = [
        attempt(made.register_tool, *arguments)
        for arguments in (
            ("", "d", echo, {}, None), (" ", "d", echo, {}, None), ("n", " ", echo, {}, None),
            ("n", "d", echo, [], None), ("n", "d", echo, {}, 3), ("n", "d", echo),
        )
    ]  # fmt: skip
    stats = untimed(made.get_stats())
    stats["tools"].sort(key=lambda each: each["name"])
    return [
        repr(made), str(made), calls, refused, stats, untimed(made.get_tool_metadata("echo")),
        list(json.loads(made.get_tool_metadata("echo"))), made.get_tool_metadata("none"),
        sorted(made.get_llm_tools()), sorted(made.list_tools()), made.has_tool("echo"),
        made.unregister_tool("echo"), made.unregister_tool("echo"), made.has_tool("echo"),
        untimed([each.to_json() for each in made.get_execution_history()]), made.clear_history(),
        made.get_execution_history(),
    ]  # fmt: skip


def same_history():
    made = registry(echo=echo)
    for number in range(1003):
        made.execute_tool("echo", {"n": number})
    history = made.get_execution_history()
    return [len(history), history[0].output, history[-1].output]


def same_results():
    made = g.ToolResult("a", "b", "c" * 60, 1500)
    failed = g.ToolResult.failure("a", "b", "boom", 7)
    made.add_metadata("text", "x")
    made.add_metadata("number", 1.5)
    made.add_metadata("none", None)
    texts = ["{", "{}", '{"tool_name":"a"}', "3", failed.to_json()]
    collection = g.ToolResultCollection()
    empty = [repr(collection), collection.success_rate()]
    for each in (made, failed, made):
        collection.add(each)
    return [
        [repr(each), str(each), untimed(each.to_json()), each.success, each.error, each.get_duration(),
         each.is_success(), each.is_failure(), each.get_error(), each.output, list(json.loads(each.to_json()))]
        for each in (made, failed)
    ] + [
        [made.get_metadata(key) for key in ("text", "number", "none", "absent")],
        [str(attempt(lambda text=text: g.ToolResult.from_json(text).to_json()))[:48] for text in texts],
        [attempt(g.ToolResult, *arguments) for arguments in ((1, "b", "c"), ("a", "b", "c", -1), ("a", "b", "c", 2**64))],
        empty, repr(collection), collection.count(), collection.success_count(), collection.failure_count(),
        collection.success_rate(), collection.total_duration_ms(), len(collection.get_failed()),
    ]  # fmt: skip


def same_configurations():
    return [
        repr(each)
        for each in (
            g.ExecutorConfig(), g.ExecutorConfig.production(), g.ExecutorConfig.development(),
            g.ExecutorConfig(0, 0, True), g.ToolExecutor(), g.ToolDecorator(),
        )
    ] + [
        attempt(g.ExecutorConfig, *arguments)
        for arguments in ((-1,), ("x",), (1, -1), (1.5,), (2**64,), (1, 1, 1))
    ]  # fmt: skip


def same_executor():
    config = g.ExecutorConfig(continue_on_error=True)
    made = g.ToolExecutor(registry(echo=echo, bad=bad), config)
    calls = [
        {"name": "echo"}, {"name": "echo", "id": "7", "parameters": None}, '{"name":"echo","id":"1","parameters":{}}',
        {"name": "echo", "parameters": {"z": 1, "b": True, "s": "é"}}, {"name": "bad"}, {"id": "x"}, 3,
        {"name": " "}, {"name": "echo", "id": " "}, {"name": "echo", "parameters": [1]},
        {"name": "echo", "parameters": {"x": (1,)}}, {"name": "echo", "parameters": {"x": float("nan")}},
    ]  # fmt: skip
    results = made.execute_tools(calls)
    kept = [
        untimed([each.to_json() for each in found.get_all()])
        for found in (results, made.get_results())
    ]
    found = [kept, untimed(made.get_variables()), untimed(made.get_execution_stats())]
    made.set_variable("k", {"b": [1, True, None], "a": 1.5})
    found.append(made.get_variable("k"))
    found += [
        attempt(made.set_variable, "v", value) for value in ((1,), float("nan"), {1: 2}, b"x")
    ]
    made.execute_tools([{"name": "echo"}])
    found.append(untimed(made.get_variables()))
    made.clear_context()
    found += [made.get_variables(), made.get_results().count(), attempt(made.execute_tools, ({},))]
    for config in (g.ExecutorConfig(0), g.ExecutorConfig(1, 0)):
        found.append(attempt(g.ToolExecutor(None, config).execute_tools, []))
    stopping = g.ToolExecutor(registry(echo=echo, bad=bad))
    found += [stopping.execute_tools([{"name": "bad"}, {"name": "echo"}]).count(), stopping.execute_tools([{"name": "echo"}] * 14).count()]  # fmt: skip
    return found


def same_functions():
    made = Tools([echo, bad, Service().ask])
    calls = json.dumps(
        [{"tool_name": "echo", "parameters": {"a": 1}}, {"tool_name": "bad", "parameters": {}}, 3,
         {"tool_name": "none", "parameters": {}}, {"tool_name": "echo"}, {"tool_name": "echo", "parameters": []}]
    )  # fmt: skip
    names = ["echo", "bad", "none"]
    return [
        sorted(g.get_registered_tools()),
        g.execute_workflow_tool_calls(calls, names),
        untimed(g.execute_production_tool_calls(calls, names)),
        g.execute_workflow_tool_calls("[]", []), g.execute_production_tool_calls("[]", []),
        g.execute_workflow_tool_calls('[{"tool_name": "ask", "parameters": {}}]', names),
        [str(attempt(g.execute_workflow_tool_calls, text, names))[:46] for text in ("{", "{}", "3")],
        [attempt(g.execute_tool, *arguments) for arguments in (("ask", ["x"]), ("ask", ("x",)), ("none", []), ("ask", {}), ("bad", []))],
        made.execute_tools([{"name": "ask", "parameters": {"question": "me"}}, {"name": "bad"}, {"name": "echo"}]),
        made.execute_tools([]), repr(made.create_tool_executor()),
    ]  # fmt: skip


# Defects, by their numbers in the contract's list.


def d1_cut_inside_a_character():
    return str(g.ToolResult("t", "", "é" * 24 + "x" + "é" * 5))


def d2_executor_inside_its_tool():
    made = registry(echo=echo)
    executor = g.ToolExecutor(made)
    made.register_tool(
        "outer", "d", lambda: executor.execute_tools([{"name": "echo"}]).count(), {}, None
    )
    return executor.execute_tools([{"name": "outer"}]).get_all()[0].output


def d2_registry_inside_its_tool():
    made = g.get_tool_registry()
    made.register_tool("outer", "d", lambda: repr(g.get_tool_registry()), {}, None)
    made.register_tool("sleepy", "d", lambda: time.sleep(0.3), {}, None)
    call = '[{"tool_name": "sleepy", "parameters": {}}]'
    thread = threading.Thread(target=g.execute_workflow_tool_calls, args=(call, ["sleepy"]))
    thread.start()
    time.sleep(0.1)
    found = made.execute_tool("outer", {}).output
    thread.join()
    return found


def d5_tool_that_is_not_offered():
    ran = []
    Tools([lambda: 1])
    g.get_tool_registry().register_tool("secret", "d", lambda: ran.append(1), {}, None)
    g.execute_production_tool_calls('[{"tool_name": "secret", "parameters": {}}]', [])
    return ran


def d6_words_that_look_like_errors():
    g.get_tool_registry().register_tool(
        "words", "d", lambda: time.sleep(0.05) or "it was not found", {}, None
    )
    [row] = json.loads(
        g.execute_production_tool_calls('[{"tool_name": "words", "parameters": {}}]', ["words"])
    )
    return [row["output"], row["success"], row["latency_ms"] >= 50]


def d7_coroutine():
    async def coroutine():
        await asyncio.sleep(0)
        return "awaited"

    return registry(c=coroutine).execute_tool("c", {}).output[:7]


def d8_interrupt():
    def stopping():
        raise KeyboardInterrupt

    try:
        registry(f=stopping).execute_tool("f", {})
    except KeyboardInterrupt:
        return "raised"
    return "swallowed"


def d30_decorator():
    def decorated(value: int):
        """Documented."""

    forms = [
        lambda: g.tool(decorated), lambda: g.tool(description="x")(decorated),
        lambda: g.tool(name="x")(decorated), lambda: g.tool(return_type="int")(decorated),
    ]  # fmt: skip
    return [attempt(lambda form=form: form() is decorated) for form in forms]


def d31_description_of_the_decorator():
    @g.tool("Said.")
    def decorated():
        """Documented."""

    return schema(decorated)["description"]


def d32_callable_without_a_name():
    class Counter:
        """Counts."""

        def __call__(self):
            return 5

    made = Tools([Counter()])
    name = made.schemas[0]["name"]
    return [name, attempt(made.execute_tools, [{"name": name}])]


def d33_empty_docstring():
    def empty():
        """"""

    made = schema(empty)
    return [made["description"], g.get_tool_registry().has_tool("empty")]


def d34_variable_parameters():
    def variable(a: int, *args, **kwargs):
        """D."""

    made = schema(variable)["parameters"]
    return [sorted(made["properties"]), made["required"]]


def d35_booleans_and_lists():
    def flag(x: bool = True):
        """D."""

    made = g.ToolRegistry()
    made.register_tool("t", "d", echo, {"a": True, "b": [1, 2]}, None)
    result = g.ToolResult("t", "", "")
    result.add_metadata("k", True)
    default = schema(flag)["parameters"]["properties"]["x"]["default"]
    kept = json.loads(made.get_tool_metadata("t"))["parameters_schema"]
    return json.dumps([default, kept, result.get_metadata("k")])


def d36_real_types():
    def typed(a: List[int], b: Dict[str, Any]):  # noqa: UP006
        """D."""

    properties = schema(typed)["parameters"]["properties"]
    return [properties[name]["type"] for name in "ab"] + [properties["a"].get("items")]


def d37_docstrings():
    def numpy(x: int):
        """D.

        Parameters
        ----------
        x : int
            The x.
        """

    def sphinx(x: int):
        """D.

        :param x: the x
        """

    def google(x: int):
        """D.

        Args:
            x: begins
                and goes on
        """

    return [
        schema(each)["parameters"]["properties"]["x"]["description"]
        for each in (numpy, sphinx, google)
    ]


def d39_other_threads():
    Tools([echo])
    found = []
    thread = threading.Thread(
        target=lambda: found.extend([g.get_registered_tools(), attempt(g.execute_tool, "echo", [])])
    )
    thread.start()
    thread.join()
    return found


def d39_two_tools_of_one_name():
    def made(answer):
        def same():
            """D."""
            return answer

        return same

    first, _ = Tools([made("first")]), Tools([made("second")])
    return first.execute_tools([{"name": "same"}]).splitlines()[-1]


def d40_decorator_with_a_registry():
    made = g.ToolRegistry()
    decorator = g.ToolDecorator(made)

    def one(x: int): ...

    decorator()(one)
    return [
        made.list_tools(),
        attempt(decorator.register, one, "two", None, None),
        decorator.get_registry().list_tools(),
    ]


def d41_unknown_tool():
    config = g.ExecutorConfig(continue_on_error=True)
    made = g.ToolExecutor(registry(echo=echo), config)
    return attempt(lambda: made.execute_tools([{"name": "none"}, {"name": "echo"}]).count())


def d41_results_that_are_not_stored():
    config = g.ExecutorConfig(store_results=False)
    made = g.ToolExecutor(registry(echo=echo), config)
    return made.execute_tools([{"name": "echo"}]).count()


def d42_clear_tools():
    Tools([echo])
    g.clear_tools()
    return [g.get_registered_tools(), g.get_tool_registry().list_tools()]


def d42_sync():
    Tools([echo])
    g.sync_global_tools_to_workflow()
    return attempt(g.execute_tool, "echo", [])


CASES = {name: case for name, case in globals().items() if name.startswith(("same_", "d"))}


def main():
    print(json.dumps({name: CASES[name]() for name in sys.argv[1:]}))


main()
