"""The probes of each site, and the aspects that they report."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel

from gslb.config import schema
from gslb.config.document import At, Document
from gslb.config.settings import nearest, settings
from gslb.config.timing import given
from gslb.domain.topology import (
    Ability,
    Aspect,
    AspectName,
    Family,
    ProbeId,
    ProbeSpec,
    Role,
    Scope,
    ServiceName,
    SiteName,
    Timing,
)

WRITE, BOTH = (Ability.WRITE,), (Ability.READ, Ability.WRITE)
OWN, SHARED = Scope.OWN, Scope.SHARED
ASPECTS: Mapping[str, tuple[tuple[str, Scope, Role, tuple[Ability, ...]], ...]] = {
    "store": (
        ("store.write", OWN, Role.DECIDES, WRITE),
        ("store.read", OWN, Role.DECIDES, BOTH),
        ("store.list", OWN, Role.DEGRADES, BOTH),
    ),
    "quay.front": (
        ("quay.front", OWN, Role.DECIDES, BOTH),
        ("quay.instance", OWN, Role.DEGRADES, BOTH),
    ),
    "quay.endtoend": (
        ("quay.storage", OWN, Role.DECIDES, BOTH),
        ("quay.database", SHARED, Role.DECIDES, BOTH),
        ("quay.auth", SHARED, Role.DECIDES, BOTH),
        ("quay.redis", SHARED, Role.DEGRADES, BOTH),
    ),
}
"""Which probe reports what, and what that may do by default (evidence.md 2.1)."""
EXPIRY = "tls.expiry"
"""Of a probe of kind `tls`, beside the aspect that is named as it is."""
STEPS = {"store": 5, "quay.front": 3}
"""Steps of a run, each of which may take the timeout."""
FAMILIES = {"store": Family.STORE, "quay.front": Family.FRONT, "quay.endtoend": Family.ENDTOEND}


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One probe as the file asks for it."""

    site: str
    base: str
    """`store`, `quay.front`, or the name of a generic one; its settings stand at `at`."""
    kind: str
    at: At
    asks: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the file that the adapter checks; `ours`: what we work out for it."""
    ours: Mapping[str, Any] = field(default_factory=dict)
    service: str | None = None
    suffix: str = ""


@dataclass(kw_only=True)
class Probes:
    """Builds all probes; mistakes in their settings are reported to the document."""

    file: schema.File
    document: Document
    models: Mapping[str, type[BaseModel]]
    replica: str
    timing: Timing
    made: dict[ProbeId, tuple[str, BaseModel]] = field(default_factory=dict)

    def build(self) -> tuple[ProbeSpec, ...]:
        """In the file's order."""
        looks = (look for site in self.file.sites for look in self._looks(site))
        return tuple(spec for look in looks if (spec := self._probe(look)))

    def _looks(self, site: str) -> Iterator[Look]:
        """At its store, its own generic ones, and at each service that is served there."""
        part = self.file.sites[site]
        if part.storage and part.storage[0].s3:
            store = part.storage[0]
            endpoint, name = bucket(store)
            keys = {"region", "prefix", "ca", "path_style"}
            ours = store.model_dump(include=keys, exclude_none=True)
            ours |= {"endpoint": endpoint, "bucket": name}
            ours |= {"keys": store.keys} if store.keys else {}
            at: At = ("sites", site, "storage")
            yield Look(site=site, base="store", kind="s3", at=at, ours=ours)
        for name, keys_ in part.probes.items():
            asks = {key: value for key, value in keys_.items() if key != "kind"}
            kind, at = str(keys_.get("kind", "")), ("sites", site, "probes", name)
            ours = _address(site, part.address[0], bool(asks.get("tls", True)))
            ours = ours if kind == "http" else {"address": part.address[0]}
            yield Look(site=site, base=name, kind=kind, at=at, asks=asks, ours=ours)
        for name, service in self.file.services.items():
            if site in (service.sites or self.file.sites):
                yield from self._service_looks(site, name)

    def _service_looks(self, site: str, name: str) -> Iterator[Look]:
        services, at = self.file.services, ("services", name)
        part = services[name]
        ours = _address(name, self.file.sites[site].address[0], part.tls)
        ours |= part.model_dump(include={"port", "ca"}, exclude_none=True)
        alike = [s for s in services.values() if s.kind == part.kind]
        several = sum(site in (s.sites or self.file.sites) for s in alike) > 1
        suffix = f"@{name}" if several else ""
        look = Look(site=site, base="http", kind="http", at=at, service=name, suffix=suffix)
        if part.kind == "quay":
            for half in ("front", "endtoend"):
                yield replace(look, base=f"quay.{half}", kind="quay", ours=ours | {"part": half})
        elif part.kind == "http":
            keys = {"path", "status", "body", "pointer", "equals"}
            asks = part.model_dump(include=keys, exclude_none=True)
            yield replace(look, asks=asks, ours=ours)

    def _probe(self, look: Look) -> ProbeSpec | None:
        """None when its settings are wrong."""
        model = self.models.get(look.kind)
        generic = [kind for kind in self.models if kind not in ("s3", "quay")]
        if model is None or ("probes" in look.at and look.kind not in generic):
            text = f"unknown kind `{look.kind}` ({nearest(look.kind, generic)})"
            self.document.report("E020", (*look.at, "kind"), text)
            return None
        rows = ASPECTS.get(look.base, ((look.base, OWN, Role.DECIDES, BOTH),))
        if look.kind == "tls":
            rows += ((self._expiry(look), OWN, Role.DEGRADES, BOTH),)
        tunings = [self._tuning(look, name) for name, *_ in rows]
        spec, timing = self._spec(look, tunings)
        ours = {
            **look.ours,
            **{"cluster": self.file.cluster, "owner": self.replica},
            **{"timeout_s": timing.timeout_s, "deadline_s": spec.deadline_s},
            "config_every_s": timing.endtoend_pace_s,
        }
        made = settings(self.document, look.at, model, look.asks, ours)
        if made is None:
            return None
        self.made[spec.id] = (look.kind, made)
        spec = replace(spec, digest=digest([look.kind, made.model_dump(mode="json")], 12))
        if "timeout" in look.asks:  # A generic probe's own.
            own_s = float(getattr(made, "timeout_s", spec.timeout_s))
            spec = replace(spec, timeout_s=own_s, deadline_s=own_s)
        aspects = (
            self._aspect(look, spec, *row, tuning, timing)
            for row, tuning in zip(rows, tunings, strict=True)
        )
        return replace(spec, aspects=tuple(aspects))

    def _expiry(self, look: Look) -> str:
        """The certificate's end, by the probe's name where a site has several."""
        several = sum(p.get("kind") == "tls" for p in self.file.sites[look.site].probes.values())
        return EXPIRY if several == 1 else f"{EXPIRY}@{look.base}"

    def _tuning(self, look: Look, aspect: str) -> schema.AspectTuning:
        tunings = self.file.aspects
        names = (aspect + look.suffix, aspect, aspect.partition("@")[0])
        return next((tunings[n] for n in names if n in tunings), schema.AspectTuning())

    def _spec(self, look: Look, tunings: list[schema.AspectTuning]) -> tuple[ProbeSpec, Timing]:
        timing = given(self.timing, self.file.sites[look.site].timing)
        if look.service:
            timing = given(timing, self.file.services[look.service].timing)
        interval = next((t.interval for t in tunings if t.interval), None)
        timeout = next((t.timeout for t in tunings if t.timeout), None)
        if look.base == "quay.endtoend":
            pace = interval or timing.endtoend_pace_s
            deadline = timeout or timing.endtoend_deadline_s
        else:
            pace, step = interval or timing.interval_s, timeout or timing.timeout_s
            timing = replace(timing, interval_s=pace, timeout_s=step)
            deadline = STEPS.get(look.base, 1) * step
        spec = ProbeSpec(
            id=ProbeId(f"{look.site}/{look.base}{look.suffix}"),
            site=SiteName(look.site),
            family=FAMILIES.get(look.base, Family.GENERIC),
            aspects=(),
            **_both(ProbeSpec, timing) | {"pace_s": pace, "deadline_s": deadline},
        )
        return spec, timing

    def _aspect(
        self,
        look: Look,
        spec: ProbeSpec,
        name: str,
        scope: Scope,
        role: Role,
        takes: tuple[Ability, ...],
        tuning: schema.AspectTuning,
        timing: Timing,
    ) -> Aspect:
        if look.base == "store" and look.site in sharing(self.file):
            scope = SHARED
        rise, slow_s = timing.rise, spec.timeout_s / 2
        if spec.family is Family.ENDTOEND:
            # As long a stretch of time as at the site's own pace; and slow is not news here.
            rise = max(2, math.ceil(timing.rise * timing.interval_s / spec.pace_s))
            slow_s = math.inf
        service = ServiceName(look.service) if look.service else None
        tuned = {"fall": tuning.fall or timing.fall, "rise": tuning.rise or rise}
        return Aspect(
            name=AspectName(name + look.suffix),
            probe=spec.id,
            scope=Scope(tuning.scope or scope),
            role=Role(tuning.role or role),
            takes=takes,
            service=service,
            registry=service,
            slow_s=tuning.slow or slow_s,
            slow_is_down=tuning.slow_is_down,
            **_both(Aspect, timing) | _both(Aspect, spec) | tuned,
        )


