#!/usr/bin/env python3
"""Another device on the local network that is called NAME.local (RFC 6762): says so to everybody who asks, on the network of LOCAL.

    mdns_taken.py NAME LOCAL ADDRESS
"""
import socket, struct, sys

name, local, address = sys.argv[1:4]
encoded = b"".join(bytes([len(part)]) + part.encode() for part in (name, "local")) + b"\0"
# A record A of the class IN, which is this device's alone (the cache-flush bit), good for 120 seconds.
record = encoded + struct.pack(">2HIH", 1, 0x8001, 120, 4) + socket.inet_aton(address)
answer = struct.pack(">6H", 0, 0x8400, 0, 1, 0, 0) + record
listen = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
listen.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listen.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
listen.bind(("", 5353))
listen.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(local))
listen.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton("224.0.0.251") + socket.inet_aton(local))
listen.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
while True:
    question = listen.recv(9000)
    if not question[2] & 0x80 and encoded in question.lower():
        listen.sendto(answer, ("224.0.0.251", 5353))
