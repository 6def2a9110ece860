"""What the shape cannot say: names that must fit together, limits that can never hold."""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import urlsplit

from gslb.config.document import At, Document
from gslb.config.probes import ASPECTS, EXPIRY, sharing
from gslb.config.schema import File
from gslb.config.settings import nearest
from gslb.domain.topology import BackendSpec, Service, Site, Topology

NOT_BUILT = "is not built yet"


def lint_file(file: File, document: Document) -> None:
    """Before anything is built of it."""
    _known_sites(file, document)
    _storages(file, document)
    _services(file, document)
    _aspects(file, document)
    _alerts(file, document)
    if ("limits", "min_sites") not in document.places:
        text = "min_sites is missing, and has no default on purpose (write min_sites: 1)"
        document.report("E030", ("limits",), text, key=True)
    if ("cluster",) not in document.places:
        text = "no name of its own, so `default` is written into every backend (give it one)"
        document.report("W206", ("cluster",), text)
    if file.api.tls is None and not re.match(r"127\.|\[::1\]|localhost:", file.api.listen):
        text = "beyond loopback, tokens would go in the clear (set tls)"
        document.report("W208", ("api", "listen"), text)
    if file.store.etcd is not None:
        document.report("E021", ("store", "etcd"), f"{NOT_BUILT} (write sqlite: PATH)", key=True)
    if file.notify:
        document.report("E021", ("notify",), f"{NOT_BUILT} (take it out)", key=True)


def _name(document: Document, at: At, name: str, known: Iterable[str], what: str) -> bool:
    """Report a name that nothing has."""
    names = list(known)
    if name not in names:
        document.report("E020", at, f"there is no {what} `{name}` ({nearest(name, names)})")
    return name in names


def _known_sites(file: File, document: Document) -> None:
    for name, vantage in file.vantages.items():
        if vantage.site is not None:
            _name(document, ("vantages", name, "site"), vantage.site, file.sites, "site")
    for backend, keys in file.backends.items():
        servers = keys.get("servers")
        for site in servers if isinstance(servers, dict) else ():
            _name(document, ("backends", backend, "servers", site), site, file.sites, "site")


def _storages(file: File, document: Document) -> None:
    for name, site in file.sites.items():
        at: At = ("sites", name, "storage")
        for index, store in enumerate(site.storage):
            for kind in ("azure", "swift"):
                if getattr(store, kind) is not None:
                    where = (*at, index, kind)
                    document.report("E021", where, f"{NOT_BUILT} (write s3: …)", key=True)
            url = urlsplit(store.s3 or "https://h/b")
            deep = "/" in url.path.strip("/") or (store.path_style and not url.path.strip("/"))
            if url.scheme not in ("https", "http") or not url.netloc or deep:
                text = f"{store.s3!r} names no bucket (write https://HOST/BUCKET, and prefix: …)"
                document.report("E011", (*at, index, "s3"), text)
        if site.storage and not any(s.s3 or s.azure or s.swift for s in site.storage):
            document.report("E010", at, "s3 is missing (write s3: https://HOST/BUCKET)", key=True)
        if len(site.storage) > 1:
            text = "only the first store is looked at; to look at the others is not built yet"
            document.report("W205", (*at, 1), text)
    for name, (endpoint, bucket) in sharing(file).items():
        text = f"{endpoint}/{bucket} is another site's too, so it moves nothing (scope shared)"
        document.report("W201", ("sites", name, "storage"), text)


def _services(file: File, document: Document) -> None:
    for name, part in file.services.items():
        at: At = ("services", name)
        for site in part.sites or {}:
            _name(document, (*at, "sites", site), site, file.sites, "site")
        for index, backend in enumerate(part.via or ()):
            _name(document, (*at, "via", index), backend, file.backends, "backend")
        if part.kind == "tcp":
            document.report("E021", (*at, "kind"), f"tcp {NOT_BUILT} (write http or quay)")
        if part.kind is None and part.probe_as is None:
            text = "kind is missing (write quay, http or none)"
            document.report("E010", at, text, key=True)
        if part.probe_as is not None:
            asked = {n for n, s in file.services.items() if s.kind and s.probe_as is None}
            _name(document, (*at, "probe_as"), part.probe_as, asked, "service with probes")
        if part.sites == {}:
            text = "no sites, so it could never be answered (name them, or leave out the key)"
            document.report("E022", (*at, "sites"), text)
        else:
            _min_sites(file, document, name)


