"""The document, held against the routes and against the bodies that are really read and sent."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from gslb.api import actions, whatif
from gslb.api.face import ApiSettings
from gslb.api.server import make_app
from tests.api.fake_operator import EU, FakeOperator, a_world, down
from tests.api.live import live

TEXT = (Path(actions.__file__).parent / "openapi.yaml").read_text(encoding="utf-8")
DOCUMENT: dict[str, Any] = yaml.safe_load(TEXT)
METHODS = {"get", "put", "post", "delete", "head", "options"}


def test_the_document_names_exactly_the_routes_that_there_are() -> None:
    settings = ApiSettings(cluster="test", replica="ctl-1")
    app = make_app(FakeOperator(), settings, metrics=lambda: b"")
    routes = {
        (route.method.lower(), route.resource.canonical)
        for route in app.router.routes()
        if route.resource
    }
    named = {(m, path) for path, verbs in DOCUMENT["paths"].items() for m in METHODS & set(verbs)}
    assert named == routes


def test_each_operation_has_a_summary_responses_and_the_parameters_of_its_path() -> None:
    seen: list[str] = []
    for path, verbs in DOCUMENT["paths"].items():
        given = {p["name"] for p in verbs.get("parameters", []) if p["in"] == "path"}
        assert given == set(re.findall(r"\{(\w+)\}", path)), path
        for method in METHODS & set(verbs):
            assert verbs[method]["summary"]
            assert verbs[method]["responses"]
            seen.append(verbs[method]["operationId"])
    assert len(seen) == len(set(seen))


def test_every_reference_leads_somewhere() -> None:
    for reference in re.findall(r'"#/([^"]+)"', TEXT):
        at: Any = DOCUMENT
        for part in reference.split("/"):
            at = at[part]


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("PutOverride", actions.OverrideBody),
        ("PutPause", actions.PauseBody),
        ("PutMode", actions.ModeBody),
        ("Reload", actions.ReloadBody),
        ("Reason", actions.Words),
        ("WhatIf", whatif.PlanBody),
        ("Look", whatif.ProbeBody),
    ],
)
def test_the_bodies_in_the_document_are_the_bodies_that_are_read(
    name: str, model: type[BaseModel]
) -> None:
    schema = DOCUMENT["components"]["schemas"][name]
    fields = {f.alias or key: f.is_required() for key, f in model.model_fields.items()}
    assert set(schema["properties"]) == set(fields)
    assert set(schema.get("required", ())) == {key for key, needed in fields.items() if needed}


def fits(body: object, name: str) -> None:
    """Is `body` what the document says?"""
    registry: Registry[Any] = Registry().with_resource(
        "doc", Resource(contents=DOCUMENT, specification=DRAFT202012)
    )
    schema = {"$ref": f"doc#/components/schemas/{name}"}
    Draft202012Validator(schema, registry=registry).validate(body)


async def test_what_is_sent_is_what_the_document_says(tmp_path: Path) -> None:
    drain = {"action": "drain", "reason": "r"}
    async with live(tmp_path, FakeOperator(down(a_world(), EU))) as api:
        fits((await api.put("/v1/sites/us/override", drain)).body, "Accepted")
        for site in (await api.get("/v1/sites")).body["sites"]:
            fits(site, "Site")
        fits((await api.get("/v1/sites/us/override")).body["overrides"][0], "Override")
        fits((await api.get("/v1/sites/nowhere")).body, "Problem")
        said = await api.get("/v1/openapi.yaml", None)
    assert said.headers["Content-Type"].startswith("application/yaml")
    assert yaml.safe_load(said.body) == DOCUMENT
