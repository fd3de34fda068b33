import { assert, describe, it } from "@effect/vitest"
import * as Dlp from "../src/Dlp.ts"
import { generate } from "./dlp/generate.mjs"
import { measure, Shares } from "./dlp/measure.ts"

const dlp = Dlp.make()
const ssn = ["321", "54", "9876"].join("-")
const key = ["AK", "IA", "QZ3M5TXW7YB2LK4N"].join("")

describe("on the labelled corpus", () => {
  it("DLP-2 DLP-3 finds what is there and nothing else, for several seeds", () => {
    const shares = new Shares()
    const misses: Array<string> = []
    for (const seed of [20261018, 7, 99, 4711]) measure(dlp, generate({ seed }), shares, misses)
    process.stdout.write(`${shares.table("corpus, 4 seeds")}\n`)
    const seen = misses.slice(0, 10).join("\n")
    assert.isAtLeast(shares.of("plain, blocked"), 0.99, seen)
    assert.isAtLeast(shares.of("negatives not blocked"), 0.99, seen)
    assert.isAtLeast(shares.of("disguised, blocked"), 0.95, seen)
    assert.isAtLeast(shares.of("recall email"), 0.95, seen)
    assert.isAtLeast(shares.of("recall email disguised"), 0.95, seen)
  })
})

describe("scan", () => {
  it("DLP-2 blocks a finding, redacts an e-mail address, allows a mention of a prefix", () => {
    assert.strictEqual(dlp.scan(`my SSN is ${ssn}`).decision, "block")
    assert.strictEqual(dlp.scan("write to maria@example.com").decision, "redact")
    assert.strictEqual(dlp.scan("keys begin with sk- or AKIA, order 1234-5678-9012-3456").decision, "allow")
  })

  it("answers the same frozen object for every clean text", () => {
    assert.strictEqual(dlp.scan("nothing to see"), Dlp.clean)
    assert.isTrue(Object.isFrozen(Dlp.clean))
  })

  it("DLP-4 tells kind, place and keyed hash, never the value", () => {
    const hashed = Dlp.make({ keyedHash: (value) => `h${value.length}` })
    const [finding] = hashed.scan(`key ${key}.`).findings
    assert.deepStrictEqual(finding, {
      kind: "api_key",
      detector: "aws-access-key",
      start: 4,
      end: 24,
      action: "block",
      severity: "critical",
      hash: "h20"
    })
  })
})
