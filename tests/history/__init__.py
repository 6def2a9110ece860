"""One judge over merged histories: what the product wrote, what pollers saw, what drivers did.

Lines and their fields: `lines.py`. Invariants: `written.py` (what was sent) and `seen.py` (what was
served). `python -m tests.history FILE… [--only I4]` judges files.
"""

from tests.history.judging import INVARIANTS, Violation, judge
from tests.history.lines import Line, Lines, config_of, read

__all__ = ["INVARIANTS", "Line", "Lines", "Violation", "config_of", "judge", "read"]
