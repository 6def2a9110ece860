"""Who may ask: tokens, scopes, and the peers of the unix socket."""

import asyncio
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from gslb.api.auth import Tokens
from gslb.domain.control import Owner, OwnerKind
from gslb.domain.errors import ConfigError
from tests.api.fake_operator import WALL_S, FakeOperator
from tests.api.live import SCOPES, live, token, write_tokens
from tests.kit import need

DRAIN = {"action": "drain", "reason": "r"}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can enter (pytest's own are closed to them)."""
    with tempfile.TemporaryDirectory(prefix="gslb-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


async def test_nothing_under_v1_is_told_without_a_valid_token(tmp_path: Path) -> None:
    async with live(tmp_path) as api:
        none, wrong = await api.get("/v1/overview", None), await api.get("/v1/overview", "guess")
        basic = await api.get("/v1/overview", None, Authorization="Basic ZmFrZTpmYWtl")
        write = await api.ask("PUT", "/v1/sites/eu/override", DRAIN, None)
    assert {s.status for s in (none, wrong, basic, write)} == {401}
    assert none.headers["WWW-Authenticate"].startswith("Bearer")
    assert wrong.body["type"] == "/problems/who-are-you"
    failures = [c for c in api.counted if c[0] == "auth_failures"]
    assert failures == [("auth_failures", r) for r in ("missing", "wrong", "missing", "missing")]
    assert api.operator.said == []


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_scope_includes_those_before_it(tmp_path: Path, scope: str) -> None:
    asks = [
        ("GET", "/v1/overview", None),
        ("PUT", "/v1/pause", {"reason": "r"}),
        ("PUT", "/v1/sites/eu/override", {**DRAIN, "skip": ["velocity"]}),
        ("PUT", "/v1/mode", {"mode": "observe"}),
    ]
    async with live(tmp_path) as api:
        codes = [(await api.ask(m, p, b, scope, If_Match="*")).status for m, p, b in asks]
    allowed = SCOPES.index(scope) + 1
    assert [code == 403 for code in codes] == [False] * allowed + [True] * (4 - allowed)


async def test_an_expired_token_is_worth_nothing(tmp_path: Path) -> None:
    old = token("old", "admin", expires="2027-01-15T08:00:00Z")
    new = token("new", "admin", expires="2027-01-15T08:00:01Z")
    async with live(tmp_path, FakeOperator(), old, new) as api:
        assert (await api.get("/v1/overview", "old")).status == 401
        assert (await api.get("/v1/overview", "new")).status == 200
        api.operator.pass_time(1)
        assert (await api.get("/v1/overview", "new")).status == 401


async def test_the_tokens_file_is_read_again_and_a_bad_one_leaves_the_old(tmp_path: Path) -> None:
    path = tmp_path / "tokens.yml"
    async with live(tmp_path) as api:
        assert (await api.get("/v1/overview", "late")).status == 401
        write_tokens(path, token("late", "read"))
        assert (await api.get("/v1/overview", "late")).status == 200
        path.write_text("- {name: half", encoding="utf-8")
        assert (await api.get("/v1/overview", "late")).status == 200
        path.unlink()
        assert (await api.get("/v1/overview", "late")).status == 200
        write_tokens(path)
        assert (await api.get("/v1/overview", "late")).status == 401


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name: x",
        "- {name: x, sha256: short, scopes: [read]}",
        f"- {{name: x, sha256: {'0' * 64}, scopes: []}}",
        f"- {{name: x, sha256: {'0' * 64}, scopes: [root]}}",
        f"- {{name: x, sha256: {'0' * 64}, scopes: [drain], sites: []}}",
        f"- {{name: 'a b', sha256: {'0' * 64}, scopes: [read]}}",
        f"- {{name: x, sha256: {'0' * 64}, scopes: [read], expires: 2027-01-01 00:00:00}}",
    ],
)
def test_a_wrong_tokens_file_stops_the_start_with_its_place(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokens.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"tokens\.yml"):
        Tokens(path)


def test_a_token_is_found_by_its_digest_only(tmp_path: Path) -> None:
    tokens = Tokens(write_tokens(tmp_path / "tokens.yml"))
    who = tokens.find("fake-drain", WALL_S)
    assert who is not None
    assert who.owner == Owner(OwnerKind.PERSON, "t-drain")
    digest = token("drain")["sha256"]
    assert tokens.find(str(digest), WALL_S) is None
    assert tokens.find("", WALL_S) is None
    assert Tokens(None).find("fake-drain", WALL_S) is None


async def test_our_own_user_is_admin_on_the_unix_socket_without_a_token(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    async with live(tmp_path, socket=path) as api:
        assert api.served.socket == path
        assert path.stat().st_mode & 0o777 == 0o660
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as local,
            local.put("http://gslb/v1/mode", json={"mode": "observe"}) as said,
        ):
            assert said.status == 200
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as local,
            local.get("http://gslb/v1/mode", headers={"Authorization": "Bearer no"}) as said,
        ):
            assert said.status == 401, "a token that was sent counts, not the peer"
    assert not path.exists()
    (word,) = api.operator.said
    assert str(word[2]).startswith("person:")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to ask as somebody else")
async def test_another_user_of_the_host_needs_a_token_on_the_unix_socket(
    tmp_path: Path, open_folder: Path
) -> None:
    curl, path, codes = need("curl"), open_folder / "api.sock", []
    async with live(tmp_path, socket=path):
        path.chmod(0o666)
        for sent in ("Accept: */*", "Authorization: Bearer fake-read"):
            command = [curl, "-s", "-w", "\n%{http_code}", "-H", sent]
            command += ["--unix-socket", str(path), "http://gslb/v1/mode"]
            done = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, user=65534, check=False
            )
            body, code = done.stdout.decode().rsplit("\n", 1)
            codes.append((code, json.loads(body).get("mode")))
    assert codes == [("401", None), ("200", "live")]
