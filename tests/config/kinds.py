"""Settings of adapters as their files have them, so that these tests need none of them."""

from contextlib import asynccontextmanager
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from gslb.config.load import Kinds
from gslb.domain.traffic import Fencing, Shape
from gslb.ports import Adapter
from gslb.wire.credentials import Secret


class Settings(BaseModel, extra="forbid"):
    timeout_s: float = Field(default=3.0, ge=0.01)


class S3(Settings):
    endpoint: str
    bucket: str
    prefix: str = ""
    region: str = "us-east-1"
    keys: Secret
    ca: str | None = None
    path_style: bool = True
    cluster: str
    owner: str


class Quay(Settings):
    part: str
    address: str
    port: int
    name: str
    tls: bool = True
    ca: str | None = None
    deadline_s: float
    config_every_s: float


class Http(Settings):
    address: str
    port: int = Field(ge=1, le=65_535)
    name: str
    tls: bool = True
    ca: str | None = None
    path: str = "/"
    status: tuple[int, ...] = (200,)
    body: str | None = None
    pointer: str | None = None
    equals: Any = None
    follow: bool = False


class Tcp(Settings):
    address: str
    port: int = Field(ge=1, le=65_535)


class Tls(Settings):
    address: str
    port: int = 443
    server_name: str | None = None
    ca: str | None = None
    expires_within_s: float = 1_209_600.0


class Dns(Settings):
    address: str
    port: int = 53
    server: str | None = None
    name: str
    type: str = "A"
    expect: str | tuple[str, ...] = ()


def server(text: str) -> str:
    if " " in text:
        raise ValueError(f"{text!r} is no server (write HOST or HOST:PORT)")
    return text


Server = Annotated[str, AfterValidator(server)]


class Rfc2136(Settings):
    server: Server | tuple[Server, ...]
    check: tuple[Server, ...] = ()
    zone: str
    tsig: Secret | None = None
    generation: str | None = None


class Haproxy(Settings):
    server: tuple[str, ...]
    backend: str
    weight_max: int = Field(default=256, ge=1, le=256)


class Route53(Settings):
    zone: str
    keys: Secret | None = None


@asynccontextmanager
async def never_opened(settings: Any, wire: Any) -> Any:
    raise AssertionError("loading opens nothing")
    yield


BALANCER = Shape(weights=True, weight_max=256, addresses=False, fencing=Fencing.TIME)
KINDS = Kinds(
    probes={"s3": S3, "quay": Quay, "http": Http, "tcp": Tcp, "tls": Tls, "dns": Dns},
    backends={
        "rfc2136": Adapter(
            kind="rfc2136",
            settings=Rfc2136,
            open=never_opened,
            shape=lambda settings: Shape(weights=False),
        ),
        "route53": Adapter(
            kind="route53",
            settings=Route53,
            open=never_opened,
            shape=lambda settings: Shape(weights=True, weight_max=255),
        ),
        "haproxy": Adapter(
            kind="haproxy", settings=Haproxy, open=never_opened, shape=lambda settings: BALANCER
        ),
    },
)
