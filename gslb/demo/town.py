"""All that the demo imitates: three sites with their stores, what they share, and a nameserver."""

import secrets
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from gslb.api.problem import ApiProblem
from gslb.demo.door import Breakable
from gslb.demo.nameserver import Nameserver
from gslb.demo.sites import Location, QuaySite, Shared, shared_database, shared_redis
from gslb.demo.stores import Store

ADDRESSES = {"eu": "127.0.0.11", "us": "127.0.0.12", "ap": "127.0.0.13"}
SERVICE, ZONE = "quay.demo", "demo"
RECORDS = "@ 30 IN SOA ns host 1 3600 600 86400 5\n@ 30 IN NS ns\nns 30 IN A 127.0.0.1\n"
PREFERENCES = ("own", "listed")


@dataclass(kw_only=True)
class Town:
    """What runs, by site, and the secrets that the controller needs."""

    sites: dict[str, QuaySite] = field(default_factory=dict)
    stores: dict[str, Store] = field(default_factory=dict)
    nameserver: Nameserver
    controller_key: tuple[str, str]
    tsig: tuple[str, str]
    database: Shared = field(default_factory=shared_database)
    redis: Shared = field(default_factory=shared_redis)

    @property
    def port(self) -> int:
        """Of Quay, the same at each site."""
        return self.sites["eu"].port

    @property
    def answer(self) -> set[str]:
        """The sites in the answer that the nameserver gives now."""
        found = self.nameserver.answers(SERVICE)
        return {name for name, address in ADDRESSES.items() if address in found}

    def parts(self, site: str) -> dict[str, Breakable]:
        """What can be broken at a site: `path` is only the controller's way to the store, and
        `database` and `redis` are the same at all sites. Raises KeyError."""
        store = self.stores[site]
        own = {"quay": self.sites[site], "store": store, "path": store.path}
        return {**own, "database": self.database, "redis": self.redis}

    @property
    def faults(self) -> dict[str, dict[str, str]]:
        """What is broken now, by site and part."""
        return {s: {p: b.fault for p, b in self.parts(s).items() if b.fault} for s in self.sites}

    async def set_fault(self, site: str, part: str, fault: str | None) -> None:
        """Break or mend a part. KeyError: no such site or part; ValueError: no such fault."""
        await self.parts(site)[part].set_fault(fault)

    async def mend(self, site: str | None = None) -> None:
        """Mend all parts of a site, or of all."""
        for name in [site] if site else self.sites:
            for part in self.parts(name).values():
                await part.set_fault(None)


@asynccontextmanager
async def open_town(
    *,
    version: str = "3.18.0",
    preference: str = "own",
    readonly: bool = False,
    pace: float = 1.0,
    slow_s: float = 0.6,
) -> AsyncIterator[Town]:
    """Bring all up on free ports. `preference`: each site's own store, or all stores `listed`."""
    keys = {f"{who}-demo": secrets.token_hex(20) for who in ("gslb", "quay")}
    tsig = secrets.token_hex(32)
    async with AsyncExitStack() as opened:
        server = await opened.enter_async_context(Nameserver(ZONE, RECORDS, {"gslb": tsig}))
        key = ("gslb-demo", keys["gslb-demo"])
        town = Town(nameserver=server, controller_key=key, tsig=("gslb", tsig))
        for name, address in ADDRESSES.items():
            store = Store(keys, controller_key=key[0], address=address, slow_s=slow_s)
            town.stores[name] = await opened.enter_async_context(store)
        locations = {
            name: Location(url=store.url, key_id="quay-demo", secret=keys["quay-demo"])
            for name, store in town.stores.items()
        }
        port = port_of_all(ADDRESSES.values())
        for name, address in ADDRESSES.items():
            town.sites[name] = await opened.enter_async_context(
                QuaySite(
                    locations,
                    ["us", "eu", "ap"] if preference == "listed" else [name],
                    database=town.database,
                    redis=town.redis,
                    version=version,
                    readonly=readonly,
                    address=address,
                    port=port,
                    pace=pace,
                    slow_s=slow_s,
                )
            )
        yield town


def port_of_all(addresses: Iterable[str]) -> int:
    """A port that is free at each of `addresses` now."""
    while True:
        with ExitStack() as held:
            port = 0
            try:
                for address in addresses:
                    bound = held.enter_context(socket.socket())
                    bound.bind((address, port))
                    port = bound.getsockname()[1]
            except OSError:
                continue
            return port


def switchboard(town: Town) -> list[web.RouteDef]:
    """PUT `{"fault": "hang"}` to break a part, DELETE to mend it or a site, GET shows all."""

    async def shown(_: web.Request) -> web.Response:
        kinds = {part: sorted(b.faults) for part, b in town.parts("eu").items()}
        return web.json_response({"faults": town.faults, "parts": kinds})

    async def switched(request: web.Request) -> web.Response:
        site, part = request.match_info["site"], request.match_info.get("part")
        try:
            if request.method == "PUT":
                fault = dict(await request.json()).get("fault")
                await town.set_fault(site, str(part), str(fault))
            elif part:
                await town.set_fault(site, part, None)
            else:
                await town.mend(site)
        except KeyError as error:
            return ApiProblem(404, "Unknown part", f"there is no {error}").response()
        except (TypeError, ValueError) as error:
            return ApiProblem(422, "Unknown fault", f'send {{"fault": …}}: {error}').response()
        return await shown(request)

    return [
        web.get("/demo/faults", shown),
        web.put("/demo/faults/{site}/{part}", switched),
        web.delete("/demo/faults/{site}/{part}", switched),
        web.delete("/demo/faults/{site}", switched),
    ]
