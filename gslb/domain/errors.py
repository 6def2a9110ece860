"""What can go wrong outside, as one tree. What we did wrong ourselves is an `assert`.

GslbError
├── ConfigError          the file is wrong; every mistake with its place
├── WireError            talking failed; carries the cause that the policy turns on
├── BackendError         a backend could not be read or changed; what it serves is unknown now
│   ├── BackendRefused   it answered, and said no: nothing was changed
│   └── BackendFenced    what it holds is not what the plan expected: nothing was changed
└── StoreError           the store could not keep or give something
    └── StoreConflict    it holds something newer than the writer had seen
"""


class GslbError(Exception):
    """The root: one clear sentence, with the place in it."""


class ConfigError(GslbError):
    """The configuration is wrong; `problems` has one sentence a mistake."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class WireError(GslbError):
    """Talking failed. `cause` is a value of `health.Cause`."""

    def __init__(self, cause: str, text: str) -> None:
        super().__init__(text)
        self.cause = cause


class BackendError(GslbError):
    """A backend could not be read or changed."""


class BackendRefused(BackendError):
    """The backend answered and said no; nothing was changed."""


class BackendFenced(BackendError):
    """The backend does not hold what the plan expected; nothing was changed."""


class StoreError(GslbError):
    """The store could not keep or give something."""


class StoreConflict(StoreError):
    """The store holds something newer than what the writer had seen."""
