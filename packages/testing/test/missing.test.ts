import { spawnSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { fileURLToPath } from "node:url"
import { afterEach, assert, beforeEach, it } from "@effect/vitest"

const module = fileURLToPath(new URL("../src/RedisServer.ts", import.meta.url))

/** Asks twice for Redis on a machine that has no programs at all. */
const ask = (env: Readonly<Record<string, string>>) =>
  spawnSync(
    process.execPath,
    [
      "--conditions=@agion/source",
      "-e",
      `import(${JSON.stringify(module)}).then((r) => r.isThere() || r.isThere())`
    ],
    { encoding: "utf8", env: { PATH: "/nonexistent", ...env } }
  )

const forget = () =>
  Fs.rmSync(Path.join(Os.tmpdir(), `agion-missing-redis-server-${process.pid}`), { force: true })

beforeEach(forget)
afterEach(forget)

it("a missing server is told once, in one plain line with how to get it", () => {
  const { status, stderr } = ask({})
  assert.strictEqual(status, 0, stderr)
  assert.match(
    stderr,
    /^redis-server was not found, its tests are skipped: install Redis 7 \(.*apt-get install redis-server.*\)\n$/
  )
})

it("a missing server is a failure where services are required", () => {
  const { status, stderr } = ask({ AGION_REQUIRE_SERVICES: "1" })
  assert.notStrictEqual(status, 0)
  assert.include(stderr, "redis-server was not found")
})
