import { execFile } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, assert, describe, it } from "@effect/vitest"

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url))
const folder = mkdtempSync(join(tmpdir(), "agion-policy-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const run = (
  ...args: ReadonlyArray<string>
): Promise<{ readonly code: number; readonly out: string; readonly err: string }> =>
  new Promise((resolve) => {
    const all = ["--conditions=@agion/source", main, "policy", ...args]
    execFile(process.execPath, all, { timeout: 60_000 }, (error, out, err) =>
      resolve({ code: error === null ? 0 : 1, out, err })
    )
  })

const file = (name: string, text: string): string => {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

const floor = (at: number): string =>
  `policies:\n  - { name: Floor, policy_expr: actor.trust_score >= ${at} }\n`

describe("agion policy", () => {
  it("check names the policy of a finding", async () => {
    const { code, out } = await run("check", file("always.yaml", floor(0)))
    assert.strictEqual(code, 0)
    assert.include(out, "policy `Floor`: the requirement always holds")
  })

  it("test fails where there is nothing to test", async () => {
    const { code, err } = await run("test", file("bare.yaml", floor(60)))
    assert.strictEqual(code, 1)
    assert.include(err, "has no `cases`")
  })

  it("replay tells the line of the file, blank ones counted", async () => {
    const inputs = file("inputs.jsonl", '\n{"actor":{"trust_score":70}}\n\n{"actor":{"trust_score":50}}\n')
    const [before, after] = [file("before.yaml", floor(40)), file("after.yaml", floor(60))]
    const { out } = await run("replay", before, after, "--inputs", inputs, "--json")
    assert.deepInclude((JSON.parse(out) as { flips: ReadonlyArray<object> }).flips[0], { index: 1, line: 4 })
  })

  it("says in words that a file is not there", async () => {
    const { err } = await run("check", join(folder, "none.yaml"))
    assert.include(err, "there is no such file")
  })
})
