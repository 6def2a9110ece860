"""The Alertmanager receiver (body version 4): an alert drains a site until it resolves or expires.

Each alert stands alone, by its fingerprint; the group's own status says nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from pydantic import BaseModel

from gslb.api.views import Json
from gslb.controller.operator import Operator
from gslb.domain.control import Action, Override, Owner, OwnerKind
from gslb.domain.topology import SiteName
from gslb.policy.preview import preview

log = logging.getLogger(__name__)
MUTED_MAX = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertRule:
    """Which alerts drain which site, and for how long. Times in seconds."""

    name: str
    match: Mapping[str, str] = field(default_factory=dict)
    """Labels that must be equal."""
    site: str
    """A site's name, or `label:NAME`: the alert names it in this label."""
    do: Action = Action.DRAIN
    for_s: float = 2 * 3600.0
    repeat_s: float = 30 * 60.0
    release_delay_s: float = 600.0


class Alert(BaseModel):
    """One alert of a group."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    fingerprint: str


class Webhook(BaseModel):
    """What Alertmanager sends."""

    version: Literal["4"]
    alerts: list[Alert]
    truncatedAlerts: int = 0


class Receiver:
    """Turns alerts into overrides owned by `alert:<rule>`."""

    def __init__(
        self,
        operator: Operator,
        rules: Sequence[AlertRule],
        count: Callable[..., None],
        watchdog: tuple[str, float] | None = None,
    ) -> None:
        """`watchdog`: the name of an alert that always fires, and within what it must come."""
        self.rules, self.watchdog = rules, watchdog
        self._operator, self._count, self._lock = operator, count, asyncio.Lock()
        self._heard_s = operator.now().boot_s
        self._muted: dict[str, None] = {}
        self._said: dict[tuple[SiteName, Owner], Override] = {}
        """What we said last: the world may not have learned it yet."""

    def follow(self, rules: Sequence[AlertRule], watchdog: tuple[str, float] | None) -> None:
        """Judge by these from now on; a new watchdog has its whole time to come."""
        if watchdog != self.watchdog:
            self._heard_s = self._operator.now().boot_s
        self.rules, self.watchdog = rules, watchdog

    def silent(self) -> bool:
        """Has the watchdog not been heard for too long? Then no alert may reach us either."""
        quiet_s = self._operator.now().boot_s - self._heard_s
        return self.watchdog is not None and quiet_s > self.watchdog[1]

    def released(self, gone: Sequence[Override]) -> None:
        """A person released these: what held them is muted until it resolves."""
        for override in gone:
            self._said.pop((override.site, override.owner), None)
            self._muted |= dict.fromkeys(override.fingerprints)
        for fingerprint in list(self._muted)[:-MUTED_MAX]:
            del self._muted[fingerprint]

    async def receive(self, hook: Webhook) -> list[Json]:
        """One result an alert. StoreError: what could not be kept is to be sent again."""
        if hook.truncatedAlerts:
            self._count("alert_hook_truncated", by=hook.truncatedAlerts)
            log.warning(
                "the sender cut off %d alerts: a drain may be missing", hook.truncatedAlerts
            )
        results = []
        async with self._lock:
            for alert in hook.alerts:
                rule = self._rule(alert)
                result, text = await (
                    self._fire(alert, rule) if alert.status == "firing" else self._resolve(alert)
                )
                self._count("alert_hook_alerts", rule.name if rule else "none", result)
                results.append({"fingerprint": alert.fingerprint, "result": result, "text": text})
        return results

    def _rule(self, alert: Alert) -> AlertRule | None:
        return next((r for r in self.rules if r.match.items() <= alert.labels.items()), None)

    async def _fire(self, alert: Alert, rule: AlertRule | None) -> tuple[str, str]:
        if self.watchdog and alert.labels.get("alertname") == self.watchdog[0]:
            self._heard_s = self._operator.now().boot_s
        if rule is None:
            return "no_rule", "no rule matches its labels"
        label = rule.site.removeprefix("label:")
        site = SiteName(alert.labels.get(label, "") if label != rule.site else rule.site)
        if site not in {s.name for s in self._operator.world.topology.sites}:
            return "unknown_site", f"{site or label!r} is no configured site"
        if alert.fingerprint in self._muted:
            return "released", "released by hand: muted until it resolves"
        owner, now = Owner(OwnerKind.ALERT, rule.name), self._operator.now()
        held = self._held().get((site, owner))
        before = held.fingerprints if held else ()
        override = Override(
            site=site,
            action=rule.do,
            owner=owner,
            reason=alert.annotations.get("summary") or alert.labels.get("alertname") or rule.name,
            created_wall_s=held.created_wall_s if held else now.wall_s,
            ends_wall_s=now.wall_s + rule.for_s,
            ends_at_s=now.boot_s + rule.for_s,
            fingerprints=tuple(dict.fromkeys((*before, alert.fingerprint))),
        )
        # Refused is not given up: it is kept, and tried again by the loop while it fires.
        refused = preview(self._operator.world, now, add=(override,)).refused
        await self._say(override)
        if refused:
            return "refused", f"{refused.guard}: {refused.text}"
        result = "extended" if alert.fingerprint in before else "drained"
        return result, f"{site} is held out by {owner}"

    async def _resolve(self, alert: Alert) -> tuple[str, str]:
        self._muted.pop(alert.fingerprint, None)
        now, text = self._operator.now(), "nothing was held by it"
        for held in self._held().values():
            if alert.fingerprint not in held.fingerprints:
                continue
            left = tuple(f for f in held.fingerprints if f != alert.fingerprint)
            delay_s = float("inf") if left else self._delay_s(held.owner)
            ends_s = min(held.ends_wall_s, now.wall_s + delay_s)
            boot_s = now.boot_s + ends_s - now.wall_s
            await self._say(replace(held, fingerprints=left, ends_wall_s=ends_s, ends_at_s=boot_s))
            text = f"{held.site} is still held by {len(left)} more" if left else ""
            text = text or f"{held.site} is let go in {max(0.0, ends_s - now.wall_s):.0f} s"
        return "released", text

    def _delay_s(self, owner: Owner) -> float:
        return next((r.release_delay_s for r in self.rules if r.name == owner.name), 0.0)

    def _held(self) -> dict[tuple[SiteName, Owner], Override]:
        """The alerts' overrides that stand, as the world or we ourselves know them best."""
        now, held = self._operator.now(), dict(self._said)
        for o in self._operator.world.overrides:
            said = held.get((o.site, o.owner))
            if o.owner.kind is OwnerKind.ALERT and (said is None or o.version > said.version):
                held[o.site, o.owner] = o
        return {key: o for key, o in held.items() if o.ends_wall_s > now.wall_s}

    async def _say(self, override: Override) -> None:
        kept = await self._operator.set_override(override, replace=True)
        self._said[kept.site, kept.owner] = kept
