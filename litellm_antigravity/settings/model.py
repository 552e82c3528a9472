"""The settings themselves: names, defaults, bounds (docs/settings.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from litellm_antigravity._version import __version__
from litellm_antigravity.errors import SettingsError
from litellm_antigravity.settings.alert_names import ALERTS
from litellm_antigravity.settings.places import default_accounts_file, default_state_dir
from litellm_antigravity.settings.problems import OUT_OF_ORDER, describe, unknown_settings
from litellm_antigravity.settings.sources import gather
from litellm_antigravity.settings.types import (
    AlertEvents,
    Allowed,
    Boolean,
    Count,
    HeaderText,
    Location,
    Namespace,
    NonNegative,
    NonPositive,
    OptionalConnection,
    OptionalCount,
    OptionalPositive,
    OptionalSecret,
    OptionalSecretUrl,
    OptionalTable,
    OptionalText,
    Positive,
    Url,
)

Strategy: TypeAlias = Literal["sticky", "round-robin", "hybrid"]
OffsetSource: TypeAlias = Literal["pid", "slot"]
StickyScope: TypeAlias = Literal["auto", "conversation", "process"]
Subagents: TypeAlias = Literal["apart", "with-parent"]
TokenSharing: TypeAlias = Literal["host", "redis"]
StateBackend: TypeAlias = Literal["diskcache", "sqlite"]
Statistics: TypeAlias = Literal["proxy", "always", "never"]


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def _must_not_exceed(self, *pairs: tuple[str, str]) -> None:
        wrong = [pair for pair in pairs if getattr(self, pair[0]) > getattr(self, pair[1])]
        if wrong:
            values = {name: getattr(self, name) for pair in wrong for name in pair}
            raise PydanticCustomError(OUT_OF_ORDER, "settings out of order", {"pairs": wrong, "values": values})


class HealthScoreSettings(_Group):
    """How an account's health moves, in points (docs/selection.md). Defaults: opencode-antigravity-auth."""

    initial: NonNegative = Field(default=70.0, description="health of an account never used")
    success_reward: NonNegative = Field(default=1.0, description="points gained by a served request")
    rate_limit_penalty: NonPositive = Field(default=-10.0, description="points added by a rate limit; negative")
    failure_penalty: NonPositive = Field(default=-20.0, description="points added by another failure; negative")
    recovery_rate_per_hour: NonNegative = Field(default=2.0, description="points gained per hour of rest")
    min_usable: NonNegative = Field(default=50.0, description="hybrid prefers accounts with at least this health")
    max_score: NonNegative = Field(default=100.0, description="the best health there is")

    @model_validator(mode="after")
    def _check_order(self) -> HealthScoreSettings:
        self._must_not_exceed(("initial", "max_score"), ("min_usable", "max_score"))
        return self


class TokenBucketSettings(_Group):
    """The bucket of requests each account has (docs/selection.md). Defaults: opencode-antigravity-auth."""

    max_tokens: Positive = Field(default=50.0, description="how many requests the bucket holds")
    regeneration_rate_per_minute: NonNegative = Field(default=6.0, description="requests gained per minute")
    initial_tokens: NonNegative = Field(default=50.0, description="requests in the bucket of an account never used")

    @model_validator(mode="after")
    def _check_order(self) -> TokenBucketSettings:
        self._must_not_exceed(("initial_tokens", "max_tokens"))
        return self


