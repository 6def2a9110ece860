"""evidence.md, section 3: run, share, fresh, slow."""

from dataclasses import replace

import pytest

from gslb.domain.health import Cause, Observation, Outcome, Track, Verdict
from gslb.domain.topology import Aspect, AspectName, Family, ProbeId, SiteName, VantageName
from gslb.policy.judge import effective, is_local, is_slow, judge
from gslb.policy.moment import Moment

SITE, NAME, HERE = SiteName("eu"), AspectName("store.write"), VantageName("here")
ASPECT = Aspect(
    site=SITE,
    name=NAME,
    probe=ProbeId("eu/store"),
    family=Family.STORE,
    pace_s=5,
    deadline_s=3,
    fall=3,
    rise=2,
    slow_s=1.5,
)
MARKS = {
    "+": (Outcome.PASS, None),
    "-": (Outcome.FAIL, Cause.IO),
    "x": (Outcome.FAIL, Cause.TIMEOUT),
    "?": (Outcome.BLIND, Cause.DENIED),
}
LETTER = {Verdict.UNKNOWN: ".", Verdict.UP: "U", Verdict.DOWN: "D"}


def seen(mark: str, at_s: float, took_s: float = 0.1, begun_s: float | None = None) -> Observation:
    outcome, cause = MARKS[mark]
    return Observation(
        site=SITE,
        aspect=NAME,
        vantage=HERE,
        outcome=outcome,
        cause=cause,
        detail=mark,
        latency_s=took_s,
        begun_s=at_s - took_s if begun_s is None else begun_s,
        ended_s=at_s,
    )


def live(
    marks: str, *, aspect: Aspect = ASPECT, every_s: float = 5.0, normal: bool = True
) -> tuple[Track, str]:
    """The track after these outcomes, and its verdict after each."""
    track, verdicts = Track(), ""
    for number, mark in enumerate(marks):
        track = judge(track, aspect, seen(mark, 100 + number * every_s), normal=normal)
        verdicts += LETTER[track.verdict]
    return track, verdicts


@pytest.mark.parametrize(
    ("marks", "verdicts"),
    [
        ("+---", "UUUD"),  # three failures in a row turn it
        ("---", "..D"),  # before any pass, too
        ("---+-++", "..DDDDU"),  # a failure while down starts again
        ("+--++++--", "UUUUUUUUU"),  # a pass ends a run of failures
        ("+-?-?-", "UUUUUD"),  # a blind prober is no evidence: it neither counts nor resets
        ("???", "..."),  # and turns nothing up
        ("?+", ".U"),  # an unknown track is turned up by one pass
        ("+---+?+", "UUUDDDU"),  # blind does not end a run of passes either
    ],
)
def test_a_run_turns_a_track(marks: str, verdicts: str) -> None:
    assert live(marks)[1] == verdicts


def test_rise_counts_runs_at_the_normal_pace_only() -> None:
    down, _ = live("---")
    for number in range(10):
        down = judge(down, ASPECT, seen("+", 120 + number), normal=False)
    assert (down.verdict, down.passes, down.rises) == (Verdict.DOWN, 10, 0)
    for number in range(2):
        down = judge(down, ASPECT, seen("+", 140 + number), normal=True)
    assert down.verdict is Verdict.UP


def test_a_result_begun_before_the_last_counted_one_counts_in_the_window_only() -> None:
    track, _ = live("+--")
    late_pass = judge(track, ASPECT, seen("+", 111, begun_s=104), normal=True)
    assert late_pass.fails == 2
    assert late_pass.window == track.window
    assert judge(late_pass, ASPECT, seen("-", 115), normal=True).verdict is Verdict.DOWN
    late_fail = judge(track, ASPECT, seen("-", 116, begun_s=104), normal=True)
    assert (late_fail.fails, late_fail.verdict) == (2, Verdict.UP)
    assert late_fail.window[-1] == (23, True)


@pytest.mark.parametrize(
    ("marks", "verdicts"),
    [
        # Half the requests fail, never three in a row: ten results since it turned up.
        ("++-+-+-+-+-", "UUUUUUUUUUD"),
        # 0.4 exactly is not above it.
        ("++-+-+-+-++", "UUUUUUUUUUU"),
        # Fewer than ten results turn nothing.
        ("+--+--+--", "UUUUUUUUU"),
    ],
)
def test_the_share_of_failed_intervals_turns_a_track_down(marks: str, verdicts: str) -> None:
    assert live(marks)[1] == verdicts


