# SPDX-License-Identifier: Apache-2.0
"""Opens connections of HTTP/2, asks once on each, and holds them. Usage: h2_holder.py ADDRESS COUNT.

Prints how many answers were good, and holds the connections until it is ended."""

import sys

from h2_wire import Wire


def main():
    address, count = sys.argv[1], int(sys.argv[2])
    wires = [Wire(address) for _ in range(count)]
    for wire in wires:
        wire.send(wire.request(1, "/"))
    print(sum(wire.wait(1).status == 200 for wire in wires), flush=True)
    sys.stdin.read()


main()
