/** Whose a log is, where `ps` tells when a process started. */
import * as Fs from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { assert, it } from "@effect/vitest"
import { vi } from "vitest"
import * as Folder from "../src/WriteAheadFolder.ts"

vi.mock("node:os", async (original) => ({ ...(await original<object>()), platform: () => "darwin" }))

// As it answers in German: of this month the parser of dates knows nothing.
const ps = `#!/bin/sh
if [ "$LC_ALL" = C ]; then echo "Tue Dec  8 16:00:00 2026"; else echo "Di  8 Dez 16:00:00 2026"; fi
`

it("EVENT-4 a log's name tells its owner in whatever language the system speaks", () => {
  const folder = Fs.mkdtempSync(join(tmpdir(), "agion-ps-"))
  Fs.writeFileSync(join(folder, "ps"), ps, { mode: 0o755 })
  vi.stubEnv("PATH", `${folder}${delimiter}${process.env["PATH"] ?? ""}`)
  vi.stubEnv("LC_ALL", "de_DE.UTF-8")
  try {
    const owner = Folder.thisProcess()
    assert.strictEqual(owner.start, String(Date.parse("2026-12-08T16:00:00") / 1000))
    const name = Folder.logName("0198c0de-0000-7000-8000-000000000001", owner)
    assert.deepStrictEqual(Folder.parseLogName(name)?.owner, owner)
  } finally {
    vi.unstubAllEnvs()
    Fs.rmSync(folder, { recursive: true })
  }
})
