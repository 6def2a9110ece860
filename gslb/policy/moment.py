"""The present instant of one step."""


class Moment:
    """Now, remembering the next instant at which a rule that depends on time could say otherwise.

    Every such rule asks `reached`, so the earliest moment it was told to wait for is, by
    construction, the earliest at which an empty step could say anything new.
    """

    def __init__(self, now_s: float) -> None:
        self.now_s = now_s
        self.wake_at_s: float | None = None

    def reached(self, at_s: float) -> bool:
        """Is it `at_s` (boot clock, seconds) or later?"""
        if self.now_s >= at_s:
            return True
        if self.wake_at_s is None or at_s < self.wake_at_s:
            self.wake_at_s = at_s
        return False
