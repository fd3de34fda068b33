import { execFile } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, assert, describe, it } from "@effect/vitest"

const main = fileURLToPath(new URL("../src/main.ts", import.meta.url))
const folder = mkdtempSync(join(tmpdir(), "agion-dlp-"))
afterAll(() => {
  rmSync(folder, { recursive: true })
})

/** Runs `agion dlp scan` to its end; the exit code and what it printed. */
const scan = (args: ReadonlyArray<string>, input = "") =>
  new Promise<{ readonly code: number; readonly out: string; readonly err: string }>((resolve) => {
    const child = execFile(
      process.execPath,
      ["--conditions=@agion/source", main, "dlp", "scan", ...args],
      { timeout: 30_000, maxBuffer: 64 * 1024 * 1024 },
      (error, out, err) =>
        resolve({ code: error === null ? 0 : typeof error.code === "number" ? error.code : -1, out, err })
    )
    child.stdin?.end(input)
  })

const file = (name: string, text: string): string => {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

const number = ["321", "54", "9876"].join("-")

describe("agion dlp scan", () => {
  it("exits with 1 for a decision as bad as --fail-on says, and with 0 without it", async () => {
    const clean = file("clean.txt", "nothing to see")
    const mail = file("mail.txt", "write to maria@example.com")
    const ssn = file("ssn.txt", `my SSN is ${number}`)
    const expected = [
      { args: [ssn], code: 0 },
      { args: ["--fail-on", "block", clean, mail], code: 0 },
      { args: ["--fail-on", "redact", "--json", mail], code: 1 }
    ]
    for (const { args, code } of expected) assert.strictEqual((await scan(args)).code, code, args.join(" "))
    const line = JSON.stringify({ id: 1, text: `my SSN is ${number}` })
    const { code, out, err } = await scan(["--fail-on", "block"], line)
    assert.strictEqual(code, 1)
    assert.include(out, '"decision":"block"')
    assert.match(err, /^agion: 1 of the texts/)
  }, 120_000)

  it("tells the line of every finding in a file with many", async () => {
    const many = file("many.txt", Array.from({ length: 40_000 }, (_, i) => `n${i}@example.com`).join("\n"))
    const { code, out } = await scan([many])
    assert.strictEqual(code, 0)
    const rows = out.trim().split("\n")
    assert.match(rows[rows.length - 1] ?? "", /email +email +40000 +redact/)
  }, 120_000)
})
