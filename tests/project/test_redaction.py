"""Secrets that are known by value: however somebody repeats one, it is gone from what is kept and shown.

The code of before knew tokens by pattern only: of all these only those that look like Google's were hidden.
"""

from __future__ import annotations

import base64
import html
import json
import os
import pickle
import string
import threading
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from leaks import Searcher

from litellm_antigravity.accounts import RefreshToken, StaticToken
from litellm_antigravity.cooldowns import Cooldown
from litellm_antigravity.errors import AllAccountsLimitedError, CredentialError, RequestRefusedError, SettingsError
from litellm_antigravity.masking import header_value, shown
from litellm_antigravity.redaction import HIDDEN, PART, SECRETS, SHORTEST, KnownSecrets
from litellm_antigravity.refusals import Refusal, RefusalKind, parse_refusal, refusal_in_reply
from litellm_antigravity.state.rows import encode_cooldown

pytestmark = pytest.mark.once

OPAQUE = "t7/QzX+w2~Lm.9Kp_Vb-4Rd=8Hs"  # as nothing that a pattern would know

# Every way to write text that upstream, or a proxy before it, may use where it repeats what it was sent.
ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper case": str.upper,
    "URL": lambda text: quote(text, safe=""),
    "URL, lower case": lambda text: quote(text, safe="").lower(),
    "URL, everything": lambda text: "".join(f"%{ord(one):02X}" for one in text),
    "URL, twice": lambda text: quote(quote(text, safe=""), safe=""),
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON in JSON": lambda text: json.dumps(json.dumps({"token": text})),
    "JSON with slashes escaped": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "JSON, all escaped": lambda text: "".join(f"\\u{ord(one):04x}" for one in text),
    "repr of bytes": lambda text: repr(text.encode()),
    "HTML": html.escape,
    "HTML, numbers": lambda text: "".join(f"&#{ord(one)};" for one in text),
    "hex": lambda text: text.encode().hex(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64, no padding": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "base64, URL": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64, one before": lambda text: base64.b64encode(b"a" + text.encode() + b"zz").decode(),
    "base64, two before": lambda text: base64.urlsafe_b64encode(b"ab" + text.encode() + b"z").decode(),
    "base64 of a header": lambda text: base64.b64encode(f"Authorization: Bearer {text}\r\n".encode()).decode(),
    "base64 of a form": lambda text: base64.b64encode(f"a=1&token={quote(text, safe='')}&b=2".encode()).decode(),
    "base64 in a URL": lambda text: quote(base64.b64encode(text.encode()).decode(), safe=""),
    "base64 in lines": lambda text: base64.encodebytes(f"{text * 4}".encode()).decode(),
    "broken by a line": lambda text: f"{text[:5]}\r\n {text[5:]}",
    "broken by a joiner": lambda text: f"{text[:5]}\u200b{text[5:]}",
}


def searcher(secret: str) -> Searcher:
    return Searcher({secret: "the secret"})


# Removal


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("secret", [OPAQUE, OPAQUE + "a", OPAQUE + "ab", 'q"uo\\te<d>&%41secret'])
def test_a_known_secret_is_hidden_however_it_is_written(name: str, secret: str) -> None:
    SECRETS.remember(secret)
    said = f"before {ENCODINGS[name](secret)} behind"
    kept = parse_refusal(400, {}, json.dumps({"error": {"message": said}}).encode(), now=0).message
    assert HIDDEN in kept
    assert "before" in kept
    assert searcher(secret).leaks([kept]) == []


