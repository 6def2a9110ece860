"""Talking to the outside: deadlines, caps, one way to fail. Foreign errors end here."""

from dataclasses import dataclass, field

from gslb.wire.http import Http


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """What every adapter is opened with: `open(settings, wire)`."""

    http: Http
    sentinels: dict[str, str] = field(default_factory=dict)
    """Bucket URL: sha256 (hex) of its sentinel, as kept in our store. The probes add to it."""
