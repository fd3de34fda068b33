/** Whose a log is, where `ps` tells when a process started. */
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { assert, it } from "@effect/vitest"
import * as Folder from "../src/WriteAheadFolder.ts"

// As it answers in German: of this month the parser of dates knows nothing.
const ps = `#!/bin/sh
if [ "$LC_ALL" = C ]; then echo "Tue Dec  8 16:00:00 2026"; else echo "Di  8 Dez 16:00:00 2026"; fi
`

/** A process that takes its system for macOS, and says whose its logs are. */
const code = `
import os from "node:os"
import { syncBuiltinESMExports } from "node:module"
os.platform = () => "darwin"
syncBuiltinESMExports()
const { thisProcess } = await import(process.argv[1])
process.stdout.write(JSON.stringify(thisProcess()))
`

it("EVENT-4 a log's name tells its owner in whatever language the system speaks", () => {
  const folder = Fs.mkdtempSync(join(tmpdir(), "agion-ps-"))
  try {
    Fs.writeFileSync(join(folder, "ps"), ps, { mode: 0o755 })
    const PATH = `${folder}${delimiter}${process.env["PATH"] ?? ""}`
    const module = new URL("../src/WriteAheadFolder.ts", import.meta.url).href
    const args = ["--conditions=@agion/source", "--input-type=module", "-e", code, module]
    const env = { ...process.env, PATH, LC_ALL: "de_DE.UTF-8" }
    const owner: Folder.Owner = JSON.parse(execFileSync(process.execPath, args, { env, encoding: "utf8" }))
    assert.strictEqual(owner.start, String(Date.parse("2026-12-08T16:00:00") / 1000))
    const name = Folder.logName("0198c0de-0000-7000-8000-000000000001", owner)
    assert.deepStrictEqual(Folder.parseLogName(name)?.owner, owner)
  } finally {
    Fs.rmSync(folder, { recursive: true })
  }
})
