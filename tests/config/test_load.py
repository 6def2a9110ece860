import json
import math
import os
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from gslb.backends import haproxy, rfc2136, route53
from gslb.config.diff import diff
from gslb.config.load import Configuration, Kinds, load
from gslb.config.schema import Alerts, File, Storage, schema_json
from gslb.domain.errors import ConfigError
from gslb.domain.topology import Ability, Aspect, Family, Freeze, OnAllDown, Role, Scope, SiteName
from gslb.probes import dns, http, quay, s3, tcp, tls
from tests.config.kinds import KINDS

ROOT = Path(__file__).parent.parent.parent
BAD = sorted((Path(__file__).parent / "bad").glob("*.yml"))
LEAST = """
cluster: tests
limits: {min_sites: 1}
sites:
  fra: {address: 203.0.113.20, storage: {s3: "https://s3.fra.example.com/quay", keys: file:k}}
  iad: {address: 198.51.100.20, storage: {s3: "https://s3.iad.example.com/quay", keys: file:k}}
services:
  quay.example.com: {kind: quay}
backends:
  dns: {kind: rfc2136, server: 192.0.2.53, zone: example.com}
"""


def loaded(more: str = "", **top: Any) -> Configuration:
    """The least configuration, with top-level keys replaced and text appended."""
    values = yaml.safe_load(LEAST) | top
    return load(yaml.safe_dump(values, sort_keys=False) + more, KINDS)


def aspect(configuration: Configuration, site: str, name: str) -> Aspect:
    return next(a for a in configuration.topology.aspects if (a.site, a.name) == (site, name))


# ── what is wrong ──


