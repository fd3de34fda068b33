import { CheckBatch, CheckRequest, CheckResult } from "@agion/domain"
import { assert, it } from "@effect/vitest"
import { Schema } from "effect"
import * as CheckCodec from "../src/permissions/CheckCodec.ts"

const encodeResult = Schema.encodeSync(CheckResult)
const encodeRequest = Schema.encodeSync(CheckRequest)
const decodeRequest = Schema.decodeUnknownOption(CheckRequest)

/** As the other side reads it. */
const overTheWire = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

it.prop("a result is written by hand as its schema writes it", [CheckResult], ([result]) => {
  assert.deepStrictEqual(JSON.parse(CheckCodec.encode(result)), overTheWire(encodeResult(result)))
})

it.prop("a check is read by hand as its schema reads it", [CheckRequest], ([request]) => {
  const wire = overTheWire(encodeRequest(request))
  const byHand = CheckCodec.decode(wire)
  const bySchema = decodeRequest(wire)
  if (bySchema._tag === "None") return assert.isUndefined(byHand)
  assert.deepStrictEqual(overTheWire(byHand), overTheWire(bySchema.value))
})

it.prop(
  "whatever JSON comes, the hand takes nothing that the schema refuses",
  [Schema.Json, CheckRequest],
  ([json, request]) => {
    const wire = overTheWire(encodeRequest(request))
    for (const name of Object.keys(wire as object)) {
      const broken = { ...(wire as object), [name]: json }
      if (CheckCodec.decode(broken) !== undefined)
        assert.strictEqual(decodeRequest(broken)._tag, "Some", JSON.stringify(broken))
    }
    if (CheckCodec.decode(json) !== undefined) assert.strictEqual(decodeRequest(json)._tag, "Some")
  }
)

it.prop("a batch is read by hand as its schema reads it", [CheckBatch], ([batch]) => {
  const text = JSON.stringify(Schema.encodeSync(CheckBatch)(batch))
  const byHand = CheckCodec.decodeBatch(text)
  const bySchema = Schema.decodeUnknownOption(Schema.fromJsonString(CheckBatch))(text)
  if (bySchema._tag === "None") return assert.isUndefined(byHand)
  assert.deepStrictEqual(overTheWire(byHand), overTheWire(bySchema.value))
})
