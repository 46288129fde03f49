"""The cases that the programs in ``children/`` know, for the tests and for ``benches/lifecycle.py``."""

from __future__ import annotations

NESTING = (
    "plain_thread",
    "other_thread",
    "thread_pool",
    "asyncio_loop",
    "uvloop_loop",
    "asyncio_worker_thread",
    "callback_of_blocking_call",
    "callback_of_async_call",
    "event_loop_inside_callback",
    "thread_inside_callback",
    "callback_of_embedding",
    "callbacks_fifty_deep",
    "many_callbacks_at_once",
)
FORKS = (
    "before_first_use",
    "after_use",
    "grandchildren",
    "while_threads_work",
    "inside_callback",
    "ordinary_exit_of_child",
    "prefork_server",
    "multiprocessing_fork",
    "multiprocessing_forkserver",
    "multiprocessing_spawn",
)
LEAVING = (
    "after_async_call",
    "with_abandoned_future",
    "with_unawaited_result",
    "with_abandoned_stream",
    "with_daemon_thread_waiting",
    "with_daemon_threads_working",
    "with_callback_running",
    "from_exit_handler",
    "by_system_exit_in_coroutine",
)
