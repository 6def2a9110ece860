"""The stories: what is broken, what must follow, and in which words an operator is told."""

import signal

from tests.lab import faults as f
from tests.lab.bounds import Sight
from tests.lab.stores import PORT
from tests.lab.story import Story
from tests.lab.town import Town

WRITE = Sight(aspect="store.write")
SILENT = Sight(aspect="store.write", silent=True)
SHARE = Sight(aspect="store.write", share=True)
FRONT = Sight(aspect="quay.front")
SILENT_FRONT = Sight(aspect="quay.front", silent=True)
QUAY = Sight(aspect="quay.storage", answer_s=3.0)
SHARED = Sight(aspect="quay.database", answer_s=1.0)
US, EU, AP = frozenset({"us"}), frozenset({"eu"}), frozenset({"ap"})
NONE = frozenset[str]()


def out(name: str, site: str, fault: f.Fault, sight: Sight, *says: str, **more: object) -> Story:
    """The site leaves, everywhere, and comes back."""
    gone = frozenset({site})
    return Story(name=name, site=site, fault=fault, sight=sight, says=says, leaves=gone, **more)  # type: ignore[arg-type]


def still(name: str, site: str, fault: f.Fault, sight: Sight, *says: str, **more: object) -> Story:
    """Nothing moves, and it is said why."""
    return Story(name=name, site=site, fault=fault, sight=sight, says=says, **more)  # type: ignore[arg-type]


ON_RGW = (
    out("rgw-killed", "us", f.store_killed("us"), SILENT, "us at dns", "store.write: put: "),
    out("rgw-stopped", "us", f.store_frozen("us"), SILENT, "us at dns", "no answer after 2 s"),
    out("osd-paused", "us", f.osd_paused, SILENT, "us at dns", "no answer after 2 s"),
    out("osd-killed", "us", f.osd_killed, SILENT, "us at dns", "no answer after 2 s"),
    still(
        *("our-user-suspended", "us", f.suspended("ours"), WRITE),
        *("store.write at us: put: 403 UserSuspended", "this never drains"),
    ),
    out(
        *("quays-user-suspended", "us", f.suspended("quay"), QUAY),
        *("us at dns", "seen by Quay only: its store passes for us"),
    ),
    out("bucket-removed", "us", f.bucket_removed, WRITE, "us at dns", "404 NoSuchBucket"),
    out(
        *("bucket-emptied", "us", f.bucket_emptied, WRITE),
        *("did the bucket come back empty?", "gslb ack us"),
    ),
    out("quota-reached", "us", f.quota_reached, WRITE, "us at dns", "QuotaExceeded"),
    out("store-port-dropped", "us", f.store_dropped("us"), SILENT, "us at dns", "no answer after"),
    out(
        *("store-port-reset", "us"),
        f.filtered("us", f"iifname e0 tcp dport {PORT} reject with tcp reset"),
        *(SILENT, "us at dns", "store.write: put: "),
    ),
    still(
        *("our-path-to-a-store-cut", "us"),
        f.filtered("us", f"ip saddr CTL tcp dport {PORT} drop"),
        *(SILENT, "our path to its store", "while Quay there says storage: true"),
    ),
    out("site-cut-off", "us", f.cut("us"), SILENT_FRONT, "us at dns", "no answer after"),
    still("our-clock-wrong", "us", f.clock_shifted, WRITE, "403 RequestTimeTooSkewed"),
    still("our-key-wrong", "us", f.key_wrong("us"), WRITE, "403", "this never drains"),
)
ON_RCLONE = (
    out("rclone-killed", "eu", f.store_killed("eu"), SILENT, "eu at dns", "store.write: put: "),
    out("rclone-stopped", "eu", f.store_frozen("eu"), SILENT, "eu at dns", "no answer after 2 s"),
    out("store-drips", "ap", f.relayed("drip"), SILENT, "ap at dns", "no answer after 2 s"),
    out("half-of-requests-fail", "ap", f.relayed("half"), SHARE, "ap at dns", "500"),
    still("store-slow", "ap", f.relayed("slow 1.2"), WRITE, "slow is not down"),
)
AT_FRONTS = (
    out("certificate-expired", "eu", f.certificate_expired("eu"), FRONT, "eu at dns", "expired"),
    out("front-killed", "eu", f.killed(lambda t: t.fronts["eu"]), SILENT_FRONT, "eu at dns"),
    out(
        *("front-port-dropped", "eu", f.filtered("eu", "iifname e0 tcp dport 443 drop")),
        *(SILENT_FRONT, "eu at dns", "quay.front: "),
    ),
    out("quay-killed", "eu", f.killed(lambda t: t.quays["eu"]), FRONT, "eu at dns", "503"),
    out("quay-answers-500", "eu", f.quay_says("500", "eu"), FRONT, "eu at dns", "500"),
    out("quay-hangs", "eu", f.quay_says("hang", "eu"), SILENT_FRONT, "eu at dns", "quay.front: "),
    still(
        *("database-down-everywhere", "eu", f.quay_says("database refuse"), SHARED),
        *("quay.database fails at 3 of 3 sites", "moving traffic cannot help"),
    ),
    still("redis-down-everywhere", "eu", f.quay_says("redis refuse"), SHARED, "quay.redis"),
)
ALL_STORIES = (*ON_RGW, *ON_RCLONE, *AT_FRONTS)


def nsd_killed(town: Town) -> object:
    return f.killed(lambda t: t.nsd, signal.SIGTERM)(town)
