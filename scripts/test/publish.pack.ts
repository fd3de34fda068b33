/**
 * What would be published works for those who install it: the packages are packed, installed into an empty
 * project, imported and run from plain JavaScript and from TypeScript, beside programs of `examples/` and what the
 * packages' own read-mes say, word by word. `npm run build` comes first.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { builtinModules } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { publicPackages } from "../Publishable.ts"
import { blocksOf, linksOf, type PackedPlatform, startPlatform } from "./PackedPlatform.ts"

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
  readonly peerDependencies?: { readonly [name: string]: string }
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

/** A development dependency of a manifest, as one installs it. */
const wantedBy = (manifest: string) => (name: string) => {
  const json = JSON.parse(readFileSync(join(root, manifest), "utf8")) as {
    readonly devDependencies: { readonly [name: string]: string }
  }
  return `${name}@${json.devDependencies[name] ?? "*"}`
}

const readme = (name: string) => readFileSync(join(project, "node_modules", name, "README.md"), "utf8")

/** Runs Node on a file or a text in the project, without what the test itself runs under. */
const node = (...args: ReadonlyArray<string>) => nodeWith({}, ...args)

const nodeWith = (more: { readonly [name: string]: string }, ...args: ReadonlyArray<string>) => {
  const { NODE_OPTIONS: _, ...env } = process.env
  return spawnSync(process.execPath, args, { cwd: project, encoding: "utf8", env: { ...env, ...more } })
}

/** What the programs of the read-me and of `examples/` are governed by. */
let platforms: ReadonlyArray<PackedPlatform> = []

/** Runs a program against a platform, as `agent-1`; what it printed, line by line. */
const agent = (platform: PackedPlatform | undefined, program: string): ReadonlyArray<string> => {
  const { status, stderr, stdout } = nodeWith(
    {
      AGION_GATEWAY_URL: platform?.url ?? "",
      AGION_AGENT_ID: "agent-1",
      AGION_DIRECTORY: join(project, "agent")
    },
    program
  )
  assert.strictEqual(status, 0, stderr)
  return stdout.trim().split("\n")
}

beforeAll(async () => {
  const pack = [join(root, "scripts/pack.ts"), join(project, "tarballs")]
  tarballs = execFileSync(process.execPath, pack, { encoding: "utf8" }).trim().split("\n")
  cpSync(join(root, "scripts/test/fixtures/consumer"), project, { recursive: true })
  for (const path of ["seed.yaml", "ai-sdk"])
    cpSync(join(root, "examples", path), join(project, "examples", path), { recursive: true })
  install(
    project,
    ...["typescript", "@types/node"].map(wantedBy("package.json")),
    ...["ai", "zod"].map(wantedBy("examples/package.json")),
    ...tarballs
  )
  for (const { name } of packages)
    for (const [i, block] of blocksOf(readme(name), "ts").entries())
      writeFileSync(join(project, `readme-${name.replace("@agion/", "")}-${i}.ts`), block)
  writeFileSync(join(project, "seed.yaml"), blocksOf(readme("@agion/sdk"), "yaml")[0] ?? "")
  platforms = await Promise.all(
    ["seed.yaml", "examples/seed.yaml"].map((seed) => startPlatform(project, seed))
  )
}, 300_000)

afterAll(() => {
  for (const platform of platforms) platform.end()
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

  it("has types without `any`, and imports only what it says that it needs", () => {
    const folder = join(project, "node_modules", name)
    const { dependencies, peerDependencies } = installed(name)
    const declared = new Set([name, ...Object.keys({ ...dependencies, ...peerDependencies })])
    const files = readdirSync(folder, { recursive: true, encoding: "utf8" })
    for (const path of files.filter((file) => /(?:\.js|\.d\.ts)$/.test(file))) {
      const text = readFileSync(join(folder, path), "utf8")
      const code = text.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "")
      if (path.endsWith(".d.ts")) assert.notMatch(code, /(?<=[:<,(|&=]\s*)any\b/, path)
      const found = code.matchAll(
        /^(?:import|export|\})[^"\n]*\bfrom "([^".][^"]*)"|\bimport\("([^".][^"]*)"\)/gm
      )
      for (const [, named, asked] of found) {
        const from = named ?? asked ?? ""
        const of = from.split("/", from.startsWith("@") ? 2 : 1).join("/")
        if (!builtinModules.includes(from.replace(/^node:/, "")))
          assert.isTrue(declared.has(of), `${path}: ${from}`)
      }
    }
  })

  it("has a read-me of its own, without links that lead out of the package", () => {
    assert.match(readme(name), new RegExp(`^# ${name}\n`))
    assert.deepStrictEqual(linksOf(readme(name)), [])
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

  it("makes a governed call in plain JavaScript", () => {
    const [line = ""] = agent(platforms[0], "governed.js")
    assert.deepStrictEqual(JSON.parse(line), { refused: "No approved permission found", redacted: true })
  })

  it.each([
    ["of promises", 0, "quickstart-promise.ts"],
    ["in Effect", 1, "quickstart-effect.ts"]
  ] as const)("runs the first program %s, as the read-me has it and examples/ do", (_, block, example) => {
    assert.strictEqual(
      blocksOf(readme("@agion/sdk"), "ts")[block],
      readFileSync(join(root, "examples", example), "utf8")
    )
    const lines = agent(platforms[0], `readme-sdk-${block}.ts`)
    assert.strictEqual(lines[0], 'an answer to "What is in the news?"')
    assert.match(lines[1] ?? "", /^an answer to "Tell \[email[^\]]*\] what is in the news"$/)
    assert.match(lines[2] ?? "", /Policy violation: No drops/)
    assert.lengthOf(lines, 3)
  })

  it("GOVERN-3 runs an agent of the AI SDK", () => {
    const lines = agent(platforms[1], "examples/ai-sdk/governed.ts")
    assert.strictEqual(lines[0], 'lookUp: {"order":"A-1","paid":500}')
    assert.include(lines[1], '"code":"policy_violation"')
    assert.strictEqual(lines[2], 'refund: {"order":"A-1","refunded":50}')
  })

  it("tells a program with a mistyped address where it looked", () => {
    const { status, stderr } = nodeWith({ AGION_GATEWAY_URL: "http://127.0.0.1:9" }, "readme-sdk-0.ts")
    assert.strictEqual(status, 1)
    assert.include(stderr, "the platform at `http://127.0.0.1:9` does not answer")
  })

  it("type-checks programs, read-mes and examples, the libraries' own types included", () => {
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

it("loads names alone with @agion/sdk, and their work with the first layer", () => {
  const work =
    /^(?:effect\/dist\/(?:Stream|Channel|PubSub|Queue)\.js|@agion\/(?:domain\/index|policy\/judgement)\.js|node:(?:crypto|zlib|child_process))$/
  assert.deepStrictEqual(
    loadedBy("@agion/sdk").filter((path) => work.test(path)),
    []
  )
  assert.isTrue(loadedBy("@agion/sdk/stream").some((path) => work.test(path)))
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
