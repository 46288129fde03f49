"""Workflows whose verdicts are equal in 0.6.8 and here; see ``flows.py``."""

import contextlib
import json
import re
import sys
from pathlib import Path

import graphbit
from graphbit import Executor, GuardRailPolicyConfig, Node, Workflow

# An isolated interpreter does not look beside the program.
sys.path.insert(0, str(Path(__file__).parent))

from flows import (
    TOKEN,
    add,
    agent,
    bodies,
    by_async,
    calls,
    config,
    control,
    executor,
    explode,
    main,
    named,
    policy,
    raised,
    says,
    script,
    workflow,
)


def same_bodies():
    script(says("json", '{"b": 1, "a": ["x", {"c": null}], "s": "t"}'), says("plain", "P"))
    nodes = [
        agent("bare"),
        agent("json"),
        agent("plain", system_prompt="Be brief {plain}.", max_tokens=7, temperature=0.5),
        agent("full", context="Context {{node.plain}}", tools=[add, explode], max_tokens=9),
        Node.agent("refs", "{{node.json.a}} {{node.json.s}} {{node.nobody}} {input} ask refs"),
    ]
    edges = [("json", "full"), ("plain", "full"), ("json", "full"), ("full", "refs")]
    result = executor().execute(workflow(nodes, *edges))
    found = {body["messages"][-1]["content"][-6:]: body for body in bodies()}
    return [found, result.state(), result.is_success(), named(result.get_all_node_outputs())]


def same_routes():
    seen = []

    def choose(situation):
        # "live" stands beside the condition: 0.6.8 waits for it here, we for the parent only.
        kept = {key for key in situation["metadata"] if len(key) < 30 and "live" not in key}
        seen.append([sorted(situation), sorted(kept), situation["parent_output"]])
        return " left "

    script(says("a", '{"b": [1, true, null]}'))
    names = ("left", "right", "below", "join", "live")
    nodes = [agent("a"), Node.condition("c", choose), *(agent(name) for name in names)]
    edges = [
        *(("a", "c"), ("c", "left"), ("c", "right"), ("left", "join"), ("right", "join")),
        *(("right", "below"), ("live", "below")),
    ]
    result = executor().execute(workflow(nodes, *edges))
    messages = sorted(body["messages"][-1]["content"] for body in bodies())
    return [seen, messages, result.state(), named(result.get_all_node_outputs())]


def same_route_failures():
    failures = []
    for handler in (lambda situation: "nowhere", lambda situation: 3, lambda situation: ""):
        nodes = [agent("a"), Node.condition("c", handler), agent("b")]
        result = executor().execute(workflow(nodes, ("a", "c"), ("c", "b")))
        outputs = named(result.get_all_node_outputs())
        failures.append([result.is_failed(), result.is_success(), sorted(outputs)])
    nodes = [agent("a"), agent("b"), Node.condition("c", lambda situation: "d"), agent("d")]
    result = executor().execute(workflow(nodes, ("a", "c"), ("b", "c"), ("c", "d")))
    return [failures, result.state()]


def same_refusals():
    node = agent("a")
    twice = workflow([node])
    cyclic = workflow([agent("a"), agent("b")], ("a", "b"), ("b", "a"))
    unique = workflow([agent("a"), agent("a")])
    unique.set_graph_metadata("enforce_unique_node_names", True)
    twins = [agent("a", agent_id="x"), agent("b", agent_id="x")]
    found = {
        "name": raised(Node.agent, " ", "p"),
        "prompt": raised(Node.agent, "n", ""),
        "temperature": raised(Node.agent, "n", "p", temperature=2.5),
        "max_tokens": raised(Node.agent, "n", "p", max_tokens=0),
        "overflow": raised(Node.agent, "n", "p", max_tokens=-1),
        "max_iterations": raised(Node.agent, "n", "p", max_iterations=101),
        "transform": raised(Node.transform, "", "x"),
        "transformation": raised(Node.transform, "t", ""),
        "condition": raised(Node.condition, "", len),
        "handler": raised(Node.condition, "c", 3),
        "source": raised(twice.connect, "x", "a"),
        "target": raised(twice.connect, "a", "x"),
        "cycle": raised(cyclic.validate),
        "run": raised(executor().execute, cyclic),
        "stream": raised(executor().execute_streaming, cyclic),
        "empty": raised(executor().execute, Workflow("w")),
        "timeout": raised(Executor, config(), timeout_seconds=0),
        "retries": raised(executor().configure, max_retries=11),
        "tools": raised(agent("n").execute_tools, []),
    }
    for made in (unique, workflow(twins), twice):
        with contextlib.suppress(RuntimeError):
            made.add_node(node)
            made.validate()
    begins = {
        "twice": raised(twice.add_node, node)[1][:37],
        "unique": raised(unique.validate)[1][:12],
        "twins": raised(workflow(twins).validate)[1][:12],
    }
    # Classes of ours may be more special; what they are built in as is the same.
    for name, (kinds, text) in found.items():
        kept = [kind for kind in kinds if kind not in ("Exception", "BaseException", "object")]
        found[name] = [kept[:1], text]
    return [found, begins]


