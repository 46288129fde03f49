"""What of workflows is plain Python: a holder of values, and the description of stream events.

Everything else is native; import it from `graphbit`.

>>> context = WorkflowContext()
>>> context.set_variable("count", 3)
>>> context.get_variable("count")
3
"""

from __future__ import annotations

import math
import uuid
from typing import Any, final

__all__ = ["WorkflowContext", "stream_event_schema"]


@final
class WorkflowContext:
    """Values under names, beside any run: no run reads or writes one. Kept for programs that make one."""

    __module__ = "graphbit"
    __slots__ = ("_variables", "_workflow_id")

    def __init__(self) -> None:
        self._workflow_id = str(uuid.uuid4())
        self._variables: dict[str, Any] = {}

    def get_workflow_id(self) -> str:
        """A random UUID, fixed when the context was made."""
        return self._workflow_id

    def get_state(self) -> str:
        """Always `"Pending"`."""
        return "Pending"

    def is_completed(self) -> bool:
        """Always false."""
        return False

    def is_failed(self) -> bool:
        """Always false."""
        return False

    def set_variable(self, key: str, value: Any) -> None:
        """Keep a value. Strings, booleans and numbers stay what they are, others become their text.

        NaN and infinities, which JSON does not have, become 0.
        """
        if isinstance(value, float) and not math.isfinite(value):
            value = 0
        kept = isinstance(value, (str, bool, int, float))
        self._variables[key] = value if kept else str(value)

    def get_variable(self, key: str) -> Any:
        """The value under that name, or `None`."""
        return self._variables.get(key)

    def to_dict(self) -> dict[str, Any]:
        """All values, in a new dict."""
        return dict(self._variables)

    def get_all_node_outputs(self) -> dict[str, Any]:
        """Always empty: outputs are in the `WorkflowResult`."""
        return {}

    def get_node_output(self, node_id: str) -> Any:
        """Always `None`: outputs are in the `WorkflowResult`."""
        del node_id

    def get_nested_output(self, reference: str) -> Any:
        """Always `None`: outputs are in the `WorkflowResult`."""
        del reference


_DIMENSIONS = {
    "event": "What happened, exactly; one of the names in `events`",
    "category": "What it is about: workflow, node, llm or tool",
    "phase": "Where in its life: started, completed, failed or token",
}

_COMMON = {
    "time": ("str", "When, in UTC, as RFC 3339"),
    "category": ("str", _DIMENSIONS["category"]),
    "phase": ("str", _DIMENSIONS["phase"]),
    "event": ("str", _DIMENSIONS["event"]),
}

_NODE = {
    "node_id": ("str", "The node's id"),
    "node_name": ("str", "The node's name"),
}

_CALL = {
    **_NODE,
    "llm_call_id": ("str", "The same in all events of one call"),
}

_TOOL = {
    **_NODE,
    "tool_name": ("str", "The tool's name, as the model wrote it"),
    "tool_call_id": ("str", "The same in all events of one call"),
}

_FAILURE = {
    "error": ("str", "What went wrong"),
    "error_type": (
        "str",
        "timeout_error, connection_error, permission_error, value_error or runtime_error",
    ),
}

_ITERATION = ("int", "Which call of its node this is, from 1")

#: Event, category, phase, what it means, and its fields beside the common ones.
_EVENTS: tuple[tuple[str, str, str, str, dict[str, tuple[str, str]]], ...] = (
    (
        "workflow_started",
        "workflow",
        "started",
        "The run has begun",
        {
            "workflow_id": ("str", "The workflow's id"),
            "workflow_name": ("str", "The workflow's name"),
            "total_nodes": ("int", "How many nodes it has"),
        },
    ),
    ("node_started", "node", "started", "A node has begun", _NODE),
    (
        "node_completed",
        "node",
        "completed",
        "A node has an output",
        {**_NODE, "output": ("str", "The output; JSON text unless it is a string")},
    ),
    ("node_failed", "node", "failed", "A node has failed", {**_NODE, **_FAILURE}),
    (
        "token",
        "llm",
        "token",
        "A piece of an answer has arrived",
        {**_CALL, "content": ("str", "The piece")},
    ),
    (
        "llm_call_started",
        "llm",
        "started",
        "A request goes out; again for each further attempt",
        {**_CALL, "iteration": _ITERATION, "model": ("str", "The model that is asked")},
    ),
    (
        "llm_call_completed",
        "llm",
        "completed",
        "An answer is complete",
        {
            **_CALL,
            "iteration": _ITERATION,
            "finish_reason": ("str", "Why the model stopped"),
            "output": ("str", "The text, and the tool calls it asks for"),
            "duration_ms": ("float", "Milliseconds since the request, all attempts included"),
        },
    ),
    (
        "tool_call_started",
        "tool",
        "started",
        "A tool is called",
        {**_TOOL, "parameters": ("str", "The arguments as JSON text")},
    ),
    (
        "tool_call_completed",
        "tool",
        "completed",
        "A tool has returned",
        {
            **_TOOL,
            "output": ("str", "What it returned, as JSON text"),
            "duration_ms": ("float", "Milliseconds it took"),
        },
    ),
    (
        "tool_call_failed",
        "tool",
        "failed",
        "A tool has failed, is not offered, or was asked in the wrong way",
        {**_TOOL, **_FAILURE},
    ),
    (
        "workflow_completed",
        "workflow",
        "completed",
        "The run has ended and no node has failed",
        {
            "result": ("WorkflowResult", "The outcome"),
            "outputs": ("str", "All outputs as JSON text, by node id and name"),
        },
    ),
    (
        "workflow_failed",
        "workflow",
        "failed",
        "The run has ended otherwise",
        _FAILURE,
    ),
)


def stream_event_schema() -> dict[str, Any]:
    """What `Executor.execute_streaming` yields, as a description made of dicts and lists."""
    groups: dict[str, list[str]] = {}
    events: list[dict[str, Any]] = []
    for name, category, phase, description, more in _EVENTS:
        groups.setdefault(category, []).append(name)
        fields = [
            {"name": field, "type": kind, "description": text}
            for field, (kind, text) in {**_COMMON, **more}.items()
        ]
        events.append(
            {
                "event": name,
                "description": description,
                "category_value": category,
                "phase_value": phase,
                "fields": fields,
            }
        )
    return {
        "description": "The events of execute_streaming()",
        "version": 1,
        "generic_dimensions": dict(_DIMENSIONS),
        "stream_modes": {
            "updates": "Everything but tokens",
            "messages": "Tokens and the terminal event",
            "all": "Everything",
        },
        "event_groups": groups,
        "events": events,
    }
