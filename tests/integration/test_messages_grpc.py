# SPDX-License-Identifier: Apache-2.0
"""Calls of gRPC as `show --as messages` tells them: of a real client and server, compared with what the two have said,
and with tshark's dissection of the recording."""
import collections
import concurrent.futures
import gzip
import json
import shutil
import threading

import pytest

from conversations import Conversation
from test_messages import value

grpc = pytest.importorskip("grpc")

pytestmark = [pytest.mark.usefixtures("require_program"),
              pytest.mark.skipif(not shutil.which("tshark"), reason="needs tshark")]

WHY = "nobody is called ä, 100%\nof the time"
LARGE = bytes(range(256)) * 1000


class Talk(grpc.GenericRpcHandler):
    """A service without a scheme: messages are bytes."""

    def service(self, details):
        service, method = details.method.rsplit("/", 1)
        kind = {"Say": grpc.unary_unary_rpc_method_handler, "Fail": grpc.unary_unary_rpc_method_handler,
                "Count": grpc.unary_stream_rpc_method_handler, "Add": grpc.stream_unary_rpc_method_handler,
                "Chat": grpc.stream_stream_rpc_method_handler, "Break": grpc.unary_stream_rpc_method_handler,
                "Wait": grpc.unary_unary_rpc_method_handler}.get(method)
        return kind(getattr(self, method)) if service == "/talk.v1.Talk" and kind else None

    def Say(self, request, _context):
        return request

    def Fail(self, _request, context):
        context.abort(grpc.StatusCode.NOT_FOUND, WHY)

    def Count(self, request, context):
        context.set_trailing_metadata((("x-count", request.decode()),))
        yield from (b"%d" % number for number in range(int(request)))

    def Add(self, requests, _context):
        return b"%d" % sum(map(int, requests))

    def Chat(self, requests, _context):
        yield from (b"you said " + request for request in requests)

    def Break(self, request, context):
        yield request
        yield b""
        context.abort(grpc.StatusCode.DATA_LOSS, "")

    def Wait(self, _request, context):
        over = threading.Event()
        context.add_callback(over.set)
        over.wait(20)
        return b"too late"


@pytest.fixture
def server():
    pool = concurrent.futures.ThreadPoolExecutor(4)
    server = grpc.server(pool, handlers=(Talk(),))
    server.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield server
    server.stop(None).wait(10)
    pool.shutdown()


# A call: its method, what the client says, what the server says, the status and why; 4 is the client's own.
SAID = [
    ("Say", [b"hello"], [b"hello"], 0, None),
    ("Say", [b""], [b""], 0, None),
    ("Say", [LARGE], [LARGE], 0, None),
    ("Count", [b"3"], [b"0", b"1", b"2"], 0, None),
    ("Count", [b"0"], [], 0, None),
    ("Add", [b"1", b"20", b"300"], [b"321"], 0, None),
    ("Chat", [b"one", b"", b"three"], [b"you said one", b"you said ", b"you said three"], 0, None),
    ("Fail", [b"x"], [], 5, WHY),
    ("Missing", [b"x"], [], 12, "Method not found!"),
    ("Break", [b"so far"], [b"so far", b""], 15, None),
    ("Wait", [b"x"], [], 4, None),
]


def call(channel, method, requests, **more):
    """(what the server has said, the status, why)."""
    asks, answers = "stream" if method in ("Add", "Chat") else "unary", []
    tells = "stream" if method in ("Count", "Chat", "Break") else "unary"
    stub = getattr(channel, f"{asks}_{tells}")(f"/talk.v1.Talk/{method}")
    try:
        told = stub(iter(requests) if asks == "stream" else requests[0], timeout=1 if method == "Wait" else 20, **more)
        answers += told if tells == "stream" else [told]
    except grpc.RpcError as error:
        return answers, error.code().value[0], error.details()
    return answers, 0, None


@pytest.fixture
def talked(gateways, server, scratch):
    """(the conversation, its only session): each of SAID, in order."""
    conversation = Conversation(gateways, scratch, server.address)
    with grpc.insecure_channel(conversation.address) as channel:
        for method, requests, answers, status, why in SAID:
            got, code, details = call(channel, method, requests)
            assert (got, code) == (answers, status) and (details == why or not why)
    conversation.wait_found("grpc.method=Wait")
    (session,) = conversation.finish()
    return conversation, session


def by_stream(messages, kind, side):
    found = collections.defaultdict(list)
    for one in messages:
        if (one["kind"], one["from"]) == (kind, side):
            found[one["stream"]].append(one)
    return found


