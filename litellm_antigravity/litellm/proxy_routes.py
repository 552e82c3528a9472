"""What the proxy serves of ours over HTTP, behind LiteLLM's own authentication and roles.

``/antigravity/usage`` is for every key, and names nobody; the others are for proxy admins and those who may view all
that these may. The page itself is for everybody: there is nothing in it but what it asks of the others, with the key of
whoever looks at it. A new view is a method of `_Views` and a line in `VIEWS`.
"""

from __future__ import annotations

import contextlib
import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from litellm_antigravity.errors import AntigravityError
from litellm_antigravity.lease import LeaseRequest
from litellm_antigravity.litellm.deployments import known_to, models_behind, targets_of
from litellm_antigravity.litellm.handler import AntigravityLLM
from litellm_antigravity.litellm.observing import OBSERVER
from litellm_antigravity.litellm.proxy_changes import Change, UnclearError, changed
from litellm_antigravity.litellm.seams.router import deployments_for
from litellm_antigravity.litellm.seams.table import find
from litellm_antigravity.masking import mask_emails, shown
from litellm_antigravity.observability.collecting import Collector
from litellm_antigravity.observability.counts import Counts
from litellm_antigravity.observability.decisions import remembered
from litellm_antigravity.observability.explaining import explain
from litellm_antigravity.observability.exposition import OPENMETRICS, PROMETHEUS, exposed
from litellm_antigravity.observability.known import KnownAccounts
from litellm_antigravity.observability.last_hour import LastHour
from litellm_antigravity.observability.page import headers, page
from litellm_antigravity.observability.ring import Ring
from litellm_antigravity.observability.status import FORMAT, Moment, families_of, status_of
from litellm_antigravity.pool import AccountPool

PAGE: Final = "/antigravity/"
METRICS: Final = "/antigravity/metrics"
STATUS: Final = "/antigravity/status"
USAGE: Final = "/antigravity/usage"
WHY: Final = "/antigravity/why"
DECISIONS: Final = "/antigravity/decisions"
CHANGE: Final = "/antigravity/change"

_MOST_DECISIONS: Final = 200

_JSON: Final = "application/json"
_ADMIN: Final = "proxy_admin"
_VIEWERS: Final = frozenset({_ADMIN, "proxy_admin_viewer"})


