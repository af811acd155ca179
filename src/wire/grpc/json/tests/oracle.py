# SPDX-License-Identifier: Apache-2.0
"""Writes oracle.jsonl: messages of the sample as Python's protobuf serialises them and shows them in JSON.

Run in this folder, with grpcio-tools from PyPI: python oracle.py > oracle.jsonl
"""

import json
import pathlib
import random
import shutil
import struct
import sys
import tempfile

from google.protobuf import json_format
from grpc_tools import protoc

SAMPLE = pathlib.Path(__file__).resolve().parent.parent / "sample"
INTEGERS = {"int32": 31, "sint32": 31, "sfixed32": 31, "int64": 63, "sint64": 63, "sfixed64": 63}
UNSIGNED = {"uint32": 32, "fixed32": 32, "uint64": 64, "fixed64": 64}
TEXTS = ["", "a", "\"\\/\b\n\t", "\u00e9\u4e2d\U0001f600", "\u0000\u001f\u007f", "<&'\u2028>", "%2F"]


def compiled():
    """The sample's messages as a Python module."""
    folder = pathlib.Path(tempfile.mkdtemp())
    api = folder / "google" / "api"
    api.mkdir(parents=True)
    shutil.copy(SAMPLE / "library.proto", folder)
    for name in ("annotations.proto", "httpbody.proto"):
        shutil.copy(SAMPLE / name, api)
    include = pathlib.Path(protoc.__file__).parent / "_proto"
    files = ["library.proto", "google/api/annotations.proto", "google/api/httpbody.proto"]
    arguments = ["protoc", f"-I{folder}", f"-I{include}", f"--python_out={folder}", *files]
    if protoc.main(arguments) != 0:
        sys.exit("the sample does not compile")
    sys.path.insert(0, str(folder))
    import google

    google.__path__.append(str(folder / "google"))
    import library_pb2

    return library_pb2


def scalars(message, dice):
    for kind, bits in INTEGERS.items():
        article = "an" if kind.startswith("int") else "a"
        values = [0, 1, -1, 2**bits - 1, -(2**bits), dice.randrange(-(2**bits), 2**bits)]
        setattr(message, f"{article}_{kind}", dice.choice(values))
    for kind, bits in UNSIGNED.items():
        setattr(message, f"a_{kind}", dice.choice([0, 1, 2**bits - 1, dice.randrange(2**bits)]))
    doubles = [0.0, 1.5, -1e300, 5e-324, float("inf"), float("-inf"), float("nan"), dice.random(), 1e21, 123456789.0]
    message.a_double = dice.choice(doubles)
    # The largest float is left out: Python rounds its text up.
    floats = [0.0, 0.1, -3.4e38, 1.17549435e-38, float("inf"), float("nan"), dice.random()]
    message.a_float = struct.unpack("f", struct.pack("f", dice.choice(floats)))[0]
    message.a_bool = dice.choice([True, False])
    message.a_string = dice.choice(TEXTS)
    message.some_bytes = dice.randbytes(dice.randrange(9))
    message.kind = dice.choice([0, 1, 2, 77])
    message.renamed = dice.choice(TEXTS)


def well_known(message, dice, library):
    message.stamp.seconds = dice.choice([0, -62135596800, 253402300799, dice.randrange(2**32)])
    message.stamp.nanos = dice.choice([0, 500_000_000, 1_000, 1, 123_456_789])
    sign = dice.choice([1, -1])
    message.span.seconds = sign * dice.choice([0, 3, 315_576_000_000 - 1])
    message.span.nanos = sign * dice.choice([0, 250_000_000, 1])
    message.mask.paths.extend(dice.sample(["a_double", "child.a_bool", "some_bytes"], dice.randrange(4)))
    message.structure.update({"a": [1, None, {"b": True}], "c": dice.choice(TEXTS), "d": -2.5})
    message.value.string_value = dice.choice(TEXTS)
    message.list.extend([dice.random(), "x", False])
    book = library.Book(name=dice.choice(TEXTS), pages=dice.randrange(-(2**63), 2**63))
    message.any.Pack(dice.choice([book, message.stamp, library.Book(), message.mask]))
    message.empty.SetInParent()
    message.number_wrapper.value = dice.choice([0, -(2**63), 5])
    message.bool_wrapper.value = dice.choice([True, False])
    message.string_wrapper.value = dice.choice(TEXTS)
    message.bytes_wrapper.value = dice.randbytes(dice.randrange(4))
    message.double_wrapper.value = dice.choice([0.0, 2.25, float("-inf")])


def containers(message, dice, library):
    for text in dice.sample(TEXTS, 3):
        message.counts[text] = dice.randrange(-(2**31), 2**31)
    message.books[dice.choice([0, -1, 2**31 - 1])].pages = 3
    message.numbers.extend(dice.randrange(-(2**31), 2**31) for _ in range(dice.randrange(4)))
    message.kinds.extend(dice.choice([0, 1, 2, -5]) for _ in range(dice.randrange(4)))
    message.children.add().a_bool = True
    message.children.add()
    message.maybe = dice.choice([0, 7])
    if dice.random() < 0.5:
        message.left = dice.choice(TEXTS)
    else:
        message.right.kind = library.KIND_NOVEL


def main():
    library = compiled()
    dice = random.Random(20261120)
    for number in range(48):
        message = library.Everything()
        if number % 4 in (0, 3):
            scalars(message, dice)
        if number % 4 in (1, 3):
            well_known(message, dice, library)
        if number % 4 in (2, 3):
            containers(message, dice, library)
            scalars(message.child, dice)
        shown = json_format.MessageToDict(message)
        named = json_format.MessageToDict(
            message,
            preserving_proto_field_name=True,
            use_integers_for_enums=True,
            always_print_fields_with_no_presence=True,
        )
        row = {"bytes": message.SerializeToString(deterministic=True).hex(), "shown": shown, "named": named}
        print(json.dumps(row, allow_nan=False))


main()
