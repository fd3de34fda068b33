import { RedisMemory } from "@agion/redis-memory"
import { RawSocket } from "@agion/testing"
import { assert, it, layer } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { formatG, formatScore } from "../src/internal/Bytes.ts"
import { ProtocolError, RequestReader } from "../src/internal/Resp.ts"

const Words = Schema.Array(
  Schema.Array(Schema.String).check(Schema.isMinLength(1), Schema.isMaxLength(5))
).check(Schema.isMinLength(1))
const Cuts = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 40 })))

it.prop("requests are the same however the network cuts them", [Words, Cuts], ([words, cuts]) => {
  const bytes = Buffer.from(words.map((each) => RawSocket.encodeCall(...each)).join(""), "utf8")
  const reader = new RequestReader(1024 * 1024)
  const read: Array<ReadonlyArray<string>> = []
  let at = 0
  for (const size of [...cuts, bytes.length]) {
    read.push(...reader.read(bytes.subarray(at, at + size)))
    at += size
  }
  assert.deepStrictEqual(
    read.map((each) => each.map((word) => Buffer.from(word, "latin1").toString("utf8"))),
    words.map((each) => each.map((word) => Buffer.from(word, "utf8").toString("utf8")))
  )
})

const Junk = Schema.Array(
  Schema.Literals([
    "*",
    "$",
    "1",
    "-1",
    "3",
    "\r\n",
    "\r",
    "\n",
    "PING",
    "\u00ff",
    "\u0000",
    '"',
    "'",
    ":",
    "99999999999"
  ])
)

it.prop("any bytes are requests or a protocol error, nothing else", [Junk], ([junk]) => {
  const reader = new RequestReader(64)
  try {
    for (const piece of junk) reader.read(Buffer.from(piece, "latin1"))
  } catch (error) {
    assert.instanceOf(error, ProtocolError)
  }
})

it("a request larger than the limit is refused before it is held", () => {
  const reader = new RequestReader(1000)
  assert.throws(() => reader.read(Buffer.from(`*1\r\n$${2000}\r\n`)))
  const second = new RequestReader(1000)
  const many = Buffer.from(`*100\r\n${"$10\r\n0123456789\r\n".repeat(99)}`)
  assert.throws(() => second.read(many))
})

it.prop("numbers are written as C writes them and read back exactly", [Schema.Finite], ([value]) => {
  assert.strictEqual(Number(formatScore(value)), value)
})

it("numbers look as they do in Redis", () => {
  const shown = [0.1, 3, 1e15, 1e17, 1.5e-7, -2.25, 2 ** 53, 1e100].map(formatScore)
  assert.deepStrictEqual(shown, [
    ...["0.10000000000000001", "3", "1000000000000000", "1e+17", "1.4999999999999999e-07", "-2.25"],
    ...["9007199254740992", "1e+100"]
  ])
  assert.deepStrictEqual(
    [0.1, 1e14, 1e15, 123456789012345].map((value) => formatG(value, 14)),
    [...["0.1", "1e+14", "1e+15", "1.2345678901234e+14"]]
  )
})

layer(RedisMemory.layerServer(), { excludeTestServices: true })("a port under attack", (it) => {
  it.effect.prop(
    "still answers others",
    [Junk],
    ([junk]) =>
      Effect.gen(function* () {
        const { port = 0 } = yield* RedisMemory
        const bad = yield* RawSocket.open(port)
        yield* bad.write(junk.join(""))
        const good = yield* RawSocket.open(port)
        yield* good.write(RawSocket.encodeCall("PING"))
        yield* good.hear(/^\+PONG\r\n$/)
      }).pipe(Effect.scoped),
    { arbitrary: { runs: 30 } }
  )

  it.effect("listens on loopback only", () =>
    Effect.gen(function* () {
      const failure = yield* Effect.flip(
        Effect.provide(Effect.void, RedisMemory.layerServer({ host: "0.0.0.0" }))
      )
      assert.include(failure.message, "0.0.0.0")
    })
  )
})

layer(RedisMemory.layerServer())("a connection that speaks HTTP", (it) => {
  it.effect("gets an error for each line, stays open, and has nothing executed of its body", () =>
    Effect.gen(function* () {
      const { port = 0 } = yield* RedisMemory
      const page = yield* RawSocket.open(port)
      const refused =
        "-ERR this port speaks Redis' protocol and not HTTP; nothing on this connection is executed\r\n"
      const lines = [
        "POST / HTTP/1.1",
        "Host: 127.0.0.1",
        "SET stolen 1",
        RawSocket.encodeCall("SET", "stolen", "2").trimEnd(),
        'an "open quote'
      ]
      yield* page.write(`${lines.join("\r\n")}\r\n`)
      // The call of three words is seven lines.
      yield* page.hear(new RegExp(`^(${refused.replace(/[./]/g, "\\$&")}){11}$`))
      yield* page.write("FLUSHALL\r\n")
      yield* page.hear(/not HTTP/)
      const other = yield* RawSocket.open(port)
      yield* other.write("GET stolen HTTP/1.1\r\nhost: x\r\nSET stolen 3\r\n")
      yield* other.hear(/^(-ERR [^\r]*HTTP[^\r]*\r\n){3}$/)
      const client = yield* RawSocket.open(port)
      yield* client.write(`${RawSocket.encodeCall("GET", "stolen")}NOSUCH\r\nPING\r\n`)
      yield* client.hear(/^\$-1\r\n-ERR unknown command[^\r]*\r\n\+PONG\r\n$/)
    }).pipe(Effect.scoped)
  )
})
