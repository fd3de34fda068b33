import { readFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { type Platform, path, run, startPlatform } from "./Programs.ts"

let platform: Platform | undefined
let directory = ""

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "agion-programs-"))
  platform = await startPlatform()
}, 60_000)

afterAll(async () => {
  await platform?.end("SIGKILL")
  await rm(directory, { recursive: true, force: true })
})

const governed = (folder: string) =>
  run(`${folder}/governed.ts`, {
    AGION_AGENT_ID: "agent-1",
    AGION_GATEWAY_URL: platform?.url,
    AGION_DIRECTORY: directory
  })

/** The lines of code of a program: no comments, nothing empty. */
const code = (file: string): ReadonlyArray<string> =>
  readFileSync(path(file), "utf8")
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("//") && !line.startsWith("/**"))

/** The lines of the first that the second does not have, each counted as often as it stands there too often. */
const more = (file: string, than: string): ReadonlyArray<string> => {
  const left = [...code(than)]
  return code(file).filter((line) => {
    const at = left.indexOf(line)
    if (at >= 0) left.splice(at, 1)
    return at < 0
  })
}

/** What a tool answers when it was denied, as the model reads it. */
const denial = (line: string | undefined): { readonly [name: string]: unknown } =>
  JSON.parse((line ?? "").slice((line ?? "").indexOf("{")))

describe("an agent of a framework", () => {
  for (const folder of ["langgraph", "ai-sdk", "mcp"])
    it(`${folder} is governed by at most three lines`, () => {
      const added = more(`${folder}/governed.ts`, `${folder}/ungoverned.ts`)
      assert.isAtMost(added.length, 3, added.join("\n"))
      assert.isAtLeast(added.length, 1)
      assert.isAtMost(more(`${folder}/ungoverned.ts`, `${folder}/governed.ts`).length, 1)
    })

  for (const folder of ["langgraph", "ai-sdk", "mcp"])
    it(`${folder} pays everything back where nobody governs it`, async () => {
      const lines = await run(`${folder}/ungoverned.ts`, {})
      assert.match(lines[1] ?? "", /^refund: .*500/)
    })

  it("GOVERN-3 langgraph reads why a refund was denied, and goes on with a smaller one", async () => {
    const lines = await governed("langgraph")
    assert.strictEqual(lines[0], 'lookUp: {"order":"A-1","paid":500}')
    assert.deepInclude(denial(lines[1]), { denied: true, reason: "Policy violation: Small refunds" })
    assert.strictEqual(lines[2], 'refund: {"order":"A-1","refunded":50}')
    assert.lengthOf(lines, 3)
  })

  it("GOVERN-3 ai-sdk reads why a refund was denied, and goes on with a smaller one", async () => {
    const lines = await governed("ai-sdk")
    assert.strictEqual(lines[0], 'lookUp: {"order":"A-1","paid":500}')
    assert.deepInclude(denial(lines[1]), { denied: true, reason: "Policy violation: Small refunds" })
    assert.strictEqual(lines[2], 'refund: {"order":"A-1","refunded":50}')
    assert.strictEqual(lines[3], "You get 50 back.")
  })

  it("GOVERN-3 mcp tells a client why a refund was denied, and goes on with a smaller one", async () => {
    const lines = await governed("mcp")
    assert.notProperty(denial(lines[0]), "isError")
    assert.deepInclude(denial(lines[1]), { isError: true })
    assert.include(lines[1], "Policy violation: Small refunds")
    assert.notProperty(denial(lines[2]), "isError")
    assert.include(lines[2], "refunded")
  })
})

describe("the programs of the README", () => {
  for (const program of ["quickstart-effect.ts", "quickstart-promise.ts"])
    it(`${program} is answered, redacted and denied`, async () => {
      const lines = await run(program, { AGION_GATEWAY_URL: platform?.url })
      assert.strictEqual(lines[0], 'an answer to "What is in the news?"')
      assert.match(lines[1] ?? "", /^an answer to "Tell \[email[^\]]*\] what is in the news"$/)
      assert.match(lines[2] ?? "", /No drops/)
      assert.strictEqual(lines.length, 3)
    })

  it("stand in the README as they run", () => {
    const readme = readFileSync(path("../README.md"), "utf8")
    for (const program of ["quickstart-effect.ts", "quickstart-promise.ts"])
      assert.include(readme, readFileSync(path(program), "utf8").trim())
  })
})
