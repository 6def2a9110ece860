"""The rules and the dashboard: they parse, they work, and every metric in them exists."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from gslb.domain.control import Action, Now, Override, Owner, OwnerKind
from gslb.domain.health import RegistryFacts
from gslb.reporters.metrics import COUNTERS, HISTOGRAMS, Metrics
from tests.api.fake_operator import EU, WALL_S, a_world
from tests.kit import need

FOLDER = Path(__file__).parent.parent.parent / "dashboards"
RULES = yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"][0]["rules"]
BOARD = json.loads((FOLDER / "overview.json").read_text())
NAMES = {
    *("GslbSiteDown", "GslbSharedOutage", "GslbStoreDisputed", "GslbDrainRefused"),
    *("GslbLastSite", "GslbNotServedAsPlanned", "GslbBackendDown", "GslbLoopStuck"),
}


class Clock:
    """Stands still."""

    def now(self) -> Now:
        return Now(100.0, WALL_S)


def exposition() -> bytes:
    """With every metric in it, and a label set at each counter."""
    word = Override(
        site=EU,
        action=Action.DRAIN,
        owner=Owner(OwnerKind.PERSON, "kim"),
        reason="disk swap",
        created_wall_s=WALL_S,
        ends_wall_s=WALL_S + 60,
    )
    facts = {"eu quay.demo": RegistryFacts(version="3.18.0")}
    world = replace(a_world(), overrides=(word,), facts=facts)
    metrics = Metrics(Clock(), version="1.0")
    metrics.report(world, ())
    metrics.loop(0.1)
    for name, (_, labels) in COUNTERS.items():
        metrics.count(name, *("x" for _ in labels), by=0.0)
    assert len(HISTOGRAMS) == 7
    return metrics.expose(lambda: world)


def names() -> set[str]:
    found = re.findall(r"^(gslb_[a-z0-9_]+)[{ ]", exposition().decode(), re.MULTILINE)
    return set(found) | {f"gslb_{name}_bucket" for name in HISTOGRAMS}


def promtool(*arguments: str, text: bytes | None = None) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [need("promtool"), *arguments], input=text, capture_output=True, timeout=60, cwd=FOLDER
    )


@pytest.mark.real
@pytest.mark.parametrize(
    "arguments", [("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")], ids=str
)
def test_promtool_finds_the_rules_right_and_working(arguments: tuple[str, ...]) -> None:
    done = promtool(*arguments)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()


@pytest.mark.real
def test_promtool_finds_nothing_to_say_about_our_metrics() -> None:
    done = promtool("check", "metrics", text=exposition())
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


@pytest.mark.real
def test_a_rule_that_is_planted_wrong_fails_its_unit_test(tmp_path: Path) -> None:
    text = (FOLDER / "alerts.yml").read_text()
    (tmp_path / "alerts.yml").write_text(text.replace('state="down"', 'state="up"'))
    (tmp_path / "alerts_test.yml").write_text((FOLDER / "alerts_test.yml").read_text())
    done = promtool("test", "rules", str(tmp_path / "alerts_test.yml"))
    assert done.returncode == 1


def test_all_eight_rules_are_there_each_with_a_test_and_a_runbook() -> None:
    assert {rule["alert"] for rule in RULES} == NAMES
    tests = (FOLDER / "alerts_test.yml").read_text()
    assert {name for name in NAMES if f"alertname: {name}\n" in tests} == NAMES
    assert {path.stem for path in (FOLDER / "runbooks").glob("*.md")} == NAMES


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r["alert"])
def test_a_rule_says_what_it_is_with_figures_and_where_to_read_on(rule: dict[str, Any]) -> None:
    said = rule["annotations"]
    assert set(said) == {"summary", "description", "runbook_url"}
    assert said["runbook_url"] == f"/runbooks/{rule['alert']}"
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert re.search(r"\$value|query", said["description"]), "no figure in it"


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_runbook_has_its_four_parts_and_three_commands(name: str) -> None:
    text = (FOLDER / "runbooks" / f"{name}.md").read_text()
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [
        *("What users feel", "What gslb has done", "Three commands", "When to call whom")
    ]
    assert len(text.split("```sh\n")[1].split("\n```")[0].splitlines()) == 3


def expressions() -> Iterator[str]:
    yield from (rule["expr"] for rule in RULES)
    for rule in RULES:
        yield rule["annotations"]["description"]
    yield from (target["expr"] for panel in panels() for target in panel["targets"])
    yield from (note["expr"] for note in BOARD["annotations"]["list"])
    yield from (v["definition"] for v in BOARD["templating"]["list"] if "definition" in v)


def panels() -> list[dict[str, Any]]:
    return [panel for panel in BOARD["panels"] if panel["type"] != "row"]


def test_every_metric_in_the_rules_and_the_dashboard_exists() -> None:
    used = {name for text in expressions() for name in re.findall(r"gslb_[a-z0-9_]+", text)}
    assert used
    assert used - names() == set()


@pytest.mark.real
def test_every_expression_of_the_dashboard_parses(tmp_path: Path) -> None:
    variables = {"$__rate_interval": "5m", "$__interval": "1m", "$cluster": ".*"}
    rules = []
    for panel in [*panels(), {"targets": BOARD["annotations"]["list"]}]:
        for target in panel["targets"]:
            text = target["expr"]
            for name, value in variables.items():
                text = text.replace(name, value)
            rules.append({"record": f"r{len(rules)}", "expr": text})
    path = tmp_path / "rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = promtool("check", "rules", str(path))
    assert done.returncode == 0, done.stderr.decode()


def test_the_dashboard_keeps_the_house_rules() -> None:
    assert BOARD["uid"] == "gslb-overview"
    assert BOARD["title"] == "gslb / Overview"
    assert "__inputs" not in BOARD
    assert [v["name"] for v in BOARD["templating"]["list"]] == ["datasource", "cluster"]
    assert len(BOARD["panels"]) <= 20
    assert all(p["title"].endswith("?") for p in BOARD["panels"] if p["type"] == "row")
    assert all(p["description"] and p["datasource"]["uid"] == "${datasource}" for p in panels())
    assert all(p["fieldConfig"]["defaults"]["noValue"] == "no data" for p in panels())
    assert len({p["id"] for p in BOARD["panels"]}) == len(BOARD["panels"])
    note = BOARD["annotations"]["list"][0]
    assert re.search(r"gslb_site_traffic_changes_total\{.*\}\[\$__interval\]", note["expr"])


def test_no_two_panels_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not taken & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells
