import { type ChildProcess, execFile, spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url))
const node = process.execPath
const conditions = "--conditions=@agion/source"

let platform: ChildProcess | undefined
let url = ""

beforeAll(async () => {
  const child = spawn(
    node,
    [
      conditions,
      path("../../packages/cli/src/main.ts"),
      "dev",
      "--port",
      "0",
      "--redis-port",
      "0",
      "--json",
      "--seed",
      path("../seed.yaml")
    ],
    {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, DATABASE_URL: undefined, REDIS_URL: undefined }
    }
  )
  platform = child
  url = await new Promise<string>((resolve, reject) => {
    let out = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      out += text
      if (out.includes("\n")) resolve((JSON.parse(out) as { url: string }).url)
    })
    child.once("exit", (code) => reject(new Error(`agion dev ended with ${code}`)))
  })
}, 60_000)

afterAll(() => {
  platform?.kill("SIGKILL")
})

/** What a program prints when it runs against the platform. */
const run = async (program: string): Promise<ReadonlyArray<string>> => {
  const { stdout } = await promisify(execFile)(node, [conditions, path(`../${program}`)], {
    env: { ...process.env, AGION_GATEWAY_URL: url, LOG_LEVEL: "error" },
    timeout: 30_000
  })
  return stdout.trim().split("\n")
}

describe("the programs of the README", () => {
  for (const program of ["quickstart-effect.ts", "quickstart-promise.ts"])
    it(`${program} is answered, redacted and denied`, async () => {
      const lines = await run(program)
      assert.strictEqual(lines[0], 'an answer to "What is in the news?"')
      assert.match(lines[1] ?? "", /^an answer to "Tell \[email[^\]]*\] what is in the news"$/)
      assert.match(lines[2] ?? "", /No drops/)
      assert.strictEqual(lines.length, 3)
    })

  it("stand in the README as they run", () => {
    const readme = readFileSync(path("../../README.md"), "utf8")
    for (const program of ["quickstart-effect.ts", "quickstart-promise.ts"])
      assert.include(readme, readFileSync(path(`../${program}`), "utf8").trim())
  })
})
