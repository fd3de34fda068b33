/** The walk of a client in Python, written from the contract alone, as a test. */
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { assert } from "@effect/vitest"
import type { DevProcess } from "./DevProcess.ts"

const script = fileURLToPath(new URL("../../../examples/clients/walk.py", import.meta.url))

/** Walks through a platform; fails with what was not as promised. */
export const walk = async (platform: DevProcess | undefined): Promise<void> => {
  const { code, out } = await new Promise<{ readonly code: number; readonly out: string }>((resolve) => {
    execFile(
      "python3",
      ["-B", script, platform?.url ?? "", platform?.redisUrl ?? ""],
      { timeout: 120_000, maxBuffer: 16_777_216 },
      (error, stdout, stderr) =>
        resolve({
          code: typeof error?.code === "number" ? error.code : error === null ? 0 : 1,
          out: stdout + stderr
        })
    )
  })
  const lines = out.trim().split("\n")
  assert.strictEqual(code, 0, lines.filter((line) => !line.startsWith("ok      ")).join("\n"))
  // A walk that stopped early would be no walk.
  assert.isAbove(lines.filter((line) => line.startsWith("ok      ")).length, 250)
}
