"""What we trust: the system's authorities, or the one that is named and no other."""

import ssl
from pathlib import Path

from gslb.domain.errors import WireError
from gslb.domain.health import Cause

_contexts: dict[Path | None, tuple[tuple[int, ...], ssl.SSLContext]] = {}


def client_context(ca: Path | None) -> ssl.SSLContext:
    """TLS ≥ 1.2 with names checked; `ca` pins the authorities in that file (PEM).

    The same context until the file changes, so that connections can be kept; the last good one
    while the file cannot be read. WireError (`local`) if there is none yet.
    """
    kept = _contexts.get(ca)
    try:
        stamp = _stamp(ca)
        if kept is None or kept[0] != stamp:
            kept = (stamp, new_context(ca))
            _contexts[ca] = kept
    except (OSError, ssl.SSLError) as error:
        if kept is None:
            reason = error.strerror if error.errno and error.strerror else error
            text = f"the CA file {ca} cannot be used: {reason}"
            raise WireError(Cause.LOCAL, text) from error
    return kept[1]


def _stamp(ca: Path | None) -> tuple[int, ...]:
    if ca is None:
        return ()
    stat = ca.stat()
    return (stat.st_mtime_ns, stat.st_ino, stat.st_size)


def new_context(ca: Path | str | None) -> ssl.SSLContext:
    """One that nobody shares. OSError where the file cannot be used."""
    context = ssl.create_default_context(cafile=ca)  # with a file, the system's are not loaded
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Python 3.13 sets it, and then refuses private authorities without `keyUsage` that Python
    # 3.11 takes: the same file must do on Debian 12 and 13.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context
