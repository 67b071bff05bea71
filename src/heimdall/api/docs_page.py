"""A page that describes every route, made from the OpenAPI document. It loads nothing: neither a script nor a style of
anybody else can run in the origin that holds the session cookie, and it can be read without internet."""

import hashlib
import json
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import Any

from fastapi import APIRouter, Request
from fastapi.routing import APIWebSocketRoute, iter_route_contexts
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import BaseRoute

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
:root { color-scheme: light dark }
code, pre { font: 14px/1.4 ui-monospace, monospace }
pre { overflow-x: auto; padding: .5rem; border: 1px solid #8886 }
details { margin: .25rem 0; padding-left: 1rem } summary { margin-left: -1rem; cursor: pointer }
table { border-collapse: collapse } td, th { text-align: left; vertical-align: top; padding: .1rem 1rem .1rem 0 }
b { display: inline-block; min-width: 4.5rem }
"""
POLICY = (
    f"default-src 'none'; style-src 'sha256-{b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
router = APIRouter()


@router.get("/", include_in_schema=False)
async def get_root(request: Request) -> Response:
    return RedirectResponse(f"{request.scope.get('root_path', '')}/docs")


@router.get("/docs", include_in_schema=False)
async def get_docs(request: Request) -> Response:
    page = render(request.app.openapi(), sockets_of(request.app.routes), root=request.scope.get("root_path", ""))
    return HTMLResponse(page, headers=HEADERS)


def sockets_of(routes: Sequence[BaseRoute]) -> dict[str, str]:
    """What each WebSocket is for, by path: an OpenAPI document has no place for them."""
    found = [route.original_route for route in iter_route_contexts(routes)]
    return {route.path: route.endpoint.__doc__ or "" for route in found if isinstance(route, APIWebSocketRoute)}


def render(document: Mapping[str, Any], sockets: Mapping[str, str], *, root: str) -> str:
    """`root`: what a proxy takes off every path."""
    info = document["info"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>{escape(info['title'])} API</title><style>{STYLE}</style>",
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1><p>{escape(info.get('description', ''))}",
        f"<p>For programs: <a href='{escape(root)}/openapi.json'>openapi.json</a>. With tokens in use, requests send ",
        "<code>Authorization: Bearer …</code>.",
    ]
    operations = [
        (operation.get("tags", ["other"])[0], method, path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]
    for tag, group in groupby(sorted(operations, key=lambda found: found[0]), key=lambda found: found[0]):
        parts.append(f"<h2>{escape(tag.capitalize())}</h2>")
        for _, method, path, operation in group:
            parts += _operation(method, path, operation)
    parts.append("<h2>WebSockets</h2><table>")
    parts += [f"<tr><td><code>{escape(path)}</code><td>{escape(text)}" for path, text in sockets.items()]
    parts.append("</table><h2>Schemas</h2>")
    for name, schema in sorted(document["components"]["schemas"].items()):
        parts.append(f"<details id='{escape(name)}'><summary>{escape(name)}</summary>{_json(schema)}</details>")
    return "\n".join(parts)


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    text = operation.get("description") or operation.get("summary", "")
    yield f"<details><summary><b>{method.upper()}</b> <code>{escape(path)}</code></summary><p>{escape(text)}"
    if parameters := operation.get("parameters"):
        yield "<table><tr><th>parameter<th>in<th>meaning<th>values"
        for entry in parameters:
            name = entry["name"] + (" (required)" if entry.get("required") else "")
            cells = [name, entry["in"], entry.get("description", ""), json.dumps(_plain(entry.get("schema", {})))]
            yield "<tr>" + "".join(f"<td>{escape(cell)}" for cell in cells)
        yield "</table>"
    if body := operation.get("requestBody"):
        yield f"<p>Body: {_content(body)}"
    for status, answer in operation["responses"].items():
        yield f"<p>{escape(status)} {escape(answer.get('description', ''))} {_content(answer)}"
    yield "</details>"


def _content(holder: Mapping[str, Any]) -> str:
    return "".join(
        f"<code>{escape(media_type)}</code> {_schema(entry.get('schema', {}))} "
        for media_type, entry in holder.get("content", {}).items()
    )


def _schema(schema: Mapping[str, Any]) -> str:
    """A link to a schema by name, or the schema itself."""
    if set(schema) == {"$ref"}:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f"<a href='#{name}'>{name}</a>"
    return _json(schema) if schema else ""


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Without what the table says already."""
    return {name: value for name, value in schema.items() if name not in {"title", "description"}}


def _json(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"
