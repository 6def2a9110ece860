"""Talking to the outside: deadlines, caps, one way to fail. Foreign errors end here."""

from dataclasses import dataclass, field

from gslb.wire.http import Http


@dataclass(frozen=True, slots=True, kw_only=True)
class Wire:
    """What every adapter is opened with: `open(settings, wire)`."""

    http: Http
    cluster: str
    """Whose objects and records are ours."""
    vantage: str
    probe_networks: tuple[str, ...] = ()
    """Address ranges that are opened although the wire denies them (`127.0.0.0/8`)."""
    sentinels: dict[str, str] = field(default_factory=dict)
    """Bucket URL: sha256 (hex) of its sentinel, as kept in our store. The probes add to it."""
