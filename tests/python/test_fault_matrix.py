"""Every fault ends as documented, whatever was called and however it was waited for."""

from __future__ import annotations

import os
from pathlib import Path

import fault_matrix
import pytest
import trustme
from fault_matrix import FAULTS, RESTART, Key, Outcome
from simulator import Simulator

PAGE = Path(__file__).resolve().parents[2] / "docs" / "fault-matrix.md"


@pytest.fixture(scope="module")
def outcomes(simulator: Simulator) -> dict[Key, Outcome]:
    return fault_matrix.run(simulator, trustme.CA())


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_every_cell_ends_as_promised(outcomes: dict[Key, Outcome]) -> None:
    faults = {fault.title: fault for fault in (*FAULTS, RESTART)}
    wrong = []
    for key, outcome in outcomes.items():
        title, situation, operation, _ = key
        promised = faults[title].promised(situation, operation)
        if outcome != promised:
            wrong.append(f"{key}: {outcome}, promised: {promised}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_blocking_and_async_end_alike(outcomes: dict[Key, Outcome]) -> None:
    for (*place, way), outcome in outcomes.items():
        if way == "blocking":
            title, situation, operation = place
            assert outcomes[title, situation, operation, "async"] == outcome, place


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_the_page_is_what_was_seen(outcomes: dict[Key, Outcome]) -> None:
    page = fault_matrix.page(outcomes)
    if os.environ.get("GRAPHBIT_WRITE_FAULT_MATRIX"):
        PAGE.write_text(page, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page
