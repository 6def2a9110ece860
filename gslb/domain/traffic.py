"""What is handed out to clients: targets, answers, changes, plans, and what fences them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gslb.domain.topology import BackendName, ServiceName, SiteName


class Fencing(StrEnum):
    """How an old leader is kept from writing."""

    CAS = "cas"
    """The backend itself compares the generation inside the write."""
    TIME = "time"
    """Nobody compares: a deadline, re-assertion and read-back are all there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a backend is able to say. `fit` rounds to it before anything is compared."""

    weights: bool
    weight_max: int = 1
    ttl_min_s: float = 0.0
    addresses: bool = True
    """Targets are IP addresses or host names; else names of servers (`BackendSpec.servers`)."""
    families: bool = True
    """Takes IPv6 addresses too."""
    fencing: Fencing = Fencing.CAS


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """One thing in an answer: an address, a host name or a server of a pool."""

    value: str
    weight: int = 1
    site: "SiteName | None" = None
    """None: nothing that is configured; somebody else put it there."""

    def __post_init__(self) -> None:
        if self.weight < 1:
            raise ValueError(
                f"{self.value}: weight {self.weight}; what gets no traffic is left out"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """All that one name answers at one backend. Never empty; targets are kept in order."""

    name: "ServiceName"
    targets: tuple[Target, ...]

    def __post_init__(self) -> None:
        if not self.targets:
            raise ValueError(f"{self.name}: an empty answer is an outage")
        object.__setattr__(self, "targets", tuple(sorted(self.targets)))

    @property
    def sites(self) -> "tuple[SiteName, ...]":
        """The sites named in it, each once, in order."""
        return tuple(dict.fromkeys(t.site for t in self.targets if t.site is not None))

    def weight(self, site: "SiteName") -> int:
        """The weight that `site` has (the largest of its targets), 0 when it is out."""
        return max((t.weight for t in self.targets if t.site == site), default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One site in a pool and what stands for it at this backend."""

    site: "SiteName"
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """What an adapter must know to read or write one service: who could be in it, and the TTL."""

    service: "ServiceName"
    members: tuple[Member, ...]
    ttl_s: float = 30.0

    def site_of(self, value: str) -> "SiteName | None":
        """The site that `value` stands for, or None."""
        return next((m.site for m in self.members if value in m.values), None)


@dataclass(frozen=True, slots=True, order=True)
class Generation:
    """What fences a backend (evidence.md 8): who wrote last, in which term, and the how-manieth.

    As text: `v1 CLUSTER INSTANCE EPOCH SEQ`.
    """

    cluster: str
    instance: str
    epoch: int
    seq: int

    def __str__(self) -> str:
        return f"v1 {self.cluster} {self.instance} {self.epoch} {self.seq}"

    @classmethod
    def parse(cls, text: str) -> "Generation":
        """Raises ValueError when `text` is not a generation of version 1."""
        parts = text.split(" ")
        if len(parts) != 5 or parts[0] != "v1":
            raise ValueError(f"not a generation: {text!r}")
        return cls(parts[1], parts[2], int(parts[3]), int(parts[4]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One answer from `before` (None: nothing was served at that name) to `after`."""

    pool: Pool
    before: Answer | None
    after: Answer

    def __post_init__(self) -> None:
        assert self.after.name == self.pool.service


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Changes for one backend in one epoch. Without changes it only raises the generation."""

    backend: "BackendName"
    epoch: int
    changes: tuple[Change, ...]
    expects: Generation | None
    """What the backend must hold for the plan to be carried out; None: none at all."""
    leaves: Generation | None
    """What it holds afterwards (a chain of n updates leaves `seq` + n - 1); None: not fenced."""
    digest: str
    """Of service, backend, before and after: what a person confirms."""
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a backend serves now, read from where clients are answered."""

    answers: "Mapping[ServiceName, Answer | None]"
    """One entry for each pool that was asked; None: nothing is served at that name.
    By the server that takes the updates (the first that answers)."""
    generation: Generation | None = None
    foreign_generation: str | None = None
    """Something stands where the generation belongs and is none."""
    behind: "Mapping[ServiceName, tuple[str, ...]]" = field(default_factory=dict)
    """For each service the servers that do not serve `answers`, or do not answer; with why."""
