/** What is published imports effect by path: the same lines, the same names, and no name that is not there. */
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { type Barrels, importByPath, installedBarrels, readBarrel } from "../Barrels.ts"

const barrel = readBarrel(
  "effect",
  `/** manual */
export { flow, pipe as piped } from "./Function.js";
export * as Effect from "./Effect.js";
`
)
const barrels: Barrels = (specifier) => (specifier === "effect" ? barrel : undefined)
const rewrite = (text: string) => importByPath("a.js", text, barrels)

describe("an import of a barrel", () => {
  it("is one by path, under the names that the file has", () => {
    assert.strictEqual(
      rewrite('import { Effect as E, flow, piped } from "effect";\nE.succeed(flow, piped)\n'),
      'import * as E from "effect/Effect"; import { flow } from "effect/Function"; import { pipe as piped } from "effect/Function";\nE.succeed(flow, piped)\n'
    )
  })

  it("takes as many lines as before, so that source maps hold", () => {
    const text = 'import {\n  Effect,\n  flow\n} from "effect";\nconst here = 5;\n'
    assert.strictEqual(rewrite(text).split("\n").indexOf("const here = 5;"), 4)
  })

  it("is left alone when it is by path already, and in a text that only speaks of one", () => {
    const text = `import * as Effect from "effect/Effect";\nconst text = 'import { Effect } from "effect"';\n`
    assert.strictEqual(rewrite(text), text)
    assert.strictEqual(
      rewrite(rewrite('import { flow } from "effect";')),
      rewrite('import { flow } from "effect";')
    )
  })

  it.each([
    ['\n\nimport { Efect } from "effect";', "a.js:3: `effect` exports no `Efect`"],
    ['import * as all from "effect";', "a.js:1: all of `effect` is imported"],
    ['export { Effect } from "effect";', "a.js:1: names of `effect` are exported again"],
    ['export * from "effect";', "a.js:1: names of `effect` are exported again"]
  ])("is refused with its place: %j", (text, message) => {
    assert.throws(() => rewrite(text), message)
  })
})

describe("a barrel", () => {
  it.each(["export const here = 1;", 'export * from "./Effect.js";', 'export { x } from "other";'])(
    "that has `%s` is refused: it would be read wrongly",
    (text) => {
      assert.throws(() => readBarrel("effect", text), "the barrel `effect`")
    }
  )

  it("of the installed effect leads to the same modules by path", async () => {
    const installed = installedBarrels(join(import.meta.dirname, "../.."))
    for (const specifier of [
      "effect",
      "effect/http",
      "effect/http-api",
      "effect/encoding",
      "effect/persistence"
    ]) {
      const all = (await import(specifier)) as Readonly<Record<string, unknown>>
      const origins = installed(specifier)
      assert.sameMembers([...(origins?.keys() ?? [])], Object.keys(all))
      for (const [name, origin] of origins ?? []) {
        const module = (await import(origin.specifier)) as Readonly<Record<string, unknown>>
        assert.strictEqual(origin.name === undefined ? module : module[origin.name], all[name], name)
      }
    }
    assert.isUndefined(installed("effect/Effect"))
    assert.isUndefined(installed("@agion/domain"))
  })
})