def test_grpc_as_its_peers_have_it(talked):
    """Compared: service and method of each call, number and length of the messages of either side, the status and why;
    where an answer has nothing but an end, that is told of its head."""
    conversation, session = talked
    messages, opaque = conversation.told(session)
    assert not opaque and not [one for one in messages if "odd" in one["flags"]]
    requests, responses = by_stream(messages, "request", "client"), by_stream(messages, "response", "server")
    sent, received = by_stream(messages, "grpc-message", "client"), by_stream(messages, "grpc-message", "server")
    assert len(requests) == len(SAID)
    for (stream, (request,)), (method, asked, answers, status, why) in zip(sorted(requests.items()), SAID):
        assert (value(request, "grpc.service"), value(request, "grpc.method")) == ("talk.v1.Talk", method)
        assert [one["body_length"] for one in sent[stream]] == list(map(len, asked)), method
        assert [one["body_length"] for one in received[stream]] == list(map(len, answers)), method
        assert all(one["answers"] == request["number"] for one in received[stream])
        if status == 4:
            resets = [one for one in messages if one["kind"] == "reset"]
            assert resets and all(one["stream"] == stream for one in resets)
            # The server knows the time limit, too, and may be the first to say that it has passed.
            assert responses[stream] or [value(one, "http2.error") for one in resets] == ["CANCEL"]
            assert all(value(one, "grpc.status") in (1, 4) for one in responses[stream])
            continue
        (response,) = responses[stream]
        assert (value(response, "grpc.status"), value(response, "grpc.message")) == (status, why), method
        assert response["answers"] == request["number"] and "completes" in response["flags"]
        trailers = {field["key"]: field["value"] for field in response["fields"] if field["name"] == "http.trailer"}
        headers = {field["key"]: field["value"] for field in response["fields"] if field["name"] == "http.header"}
        assert ("grpc-status" in trailers) != ("grpc-status" in headers)
        assert "grpc-status" in trailers or not answers
        assert method != "Count" or {**headers, **trailers}["x-count"] == asked[0].decode()
    assert "grpc-status" in {field.get("key") for field in responses[min(requests) + 16][0]["fields"]
                             if field["name"] == "http.header"}  # the missing method's answer is an end alone


def test_messages_of_grpc_are_what_was_said(talked, scratch):
    """Compared: the bytes of each message, of what is carved out of the recording."""
    conversation, _ = talked
    conversation.gateway.command("export", "--files", "-o", scratch / "files")
    found = {"client": [], "server": []}
    for line in (scratch / "files" / "manifest.jsonl").read_text().splitlines():
        entry = json.loads(line)
        if entry["kind"] == "grpc-message":
            found[entry["from"]].append((entry["message"], (scratch / "files" / entry["name"]).read_bytes()))
    for side, at in (("client", 1), ("server", 2)):
        assert [text for _, text in sorted(found[side])] == [text for one in SAID for text in one[at] if text]


def test_calls_are_found(talked):
    conversation, session = talked
    for text, wanted in (("grpc.status=5", True), ("grpc.status=12..15", True), ("grpc.status=6..11", False),
                         ("grpc.service=talk.v1.Talk", True), ("grpc.method=Break", True), ("proto=http", True)):
        assert [one.id for one in conversation.gateway.sessions(text)] == [session.id] * wanted, text


def test_grpc_as_tshark_has_it(talked):
    """Compared: the lengths of all messages of each stream and side, by the order of their ends; service and method."""
    conversation, session = talked
    messages, _ = conversation.told(session)
    packets = conversation.dissect("http2", ["grpc.message_length", "grpc.compressed_flag", "http2.headers.path"])
    packets = packets[session.client_port]
    for side in ("client", "server"):
        theirs = [int(length) for packet in packets if packet["from"] == side
                  for length in packet.get("grpc.message_length", [])]
        ours = [one for one in messages if (one["kind"], one["from"]) == ("grpc-message", side)]
        assert [one["body_length"] for one in ours] == theirs
    assert not [flag for packet in packets for flag in packet.get("grpc.compressed_flag", []) if flag != "0"]
    assert [f"/{value(one, 'grpc.service')}/{value(one, 'grpc.method')}" for one in messages
            if one["kind"] == "request"] == \
        [path for packet in packets for path in packet.get("http2.headers.path", [])]


def test_compressed_messages(gateways, server, scratch):
    text = b"over and over " * 100
    conversation = Conversation(gateways, scratch, server.address)
    with grpc.insecure_channel(conversation.address) as channel:
        assert call(channel, "Say", [text], compression=grpc.Compression.Gzip) == ([text], 0, None)
    (session,) = conversation.finish()
    conversation.gateway.command("export", "--files", "-o", scratch / "files")
    asked, answer = [one for one in conversation.told(session)[0] if one["kind"] == "grpc-message"]
    assert (value(asked, "grpc.compressed"), answer["body_length"]) == (1, len(text))
    (packed,) = (scratch / "files").glob(f"*-{asked['number']}-*")
    assert gzip.decompress(packed.read_bytes()) == text
