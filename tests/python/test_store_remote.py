"""The stores on servers: what those in this process have no occasion for, asked of each."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from graphbit.exceptions import StoreError
from remote_stores import RemoteStore


def test_what_begins_at_once_makes_one_place(remote: RemoteStore) -> None:
    def work(number: int) -> None:
        store = remote.connect(**{remote.lanes: 1})
        store.add(np.ones((5, 3)), ids=[f"{number}.{row}" for row in range(5)])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = remote.connect().entries()
    assert len(found) == len({one.id for one in found}) == len({one.index for one in found}) == 60
    for number in range(12):
        own = [one.id for one in found if one.id.startswith(f"{number}.")]
        assert own == [f"{number}.{row}" for row in range(5)], "in the order they were added"


def test_a_store_that_is_closed_says_so(remote: RemoteStore) -> None:
    with remote.connect() as store:
        store.add([[1.0, 0.0]])
    calls = (lambda: store.search([1.0, 0.0]), lambda: len(store), lambda: store.add([[1.0, 0.0]]))
    for call in calls:
        with pytest.raises(StoreError, match="closed"):
            call()


def test_forked_children_speak_on_connections_of_their_own(
    remote: RemoteStore, run_child: Any
) -> None:
    child = run_child(
        """
        import os, sys, threading
        import graphbit
        kind, address, name, lanes = sys.argv[1:]
        store = getattr(graphbit, kind).connect(address, name, **{lanes: 2})
        store.add([[1.0, 0.0]] * 50, ids=[f"parent {n}" for n in range(50)])
        going = True
        def work():
            while going:
                assert len(store.search([1.0, 0.0], 50)) == 50
        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads: thread.start()
        for number in range(5):
            pid = os.fork()
            if not pid:
                store.add([[0.0, 1.0]], ids=[f"child {number}"])
                assert store.search([0.0, 1.0], 1)[0].id.startswith("child")
                os._exit(0)
            assert os.waitpid(pid, 0)[1] == 0
        going = False
        for thread in threads: thread.join()
        print(len(store))
        """,
        arguments=tuple(remote),
    )
    assert (child.returncode, child.stdout, child.stderr) == (0, "55\n", "")
