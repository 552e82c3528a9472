"""The simulator: a server in a thread of its own, with methods to steer and to watch it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from urllib.request import getproxies

from litellm_antigravity.clock import Clock, SystemClock
from litellm_antigravity.simulator.accounts import SimulatedAccount, accounts_document, numbered_accounts
from litellm_antigravity.simulator.control import Control
from litellm_antigravity.simulator.log import TOKEN_PATH, LoggedRequest, RequestLog
from litellm_antigravity.simulator.quotas import FIVE_HOURS
from litellm_antigravity.simulator.server import HOST, SimulatorServer
from litellm_antigravity.simulator.steering import Steering
from litellm_antigravity.simulator.upstream import MODELS, Upstream

if TYPE_CHECKING:
    from typing_extensions import Self  # pydantic brings it; typing has it from Python 3.11 on

_CLOSE_SECONDS: Final = 10.0
_LOG_LIMIT: Final = 100_000


class Simulator(Steering):
    """A stand-in for Google on loopback. Use it as a context manager, or call `start` and `close`.

    All methods may be called from any thread, and other processes reach the server by its `url`.

    Args:
        accounts: how many (``user1@example.com``, ...), or which.
        quota: model requests per account, family and window; ``None`` for no limit.
        quota_window_seconds: how long a window is; it begins with its first request.
        latency_seconds: how long a served request takes; see `set_latency`.
        token_ttl_seconds: how long an access token is valid.
        port: to listen on; 0 for any that is free.
        clock: for windows, resets and expiries; latencies are real.
        models: that exist beside the known ones (`upstream.MODELS`).
        log_limit: how many requests `log` keeps.
        on_request: called with every request, from the server's thread.
        without_rules: names of rules that upstream is not to have; all there are: `rules.RULES`, docs/simulator.md.
    """

    def __init__(
        self,
        accounts: int | Sequence[SimulatedAccount] = 4,
        *,
        quota: int | None = None,
        quota_window_seconds: float = FIVE_HOURS,
        latency_seconds: float = 0.0,
        token_ttl_seconds: float = 3600.0,
        port: int = 0,
        clock: Clock | None = None,
        models: Iterable[str] = (),
        log_limit: int = _LOG_LIMIT,
        on_request: Callable[[LoggedRequest], object] | None = None,
        without_rules: Iterable[str] = (),
    ) -> None:
        clock = clock or SystemClock()
        self._log = RequestLog(log_limit)
        upstream = Upstream(
            numbered_accounts(accounts) if isinstance(accounts, int) else accounts,
            clock=clock,
            quota=quota,
            quota_window_seconds=quota_window_seconds,
            token_ttl_seconds=token_ttl_seconds,
            models=(*MODELS, *models),
            log=self._log,
            on_request=on_request,
            without_rules=without_rules,
        )
        super().__init__(upstream, clock)
        self._control = Control(self)
        self._wanted_port = port
        self._port: int | None = None
        self._thread: threading.Thread | None = None
        self._stop: concurrent.futures.Future[None] = concurrent.futures.Future()
        self.set_latency(latency_seconds)

    def start(self) -> Self:
        """Listen, in a thread of its own; return self.

        Raises:
            OSError: when the port is taken.
            RuntimeError: when it is running already.
        """
        if self._thread is not None:
            msg = "the simulator is running already"
            raise RuntimeError(msg)
        started: concurrent.futures.Future[int] = concurrent.futures.Future()
        self._stop = concurrent.futures.Future()
        self._thread = threading.Thread(
            target=self._run, args=(started, self._stop), name="antigravity-simulator", daemon=True
        )
        self._thread.start()
        try:
            self._port = started.result()
        except BaseException:
            self.close()
            raise
        return self

    def _run(self, started: concurrent.futures.Future[int], stop: concurrent.futures.Future[None]) -> None:
        try:
            asyncio.run(self._serve(started, stop))
        finally:
            if not started.done():  # or whoever waits for it would wait for ever
                started.set_exception(RuntimeError("the simulator could not be started"))

    async def _serve(self, started: concurrent.futures.Future[int], stop: concurrent.futures.Future[None]) -> None:
        server = SimulatorServer(self._upstream, self._control)
        try:
            started.set_result(await server.start(self._wanted_port))
            await asyncio.wrap_future(stop)
        except OSError as error:
            started.set_exception(error)
        finally:
            await server.stop()

    def close(self) -> None:
        """Stop listening and end the thread. Requests under way are cut off. May be called twice."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stop.set_result(None)
        thread.join(_CLOSE_SECONDS)
        self._port = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        where = "not running" if self._port is None else self.url
        return f"Simulator({where}, {len(self.accounts)} accounts)"

    @property
    def url(self) -> str:
        """The base URL, without a slash at its end.

        Raises:
            RuntimeError: when it is not running.
        """
        if self._port is None:
            msg = "the simulator is not running; start it, or use it in a `with` statement"
            raise RuntimeError(msg)
        return f"http://{HOST}:{self._port}"

    @property
    def token_url(self) -> str:
        """The URL of the token endpoint."""
        return self.url + TOKEN_PATH

    @property
    def client_id(self) -> str:
        """The only OAuth client that the token endpoint knows; another one in every simulator."""
        return self._upstream.logins.client_id

    @property
    def client_secret(self) -> str:
        """The secret of that client."""
        return self._upstream.logins.client_secret

    @property
    def accounts(self) -> list[SimulatedAccount]:
        """The accounts, with the refresh tokens they have now."""
        return self._upstream.logins.accounts()

    def write_accounts_file(
        self,
        path: str | os.PathLike[str],
        version: int = 4,
        *,
        projects: bool = True,
        entries: Mapping[str, Mapping[str, Any]] | None = None,
        **extra: Any,
    ) -> Path:
        """Write an accounts file with all accounts, at mode 0600, in one step; return its path.

        Args:
            path: of the file; its folder is made.
            version: of the format, 1 to 4.
            projects: whether the entries name their projects; without them the package asks ``loadCodeAssist``.
            entries: fields to add to the entry of an e-mail, such as ``{"user1@example.com": {"enabled": False}}``.
            extra: top-level fields to add, such as ``activeIndexByFamily={"claude": 1}``.
        """
        document = accounts_document(
            self.accounts,
            version=version,
            now=self._clock.time(),
            projects=projects,
            entries=entries or {},
            extra=extra,
        )
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")  # at mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(document, file, indent=2)
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return target

    def environment(self, accounts_file: str | os.PathLike[str], state_dir: str | os.PathLike[str]) -> dict[str, str]:
        """Return the environment variables that point the package at this simulator.

        Where a proxy is configured, ``NO_PROXY`` is among them, so that loopback is reached directly.
        """
        variables = {
            "LITELLM_ANTIGRAVITY_ENDPOINT": self.url,
            "LITELLM_ANTIGRAVITY_TOKEN_URL": self.token_url,
            "LITELLM_ANTIGRAVITY_OAUTH_CLIENT_ID": self.client_id,
            "LITELLM_ANTIGRAVITY_OAUTH_CLIENT_SECRET": self.client_secret,
            "LITELLM_ANTIGRAVITY_ACCOUNTS_FILE": os.fspath(accounts_file),
            "LITELLM_ANTIGRAVITY_STATE_DIR": os.fspath(state_dir),
        }
        proxies = getproxies()
        if set(proxies) - {"no"}:
            exempt = ",".join(filter(None, (proxies.get("no"), HOST)))
            variables |= {"NO_PROXY": exempt, "no_proxy": exempt}
        return variables

    @property
    def control_token(self) -> str:
        """What whoever steers it over HTTP has to show; another one in every simulator. See `control`."""
        return self._control.token

    # Watching

    @property
    def log(self) -> list[LoggedRequest]:
        """The requests so far, oldest first."""
        return self._log.snapshot()

    def requests(
        self, path: str | None = None, email: str | None = None, status: int | None = None, kind: str | None = None
    ) -> list[LoggedRequest]:
        """Return the logged requests that fit.

        Args:
            path: the path or its end, such as ``generateContent`` (which fits streams too) or ``/token``.
            email: of the account.
            status: of the answer.
            kind: see `LoggedRequest`.
        """
        return [
            entry
            for entry in self.log
            if (path is None or entry.path.lower().endswith(path.lower()))
            and (email is None or entry.email == email)
            and (status is None or entry.status == status)
            and (kind is None or entry.kind == kind)
        ]

    def token_calls(self, email: str | None = None) -> int:
        """Return how often the token endpoint was called (for ``email``), since the start or `clear_log`."""
        return self._log.token_calls(email)

    def clear_log(self) -> None:
        """Forget the requests so far."""
        self._log.clear()
