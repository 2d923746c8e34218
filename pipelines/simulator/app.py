"""The eleven operations over HTTP: an ASGI application around a world."""

import asyncio
import json
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from pipelines.simulator.access import Access, LoggedRequest, Quota, RequestLog
from pipelines.simulator.api_request import ApiRequest, ApiResponse, error_response
from pipelines.simulator.dialects import TODAY, Dialect
from pipelines.simulator.faults import FaultInjector
from pipelines.simulator.incoming import notify_observers, parse_body, read_body
from pipelines.simulator.operations import ROUTES
from pipelines.simulator.refusals import Refusal, RefusedError
from pipelines.simulator.response_shapes import ResponseShapes
from pipelines.simulator.world import World

ROOT = "/client/v4/accounts/{account_id}/realtime/kit/{app_id}"


@dataclass(slots=True)
class Service:
    """A world, and everything that decides how its API responds."""

    world: World
    access: Access
    shapes: ResponseShapes = field(default_factory=ResponseShapes)
    dialect: Dialect = TODAY
    refusals: list[Refusal] = field(default_factory=list)
    per_page_cap: int = 100
    quota: Quota | None = None
    latency: float = 0.0
    """Minimum seconds per response."""
    order_by: str = "created_at"
    faults: FaultInjector = field(default_factory=FaultInjector)
    log: RequestLog = field(default_factory=RequestLog)
    routes: list[Route] = field(default_factory=list)
    """One per operation, built with the application."""
    crashes: list[Exception] = field(default_factory=list)
    """Exceptions in the simulator itself."""

    def application(self) -> Starlette:
        """Return the ASGI application."""
        self.routes = [
            Route(ROOT + path, Endpoint(self, name), methods=[method], name=name)
            for name, (method, path, _) in ROUTES.items()
            if name != "get-livestream-daywise-analytics" or self.dialect.has_livestream_daywise
        ]
        return Starlette(routes=[*self.routes, Route("/{path:path}", Endpoint(self, "unknown"), name="unknown")])


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation as an ASGI endpoint."""

    service: Service
    name: str

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Log the request, build the response, and send it."""
        request = Request(scope, receive)
        app_id = request.path_params.get("app_id", "")
        logged = LoggedRequest(request.method, self.name, app_id, request.url.path, dict(request.query_params))
        self.service.log.start(logged)
        try:
            response = await self._response(request, logged)
            await asyncio.sleep(self.service.latency)  # after the request is counted
            logged.status = response.status_code
            await response(scope, receive, send)
        except ClientDisconnect:
            pass
        except Exception as crash:
            self.service.crashes.append(crash)
            raise
        finally:
            self.service.log.finish()

    async def _response(self, request: Request, logged: LoggedRequest) -> Response:
        service, world = self.service, self.service.world
        headers: dict[str, str] = {}
        try:
            sent = await self._receive(request, headers)
            fault = service.faults.next_fault(logged)
            replacement = fault.replacement() if fault else None
            if replacement is not None:
                return replacement
            with world.lock:
                world.apply_due_events()
                api_request, handler = self._build_request(request, logged, sent), ROUTES[self.name][2]
                for refusal in service.refusals:
                    if refusal.matches(self.name, api_request.path, api_request.query):
                        raise refusal.to_error()
                response = to_http_response(
                    fault.handle(api_request, handler) if fault else handler(api_request), headers
                )
            return fault.corrupt(response) if fault else response
        except RefusedError as refused:
            return to_http_response(error_response(service.shapes, refused), headers)

    async def _receive(self, request: Request, headers: dict[str, str]) -> dict[str, object]:
        """Return the JSON body. Access is checked first: the body of an unauthorized request may have any size and is not read."""
        body, dialect = b"", self.service.dialect
        try:
            self._check_access(request, headers)
            body = await read_body(request)
        finally:
            notify_observers(request, self.name, body, dialect)
        return parse_body(self.name, body, request.headers.get("content-type", ""), dialect)

    def _check_access(self, request: Request, headers: dict[str, str]) -> None:
        """Check the token, then the rate limit, then the path, the account and the app."""
        service = self.service
        service.access.check_token(request.headers.get("authorization", ""))
        if service.quota is not None:
            allowed = service.quota.consume()
            headers.update(service.quota.headers())
            if not allowed:
                headers["Retry-After"] = str(service.quota.resets_in_seconds)
                raise RefusedError(429, 10_100, "Rate limit exceeded")
        if self.name == "unknown":
            if methods := self._allowed_methods(request.url.path):
                headers["Allow"] = ", ".join(methods)
                raise RefusedError(405, 7_001, f"Method {request.method} not available for that URI")
            raise RefusedError(404, 7_000, "No route for that URI")
        service.access.check_account(request.path_params["account_id"])
        if request.path_params["app_id"] not in service.world.apps:
            raise RefusedError(404, 404, "App not found")

    def _allowed_methods(self, path: str) -> list[str]:
        """Return the methods that this dialect allows on a path."""
        routes = [route for route in self.service.routes if route.path_regex.match(path)]
        return sorted({method for route in routes for method in route.methods or ()})

    def _build_request(self, request: Request, logged: LoggedRequest, body: dict[str, object]) -> ApiRequest:
        service = self.service
        return ApiRequest(
            operation=self.name,
            world=service.world,
            shapes=service.shapes,
            dialect=service.dialect,
            path=request.path_params,
            query=logged.query,
            body=body,
            per_page_cap=service.per_page_cap,
            order_by="updated_at" if service.faults.reorders_rows else service.order_by,
        )


def to_http_response(reply: ApiResponse, headers: dict[str, str]) -> Response:
    """Return the HTTP response of an API response."""
    headers = {**headers, **reply.headers}
    if reply.html is not None:
        return Response(reply.html, reply.status, headers, "text/html")
    body = json.dumps(reply.document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Response(body.encode(), reply.status, headers, reply.media_type)
