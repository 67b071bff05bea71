"""The page that describes the routes can be read without internet, and runs nothing."""

import hashlib
from base64 import b64encode
from html.parser import HTMLParser

from typing_extensions import override

from heimdall.api.docs_page import render
from tests.api.client import Api


class Page(HTMLParser):
    """What a browser would load, run or follow; and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.loaded: list[str] = []
        self.handlers: list[str] = []
        self.style = ""
        self.text = ""
        self._is_style = False
        self.feed(text)

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._is_style = tag == "style"
        for name, value in attrs:
            if name == "href":
                self.links.append(value or "")
            elif name == "id":
                self.ids.add(value or "")
            elif name in {"src", "action", "data", "srcset", "style"}:
                self.loaded.append(value or "")
            elif name.startswith("on"):
                self.handlers.append(name)

    @override
    def handle_data(self, data: str) -> None:
        if self._is_style:
            self.style += data
            self._is_style = False
        else:
            self.text += data


def test_it_loads_nothing_and_runs_nothing(api: Api) -> None:
    answer = api.client.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    page = Page(answer.text)
    assert page.tags & {"script", "link", "img", "iframe", "object", "embed", "base", "form"} == set()
    assert (page.loaded, page.handlers) == ([], [])
    assert {link for link in page.links if not link.startswith("#")} == {"/openapi.json"}
    assert {link[1:] for link in page.links if link.startswith("#")} <= page.ids
    assert "url(" not in page.style
    assert "@import" not in page.style
    digest = b64encode(hashlib.sha256(page.style.encode()).digest()).decode()
    policy = answer.headers["content-security-policy"]
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}'; ")
    assert "unsafe" not in policy


def test_it_has_every_route_and_socket(api: Api) -> None:
    text = Page(api.client.get("/docs").text).text
    paths = api.client.get("/openapi.json").json()["paths"]
    assert len(paths) > 20
    for path in [*paths, "/ws", "/ws/training/{job_id}"]:
        assert path in text


def test_the_root_leads_to_it(api: Api) -> None:
    answer = api.client.get("/", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "/docs")


def test_what_a_trainer_says_of_itself_is_text() -> None:
    evil = "<script>alert(1)</script>'\"><img src=x>"
    parameter = {"name": evil, "in": "query", "description": evil, "schema": {"default": evil}}
    answers = {"200": {"description": evil}}
    operation = {"tags": [evil], "description": evil, "parameters": [parameter], "responses": answers}
    document = {
        "info": {"title": evil, "version": evil, "description": evil},
        "paths": {f"/{evil}": {"get": operation}},
        "components": {"schemas": {evil: {"description": evil}}},
    }
    page = Page(render(document, {evil: evil}, root="/lab"))
    assert page.tags & {"script", "img"} == set()
    assert page.links == ["/lab/openapi.json"]
