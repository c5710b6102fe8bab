#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes an input of fuzz_decode.c: what two sides say, one after the other.

    fuzz/seed.py fuzz/corpus/decode_http1/get 'c:GET / HTTP/1.0\\r\\n\\r\\n' 's:HTTP/1.0 200 OK\\r\\n\\r\\nhello' s.
    fuzz/seed.py fuzz/corpus/decode_tls/real c@client.raw s@server.raw

c, s: who says it (client, server). Behind it ':' and text with Python's escapes, '@' and a file of bytes, '~' and how
many bytes are missing, '*' and how often with ':' and text ("c*200:x"), or '.': nothing follows of that side. A number
in front of them all is the byte of options (framings: 4 times the place in the table of fuzz_decode.c). A name that
ends with .session is such a file of tests/golden.
"""
import sys

SHORT = 31
LONG_MAX = 1 << 16


def piece(side, kind, length, behind=b''):
    """length: as the format has it, one less than the bytes."""
    word = (1 if side == 's' else 0) | kind << 1
    if length < SHORT:
        return bytes([word | length << 3]) + behind
    return bytes([word | SHORT << 3, length & 255, length >> 8]) + behind


def said(side, data):
    parts = [data[at : at + LONG_MAX] for at in range(0, len(data), LONG_MAX)]
    return b''.join(piece(side, 0, len(part) - 1, part) for part in parts)


def repeated(side, times, data):
    length = len(data) - 1
    head = piece(side, 1, length)
    return head + bytes([int(times) - 1]) + data


def text(words):
    return words.encode('latin-1', 'backslashreplace').decode('unicode_escape').encode('latin-1')


def from_session(path):
    """A file of tests/golden: lines of 'client HEX', 'server HEX' and 'client end'."""
    with open(path, encoding='ascii') as file:
        lines = [line.split() for line in file if line.strip() and not line.startswith('#')]
    return b''.join(piece(side[0], 3, 0) if data == 'end' else said(side[0], bytes.fromhex(data))
                    for side, data in lines)


def from_argument(argument):
    if argument.endswith('.session'):
        return from_session(argument)
    side, what, rest = argument[:1], argument[1:2], argument[2:]
    if side not in ('c', 's'):
        sys.exit(f'{argument}: it begins with c or s')
    if what == ':':
        return said(side, text(rest))
    if what == '@':
        with open(rest, 'rb') as file:
            return said(side, file.read())
    if what == '~':
        return piece(side, 2, int(rest) - 1)
    if what == '*':
        times, _, words = rest.partition(':')
        return repeated(side, times, text(words))
    if what == '.':
        return piece(side, 3, 0)
    sys.exit(f"{argument}: behind {side} there is one of : @ ~ * .")


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    options, arguments = 0, sys.argv[2:]
    if arguments[0].isdigit():
        options = int(arguments.pop(0))
    with open(sys.argv[1], 'wb') as file:
        file.write(bytes([options]) + b''.join(from_argument(argument) for argument in arguments))


if __name__ == '__main__':
    main()
