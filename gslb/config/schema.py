"""The shape of the file: every key with its bounds, its default and one sentence."""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from gslb.config.values import (
    Abilities,
    Addresses,
    Count,
    Cron,
    Duration,
    Label,
    Listen,
    ModeWord,
    Name,
    Nameserver,
    Network,
    Pace,
    Port,
    Ramp,
    Reference,
    SecretRef,
    ServiceKey,
    Span,
    Step,
    StoreUrl,
    Ttl,
    as_list,
)


def key(default: Any, text: str, **more: Any) -> Any:
    """A field with its sentence for the reference page."""
    return Field(default, description=text, **more)


class Part(BaseModel):
    """What every part of the file keeps to."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


class ProbeTiming(Part):
    interval: Pace | None = key(None, "Time between two looks at a site")
    timeout: Step | None = key(None, "For each step of a look")
    confirm: Pace | None = key(None, "Time between looks at a suspect site")
    corroborate: Duration | None = key(None, "How long a silent store waits for Quay's word")
    fall: Count | None = key(None, "Fails in a row that turn an aspect down")
    rise: Count | None = key(None, "Passes in a row that turn it up again")
    dwell_local: Duration | None = key(None, "How long it must be down before traffic moves")
    dwell_path: Duration | None = key(None, "The same where only silence speaks against the site")
    endtoend_pace: Pace | None = key(None, "Time between two end-to-end checks of Quay")
    endtoend_deadline: Step | None = key(None, "For each end-to-end check of Quay")
    window: Count | None = key(None, "Intervals in which fails are counted")
    fail_share_max: float | None = key(None, "Share of failed ones that turns down", gt=0, le=1)


class SiteTiming(ProbeTiming):
    quiet: Duration | None = key(None, "Without a fail before a site returns")
    quiet_max: Duration | None = key(None, "Up to which `quiet` doubles with each flap")
    ramp: Ramp | None = key(None, "Per cent of its weight that a site returns by")
    ramp_step: Duration | None = key(None, "For each step of the ramp")
    block: Duration | None = key(None, "A second drain within it waits for `ack`; 0s: off")


class GlobalTiming(SiteTiming):
    resync: Pace = key(30.0, "Each backend is read again after it")
    settle_max: Duration = key(30.0, "Wait for all verdicts after a start")
    store_timeout: Pace = key(1.0, "For each write to the store")
    ttl: Ttl = key(30.0, "Of DNS answers")


class Limits(Part):
    min_sites: Count | None = key(None, "Able sites that always remain in an answer")
    min_capacity_share: float | None = key(None, "The same as a share of capacity", ge=0, le=1)
    max_drained: Count | None = key(None, "Sites that automation may keep out at once")
    change_window: Duration | None = key(None, "Time between two drains of a service")
    changes_per_hour: int | None = key(None, "Returns an hour; 0: no limit", ge=0)
    on_all_down: Literal["hold", "all"] | None = key(None, "What is served when nothing is able")
    override: Pace | None = key(None, "How long a person's word holds by default")
    override_max: Pace | None = key(None, "How long it may hold")
    drift: Literal["repair", "report"] | None = key(None, "What is done about foreign edits")
    requests_per_min: Count | None = key(None, "That the API answers to one token")


class AspectTuning(Part):
    role: Literal["decides", "degrades", "ignore"] | None = key(None, "What it may do to its site")
    scope: Literal["own", "shared"] | None = key(None, "Whose trouble it shows")
    fall: Count | None = key(None, "As in timing")
    rise: Count | None = key(None, "As in timing")
    interval: Pace | None = key(None, "Of the probe that reports it")
    timeout: Step | None = key(None, "Of the probe that reports it")
    slow: Pace | None = key(None, "Above it the site is degraded; default: half the timeout")
    slow_is_down: bool = key(False, "Slow counts as a fail")


class Storage(Part):
    s3: StoreUrl | None = key(None, "https://HOST/BUCKET")
    azure: Any = key(None, "Not built yet")
    swift: Any = key(None, "Not built yet")
    region: str | None = key(None, "For signing")
    prefix: str | None = key(None, "Quay's storage_path: below it the sentinel is kept")
    keys: SecretRef | None = key(None, "The controller's own key: file:PATH or cred:NAME")
    ca: str | None = key(None, "File with the CA that signed its certificate")
    path_style: bool = key(True, "false: the bucket is the first label of the host")
    preferred: bool | None = key(None, "It is known to be its Quay's first preference")


class Site(Part):
    address: Addresses = key(..., "IP addresses, or one host name")
    capacity: int = key(100, "Beside the other sites'", ge=1)
    labels: dict[str, str] = key({}, "For people and metrics")
    storage: Annotated[list[Storage], BeforeValidator(as_list)] = key([], "Its object storage")
    probes: dict[Label, dict[str, Any]] = key({}, "Further probes; the name is the aspect's")
    timing: SiteTiming = key(SiteTiming(), "Any of `timing`, for this site")
    abilities: Abilities = key(["read", "write"], "[read] for a mirror")


class Endpoint(Part):
    tier: int = key(0, "Later tiers serve when earlier ones cannot", ge=0)
    weight: int = key(100, "Share of the answers, beside the others'", ge=1, le=65_535)
    trickle: int = key(0, "Steady weight of a later tier", ge=0, le=65_535)


class Service(Part):
    kind: Literal["quay", "http", "tcp", "none"] | None = key(None, "What is asked at each site")
    probe_as: Name | None = key(None, "The service whose probes speak for this one too")
    port: Port | None = key(None, "Default 443, or 80 without TLS")
    tls: bool = key(True, "false: plain HTTP to the sites")
    ca: str | None = key(None, "File with the CA that signed the sites' certificates")
    sites: dict[Label, Endpoint] | None = key(None, "Where it is served; default: every site")
    needs: Abilities = key(["read", "write"], "What a site must be able to do")
    accept: Abilities | None = key(None, "What will do when no site has that; default: `needs`")
    mode: ModeWord | None = key(None, "observe: this service is only looked at")
    via: list[Label] | None = key(None, "Backends; default: every one")
    ttl: Ttl | None = key(None, "Of its DNS answers")
    limits: Limits = key(Limits(), "Any of `limits`, for this service")
    timing: ProbeTiming = key(ProbeTiming(), "How its probes are timed")
    degraded_weight: int = key(100, "Per cent of its weight for a degraded site", ge=1, le=100)
    path: str | None = key(None, "http: what is asked for")
    status: Any = key(None, "http: which statuses pass")
    body: str | None = key(None, "http: a pattern that must be found in the body")
    pointer: str | None = key(None, "http: a JSON pointer into the body")
    equals: Any = key(None, "http: what must stand there")


class BackendCommon(Part):
    """What every backend takes beside the settings of its kind."""

    mode: ModeWord | None = key(None, "observe: this backend is only looked at")
    resync: Pace | None = key(None, "It is read again after it")
    servers: dict[Label, str] = key({}, "Load balancers: what each site is called there")


class Replica(Part):
    name: Label | None = key(None, "Default: the host's name")
    vantage: Label | None = key(None, "Where it looks from")


class Vantage(Part):
    site: Label | None = key(None, "The site it is in, if any")


class StoreChoice(Part):
    sqlite: str = key("/var/lib/gslb/gslb.db", "The file of the embedded store")
    etcd: Any = key(None, "Not built yet")


class Window(Part):
    cron: Cron = key(..., "When it begins: five cron fields, in UTC")
    for_: Span = key(..., "How long it lasts", alias="for")
    freeze: Literal["returns", "all"] = key("returns", "What it holds back")


class Tls(Part):
    cert: str = key(..., "PEM file")
    key: str = Field(description="PEM file")
    clients: str | None = Field(None, description="PEM file: CA of the clients' certificates")


class Api(Part):
    listen: Listen = key("127.0.0.1:8080", "Address and port")
    socket: str = key("/run/gslb/api.sock", "For the command line on this host")
    tls: Tls | None = key(None, "Needed beyond loopback")
    tokens: SecretRef | None = key(None, "Who may do what: file:PATH")


class Metrics(Part):
    listen: Listen | None = key(None, "A second listener, for metrics only")


class AlertRule(Part):
    match: dict[str, str] = key(..., "Labels that the alert must have", min_length=1)
    site: str = key(..., "A site, or label:NAME for the label that names it")
    do: Literal["drain"] = key("drain", "What the alert does")
    for_: Pace = key(7200.0, "The override ends after it unless repeated", alias="for")
    repeat: Pace = key(..., "Alertmanager's repeat_interval")
    release_delay: Duration = key(600.0, "It goes on for this long after the alert ended")


class Watchdog(Part):
    alertname: str = key("Watchdog", "The alert that always fires")
    within: Pace = key(900.0, "How often it must come")


class Alerts(Part):
    token: SecretRef | None = key(None, "That Alertmanager sends: file:PATH")
    rules: list[AlertRule] = key([], "Which alerts do what")
    watchdog: Watchdog | None = key(None, "Notices when alerts do not come any more")


class File(Part):
    """The whole file."""

    cluster: Label = key("default", "Written into every backend: no two installations share one")
    mode: ModeWord | None = key(None, "Without it `gslb live` and `gslb observe` decide")
    replica: Replica = key(Replica(), "This process")
    vantages: dict[Label, Vantage] = key({}, "The denominator of every quorum; default: this one")
    references: list[Reference] = key([], "When most of them do not answer, we are blind")
    store: StoreChoice = key(StoreChoice(), "What survives a restart")
    profile: Literal["normal", "fast", "cautious"] = key("normal", "Defaults of `timing`")
    timing: GlobalTiming = key(GlobalTiming(), "Times of all sites")
    limits: Limits = key(Limits(), "What the guards keep")
    aspects: dict[str, AspectTuning] = key({}, "How single aspects are judged")
    sites: dict[Label, Site] = key(..., "Where it can be served", min_length=1)
    services: dict[ServiceKey, Service] = key(..., "Names that clients resolve", min_length=1)
    backends: dict[Label, dict[str, Any]] = key({}, "What hands out traffic")
    probe_networks: list[Network] = key([], "Address ranges to open that are denied to probes")
    resolvers: list[Nameserver] = key([], "Asked until they show a change")
    windows: list[Window] = key([], "When less may move")
    api: Api = key(Api(), "Where people and programs ask")
    metrics: Metrics = key(Metrics(), "Where Prometheus asks")
    alerts: Alerts = key(Alerts(), "What Alertmanager may do")
    notify: dict[str, Any] = key({}, "Not built yet")
    include: list[str] = key([], "Further files: maps merge, lists append")


def schema_json() -> str:
    """JSON Schema 2020-12 of the file."""
    return json.dumps(File.model_json_schema(by_alias=True), indent=2)
