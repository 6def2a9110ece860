"""Times, ages and columns, as they are told to people."""

from collections.abc import Sequence
from datetime import UTC, datetime

from gslb.domain.control import Now, OwnerKind
from gslb.domain.words import Traffic
from gslb.policy.summary import length


def at(boot_s: float, now: Now) -> str:
    """`14:02:29 UTC (6 min ago)`."""
    wall_s = boot_s + now.wall_s - now.boot_s
    clock = datetime.fromtimestamp(wall_s, tz=UTC).strftime("%H:%M:%S UTC")
    return f"{clock} ({ago(now.boot_s - boot_s)})"


def ago(seconds: float) -> str:
    """`0.4 s ago`, `6 min ago`."""
    return f"{max(seconds, 0.0):.1f} s ago" if seconds < 10 else f"{length(seconds)} ago"


def owner_words(seen: Traffic, now: Now) -> str:
    """`, taken out by the controller`, `, held out by person:kim until …`."""
    if seen.owner is None or seen.state == "in":
        return ""
    auto = OwnerKind.AUTO
    others = ["the controller" if o.kind is auto else str(o) for o in seen.owners[1:]]
    also = f" (and by {', '.join(others)})" if others else ""
    if seen.owner.kind is auto:
        return f", taken out by the controller{also}"
    until = ""
    if seen.until_wall_s is not None:
        clock = datetime.fromtimestamp(seen.until_wall_s, tz=UTC).strftime("%H:%M:%S UTC")
        until = f" until {clock} (in {length(seen.until_wall_s - now.wall_s)})"
    return f", held out by {seen.owner}{until}{also}"


def columns(rows: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Rows of words, each column as wide as its widest."""
    if not rows:
        return ()
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]) - 1)]
    return tuple(
        "  ".join([*(w.ljust(n) for w, n in zip(row, widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    )
