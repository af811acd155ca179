# SPDX-License-Identifier: Apache-2.0
"""A WebSocket server that sends back what it receives. Prints its port, then one line for each WebSocket that ends:
`closed CODE`. A message `send N` is answered with one of N bytes, `raw HEX` with these bytes as they are. Runs until it is ended."""

import asyncio

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


async def echo(connection):
    try:
        async for message in connection:
            if isinstance(message, str) and message.startswith("raw "):
                connection.transport.write(bytes.fromhex(message[4:]))
                continue
            if isinstance(message, str) and message.startswith("send "):
                message = b"x" * int(message.split()[1])
            await connection.send(message)
    except ConnectionClosed:
        pass
    try:
        print(f"closed {connection.close_code}", flush=True)
    except BrokenPipeError:
        # Nobody wants to know.
        pass


async def main():
    async with serve(echo, "127.0.0.1", 0, max_size=None, compression="deflate", ping_interval=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
