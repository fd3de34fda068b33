/** What the checks of the house refuse, report and leave alone. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { checkChangesets } from "../Changesets.ts"
import { checkHouse, checkManifests, secretFaults } from "../House.ts"
import { longestFunctions } from "../Longest.ts"
import { citations, orphans, sentences, strays } from "../Semantics.ts"
import { parse, readSources } from "../Sources.ts"

const root = join(import.meta.dirname, "fixtures/house")
const sources = readSources(root)

describe("the habits of the house", () => {
  const findings = checkHouse(sources)

  it.each([
    ["packages/domain/src/Headless.ts", "no header comment"],
    ["packages/domain/src/utils.ts", "says nothing"],
    ["packages/sdk/src/CacheManager.ts", "says nothing"],
    ["packages/domain/src/Cast.ts", "as unknown as"],
    ["packages/domain/src/Now.ts", "Date.now"],
    ["packages/domain/src/Today.ts", "new Date()"],
    ["packages/domain/src/Dice.ts", "Math.random"],
    ["packages/domain/src/Later.ts", "setTimeout"],
    ["packages/sdk/src/Detached.ts", "forkDetach"],
    ["packages/sdk/test/Only.test.ts", ".only"]
  ])("refuses %s: %s", (path, part) => {
    const own = findings.filter((finding) => finding.path === path)
    assert.strictEqual(own.length, 1)
    assert.include(own[0]?.message, part)
  })

  it.each(["packages/domain/src/Good.ts", "packages/sdk/src/Timer.ts"])("accepts %s", (path) => {
    assert.deepStrictEqual(
      findings.filter((finding) => finding.path === path),
      []
    )
  })

  it("refuses what looks like a secret", () => {
    const text = ["a", `sk-${"x".repeat(24)}`, `AKIA${"B".repeat(16)}`, "sk-short"].join("\n")
    assert.deepStrictEqual(
      secretFaults("a.md", text).map(({ line }) => line),
      [2, 3]
    )
  })

  it("refuses manifests that differ", () => {
    assert.deepStrictEqual(
      checkManifests(root).map(({ path, message }) => `${path} ${message}`),
      [
        'packages/sdk/package.json needs `"type": "module"`',
        'packages/sdk/package.json needs `"license": "MIT"`',
        "packages/sdk/package.json has another version than the others, 0.1.0",
        'packages/sdk/package.json `exports` needs `"./internal/*": null`',
        "packages/sdk/package.json pins effect to ^4.0.0, not ~4.1.0",
        "packages/sdk/package.json wants @agion/domain ^0.1.0, not 0.1.0"
      ]
    )
  })

  it("refuses changesets that name nothing or say nothing", () => {
    assert.deepStrictEqual(
      checkChangesets(root).map(({ path, message }) => `${path} ${message}`),
      [
        '.changeset/bad.md `"@agion/sdk": huge` is not `"PACKAGE": patch|minor|major`',
        ".changeset/bad.md there is no published package `@agion/none`",
        ".changeset/bad.md says nothing to users",
        '.changeset/worse.md must open with `---`, lines of `"PACKAGE": patch|minor|major`, and `---`'
      ]
    )
  })
})

describe("the sentences of semantics.md", () => {
  const ids = sentences(readFileSync(join(root, "docs/semantics.md"), "utf8"))
  const cited = citations(sources)

  it("are found by their ids", () => {
    assert.deepStrictEqual(ids, [
      "LIMIT-1",
      "LIMIT-2",
      "LIMIT-3",
      "POLICY-1",
      "TRUST-1",
      "TRUST-2",
      "TRUST-3"
    ])
  })

  it("are orphans when no test that runs names them", () => {
    assert.deepStrictEqual(orphans(ids, cited), ["LIMIT-2", "LIMIT-3", "TRUST-2"])
  })

  it("are strays when a test cites what is not there", () => {
    assert.deepStrictEqual(
      strays(ids, cited).map(({ message }) => message),
      ["docs/semantics.md has no sentence LIMIT-9"]
    )
  })
})

describe("the longest functions", () => {
  it("come first, with those inside them, by the name that they are bound to", () => {
    const text = [
      "const make = Effect.gen(function* () {",
      "  return {",
      "    spend: (a) => {",
      "      return a",
      "    }",
      "  }",
      "})",
      "function short() {}"
    ].join("\n")
    assert.deepStrictEqual(
      longestFunctions([parse("x.ts", text)]).map(({ line, lines, name }) => [name, lines, line]),
      [
        ["make", 7, 1],
        ["spend", 3, 3],
        ["short", 1, 8]
      ]
    )
  })
})
