/**
 * What would be published works for those who install it: the packages are packed, installed into an empty
 * project, imported and run from plain JavaScript and from TypeScript. `npm run build` comes first.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { publicPackages } from "../Publishable.ts"

const root = join(import.meta.dirname, "../..")
const packages = publicPackages(root)
const project = mkdtempSync(join(tmpdir(), "agion-pack-"))
/** Not below the other: Node would find its packages. */
const folder = mkdtempSync(join(tmpdir(), "agion-pack-agent-"))
let tarballs: ReadonlyArray<string> = []

/** Installs packages into a folder, from what is at hand where possible. */
const install = (folder: string, ...wanted: ReadonlyArray<string>): void => {
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type: "module" }))
  const options = ["--no-audit", "--no-fund", "--prefer-offline", "--ignore-scripts"]
  execFileSync("npm", ["install", ...options, "effect@~4.1.0", ...wanted], {
    cwd: folder,
    stdio: ["ignore", "pipe", "inherit"]
  })
}

interface Installed {
  readonly exports: { readonly [path: string]: { readonly types: string; readonly default: string } | null }
  readonly bin?: { readonly [name: string]: string }
  readonly dependencies?: { readonly [name: string]: string }
}

const installed = (name: string): Installed =>
  JSON.parse(readFileSync(join(project, "node_modules", name, "package.json"), "utf8")) as Installed

/** What a user can import: every path of `exports` that leads somewhere. */
const entries = (name: string): ReadonlyArray<string> =>
  Object.entries(installed(name).exports)
    .filter(([, target]) => target !== null)
    .map(([path]) => name + path.slice(1))

const rootVersion = (name: string): string => {
  const json = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
    readonly devDependencies: { readonly [name: string]: string }
  }
  return `${name}@${json.devDependencies[name] ?? "*"}`
}

/** Runs Node on a file or a text in the project, without what the test itself runs under. */
const node = (...args: ReadonlyArray<string>) => {
  const { NODE_OPTIONS: _, ...env } = process.env
  return spawnSync(process.execPath, args, { cwd: project, encoding: "utf8", env })
}

beforeAll(() => {
  const pack = [join(root, "scripts/pack.ts"), join(project, "tarballs")]
  tarballs = execFileSync(process.execPath, pack, { encoding: "utf8" }).trim().split("\n")
  cpSync(join(root, "scripts/test/fixtures/consumer"), project, { recursive: true })
  install(project, ...["typescript", "@types/node"].map(rootVersion), ...tarballs)
}, 300_000)

afterAll(() => {
  for (const path of [project, folder]) rmSync(path, { recursive: true, force: true })
}, 300_000)

/** A command is run, not imported. */
const libraries = packages.filter(({ manifest }) => manifest["bin"] === undefined)

describe.each(libraries.map(({ name }) => name))("%s", (name) => {
  it("is imported from plain JavaScript by every path that it exports", () => {
    for (const entry of entries(name)) {
      const { status, stderr, stdout } = node(
        "--input-type=module",
        "--eval",
        `console.log(Object.keys(await import(${JSON.stringify(entry)})).length)`
      )
      assert.strictEqual(status, 0, `${entry}: ${stderr}`)
      assert.isAbove(Number(stdout), 0, `${entry} exports nothing`)
    }
  })

  it("holds built files, its licence and read-me, and no sources", () => {
    const folder = join(project, "node_modules", name)
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter(
      (path) => !path.startsWith("node_modules")
    )
    assert.includeMembers(files, ["LICENSE", "README.md", "package.json"])
    assert.deepStrictEqual(
      files.filter(
        (path) => (path.endsWith(".ts") && !path.endsWith(".d.ts")) || path.endsWith("tsbuildinfo")
      ),
      []
    )
    for (const target of Object.values(installed(name).exports)) {
      if (target === null) continue
      assert.isTrue(existsSync(join(folder, target.default)), target.default)
      assert.isTrue(existsSync(join(folder, target.types)), target.types)
    }
  })

  it("keeps its inner modules to itself", () => {
    const { status, stderr } = node(
      "--input-type=module",
      "--eval",
      `await import("${name}/internal/Anything.js")`
    )
    assert.strictEqual(status, 1)
    assert.include(stderr, "ERR_PACKAGE_PATH_NOT_EXPORTED")
  })
})

