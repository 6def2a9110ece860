"""The stories: what is broken, what must follow, and in which words an operator is told."""

from tests.lab import faults as f
from tests.lab import ways
from tests.lab.bounds import Sight
from tests.lab.stores import PORT
from tests.lab.story import Story
from tests.lab.town import ALL

WRITE = Sight(aspect="store.write")
SILENT = Sight(aspect="store.write", silent=True)
SHARE = Sight(aspect="store.write", share=True)
FRONT = Sight(aspect="quay.front")
SILENT_FRONT = Sight(aspect="quay.front", silent=True)
QUAY = Sight(aspect="quay.storage", answer_s=3.0)
SHARED = Sight(aspect="quay.database", answer_s=1.0)
RESET = f.filtered("us", f"tcp dport {PORT} reject with tcp reset")
OUR_PATH = f.filtered("us", f"ip saddr CTL tcp dport {PORT} drop")
US, AP = frozenset({"us"}), frozenset({"ap"})


def out(name: str, site: str, fault: f.Fault, sight: Sight, *says: str, **more: object) -> Story:
    """The site leaves, everywhere, and comes back."""
    gone = frozenset({site})
    return Story(name=name, site=site, fault=fault, sight=sight, says=says, leaves=gone, **more)  # type: ignore[arg-type]


def still(name: str, site: str, fault: f.Fault, sight: Sight, *says: str, **more: object) -> Story:
    """Nothing moves, and it is said why."""
    return Story(name=name, site=site, fault=fault, sight=sight, says=says, **more)  # type: ignore[arg-type]


