"""Faults planted one by one into a copy of the house: each must be caught by a test.

`python -m tests.planted [NAME…] [-j N]` plants them and prints what caught each.
"""

from tests.planted.faults import FAULTS, Fault

__all__ = ["FAULTS", "Fault"]
