"""A local server that answers like Grafana's HTTP API; with GRAFANA_URL and GRAFANA_TOKEN set, a real one."""

from __future__ import annotations

import asyncio
import copy
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import web

from dashboards.delivery.grafana import Grafana, Retries

TOKEN = "glsa_test_token"


class LocalGrafana:
    """Folders and dashboards in memory, behind the calls of Grafana's HTTP API that delivery makes, with the
    status codes that a Grafana 9.4 gives to a service account with the role Editor.

    `failures` answers the next requests with these status codes, `requests` is what was asked.
    """

    def __init__(self) -> None:
        self.folders: dict[str, dict[str, Any]] = {}
        self.dashboards: dict[str, dict[str, Any]] = {}
        self.failures: list[int] = []
        self.requests: list[str] = []
        self.provisioned: set[str] = set()
        self.hidden: set[str] = set()  # may neither be read nor written

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self.guard])
        app.add_routes(
            [
                web.get("/base/api/frontend/settings", self.settings),
                web.post("/base/api/folders", self.create_folder),
                web.get("/base/api/folders/{uid}", self.folder),
                web.put("/base/api/folders/{uid}", self.update_folder),
                web.get("/base/api/search", self.search),
                web.get("/base/api/dashboards/uid/{uid}", self.dashboard),
                web.delete("/base/api/dashboards/uid/{uid}", self.delete),
                web.post("/base/api/dashboards/db", self.save),
            ]
        )
        return app

    @property
    def writes(self) -> list[str]:
        return [request for request in self.requests if not request.startswith("GET")]

    @web.middleware
    async def guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path.removeprefix('/base/api')}")
        if self.failures:
            return web.json_response({"message": "as told"}, status=self.failures.pop(0))
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"message": "Invalid API key"}, status=401)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def settings(self, _: web.Request) -> web.Response:
        return web.json_response({"buildInfo": {"commit": "0", "version": "12.3.1"}})

    async def create_folder(self, request: web.Request) -> web.Response:
        body = await request.json()
        if body["uid"] in self.folders:
            return web.json_response({"message": "a folder with that uid already exists"}, status=412)
        self.folders[body["uid"]] = {"uid": body["uid"], "title": body["title"], "version": 1}
        return web.json_response(self.folders[body["uid"]])

    async def folder(self, request: web.Request) -> web.Response:
        found = self.folders.get(request.match_info["uid"])
        if found is None:  # an Editor learns nothing of what is not there
            return web.json_response({"message": "Access denied to this folder"}, status=403)
        return web.json_response(found)

    async def update_folder(self, request: web.Request) -> web.Response:
        folder = self.folders[request.match_info["uid"]]
        body = await request.json()
        if not body.get("overwrite") and body.get("version") != folder["version"]:
            return web.json_response({"message": "the folder has been changed"}, status=412)
        folder |= {"title": body["title"], "version": folder["version"] + 1}
        return web.json_response(folder)

    async def search(self, request: web.Request) -> web.Response:
        asked = request.query
        hits = [
            {"uid": uid, "title": one["dashboard"]["title"], "type": "dash-db", "folderUid": one["folderUid"]}
            for uid, one in sorted(self.dashboards.items())
            if asked["tag"] in one["dashboard"].get("tags", ())
        ]
        limit, page = int(asked["limit"]), int(asked["page"])
        return web.json_response(hits[(page - 1) * limit : page * limit])

    async def dashboard(self, request: web.Request) -> web.Response:
        uid = request.match_info["uid"]
        if uid in self.hidden or not self.dashboards:
            return web.json_response({"message": "You'll need additional permissions"}, status=403)
        if uid not in self.dashboards:
            return web.json_response({"message": "Dashboard not found"}, status=404)
        one = self.dashboards[uid]
        meta = {"folderUid": one["folderUid"], "provisioned": uid in self.provisioned}
        return web.json_response({"dashboard": one["dashboard"], "meta": meta})

    async def delete(self, request: web.Request) -> web.Response:
        one = self.dashboards.pop(request.match_info["uid"], None)
        if one is None:
            return web.json_response({"message": "You'll need additional permissions"}, status=403)
        return web.json_response({"title": one["dashboard"]["title"], "message": "Dashboard deleted"})

    async def save(self, request: web.Request) -> web.Response:
        body = await request.json()
        dashboard, folder = body["dashboard"], body.get("folderUid", "")
        if dashboard["uid"] in self.hidden:
            return web.json_response({"message": "You'll need additional permissions"}, status=403)
        if folder and folder not in self.folders:
            return web.json_response({"message": "folder not found"}, status=400)
        before = self.dashboards.get(dashboard["uid"])
        if before and not body.get("overwrite"):
            return web.json_response({"message": "exists", "status": "name-exists"}, status=412)
        version = before["dashboard"]["version"] + 1 if before else 1
        number = before["dashboard"]["id"] if before else len(self.dashboards) + 1
        stored = copy.deepcopy(dashboard) | {"id": number, "version": version}
        self.dashboards[dashboard["uid"]] = {"dashboard": stored, "folderUid": folder}
        return web.json_response({"uid": dashboard["uid"], "status": "success", "version": version})


@pytest.fixture
def local() -> Iterator[tuple[LocalGrafana, str]]:
    """The server and its address."""
    server, started = LocalGrafana(), threading.Event()
    loop, port = asyncio.new_event_loop(), [0]

    async def serve() -> web.AppRunner:
        runner = web.AppRunner(server.app())
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port[0] = runner.addresses[0][1]
        started.set()
        return runner

    def run() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(serve())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    assert started.wait(10)
    yield server, f"http://127.0.0.1:{port[0]}/base"
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


@pytest.fixture(params=["local", "real"])
def any_grafana(request: pytest.FixtureRequest) -> Iterator[Callable[[], Grafana]]:
    """Connects to the local server, or to the Grafana that the environment names; ours are gone before and
    after."""
    if request.param == "local":
        _, url = request.getfixturevalue("local")
        token = TOKEN
    else:
        url, token = os.environ.get("GRAFANA_URL", ""), os.environ.get("GRAFANA_TOKEN", "")
        if not (url and token):
            pytest.skip("set GRAFANA_URL and GRAFANA_TOKEN to run this against a real Grafana")
    opened: list[Grafana] = []

    def connect() -> Grafana:
        opened.append(Grafana(url.rstrip("/"), token, Retries((0.0, 0.0))))
        return opened[-1]

    yield connect
    for grafana in opened:
        grafana.close()
