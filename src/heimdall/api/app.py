"""Puts the surface together."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from heimdall.api import docs_page, health, login
from heimdall.api.access import Access, TokenBook
from heimdall.api.errors import install_error_handlers
from heimdall.api.forwarded import ForwardedHeaders
from heimdall.api.guard import Guard, HostGuard
from heimdall.api.head import HeadAsGet
from heimdall.api.limits import RateLimit
from heimdall.api.live import sockets
from heimdall.api.live.hub import Hub
from heimdall.api.openapi import install_openapi, operation_id
from heimdall.api.remembered import Remembered
from heimdall.api.services import ApiOptions, ApiServices
from heimdall.api.slow import SlowCalls
from heimdall.api.training import router as training

ROUTE_THREADS = 16
DESCRIPTION = "Creates, queues, runs, watches, pauses, resumes and recovers model-training jobs."


def create_app(services: ApiServices, options: ApiOptions) -> FastAPI:
    """The ASGI application. `app.state.hub.stop()` ends all streams, so that a server can shut down at once."""
    hub = Hub(services.jobs, services.history, services.signal)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = ROUTE_THREADS
        async with anyio.create_task_group() as group:
            group.start_soon(hub.run)
            yield
            hub.stop()
            group.cancel_scope.cancel()

    app = FastAPI(
        title="Heimdall",
        version=options.version,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=operation_id,
    )
    app.state.services = services
    app.state.options = options
    app.state.hub = hub
    app.state.slow_calls = SlowCalls()
    app.state.token_book = TokenBook(services.tokens.known)
    app.state.readiness = Remembered(services.readiness)
    app.state.login_failures = RateLimit(options.failed_logins_per_minute)
    app.include_router(health.router)
    app.include_router(docs_page.router)
    # The guard refuses a length that is declared; this cuts off a body that does not declare one.
    limit = options.max_body_bytes
    app.include_router(training, prefix="/api/v1/training", max_body_size=limit)
    app.include_router(training, prefix="/v1/training", max_body_size=limit, include_in_schema=False)
    app.include_router(login.router, max_body_size=limit)
    app.include_router(sockets.router)
    install_error_handlers(app)
    install_openapi(app, services.specs(), DESCRIPTION)
    _add_middleware(app, options)
    return app


def _add_middleware(app: FastAPI, options: ApiOptions) -> None:
    """The last one added is the first to see a request."""
    app.add_middleware(HeadAsGet, routes=app.routes)
    app.add_middleware(
        Access,
        book=app.state.token_book,
        requests=RateLimit(options.requests_per_minute),
        failures=app.state.login_failures,
    )
    if options.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=sorted(options.allowed_origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["X-Total-Count", "ETag"],
        )
    app.add_middleware(
        Guard,
        allowed_origins=options.allowed_origins,
        max_body_bytes=options.max_body_bytes,
    )
    app.add_middleware(HostGuard, allowed_hosts=options.allowed_hosts)
    app.add_middleware(ForwardedHeaders, trusted=options.trusted_proxies)
    app.add_middleware(HostGuard, allowed_hosts=options.allowed_hosts)
