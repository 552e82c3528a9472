"""A way to a Redis server: runs scripts, bounded in time, and says in this package's words what went wrong.

redis-py's client is all there is to see of the server: a single one, a cluster, or whatever sentinels call the master.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from litellm_antigravity.errors import StateUnavailableError
from litellm_antigravity.masking import shown
from litellm_antigravity.state.redis_scripts import Script

MAX_TEXT_CHARS: Final = 8 * 1024
"""A longer row is none of ours."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class RedisPlace:
    """Where a pool is in Redis.

    Attributes:
        connect: makes a client of redis-py's; called anew in a forked child and after `RedisLink.close`.
        namespace: of the pool: pools with different ones know nothing of each other.
        description: for people; without secrets.
    """

    connect: Callable[[], Any] = field(repr=False)  # it knows the password
    namespace: str
    description: str

    def key(self, name: str) -> str:
        """Return the key of something of the pool's; all have one hash tag, for clusters."""
        return f"{{{self.namespace}}}:{name}"


class RedisLink:
    """Runs scripts and commands; thread-safe. Nothing is opened before the first one.

    Args:
        place: where.
    """

    def __init__(self, place: RedisPlace) -> None:
        self.place = place
        self._client: Any = None
        self.forked()

    def forked(self) -> None:
        """Start afresh in a forked child: the parent's connections are the parent's."""
        self._client = None
        self.id = secrets.token_hex(8)

    @property
    def client(self) -> Any:
        """The client of redis-py's.

        Raises:
            StateUnavailableError: when none can be made of what the settings say.
        """
        if self._client is None:
            try:
                self._client = self.place.connect()
            except Exception as error:  # noqa: BLE001 - redis-py's, LiteLLM's and the clouds' libraries have their own
                raise self._unusable(error) from None
        return self._client

    def close(self) -> None:
        """Let go of the connections; the next call opens them again."""
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):  # it was to go anyway
                client.close()

    def run(self, script: Script, keys: list[str], *args: str | bytes | int) -> Any:
        """Run a script by its name, and by its text where the server does not know it; once more if the line broke.

        Raises:
            StateUnavailableError: when the server does not answer, or not as it should.
        """
        from redis.exceptions import NoScriptError

        def call(client: Any) -> Any:
            try:
                return client.evalsha(script.sha, len(keys), *keys, *args)
            except NoScriptError:
                return client.eval(script.text, len(keys), *keys, *args)

        return self.call(call)

    def call(self, command: Callable[[Any], _T]) -> _T:
        """Run what may safely be run twice.

        Raises:
            StateUnavailableError: as `run`.
        """
        from redis.exceptions import ConnectionError as LineError
        from redis.exceptions import RedisClusterException, RedisError
        from redis.exceptions import TimeoutError as NoAnswerError

        try:
            try:
                return command(self.client)
            except NoAnswerError:
                raise  # it has had its time
            except LineError:  # a connection that was closed while nobody used it, or a master that is none any more
                return command(self.client)
        except (RedisError, RedisClusterException, OSError) as error:
            raise self._unusable(error) from None  # redis-py's exceptions may hold what was sent

    def _unusable(self, error: Exception) -> StateUnavailableError:
        reason = f"{type(error).__name__}: {shown(str(error), 200)}"
        return StateUnavailableError(f"the Redis at {self.place.description} cannot be used: {reason}")


__all__ = ["MAX_TEXT_CHARS", "RedisLink", "RedisPlace"]
