"""The part of the configuration that the API needs, in its own terms."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gslb.api.alerts import AlertRule
from gslb.api.face import ApiSettings
from gslb.config.load import Configuration
from gslb.domain.control import Action
from gslb.reporters.metrics import Metrics
from gslb.wire.credentials import Secret


def api_settings(configuration: Configuration, metrics: Metrics) -> ApiSettings:
    """Where to listen, whom to believe, and which alerts may drain."""
    api, alerts = configuration.api, configuration.alerts
    watchdog = alerts.watchdog
    return ApiSettings(
        cluster=configuration.topology.cluster,
        replica=configuration.replica,
        listen=_listen(api.listen),
        metrics=_listen(configuration.metrics) if configuration.metrics else None,
        socket=Path(api.socket) if Path(api.socket).parent.is_dir() else None,
        tls_cert=Path(api.tls.cert) if api.tls else None,
        tls_key=Path(api.tls.key) if api.tls else None,
        tls_clients=Path(api.tls.clients) if api.tls and api.tls.clients else None,
        tokens=Path(str(api.tokens).removeprefix("file:")) if api.tokens else None,
        alert_rules=tuple(
            AlertRule(
                name=rule.match.get("alertname", f"rule-{number}"),
                match=rule.match,
                site=rule.site,
                do=Action(rule.do),
                for_s=rule.for_,
                repeat_s=rule.repeat,
                release_delay_s=rule.release_delay,
            )
            for number, rule in enumerate(alerts.rules, 1)
        ),
        alert_token=Secret(str(alerts.token)) if alerts.token else None,
        alert_watchdog=(watchdog.alertname, watchdog.within) if watchdog else None,
        config=lambda: _shown(configuration),
        observe=metrics.api,
        count=metrics.count,
        put=metrics.put,
    )


def _listen(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _shown(configuration: Configuration) -> Mapping[str, Any]:
    """Every value in force with its origin; secrets are references in it, never their content."""
    return {
        "path": configuration.path,
        "digest": configuration.topology.digest,
        "warnings": list(configuration.warnings),
        "values": {k: {"value": v, "from": o} for k, (v, o) in configuration.origins.items()},
    }
