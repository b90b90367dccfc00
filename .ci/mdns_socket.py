"""What .ci/mdns_ask.py and .ci/mdns_taken.py share: names and the socket of mDNS (RFC 6762)."""
import socket

GROUP = ("224.0.0.251", 5353)


def encoded(name):
    """NAME.local as it stands in a message."""
    return b"".join(bytes([len(part)]) + part.encode() for part in (name, "local")) + b"\0"


def opened(local):
    """A socket on the network of this address. On the port of mDNS itself, for not everybody answers to others."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("", GROUP[1]))
    made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(local))
    made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP[0]) + socket.inet_aton(local))
    made.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
    return made
