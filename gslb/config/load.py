"""One file (and what it includes) to one `Configuration`; every mistake in one run."""

import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from gslb.config import schema
from gslb.config.document import At, Document, read
from gslb.config.lint import lint_alone, lint_file, lint_targets
from gslb.config.probes import Probes, digest
from gslb.config.settings import explain, nearest
from gslb.config.timing import PROFILES, given
from gslb.config.topology import Parts
from gslb.domain.errors import ConfigError
from gslb.domain.topology import BackendName, ProbeId, SiteName, Topology, VantageName
from gslb.ports import Adapter

ONLY_GLOBAL = ("resync", "settle_max", "store_timeout", "ttl")


@dataclass(frozen=True, kw_only=True)
class Kinds:
    """What wiring offers: the settings of each kind of probe, and the adapters of backends."""

    probes: Mapping[str, type[BaseModel]]
    backends: Mapping[str, Adapter[Any, Any]]


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """All that the file says, checked; nothing in it is checked again."""

    topology: Topology
    probes: Mapping[ProbeId, tuple[str, BaseModel]]
    """Kind and settings of each."""
    backends: Mapping[BackendName, tuple[str, BaseModel]]
    store: Path
    """The SQLite file."""
    api: schema.Api
    metrics: str | None
    """Where to listen for metrics only; None: the API's listener has them."""
    alerts: schema.Alerts
    probe_networks: tuple[str, ...]
    replica: str
    path: str
    """As the file was named."""
    warnings: tuple[str, ...]
    origins: Mapping[str, tuple[str, str]]
    """Each value in force by its path, as text, and whence: `default`, `profile fast`, a place."""


def load(source: Path | str, kinds: Kinds, name: str | None = None) -> Configuration:
    """Load a file, or a text that is called `name` in messages. Raises ConfigError with all that
    is wrong, in the order of the file."""
    name = name or (str(source) if isinstance(source, Path) else "gslb.yml")
    document = read(source, name)
    file = _file(document)
    configuration = _build(file, document, kinds) if file else None
    if document.problems or configuration is None:
        raise ConfigError(tuple(line for _, line in sorted(document.problems)))
    return configuration


def _file(document: Document) -> schema.File | None:
    """The file's shape. What is wrong is reported and left out, if the rest has a shape then, so
    that the rest is checked in the same run."""
    try:
        return schema.File.model_validate(document.values)
    except ValidationError as error:
        explain(document, (), schema.File, error)
        for one in error.errors(include_url=False):
            if len(one["loc"]) > 2 or one["loc"][0] not in ("sites", "services", "backends"):
                _leave_out(document.values, one["loc"])
    try:
        return schema.File.model_validate(document.values)
    except ValidationError:
        return None


def _leave_out(values: Any, loc: At) -> None:
    for step in loc[:-1]:
        values = values.get(step) if isinstance(values, dict) else None
    if isinstance(values, dict):
        values.pop(loc[-1], None)


def _build(file: schema.File, document: Document, kinds: Kinds) -> Configuration:
    lint_file(file, document)
    host = socket.gethostname()
    replica = file.replica.name or host
    timing = given(PROFILES[file.profile], file.timing)
    probes = Probes(
        file=file, document=document, models=kinds.probes, replica=replica, timing=timing
    )
    parts = Parts(file=file, document=document, adapters=kinds.backends, timing=timing)
    specs = tuple(b for name in file.backends if (b := parts.backend(name)))
    vantage, vantages = _vantages(file, document, host)
    topology = Topology(
        cluster=file.cluster,
        vantage=vantage,
        vantages=vantages,
        sites=tuple(map(parts.site, file.sites)),
        services=tuple(map(parts.service, file.services)),
        probes=probes.build(),
        backends=specs,
        limits=parts.limits(),
        windows=parts.windows(),
        references=tuple(file.references),
        resolvers=tuple(file.resolvers),
        mode=file.mode,
        settle_max_s=file.timing.settle_max,
        store_timeout_s=file.timing.store_timeout,
        digest=digest(document.values, 6),
    )
    made = [(spec, parts.made[spec.name][1]) for spec in specs]
    lint_alone(topology, document)
    lint_targets(topology.sites, topology.services, made, document)
    return Configuration(
        topology=topology,
        probes=probes.made,
        backends=parts.made,
        store=Path(file.store.sqlite),
        api=file.api,
        metrics=file.metrics.listen,
        alerts=file.alerts,
        probe_networks=tuple(file.probe_networks),
        replica=replica,
        path=document.name,
        warnings=tuple(line for _, line in sorted(document.warnings)),
        origins=_origins(file, topology, document),
    )


def _vantages(
    file: schema.File, document: Document, host: str
) -> tuple[VantageName, Mapping[VantageName, SiteName | None]]:
    """Where we look from, and all from where somebody does."""
    ours = file.replica.vantage
    if ours is None:
        ours = next(iter(file.vantages)) if len(file.vantages) == 1 else host
    if file.vantages and ours not in file.vantages:
        text = f"there is no vantage `{ours}` ({nearest(ours, list(file.vantages))})"
        if file.replica.vantage:
            document.report("E020", ("replica", "vantage"), text)
        else:
            text += "; say where we are by replica: {vantage: …}"
            document.report("E020", ("vantages",), text, key=True)
    all_ = {
        VantageName(name): SiteName(v.site) if v.site else None for name, v in file.vantages.items()
    }
    return VantageName(ours), all_ or {VantageName(ours): None}


def _origins(
    file: schema.File, topology: Topology, document: Document
) -> Mapping[str, tuple[str, str]]:
    defaults = file.model_dump(by_alias=True)
    found = {".".join(at): (text, "default") for at, text in _flat((), defaults)}
    timing = asdict(given(PROFILES[file.profile], file.timing))
    timing |= {f"{key}_s": value for key, value in defaults["timing"].items() if key in ONLY_GLOBAL}
    for part, values in (("timing", timing), ("limits", asdict(topology.limits))):
        origin = f"profile {file.profile}" if part == "timing" else "default"
        for key, value in values.items():
            text = f"{value:g}s" if key.endswith("_s") else json.dumps(value)
            found[f"{part}.{key.removesuffix('_s')}"] = (text, origin)
    for at, text in _flat((), document.values):
        place = document.place(at)
        found[".".join(at)] = (text, f"{place.file}:{place.line}")
    return found


def _flat(at: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each value by its path; a list is one value, a list of maps is the file's own affair."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat((*at, key), inner)
    elif value is not None and not (at[-1] == "storage" and isinstance(value, list)):
        yield at, value if isinstance(value, str) else json.dumps(value, default=str)
