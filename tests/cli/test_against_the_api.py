"""The commands as processes against the real API on a socket: words, forms and exit codes."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from gslb.cli.client import Client, Stop
from gslb.cli.main import run
from gslb.domain.control import Mode
from gslb.domain.health import Loss
from gslb.domain.messages import EventKind
from gslb.domain.topology import Ability, Limits, SiteName
from gslb.domain.traffic import Change, Plan, Pool
from gslb.domain.world import BackendView, Memory
from tests.api.fake_operator import (
    AP,
    DNS,
    EU,
    QUAY,
    STORE,
    US,
    FakeOperator,
    a_world,
    answer,
    down,
)
from tests.api.live import Live, live
from tests.kit import free_port, need, until


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass
class Command:
    """Runs `gslb ...` against one API: in a thread of this process, or as one of its own."""

    live: Live
    env: dict[str, str]
    patch: pytest.MonkeyPatch
    caught: pytest.CaptureFixture[str]

    async def __call__(self, *arguments: str, **env: str) -> Ran:
        with self.patch.context() as patch:
            patch.delenv("COLUMNS", raising=False)
            for name, value in {**self.env, **env}.items():
                patch.setenv(name, value)
            self.caught.readouterr()
            code = await asyncio.wait_for(asyncio.to_thread(run, arguments), 30)
        return Ran(code, *self.caught.readouterr())

    async def process(self, *arguments: str, **env: str) -> Ran:
        process = await self.start(*arguments, **env)
        out, err = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())

    async def start(self, *arguments: str, **env: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gslb", *arguments),
            env={**self.env, **env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )


def environment(url: str, **more: str) -> dict[str, str]:
    kept = {k: os.environ[k] for k in ("PATH", "PYTHONPATH", "HOME") if k in os.environ}
    return {**kept, "GSLB_URL": url, "LANG": "C.UTF-8", "TZ": "UTC", "PYTHONUTF8": "1", **more}


@pytest.fixture
async def gslb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> AsyncIterator[Command]:
    async with live(tmp_path, socket=tmp_path / "api.sock") as running:
        env = environment(str(running.served.url), GSLB_TOKEN="fake-admin")
        yield Command(running, env, monkeypatch, capsys)


def fell(operator: FakeOperator, *sites: SiteName) -> None:
    """These sites are down, and not in the answer."""
    world = a_world()
    for site in sites:
        world = down(world, site)
        (reason,) = world.states[site].reasons
        loss = Loss(
            aspect=STORE,
            takes=(Ability.READ, Ability.WRITE),
            service=None,
            reason=reason,
            first_fail_s=90.0,
            moves_at_s=91.0,
        )
        lost = replace(world.states[site], losses=(loss,))
        world = replace(world, states={**world.states, site: lost})
    left = answer(*(s for s in (EU, US, AP) if s not in sites))
    view = replace(world.backends[DNS], served={QUAY: left}, wanted={QUAY: left})
    operator._world = replace(world, backends={DNS: view})


async def test_status_of_a_whole_house_ends_with_0(gslb: Command) -> None:
    ran = await gslb.process("status")
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0].startswith("test · live · leader ctl-1 (epoch 3) · config 9f3c1a · as of ")
    assert lines[2].split() == ["SITE", "STATE", "TRAFFIC", "BECAUSE", "SINCE", "NEXT"]
    assert lines[3].split()[:7] == ["eu", "✓", "up", "in", "1", "of", "3"]
    assert "1 service: 1 as wanted." in ran.out
    assert "1 backend: dns as planned" in ran.out
    assert "\x1b" not in ran.out


async def test_status_with_a_dead_site_ends_with_3_and_says_why(gslb: Command) -> None:
    fell(gslb.live.operator, EU)
    ran = await gslb("status")
    assert ran.code == 3
    row = next(line for line in ran.out.splitlines() if line.startswith("eu"))
    assert "✗ down" in row
    assert "out   auto" in row
    assert "timeout after 2.0 s" in row
    assert any(line.startswith("! ") and "eu" in line for line in ran.out.splitlines())


async def test_one_service_shows_its_sites_and_ends_as_it_is(gslb: Command) -> None:
    ran = await gslb("status", "--service", QUAY)
    assert ran.code == 0
    assert ran.out.splitlines()[0] == "quay.demo: as wanted, in: eu us ap"
    fell(gslb.live.operator, EU)
    ran = await gslb("status", "--service", QUAY)
    assert ran.code == 3
    assert ["eu", "out", "100", "0"] in [line.split() for line in ran.out.splitlines()]


async def test_several_sites_are_shown_alone_and_in_json(gslb: Command) -> None:
    ran = await gslb("status", "eu", "--site", "ap", "-o", "json")
    assert [site["name"] for site in json.loads(ran.out)["sites"]] == ["eu", "ap"]


async def test_an_open_incident_is_explained_by_its_site(gslb: Command) -> None:
    memory = Memory(site=EU, incident="i-7")
    gslb.live.operator._world = replace(a_world(), memories={EU: memory})
    ran = await gslb("explain", "i-7", "-o", "json")
    assert json.loads(ran.out)["name"] == "eu"


@pytest.mark.parametrize("what", [{"epoch": None}, {"store_error": "disk full"}, {"blind": "no"}])
async def test_status_that_cannot_tell_ends_with_4(gslb: Command, what: dict[str, object]) -> None:
    gslb.live.operator._world = replace(a_world(), **what)  # type: ignore[arg-type]  # by name
    assert (await gslb("status")).code == 4


async def test_json_is_the_apis_own_and_yaml_says_the_same(gslb: Command) -> None:
    for arguments, path in (
        (("status",), "/v1/overview"),
        (("status", "eu"), "/v1/sites/eu"),
        (("status", "--service", QUAY), f"/v1/services/{QUAY}"),
        (("explain", "eu"), "/v1/explain/site/eu"),
        (("explain", QUAY), f"/v1/explain/service/{QUAY}"),
        (("explain", DNS), f"/v1/explain/backend/{DNS}"),
    ):
        said = (await gslb.live.get(path)).body
        ran = await gslb(*arguments, "-o", "json")
        assert json.loads(ran.out) == said, arguments
    assert yaml.safe_load((await gslb("status", GSLB_OUTPUT="yaml")).out)["cluster"] == "test"
    assert (await gslb("status", "-o", "name")).out == "eu\nus\nap\n"


@pytest.mark.parametrize(("columns", "last"), [(120, "NEXT"), (99, "SINCE"), (79, "BECAUSE")])
async def test_a_narrow_terminal_loses_columns_and_never_wraps(
    gslb: Command, columns: int, last: str
) -> None:
    fell(gslb.live.operator, EU)
    ran = await gslb("status", "--all", COLUMNS=str(columns))
    table = [li for li in ran.out.splitlines() if li.startswith(("SITE", "eu", "us", "ap"))]
    assert table[0].split()[-1] == last
    assert max(map(len, table)) <= columns
    assert len(table) == 4


async def test_without_utf_8_states_have_ascii_symbols(gslb: Command) -> None:
    fell(gslb.live.operator, EU)
    ran = await gslb.process("status", LANG="C", PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert "+ up" in ran.out
    assert "x down" in ran.out
    assert ran.out.isascii()


async def test_plain_says_one_fact_a_line(gslb: Command) -> None:
    fell(gslb.live.operator, EU)
    ran = await gslb("status", GSLB_ACCESSIBLE="1")
    assert "eu state: ✗ down\neu traffic: out   auto\n" in ran.out


async def test_problems_folds_what_is_up_and_in(gslb: Command) -> None:
    fell(gslb.live.operator, EU)
    ran = await gslb("status", "--problems")
    assert "2 sites up and in" in ran.out
    assert not [line for line in ran.out.splitlines() if line.startswith(("us", "ap"))]


@pytest.mark.parametrize("arguments", [("status", "eo"), ("explain", "eo")])
async def test_a_typo_gets_the_nearest_name(gslb: Command, arguments: tuple[str, str]) -> None:
    ran = await gslb(*arguments)
    assert ran.code == 2
    assert "did you mean `eu`?" in ran.err
    assert "Usage" not in ran.err


async def test_a_drain_shows_what_follows_and_needs_a_yes(gslb: Command) -> None:
    ran = await gslb("drain", "eu", "--reason", "disk swap")
    assert ran.code == 2
    assert "repeat with --yes" in ran.err
    assert "quay.demo at dns   - 192.0.2.1 (eu)" in ran.err
    assert gslb.live.operator.said == []


async def test_a_drain_with_yes_is_said_with_its_reason_and_end(gslb: Command) -> None:
    ran = await gslb("drain", "eu", "--for", "2h", "--reason", "disk swap", "--yes")
    assert ran.code == 0, ran.err
    (said,) = gslb.live.operator.said
    word = said[1]
    assert (word.site, word.action, word.reason) == (EU, "drain", "disk swap")  # type: ignore[attr-defined]  # an Override
    assert word.ends_wall_s - word.created_wall_s == 7200  # type: ignore[attr-defined]  # the same
    assert "gslb undrain eu" in ran.out


async def test_a_dry_run_says_nothing_to_the_store(gslb: Command) -> None:
    ran = await gslb("drain", "eu", "--reason", "x", "--dry-run", "-o", "json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["operation"] is None
    assert gslb.live.operator.said == []


async def test_a_guard_that_refuses_ends_with_6_and_its_id_and_may_be_skipped(
    gslb: Command,
) -> None:
    operator = gslb.live.operator
    fell(operator, AP)
    two = replace(operator.world.topology.services[0], limits=Limits(min_sites=2))
    topology = replace(operator.world.topology, services=(two,))
    operator._world = replace(operator.world, topology=topology)
    ran = await gslb("drain", "eu", "--reason", "x", "--yes")
    assert ran.code == 6
    assert "✗ refused by min_sites" in ran.err
    assert "--skip min_sites" in ran.err
    assert operator.said == []
    ran = await gslb("drain", "eu", "--reason", "x", "--yes", "--skip", "min_sites")
    assert ran.code == 0, ran.err
    assert operator.said[0][1].skip == ("min_sites",)  # type: ignore[attr-defined]  # an Override


async def test_wait_ends_with_7_when_it_is_not_read_back_in_time(gslb: Command) -> None:
    ran = await gslb("drain", "eu", "--reason", "x", "--yes", "--wait=1s")
    assert ran.code == 7
    assert "still running: dns pending" in ran.err
    assert "id o-1" in ran.err


async def test_wait_stays_until_it_is_read_back(gslb: Command) -> None:
    operator = gslb.live.operator
    process = await gslb.start("drain", "eu", "--reason", "x", "--yes", "--wait")
    await until(lambda: operator.said, 20)
    left = {QUAY: answer(US, AP)}
    view = replace(operator.world.backends[DNS], served=left, wanted=left)
    await operator.become(replace(operator.world, backends={DNS: view}))
    out, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0, err
    assert "dns        read back" in err.decode()
    assert "✓ eu is out." in out.decode()


async def test_in_observe_a_drain_is_kept_and_said_not_to_move(gslb: Command) -> None:
    gslb.live.operator._world = a_world(mode=Mode.OBSERVE)
    ran = await gslb("drain", "eu", "--reason", "x", "--yes", "--wait")
    assert ran.code == 0
    assert "nothing moves: the mode is observe" in ran.out


async def test_undrain_says_who_still_holds_it(gslb: Command) -> None:
    await gslb.live.put("/v1/sites/eu/override", {"action": "drain", "reason": "x"})
    ran = await gslb("undrain", "eu")
    assert (ran.code, ran.err) == (0, "")
    assert "1 ended; automation decides" in ran.out


async def test_pause_resume_live_observe_ack_adopt_and_reload_reach_the_operator(
    gslb: Command,
) -> None:
    for arguments in (
        ("pause", "--for", "30m", "--reason", "core switch"),
        ("resume",),
        ("live", "--yes"),
        ("observe",),
        ("ack", "eu", "--reason", "seen"),
        ("adopt", "dns", "--reason", "moved", "--yes"),
        ("reload", "--remove", "ap", "--loosen"),
    ):
        ran = await gslb(*arguments)
        assert ran.code == 0, (arguments, ran.err)
    said = gslb.live.operator.said
    assert [word[0] for word in said] == [
        *("pause", "pause", "mode", "mode", "ack", "adopt", "reload"),
    ]
    assert said[2][1:] == ("live", said[2][2], True)
    assert said[6][1:] == (("ap",), True, False)


async def test_confirm_shows_the_plan_and_a_stale_digest_ends_with_10(gslb: Command) -> None:
    change = Change(pool=Pool(service=QUAY, members=()), before=answer(EU, US), after=answer(US))
    plan = Plan(backend=DNS, epoch=3, changes=(change,), expects=None, leaves=None, digest="p-1")
    gslb.live.operator._world = replace(a_world(), waiting={DNS: plan})
    ran = await gslb("confirm", "p-1", "--reason", "agreed", "--yes")
    assert ran.code == 0, ran.err
    assert "- 192.0.2.1 (eu)" in ran.err
    assert gslb.live.operator.said[0][0] == "confirm"
    assert (await gslb("confirm", "p-2", "--reason", "agreed", "--yes")).code == 10


async def test_what_a_token_may_not_do_ends_with_8(gslb: Command) -> None:
    for token in ("fake-read", "wrong"):
        ran = await gslb("drain", "eu", "--reason", "x", "--yes", GSLB_TOKEN=token)
        assert ran.code == 8, ran.err


async def test_a_token_file_is_used_before_the_variable(gslb: Command, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("fake-admin\n")
    assert (await gslb("status", GSLB_TOKEN_FILE=str(path), GSLB_TOKEN="wrong")).code == 0
    assert (await gslb("status", GSLB_TOKEN_FILE=str(path) + "x")).code == 2


async def test_the_demos_address_carries_its_token(gslb: Command) -> None:
    url = f"{gslb.env['GSLB_URL']}/#token=fake-admin"
    assert (await gslb("status", GSLB_URL=url, GSLB_TOKEN="")).code == 0


async def test_an_api_that_is_not_there_ends_with_9(gslb: Command, tmp_path: Path) -> None:
    for url in (f"http://127.0.0.1:{free_port()}", f"unix:{tmp_path}/none.sock"):
        ran = await gslb("status", GSLB_URL=url)
        assert ran.code == 9
        assert "was not reached" in ran.err
    assert (await gslb("status", GSLB_URL="ftp://x")).code == 2


async def test_over_the_unix_socket_no_token_is_needed(gslb: Command, tmp_path: Path) -> None:
    url = f"unix:{tmp_path}/api.sock"
    ran = await gslb("pause", "--reason", "x", GSLB_URL=url, GSLB_TOKEN="")
    assert ran.code == 0, ran.err


async def test_over_tls_the_server_is_believed_by_its_ca_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ours", "other"):
        key, cert = tmp_path / f"{name}.key", tmp_path / f"{name}.pem"
        arguments = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
        arguments += ("-nodes", "-subj", "/CN=ctl", "-addext", "subjectAltName=IP:127.0.0.1")
        made = await asyncio.create_subprocess_exec(
            *(need("openssl"), *arguments, "-keyout", str(key), "-out", str(cert)),
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert await made.wait() == 0
    ours = {"tls_cert": tmp_path / "ours.pem", "tls_key": tmp_path / "ours.key"}
    async with live(tmp_path, **ours) as running:
        env = environment(str(running.served.url), GSLB_TOKEN="fake-admin")
        gslb = Command(running, env, monkeypatch, capsys)
        assert (await gslb("status", GSLB_CACERT=str(tmp_path / "ours.pem"))).code == 0
        assert (await gslb("status", GSLB_CACERT=str(tmp_path / "other.pem"))).code == 9
        assert (await gslb("status", GSLB_CACERT=str(tmp_path / "none.pem"))).code == 2


async def test_the_feed_gives_events_with_their_documents(gslb: Command) -> None:
    client = Client({**gslb.env})
    feed = client.feed()
    kind, body = await asyncio.to_thread(next, feed)
    assert (kind, body["cluster"]) == ("snapshot", "test")
    await gslb.live.operator.tell("eu fell", site="eu")
    kind, body = await asyncio.to_thread(next, feed)
    assert (kind, body["text"], body["seq"]) == ("change", "eu fell", 1)
    gslb.live.operator.cut()
    assert await asyncio.to_thread(next, feed) == ("gap", {"after": 1})
    assert await asyncio.to_thread(next, feed, None) is None
    with pytest.raises(Stop, match="token"):
        await asyncio.to_thread(next, Client({**gslb.env, "GSLB_TOKEN": "wrong"}).feed())


async def test_events_are_lines_and_json_lines(gslb: Command) -> None:
    operator = gslb.live.operator
    await operator.tell("eu up → down because store.write (own)", site="eu", incident="i-1")
    await operator.tell("us: \x1b[2Jforged", site="us")
    ran = await gslb("events", "-n", "5")
    first, second = ran.out.splitlines()
    assert first.endswith("site      eu up → down because store.write (own)  i-1")
    assert "\x1b" not in second
    only = await gslb("events", "--site", "eu", "--type", "site", "-o", "json")
    assert [json.loads(line)["incident"] for line in only.out.splitlines()] == ["i-1"]
    assert json.loads(only.out) == (await gslb.live.get("/v1/events?site=eu")).body["events"][0]


async def test_events_f_follows_and_filters(gslb: Command) -> None:
    operator = gslb.live.operator
    process = await gslb.start("events", "-f", "--site", "eu")
    await until(lambda: operator.feeds, 20)
    await operator.tell("us is well", EventKind.SITE, site="us")
    await operator.tell("eu fell", EventKind.SITE, site="eu")
    assert process.stdout
    line = await asyncio.wait_for(process.stdout.readline(), 20)
    process.terminate()
    await process.communicate()
    assert line.decode().rstrip().endswith("eu fell")


async def test_watch_without_a_terminal_prints_a_line_a_change_and_outlives_a_cut(
    gslb: Command,
) -> None:
    operator = gslb.live.operator
    process = await gslb.start("status", "-w")
    assert process.stdout
    async with asyncio.timeout(30):
        for text in ("eu fell", "eu is back"):
            await until(lambda: operator.feeds, 20)
            await operator.tell(text, site="eu")
            while text not in (await process.stdout.readline()).decode():
                assert process.returncode is None
            operator.cut()
            await until(lambda: not operator.feeds, 20)
        process.send_signal(signal.SIGINT)
        await process.communicate()
    assert process.returncode == 130


async def test_explain_reads_from_headline_to_what_one_can_do(gslb: Command) -> None:
    fell(gslb.live.operator, EU)
    ran = await gslb("explain", "eu")
    assert ran.code == 0, ran.err
    said = (await gslb.live.get("/v1/explain/site/eu")).body
    assert ran.out.splitlines()[0] == said["headline"][0]
    assert f"1 {said['sections'][0]['title']}" in ran.out
    assert f"next        {said['next']}" in ran.out


async def test_a_backend_that_was_never_read_is_shown_without_a_time(gslb: Command) -> None:
    world = a_world()
    gslb.live.operator._world = replace(world, backends={DNS: BackendView(name=DNS)})
    ran = await gslb("status")
    assert "1 backend: dns unknown." in ran.out