def _min_sites(file: File, document: Document, name: str) -> None:
    part = file.services[name]
    where: At = ("services", name, "limits", "min_sites")
    at = where if part.limits.min_sites else ("limits", "min_sites")
    wanted = part.limits.min_sites or file.limits.min_sites or 1
    tiers = [end.tier for end in (part.sites or {}).values()] or [0] * len(file.sites)
    if wanted >= len(tiers) > 1 or wanted > len(tiers):
        text = (
            f"{wanted} can never hold: {name} has {len(tiers)} sites, so no drain would be "
            f"allowed (write {max(1, len(tiers) - 1)}, or add a site)"
        )
        document.report("E031", at, text)
    elif len(tiers) == 1:
        text = "has one site, so there is nowhere to move its traffic (add a site)"
        document.report("W207", ("services", name), text, key=True)
    elif wanted > 1 and tiers.count(min(tiers)) == 1:
        text = f"{wanted} with one site in the first tier makes the tiers active/active"
        document.report("W202", at, text)


def _aspects(file: File, document: Document) -> None:
    known = {name for rows in ASPECTS.values() for name, *_ in rows} | {"http", EXPIRY}
    known |= {name for site in file.sites.values() for name in site.probes}
    for name in file.aspects:
        base, _, service = name.partition("@")
        if _name(document, ("aspects", name), base, known, "aspect") and service:
            _name(document, ("aspects", name), service, file.services, "service")


def _alerts(file: File, document: Document) -> None:
    for index, rule in enumerate(file.alerts.rules):
        at: At = ("alerts", "rules", index)
        if not rule.site.startswith("label:"):
            _name(document, (*at, "site"), rule.site, file.sites, "site")
        if rule.for_ <= 2 * rule.repeat:
            least = f"more than {2 * rule.repeat:g}s"
            text = (
                f"{rule.for_:g}s would end between two repeats of {rule.repeat:g}s (write {least})"
            )
            document.report("E035", (*at, "for"), text)


def lint_alone(topology: Topology, document: Document) -> None:
    """Bounds that cross, and what two sites share, so that neither could be taken out alone."""
    usual, most = topology.limits.override_s, topology.limits.override_max_s
    if usual > most:
        text = f"{most:g}s is less than override, {usual:g}s (write override: {most:g}s)"
        document.report("E037", ("limits", "override_max"), text)
    addresses: dict[At, str] = {
        ("sites", s.name, "address", n): a
        for s in topology.sites
        for n, a in enumerate(s.addresses)
    }
    shared: list[tuple[str, dict[At, str]]] = [("W203", addresses)]
    for backend in topology.backends:
        at = ("backends", backend.name, "servers")
        shared.append(("E038", {(*at, site): name for site, name in backend.servers.items()}))
    for code, named in shared:
        names = list(named.values())
        for number, (way, name) in enumerate(named.items()):
            if name in names[:number]:
                text = f"{name} stands for another site too, so neither could be taken out alone"
                document.report(code, way, text)


def lint_targets(
    sites: Sequence[Site],
    services: Sequence[Service],
    backends: Sequence[tuple[BackendSpec, Any]],
    document: Document,
) -> None:
    """What backends can say of the services: with the shapes of their adapters at hand."""
    for service in services:
        mine = [b for b in backends if b[0].name in service.via]
        for spec, made in mine:
            if spec.shape.addresses:
                _zone(service, getattr(made, "zone", None), document)
        if any(spec.shape.addresses for spec, _ in mine):
            _host_names(sites, service, [str(getattr(m, "zone", "")) for _, m in mine], document)
        for end in service.endpoints:
            if end.trickle and not any(spec.shape.weights for spec, _ in mine):
                at = ("services", service.name, "sites", end.site, "trickle")
                text = (
                    f"{end.trickle} has no effect: none of its backends has weights (take it out)"
                )
                document.report("W204", at, text)


def _zone(service: Service, zone: str | None, document: Document) -> None:
    name = zone.rstrip(".").lower() if zone else ""
    if not zone or re.fullmatch(r"Z[A-Z0-9]+", zone):  # Route 53 calls its zones so
        return
    if service.name != name and not service.name.endswith("." + name):
        text = f"is not in the zone {name} of its backend (choose others by via: […])"
        document.report("E036", ("services", service.name), text, key=True)


def _host_names(
    sites: Sequence[Site], service: Service, zones: Sequence[str], document: Document
) -> None:
    at: At = ("services", service.name)
    mine = [site for site in sites if service.endpoint(site.name)]
    named = [site for site in mine if not all(map(_is_address, site.addresses))]
    for site in named:
        if len(site.addresses) > 1:
            text = "a host name stands alone (one host name, or addresses only)"
            document.report("E032", ("sites", site.name, "address"), text)
    if not named:
        return
    if len(named) < len(mine):
        other = next(site.name for site in mine if site not in named)
        text = (
            f"a host name here and addresses at {other} cannot be in one answer (choose one kind)"
        )
        document.report("E032", ("sites", named[0].name, "address"), text)
    if service.limits.min_sites > 1:
        least = service.limits.min_sites
        text = f"min_sites {least} cannot hold: host names are answered one at a time (write 1)"
        document.report("E033", at, text, key=True)
    if service.name in [zone.rstrip(".").lower() for zone in zones]:
        text = "is the apex of its zone, where no CNAME may stand (write addresses for its sites)"
        document.report("E034", at, text, key=True)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