@given(
    secret=st.text(st.sampled_from(string.ascii_letters + string.digits + string.punctuation), min_size=12),
    name=st.sampled_from(sorted(ENCODINGS)),
    before=st.text(max_size=40),
    behind=st.text(max_size=40),
    pad=st.sampled_from([0, 150, 280, 950, 3950, 7980, 31_950]),
    filler=st.sampled_from(["x ", "  ", "\n", "xy"]),
    shape=st.sampled_from(["message", "word", "description", "text", "page", "reason", "status", "model", "url"]),
    status=st.sampled_from([200, 302, 400, 401, 403, 404, 429, 500, 503]),
)
def test_whatever_upstream_does_with_a_secret_no_output_has_it(
    secret: str, name: str, before: str, behind: str, pad: int, filler: str, shape: str, status: int
) -> None:
    """Cut at our own limits, too: what is cleaned is cut, not the other way round."""
    SECRETS.clear()
    SECRETS.remember(secret)
    said = before + filler * (pad // 2) + ENCODINGS[name](secret) + behind
    details = {"reason": "VALIDATION_REQUIRED", "metadata": {"validation_url": f"https://x.example.com/?t={said}"}}
    more = {"reason": {"reason": said}, "model": {"metadata": {"model": said}}, "url": details}.get(shape, {})
    error: object = {
        "message": said if shape == "message" else "No.",
        "status": said if shape == "status" else "PERMISSION_DENIED",
        "details": [more],
    }
    document: dict[str, object] = {"error": error}
    if shape in ("word", "description"):
        document = {"error": said if shape == "word" else "odd", "error_description": said}
    body = json.dumps(document).encode()
    if shape in ("text", "page"):
        body = (f"<html><title>{said}</title>" if shape == "page" else said).encode("utf-8", "replace")
    for refusal in (
        parse_refusal(status, {"content-type": said, "location": said}, body, now=0),
        refusal_in_reply(document, now=0),
        Refusal(RefusalKind.CALLER, 400, said, reason=said, model=said, grpc_status=said, url=f"https://x.com/{said}"),
    ):
        assert refusal is not None
        row = encode_cooldown(
            Cooldown("a", "*", 1.0, said, 0.0, url=f"https://x.com/{said}", message=refusal.message[:300] + said)
        )
        outputs = [
            repr(refusal),
            str(refusal.url),
            pickle.dumps(RequestRefusedError(refusal)).decode("latin-1"),
            row,
            shown(said),
            shown(said, 100),
            header_value(said),
        ]
        assert searcher(secret).leaks(outputs) == []


@pytest.mark.parametrize(
    "error",
    [CredentialError, SettingsError, lambda text: AllAccountsLimitedError(text, retry_after=None, accounts=(text,))],
)
def test_no_exception_of_ours_can_be_made_that_holds_a_secret(error: Callable[[str], Exception]) -> None:
    SECRETS.remember(OPAQUE)
    made = error(f"the token {OPAQUE} and {quote(OPAQUE)}")
    again = pickle.loads(pickle.dumps(made))  # noqa: S301 - ours
    assert str(again) == str(made) == f"the token {HIDDEN} and {HIDDEN}"
    texts = [repr(made.args), repr(vars(made)), pickle.dumps(made).decode("latin-1")]
    assert searcher(OPAQUE).leaks(texts) == []


@pytest.mark.parametrize("part", [OPAQUE[:PART], OPAQUE[:20] + "...", "..." + OPAQUE[-PART:]])
def test_a_secret_that_somebody_shortened_is_hidden(part: str) -> None:
    SECRETS.remember(OPAQUE)
    assert SECRETS.hide(f"it was {part} there") == f"it was {part.replace(part.strip('.'), HIDDEN)} there"


def test_what_is_around_a_secret_stays() -> None:
    SECRETS.remember(OPAQUE)
    assert SECRETS.hide(f"a {OPAQUE} b\t{OPAQUE}{OPAQUE} c%20d &amp; e") == (
        f"a {HIDDEN} b\t{HIDDEN}{HIDDEN} c%20d &amp; e"
    )


@pytest.mark.parametrize(
    "text", ["", "short", "the quota is exhausted; reset after 2h10m5s", "%", "&;", "\\", "%zz" * 40]
)
def test_a_text_without_a_secret_is_left_as_it_is(text: str) -> None:
    SECRETS.remember(OPAQUE)
    assert SECRETS.hide(text) == text
    assert not SECRETS.holds(text)


def test_a_secret_that_is_too_short_would_take_words_with_it_and_is_left() -> None:
    SECRETS.remember("a" * (SHORTEST - 1))
    SECRETS.remember("b" * SHORTEST)
    assert SECRETS.hide(f"{'a' * 7} {'b' * 8}") == f"{'a' * 7} {HIDDEN}"


# What is known


def test_credentials_make_their_secrets_known() -> None:
    from pydantic import SecretStr

    RefreshToken(SecretStr(OPAQUE))
    StaticToken(SecretStr(OPAQUE[::-1]))
    StaticToken(SecretStr(""))
    assert SECRETS.hide(f"{OPAQUE} {OPAQUE[::-1]}") == f"{HIDDEN} {HIDDEN}"


def test_old_tokens_go_and_the_latest_and_what_is_used_again_stay() -> None:
    known = KnownSecrets()
    known.remember("a client's secret that stays")
    for number in range(5000):
        known.remember(f"token-{number:06}-of-somebody", passes=True)
        if number % 500 == 0:
            known.remember("a token that is used again", passes=True)
    assert known.holds("a client's secret that stays")
    assert known.holds("a token that is used again")
    assert all(known.holds(f"token-{number:06}-of-somebody") for number in range(4000, 5000))
    assert len(known._passing) <= 2048
    assert len(known._anchors) < 2100 * 20


def test_memory_is_bounded_by_characters_too() -> None:
    known = KnownSecrets()
    for number in range(300):
        known.remember(f"{number:06}" + "x" * 16_000, passes=True)
    assert sum(map(len, known._passing)) <= 1_000_000
    assert known.holds(f"{299:06}" + "x" * 16_000)


def test_a_forgotten_secret_that_also_stays_is_still_known() -> None:
    known = KnownSecrets()
    known.remember(OPAQUE)
    known.remember(OPAQUE, passes=True)
    for number in range(3000):
        known.remember(f"token-{number:06}-of-somebody", passes=True)
    assert known.hide(OPAQUE) == HIDDEN


def test_nothing_shows_what_is_known() -> None:
    SECRETS.remember(OPAQUE)
    assert repr(SECRETS) == str(SECRETS) == "KnownSecrets(1 that stay, 0 that pass)"


def test_threads_may_add_and_search_at_once() -> None:
    known = KnownSecrets()
    secrets = [f"secret-{number:05}-{number:x}-of-a-thread" for number in range(400)]
    failures: list[str] = []

    def work(part: int) -> None:
        for secret in secrets[part::4]:
            known.remember(secret, passes=True)
            if known.hide(f"it is {secret}.") != f"it is {HIDDEN}.":
                failures.append(secret)

    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_that_was_forked_while_others_add_knows_what_its_parent_knew() -> None:
    SECRETS.remember(OPAQUE)
    stop = threading.Event()

    def add() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            SECRETS.remember(f"token-{number:06}-of-somebody", passes=True)

    thread = threading.Thread(target=add)
    thread.start()
    try:
        for _ in range(20):
            child = os.fork()
            if child == 0:
                SECRETS.remember("another one, of the child")
                hidden = SECRETS.hide(f"{OPAQUE} another one, of the child") == f"{HIDDEN} {HIDDEN}"
                os._exit(0 if hidden else 1)
            assert os.waitpid(child, 0)[1] == 0
    finally:
        stop.set()
        thread.join()
