"""What a person does on the authorization page, without a browser: for tests and dry runs."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx

from litellm_antigravity.simulator.consent_page import CLOUD_PLATFORM


def agree(url: str, email: str, *, cloud: bool = True) -> str:
    """Sign in on the page and agree; return the address that the browser is sent to.

    Args:
        url: of the page.
        email: of the account to choose.
        cloud: whether the box for the use of Google Cloud stays ticked.

    Raises:
        ValueError: when the page is none that asks, or does not offer the account.
    """
    return _press(url, {"account": email, **({"scope": CLOUD_PLATFORM} if cloud else {})}, email)


def decline(url: str) -> str:
    """Say no on the page; return the address that the browser is sent to.

    Raises:
        ValueError: when the page is none that asks.
    """
    return _press(url, {"deny": "1"}, "Cancel")


def _press(url: str, form: dict[str, str], button: str) -> str:
    with httpx.Client(trust_env=False) as browser:
        page = browser.get(url)
        if page.status_code != 200 or f">{button}</button>" not in page.text:
            msg = f"the page at {urlsplit(url).path} has no button {button!r} (HTTP {page.status_code}): {page.text}"
            raise ValueError(msg)
        return str(browser.post(url, data=form).headers["location"])
