import { gzipSync } from "node:zlib"
import { Cel, PolicySet } from "@agion/policy/engine"
import { assert, describe, it } from "@effect/vitest"
import { build } from "esbuild"

const bundle = async (entry: string) => {
  const result = await build({
    entryPoints: [new URL(`../src/${entry}.ts`, import.meta.url).pathname],
    bundle: true,
    minify: true,
    format: "esm",
    write: false,
    metafile: true,
    packages: "external",
    conditions: ["@agion/source"]
  })
  const [output] = Object.values(result.metafile.outputs)
  const bytes = result.outputFiles[0]?.contents ?? new Uint8Array()
  return { imports: output?.imports.map((i) => i.path) ?? [], text: new TextDecoder().decode(bytes), bytes }
}

describe("@agion/policy/engine", () => {
  it("carries neither effect, YAML nor the RE2 engine", async () => {
    const { imports, bytes } = await bundle("engine")
    process.stdout.write(
      `@agion/policy/engine: ${(gzipSync(bytes).length / 1024).toFixed(1)} KB minified and gzipped\n`
    )
    assert.deepEqual(imports, [])
    assert.isBelow(gzipSync(bytes).length, 40_000)
  })

  it("never turns text into code", async () => {
    const { text } = await bundle("engine")
    assert.notMatch(text, /\beval\s*\(|\bnew Function\b|\bFunction\s*\(|\bimport\s*\(/)
  })

  it("evaluates without anything else", () => {
    const made = PolicySet.compileSync([{ id: 1, name: "a", expr: "actor.trust_score > 5.0" }])
    assert.isTrue(made.ok && made.set.evaluate({ actor: { trust_score: 6 } }).allowed)
    const slow = Cel.condition("request.content.matches('(a+)+$')")
    assert.isTrue(!slow.ok && slow.issues[0]?.code === "engine")
  })

  it("takes an RE2 engine from its program", () => {
    // Stands for an engine; the pattern is one that the native engine must not run.
    Cel.installRe2((pattern) => ({ test: (text) => text.length > 0 && pattern === "(a+)+$" }))
    const made = Cel.condition("request.content.matches('(a+)+$')")
    assert.strictEqual(made.ok && made.program.evaluate({ request: { content: "a" } }), true)
  })
})
