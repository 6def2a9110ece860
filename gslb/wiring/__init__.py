"""Where ports meet adapters; nothing else in the house knows both."""

from gslb.wiring.house import open_house
from gslb.wiring.parts import BACKENDS, KINDS, PROBES, House
from gslb.wiring.run import probe_everything, run_forever

__all__ = [
    "BACKENDS",
    "KINDS",
    "PROBES",
    "House",
    "open_house",
    "probe_everything",
    "run_forever",
]
