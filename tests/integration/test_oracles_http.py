# SPDX-License-Identifier: Apache-2.0
"""Messages of HTTP/1 as libhtp reads them (tests/tools/read_http.c), field by field: of real traffic, and of random
conversations with whatever the specification allows, and some things that it does not."""
import json
import os
import random
import shutil

import pytest

import gogetway
import processes
from replaying import Tape
from test_messages import finish, nginx, shown, talk, value, values  # noqa: F401 (a fixture)

pytestmark = pytest.mark.usefixtures("require_program")

SEED = int(os.environ.get("GOGETWAY_TEST_SEED", "7"))
CONVERSATIONS = 3000 if gogetway.TEST_ALL else 400


@pytest.fixture
def read_http():
    try:
        return gogetway.tool("read_http")
    except AssertionError:
        pytest.skip("needs libhtp-dev when it is built")


# ── What libhtp reads ────────────────────────────────────────────────────────────────────────────────────────────────

def theirs(read_http, pairs):
    """[[transaction, ...] of each pair of files]"""
    done = processes.run([read_http, *(file for pair in pairs for file in pair)], 120)
    return [json.loads(line, object_hook=in_utf_8) for line in done.stdout.splitlines()]


def in_utf_8(one):
    return {key: text.encode("latin-1").decode() if isinstance(text, str) else text for key, text in one.items()}


def joined(headers):
    """[(name, value)] as libhtp has them: those of one name, in any case of its letters, are one. How many blanks a
    fold is worth is everybody's own choice (RFC 9112, 5.2)."""
    found = {}
    for name, text in headers:
        found.setdefault(name.lower(), []).append(text)
    return {f"header {name}": " ".join(", ".join(texts).split()) for name, texts in found.items()}


def headers_of(message, *kinds):
    return joined((field["key"], field["value"]) for field in message["fields"] if field["name"] in kinds)


def request_of(message):
    return {"method": value(message, "http.method"), "target": value(message, "http.target"),
            "version": f"HTTP/{value(message, 'http.version')}", "body": message["body_length"],
            **headers_of(message, "http.header", "http.trailer")}


def answer_of(message):
    return {"status": value(message, "http.status"), "reason": value(message, "http.reason") or "",
            "version": f"HTTP/{value(message, 'http.version')}", "body": message["body_length"],
            **headers_of(message, "http.header", "http.trailer")}


def request_of_theirs(one):
    return {"method": one["method"], "target": one["target"], "version": one["version"], "body": one["body"],
            **joined((header["name"], header["value"]) for header in one["headers"])}


def answer_of_theirs(one):
    return {"status": one["status"], "reason": one["reason"] or "", "version": one["answer_version"],
            "body": one["answer_body"],
            **joined((header["name"], header["value"]) for header in one["answer_headers"])}


def differences(messages, transactions):
    """Texts, one for each; libhtp has no interim answers."""
    asked = [one for one in messages if one.get("kind") == "request"]
    told = [one for one in messages if one.get("kind") == "response" and value(one, "http.status") >= 101]
    found = []
    if len(asked) != len(transactions):
        found.append(f"{len(asked)} requests, {len(transactions)}")
    answer_to = {one.get("answers"): one for one in told}
    for message, other in zip(asked, transactions):
        mine, its = request_of(message), request_of_theirs(other)
        found += [f"request's {name}: {text!r}, {its.get(name)!r}" for name, text in mine.items()
                  if text != its.get(name)]
        answer = answer_to.get(message["number"])
        if (answer is None) != (other["status"] <= 0):
            found.append(f"an answer: {answer}, {other['status']}")
        elif answer:
            mine, its = answer_of(answer), answer_of_theirs(other)
            found += [f"answer's {name}: {text!r}, {its.get(name)!r}" for name, text in mine.items()
                      if text != its.get(name)]
            if ("completes" in answer["flags"]) != other["answer_whole"]:
                found.append(f"whole: {answer['flags']}, {other['answer_whole']}")
    return found


