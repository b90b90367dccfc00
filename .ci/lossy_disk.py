#!/usr/bin/env python3
"""A disk that loses what was not flushed: an NBD server on a Unix socket over an image file.

    lossy_disk.py IMAGE SOCKET

Writes stay in memory until the client flushes (or writes with FUA). When the connection breaks - the emulator was killed - half of
what was not flushed is gone, block by block at random, the other half is on the disk: as with a pulled plug. Then the next client may come.
At SIGUSR1 it pulls the plug itself, as soon as at least 16 blocks wait to be flushed, and ends.
At SIGUSR2 it reads IMAGE.bad, as it does at the start: where the disk is broken. Each line is `r FROM BYTES` or `w FROM BYTES`; reading or
writing there is an error, and without the file nothing is.
"""
import os, random, signal, socket, struct, sys

BLOCK = 4096
image, path = sys.argv[1:3]
disk = os.open(image, os.O_RDWR)
size = os.fstat(disk).st_size
waiting = {}
pull = []
broken = []
signal.signal(signal.SIGUSR1, lambda *_: pull.append(True))


def look_for_broken(*_):
    lines = open(image + ".bad").read().splitlines() if os.path.exists(image + ".bad") else []
    broken[:] = [(kind, int(begin), int(begin) + int(length)) for kind, begin, length in map(str.split, lines)]


signal.signal(signal.SIGUSR2, look_for_broken)
look_for_broken()


def is_broken(kind, offset, length):
    return any(kind == what and offset < end and begin < offset + length for what, begin, end in broken)


def settle(number, data):
    os.pwrite(disk, data, number * BLOCK)


def flush():
    for number, data in waiting.items():
        settle(number, data)
    waiting.clear()
    os.fdatasync(disk)


def read(offset, length):
    data = bytearray(os.pread(disk, length, offset))
    for number in range(offset // BLOCK, (offset + length + BLOCK - 1) // BLOCK):
        if number in waiting:
            begin = number * BLOCK - offset
            block = waiting[number]
            low, high = max(begin, 0), min(begin + BLOCK, length)
            data[low:high] = block[low - begin:high - begin]
    return bytes(data)


def write(offset, data):
    at = 0
    while at < len(data):
        number, inside = divmod(offset + at, BLOCK)
        part = data[at:at + BLOCK - inside]
        block = bytearray(waiting.get(number) or os.pread(disk, BLOCK, number * BLOCK).ljust(BLOCK, b"\0"))
        block[inside:inside + len(part)] = part
        waiting[number] = bytes(block)
        at += len(part)


def exactly(connection, count):
    data = bytearray()
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise ConnectionError
        data += part
    return bytes(data)


def negotiate(connection):
    connection.sendall(b"NBDMAGICIHAVEOPT" + struct.pack(">H", 1))
    exactly(connection, 4)
    while True:
        _, option, length = struct.unpack(">8sII", exactly(connection, 16))
        exactly(connection, length)
        reply = lambda kind, data=b"": connection.sendall(struct.pack(">QIII", 0x3E889045565A9, option, kind, len(data)) + data)
        flags = 1 | 4 | 8  # has flags, flush, FUA
        if option == 1:
            connection.sendall(struct.pack(">QH", size, flags) + bytes(124))
            return
        if option in (6, 7):
            reply(3, struct.pack(">HQH", 0, size, flags))
            reply(1)
            if option == 7:
                return
        elif option == 2:
            reply(1)
            raise ConnectionError
        else:
            reply(0x80000001)


def serve(connection):
    negotiate(connection)
    while True:
        _, flags, kind, handle, offset, length = struct.unpack(">IHHQQI", exactly(connection, 28))
        data, error = b"", 0
        if kind == 0:
            if is_broken("r", offset, length):
                error = 5
            else:
                data = read(offset, length)
        elif kind == 1:
            data = exactly(connection, length)
            if is_broken("w", offset, length):
                error = 5
            else:
                write(offset, data)
            data = b""
            if flags & 1:
                flush()
            if pull and len(waiting) >= 16:
                raise ConnectionError
        elif kind == 2:
            return
        elif kind == 3:
            flush()
        connection.sendall(struct.pack(">IIQ", 0x67446698, error, handle) + data)


server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen(1)
while True:
    connection, _ = server.accept()
    try:
        serve(connection)
        flush()
        print("the disk was closed", flush=True)
    except (ConnectionError, struct.error):
        lost = [number for number in waiting if random.random() < 0.5]
        for number in set(waiting) - set(lost):
            settle(number, waiting[number])
        print(f"the plug was pulled: of {len(waiting)} unflushed blocks {len(lost)} are lost", flush=True)
        waiting.clear()
        if pull:
            sys.exit()
    connection.close()
