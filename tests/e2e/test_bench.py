"""`scripts/bench` still measures: once each, and nothing is asserted about speed."""

import re

import pytest

from tests.e2e.bench import FAULTS, measure
from tests.kit import need


@pytest.mark.real
@pytest.mark.long
async def test_every_fault_is_measured_at_both_and_told_as_a_ratio() -> None:
    need("haproxy")
    rows = (await measure(1, FAULTS, "0s")).splitlines()[2:]
    assert [row.split("|")[1].strip() for row in rows] == list(FAULTS)
    for row in rows:
        ours, worst, theirs, _, ratio = map(float, re.findall(r"\d+\.\d\d", row))
        assert 0 < ours == worst
        assert ratio == pytest.approx(ours / theirs, rel=0.2)