def same_shapes():
    script(calls("a", ["c", "add", {"one": 1}]), says("a", "A"))
    made = workflow([agent("a", tools=[add], max_iterations=3)])
    result = executor().execute(made)
    node, whole = result.get_node_response_metadata("a"), result.get_all_node_response_metadata()
    called = [each for each in node["executions"] if each["type"] == "tool_call"]
    shape = json.loads(agent("a", tools=[add], system_prompt="s", max_tokens=3).get_config())
    return [
        sorted(node),
        sorted(whole),
        [[each["type"], sorted(each)] for each in node["executions"]],
        [
            [each["tool_name"], each["parameters"], each["success"], each["error"]]
            for each in called
        ],
        sorted(node["total_usage"]),
        [
            node["total_iterations"],
            node["total_tool_calls"],
            node["tools_used"],
            node["user_input"],
        ],
        sorted(executor().get_stats()),
        shape,
        [node["final_output"], result.get_node_output("a"), result.get_node_output("nobody")],
    ]


def same_first_follow_up():
    """Where nothing stands around the prompt, the conversation is the same, call by call."""
    script(calls("a", ["c1", "add", {"other": 5, "one": 1}], ["c2", "explode", {}]), says("a", "A"))
    executor().execute(workflow([agent("a", tools=[add, explode], temperature=0.5, max_tokens=5)]))
    return bodies()


def same_limit():
    script(says("a", "so far", tool_calls=[["c", "add", {"one": 1}]]))
    result = executor().execute(workflow([agent("a", tools=[add], max_iterations=2)]))
    return [len(bodies()), result.get_node_output("a")]


def same_events():
    script(calls("a", ["c", "add", {"one": 1}], content="text"), says("a", '{"b":1}'))
    made = workflow([agent("a", tools=[add])])
    events = list(executor().execute_streaming(made))
    keys = {event["event"]: [sorted(event), event["category"], event["phase"]] for event in events}
    order = [event["event"] for event in events]
    # What tools returned is left out: see `output_that_says_not_found`.
    told = [event for event in events if "output" in event and event["category"] != "tool"]
    outputs = [event["output"] for event in told]
    return [keys, order[:3], order[-2:], sorted(order), sorted(outputs)]


def same_schema():
    schema = Executor.get_stream_event_schema()
    events = [
        [
            event["event"],
            event["category_value"],
            event["phase_value"],
            [[field["name"], field["type"]] for field in event["fields"]],
        ]
        for event in schema["events"]
    ]
    keys = [sorted(schema), sorted(schema["generic_dimensions"]), sorted(schema["stream_modes"])]
    return [events, keys, schema["event_groups"], schema["version"]]


def same_texts_of_timeouts():
    control("behaviour", hang=True)
    made = workflow([agent("a")])
    run = executor(timeout_seconds=1)
    last = list(run.execute_streaming(made))[-1]
    texts = [raised(run.execute, made)[1], raised(by_async, made, timeout_seconds=1)[1]]
    # The time that it really took, in 0.6.8.
    texts = [re.sub(r"after \d+ms", "after some ms", text) for text in texts]
    return [texts, last["event"], last["error"], last["error_type"]]


def same_context():
    context = graphbit.WorkflowContext()
    for key, value in (("s", "t"), ("i", 3), ("b", True), ("f", 1.5), ("l", [1]), ("n", None)):
        context.set_variable(key, value)
    context.set_variable("nan", float("nan"))
    return [
        context.to_dict(),
        [context.get_state(), context.is_completed(), context.is_failed()],
        [context.get_all_node_outputs(), context.get_node_output("x")],
        [context.get_nested_output("node.x.y"), len(context.get_workflow_id())],
    ]


