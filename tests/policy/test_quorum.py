"""evidence.md, section 3: quorum over the configured vantages."""

import pytest

from gslb.domain.health import Verdict
from gslb.domain.topology import SiteName, VantageName
from gslb.policy.quorum import Vote, quorum

EU = SiteName("eu")
VOTES = {
    "U": Vote(verdict=Verdict.UP, local=False),
    "L": Vote(verdict=Verdict.DOWN, local=True),
    "P": Vote(verdict=Verdict.DOWN, local=False),
    "?": Vote(verdict=Verdict.UNKNOWN, local=False),
}


@pytest.mark.parametrize(
    ("vantages", "votes", "verdict"),
    [
        # One configured vantage: what it says (4.2 asks more of its silence).
        ("-", "U", "up"),
        ("-", "L", "down"),
        ("-", "P", "down"),
        ("-", "?", "unknown"),
        ("-", " ", "unknown"),
        # Local causes: more than half of all configured vantages, the own site's too.
        ("eu us -", "LLU", "down"),
        ("eu us -", "LUU", "up"),
        ("eu us -", "L??", "unknown"),
        ("eu us -", "LL ", "down"),
        # The denominator is the configuration, never who is alive.
        ("eu us - -", "LL  ", "unknown"),
        # Path causes: more than half of those outside the site, and at least two of them.
        ("eu us -", "UPP", "down"),
        ("eu us -", "PPU", "unknown"),
        ("us - - -", "PPUU", "unknown"),
        ("us - - -", "PPPU", "down"),
        # Two vantages, one in each of two sites, never drain on silence.
        ("eu us", "UP", "unknown"),
        ("eu us", "PP", "unknown"),
        # Nor does half of them call it up.
        ("eu us", "U?", "unknown"),
        ("eu us", "UU", "up"),
    ],
)
def test_votes_give_one_verdict(vantages: str, votes: str, verdict: str) -> None:
    configured = {
        VantageName(f"v{n}"): None if site == "-" else SiteName(site)
        for n, site in enumerate(vantages.split())
    }
    cast = {name: VOTES[mark] for name, mark in zip(configured, votes, strict=True) if mark != " "}
    assert quorum(cast, configured, EU) == verdict


def test_who_is_not_configured_has_no_vote() -> None:
    votes = {VantageName("here"): VOTES["U"], VantageName("stranger"): VOTES["L"]}
    assert quorum(votes, {VantageName("here"): None}, EU) is Verdict.UP