ON_RGW = (
    out("rgw-killed", "us", f.store_killed("us"), SILENT, "us at dns", ": connection refused"),
    out("rgw-stopped", "us", f.store_frozen("us"), SILENT, "us at dns", "no answer after 2 s"),
    out("osd-paused", "us", f.osd_paused, SILENT, "us at dns", "no answer after 2 s", ci=True),
    out("osd-killed", "us", f.osd_killed, SILENT, "us at dns", "no answer after 2 s"),
    still(
        "our-user-suspended",
        "us",
        f.suspended("ours"),
        WRITE,
        *("store.write at us: put: 403 UserSuspended", "this never drains"),
    ),
    out(
        "quays-user-suspended",
        "us",
        f.suspended("quay"),
        QUAY,
        *("us at dns", "seen by Quay only: its store passes for us"),
    ),
    out("bucket-removed", "us", f.bucket_removed, WRITE, "us at dns", "404 NoSuchBucket"),
    out(
        *("bucket-emptied", "us", f.bucket_emptied, WRITE),
        *("did the bucket come back empty?", "gslb ack us"),
    ),
    out("quota-reached", "us", f.quota_reached, WRITE, "us at dns", "QuotaExceeded"),
    out(
        "store-port-dropped",
        "us",
        f.store_dropped("us"),
        SILENT,
        "us at dns",
        "no connection after",
    ),
    out("store-port-reset", "us", RESET, SILENT, "us at dns", "connection"),
    still(
        "our-path-to-a-store-cut",
        "us",
        OUR_PATH,
        SILENT,
        *("our path to its store", "while Quay there says storage: true"),
        ci=True,
    ),
    out("site-cut-off", "us", f.cut("us"), SILENT_FRONT, "us at dns", "after 2 s"),
    still(
        "our-clock-wrong", "us", f.clock_shifted, WRITE, "store.write", "403 RequestTimeTooSkewed"
    ),
    still("our-key-wrong", "us", f.key_wrong("us"), WRITE, "403 SignatureDoesNotMatch"),
)
ON_RCLONE = (
    out("rclone-killed", "eu", f.store_killed("eu"), SILENT, "eu at dns", ": connection refused"),
    out("rclone-stopped", "eu", f.store_frozen("eu"), SILENT, "eu at dns", "no answer after 2 s"),
    out("store-drips", "ap", f.relayed("drip"), SILENT, "ap at dns", "no answer after 2 s"),
    out("half-of-requests-fail", "ap", f.relayed("half"), SHARE, "ap at dns", "500"),
    still("store-slow", "ap", f.relayed("slow 1.2"), WRITE, "slow is not down"),
)
AT_FRONTS = (
    out(
        "certificate-expired",
        "eu",
        f.certificate_expired("eu"),
        FRONT,
        *("eu at dns", "expired"),
        ci=True,
    ),
    out("front-killed", "eu", f.killed(lambda t: t.fronts["eu"]), SILENT_FRONT, "eu at dns"),
    out(
        *("front-port-dropped", "eu", f.filtered("eu", "iifname e0 tcp dport 443 drop")),
        *(SILENT_FRONT, "eu at dns", "quay.front: "),
    ),
    out("quay-killed", "eu", f.killed(lambda t: t.quays["eu"]), SILENT_FRONT, "eu at dns"),
    out("quay-answers-500", "eu", f.quay_says("500", "eu"), FRONT, "eu at dns", "500"),
    out("quay-hangs", "eu", f.quay_says("hang", "eu"), SILENT_FRONT, "eu at dns", "quay.front: "),
    still(
        *("database-down-everywhere", "eu", f.quay_says("database refuse"), SHARED),
        *("quay.database fails at 3 of 3 sites", "moving traffic cannot help"),
    ),
    still(
        "redis-down-everywhere",
        "eu",
        f.quay_says("redis refuse"),
        SHARED,
        "quay.redis fails at 3 of 3 sites",
    ),
)
IN_ALL = (
    out(
        *("second-store-dies", "us", f.store_killed("us"), SILENT, "us at dns"),
        then=ways.second_store_dies,
    ),
    still(
        *("all-stores-die", "us"),
        f.together(*(f.store_killed(site) for site in ("eu", "ap", "us"))),
        *(SILENT, "no site is able and none may be"),
        dead=ALL,
        ci=True,
    ),
    still(
        *("our-own-link-cut", "us", f.cut("ctl"), SILENT),
        "no site's front and no store answers us at all: it is our own network",
    ),
    out(
        *("bind-killed-meanwhile", "eu"),
        ways.meanwhile(f.killed(lambda t: t.bind), "eu", "10.77.4.2"),
        *(SILENT, "eu at dns"),
        ci=True,
    ),
    out(
        *("bind-stopped-meanwhile", "eu"),
        ways.meanwhile(f.frozen(lambda t: t.bind), "eu", "10.77.4.2"),
        *(SILENT, "eu at dns"),
    ),
    out(
        *("dns-link-cut-meanwhile", "eu", ways.meanwhile(f.cut("ns1"), "eu", "10.77.4.2")),
        *(SILENT, "eu at dns"),
    ),
    still("secondary-killed", "eu", ways.nsd_ended, SILENT, "10.77.5.2", about="dns"),
    out(
        *("controller-killed-before", "eu", ways.store_dies_while_nobody_looks),
        *(SILENT, "eu at dns"),
        more_s=40.0,
    ),
    out(
        *("controller-killed-while-out", "us", f.store_killed("us"), SILENT, "us at dns"),
        then=ways.controller_is_killed,
    ),
    out(
        *("person-drains-another", "us", f.store_killed("us"), SILENT, "us at dns"),
        then=ways.person_drains_another,
        path=(ALL - US, AP, ALL - US),
    ),
    still(
        *("paused-while-a-store-dies", "us", f.together(f.paused, f.store_killed("us")), SILENT),
        *("paused", "us leaves"),
        dead=US,
    ),
    out(
        *("balancer-killed-while-out", "us", f.store_killed("us"), SILENT, "us at dns"),
        then=ways.balancer_is_killed,
        forgets=frozenset({"edge"}),
    ),
)
GROUPS = {"rgw": ON_RGW, "rclone": ON_RCLONE, "fronts": AT_FRONTS, "all": IN_ALL}
ALL_STORIES = (*ON_RGW, *ON_RCLONE, *AT_FRONTS, *IN_ALL)
