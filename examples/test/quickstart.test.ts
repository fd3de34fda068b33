import { readFileSync } from "node:fs"
import { afterAll, assert, beforeAll, describe, it } from "@effect/vitest"
import { type Platform, path, run, startPlatform } from "./Programs.ts"

let platform: Platform | undefined

beforeAll(async () => {
  platform = await startPlatform()
}, 60_000)

afterAll(() => platform?.end("SIGKILL"))

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
