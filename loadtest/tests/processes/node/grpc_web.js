// SPDX-License-Identifier: Apache-2.0
// Calls of the grpc-web package of npm, as a page would make them. Usage: grpc_web.js ADDRESS.
// Messages are plain bytes; the server is grpc_server.py. The folder of the packages is NODE_PATH.

const assert = require("node:assert");

global.XMLHttpRequest = require("xhr2");
const { GrpcWebClientBase, MethodDescriptor, MethodType, StatusCode } = require("grpc-web");

const root = `http://${process.argv[2]}`;
const text = (value) => new TextEncoder().encode(JSON.stringify(value));
const bytes = (count) => Uint8Array.from({ length: count }, (_, at) => at % 251);

function method(name, type) {
  // The client takes whatever messages are, where it is told how they become bytes.
  return new MethodDescriptor(`/test.Calls/${name}`, type, Object, Object, (message) => message, (message) => message);
}

class Caller {
  constructor(format) {
    this.client = new GrpcWebClientBase({ format });
  }

  // The answer, the metadata in front of it and the status behind it; of a failure the error.
  unary(name, message, metadata = {}) {
    const seen = {};
    return new Promise((resolve) => {
      const call = this.client.rpcCall(
        `${root}/test.Calls/${name}`,
        message,
        metadata,
        method(name, MethodType.UNARY),
        (error, answer) => Object.assign(seen, { error, answer }),
      );
      call.on("metadata", (fields) => (seen.metadata = fields));
      call.on("status", (status) => {
        seen.status = status;
        // Behind the status comes the answer or the error, in the same turn.
        setImmediate(() => resolve(seen));
      });
    });
  }

  stream(name, message, metadata = {}) {
    const seen = { messages: [], errors: [] };
    return new Promise((resolve) => {
      const kind = method(name, MethodType.SERVER_STREAMING);
      const call = this.client.serverStreaming(`${root}/test.Calls/${name}`, message, metadata, kind);
      call.on("data", (one) => seen.messages.push(one));
      call.on("error", (error) => {
        seen.errors.push(error);
        setImmediate(() => resolve(seen));
      });
      call.on("status", (status) => (seen.status = status));
      call.on("end", () => setImmediate(() => resolve(seen)));
    });
  }
}

async function calls(format) {
  const caller = new Caller(format);
  for (const size of [0, 1, 2, 3, 1000, 70000]) {
    const sent = bytes(size);
    const { answer, error, status } = await caller.unary("Unary", sent, { "x-back": "b" });
    assert.strictEqual(error, null, `${format} ${size}: ${error}`);
    assert.deepStrictEqual(Buffer.from(answer), Buffer.from(sent));
    assert.deepStrictEqual([status.code, status.metadata["x-back"]], [StatusCode.OK, "b"]);
  }
  const failed = await caller.unary("Fail", text({ code: "NOT_FOUND", text: "not ä" }));
  assert.deepStrictEqual([failed.error.code, failed.error.message], [StatusCode.NOT_FOUND, "not ä"]);
  const absent = await caller.unary("NoSuch", bytes(0));
  assert.strictEqual(absent.error.code, StatusCode.UNIMPLEMENTED);
  const many = await caller.stream("Repeat", text({ count: 30, size: 999 }));
  assert.deepStrictEqual([many.messages.length, many.errors.length], [30, 0], `${format}: ${many.errors}`);
  assert(many.messages.every((one, number) => one.length === 999 && one[0] === number % 251));
  const some = await caller.stream("Repeat", text({ count: 2, size: 9, fail: "ABORTED" }));
  assert.deepStrictEqual([some.messages.length, some.errors.length], [2, 1]);
  assert.deepStrictEqual([some.errors[0].code, some.errors[0].message], [StatusCode.ABORTED, "after all"]);
  const deadline = { deadline: String(Date.now() + 300) };
  const late = await caller.unary("Wait", bytes(0), deadline);
  assert.strictEqual(late.error.code, StatusCode.DEADLINE_EXCEEDED, `${late.error}`);
}

(async () => {
  await calls("binary");
  await calls("text");
  console.log("good");
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
