"""Whether the API's host answers, and what a failed exchange means. A host that does not answer is detected once.

Without this each request would find it out by itself, for half a minute. Seen: 3 min 21 s for one wrong address.
"""

import time
from http import HTTPStatus

import httpx

from pipelines.errors import ApiRefusedError, ApiUnreachableError, LivehouseError, TransientApiError
from pipelines.extract.redaction import Redactor
from pipelines.extract.retry_policy import RetryPolicy
from pipelines.transport.exchange import ExchangeError, Failure
from pipelines.transport.proxies import Proxy

_FIRST_TRIES, _FIRST_TRIES_SECONDS = 3, 5.0
"""Tries of a host that has not answered in this run, and when the last one may begin: the network may be coming up."""

_NO_ANSWER: frozenset[Failure] = frozenset({"no connection", "no TLS", "no answer", "closed"})
"""Failures of a host that does not answer."""


class Reachability:
    """State of the API's host, shared by all threads of a client."""

    def __init__(self, base_url: httpx.URL, proxy: Proxy | None, redactor: Redactor) -> None:
        """Assume that the host answers."""
        self.has_answered = False
        """Whether the host has answered in this run."""
        self.has_stopped_answering = False
        """Whether all tries of a request failed since. Until the host answers again, requests are tried once each."""
        self.unreachable: str | None = None
        """Why no request is sent any more; None while the host may answer."""
        self._address = f"{base_url.scheme}://{base_url.netloc.decode()}"
        self._proxy = proxy
        self._redactor = redactor

    def note_answer(self) -> None:
        """Record that the host has answered."""
        self.has_answered, self.has_stopped_answering = True, False

    def explain(self, request: str, error: ExchangeError, policy: RetryPolicy) -> LivehouseError:
        """Return the error to raise for a failed exchange. `request` names it in the message."""
        if error.failure == "refused by the proxy" and (refusal := self._explain_proxy_refusal(error)):
            return refusal
        if self.has_answered and error.failure != "untrusted":
            self.has_stopped_answering |= error.failure in _NO_ANSWER and policy.retries >= policy.max_retries
        elif error.failure != "broken" and self._is_unreachable(error, policy):
            self.unreachable = f"no API at {self._address}: {self._describe(error)}"
            return ApiUnreachableError(self.unreachable)
        return TransientApiError(f"{request}: no complete reply: {self._describe(error)}")

    @staticmethod
    def _is_unreachable(error: ExchangeError, policy: RetryPolicy) -> bool:
        """Whether a host that has not answered yet is tried no further."""
        if error.failure == "untrusted" or not policy.is_repeatable or not policy.is_patient:
            return True
        if error.failure == "no answer":
            return policy.retries > 0
        max_retries = policy.max_retries if error.failure == "closed" else _FIRST_TRIES - 1
        return time.monotonic() - policy.started > _FIRST_TRIES_SECONDS or policy.retries >= max_retries

    def _explain_proxy_refusal(self, error: ExchangeError) -> ApiRefusedError | None:
        if error.status is None or error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return None
        variable = self._proxy.variable if self._proxy else "HTTPS_PROXY"
        needs_login = error.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
        remedy = f"check {'user and password in ' if needs_login else ''}{variable}"
        message = self._redactor.redact_message(str(error))
        return ApiRefusedError(
            f"the proxy of {variable} refused: {message} ({remedy})", status=error.status, remedy=remedy
        )

    def _describe(self, error: ExchangeError) -> str:
        """Return what failed, and what to check if no connection was established."""
        proxy = f"the proxy of {self._proxy.variable}" if self._proxy else "a proxy"
        remedies: dict[Failure, str] = {
            "no connection": f" (nothing answers there: check CLOUDFLARE_BASE_URL, the network, DNS, a firewall, {proxy})",
            "no answer": f" (nothing answers there: check CLOUDFLARE_BASE_URL, the network, a firewall, {proxy})",
            "closed": f" (the server there does not answer: check CLOUDFLARE_BASE_URL, the network, a firewall, {proxy})",
            "no TLS": f" (no trusted connection: check CLOUDFLARE_BASE_URL, the network, a firewall, {proxy})",
            "untrusted": " (no trusted connection: check CLOUDFLARE_BASE_URL, this machine's clock, its certificates,"
            f" {proxy})",
            "broken": "",
            "refused by the proxy": f" (check {proxy})",
        }
        return f"{self._redactor.redact_message(str(error))}{remedies[error.failure]}"