def add_routes(handler: AntigravityLLM) -> None:
    """Have the proxy that is loading us serve our routes; once. Does nothing where LiteLLM lacks what that takes.

    Args:
        handler: the provider, which has the dispatcher and the groups.
    """
    app, authenticated = find("app"), find("user_api_key_auth")
    if app is None or authenticated is None or any(getattr(one, "path", "") == STATUS for one in app.routes):
        return
    self_managed = getattr(find("self_managed_routes"), "value", None)
    if isinstance(self_managed, list) and USAGE not in self_managed:
        self_managed.append(USAGE)  # else LiteLLM refuses it to keys that are no admin's
    views = _Views(handler)
    for path, view in VIEWS.items():
        serve = _served(functools.partial(view, views), authenticated, for_all=path == USAGE)
        app.add_api_route(path, serve, methods=["GET"], tags=["antigravity"], name=path)
    app.add_api_route(CHANGE, _changing(views, authenticated), methods=["POST"], tags=["antigravity"], name=CHANGE)
    app.add_api_route(PAGE, _page(), methods=["GET"], tags=["antigravity"], name=PAGE, include_in_schema=False)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a view is asked: the header ``Accept``, the parameters of the query, and by whom."""

    accept: str
    model: str
    request_id: str
    last_hour: bool
    may_change: bool


_View: TypeAlias = "Callable[[_Asked], tuple[str, str]]"


def _served(view: _View, authenticated: Callable[..., Any], *, for_all: bool) -> Callable[..., Any]:
    """Return what FastAPI calls: in one of its threads, since a view may touch the disk."""
    from fastapi import Depends, Header, Response  # the proxy's; not installed without it

    def serve(  # type: ignore[no-untyped-def]
        user=Depends(authenticated),  # noqa: ANN001, B008 - FastAPI's way
        accept=Header(""),  # noqa: ANN001, B008
        model="",  # noqa: ANN001
        request_id="",  # noqa: ANN001
        last_hour="",  # noqa: ANN001
    ) -> Any:
        with _refusals():
            if not for_all:
                check_admin(user)
            wanted = str(last_hour).lower() in ("1", "true")
            asked = _Asked(str(accept), str(model), str(request_id), wanted, _role_of(user) == _ADMIN)
            text, content_type = view(asked)
        return Response(text, media_type=content_type, headers={"Cache-Control": "no-store"})

    serve.__annotations__.clear()  # FastAPI would make a model of the reply of them
    return serve


def _changing(views: _Views, authenticated: Callable[..., Any]) -> Callable[..., Any]:
    """Return what FastAPI calls for a change.

    A form of another site's cannot say that it sends JSON, and a browser says where a script is from, so that neither
    gets anything from a proxy whose authentication takes cookies.
    """
    from fastapi import Body, Depends, Header, Response  # the proxy's; not installed without it

    def serve(  # type: ignore[no-untyped-def]
        user=Depends(authenticated),  # noqa: ANN001, B008 - FastAPI's way
        body=Body(None),  # noqa: ANN001, B008
        content_type=Header(""),  # noqa: ANN001, B008
        sec_fetch_site=Header(""),  # noqa: ANN001, B008
    ) -> Any:
        with _refusals():
            check_admin(user, may_change=True)
            if str(sec_fetch_site) not in ("", "none", "same-origin"):
                msg = "Changes come from the proxy's own page, or from no page."
                raise PermissionError(msg)
            if str(content_type).partition(";")[0].strip().lower() != _JSON:
                msg = f"send {_JSON}"
                raise UnclearError(msg)
            said = views.change(Change.of(body))
        return Response(json.dumps({"said": said}), media_type=_JSON, headers={"Cache-Control": "no-store"})

    serve.__annotations__.clear()
    return serve


def _page() -> Callable[..., Any]:
    from fastapi import Response  # the proxy's; not installed without it

    def serve() -> Any:
        return Response(page(), media_type="text/html; charset=utf-8", headers=dict(headers()))

    serve.__annotations__.clear()
    return serve


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    """Answer as HTTP does to what goes wrong."""
    from fastapi import HTTPException  # the proxy's; not installed without it

    try:
        yield
    except PermissionError as error:
        raise HTTPException(403, str(error)) from None
    except UnclearError as error:
        raise HTTPException(400, str(error)) from None
    except AntigravityError as error:
        raise HTTPException(503, mask_emails(shown(str(error)))) from None


def check_admin(user: Any, *, may_change: bool = False) -> None:
    """Let proxy admins pass, and those who may see what admins see.

    Args:
        user: LiteLLM's ``UserAPIKeyAuth``.
        may_change: let those pass alone who may change something.

    Raises:
        PermissionError: for everybody else.
    """
    role = _role_of(user)
    if may_change and role != _ADMIN:
        msg = "Only proxy admins may change this."
        raise PermissionError(msg)
    if role not in _VIEWERS:
        msg = f"Only proxy admins may see this. {USAGE} is for every key."
        raise PermissionError(msg)


def _role_of(user: Any) -> str:
    role = getattr(user, "user_role", None)
    return str(getattr(role, "value", role))


class _Views:
    """What each route says, as text and its type; may touch the disk.

    Args:
        handler: the provider.
    """

    def __init__(self, handler: AntigravityLLM) -> None:
        self._handler = handler

    @property
    def _pool(self) -> AccountPool:
        return self._handler.dispatcher.pool

    def _known(self) -> KnownAccounts:
        return known_to(self._pool)

    def _moment(self, *, last_hour: bool = False) -> Moment:
        pool, known = self._pool, self._known()
        flying, now = pool.store.in_flight.counts_of(account.id for account in known.all), pool.clock.time()
        counted = last_hour and OBSERVER.counts is not None
        strips = LastHour(pool.settings.state_dir).strips(now) if counted else None
        return Moment(now, pool.store.refresh(), pool.rules, known, flying, strips)

    def change(self, change: Change) -> str:
        """Do what an admin wants; return a sentence that says what has become of it."""
        return changed(self._pool, self._known(), change)

    def metrics(self, asked: _Asked) -> tuple[str, str]:
        """Return all series, in the format that is asked for."""
        pool, newer = self._pool, "application/openmetrics-text" in asked.accept
        counts = OBSERVER.counts or Counts(pool.settings.state_dir)
        collector = Collector(self._known, pool.store, counts, pool.rules, pool.clock.time)
        return exposed(collector.collect(), openmetrics=newer), OPENMETRICS if newer else PROMETHEUS

    def status(self, asked: _Asked) -> tuple[str, str]:
        """Return the whole status; the last hour of each account to those who ask for it."""
        pool = self._pool
        told = status_of(
            self._moment(last_hour=asked.last_hour),
            strategy=pool.strategy.name,
            targets=targets_of(pool),
            present=pool.store.processes(forget=False),
            store=pool.store.status(),
        )
        return json.dumps({**told, "may_change": asked.may_change}), _JSON

    def why(self, asked: _Asked) -> tuple[str, str]:
        """Return what the next request of this worker for a model would meet."""
        if not asked.model:
            msg = "name a model: ?model=claude-sonnet-4-6"
            raise UnclearError(msg)
        pool, model = self._chooser(asked.model)
        return json.dumps(explain(pool, LeaseRequest(model)).as_json()), _JSON

    def _chooser(self, name: str) -> tuple[AccountPool, str]:
        """Return who chooses for a name of the model list, and for which model; any other name is a model's.

        Raises:
            UnclearError: when nobody of ours does, or for several models.
        """
        deployments = [one for one in deployments_for(name) if "*" not in str(one.get("model_name"))]
        models = models_behind(name, deployments)
        if deployments and not models:
            msg = f"{shown(name, 256)} has no account of ours: LiteLLM alone chooses among its deployments"
            raise UnclearError(msg)
        if len(models) > 1:
            msg = f"{shown(name, 256)} stands for several models, each with its limits; name one: {', '.join(models)}"
            raise UnclearError(msg)
        return self._handler.routing.pool_of(deployments) or self._pool, models[0] if models else name

    def decisions(self, asked: _Asked) -> tuple[str, str]:
        """Return the last decisions on this host, or those that concern one request."""
        ring = OBSERVER.ring or Ring(self._pool.settings.state_dir)
        return json.dumps(remembered(ring, asked.request_id or None)[-_MOST_DECISIONS:]), _JSON

    def usage(self, _asked: _Asked) -> tuple[str, str]:
        """Return what any caller may know: how many accounts are free, and when the next one is; nobody's name."""
        moment = self._moment()
        return json.dumps({"format": FORMAT, "now": moment.now, "families": families_of(moment)}), _JSON


VIEWS: Final[Mapping[str, Callable[[_Views, _Asked], tuple[str, str]]]] = {
    METRICS: _Views.metrics,
    STATUS: _Views.status,
    WHY: _Views.why,
    DECISIONS: _Views.decisions,
    USAGE: _Views.usage,
}
"""By path."""


__all__ = ["CHANGE", "DECISIONS", "METRICS", "PAGE", "STATUS", "USAGE", "VIEWS", "WHY", "add_routes", "check_admin"]
