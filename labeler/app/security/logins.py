"""Streamlit's login instead of the token, for the people whom the owner has listed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.types import Scope

from labeler.app.security.connections import UNKNOWN_ACCOUNT, account_of
from labeler.app.security.hosts import is_loopback
from labeler.app.server.streamlit_settings import active_secrets_files

# What logging in consists of; Streamlit checks by itself what is brought there.
LOGIN_PATHS = ("/auth/login", "/auth/logout", "/oauth2callback")
MIN_SECRET_LENGTH = 32  # characters: whoever guesses it can write the cookie


def is_allowed(scope: Scope) -> bool:
    """Return whether the request is of a listed person, or part of logging in."""
    auth, people = _settings()
    if _missing(auth, people):
        return False
    if scope["path"] in LOGIN_PATHS:
        return scope["type"] == "http" and scope["method"] in ("GET", "HEAD")
    named = _names_of_user(_user_in_cookie(HTTPConnection(scope).cookies)) & people
    return bool(named) and not _is_other_account(scope)


def login_links() -> list[tuple[str, str]]:
    """Return label and address of each way to log in; none where login is not used."""
    # Imported where they are used: the guards answer while Streamlit is still loading.
    from streamlit.auth_util import encode_provider_token

    auth, people = _settings()
    if _missing(auth, people):
        return []
    named = [name for name, part in auth.items() if isinstance(part, Mapping) and "_" not in name]
    providers = ["default"] if "client_id" in auth else named
    return [
        (
            "Log in" if provider == "default" else f"Log in with {provider}",
            f"{LOGIN_PATHS[0]}?provider={encode_provider_token(provider)}",
        )
        for provider in providers
    ]


def unused_login_message() -> str | None:
    """Return why a configured login is not used, as a sentence."""
    auth, people = _settings()
    missing = _missing(auth, people)
    return f"The login in {_secrets_files()} is not used: {missing}" if auth and missing else None


def active_login_message() -> str | None:
    """Return whose login is accepted besides the token, as a sentence; None where there is none."""
    auth, people = _settings()
    if _missing(auth, people):
        return None
    return f"The login in {_secrets_files()} lets in: {', '.join(sorted(people))}."


def _secrets_files() -> str:
    return " and ".join(active_secrets_files()) or "secrets.toml"


def _missing(auth: Mapping[str, Any], people: frozenset[str]) -> str | None:
    if not auth:
        return "there is none."
    if not people:
        return "name who may come in, as people = [...] below [labeler] there."
    if len(str(auth.get("cookie_secret", ""))) < MIN_SECRET_LENGTH:
        return f"its cookie_secret must have {MIN_SECRET_LENGTH} characters or more."
    return None if _is_installed() else "install what it needs: pip install 'streamlit[auth]'"


def _is_installed() -> bool:
    from streamlit.auth_util import encode_provider_token
    from streamlit.errors import StreamlitAuthError, StreamlitMissingAuthlibError

    try:
        return bool(encode_provider_token("default"))
    except (StreamlitAuthError, StreamlitMissingAuthlibError, ImportError):
        return False


def _settings() -> tuple[Mapping[str, Any], frozenset[str]]:
    """Return the section [auth], empty where there is none, and the listed people."""
    from streamlit.runtime.secrets import secrets_singleton as secrets

    if not secrets.load_if_toml_exists():
        return {}, frozenset()
    auth, ours = secrets.get("auth"), secrets.get("labeler")
    people = ours.get("people") if isinstance(ours, Mapping) else None
    return auth if isinstance(auth, Mapping) else {}, _listed_people(people)


def _listed_people(people: object) -> frozenset[str]:
    """Return one name or a list of them as a list; nobody, where it is anything else."""
    listed = [people] if isinstance(people, str) else people
    if not isinstance(listed, list | tuple) or not all(isinstance(one, str) for one in listed):
        return frozenset()
    return frozenset(_normalized(one) for one in listed if one.strip())


def _normalized(name: str) -> str:
    """Return the name as it is compared: case is ignored in e-mail addresses only."""
    return name.strip().casefold() if "@" in name else name.strip()


def _user_in_cookie(cookies: Mapping[str, str]) -> Mapping[str, Any]:
    """Return what the cookie of Streamlit's login says, if it is signed and of this app."""
    from streamlit.auth_util import get_cookie_with_chunks, get_origin_from_redirect_uri
    from streamlit.web.server.server_util import get_cookie_secret
    from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
    from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

    def signed(name: str) -> bytes | None:
        value = cookies.get(name, "")
        return decode_signed_value(get_cookie_secret(), name, value.encode("latin-1", "replace"))

    try:
        user = json.loads(get_cookie_with_chunks(signed, USER_COOKIE_NAME) or b"{}")
    except ValueError:
        return {}
    origin = get_origin_from_redirect_uri()
    ours = origin is not None and user.get("origin") == origin
    return user if ours and user.get("is_logged_in") is True else {}


def _is_other_account(scope: Scope) -> bool:
    """Return whether another account of this machine sends a cookie made for this machine alone.

    Browsers send it to every port of the machine, whoever listens there. A cookie for another name
    comes through a reverse proxy, which may have an account of its own.
    """
    from streamlit.auth_util import get_origin_from_redirect_uri

    host = urlsplit(get_origin_from_redirect_uri() or "").hostname
    account = account_of(scope) if is_loopback(host) else UNKNOWN_ACCOUNT
    return account != UNKNOWN_ACCOUNT and account != str(os.getuid())


def _names_of_user(user: Mapping[str, Any]) -> frozenset[str]:
    """Return the names by which a person may be listed."""
    sub, email = str(user.get("sub") or ""), str(user.get("email") or "")
    names = [] if "@" in sub else [sub]
    if "@" in email and user.get("email_verified") is True:
        names.append(email)
    return frozenset(_normalized(name) for name in names if name.strip())