MODES = [
    {},
    {"masking": True},
    {"mapping": True},
    {"masking": True, "mapping": True},
    {"masking": False, "mapping": True},
    {"mapping": False},
    {"masking": False},
    {"masking": False, "mapping": False},
    {"masking": "no", "mapping": 1},
]


def without_hint(text, hidden):
    """The rest of a message; where something is hidden it begins with a paragraph about that."""
    return TOKEN.sub(r"<\1>", text.split("\n\n", 1)[1] if hidden else text)


def same_guarded_runs():
    found = []
    for mode in MODES:
        control("reset")
        prompt = "Write to joe@x.com and ann@y.com, joe@x.com, or call 555-1234"
        nodes = [Node.agent("a", prompt, context="From joe@x.com"), Node.agent("b", "nothing")]
        rules = policy(**mode)
        result = executor().execute(workflow(nodes, ("a", "b")), rules)
        message = bodies()[0]["messages"][-1]["content"]
        hidden = TOKEN.search(message) is not None
        node, run = result.get_node_response_metadata("a"), result.get_all_node_response_metadata()
        entries = node["executions"]
        found.append(
            [
                without_hint(message, hidden),
                without_hint(result.get_node_output("a"), hidden),
                without_hint(node["final_output"], hidden),
                TOKEN.sub(r"<\1>", node["user_input"]),
                TOKEN.sub(r"<\1>", run["user_input"]),
                TOKEN.search(run["final_output"]) is not None,
                [[sorted(each), each["type"]] for each in entries],
                [each for each in entries if each["type"] == "guardrail_policy"],
            ]
        )
    return found


def same_guarded_tools():
    """The kinds of entries; 0.6.8 has no entry for what it does not hide or put back."""
    found = []
    for mode in MODES:
        script(calls("a", ["c", "add", {"one": 1}]), says("a", "A"))
        result = executor().execute(workflow([agent("a", tools=[add])]), policy(**mode))
        entries = result.get_node_response_metadata("a")["executions"]
        kinds = [each.get("operation", each["type"]) for each in entries]
        found.append([kinds[:4], {*kinds} - {"decode"}])
    return [[kinds, sorted(rest)] for kinds, rest in found]


def same_policies():
    def made(document):
        text = document if isinstance(document, str) else json.dumps(document)
        try:
            policy = GuardRailPolicyConfig.from_json(text)
        except ValueError as error:
            return ["ValueError", str(error)[:24]]
        return [policy.policy_name(), policy.policy_version(), policy.is_active()]

    def rule(**settings):
        return {"guardrail_policy": {"pii_rules": [settings]}}

    documents = [
        *("", "{", "{} x", "null", "3", '"x"', "[]", "{}"),
        *({"guardrail_policy": inner} for inner in ({}, None, [], 3)),
        *({"active": active, "guardrail_policy": {}} for active in (True, False, "yes", 0, None)),
        {"active": True},
        {"policy_name": "n", "policy_version": "v", "more": 1},
        *({"policy_name": 3}, {"policy_name": ""}, {"policy_version": ""}),
        {"guardrail_policy": {"pii_rules": {"a": 1}}},
        {"guardrail_policy": {"pii_rules": ["a", 3, None]}},
        *(
            rule(type="regex", name="R", pattern=pattern)
            for pattern in (
                "a",
                "(",
                "[",
                "",
                "a++",
                "(?>a)",
                "a(?=b)",
                "(?<=a)b",
                r"(a)\1",
                "(?i)é",
            )
        ),
        *(
            rule(type="regex", name="R", pattern=p)
            for p in (r"\w{1000}{1000}", r"a\Z", r"\p{Greek}")
        ),
        *(rule(type=kind, name="R", pattern="(") for kind in ("REGEX", "list", None)),
        *(rule(type="regex", name=name, pattern="(") for name in (3, None, "")),
        *({"name": "R", "pattern": "("}, rule(type="regex", pattern="(")),
        rule(type="regex", name="R", pattern=3),
        rule(type="regex", name="R"),
    ]
    missing = raised(GuardRailPolicyConfig.from_file, "/no/such/file")
    folder = raised(GuardRailPolicyConfig.from_file, "/")
    default = GuardRailPolicyConfig.default_config()
    return [
        [[document, made(document)] for document in documents],
        [missing[1], folder[1], raised(GuardRailPolicyConfig)[0]],
        [default.policy_name(), default.policy_version(), default.is_active()],
    ]


if __name__ == "__main__":
    main(globals())
