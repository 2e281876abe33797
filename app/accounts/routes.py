"""Signing in and out."""

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from app.accounts import signing_in
from app.accounts.contexts import AccountPage, LoginPage
from app.accounts.forms import LoginForm, local_path
from app.accounts.known_browser import mark_browser
from app.accounts.sessions import end_session, find_visitor
from app.web.cookies import clear_session_cookie, session_cookie, set_session_cookie
from app.web.dependencies import CurrentResearcher, CurrentVisitor, SessionDep, SettingsDep
from app.web.limiting import check_limit
from app.web.templating import page, redirect
from app.web.visitors import Visitor

router = APIRouter()

WRONG = "The name or the password is wrong."


@router.get("/login")
def login_page(request: Request, visitor: CurrentVisitor, next: str = "/") -> Response:
    if visitor is not None:
        return redirect(local_path(next))
    return page(request, LoginPage(name="", next=local_path(next), problem=""))


@router.post("/login")
def login(request: Request, form: Annotated[LoginForm, Form()], settings: SettingsDep) -> Response:
    check_limit(request, "login-anyone")
    check_limit(request, "login", form.name)
    password = form.password.get_secret_value()
    value = signing_in.sign_in(request.app.state.database, settings, form.name, password, session_cookie(request))
    if value is None:
        return page(request, LoginPage(form.name, local_path(form.next), WRONG), status=401)
    response = redirect(local_path(form.next))
    set_session_cookie(response, value, settings)
    with request.app.state.database.reading() as session:
        _mark(request, response, find_visitor(session, value))
    return response


@router.get("/account")
def account_page(request: Request, visitor: CurrentResearcher) -> Response:
    return page(request, AccountPage(visitor.name, visitor.role))


@router.post("/logout")
def logout(request: Request, session: SessionDep, settings: SettingsDep, visitor: CurrentVisitor) -> Response:
    value = session_cookie(request)
    if value is not None:
        end_session(session, value)
    response = redirect("/login", notice="You are signed out.")
    clear_session_cookie(response, settings)
    # Again, for browsers that were signed in before there was a mark.
    _mark(request, response, visitor)
    return response


def _mark(request: Request, response: Response, visitor: Visitor | None) -> None:
    if visitor is not None and visitor.account_id is not None:
        mark_browser(request, response, visitor.account_id)