@pytest.mark.parametrize("file", BAD, ids=lambda file: file.stem)
def test_the_operator_reads_this(file: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load(file, KINDS, file.name)
    said = file.read_text().partition("\n")[0].removeprefix("# ")
    assert raised.value.problems == (said,)


def test_there_are_many_bad_files() -> None:
    assert len(BAD) >= 30


def test_all_mistakes_are_told_in_one_run_and_in_the_order_of_the_file() -> None:
    text = """
limits: {min_sites: 1, max_draind: 1}
timing: {interval: 5}
sites:
  fra: {address: 203.0.113.20, capacity: 0}
  iad: {address: 198.51.100.20}
services:
  quay.example.com: {kind: quay, via: [dsn]}
backends:
  dns: {kind: rfc2136, server: "192.0.2.53 53", zone: example.com, timeout: 3}
"""
    with pytest.raises(ConfigError) as raised:
        load(text, KINDS, "gslb.yml")
    assert [problem.split(": ")[0] for problem in raised.value.problems] == [
        "gslb.yml:2:24",
        "gslb.yml:3:20",
        "gslb.yml:5:42",
        "gslb.yml:8:40",
        "gslb.yml:10:32",
        "gslb.yml:10:77",
    ]


def test_of_a_list_that_holds_one_bad_value_that_value_is_told() -> None:
    backend = {"kind": "rfc2136", "server": ["192.0.2.53", "192.0.2.54 53"], "zone": "example.com"}
    with pytest.raises(ConfigError) as raised:
        loaded(backends={"dns": backend})
    (problem,) = raised.value.problems
    assert "backends.dns.server.1: '192.0.2.54 53' is no server" in problem


def test_no_message_holds_a_secret() -> None:
    for file in BAD:
        with pytest.raises(ConfigError) as raised:
            load(file, KINDS, file.name)
        assert "fake-secret" not in str(raised.value)


def test_two_host_names_at_one_site_and_addresses_at_the_other_are_both_told() -> None:
    fra = {"address": ["a.example.net", "b.example.net"]}
    with pytest.raises(ConfigError) as raised:
        loaded(sites={"fra": fra, "iad": {"address": "192.0.2.1"}})
    assert [p.split("error")[1][:6] for p in raised.value.problems] == ["[E032]", "[E032]"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "error[E010] sites: is missing"),
        ("- a", "must be keys and values"),
        ("a: b: c", "is no YAML"),
        ("x: !!python/object:os.system {}", "is no YAML: could not determine a constructor"),
        ("1: x", "error[E003] 1: a key must be text (put it in quotes)"),
        ("<<: {a: 1}", "unknown key `<<`"),
        ("\x00", "is no YAML"),
        ("[" * 100_000, "is no YAML"),
    ],
)
def test_what_is_no_configuration_at_all_is_told(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(text, KINDS)
    assert said in str(raised.value)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        load(tmp_path / "gslb.yml", KINDS)
    (tmp_path / "latin1.yml").write_bytes(b"cluster: \xe4")
    with pytest.raises(ConfigError, match="cannot be read: 'utf-8' codec"):
        load(tmp_path / "latin1.yml", KINDS)


@pytest.mark.parametrize("seed", range(3))
def test_whatever_is_mistyped_is_told_with_its_place(seed: int) -> None:
    dice = random.Random(seed)
    words = ["5", "5s", "[]", "{}", "null", "true", "-1", "[{}]", "{a: b}", '""', "[[]]", "1e400"]
    example = (ROOT / "config/example.yml").read_text()
    lines = [line.split("  #")[0] for line in example.splitlines() if line[:1] != "#"]
    refused = 0
    for _ in range(40):
        mistyped = list(lines)
        number = dice.choice([n for n, line in enumerate(lines) if ":" in line])
        spots = list(re.finditer(r"(?<=: )[^,{}\[\]]+|\{[^{}]*\}|\b[a-z_]+(?=:)", lines[number]))
        spot = dice.choice(spots or [re.compile("$").search(lines[number])])
        assert spot is not None
        mistyped[number] = (
            spot.string[: spot.start()] + dice.choice(words) + spot.string[spot.end() :]
        )
        try:
            load("\n".join(mistyped), KINDS)
        except ConfigError as error:
            refused += 1
            for problem in error.problems:
                assert re.match(r"gslb\.yml:\d+:\d+: error\[E0\d\d\] \S.*: ", problem)
    assert refused >= 20


def test_what_cannot_be_read_at_all_is_told_and_never_parsed(tmp_path: Path) -> None:
    large = tmp_path / "large.yml"
    large.write_text("a: " + "x" * 10_000_000)
    bomb = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"
    for source, said in (
        (large, ":1:1: error[E001] (file): is larger than 1 MiB"),
        (bomb, ":2:8: error[E002] (file): is no YAML: aliases are not allowed"),
    ):
        with pytest.raises(ConfigError) as raised:
            load(source, KINDS)
        (problem,) = raised.value.problems
        assert problem.endswith(said)


def test_a_long_mistake_is_cut_and_its_advice_is_kept() -> None:
    with pytest.raises(ConfigError) as raised:
        loaded(timing={"quiet": "5" * 10_000 + " seconds"})
    (problem,) = raised.value.problems
    assert len(problem) < 600
    assert problem.endswith("(write 200ms, 5s, 30m or 4h)")


# ── warnings ──


@pytest.mark.parametrize(
    ("top", "said"),
    [
        (
            {
                "limits": {"min_sites": 2},
                "services": {
                    "quay.example.com": {
                        "kind": "quay",
                        "sites": {"fra": {}, "iad": {"tier": 1}, "dr": {"tier": 1}},
                    }
                },
            },
            "W202",
        ),
        (
            {
                "services": {
                    "quay.example.com": {
                        "kind": "quay",
                        "sites": {"fra": {}, "iad": {"tier": 1, "trickle": 1}},
                    }
                }
            },
            "W204",
        ),
        ({"services": {"quay.example.com": {"kind": "quay", "sites": {"fra": {}}}}}, "W207"),
        ({"sites": {"fra": {"address": "192.0.2.9"}, "iad": {"address": "192.0.2.9"}}}, "W203"),
        ({"api": {"listen": "0.0.0.0:8080"}}, "W208"),
    ],
)
def test_what_may_be_meant_otherwise_is_warned_of(top: dict[str, Any], said: str) -> None:
    sites = yaml.safe_load(LEAST)["sites"] | {"dr": {"address": "192.0.2.10"}}
    (warning,) = loaded(**{"sites": sites} | top).warnings
    assert f"warning[{said}]" in warning


def test_the_same_bucket_at_two_sites_is_shared_trouble_and_warned_of() -> None:
    storage = {"s3": "https://s3.example.com/quay", "keys": "file:k"}
    sites = {
        "fra": {"address": "203.0.113.20", "storage": storage},
        "iad": {"address": "198.51.100.20", "storage": [dict(storage), storage | {"prefix": "x"}]},
    }
    configuration = loaded(sites=sites)
    assert [w.split("[")[1][:4] for w in configuration.warnings] == ["W201", "W201", "W205"]
    assert aspect(configuration, "fra", "store.write").scope is Scope.SHARED
    assert aspect(configuration, "iad", "store.read").scope is Scope.SHARED


def test_a_cluster_without_a_name_is_warned_of() -> None:
    values = yaml.safe_load(LEAST)
    del values["cluster"]
    configuration = load(yaml.safe_dump(values), KINDS)
    assert configuration.topology.cluster == "default"
    assert "warning[W206] cluster" in configuration.warnings[0]


# ── the language ──


def test_json_is_accepted_with_tabs_too() -> None:
    text = json.dumps(yaml.safe_load(LEAST), indent="\t")
    assert load(text, KINDS).topology == replace(loaded().topology)


def test_yes_no_and_dates_stay_text() -> None:
    labels = "labels: {a: yes, b: NO, c: 2024-01-01, d: 0x1F, e: 1_0, f: 010}"
    text = LEAST.replace("address: 203.0.113.20", f"address: 203.0.113.20, {labels}")
    assert load(text, KINDS).topology.sites[0].labels == {
        "a": "yes",
        "b": "NO",
        "c": "2024-01-01",
        "d": "0x1F",
        "e": "1_0",
        "f": "010",
    }


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("200ms", 0.2), ("5s", 5.0), ("1.5h", 5400.0), ("30m", 1800.0), ("2d", 172_800.0)],
)
def test_durations_carry_their_unit(text: str, seconds: float) -> None:
    assert loaded(timing={"quiet": text}).topology.site(SiteName("fra")).timing.quiet_s == seconds


