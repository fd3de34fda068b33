/** base64url, as envelopes of what is signed carry it. */
import { fromBase64Url, toBase64Url } from "@agion/domain"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"

const Bytes = Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 })))

describe("base64url", () => {
  it.prop("gives back the bytes, and spells them as Node does", [Bytes], ([numbers]) => {
    const bytes = Uint8Array.from(numbers)
    const text = toBase64Url(bytes)
    assert.strictEqual(text, Buffer.from(bytes).toString("base64url"))
    assert.deepStrictEqual(fromBase64Url(text), bytes)
  })

  it.prop("is understood only when it is some", [Schema.String], ([text]) => {
    const bytes = fromBase64Url(text)
    if (/^[\w-]*$/.test(text) && text.length % 4 !== 1) {
      assert.deepStrictEqual(bytes, new Uint8Array(Buffer.from(text, "base64url")))
    } else {
      assert.strictEqual(bytes, undefined)
    }
  })

  it.each(["A", "AAAAA", "AA==", "A+/A", "AA A", "ä"])("is not %j", (text) => {
    assert.strictEqual(fromBase64Url(text), undefined)
  })
})