class Settings(BaseModel):
    """Every setting of this package; frozen. Unit of every ``*_seconds`` setting: seconds.

    Sources, highest first: arguments, ``LITELLM_ANTIGRAVITY_<NAME>`` in the environment, the three
    ``OPENCODE_ANTIGRAVITY_*`` variables, the project file ``.opencode/antigravity.json``, the user file
    ``antigravity.json`` in `user_config_dir`, defaults. ``health_score`` and ``token_bucket`` merge per key over the
    sources; pass a mapping for some of the keys, or a model for all of them.

    Raises:
        SettingsError: a value is not allowed, an argument is not a setting, or a settings file cannot be read. The
            message has one line per problem.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,  # pydantic's messages would quote a secret of the wrong type
        validate_default=True,
        protected_namespaces=(),  # `model_costs` is no method of pydantic's
    )

    account_selection_strategy: Annotated[Strategy, Allowed("'sticky', 'round-robin' or 'hybrid'")] = Field(
        default="hybrid", description="how an account is chosen for a request"
    )
    pid_offset_enabled: Boolean = Field(
        default=False, description="spread the account that sticky selection starts with over processes"
    )
    offset_source: Annotated[OffsetSource, Allowed("'pid' or 'slot'")] = Field(
        default="pid", description="what spreads: the process id, or the lowest free slot on this host"
    )
    accounts_file: Location = Field(
        default_factory=default_accounts_file,
        description="the accounts, shared with opencode-antigravity-auth",
        json_schema_extra={"default": "antigravity-accounts.json beside the user file"},
    )
    endpoint: Url = Field(default="https://cloudcode-pa.googleapis.com", description="base URL of Cloud Code")
    token_url: Url = Field(default="https://oauth2.googleapis.com/token", description="OAuth token endpoint")
    auth_url: Url = Field(
        default="https://accounts.google.com/o/oauth2/v2/auth",
        description="the page of `auth login` that asks for consent",
    )
    userinfo_url: Url = Field(
        default="https://openidconnect.googleapis.com/v1/userinfo",
        description="where `auth login` asks whose account it is",
    )
    oauth_client_id: OptionalText = Field(default=None, description="your own OAuth client; none is built in")
    oauth_client_secret: OptionalSecret = Field(default=None, description="the secret of your own OAuth client")
    state_dir: Location = Field(
        default_factory=default_state_dir,
        validate_default=False,  # a user without a home directory has none that can be used, which is no error here
        description="folder of the state that processes on this host share",
        json_schema_extra={"default": "litellm-antigravity in the user's state folder"},
    )
    state_dir_on_network: Boolean = Field(
        default=False, description="use state_dir even on a network file system, where a database may break"
    )
    state_backend: Annotated[StateBackend, Allowed("'diskcache' or 'sqlite'")] = Field(
        default="diskcache", description="what keeps the shared state: diskcache, or SQLite alone; each has its files"
    )
    redis: OptionalConnection = Field(
        default=None, description="the Redis that joins several hosts; in a proxy, LiteLLM's own where it has one"
    )
    redis_namespace: Namespace = Field(
        default="litellm-antigravity", description="what keys in Redis begin with: hosts with the same one are joined"
    )
    share_tokens: Annotated[TokenSharing, Allowed("'host' or 'redis'")] = Field(
        default="host",
        description="who shares access tokens and thoughts: the processes of a host, or all hosts by way of Redis",
    )
    share_tokens_key: OptionalSecret = Field(
        default=None,
        description="what tokens in Redis are encrypted with, on all hosts; else LITELLM_SALT_KEY",
    )
    max_rate_limit_wait_seconds: NonNegative = Field(
        default=5.0,
        description="if every account is limited, wait this long at most for the earliest, else fail at once",
    )
    max_retry_after_seconds: OptionalPositive = Field(
        default=None, description="Retry-After tells callers this at most; agents obey a long one without a word"
    )
    switch_on_first_rate_limit: Boolean = Field(
        default=True, description="go to the next account at once; if false, retry once on the same account first"
    )
    sticky_wait_seconds: NonNegative = Field(
        default=0.0,
        description="rather wait this long for the account that has the prompt cached; sticky, and conversations",
    )
    sticky_scope: Annotated[StickyScope, Allowed("'auto', 'conversation' or 'process'")] = Field(
        default="auto",
        description="whose account is kept: each conversation's, or the process's; "
        "auto: the process's in plain calls without a session",
    )
    conversation_ttl_seconds: Positive = Field(
        default=3600.0, description="a conversation keeps its account for so long after its last request"
    )
    conversation_limit: Count = Field(
        default=10_000, description="so many conversations are known at most; the least recently used go"
    )
    failure_ttl_seconds: NonNegative = Field(
        default=3600.0, description="consecutive failures older than this are forgotten"
    )
    max_in_flight_per_account: OptionalCount = Field(
        default=None, description="requests that an account may have at once; beyond, the next account"
    )
    fair_share: Boolean = Field(
        default=False,
        description="when accounts are short, callers with more requests in flight than their share wait first",
    )
    ramp_seconds: NonNegative = Field(
        default=30.0,
        description="how long newcomers come one by one after an account fell out or came back; 0: never",
    )
    ramp_interval_seconds: Positive = Field(default=0.25, description="from one newcomer to an account to the next one")
    max_reply_megabytes: Positive = Field(
        default=64.0, description="a reply, or a stream from one content to the next, that is longer is broken"
    )
    affinity_subagents: Annotated[Subagents, Allowed("'apart' or 'with-parent'")] = Field(
        default="apart", description="each agent of a session is a conversation, or all of them are one"
    )
    health_score: Annotated[HealthScoreSettings, Allowed("an object")] = Field(
        default_factory=HealthScoreSettings, description="hybrid: how an account's health moves"
    )
    token_bucket: Annotated[TokenBucketSettings, Allowed("an object")] = Field(
        default_factory=TokenBucketSettings, description="hybrid: how many requests an account bears"
    )
    model_costs: OptionalTable = Field(
        default=None, description="what tokens cost, by model, as a table or the file that has it; else nothing"
    )
    user_agent: HeaderText = Field(default=f"litellm-antigravity/{__version__}", description="sent upstream")
    statistics: Annotated[Statistics, Allowed("'proxy', 'always' or 'never'")] = Field(
        default="proxy", description="where requests are counted and the last decisions kept: in a proxy, always, never"
    )
    alert_webhook_url: OptionalSecretUrl = Field(
        default=None, description="where alerts are posted to (docs/alerts.md), beside LiteLLM's own alerting"
    )
    alerts: AlertEvents = Field(
        default=ALERTS, description="which events are told", json_schema_extra={"default": "all"}
    )
    debug: Boolean = Field(default=False, description="show the decision log")

    def __init__(self, source: str = "arguments", /, **values: Any) -> None:
        if not isinstance(source, str):
            msg = "Settings takes its values by name; use Settings.from_mapping for a mapping."
            raise TypeError(msg)
        gathered = gather(type(self), values, source)
        problems = unknown_settings(type(self), gathered.unknown, source)
        try:
            super().__init__(**gathered.values)
        except ValidationError as error:
            problems += describe(type(self), error, gathered)
        # Raised out here, so that no secret can reach a log through the chain of exceptions.
        if problems:
            raise SettingsError("\n".join(problems))

    @classmethod
    def from_mapping(cls, block: Mapping[str, Any] | None, source: str) -> Settings:
        """Return the settings with those of ``block`` above every other source.

        Args:
            block: setting names and values, as in ``antigravity_settings`` of a LiteLLM proxy configuration; ``None``
                (YAML's empty block) sets nothing.
            source: what error messages call it, such as ``antigravity_settings in config.yaml``.

        Raises:
            SettingsError: as `Settings`; also when ``block`` is not a mapping.
        """
        if block is not None and not isinstance(block, Mapping):
            msg = f"{source} must be a mapping of setting names to values, not {type(block).__name__}."
            raise SettingsError(msg)
        return cls(source, **{str(name): value for name, value in (block or {}).items()})