@pytest.mark.parametrize("text", ["5", 5, "5 s", "-5s", "s", "5sec", True, "", "1e3s", [5]])
def test_anything_else_is_no_duration(text: object) -> None:
    with pytest.raises(ConfigError, match=r"E013"):
        loaded(timing={"quiet": text})


def test_included_files_merge_and_append_and_a_scalar_stands_once(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d/a.yml").write_text(
        "sites: {dr: {address: 192.0.2.9}}\nprobe_networks: [127.0.0.0/8]\n"
    )
    (tmp_path / "conf.d/b.yml").write_text("probe_networks: [10.0.0.0/8]\n")
    main = tmp_path / "gslb.yml"
    main.write_text("include: [conf.d/*.yml]\nprobe_networks: [172.16.0.0/12]\n" + LEAST)
    configuration = load(main, KINDS, "gslb.yml")
    assert [site.name for site in configuration.topology.sites] == ["fra", "iad", "dr"]
    assert configuration.probe_networks == ("172.16.0.0/12", "127.0.0.0/8", "10.0.0.0/8")
    (tmp_path / "conf.d/b.yml").write_text("\nlimits: {min_sites: 2, max_drained: x}\n")
    with pytest.raises(ConfigError) as raised:
        load(main, KINDS, "gslb.yml")
    twice, wrong = sorted(raised.value.problems)
    place = f"{tmp_path}/conf.d/b.yml:2"
    said = "is set twice, here and at gslb.yml:5:21 (keep one)"
    assert twice == f"{place}:10: error[E005] limits.min_sites: {said}"
    assert wrong.startswith(f"{place}:37: error[E011] limits.max_drained: 'x' does not fit")


def test_an_included_file_includes_no_others(tmp_path: Path) -> None:
    (tmp_path / "more.yml").write_text("include: [more.yml]\n")
    (tmp_path / "gslb.yml").write_text("include: [more.yml]\n" + LEAST)
    with pytest.raises(ConfigError, match=r"more.yml:1:1: error\[E004\] include: stands in"):
        load(tmp_path / "gslb.yml", KINDS)


# ── what it becomes ──


