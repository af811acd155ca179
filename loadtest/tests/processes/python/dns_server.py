# SPDX-License-Identifier: Apache-2.0
"""A name server on the address given. Prints `ready`, and then each question: its type and its name.

66.249.79.1 and its name belong together. The name that 66.249.79.2 claims has another address, and that of 66.249.79.3
only begins as a search engine's. Nobody else has a name."""
import socket
import sys

from dnslib import A, PTR, QTYPE, RCODE, RR, DNSRecord

NAMES = {
    "1.79.249.66.in-addr.arpa.": "crawl-66-249-79-1.googlebot.com.",
    "2.79.249.66.in-addr.arpa.": "crawl-66-249-79-9.googlebot.com.",
    "3.79.249.66.in-addr.arpa.": "crawl.googlebot.com.impostor.example.",
}
ADDRESSES = {
    "crawl-66-249-79-1.googlebot.com.": "66.249.79.1",
    "crawl-66-249-79-9.googlebot.com.": "66.249.79.9",
    "crawl.googlebot.com.impostor.example.": "66.249.79.3",
}

server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 53))
print("ready", flush=True)
while True:
    data, peer = server.recvfrom(4096)
    asked = DNSRecord.parse(data)
    name, kind = str(asked.q.qname).lower(), QTYPE[asked.q.qtype]
    print(kind, name, flush=True)
    answer = asked.reply()
    if kind == "PTR" and name in NAMES:
        answer.add_answer(RR(asked.q.qname, QTYPE.PTR, ttl=60, rdata=PTR(NAMES[name])))
    elif kind == "A" and name in ADDRESSES:
        answer.add_answer(RR(asked.q.qname, QTYPE.A, ttl=60, rdata=A(ADDRESSES[name])))
    elif name not in ADDRESSES:
        answer.header.rcode = RCODE.NXDOMAIN
    server.sendto(answer.pack(), peer)
