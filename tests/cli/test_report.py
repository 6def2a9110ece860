"""`gslb report` over a journal that was written by hand."""

import json
from dataclasses import replace

from gslb.domain.control import Owner, OwnerKind
from gslb.domain.messages import Event, EventKind
from tests.api.fake_operator import WALL_S
from tests.cli.test_against_the_api import Command, gslb

__all__ = ["gslb"]
FOUND = {"first_fail_s": 0.0, "verdict_s": 2.0, "decided_s": 7.0}
AGREED = {**FOUND, "saved_s": 7.5, "written_s": 8.0, "read_back_s": 8.25}
SEEN = AGREED | {"seen_s": 12.0, "resolvers": 3.0, "shown": 2.0}
KIM = Owner(OwnerKind.PERSON, "kim")
HEAD = "AT TOTAL DETECT DECIDE SAVE WRITE AGREE SEEN CHANGE BY"


def event(kind: EventKind, plan: str, **more: object) -> Event:
    made = Event(kind=kind, text="said", boot_s=100.0, wall_s=WALL_S, plan=plan, backend="dns")  # type: ignore[arg-type]  # a name
    return replace(made, **more)  # type: ignore[arg-type]  # fields


def change(plan: str, after: str, figures: dict[str, float], **more: object) -> list[Event]:
    return [
        event(EventKind.ANSWER, plan, service="quay.demo", before="eu,us", after=after, **more),
        event(EventKind.APPLIED, plan, figures=tuple(figures.items())),
    ]


async def fill(command: Command) -> None:
    slow = {name: 10 * s for name, s in AGREED.items()}
    told = [
        *change("p-1", "us", AGREED | {"failover_s": 8.25}, cause="auto"),
        event(EventKind.SEEN, "p-1", figures=tuple(SEEN.items())),
        *change("p-2", "eu,us,ap", {"decided_s": 0.0, "read_back_s": 0.5}, owner=KIM),
        *change("p-1", "us", slow | {"failover_s": 82.5}, cause="auto"),
        event(EventKind.SEEN, "p-9", figures=()),
        event(EventKind.APPLIED, "p-8", figures=(("applied_s", 1.0),)),
    ]  # fmt: skip
    await command.live.operator.become(command.live.operator.world, *told)


async def test_each_change_is_a_row_with_its_stages_and_the_objective_is_held_or_not(
    gslb: Command,
) -> None:
    await fill(gslb)
    ran = await gslb("report", "--since", "2027-01-01T00:00:00Z", "--objective", "30s")
    lines = [line.split() for line in ran.out.splitlines()]
    assert ran.code == 0, ran.err
    assert lines[0] == HEAD.split()
    assert [" ".join(line[-11:]) for line in lines[1:4]] == [
        "8.25 2.00 5.00 0.50 0.50 0.25 3.75 quay.demo − eu auto",
        "0.50 - - - - 0.50 - quay.demo + ap person:kim",
        "82.50 20.00 50.00 5.00 5.00 2.50 - quay.demo − eu auto",
    ]
    assert lines[4][:3] == ["median", "8.25", "11.00"]
    assert lines[5][:3] == ["p95", "82.50", "20.00"]
    assert ran.out.splitlines()[-1].endswith(
        "(times in s); 1 of 2 failovers within 30 s of the first fail."
    )


async def test_as_json_it_is_all_of_it(gslb: Command) -> None:
    await fill(gslb)
    body = json.loads((await gslb("report", "--since", "2027-01-01T00:00:00Z", "-o", "json")).out)
    assert (body["failovers"], body["held"], body["objective"]) == (2, 1, 30.0)
    assert [c["plan"] for c in body["changes"]] == ["p-1", "p-2", "p-1"]
    assert (body["changes"][0]["resolvers"], body["changes"][0]["shown"]) == (3.0, 2.0)
    assert body["stages"]["verdict"] == {"median": 11.0, "p95": 20.0}


async def test_nothing_happened_is_said_in_one_line(gslb: Command) -> None:
    ran = await gslb("report")
    assert ran.out == "0 changes since 30d (times in s); no failover among them.\n"


async def test_a_long_journal_is_read_page_by_page(gslb: Command) -> None:
    told = [e for _ in range(501) for e in change("p-1", "us", AGREED, cause="auto")]
    await gslb.live.operator.become(gslb.live.operator.world, *told)
    ran = await gslb("report", "--since", "2027-01-01T00:00:00Z")
    assert "501 changes since" in ran.out