def test_each_site_gets_the_probes_of_its_store_and_of_the_service() -> None:
    configuration = loaded()
    assert list(configuration.probes) == [
        "fra/store",
        "fra/quay.front",
        "fra/quay.endtoend",
        "iad/store",
        "iad/quay.front",
        "iad/quay.endtoend",
    ]
    kind, store = configuration.probes[configuration.topology.probes[0].id]
    assert kind == "s3"
    assert store.model_dump(include={"endpoint", "bucket", "cluster"}) == {
        "endpoint": "https://s3.fra.example.com",
        "bucket": "quay",
        "cluster": "tests",
    }
    front = configuration.probes[configuration.topology.probes[1].id][1]
    assert front.model_dump(include={"part", "address", "port", "name", "tls"}) == {
        "part": "front",
        "address": "203.0.113.20",
        "port": 443,
        "name": "quay.example.com",
        "tls": True,
    }


def test_the_aspects_have_the_roles_of_evidence_2_1() -> None:
    rows = {
        (a.name, a.family.value, a.scope.value, a.role.value, "+".join(a.takes), a.registry)
        for a in loaded().topology.aspects
    }
    quay = "quay.example.com"
    assert rows == {
        ("store.write", "store", "own", "decides", "write", None),
        ("store.read", "store", "own", "decides", "read+write", None),
        ("store.list", "store", "own", "degrades", "read+write", None),
        ("quay.front", "front", "own", "decides", "read+write", quay),
        ("quay.instance", "front", "own", "degrades", "read+write", quay),
        ("quay.storage", "endtoend", "own", "decides", "read+write", quay),
        ("quay.database", "endtoend", "shared", "decides", "read+write", quay),
        ("quay.auth", "endtoend", "shared", "decides", "read+write", quay),
        ("quay.redis", "endtoend", "shared", "degrades", "read+write", quay),
    }


@pytest.mark.parametrize(
    ("profile", "interval", "timeout", "rise", "endtoend_rise", "quiet", "ramp"),
    [
        ("fast", 1, 1, 10, 2, 30, (50, 100)),
        ("normal", 5, 3, 20, 7, 300, (10, 50, 100)),
        ("cautious", 15, 5, 40, 40, 1800, (10, 25, 50, 100)),
    ],
)
def test_a_profile_gives_the_times(
    profile: str,
    interval: float,
    timeout: float,
    rise: int,
    endtoend_rise: int,
    quiet: float,
    ramp: tuple[int, ...],
) -> None:
    configuration = loaded(profile=profile)
    write = aspect(configuration, "fra", "store.write")
    assert (write.interval_s, write.pace_s, write.deadline_s) == (interval, interval, 5 * timeout)
    assert (write.rise, write.slow_s) == (rise, timeout / 2)
    storage = aspect(configuration, "fra", "quay.storage")
    assert (storage.pace_s, storage.deadline_s, storage.rise) == (15, 65, endtoend_rise)
    assert storage.slow_s == math.inf
    timing = configuration.topology.site(SiteName("fra")).timing
    assert (timing.quiet_s, timing.ramp) == (quiet, ramp)


def test_times_are_overridden_by_file_site_service_and_aspect_in_this_order() -> None:
    values = yaml.safe_load(LEAST)
    values["timing"] = {"interval": "4s", "fall": 5}
    values["sites"]["fra"]["timing"] = {"interval": "3s", "quiet": "1m"}
    values["services"]["quay.example.com"]["timing"] = {"interval": "2s"}
    values["aspects"] = {
        "quay.front": {"interval": "1s", "fall": 2, "role": "degrades"},
        "quay.storage": {"interval": "20s", "timeout": "30s", "rise": 4, "slow": "10s"},
        "quay.redis": {"role": "ignore"},
    }
    configuration = load(yaml.safe_dump(values), KINDS)
    assert aspect(configuration, "iad", "store.write").pace_s == 4
    assert aspect(configuration, "fra", "store.write").pace_s == 3
    assert aspect(configuration, "fra", "quay.instance").pace_s == 1, "one probe reports both"
    front = aspect(configuration, "fra", "quay.front")
    assert (front.pace_s, front.fall, front.role) == (1, 2, Role.DEGRADES)
    storage = aspect(configuration, "fra", "quay.storage")
    assert (storage.pace_s, storage.deadline_s, storage.rise, storage.slow_s) == (20, 30, 4, 10)
    assert (storage.interval_s, storage.fall) == (2, 5)
    assert aspect(configuration, "fra", "quay.redis").role is Role.IGNORE
    assert configuration.topology.site(SiteName("fra")).timing.quiet_s == 60
    assert configuration.topology.site(SiteName("iad")).timing.quiet_s == 300


