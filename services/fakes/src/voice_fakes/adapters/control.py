"""The control endpoint: read the log, change the script, start again."""

import json
from collections.abc import Callable

from aiohttp import web

from voice_fakes.log import EventLog, now_ms
from voice_fakes.script import Script, ScriptError, changed_script, parse_script


class Control:
    def __init__(self, script: Script, log: EventLog, use: Callable[[Script], None]) -> None:
        self._first = self._script = script
        self._log = log
        self._use = use

    def application(self) -> web.Application:
        app = web.Application()
        app.add_routes(
            [
                web.get("/log", self._get_log),
                web.get("/now", self._get_now),
                web.get("/script", self._get_script),
                web.post("/script", self._post_script),
                web.patch("/script", self._patch_script),
                web.post("/reset", self._reset),
            ]
        )
        return app

    async def _get_log(self, request: web.Request) -> web.Response:
        query = request.query
        events = self._log.events(query.get("source"), query.get("event"))
        lines = "".join(json.dumps(event.as_dict(), ensure_ascii=False) + "\n" for event in events)
        return web.Response(text=lines, content_type="application/x-ndjson")

    async def _get_now(self, _request: web.Request) -> web.Response:
        return web.json_response({"t_ms": now_ms()})

    async def _get_script(self, _request: web.Request) -> web.Response:
        return web.json_response(self._script.model_dump())

    async def _post_script(self, request: web.Request) -> web.Response:
        return await self._change(request, parse_script)

    async def _patch_script(self, request: web.Request) -> web.Response:
        return await self._change(request, lambda text: changed_script(self._script, text))

    async def _change(self, request: web.Request, read: Callable[[str], Script]) -> web.Response:
        try:
            self._script = read(await request.text())
        except (ScriptError, UnicodeDecodeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        self._use(self._script)
        return web.json_response(self._script.model_dump())

    async def _reset(self, _request: web.Request) -> web.Response:
        self._log.clear()
        self._script = self._first
        self._use(self._script)
        return web.json_response(self._script.model_dump())
