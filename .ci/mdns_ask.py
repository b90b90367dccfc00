#!/usr/bin/env python3
"""Asks the local network for the IPv4 address of NAME.local (RFC 6762) from the address LOCAL; prints it, or fails after ten seconds.

    mdns_ask.py NAME LOCAL
"""
import socket, struct, sys, time

import mdns_socket

name, local = sys.argv[1:3]
encoded = mdns_socket.encoded(name)
question = struct.pack(">6H", 0, 0, 1, 0, 0, 0) + encoded + struct.pack(">2H", 1, 1)
ask = mdns_socket.opened(local)
ask.settimeout(1)
end = time.monotonic() + 10
asked = 0.0
while time.monotonic() < end:
    if time.monotonic() - asked > 1:
        ask.sendto(question, mdns_socket.GROUP)
        asked = time.monotonic()
    try:
        answer = ask.recv(9000)
    except socket.timeout:
        continue
    # An answer with a record of that name, type A, class IN (with or without the cache-flush bit), four bytes long.
    for kind in (b"\0\1\0\1", b"\0\1\x80\1"):
        at = answer.lower().find(encoded + kind)
        record = at + len(encoded)
        if at >= 0 and answer[2] & 0x80 and answer[record + 8:record + 10] == b"\0\4":
            print(socket.inet_ntoa(answer[record + 10:record + 14]))
            sys.exit(0)
sys.exit(f"nobody says what {name}.local is")