def test_two_services_at_a_site_have_aspects_of_their_own() -> None:
    configuration = loaded(
        services={
            "a.example.com": {"kind": "quay"},
            "b.example.com": {"kind": "quay", "sites": {"fra": {}, "iad": {}}},
            "c.example.com": {"probe_as": "a.example.com", "needs": ["read"]},
            "d.example.com": {
                "kind": "http",
                "path": "/up",
                "status": [204],
                "port": 8080,
                "tls": False,
            },
            "e.example.com": {"kind": "none"},
        }
    )
    names = [a.name for a in configuration.topology.aspects if a.site == "fra"]
    assert len(set(names)) == len(names)
    front = aspect(configuration, "fra", "quay.front@b.example.com")
    assert (front.base, front.service, front.probe) == (
        "quay.front",
        "b.example.com",
        "fra/quay.front@b.example.com",
    )
    web = aspect(configuration, "fra", "http")
    assert (web.family, web.service) == (Family.GENERIC, "d.example.com")
    settings = configuration.probes[web.probe][1]
    assert settings.model_dump(include={"path", "status", "port", "tls"}) == {
        "path": "/up",
        "status": (204,),
        "port": 8080,
        "tls": False,
    }
    pull = configuration.topology.services[2]
    assert (pull.needs, pull.accept) == ((Ability.READ,), (Ability.READ,))


def test_a_generic_probe_of_a_site_is_an_aspect_by_its_name() -> None:
    values = yaml.safe_load(LEAST)
    probe = {"kind": "http", "port": 8443, "path": "/healthz", "timeout": "700ms"}
    values["sites"]["fra"]["probes"] = {"edge": probe}
    values["aspects"] = {"edge": {"scope": "shared"}}
    configuration = load(yaml.safe_dump(values), KINDS)
    edge = aspect(configuration, "fra", "edge")
    assert (edge.probe, edge.scope, edge.role) == ("fra/edge", Scope.SHARED, Role.DECIDES)
    assert (edge.service, edge.registry) == (None, None)
    settings = configuration.probes[edge.probe][1]
    assert settings.model_dump(include={"port", "path", "timeout_s", "address", "name"}) == {
        "port": 8443,
        "path": "/healthz",
        "timeout_s": 0.7,
        "address": "203.0.113.20",
        "name": "fra",
    }


def test_a_bucket_may_be_named_by_the_host() -> None:
    storage = {"s3": "https://quay.s3.example.com", "path_style": False, "keys": "cred:k"}
    sites = yaml.safe_load(LEAST)["sites"] | {"fra": {"address": "192.0.2.1", "storage": storage}}
    settings = loaded(sites=sites).probes[loaded().topology.probes[0].id][1]
    assert settings.model_dump(include={"endpoint", "bucket", "path_style"}) == {
        "endpoint": "https://s3.example.com",
        "bucket": "quay",
        "path_style": False,
    }


def test_the_digest_of_a_probe_follows_its_settings_only() -> None:
    before, after = loaded(), loaded(timing={"quiet": "1m"}, limits={"min_sites": 1})
    digests = [spec.digest for spec in before.topology.probes]
    assert [spec.digest for spec in after.topology.probes] == digests
    other = LEAST.replace("s3.fra.example.com/quay", "s3.fra.example.com/other")
    changed = [spec.digest for spec in load(other, KINDS).topology.probes]
    assert [a == b for a, b in zip(digests, changed, strict=True)] == [False, *[True] * 5]
    assert before.topology.digest != after.topology.digest
    assert len(before.topology.digest) == 6


def test_limits_of_a_service_go_over_those_of_all() -> None:
    services = {
        "quay.example.com": {"kind": "quay", "limits": {"on_all_down": "all", "max_drained": 2}}
    }
    topology = loaded(limits={"min_sites": 1, "override_max": "8h"}, services=services).topology
    limits = topology.services[0].limits
    assert (limits.on_all_down, limits.max_drained, limits.override_max_s) == (
        OnAllDown.ALL,
        2,
        28_800.0,
    )
    assert topology.limits.on_all_down is OnAllDown.HOLD


