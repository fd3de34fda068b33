import { afterAll, beforeAll, describe, it } from "@effect/vitest"
import { areThere, type DevProcess, start } from "./DevProcess.ts"
import { walk } from "./walk.ts"

describe.runIf(areThere("python3"))("a client of another language", () => {
  let platform: DevProcess | undefined
  beforeAll(async () => {
    platform = await start()
  })
  afterAll(() => platform?.stop())

  it("walks the life of an agent through everything embedded (EVENT-6, TRUST-4)", async () => {
    await walk(platform)
  })
})
