"""Profiles, and how what the file says goes over what they say."""

from dataclasses import fields, replace
from typing import Any, TypeVar

from pydantic import BaseModel

from gslb.domain.topology import Drift, Limits, OnAllDown, Timing

PROFILES = {
    "normal": Timing(),
    "fast": Timing(
        interval_s=1, timeout_s=1, confirm_s=0.2, corroborate_s=0.5, fall=3, rise=10,
        dwell_local_s=0, dwell_path_s=5, quiet_s=30, quiet_max_s=600,
        ramp=(50, 100), ramp_step_s=30,
    ),
    "cautious": Timing(
        interval_s=15, timeout_s=5, confirm_s=5, corroborate_s=5, fall=4, rise=40,
        dwell_local_s=30, dwell_path_s=60, quiet_s=1800, quiet_max_s=14400,
        ramp=(10, 25, 50, 100), ramp_step_s=900,
    ),
}  # fmt: skip
T = TypeVar("T", Timing, Limits)


DOMAIN = {"ramp": tuple, "on_all_down": OnAllDown, "drift": Drift}
"""What the domain makes of some keys' values."""


def given(base: T, part: BaseModel) -> T:
    """`base` with what the file says in `part`, whose keys have no unit in their name."""
    known = {f.name for f in fields(base)}
    said: dict[str, Any] = {}
    for key in part.model_fields_set:
        name = f"{key}_s" if f"{key}_s" in known else key
        value = getattr(part, key)
        if name in known and value is not None:
            said[name] = DOMAIN[name](value) if name in DOMAIN else value
    return replace(base, **said)