def test_what_the_share_turned_down_needs_rise_and_a_healed_share() -> None:
    down, _ = live("++-+-+-+-+-")
    assert down.by_share
    assert down.window == ()  # it starts empty whenever the track turns
    verdicts = ""
    for number, mark in enumerate("-" + "+" * 10):
        down = judge(down, ASPECT, seen(mark, 200 + number * 5), normal=True)
        verdicts += LETTER[down.verdict]
    # rise is 2, but one failed of nine is above 0.1; one of ten is not.
    assert verdicts == "DDDDDDDDDUU"
    assert not down.by_share


def test_many_runs_in_one_interval_fail_it_once() -> None:
    track = Track()
    for number, mark in enumerate("+-+-+-+-+-+-"):
        track = judge(track, ASPECT, seen(mark, 101 + number * 0.2), normal=False)
    assert track.window == ((20, True),)
    assert track.verdict is Verdict.UP


def test_the_window_holds_the_last_twenty_intervals() -> None:
    track, _ = live("+" * 30)
    assert len(track.window) == 20
    assert track.window[-1] == (49, False)


@pytest.mark.parametrize(
    ("marks", "until_s"),
    [
        ("+", 13),  # 2 × pace + deadline after the last pass or fail
        ("---", 10 + 13),
        ("+?", 13 + 13),  # while blind results come in, for one stale_after more
        ("?+", 5 + 13),  # a blind one before the last counted one adds nothing
    ],
)
def test_a_verdict_is_held_while_it_is_fresh(marks: str, until_s: float) -> None:
    track, _ = live(marks)
    just_before, then = Moment(99.9 + until_s), Moment(100.0 + until_s)
    assert effective(track, ASPECT, just_before) is track.verdict
    assert just_before.wake_at_s == 100.0 + until_s
    assert effective(track, ASPECT, then) is Verdict.UNKNOWN


def test_what_was_never_seen_is_unknown() -> None:
    assert effective(Track(), ASPECT, Moment(5)) is Verdict.UNKNOWN
    assert effective(live("???")[0], ASPECT, Moment(110)) is Verdict.UNKNOWN


@pytest.mark.parametrize(
    ("marks", "local"), [("xxx", False), ("xx-", True), ("-xx", True), ("-xxx", False)]
)
def test_a_track_is_local_if_one_of_its_last_fails_was(marks: str, local: bool) -> None:
    assert is_local(live(marks)[0]) is local


def test_fails_further_apart_than_stale_after_do_not_cover_the_time_between() -> None:
    track, _ = live("---+-", every_s=5)
    assert (track.covered_since_s, len(track.causes)) == (100, 3)
    far, _ = live("---+-", every_s=7)
    assert (far.covered_since_s, far.causes) == (128, (Cause.IO,))


def test_slow_is_degraded_and_never_down_unless_so_configured() -> None:
    track = Track()
    for number in range(3):
        assert not is_slow(track, ASPECT)
        track = judge(track, ASPECT, seen("+", 100 + number * 5, took_s=1.6), normal=True)
    assert is_slow(track, ASPECT)
    assert track.verdict is Verdict.UP
    assert not is_slow(judge(track, ASPECT, seen("+", 120), normal=True), ASPECT)
    assert not is_slow(judge(track, ASPECT, seen("?", 120), normal=True), ASPECT)
    assert not is_slow(judge(track, ASPECT, seen("-", 120), normal=True), ASPECT)
    strict = replace(ASPECT, slow_is_down=True)
    track = Track()
    for number in range(3):
        track = judge(track, strict, seen("+", 100 + number * 5, took_s=1.6), normal=True)
    assert track.verdict is Verdict.DOWN
    assert track.detail == "answers after 1.6 s, slower than 1.5 s"
    fast = judge(Track(), strict, seen("+", 100), normal=True)
    assert fast.verdict is Verdict.UP


def test_a_track_remembers_where_its_trouble_began_until_it_is_over() -> None:
    assert live("+--")[0].first_fail_s == pytest.approx(104.9)
    assert live("+--+")[0].first_fail_s is None
    assert live("+---+")[0].first_fail_s == pytest.approx(104.9)
    assert live("+---++")[0].first_fail_s is None
    assert live("++-+-+-+-+-")[0].first_fail_s == pytest.approx(149.9)


def test_the_strip_shows_the_last_sixty_outcomes() -> None:
    assert live("+-x?")[0].strip == "+xx."
    assert len(live("+" * 70)[0].strip) == 60
