"""Windows of wall time in which less may move: five cron fields and a length."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from gslb.domain.topology import Freeze, Window
from gslb.domain.world import World
from gslb.policy.moment import Moment

FIELDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
MINUTE = timedelta(minutes=1)


def frozen_until(world: World, moment: Moment) -> tuple[Freeze, str] | None:
    """What is frozen now and a sentence on it; the strongest of several. None: nothing is."""
    if not world.topology.windows or world.offset_s is None:
        return None
    wall_s = moment.now_s + world.offset_s
    found: list[tuple[Freeze, str]] = []
    for window in world.topology.windows:
        ends_s = _ends(window, wall_s)
        # Windows begin and end on whole minutes: look again at the next one, or at the end.
        next_s = wall_s - wall_s % 60 + 60 if ends_s is None else ends_s
        moment.reached(next_s - world.offset_s)
        if ends_s is not None:
            text = f"the window `{window.cron}` freezes {window.freeze} for {ends_s - wall_s:.0f} s"
            found.append((window.freeze, text))
    found.sort(key=lambda x: x[0] is not Freeze.ALL)
    return found[0] if found else None


def _ends(window: Window, wall_s: float) -> float | None:
    """When the window that is open at `wall_s` ends (wall clock), or None. UTC."""
    began_s = _began_s(window, wall_s - wall_s % 60)
    return began_s + window.for_s if began_s and began_s + window.for_s > wall_s else None


@lru_cache(maxsize=256)  # a long window is looked back through once a minute, not in each step
def _began_s(window: Window, minute_s: float) -> float | None:
    fields = [_parse(text, *span) for text, span in zip(window.cron.split(), FIELDS, strict=True)]
    at = datetime.fromtimestamp(minute_s, tz=UTC)
    for back in range(int(window.for_s // 60) + 1):
        if _matches(fields, at - back * MINUTE):
            return minute_s - 60 * back
    return None


def _matches(fields: list[frozenset[int]], at: datetime) -> bool:
    minute, hour, day, month, weekday = fields
    sunday = at.isoweekday() % 7
    return (
        at.minute in minute
        and at.hour in hour
        and at.month in month
        and at.day in day
        and (sunday in weekday or (sunday == 0 and 7 in weekday))
    )


def _parse(text: str, low: int, high: int) -> frozenset[int]:
    """One field: `*`, `1,2`, `1-5`, `*/15`. Raises ValueError."""
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        if not low <= int(first) <= int(last or first) <= high or int(step or 1) < 1:
            raise ValueError(f"{text!r} is not within {low}..{high}")
        found |= set(range(int(first), int(last or first) + 1, int(step or 1)))
    return frozenset(found)


def check_cron(text: str) -> None:
    """Raises ValueError with a sentence when `text` is not five cron fields."""
    parts = text.split()
    if len(parts) != len(FIELDS):
        raise ValueError(f"{text!r} has {len(parts)} fields, a cron line has 5")
    for part, span in zip(parts, FIELDS, strict=True):
        _parse(part, *span)