describe("an empty project", () => {
  it("has each package once, from its tarball", () => {
    for (const { name } of packages) {
      const nested = packages.filter((other) =>
        existsSync(join(project, "node_modules", name, "node_modules", other.name))
      )
      assert.deepStrictEqual(nested, [])
    }
    assert.isFalse(existsSync(join(project, "node_modules/@agion/testing")))
  })

  it("runs a program in plain JavaScript", () => {
    const { status, stderr, stdout } = node("main.js")
    assert.strictEqual(status, 0, stderr)
    assert.deepStrictEqual(JSON.parse(stdout), { score: 42, decision: "redact", entry: true })
  })

  it("starts a platform and makes a governed call", () => {
    const { status, stderr, stdout } = node("governed.js")
    assert.strictEqual(status, 0, stderr)
    assert.deepStrictEqual(JSON.parse(stdout), { refused: "No approved permission found", redacted: true })
  })

  it("type-checks a program in TypeScript, the libraries' own types included, and runs it", () => {
    const every = packages.flatMap(({ name }) => entries(name))
    const lines = every.map((entry, i) => `export * as entry${i} from ${JSON.stringify(entry)}`)
    writeFileSync(join(project, "every.ts"), `${lines.join("\n")}\n`)
    const check = node("node_modules/typescript/bin/tsc", "-p", ".")
    assert.strictEqual(check.status, 0, check.stdout)
    const { status, stderr, stdout } = node("main.ts")
    assert.strictEqual(status, 0, stderr)
    assert.deepInclude(JSON.parse(stdout), { score: 42, refused: "Failure", required: "function" })
  })

  it.each(packages.filter(({ manifest }) => manifest["bin"] !== undefined).map(({ name }) => name))(
    "runs the command of %s",
    (name) => {
      for (const command of Object.keys(installed(name).bin ?? {})) {
        const { status, stderr, stdout } = spawnSync(
          join(project, "node_modules/.bin", command),
          ["--help"],
          {
            cwd: project,
            encoding: "utf8"
          }
        )
        assert.strictEqual(status, 0, stderr)
        assert.include(stdout, command)
      }
    }
  )
})

/** Prints every module that importing its argument loads. */
const tracer = `import { registerHooks } from "node:module"
const urls = new Set()
registerHooks({ load: (url, context, next) => (urls.add(url), next(url, context)) })
await import(process.argv[2])
process.stdout.write(JSON.stringify([...urls]))
`

/** What importing `entry` loads: files below `node_modules`, and modules of Node. */
const loadedBy = (entry: string): ReadonlyArray<string> => {
  writeFileSync(join(project, "tracer.mjs"), tracer)
  const { status, stderr, stdout } = node("tracer.mjs", entry)
  assert.strictEqual(status, 0, stderr)
  return (JSON.parse(stdout) as ReadonlyArray<string>).map((url) => url.split("/node_modules/").at(-1) ?? url)
}

describe.each(["@agion/sdk", "@agion/sdk/promise"])("importing %s", (entry) => {
  it("loads nothing that only some layers need", () => {
    const late =
      /^(?:(?:ioredis|undici|re2js|yaml|fengari[^/]*|@effect\/platform-node|@agion\/(?:redis|redis-memory|server))\/|effect\/dist\/(?:index\.js|\w[\w-]*\/index\.js|(?:http-api|persistence|observability|socket|sql)\/|http\/HttpClient)|node:(?:http|https|net|tls)$)/
    assert.deepStrictEqual(
      loadedBy(entry).filter((path) => late.test(path)),
      []
    )
  })

  it("loads few files of ours: each is found, read and compiled by itself", () => {
    const ours = loadedBy(entry).filter((path) => path.startsWith("@agion/"))
    assert.isAbove(ours.length, 2)
    assert.isAtMost(ours.length, 24, ours.join("\n"))
  })
})

it("notices when what is to be late is loaded", () => {
  const loaded = loadedBy("@agion/domain/api")
  assert.isTrue(loaded.some((path) => path.startsWith("effect/dist/http-api/")))
  assert.isTrue(loadedBy("@agion/policy").some((path) => path.startsWith("yaml/")))
})

describe("an agent's project", () => {
  it("needs neither server nor redis-memory", () => {
    const needed = ["domain", "policy", "redis", "sdk"].map((name) => new RegExp(`agion-${name}-\\d`))
    install(folder, ...tarballs.filter((path) => needed.some((pattern) => pattern.test(path))))
    assert.sameMembers(readdirSync(join(folder, "node_modules/@agion")), ["domain", "policy", "redis", "sdk"])
    for (const entry of entries("@agion/sdk").filter((entry) => !entry.endsWith("/testing"))) {
      const { status, stderr } = spawnSync(process.execPath, ["--eval", `import(${JSON.stringify(entry)})`], {
        cwd: folder,
        encoding: "utf8"
      })
      assert.strictEqual(status, 0, stderr)
    }
  })
})
