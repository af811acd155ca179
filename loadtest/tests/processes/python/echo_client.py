# SPDX-License-Identifier: Apache-2.0
"""Talks to a WebSocket echo server: texts, bytes, fragments, pings, a large message, a long silence on request.

Usage: echo_client.py URL [hold]. With `hold` it prints `open`, waits for a line on standard input, and goes on with the same
connection. Ends with 0 and prints `good` where everything came back as it was sent."""

import asyncio
import os
import sys

from websockets.asyncio.client import connect


async def echo(connection, message):
    await connection.send(message)
    back = await asyncio.wait_for(connection.recv(), 8)
    expected = b"".join(message) if isinstance(message, list) else message
    assert back == expected, f"{len(back)} of {len(expected)} bytes came back"


async def main(url, hold):
    async with connect(url, max_size=None, proxy=None, ping_interval=None) as connection:
        await echo(connection, "hello")
        if hold:
            print("open", flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        for size in (0, 1, 125, 126, 65_535, 65_536, 1_000_000):
            await echo(connection, os.urandom(size))
        await echo(connection, [b"one ", b"two ", b"three"])
        await echo(connection, os.urandom(8 << 20))
        await asyncio.wait_for(await connection.ping(), 8)
        await asyncio.gather(*(connection.send(str(number)) for number in range(200)))
        for number in range(200):
            assert await connection.recv() == str(number)
    assert connection.close_code == 1000, connection.close_code
    print("good")


asyncio.run(main(sys.argv[1], sys.argv[2:] == ["hold"]))
