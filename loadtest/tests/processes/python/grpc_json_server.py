# SPDX-License-Identifier: Apache-2.0
"""A gRPC server of the sample service that the gateway's own tests use, made from its descriptor set.

Usage: grpc_json_server.py PROTO_FOLDER DESCRIPTOR_FILE [only] [port=N] [reflection=v1|v1alpha ...] [version=v2] [faulty]
    [key=FILE certificate=FILE]
Writes the descriptor set (and with `only` nothing more), prints the port, runs until it is ended. With `reflection` it tells its
descriptors, with `version` the paths of its rules begin so, with `faulty` another rule has a path that none may have, with a key it
speaks TLS."""

import os
import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import grpc_tools
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_reflection.v1alpha import reflection, reflection_pb2
from grpc_tools import protoc

words = [word.partition("=") for word in sys.argv[3:]]
options = {key: value for key, _, value in words}
folder = tempfile.mkdtemp()
os.makedirs(os.path.join(folder, "google/api"))
for name, place in (("library.proto", ""), ("annotations.proto", "google/api"), ("httpbody.proto", "google/api")):
    shutil.copy(os.path.join(sys.argv[1], name), os.path.join(folder, place, name))
path = os.path.join(folder, "library.proto")
text = open(path).read().replace('"/v1/', f'"/{options.get("version", "v1")}/')
if "faulty" in options:
    rule = '{ option (google.api.http) = { get: "/v1/{name}.json" }; }'
    text = text.replace("rpc Plain(Book) returns (Book);", f"rpc Plain(Book) returns (Book) {rule}")
open(path, "w").write(text)
known = os.path.join(os.path.dirname(grpc_tools.__file__), "_proto")
out = f"--descriptor_set_out={sys.argv[2]}"
assert protoc.main(["", f"-I{folder}", f"-I{known}", "--include_imports", out, "library.proto"]) == 0
shutil.rmtree(folder)
if "only" in options:
    sys.exit()
files = descriptor_pb2.FileDescriptorSet.FromString(open(sys.argv[2], "rb").read())
pool = descriptor_pool.DescriptorPool()
for file in files.file:
    pool.Add(file)
kind = lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
Book, Books, Empty, Body = map(kind, ("library.v1.Book", "library.v1.ListBooksResponse", "google.protobuf.Empty", "google.api.HttpBody"))


def get_book(request, context):
    if request.name.endswith("/none"):
        context.abort(grpc.StatusCode.NOT_FOUND, "no such book: ä")
    if request.name.endswith("/slow"):
        time.sleep(3)
    context.send_initial_metadata((("x-shelf", "7"),))
    context.set_trailing_metadata((("x-request-id", "5"), ("cache-control", "no-store"), ("content-encoding", "gzip")))
    return Book(name=request.name, page_title="full" if request.full_text else "", pages=1 << 60, kind=2)


def create_book(request, _):
    return Book(name=f"{request.parent}/books/{request.book.page_title}", pages=request.book.pages)


def watch(request, context):
    for number in range(request.page_size):
        yield Book(name=f"{request.parent}/books/{number}")
        time.sleep(0.15)
    if request.tags == ["fail"]:
        context.abort(grpc.StatusCode.ABORTED, "enough")
    if request.tags == ["wait"]:
        time.sleep(3)


def take_all(requests, _):
    return Books(titles=[f"{request.parent}: {request.book.page_title}" for request in requests])


def chat(requests, _):
    for book in requests:
        yield Book(name=f"re: {book.name}")


handlers = {
    "GetBook": (grpc.unary_unary_rpc_method_handler, get_book, "GetBookRequest"),
    "CreateBook": (grpc.unary_unary_rpc_method_handler, create_book, "CreateBookRequest"),
    "PublishBook": (grpc.unary_unary_rpc_method_handler, lambda *_: Empty(), "PublishBookRequest"),
    "Watch": (grpc.unary_stream_rpc_method_handler, watch, "ListBooksRequest"),
    "Import": (grpc.stream_unary_rpc_method_handler, take_all, "CreateBookRequest"),
    "Chat": (grpc.stream_stream_rpc_method_handler, chat, "Book"),
    "Download": (
        grpc.unary_unary_rpc_method_handler,
        lambda request, _: Body(content_type="image/png", data=request.path.encode() * 100_000),
        "FileRequest",
    ),
}
made = {
    name: make(act, kind(f"library.v1.{request}").FromString, lambda message: message.SerializeToString())
    for name, (make, act, request) in handlers.items()
}
server = grpc.server(ThreadPoolExecutor(max_workers=32))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("library.v1.Library", made)])
told = reflection.ReflectionServicer(["library.v1.Library", "grpc.reflection.v1.ServerReflection"], pool=pool)
for version in [value for key, _, value in words if key == "reflection"]:
    info = grpc.stream_stream_rpc_method_handler(
        told.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    service = f"grpc.reflection.{version}.ServerReflection"
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"ServerReflectionInfo": info})])
address = f"127.0.0.1:{options.get('port', 0)}"
if "key" in options:
    pair = (open(options["key"], "rb").read(), open(options["certificate"], "rb").read())
    port = server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
else:
    port = server.add_insecure_port(address)
server.start()
print(port, flush=True)
server.wait_for_termination()
