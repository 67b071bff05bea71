"""A browser's way in: a token becomes a session cookie."""

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, SecretStr
from starlette.responses import JSONResponse, Response

from heimdall.api.access import COOKIE, Caller, refused_login
from heimdall.api.json_body import StrictRoute
from heimdall.api.openapi import problems
from heimdall.api.training.requests import Strict
from heimdall.domain.access import Role, Token

SESSION_SECONDS = 30 * 24 * 3600
router = APIRouter(prefix="/api/v1", tags=["access"], route_class=StrictRoute)


class Login(Strict):
    token: Annotated[SecretStr, Field(min_length=1, max_length=1000)]


class Session(BaseModel):
    """Who calls; both are null where the service is used without tokens."""

    name: str | None
    role: Role | None


@router.post("/login", response_model=Session, responses=problems(401, 429))
async def log_in(request: Request, body: Login) -> Response:
    """Check a token and set it as the session cookie."""
    secret = body.token.get_secret_value()
    token = await request.app.state.token_book.find(secret)
    if token is None:
        return refused_login(request.scope, request.app.state.login_failures, is_given=True)
    response = JSONResponse(_session(token).model_dump(mode="json"))
    # The token itself: a session id would be one more secret to keep, to check and to revoke. Scripts cannot read it,
    # and no other site can make a browser send it.
    response.set_cookie(
        COOKIE,
        secret,
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


@router.post("/logout", status_code=204)
async def log_out() -> Response:
    """Take the session cookie back."""
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


@router.get("/session")
async def get_session(token: Caller) -> Session:
    return _session(token)


def _session(token: Token | None) -> Session:
    return Session(name=token.name if token else None, role=token.role if token else None)
