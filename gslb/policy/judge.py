"""A track and one more outcome give a track (evidence.md, section 3)."""

from dataclasses import replace

from gslb.domain.health import Cause, CauseClass, Observation, Outcome, Track, Verdict
from gslb.domain.topology import Aspect
from gslb.policy.moment import Moment

STRIP_LENGTH = 60
SHARE_RESULTS_MIN = 10
SHARE_HEALED = 0.1
MARK = {Outcome.PASS: "+", Outcome.FAIL: "x", Outcome.BLIND: "."}


def judge(track: Track, aspect: Aspect, seen: Observation, *, normal: bool) -> Track:
    """Take one more outcome in. `normal`: it was due by the pace (only these count for `rise`)."""
    seen = _slow_is_down(aspect, seen)
    track = replace(track, strip=(track.strip + MARK[seen.outcome])[-STRIP_LENGTH:])
    if seen.outcome is Outcome.BLIND:
        return replace(
            track, blind_s=seen.ended_s, blind_cause=seen.cause, detail=seen.detail, slow_run=0
        )
    track = _into_window(track, aspect, seen)
    # An overlapping run that was begun earlier says nothing about the order of things.
    if seen.begun_s >= track.counted_begun_s:
        track = _passed(track, aspect, seen, normal) if _ok(seen) else _failed(track, aspect, seen)
    return _turned(track, aspect, seen)


def effective(track: Track, aspect: Aspect, moment: Moment) -> Verdict:
    """The verdict while it is fresh; unknown afterwards (evidence.md 3, Fresh)."""
    counted_s = track.counted_s
    if counted_s is None:
        return Verdict.UNKNOWN
    limit_s = counted_s + aspect.stale_after_s
    if track.blind_s is not None and track.blind_s > counted_s:
        limit_s += aspect.stale_after_s
    return Verdict.UNKNOWN if moment.reached(limit_s) else track.verdict


def is_local(track: Track) -> bool:
    """Was one of the last `fall` fails of class local?"""
    return any(cause.kind is CauseClass.LOCAL for cause in track.causes)


def is_slow(track: Track, aspect: Aspect) -> bool:
    """Have the last `fall` answers been late?"""
    return track.slow_run >= aspect.fall


def _ok(seen: Observation) -> bool:
    return seen.outcome is Outcome.PASS


def _slow_is_down(aspect: Aspect, seen: Observation) -> Observation:
    if not aspect.slow_is_down or not _ok(seen) or seen.latency_s <= aspect.slow_s:
        return seen
    text = f"answers after {seen.latency_s:.1f} s, slower than {aspect.slow_s:.1f} s"
    return replace(seen, outcome=Outcome.FAIL, cause=Cause.OVERLOAD, detail=text)


def _into_window(track: Track, aspect: Aspect, seen: Observation) -> Track:
    """The last 20 intervals that had a result; one is failed if any run in it failed."""
    number = int(seen.ended_s // aspect.pace_s)
    window = dict(track.window)
    window[number] = window.get(number, False) or not _ok(seen)
    kept = sorted(n for n in window if n > number - aspect.window)
    return replace(track, window=tuple((n, window[n]) for n in kept))


def _passed(track: Track, aspect: Aspect, seen: Observation, normal: bool) -> Track:
    return replace(
        track,
        fails=0,
        passes=track.passes + 1,
        rises=track.rises + normal,
        last_pass_s=seen.ended_s,
        pass_begun_s=seen.begun_s,
        counted_begun_s=seen.begun_s,
        has_passed=True,
        latency_s=seen.latency_s,
        slow_run=track.slow_run + 1 if seen.latency_s > aspect.slow_s else 0,
        first_fail_s=track.first_fail_s if track.verdict is Verdict.DOWN else None,
    )


def _failed(track: Track, aspect: Aspect, seen: Observation) -> Track:
    assert seen.cause is not None
    gap = track.last_fail_s is None or seen.ended_s - track.last_fail_s > aspect.stale_after_s
    return replace(
        track,
        fails=track.fails + 1,
        failing_since_s=track.failing_since_s if track.fails else seen.ended_s,
        passes=0,
        rises=0,
        slow_run=0,
        causes=(*(() if gap else track.causes), seen.cause)[-aspect.fall :],
        fail_begins=(*track.fail_begins, seen.begun_s)[-aspect.fall :],
        first_fail_s=seen.begun_s if track.first_fail_s is None else track.first_fail_s,
        covered_since_s=seen.ended_s if gap else track.covered_since_s,
        last_fail_s=seen.ended_s,
        counted_begun_s=seen.begun_s,
        detail=seen.detail,
    )


def _turned(track: Track, aspect: Aspect, seen: Observation) -> Track:
    """Turn the verdict if the run or the share says so."""
    failed = sum(failed for _, failed in track.window)
    share = failed / len(track.window)
    if track.verdict is Verdict.DOWN:
        if track.rises >= aspect.rise and (not track.by_share or share <= SHARE_HEALED):
            return _turn(track, Verdict.UP, seen)
        return track
    if track.fails >= aspect.fall:
        return _turn(track, Verdict.DOWN, seen)
    if len(track.window) >= SHARE_RESULTS_MIN and share > aspect.fail_share_max:
        first_s = seen.begun_s if track.first_fail_s is None else track.first_fail_s
        return replace(_turn(track, Verdict.DOWN, seen), by_share=True, first_fail_s=first_s)
    if track.verdict is Verdict.UNKNOWN and track.passes:
        return _turn(track, Verdict.UP, seen)
    return track


def _turn(track: Track, to: Verdict, seen: Observation) -> Track:
    up = to is Verdict.UP
    return replace(
        track,
        verdict=to,
        since_s=seen.ended_s,
        window=(),
        by_share=False,
        first_fail_s=None if up else track.first_fail_s,
        covered_since_s=None if up else track.covered_since_s,
        causes=() if up else track.causes,
    )