def _both(kind: type, source: Any) -> dict[str, Any]:
    """The fields of `source` that `kind` repeats under the same name."""
    names = {f.name for f in fields(kind)} & {f.name for f in fields(source)}
    return {name: getattr(source, name) for name in names}


def _address(name: str, address: str, tls: bool) -> dict[str, Any]:
    return {"name": name, "address": address, "tls": tls, "port": 443 if tls else 80}


def bucket(store: schema.Storage) -> tuple[str, str]:
    """Endpoint and bucket of `https://HOST/BUCKET`, or of `https://BUCKET.HOST`."""
    url = urlsplit(store.s3 or "")
    if store.path_style:
        return f"{url.scheme}://{url.netloc}", url.path.strip("/")
    name, _, host = url.netloc.partition(".")
    return f"{url.scheme}://{host}", name


def sharing(file: schema.File) -> Mapping[str, tuple[str, str]]:
    """The sites whose first store is another site's too, with endpoint and bucket."""
    stores = {name: bucket(part.storage[0]) for name, part in file.sites.items() if part.storage}
    all_ = list(stores.values())
    return {site: store for site, store in stores.items() if all_.count(store) > 1}


def digest(value: object, length: int) -> str:
    """Differs where values differ."""
    whole = json.dumps(value, sort_keys=True, default=str).encode()
    return hashlib.sha256(whole).hexdigest()[:length]
