/** The table of imports refuses what breaks it: a file for each way of breaking it. */
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { assert, describe, it } from "vitest"
import { checkImports, readManifests } from "../Imports.ts"
import { listFiles, parse, readSources } from "../Sources.ts"

const root = join(import.meta.dirname, "fixtures/imports")
const findings = checkImports(readSources(root), readManifests(root))
const isAllowed = (path: string) => path.endsWith("/allowed.ts")
const files = listFiles(root, [".ts"])

const check = (folder: string) =>
  spawnSync(process.execPath, [join(import.meta.dirname, "../check.ts"), "imports", "--root", folder], {
    encoding: "utf8"
  })

describe("the table of imports", () => {
  it.each(files.filter((path) => !isAllowed(path)))("refuses %s", (path) => {
    assert.strictEqual(findings.filter((finding) => finding.path === path).length, 1)
  })

  it.each(files.filter(isAllowed))("accepts %s", (path) => {
    assert.deepStrictEqual(
      findings.filter((finding) => finding.path === path),
      []
    )
  })

  it("says which package may import what", () => {
    const message = findings.find(({ path }) => path === "packages/policy/src/redis.ts")?.message
    assert.strictEqual(message, "policy may import effect, @agion/domain, not `@agion/redis`")
  })

  it("names the line", () => {
    const source = parse("packages/sdk/src/x.ts", '/** x */\n\nimport { a } from "@agion/server"\n')
    assert.deepInclude(checkImports([source], new Map())[0], { path: "packages/sdk/src/x.ts", line: 3 })
  })

  it("refuses a file that does not parse", () => {
    const source = parse("packages/sdk/src/x.ts", "import { from\n")
    assert.match(checkImports([source], new Map())[0]?.message ?? "", /^does not parse/)
  })

  it("fails `npm run check` when a file breaks it, and names the file", () => {
    const { status, stdout } = check(root)
    assert.strictEqual(status, 1)
    assert.include(stdout, "packages/sdk/src/server.ts:1 sdk and server never import each other")
  })

  it("finds nothing in this repository", () => {
    const { status, stdout } = check(join(import.meta.dirname, "../.."))
    assert.strictEqual(status, 0, stdout)
  })
})