def test_a_balancer_calls_sites_by_their_names_unless_told_otherwise() -> None:
    backends = {
        "edge": {
            "kind": "haproxy",
            "server": ["/run/h.sock"],
            "backend": "registry",
            "servers": {"fra": "fra-1"},
            "mode": "observe",
            "resync": "10s",
        }
    }
    (spec,) = loaded(backends=backends).topology.backends
    assert spec.servers == {"fra": "fra-1", "iad": "iad"}
    assert (spec.mode, spec.resync_s, spec.shape.weights) == ("observe", 10.0, True)


def test_windows_and_vantages_are_kept() -> None:
    windows = [{"cron": "0 2 * * 6", "for": "4h", "freeze": "all"}]
    vantages: dict[str, Any] = {"iad": {"site": "iad"}, "witness": {}}
    topology = loaded(windows=windows, vantages=vantages, replica={"vantage": "iad"}).topology
    assert (topology.windows[0].for_s, topology.windows[0].freeze) == (14_400.0, Freeze.ALL)
    assert (topology.vantage, topology.vantages) == ("iad", {"iad": "iad", "witness": None})
    assert loaded().topology.vantages == {loaded().topology.vantage: None}


def test_every_value_in_force_has_an_origin() -> None:
    origins = loaded(profile="fast", timing={"interval": "2s"}).origins
    assert origins["timing.interval"] == ("2s", "gslb.yml:25")
    assert origins["timing.rise"] == ("10", "profile fast")
    assert origins["limits.override"] == ("14400s", "default")
    assert origins["api.listen"] == ("127.0.0.1:8080", "default")
    assert origins["services.quay.example.com.kind"][1].startswith("gslb.yml:")


def test_every_key_of_the_file_is_described() -> None:
    schema = json.loads(schema_json())
    parts = {"File": schema, **schema["$defs"]}
    bare = [
        f"{part}.{name}"
        for part, shape in parts.items()
        for name, key in shape.get("properties", {}).items()
        if not key.get("description")
    ]
    assert bare == []
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == set(File.model_fields)


# ── the files that are shipped ──


REAL = Kinds(
    probes={
        module.ADAPTER.kind: module.ADAPTER.settings for module in (dns, http, quay, s3, tcp, tls)
    },
    backends={module.ADAPTER.kind: module.ADAPTER for module in (haproxy, rfc2136, route53)},
)


@pytest.mark.parametrize("kinds", [KINDS, REAL], ids=["imitated", "real"])
@pytest.mark.parametrize("name", ["minimal", "example", "demo"])
def test_the_shipped_files_load(name: str, kinds: Kinds) -> None:
    configuration = load(ROOT / f"config/{name}.yml", kinds)
    assert configuration.topology.mode == ("live" if name == "demo" else "observe")
    assert [w for w in configuration.warnings if "W206" not in w] == []


def test_minimal_loads_with_only_addresses_ports_ca_and_mode_changed() -> None:
    values = yaml.safe_load((ROOT / "config/minimal.yml").read_text())
    values["mode"] = "live"
    for site in values["sites"].values():
        site["address"] = "127.0.0.1"
        site["storage"] |= {"s3": "https://127.0.0.1:9000/quay", "ca": "/ca.pem"}
    values["sites"]["fra"]["storage"]["s3"] = "https://127.0.0.1:9001/quay"
    values["services"]["quay.example.com"] |= {"port": 8443, "ca": "/ca.pem"}
    values["backends"]["dns"]["server"] = "127.0.0.1:5353"
    values["probe_networks"] = ["127.0.0.0/8"]
    assert load(yaml.safe_dump(values), KINDS).topology.mode == "live"


def test_the_example_shows_every_key() -> None:
    text = (ROOT / "config/example.yml").read_text()
    left_out = {"azure", "swift", "etcd", "notify"}
    shapes = json.loads(schema_json())
    parts = [shapes, *shapes["$defs"].values()]
    keys = {name for part in parts for name in part.get("properties", {})}
    assert sorted(k for k in keys - left_out if f"{k}:" not in text) == []


# ── what changes ──


def test_nothing_differs_from_itself() -> None:
    difference = diff(loaded(), loaded())
    assert (difference.lines, difference.loosened, difference.removed_sites) == ((), (), ())


