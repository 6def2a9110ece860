"""What needs no API: help, completion, check, forms of text; and the demo's switchboard."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
from aiohttp import web

from gslb.cli.client import Stop, refusal
from gslb.cli.control import Length, _until
from gslb.cli.main import run
from gslb.cli.render import Face, clean, fit, parse_time, span
from tests.api.live import live
from tests.cli.test_against_the_api import Command, environment
from tests.kit import missing, until

ROOT = Path(__file__).parent.parent.parent


def test_help_lists_every_exit_code_and_every_guard(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["help", "exit-codes"]) == 0
    told = capsys.readouterr().out
    assert [code for code in (*range(11), 130) if f" {code}  " not in told] == []
    assert run(["help", "guards"]) == 0
    told = capsys.readouterr().out
    assert "min_sites *" in told
    assert "shared_outage    shared" in told
    assert run(["help", "environment"]) == 0
    assert "GSLB_TOKEN_FILE" in capsys.readouterr().out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script_for_the_shell(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["completion", shell]) == 0
    assert "_GSLB_COMPLETE" in capsys.readouterr().out


def test_version_names_the_api_that_would_be_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["version"]) == 0
    assert capsys.readouterr().out.startswith("gslb ")


@pytest.mark.parametrize(
    "arguments",
    [("nonsense",), ("drain", "eu"), ("status", "-o", "xml"), ("drain", "eu", "--for", "2")],
)
def test_wrong_usage_ends_with_2(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, {}, 8),
        (403, {}, 8),
        (404, {}, 2),
        (422, {}, 2),
        (409, {"guard": "min_sites"}, 6),
        (409, {}, 10),
        (412, {}, 10),
        (409, {"type": "/problems/set-by-the-file"}, 1),
        (500, {}, 1),
        (503, {}, 1),
    ],
)
def test_a_problem_stands_for_an_exit_code(status: int, body: dict[str, str], code: int) -> None:
    stop = refusal(status, {**body, "detail": "why", "hint": "what now"}, "")
    assert (stop.code, "why" in str(stop), "what now" in str(stop)) == (code, True, True)


def test_lengths_have_units() -> None:
    assert Length().convert("1h30m", None, None) == 5400
    assert Length().convert("500ms", None, None) == 0.5
    for wrong in ("2", "h", "1.5h", ""):
        with pytest.raises(click.BadParameter):
            Length().convert(wrong, None, None)


def test_until_is_the_next_such_minute_or_a_time_with_its_zone() -> None:
    ends = parse_time(_until("16:10"))
    assert ends
    assert timedelta() < ends - datetime.now(UTC) <= timedelta(days=1)
    assert (ends.hour, ends.minute) == (16, 10)
    assert _until("2030-01-01T00:00:00Z") == "2030-01-01T00:00:00+00:00"
    for wrong in ("25:00", "tomorrow", "2030-01-01T00:00:00"):
        with pytest.raises(Stop, match="neither HH:MM nor a time"):
            _until(wrong)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.4, "0 s"), (59, "59 s"), (360, "6 min"), (-10_800, "3 h"), (12 * 86_400, "12 d")],
)
def test_a_span_is_told_in_its_largest_unit(seconds: float, told: str) -> None:
    assert span(seconds) == told


def test_times_are_told_with_their_zone_and_how_far_they_are() -> None:
    soon = (datetime.now(UTC) + timedelta(hours=2, minutes=1)).isoformat()
    assert Face(utc=True).when(soon).endswith("UTC (in 2 h)")
    assert Face().when(None) == ""


def test_text_is_cut_with_a_sign_and_cannot_move_the_cursor() -> None:
    assert fit("abcdef", 4) == "abc…"
    assert fit("✓ eu", 4) == "✓ eu"
    assert clean("a\x1b[2Jb\nc") == "a [2Jb c"


@pytest.mark.parametrize(
    ("form", "line"),
    [
        ("concise", "{file}:4:9: error[E012] sites.fra.adress: unknown key `adress`"),
        ("full", "  |         ^"),
        ("github", "::error file={file},line=4,col=9,title=E012::sites.fra.adress: unknown key"),
    ],
)
def test_check_shows_a_mistake_with_its_place(
    form: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = ROOT / "tests" / "config" / "bad" / "unknown_key.yml"
    assert run(["check", "--offline", "--format", form, str(file)]) == 2
    told = capsys.readouterr()
    assert line.format(file=file) in told.out
    assert "✗ 1 error, 0 warnings. Nothing was changed." in told.err


def test_check_as_json_has_the_place_in_fields(capsys: pytest.CaptureFixture[str]) -> None:
    file = ROOT / "tests" / "config" / "bad" / "unknown_key.yml"
    assert run(["check", "--offline", "-o", "json", str(file)]) == 2
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert (found["line"], found["column"], found["code"]) == (4, 9, "E012")


def test_check_of_a_right_file_says_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    file = ROOT / "config" / "minimal.yml"
    assert run(["check", "--offline", "--defaults", str(file)]) == 0
    told = capsys.readouterr()
    assert "limits.min_sites: 1   # " in told.out
    assert f"Next: gslb run --config {file}" in told.err


async def test_break_and_mend_reach_the_switchboard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[str, str, object]] = []

    async def switch(request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        asked.append((request.method, request.path, body))
        return web.json_response({})

    routes = (
        web.put("/demo/faults/{site}/{part}", switch),
        web.delete("/demo/faults/{site}/{part}", switch),
        web.delete("/demo/faults/{site}", switch),
    )
    async with live(tmp_path, extra_routes=routes) as running:
        env = environment(str(running.served.url), GSLB_TOKEN="fake-admin")
        gslb = Command(running, env, monkeypatch, capsys)
        for arguments in (
            ("break", "eu", "store", "hang"),
            ("mend", "eu", "store"),
            ("mend", "eu"),
        ):
            ran = await gslb("demo", *arguments)
            assert ran.code == 0, ran.err
    assert asked == [
        ("PUT", "/demo/faults/eu/store", {"fault": "hang"}),
        ("DELETE", "/demo/faults/eu/store", None),
        ("DELETE", "/demo/faults/eu", None),
    ]


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    try:
        ours, theirs = os.openpty()
    except OSError as error:
        missing(f"no pseudo-terminal to be had here: {error}")
    yield ours, theirs
    os.close(ours)
    os.close(theirs)


def interrupted(process: asyncio.subprocess.Process) -> bool:
    """Interrupt it if it goes on: a signal just before it begins to read is seen at the next."""
    if process.returncode is None:
        process.send_signal(signal.SIGINT)
    return process.returncode is not None


@pytest.mark.parametrize(("key", "code", "said"), [("y", 0, 1), ("n", 1, 0), ("\x03", 130, 0)])
async def test_on_a_terminal_a_drain_is_asked_for_once(
    tmp_path: Path, terminal: tuple[int, int], key: str, code: int, said: int
) -> None:
    ours, theirs = terminal
    async with live(tmp_path) as running:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gslb", "drain", "eu", "--reason", "disk swap"),
            env=environment(str(running.served.url), GSLB_TOKEN="fake-admin"),
            stdin=theirs,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr
        async with asyncio.timeout(30):
            before = await process.stderr.readuntil(b"Drain eu? [y/N]: ")
            if key == "\x03":
                await until(lambda: interrupted(process), 25, every_s=0.3)
            else:
                os.write(ours, f"{key}\n".encode())
            await process.communicate()
        assert b"Preview" in before
        assert process.returncode == code
        assert len(running.operator.said) == said
