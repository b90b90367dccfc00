#!/usr/bin/env python3
"""Another device on the local network that is called NAME.local (RFC 6762): says so to everybody who asks, on the network of LOCAL.

    mdns_taken.py NAME LOCAL ADDRESS
"""
import socket, struct, sys

import mdns_socket

name, local, address = sys.argv[1:4]
encoded = mdns_socket.encoded(name)
# A record A of the class IN, which is this device's alone (the cache-flush bit), good for 120 seconds.
record = encoded + struct.pack(">2HIH", 1, 0x8001, 120, 4) + socket.inet_aton(address)
answer = struct.pack(">6H", 0, 0x8400, 0, 1, 0, 0) + record
listen = mdns_socket.opened(local)
while True:
    question = listen.recv(9000)
    if not question[2] & 0x80 and encoded in question.lower():
        listen.sendto(answer, mdns_socket.GROUP)
