# SPDX-License-Identifier: Apache-2.0
"""Reads a response as it comes and prints what each piece of it holds, decoded, as a line of JSON; at the end, whether the
gzip stream ended, too.

Usage: gzip_events.py ADDRESS PATH. Waits for a line on standard input before it reads on."""

import http.client
import json
import sys
import zlib


def say(**values):
    print(json.dumps(values), flush=True)


def main():
    connection = http.client.HTTPConnection(sys.argv[1], timeout=15)
    connection.request("GET", sys.argv[2], headers={"Accept-Encoding": "gzip"})
    response = connection.getresponse()
    say(coding=response.headers.get("content-encoding"))
    decoder = zlib.decompressobj(31)
    while True:
        sys.stdin.readline()
        text = b""
        while not text and not decoder.eof:
            piece = response.read1(65_536)
            if not piece:
                break
            text = decoder.decompress(piece)
        if not text:
            return say(end=decoder.eof, behind=len(decoder.unused_data))
        say(text=text.decode())


main()
