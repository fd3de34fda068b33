/** The platform of the hosted bench speaks so that agents understand it. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { get, type IncomingMessage } from "node:http"
import { join } from "node:path"
import { EpochText } from "@agion/domain"
import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"

const program = join(import.meta.dirname, "../src/hostedPlatform.ts")

describe("the platform of the hosted bench", () => {
  it("FRESH-2 says when it said a heartbeat", async () => {
    const platform = spawn(process.execPath, ["--conditions=@agion/source", program, "1"], {
      stdio: ["pipe", "pipe", "inherit"]
    })
    try {
      const [port] = await once(platform.stdout, "data")
      const asked = get(`http://127.0.0.1:${String(port).trim()}/api/v1/stream`)
      const [answer]: [IncomingMessage] = (await once(asked, "response")) as [IncomingMessage]
      const [first] = await once(answer, "data")
      asked.destroy()
      const [, data = ""] = /^data: (.*)$/m.exec(String(first)) ?? []
      const message = Schema.decodeUnknownSync(EpochText)(data)
      assert.strictEqual(message.kind, "heartbeat")
      assert.isFalse(Number.isNaN(Date.parse(message.timestamp)))
    } finally {
      platform.stdin.end()
      await once(platform, "exit")
    }
  })
})