def test_a_change_is_told_by_its_consequence() -> None:
    services: dict[str, Any] = {
        "quay.example.com": {"kind": "quay", "sites": {"fra": {"weight": 100}, "iad": {}}}
    }
    before = loaded(services=services)
    services["quay.example.com"]["sites"]["fra"]["weight"] = 50
    after = loaded(services=services, profile="fast")
    lines = diff(before, after).lines
    path = "services.quay.example.com.sites.fra.weight"
    assert f"~ {path} 100 → 50 (answers change: 1 service)" in lines
    assert "~ timing.interval 5s → 1s" in lines


def test_a_site_that_goes_is_one_line_and_named() -> None:
    sites = yaml.safe_load(LEAST)["sites"]
    before = loaded(sites=sites | {"dr": {"address": "192.0.2.9"}})
    difference = diff(before, loaded())
    assert difference.lines == ("- sites.dr (answers change: 1 service)",)
    assert difference.removed_sites == ("dr",)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ({"min_sites": 2}, {"min_sites": 1}, "min_sites 2 → 1"),
        ({"max_drained": 1}, {"max_drained": 2}, "max_drained 1 → 2"),
        ({"changes_per_hour": 12}, {"changes_per_hour": 0}, "changes_per_hour 12 → 0"),
        ({"on_all_down": "hold"}, {"on_all_down": "all"}, "on_all_down hold → all"),
        ({"change_window": "30s"}, {"change_window": "40s"}, None),
        ({"changes_per_hour": 0}, {"changes_per_hour": 12}, None),
    ],
)
def test_a_limit_that_is_loosened_asks_to_be_repeated(
    old: dict[str, Any], new: dict[str, Any], said: str | None
) -> None:
    sites = yaml.safe_load(LEAST)["sites"] | {"dr": {"address": "192.0.2.9"}}
    before = loaded(sites=sites, limits={"min_sites": 1} | old)
    after = loaded(sites=sites, limits={"min_sites": 1} | new)
    difference = diff(before, after)
    assert [line for line in difference.loosened if line.startswith("! limits.")] == (
        [f"! limits.{said} loosens a limit: repeat with --loosen"] if said else []
    )
    assert set(difference.loosened) <= set(difference.lines)


def test_an_alert_s_word_goes_on_for_ten_minutes_after_it_by_default() -> None:
    rule = {"match": {"alertname": "CephHealthError"}, "site": "fra", "repeat": "30m"}
    (made,) = loaded(alerts={"rules": [rule]}).alerts.rules
    assert made.release_delay == 600.0


def test_not_even_a_trace_shows_a_secret_that_stands_in_the_file() -> None:
    for model, key in ((Alerts, "token"), (Storage, "keys"), (rfc2136.Settings, "tsig")):
        with pytest.raises(ValidationError) as raised:
            model.model_validate({key: "fake-secret"})
        assert "fake-secret" not in str(raised.value)


@pytest.mark.parametrize("cron", ["99 2 * * 6", "*/0 2 * * 6", "0 2 , * 6", "0 2 * *"])
def test_a_window_that_could_never_be_read_is_refused_at_the_door(cron: str) -> None:
    with pytest.raises(ConfigError, match="is not five cron fields"):
        loaded(windows=[{"cron": cron, "for": "4h"}])


# ── as a process ──


@pytest.mark.parametrize("name", ["unknown_key", "nested_too_deeply", "secret_in_a_backend"])
@pytest.mark.parametrize("command", [("check",), ("run", "--config")])
def test_a_bad_file_ends_the_process_with_one_sentence_and_touches_nothing(
    tmp_path: Path, name: str, command: tuple[str, ...]
) -> None:
    source = Path(__file__).parent / "bad" / f"{name}.yml"
    text = source.read_text().replace("fake-secret", "canary-inline")
    (tmp_path / source.name).write_text(text)
    ran = subprocess.run(
        (sys.executable, "-m", "gslb", *command, source.name),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    told = ran.stdout + ran.stderr
    assert ran.returncode == 2
    assert text.partition("\n")[0].removeprefix("# ") in told
    assert "Traceback" not in told
    assert "canary-inline" not in told
    assert [file.name for file in tmp_path.iterdir()] == [source.name]
    assert (tmp_path / source.name).read_text() == text
