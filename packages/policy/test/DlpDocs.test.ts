import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"
import * as Dlp from "../src/Dlp.ts"

const page = readFileSync(fileURLToPath(new URL("../../../docs/dlp.md", import.meta.url)), "utf8")
const snippets = [...page.matchAll(/```ts\n([\s\S]*?)```/g)].map(([, code = ""]) => code)

/** `expression // => value` becomes a check; imports are provided. */
const program = (code: string): string =>
  code
    .split("\n")
    .filter((line) => !line.startsWith("import "))
    .map((line) => {
      const match = /^(.*\S)\s+\/\/ => (.+)$/.exec(line)
      return match === null ? line : `check(${match[1]}, ${match[2]})`
    })
    .join("\n")

describe("docs/dlp.md", () => {
  it("has snippets, and every snippet does what it says", () => {
    assert.isAtLeast(snippets.length, 6)
    let checks = 0
    const check = (seen: unknown, said: unknown) => {
      checks++
      assert.deepStrictEqual(seen, said)
    }
    for (const code of snippets) new Function("Dlp", "check", program(code))(Dlp, check)
    assert.isAtLeast(checks, 15)
  })

  it("names every kind with its system policy", () => {
    for (const { kind, policy } of Dlp.make().detectors) {
      const row = page.split("\n").find((line) => line.startsWith(`| \`${kind}\` `))
      assert.include(row ?? "", policy ?? "off by default")
    }
  })
})
