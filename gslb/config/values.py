"""The values that stand in the file: durations, addresses, names, secrets by reference."""

import ipaddress
import re
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from gslb.policy.window import check_cron
from gslb.wire.credentials import LITERAL, Secret
from gslb.wire.dns import parse_server

UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST_S = 3650 * UNITS_S["d"]
HOST = re.compile(
    r"(?=.{1,253}\.?$)(?!.*\.[0-9]+\.?$)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?", re.I
)


def wrong(code: str, text: str) -> PydanticCustomError:
    """A mistake with a code of its own; the text may hold braces."""
    return PydanticCustomError(code, "{text}", {"text": text})


def duration(value: object) -> float:
    """`5s`, `1.5h` in seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise wrong("E013", f"{value:g} has no unit (write {value:g}s, {value:g}m or {value:g}h)")
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", value) if isinstance(value, str) else None
    if not match:
        raise wrong("E013", f"{value!r} is no duration (write 200ms, 5s, 30m or 4h)")
    if (seconds := float(match[1]) * UNITS_S[match[2]]) > LONGEST_S:
        raise wrong("E014", f"{value!r} is longer than ten years")
    return round(seconds, 6)


def as_list(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return _name(text, said="is neither an IP address nor a host name")


def _name(text: str, *, said: str = "is no host name") -> str:
    if not HOST.fullmatch(text):
        raise wrong("E011", f"{text!r} {said}")
    return text.rstrip(".").lower()


def _service(text: str) -> str:
    if _name(text) != text:
        raise wrong("E011", f"{text!r} must be in lower case, without a dot at its end")
    return text


def _store(text: str) -> str:
    if "@" in text:
        raise wrong("E040", LITERAL)
    return text


def _nameserver(text: str) -> str:
    try:
        ipaddress.ip_address(parse_server(text).host)
    except ValueError:
        raise wrong("E011", f"{text!r} is no IP address (write 192.0.2.1)") from None
    return text


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise wrong("E011", f"{error} (write 127.0.0.0/8)") from None


def _ramp(steps: list[int]) -> list[int]:
    if steps != sorted({*steps, 100}) or steps[0] < 1:
        raise wrong("E014", f"{steps} must rise from at least 1 to 100 (write [10, 50, 100])")
    return steps


def _cron(text: str) -> str:
    try:
        check_cron(text)
    except ValueError:
        raise wrong("E011", f"{text!r} is not five cron fields (write 0 2 * * 6)") from None
    return text


def _form(pattern: str, said: str) -> AfterValidator:
    """Text of that form, or what is said of it."""

    def matched(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise wrong("E011", f"{text!r} {said}")
        return text

    return AfterValidator(matched)


HOST_IN_URL = r"(\[[0-9a-fA-F:]+\]|[^:/\s]+)"
PORT = r"(\d{1,4}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])"
Duration = Annotated[
    float,
    BeforeValidator(duration),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?(ms|s|m|h|d)$"}),
]
Pace = Annotated[Duration, Field(ge=0.01)]
Step = Annotated[Duration, Field(ge=0.01, le=600)]
Span = Annotated[Duration, Field(ge=0.01, le=31 * UNITS_S["d"])]
Ttl = Annotated[Duration, Field(ge=1)]
Count = Annotated[int, Field(ge=1)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Address = Annotated[str, AfterValidator(_address)]
Addresses = Annotated[list[Address], BeforeValidator(as_list), Field(min_length=1)]
Cron = Annotated[str, AfterValidator(_cron)]
Ramp = Annotated[list[int], Field(min_length=1), AfterValidator(_ramp)]
SecretRef = Annotated[Secret, WithJsonSchema({"type": "string", "pattern": "^(file|cred):."})]
Listen = Annotated[
    str,
    _form(
        f"{HOST_IN_URL}:{PORT}", "is no address with a port (write 127.0.0.1:8080 or [::1]:8080)"
    ),
]
Reference = Annotated[
    str, _form(f"tcp://{HOST_IN_URL}:{PORT}", "cannot be asked (write tcp://192.0.2.53:53)")
]
Nameserver = Annotated[str, AfterValidator(_nameserver)]
Network = Annotated[str, AfterValidator(_network)]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")]
Name = Annotated[str, AfterValidator(_name)]
ServiceKey = Annotated[str, AfterValidator(_service)]
StoreUrl = Annotated[str, AfterValidator(_store)]
ModeWord: TypeAlias = Literal["observe", "live"]
AbilityWord: TypeAlias = Literal["read", "write"]
Abilities = Annotated[list[AbilityWord], Field(min_length=1)]
