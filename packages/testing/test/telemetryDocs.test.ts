/** docs/telemetry.md names what the code tells, and nothing else. */
import { readFileSync } from "node:fs"
import { stripTypeScriptTypes } from "node:module"
import * as sdk from "@agion/sdk"
import * as server from "@agion/server"
import { assert, describe, it } from "@effect/vitest"
import { Layer } from "effect"

const page = readFileSync(new URL("../../../docs/telemetry.md", import.meta.url), "utf8")

/** The cells of the rows of the table below a heading. */
const rowsBelow = (heading: string): ReadonlyArray<ReadonlyArray<string>> => {
  const start = page.indexOf(`\n### ${heading}\n`)
  assert.isAtLeast(start, 0, heading)
  const end = page.indexOf("\n#", start + 5)
  return page
    .slice(start, end < 0 ? undefined : end)
    .split("\n")
    .filter((line) => line.startsWith("| `"))
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim())
    )
}

const code = (cell: string | undefined): string => cell?.replaceAll("`", "") ?? ""

const sides = [
  ["agent", sdk.TelemetryNames],
  ["platform", server.TelemetryNames]
] as const

for (const [side, names] of sides)
  describe(`the page on the ${side}`, () => {
    it("lists its spans", () => {
      const told = rowsBelow(`Spans of the ${side}`).map(([name]) => code(name))
      assert.sameMembers(told, [...names.spans])
    })

    it("lists its attributes with their types", () => {
      const told = rowsBelow(`Attributes of the ${side}`).map(([name, type]) => [code(name), type])
      assert.sameDeepMembers(told, Object.entries(names.attributes))
    })

    it("lists its metrics with kinds, units and attributes", () => {
      const told = rowsBelow(`Metrics of the ${side}`).map(([name, type, unit, attributes]) => ({
        name: code(name),
        type,
        unit,
        attributes: code(attributes)
      }))
      const known = Object.entries(names.metrics).map(([name, { attributes, type, unit }]) => ({
        name,
        type,
        unit,
        attributes: attributes.join(", ")
      }))
      assert.sameDeepMembers(told, known)
    })
  })

/** Runs a program of the page and answers its `live`. */
const run = async (text: string): Promise<unknown> => {
  const modules: Array<unknown> = []
  const names: Array<string> = []
  const imports = [...text.matchAll(/^import (?:\* as (\w+)|(\{[^}]*\})) from "([^"]+)"$/gm)]
  for (const [, whole, some, from = ""] of imports) {
    modules.push(await import(from))
    names.push(whole ?? some ?? "")
  }
  const body = stripTypeScriptTypes(text.replace(/^import .*$/gm, ""))
  return new Function(...names, `${body}\nreturn live`)(...modules)
}

describe("the programs of the page", () => {
  const programs = [...page.matchAll(/^```ts run\n([\s\S]*?)^```$/gm)].map((match) => match[1] ?? "")

  it("are there", () => assert.lengthOf(programs, 3))

  for (const [n, program] of programs.entries())
    it(`make a layer: ${n + 1}`, async () => assert.isTrue(Layer.isLayer(await run(program))))
})
