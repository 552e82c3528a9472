"""What the proxy serves of ours over HTTP, behind LiteLLM's own authentication and roles.

``/antigravity/usage`` is for every key, and names nobody; the others are for proxy admins and those who may view all
that these may. A new view is a method of `_Views` and a line in `VIEWS`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from litellm_antigravity.accounts import AccountsSnapshot
from litellm_antigravity.errors import AccountsFileError, AntigravityError
from litellm_antigravity.lease import LeaseRequest
from litellm_antigravity.litellm.handler import AntigravityLLM
from litellm_antigravity.litellm.observing import OBSERVER
from litellm_antigravity.litellm.routing.member import find_account
from litellm_antigravity.litellm.seams.requests import account_named, info_of, model_of
from litellm_antigravity.litellm.seams.router import model_lists
from litellm_antigravity.litellm.seams.table import find
from litellm_antigravity.masking import mask_emails, shown
from litellm_antigravity.models import PROVIDER
from litellm_antigravity.observability.collecting import Collector
from litellm_antigravity.observability.counts import Counts
from litellm_antigravity.observability.decisions import remembered
from litellm_antigravity.observability.explaining import explain
from litellm_antigravity.observability.exposition import OPENMETRICS, PROMETHEUS, exposed
from litellm_antigravity.observability.known import KnownAccounts
from litellm_antigravity.observability.ring import Ring
from litellm_antigravity.observability.status import FORMAT, Moment, Target, families_of, status_of
from litellm_antigravity.pool import AccountPool

METRICS: Final = "/antigravity/metrics"
STATUS: Final = "/antigravity/status"
USAGE: Final = "/antigravity/usage"
WHY: Final = "/antigravity/why"
DECISIONS: Final = "/antigravity/decisions"

_MOST_DECISIONS: Final = 200

_JSON: Final = "application/json"
_ADMINS: Final = frozenset({"proxy_admin", "proxy_admin_viewer"})


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


class _UnclearError(Exception):
    """The caller has not said what is asked."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a view is asked: the header ``Accept``, and the parameters of the query."""

    accept: str
    model: str
    request_id: str


_View: TypeAlias = "Callable[[_Asked], tuple[str, str]]"


def _served(view: _View, authenticated: Callable[..., Any], *, for_all: bool) -> Callable[..., Any]:
    """Return what FastAPI calls: in one of its threads, since a view may touch the disk."""
    from fastapi import Depends, Header, HTTPException, Response  # the proxy's; not installed without it

    def serve(  # type: ignore[no-untyped-def]
        user=Depends(authenticated),  # noqa: ANN001, B008 - FastAPI's way
        accept=Header(""),  # noqa: ANN001, B008
        model="",  # noqa: ANN001
        request_id="",  # noqa: ANN001
    ) -> Any:
        try:
            if not for_all:
                check_admin(user)
            text, content_type = view(_Asked(str(accept), str(model), str(request_id)))
        except PermissionError as error:
            raise HTTPException(403, str(error)) from None
        except _UnclearError as error:
            raise HTTPException(400, str(error)) from None
        except AntigravityError as error:
            raise HTTPException(503, mask_emails(shown(str(error)))) from None
        return Response(text, media_type=content_type, headers={"Cache-Control": "no-store"})

    serve.__annotations__.clear()  # FastAPI would make a model of the reply of them
    return serve


def check_admin(user: Any) -> None:
    """Let proxy admins pass, and those who may see what admins see.

    Args:
        user: LiteLLM's ``UserAPIKeyAuth``.

    Raises:
        PermissionError: for everybody else.
    """
    role = getattr(user, "user_role", None)
    if str(getattr(role, "value", role)) not in _ADMINS:
        msg = f"Only proxy admins may see this. {USAGE} is for every key."
        raise PermissionError(msg)


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
        groups = self._handler.routing.groups().values()
        own = [account for one in _in_file(self._pool) for account in one.accounts]
        return KnownAccounts.of(own, [account for group in groups for account in group.current().accounts])

    def _moment(self) -> Moment:
        pool, known = self._pool, self._known()
        flying = pool.store.in_flight.counts_of(account.id for account in known.all)
        return Moment(pool.clock.time(), pool.store.refresh(), pool.rules, known, flying)

    def metrics(self, asked: _Asked) -> tuple[str, str]:
        """Return all series, in the format that is asked for."""
        pool, newer = self._pool, "application/openmetrics-text" in asked.accept
        counts = OBSERVER.counts or Counts(pool.settings.state_dir)
        collector = Collector(self._known, pool.store, counts, pool.rules, pool.clock.time)
        return exposed(collector.collect(), openmetrics=newer), OPENMETRICS if newer else PROMETHEUS

    def status(self, _asked: _Asked) -> tuple[str, str]:
        """Return the whole status."""
        pool = self._pool
        told = status_of(
            self._moment(),
            strategy=pool.strategy.name,
            targets=targets_of(self._handler),
            present=pool.store.processes(forget=False),
            store=pool.store.status(),
        )
        return json.dumps(told), _JSON

    def why(self, asked: _Asked) -> tuple[str, str]:
        """Return what the next request of this worker for a model would meet."""
        if not asked.model:
            msg = "name a model: ?model=claude-sonnet-4-6"
            raise _UnclearError(msg)
        return json.dumps(explain(self._pool, LeaseRequest(asked.model)).as_json()), _JSON

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


__all__ = ["DECISIONS", "METRICS", "STATUS", "USAGE", "VIEWS", "WHY", "add_routes", "check_admin", "targets_of"]
