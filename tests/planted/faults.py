"""The faults: what a hurried change could do to the house, and where it must be noticed."""

from dataclasses import dataclass

POLICY = "tests/policy/test_{}.py"
LOOP, TERM = "tests/controller/test_loop.py", "tests/controller/test_term.py"
S3 = "tests/probes/test_s3.py"


@dataclass(frozen=True)
class Fault:
    """One text of one file replaced by another. `tests`: what is expected to notice."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


def _guard(name: str) -> Fault:
    """The guard lets everything through."""
    head = f"def _{name}(case: Case, move: Move) -> No | None:\n"
    tests = (POLICY.format("guard"),)
    return Fault(f"no-guard-{name}", "policy/guard.py", head, f"{head}    return None\n", tests)


def _policy(name: str, room: str, old: str, new: str, *tests: str) -> Fault:
    """`tests`: `judge` is a file of tests, `act::test_what` one test in it."""
    named = [(POLICY.format(file), one) for file, _, one in (t.partition("::") for t in tests)]
    nodes = tuple("::".join(filter(None, n)) for n in named)
    return Fault(name, f"policy/{room}.py", old, new, nodes)


GUARDS = tuple(
    _guard(name)
    for name in ("min_sites", "max_drained", "velocity", "not_sick", "paused", "vantage_blind")
)
EVIDENCE = (
    _policy(
        "shared-trouble-blames-a-site", "diagnose",
        "    if not seen.down or aspect.base == \"quay.storage\" or aspect.scope is Scope.SHARED:",
        "    if not seen.down or aspect.base == \"quay.storage\":", "diagnose", "shared",
    ),
    _policy(
        "a-stale-track-counts", "judge",
        "return Verdict.UNKNOWN if moment.reached(limit_s) else track.verdict",
        "return track.verdict", "judge",
    ),
    _policy(
        "slow-is-down", "judge",
        "    if not aspect.slow_is_down or not _ok(seen) or seen.latency_s <= aspect.slow_s:",
        "    if not _ok(seen) or seen.latency_s <= aspect.slow_s:", "judge",
    ),
    _policy(
        "storage-false-everywhere-drains-one", "storage",
        "    if len(falses) > 1:", "    if len(falses) > 9:", "storage",
    ),
    _policy(
        "silence-is-believed-unasked", "silence",
        "    if not said or (site in world.memories and world.memories[site].left):",
        "    if True:", "silence",
    ),
    _policy(
        "silence-with-nobody-else-reached", "silence",
        "    if not _reaches_another(looks, site, first_s, (\"store.\", \"quay.front\")):",
        "    if False:", "silence",
    ),
    _policy(
        "what-never-passed-decides", "able",
        "    if any(not x.never_passed for x in losses):", "    if losses:", "diagnose", "steer",
    ),
    _policy(
        "no-dwell", "steer",
        "    moved = any([moment.reached(x.moves_at_s) for x in counted])",
        "    moved = bool(counted)", "steer", "when_words_end", "guard",
    ),
    _policy(
        "old-passes-count-as-fresh", "guard",
        "        return fresh_since(", "        return True or fresh_since(", "guard",
    ),
    Fault(
        "denied-is-a-fail", "probes/s3.py",
        "    elif reply.status in (401, 403) or code in OUR_KEYS:", "    elif code in OUR_KEYS:",
        (S3,),
    ),
    Fault(
        "the-sentinel-is-not-compared", "probes/s3.py",
        "        if sentinels.setdefault(name, digest) != digest:", "        if False:", (S3,),
    ),
)  # fmt: skip
RETURNS = (
    _policy(
        "rise-is-ignored", "judge",
        "        if track.rises >= aspect.rise and (", "        if track.rises >= 1 and (", "judge",
    ),
    _policy(
        "quiet-is-ignored", "able",
        "        if not moment.reached(last_s + wanted_s):", "        if False:", "able",
    ),
    _policy(
        "the-last-resort-undoes-a-drain", "steer",
        "    open_to = [p for p in places if not _drained_by_person(p) and not (",
        "    open_to = [p for p in places if not (", "steer",
    ),
    _policy(
        "an-override-ends-early", "believe",
        "    gone = [o for o in world.overrides if moment.reached(o.ends_at_s)]",
        "    gone = [o for o in world.overrides if moment.reached(o.ends_at_s - 600)]",
        "doubt",
    ),
    _policy(
        "a-restart-forgets", "learn_backends",
        "        memories={**world.memories, **kept},", "        memories=world.memories,", "doubt",
    ),
)  # fmt: skip
WRITING = (
    Fault(
        "an-empty-answer-is-allowed", "domain/traffic.py",
        '            raise ValueError(f"{self.name}: an empty answer is an outage")',
        "            pass", ("tests/domain/test_values.py",),
    ),
    _policy(
        "the-lease-has-run-out", "guard",
        "    if case.moment.reached(case.world.lease_until_s):", "    if False:", "guard",
    ),
    Fault(
        "sent-after-the-term", "controller/loop.py",
        "                if plan.epoch != self.world.epoch or begun_s >= self.world.lease_until_s:",
        "                if False:", (TERM,),
    ),
    Fault(
        "newer-words-are-not-asked-for", "controller/loop.py",
        "                    if_revision=order.revision,", "                    if_revision=None,",
        (f"{LOOP}::test_a_newer_word_in_the_store_turns_a_plan_away_until_it_was_seen",),
    ),
    Fault(
        "not-written-ahead", "controller/loop.py",
        "                if not await self._save(order):\n                    return\n", "",
        (f"{LOOP}::test_a_dead_store_is_drained_and_the_plan_was_written_ahead",),
    ),
    _policy(
        "an-answer-from-an-old-term", "learn_backends",
        "    if seen.epoch != world.epoch:\n        return world  # an answer to a question of",
        "    if False:\n        return world  # an answer to a question of", "doubt",
    ),
    _policy(
        "no-read-after-a-failure", "learn_backends",
        "        known=False,\n        busy=False,\n        fails=view.fails + 1,",
        "        known=True,\n        busy=False,\n        fails=view.fails + 1,", "doubt",
    ),
    _policy(
        "applied-on-noerror", "learn_backends",
        "    return put(world, replace(view, busy=False, known=False))",
        "    served = {c.pool.service: c.after for c in seen.plan.changes}\n"
        "    served = {**(view.served or {}), **served}\n"
        "    return _closed(world, replace(view, busy=False, served=served), ledger)", "learn",
    ),
    _policy(
        "a-new-term-leaves-the-generation", "act",
        "    ours = found is not None and (found.epoch < (world.epoch or 0) or taking_over)",
        "    ours = found is not None and taking_over",
        "act::test_a_new_term_first_raises_the_generation_alone",
    ),
    _policy(
        "another-instance-is-overwritten", "act",
        "    if found.instance != world.instance:", "    if False:",
        "act::test_what_is_not_ours_is_a_conflict_until_adopt",
    ),
    _policy(
        "a-cloned-store-goes-on", "act",
        "    if found.epoch > world.epoch:", "    if False:",
        "act::test_what_is_not_ours_is_a_conflict_until_adopt",
    ),
    _policy(
        "drift-is-repaired-for-ever", "drift",
        "    if not report and now_s - view.repaired.get(name, -HOUR_S) >= HOUR_S:",
        "    if not report:",
        "act::test_a_record_that_is_edited_again_stays_so_and_is_told_until_a_person_acknowledges",
    ),
    Fault(
        "no-fence-in-the-update", "backends/rfc2136.py",
        "            message.present(at, TXT, f'\"{expects}\"')\n", "",
        ("tests/backends/test_rfc2136.py::TestBind::test_an_old_leader_is_refused",),
    ),
    Fault(
        "an-unsigned-reply-is-believed", "backends/rfc2136.py",
        "    if rcode != dns.rcode.NOERROR or not proven:", "    if rcode != dns.rcode.NOERROR:",
        ("tests/backends/test_unsigned.py",),
    ),
)  # fmt: skip
FAULTS: tuple[Fault, ...] = (*GUARDS, *EVIDENCE, *RETURNS, *WRITING)
