from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from litellm_antigravity.login.authorization import CLOUD_PLATFORM, AuthorizationRequest, WrongAnswerError
from litellm_antigravity.login.pkce import challenge_of, new_verifier
from litellm_antigravity.simulator import Simulator
from litellm_antigravity.simulator.people import agree, decline
from litellm_antigravity.simulator.sign_ins import AUTH_PATH, USERINFO_PATH

pytestmark = pytest.mark.once

BACK = "http://127.0.0.1:51121/oauth-callback"
EMAIL = "user1@example.com"


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator(2) as simulator:
        yield simulator


@pytest.fixture
def request_(simulator: Simulator) -> AuthorizationRequest:
    return AuthorizationRequest.new(simulator.url + AUTH_PATH, simulator.client_id, BACK)


def redeem(simulator: Simulator, request: AuthorizationRequest, code: str, /, **other: str) -> httpx.Response:
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": request.redirect_uri,
        "client_id": simulator.client_id,
        "client_secret": simulator.client_secret,
        "code_verifier": request.verifier.get_secret_value(),
        **other,
    }
    return httpx.post(simulator.token_url, data={name: value for name, value in form.items() if value != "absent"})


def changed(request: AuthorizationRequest, **fields: str) -> str:
    """Return the page's address with other parameters; those that are "absent" are left out."""
    parts = urlsplit(request.url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()} | fields
    query = {name: value for name, value in query.items() if value != "absent"}
    return str(httpx.URL(f"{parts.scheme}://{parts.netloc}{parts.path}", params=query))


def test_the_challenge_of_a_verifier_is_that_of_the_standards_example() -> None:
    """RFC 7636, appendix B."""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    assert challenge_of(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert 43 <= len(new_verifier()) <= 128
    assert new_verifier() != new_verifier()


def test_a_code_gives_both_tokens_and_the_access_token_says_whose_it_is(
    simulator: Simulator, request_: AuthorizationRequest
) -> None:
    code = request_.code_in(agree(request_.url, EMAIL)).get_secret_value()
    fields = redeem(simulator, request_, code).json()
    assert fields["refresh_token"] == simulator.account(EMAIL).refresh_token
    assert CLOUD_PLATFORM in fields["scope"].split()
    said = httpx.get(
        simulator.url + USERINFO_PATH, headers={"authorization": f"Bearer {fields['access_token']}"}
    ).json()
    assert said["email"] == EMAIL
    assert httpx.get(simulator.url + USERINFO_PATH).status_code == 401


@pytest.mark.parametrize(
    ("other", "error"),
    [
        ({"code_verifier": new_verifier()}, "invalid_grant"),
        ({"code_verifier": "absent"}, "invalid_grant"),
        ({"redirect_uri": "http://127.0.0.1:1/oauth-callback"}, "redirect_uri_mismatch"),
        ({"client_secret": "another"}, "invalid_client"),
        ({"client_secret": "absent"}, "invalid_client"),
        ({"client_id": "another"}, "invalid_client"),
        ({"code": "4/another"}, "invalid_grant"),
    ],
)
def test_a_code_is_redeemed_by_whoever_asked_for_it_and_nobody_else(
    simulator: Simulator, request_: AuthorizationRequest, other: dict[str, str], error: str
) -> None:
    code = request_.code_in(agree(request_.url, EMAIL)).get_secret_value()
    assert redeem(simulator, request_, code, **other).json()["error"] == error


def test_a_code_is_good_once_and_not_even_that_after_a_wrong_verifier(
    simulator: Simulator, request_: AuthorizationRequest
) -> None:
    code = request_.code_in(agree(request_.url, EMAIL)).get_secret_value()
    assert redeem(simulator, request_, code).status_code == 200
    assert redeem(simulator, request_, code).json()["error"] == "invalid_grant"
    other = request_.code_in(agree(request_.url, EMAIL)).get_secret_value()
    redeem(simulator, request_, other, code_verifier=new_verifier())
    assert redeem(simulator, request_, other).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"client_id": "another"}, "invalid_client"),
        ({"redirect_uri": "https://example.com/oauth-callback"}, "redirect_uri_mismatch"),
        ({"redirect_uri": "http://127.0.0.1.example.com:1/"}, "redirect_uri_mismatch"),
        ({"redirect_uri": "absent"}, "redirect_uri_mismatch"),
        ({"response_type": "token"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge": "absent"}, "invalid_request"),
        ({"state": "absent"}, "invalid_request"),
        ({"scope": "absent"}, "invalid_scope"),
        ({"scope": "everything"}, "invalid_scope"),
    ],
)
def test_a_wrong_question_is_shown_as_wrong_and_goes_nowhere(
    request_: AuthorizationRequest, fields: dict[str, str], error: str
) -> None:
    for method in ("GET", "POST"):
        page = httpx.request(method, changed(request_, **fields), data={"account": EMAIL} if method == "POST" else None)
        assert page.status_code in (400, 401)
        assert error in page.text
        assert "location" not in page.headers


def test_a_refresh_token_is_for_who_asks_for_one_and_again_only_with_consent(simulator: Simulator) -> None:
    for fields, given in (
        ({"access_type": "online"}, False),
        ({}, True),
        ({"prompt": "absent"}, False),
        ({"prompt": "consent"}, True),
    ):
        request = AuthorizationRequest.new(simulator.url + AUTH_PATH, simulator.client_id, BACK)
        code = request.code_in(agree(changed(request, **fields), EMAIL)).get_secret_value()
        assert ("refresh_token" in redeem(simulator, request, code).json()) is given, fields


def test_a_no_comes_back_as_access_denied(request_: AuthorizationRequest) -> None:
    answer = decline(request_.url)
    assert request_.is_answered_by(answer)
    assert parse_qs(urlsplit(answer).query)["error"] == ["access_denied"]


def test_the_log_knows_who_signed_in_and_no_code(simulator: Simulator, request_: AuthorizationRequest) -> None:
    simulator.clear_log()
    code = request_.code_in(agree(request_.url, EMAIL)).get_secret_value()
    redeem(simulator, request_, code)
    assert [(one.kind, one.email) for one in simulator.log] == [
        ("consent", None),
        ("consented", EMAIL),
        ("signed-in", EMAIL),
    ]
    assert code not in repr(simulator.log)
    assert request_.verifier.get_secret_value() not in repr(simulator.log)


def test_an_answer_is_taken_however_it_was_pasted(request_: AuthorizationRequest) -> None:
    query = f"state={request_.state}&code=4/abc&scope=openid"
    whole = f"{BACK}?{query}"
    folded = f"  {whole[:40]}\r\n   {whole[40:]}\n"
    for answer in (whole, query, f"?{query}", f'"{whole}"', f"<{whole}>", folded, f"{whole}&code=other"):
        assert request_.code_in(answer).get_secret_value() == "4/abc", answer


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "4/abc",
        "http://127.0.0.1:51121/oauth-callback",
        "code=4/abc",
        "code=4/abc&state=other",
        "http://[",
        "x" * 99_999,
    ],
)
def test_what_is_no_answer_to_this_question_is_none(request_: AuthorizationRequest, answer: str) -> None:
    assert not request_.is_answered_by(answer)
    with pytest.raises(WrongAnswerError):
        request_.code_in(answer)


def test_an_answer_without_a_code_is_none(request_: AuthorizationRequest) -> None:
    with pytest.raises(WrongAnswerError, match='no "code"'):
        request_.code_in(f"state={request_.state}&code=")
