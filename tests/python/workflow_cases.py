"""The cells of the nesting matrix and the scenarios beside it, as the programs in ``children/`` know them.

A cell is a call of the library (or a way to make it) in a callback of a workflow that was started by one
of four doors.
"""

from __future__ import annotations

DOORS = ("execute", "execute_streaming", "run_async", "async_for")
# In an ordinary function. The first block is what aborted GraphBit 0.6.8 from every callback.
CALLS = (
    "embed",
    "embed_many",
    "embed_with_client_built_inside",
    "complete",
    "complete_full",
    "client_stats",
    "memory_search",
    "other_executor",
    "other_executor_streaming",
    "same_executor",
    "same_executor_streaming",
    "joined_thread",
    "asyncio_complete",
    "asyncio_other_executor",
    "asyncio_same_executor_streaming",
    "node_with_tools",
    "tool_registry",
    "splitters",
    "building_clients",
)
# In a coroutine function, where a blocking call stands on the thread of a running loop.
AWAITED_CALLS = (
    "await_complete",
    "await_other_executor",
    "await_same_executor",
    "async_for_other_executor",
    "blocking_complete",
    "blocking_other_executor",
    "blocking_same_executor_streaming",
    "await_joined_thread",
)
PLACES = {
    "tool": CALLS,
    "condition": CALLS,
    "coroutine_tool": AWAITED_CALLS,
    "coroutine_condition": AWAITED_CALLS,
}
CELLS = tuple(
    f"{place}/{call}/{door}" for place, calls in PLACES.items() for call in calls for door in DOORS
)
# Ways to run a tool without a model.
WAYS = (
    "execute_tool",
    "execute_workflow_tool_calls",
    "execute_production_tool_calls",
    "registry_execute_tool",
    "executor_execute_tools",
    "node_execute_tools",
)
TOOL_CELLS = (
    *(f"{way}/{call}" for way in WAYS for call in CALLS),
    *(f"{way}/{other}" for way in WAYS for other in WAYS),
)
CALLERS = ("plain", "thread", "loop", "uvloop")
TOGETHER = (
    "two_async_runs",
    "two_threads_on_workflows_of_the_main_thread",
    "two_streams",
    "two_async_streams",
    "async_run_and_thread_building_nodes",
    "async_run_and_thread_reading_the_registry",
    "eight_threads_on_one_executor",
    "streams_beside_runs_beside_threads",
    "coroutine_tools_on_one_loop",
)
LEAVING = (
    "after_async_run",
    "after_async_run_with_condition",
    "after_async_stream",
    "after_coroutine_tool",
    "with_abandoned_async_run",
    "with_abandoned_async_run_in_a_tool",
    "with_abandoned_async_run_in_a_coroutine_tool",
    "with_unawaited_result",
    "with_abandoned_stream",
    "with_abandoned_async_stream",
    "with_daemon_thread_waiting",
    "with_daemon_threads_working",
    "with_daemon_threads_binding_tools",
    "with_daemon_threads_refused",
    "with_tool_running",
    "with_coroutine_tool_running",
    "with_condition_running",
    "with_tool_nested_in_a_tool_running",
    "from_exit_handler",
    "by_system_exit_in_coroutine",
)
