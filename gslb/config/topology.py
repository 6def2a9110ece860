"""From the file's shape to what decisions rest on: sites, services, backends."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from gslb.config import schema
from gslb.config.document import At, Document
from gslb.config.settings import nearest, settings
from gslb.config.timing import given
from gslb.domain.topology import (
    Ability,
    BackendName,
    BackendSpec,
    Endpoint,
    Freeze,
    Limits,
    Service,
    ServiceName,
    Site,
    SiteName,
    Timing,
    Window,
)
from gslb.ports import Adapter


@dataclass(kw_only=True)
class Parts:
    """Builds sites, services and backends; mistakes in backends' settings are reported."""

    file: schema.File
    document: Document
    adapters: Mapping[str, Adapter[Any, Any]]
    timing: Timing
    made: dict[BackendName, tuple[str, BaseModel]] = field(default_factory=dict)

    def limits(self, service: str | None = None) -> Limits:
        """The file's limits, or those of one service."""
        least = Limits(min_sites=self.file.limits.min_sites or 1)
        limits = given(least, self.file.limits)
        return given(limits, self.file.services[service].limits) if service else limits

    def site(self, name: str) -> Site:
        part = self.file.sites[name]
        return Site(
            name=SiteName(name),
            addresses=tuple(part.address),
            capacity=part.capacity,
            timing=given(self.timing, part.timing),
            labels=part.labels,
            store_preferred=part.storage[0].preferred if part.storage else None,
            abilities=tuple(Ability(word) for word in part.abilities),
        )

    def service(self, name: str) -> Service:
        part = self.file.services[name]
        where = part.sites if part.sites is not None else dict.fromkeys(self.file.sites)
        needs = tuple(Ability(word) for word in part.needs)
        return Service(
            name=ServiceName(name),
            endpoints=tuple(
                Endpoint(site=SiteName(site), **(end.model_dump() if end else {}))
                for site, end in where.items()
            ),
            limits=self.limits(name),
            needs=needs,
            accept=tuple(Ability(word) for word in part.accept) if part.accept else needs,
            probe_as=ServiceName(part.probe_as) if part.probe_as else None,
            mode=part.mode,
            via=tuple(map(BackendName, part.via if part.via is not None else self.file.backends)),
            ttl_s=part.ttl or self.file.timing.ttl,
            degraded_weight=part.degraded_weight,
        )

    def backend(self, name: str) -> BackendSpec | None:
        at: At = ("backends", name)
        part = dict(self.file.backends[name])
        kind = str(part.pop("kind", ""))
        picked = {key: part.pop(key) for key in schema.BackendCommon.model_fields if key in part}
        common = settings(self.document, at, schema.BackendCommon, picked, {})
        adapter = self.adapters.get(kind)
        if adapter is None:
            close = nearest(kind, list(self.adapters))
            code, text = ("E020", f"unknown kind `{kind}`") if kind else ("E010", "is missing")
            self.document.report(code, (*at, "kind"), f"{text} ({close})")
        if adapter is None or common is None:
            return None
        called = {site: site for site in self.file.sites} | common.servers
        ours = {"cluster": self.file.cluster, "servers": called}
        made = settings(self.document, at, adapter.settings, part, ours)
        if made is None:
            return None
        assert adapter.shape is not None, "backends have one"
        shape = adapter.shape(made)
        self.made[BackendName(name)] = (kind, made)
        return BackendSpec(
            name=BackendName(name),
            kind=kind,
            shape=shape,
            mode=common.mode,
            resync_s=common.resync or self.file.timing.resync,
            servers={} if shape.addresses else {SiteName(k): v for k, v in called.items()},
        )

    def windows(self) -> tuple[Window, ...]:
        return tuple(
            Window(cron=w.cron, for_s=w.for_, freeze=Freeze(w.freeze)) for w in self.file.windows
        )
