"""The path by which a request is judged, wherever the application is mounted."""

from starlette.types import Scope

# What a load balancer asks before it knows a host name of this service.
PROBES = frozenset({"/health", "/healthz", "/readyz"})


def route_path(scope: Scope) -> str:
    """The path that routes are matched with: without the `root_path` that the server puts in front of it."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    rest = path.removeprefix(root)
    return rest if rest == "" or rest.startswith("/") else path


def is_probe(scope: Scope) -> bool:
    return scope["type"] == "http" and route_path(scope) in PROBES
