# SPDX-License-Identifier: Apache-2.0
"""Requests over HTTP/2 without a pause, until the line `"stop"` comes on standard input; then the counts as one line of JSON.
Any other line is answered with the counts so far.

Usage: h2_load.py ADDRESS PATH CONNECTIONS STREAMS. Prints `going` when the first hundred are answered. As every client does
(RFC 9113 section 8.7), what a GOAWAY does not cover or REFUSED_STREAM names is asked again, on another connection; what it
covers must be answered. A connection may end without GOAWAY only while it has no streams."""

import json
import sys
import threading
import time

from h2_wire import Wire

lock = threading.Lock()
tally = {"good": 0, "again": 0, "connections": 0, "goaways": 0, "failures": []}
stopping = threading.Event()


def count(name, by=1):
    with lock:
        tally[name] += by


def fail(words):
    with lock:
        tally["failures"].append(words)
    time.sleep(0.02)


def judge(wire, stream, started):
    """One stream that is over, or whose connection is."""
    came = wire.streams.pop(stream)
    if came.ended and came.status == 200:
        return count("good")
    uncovered = wire.goaway is not None and stream > wire.goaway[0]
    if came.reset == "REFUSED_STREAM" or uncovered:
        return count("again")
    after = round(time.monotonic() - started, 3)
    fail(f"stream {stream}: {came.status}, ended {came.ended}, reset {came.reset}, goaway {wire.goaway}, "
         f"closed {wire.closed} after {after} s")


def connect(address):
    try:
        wire = Wire(address)
    except OSError as error:
        fail(f"connect: {error}")
        return None
    count("connections")
    if not wire.pump(8, lambda: wire.settled) and not wire.closed:
        fail("no SETTINGS")
    return wire


def work(address, path, streams):
    while not stopping.is_set():
        wire = connect(address)
        if wire is None:
            continue
        started, stream, running = time.monotonic(), 1, set()
        while True:
            leaving = stopping.is_set() or wire.goaway is not None or wire.closed or stream > 1 << 30
            while not leaving and len(running) < streams:
                wire.send(wire.request(stream, path))
                wire.of(stream)
                running.add(stream)
                stream += 2
            if not running:
                break
            wire.pump(8, lambda: any(wire.of(one).over for one in running))
            over = {one for one in running if wire.of(one).over or wire.closed}
            if wire.goaway is not None:
                over |= {one for one in running if one > wire.goaway[0]}
            if not over:
                fail(f"nothing within 8 s: {sorted(running)}, goaway {wire.goaway}")
                break
            for one in over:
                judge(wire, one, started)
            running -= over
        if wire.goaway is not None:
            count("goaways")
            if wire.goaway[1] != "NO_ERROR":
                fail(f"GOAWAY {wire.goaway}")
        wire.socket.close()


def main():
    address, path, connections, streams = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    threads = [threading.Thread(target=work, args=(address, path, streams)) for _ in range(connections)]
    for thread in threads:
        thread.start()
    while tally["good"] < 100 and not tally["failures"]:
        time.sleep(0.01)
    print('"going"', flush=True)
    for line in sys.stdin:
        if json.loads(line) == "stop":
            break
        with lock:
            print(json.dumps(tally), flush=True)
    stopping.set()
    for thread in threads:
        thread.join()
    tally["failures"] = tally["failures"][:5]
    print(json.dumps(tally), flush=True)


main()
