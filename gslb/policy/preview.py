"""What would follow from a word, by the very functions that make the plan."""

from gslb.domain.control import Now, Override
from gslb.domain.topology import SiteName
from gslb.domain.words import Preview
from gslb.domain.world import World


def preview(
    world: World,
    now: Now,
    *,
    add: tuple[Override, ...] = (),
    drop: tuple[SiteName, ...] = (),
    live: bool | None = None,
) -> Preview:
    """The changes and the guards' words if these overrides were said (`add`), all persons'
    overrides of these sites released (`drop`), or the mode were live."""
    ...
