"""Faults by HTTP: the routes beside the API of a running demo, and the asking for them."""

import aiohttp
from aiohttp import web

from gslb.api.problem import ApiProblem
from gslb.demo.town import Town


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


async def break_part(url: str, token: str, site: str, part: str, fault: str | None) -> str:
    """Ask a running demo's switchboard (None: mend; part "": all of the site).

    Gives what was wrong, or "". Raises aiohttp.ClientError when it is not there."""
    headers, path = {"Authorization": f"Bearer {token}"}, f"{url}/demo/faults/{site}/{part}"
    method, body = ("PUT", {"fault": fault}) if fault else ("DELETE", None)
    async with (
        aiohttp.ClientSession(headers=headers) as client,
        client.request(method, path.rstrip("/"), json=body) as said,
    ):
        return "" if said.ok else str((await said.json(content_type=None))["detail"])