# ── Conversations ────────────────────────────────────────────────────────────────────────────────────────────────────

class Generator:
    def __init__(self, dice):
        self.dice = dice

    def text(self, letters, least, most):
        return "".join(self.dice.choices(letters, k=self.dice.randint(least, most)))

    def header(self, number):
        name = self.dice.choice([f"X-{number}", f"x_{number}", f"A!#$%&'*+.^`|~{number}", "Accept", "X-Again",
                                 "x-again", "User-Agent"])
        words = [self.text("abc xyz,;:=\"()/\\é", 1, 30).strip(), "", "1", self.text("long", 3000, 6000)]
        text = self.dice.choices(words, (20, 2, 5, 1))[0]
        before, after = self.dice.choices([" ", "", "  ", "\t", " \t "], (20, 2, 1, 1, 1), k=2)
        if self.dice.random() < 0.05:
            text += self.dice.choice(["\r\n ", "\r\n\t", "\r\n  "]) + "folded"
        return f"{name}:{before}{text}{after if after != ' ' else ''}"

    def headers(self, *more):
        lines = [self.header(number) for number in range(self.dice.randint(0, 8))] + list(more)
        self.dice.shuffle(lines)
        return lines

    def body(self):
        """(headers, bytes)"""
        kind = self.dice.choice(["length", "chunked"])
        data = self.text("body\r\n", 0, 300).lstrip()  # libhtp has LF CR for an empty line, behind LF
        if kind == "length":
            return [f"{self.dice.choice(['Content-Length', 'content-length'])}: {len(data)}"], data
        out, at = "", 0
        while at < len(data):
            size = self.dice.randint(1, 100)
            piece = data[at:at + size]
            size = self.dice.choice([f"{len(piece):x}", f"{len(piece):X}", f"00{len(piece):x}"])
            out += f"{size}{self.dice.choice(['', '', ';a', ';a=b', '; a=' + chr(34) + 'c' + chr(34)])}\r\n{piece}\r\n"
            at += len(piece)
        trailers = "".join(f"T-{number}: end\r\n" for number in range(self.dice.choice([0, 0, 1, 2])))
        return ["Transfer-Encoding: chunked"], f"{out}0\r\n{trailers}\r\n"

    def message(self, first, headers, body):
        end = "\n" if self.dice.random() < 0.05 and "\r\n " not in "".join(headers) else "\r\n"
        return "".join(line + end for line in [first, *headers, ""]) + body

    def request(self):
        """(method, bytes)"""
        method = self.dice.choice(["GET", "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "PROPFIND"])
        target = self.dice.choice(["/", f"/{self.text('abc/.%20?&=é', 1, 60)}", "http://example.org/x?y", "*",
                                   f"/{self.text('x', 2000, 3000)}", "//a/../b"]).replace(" ", "")
        version = self.dice.choices(["1.1", "1.0"], (9, 1))[0]
        extra, body = self.body() if method in ("POST", "PUT") and version == "1.1" else ([], "")
        return method, self.message(f"{method} {target} HTTP/{version}",
                                            self.headers("Host: example.org", *extra), body)

    def answer(self, method, last):
        out = self.message("HTTP/1.1 100 Continue", self.headers(), "") if self.dice.random() < 0.05 else ""
        status = self.dice.choice([200, 200, 200, 201, 204, 301, 304, 404, 500, 299, 599])
        reason = self.dice.choice(["OK", "Not so good", "", "Ünglücklich"])
        extra, body = self.body()
        if status in (204, 304):
            extra, body = [], ""
        elif last and self.dice.random() < 0.3:
            extra = []
        if method == "HEAD":
            body = ""
        return out + self.message(f"HTTP/1.1 {status} {reason}", self.headers(*extra), body)

    def conversation(self):
        count = self.dice.randint(1, 5)
        requests = [self.request() for _ in range(count)]
        answers = [self.answer(method, at == count - 1) for at, (method, _) in enumerate(requests)]
        requests[0] = ("", self.dice.choices(["", "\r\n"], (20, 1))[0] + requests[0][1])
        return ["".join(texts).encode() for texts in ([text for _, text in requests], answers)]


# ── Comparisons ──────────────────────────────────────────────────────────────────────────────────────────────────────

def by_session(store, directory):
    done = store("messages", "--json", "--secrets", "--dir", directory)
    found = {}
    for line in done.stdout.splitlines():
        one = json.loads(line)
        found.setdefault(one["session"], []).append(one)
    return list(found.values())


def compared(read_http, scratch, conversations):
    """[differences of each], [our messages of each], [libhtp's transactions of each]"""
    tape, pairs = Tape(), []
    for number, said in enumerate(conversations):
        pairs.append([scratch / f"{number}.client", scratch / f"{number}.server"])
        for file, data in zip(pairs[-1], said):
            file.write_bytes(data)
        tape.talk(number * 1000, [(100, "client", said[0]), (200, "server", said[1])])
    place = scratch / "store"
    place.mkdir()
    tape.write(place / "all.pcapng")
    ours = by_session(lambda *words: processes.run([gogetway.program(), *words], 120), place)
    others = theirs(read_http, pairs)
    assert len(ours) == len(others) == len(conversations)
    return [differences(messages, other) for messages, other in zip(ours, others)], ours, others


def test_random_conversations(read_http, scratch):
    """Compared: method, target, version, headers and trailers, length of the body without chunks, of each request;
    status, reason, and the same of its answer, and whether that is whole."""
    generator = Generator(random.Random(SEED))
    wrong, ours, _ = compared(read_http, scratch, [generator.conversation() for _ in range(CONVERSATIONS)])
    assert not [(SEED, number, one) for number, one in enumerate(wrong) if one]
    assert sum(map(len, ours)) > CONVERSATIONS * 4


ODD = ["Content-Length: 3\r\nContent-Length: 4", "Content-Length: 3\r\nTransfer-Encoding: chunked",
       "Content-Length: +3", "Content-Length: x", "Transfer-Encoding: nonsense", "Content-Length: 3, 4",
       "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Content-Length: -1", "Content-Length:",
       "Transfer-Encoding : chunked", "Transfer-Encoding: chunked, identity", "Content-Length: 0x3", "no colon",
       ": empty"]


def test_what_readers_may_disagree_about(read_http, scratch):
    """Whatever libhtp flags as ambiguous is odd here too, and so is each of these; where the body ends is then
    everybody's own opinion."""
    body = "3\r\nabc\r\n0\r\n\r\n"
    _, ours, others = compared(read_http, scratch, [
        (f"POST /{number} HTTP/1.1\r\nHost: h\r\n{text}\r\n\r\n{body}".encode(), b"")
        for number, text in enumerate(ODD)])
    assert [text for text, messages in zip(ODD, ours) if not values(messages[0], "http.odd")] == []
    assert [value(messages[0], "http.target") for messages in ours] == [one[0]["target"] for one in others]
    assert len([one for one in others if one[0]["smuggling"]]) >= 7


@pytest.mark.skipif(not shutil.which("nginx") and not os.path.exists("/usr/sbin/nginx"), reason="needs nginx")
def test_curl_and_nginx(gateways, nginx, read_http, scratch):  # noqa: F811
    gateway = gateways(nginx.address)
    talk(gateway.listen, scratch)
    gateway.wait_sessions_closed(11)
    finish(gateway)
    raw = gateway.export_raw(scratch / "raw")
    sessions = gateway.sessions()
    pairs = [[raw / f"{session.id}.{side}" for side in ("client", "server")] for session in sessions]
    for session, transactions in zip(sessions, theirs(read_http, pairs)):
        assert differences(shown(gateway, session.id, "--secrets"), transactions) == []
