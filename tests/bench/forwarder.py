"""`python -m tests.bench.forwarder`: PUT with a body in pieces becomes one with a length, which MinIO asks for (411).

FFmpeg's HLS muxer sends nothing else. Its work is counted on neither side.
"""

import argparse
from collections.abc import AsyncIterator

from aiohttp import ClientSession, TCPConnector, web


def application(store: str) -> web.Application:
    """Passes every PUT on to the store, whole."""
    app = web.Application(client_max_size=1 << 28)

    async def session(app: web.Application) -> AsyncIterator[None]:
        async with ClientSession(connector=TCPConnector(limit=64)) as client:
            app[CLIENT] = client
            yield

    async def put(request: web.Request) -> web.Response:
        async with request.app[CLIENT].put(store + request.path, data=await request.read()) as answer:
            return web.Response(status=answer.status, body=await answer.read())

    app.cleanup_ctx.append(session)
    app.router.add_put("/{path:.*}", put)
    return app


CLIENT = web.AppKey("client", ClientSession)

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    web.run_app(application(options.store), host="127.0.0.1", port=options.port, print=None)
