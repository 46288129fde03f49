"""The exception tree: what catches what, which fields survive, and that it travels whole."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest
from graphbit import exceptions
from graphbit.exceptions import BY_KIND, GraphbitError

FIELDS = {
    "provider": "openai",
    "operation": "complete",
    "status_code": 429,
    "request_id": "req-1",
    "retry_after": 1.5,
}

# What a script written for 0.6.8 catches in that place, and what anybody would expect there.
CAUGHT_AS = {
    "validation": (ValueError,),
    "parameter": (ValueError, RuntimeError),
    "configuration": (ValueError, RuntimeError),
    "unsupported": (ValueError,),
    "authentication": (PermissionError, RuntimeError),
    "permission_denied": (PermissionError, RuntimeError),
    "not_found": (FileNotFoundError, RuntimeError),
    "bad_request": (ValueError, RuntimeError),
    "rate_limited": (RuntimeError,),
    "quota_exhausted": (exceptions.RateLimitError, RuntimeError),
    "server": (RuntimeError,),
    "network": (ConnectionError, RuntimeError),
    "timeout": (TimeoutError, RuntimeError),
    "circuit_open": (RuntimeError,),
    "decode": (RuntimeError,),
    "stream": (RuntimeError,),
    "cancelled": (RuntimeError,),
    "document": (ValueError, OSError),
    "document_not_found": (exceptions.DocumentError, ValueError, FileNotFoundError),
    "document_denied": (exceptions.DocumentError, ValueError, PermissionError),
    "document_is_folder": (exceptions.DocumentError, ValueError, IsADirectoryError),
    "document_network": (exceptions.DocumentError, ValueError, ConnectionError),
    "document_timeout": (exceptions.DocumentError, ValueError, TimeoutError),
    "store": (RuntimeError, ValueError),
    "memory_not_found": (FileNotFoundError, RuntimeError),
    "workflow": (RuntimeError,),
    "guard_rail": (ValueError,),
    "callback": (RuntimeError,),
    "internal": (RuntimeError,),
}


def build(kind: str) -> GraphbitError:
    return BY_KIND[kind]("what happened", kind=kind, **FIELDS)


def same(left: BaseException, right: GraphbitError) -> bool:
    return type(left) is type(right) and left.args == right.args and vars(left) == vars(right)


def raise_in_worker(kind: str) -> None:
    raise build(kind)


@pytest.mark.parametrize("kind", BY_KIND)
def test_is_caught_as_what_0_6_8_raised_there(kind: str) -> None:
    for base in (GraphbitError, *CAUGHT_AS[kind]):
        with pytest.raises(base) as caught:
            raise build(kind)
        assert str(caught.value) == "what happened"


@pytest.mark.parametrize("kind", BY_KIND)
def test_keeps_its_fields_through_pickle_and_copy(kind: str) -> None:
    error = build(kind)
    error.__notes__ = ["added by the caller"]
    assert vars(error).items() >= (FIELDS | {"kind": kind}).items()
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert same(pickle.loads(pickle.dumps(error, protocol)), error)
    assert same(copy.copy(error), error)
    assert same(copy.deepcopy(error), error)


def test_crosses_a_process_pool_whole() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        for kind in ("authentication", "timeout", "document"):
            with pytest.raises(GraphbitError) as caught:
                pool.submit(raise_in_worker, kind).result()
            assert vars(caught.value).items() >= vars(build(kind)).items()


@pytest.mark.parametrize("kind", BY_KIND)
def test_every_class_knows_its_own_kind(kind: str) -> None:
    error = BY_KIND[kind]("made by hand")
    assert error.kind == kind
    assert (error.provider, error.status_code, error.retry_after) == (None, None, None)


def test_the_module_exports_every_class_once() -> None:
    classes = {
        name
        for name, value in vars(exceptions).items()
        if isinstance(value, type) and issubclass(value, GraphbitError)
    }
    assert classes == set(exceptions.__all__) - {"BY_KIND"}
    assert classes == {cls.__name__ for cls in BY_KIND.values()} | {"GraphbitError"}
    assert len(set(BY_KIND.values())) == len(BY_KIND)


def test_errno_is_not_read_out_of_a_message() -> None:
    error = exceptions.DocumentError("notes.md: no such file")
    assert error.errno is None
    assert str(error) == "notes.md: no such file"
    assert repr(error) == "DocumentError('notes.md: no such file')"


def test_a_time_limit_that_was_no_run_s_has_no_partial_result() -> None:
    assert exceptions.RequestTimeoutError("late").partial_result is None
