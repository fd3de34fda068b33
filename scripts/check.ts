/**
 * `npm run check`: types, lint and format, dead exports, the table of imports, the habits of the house,
 * doc comments of what is public, changesets. Prints the ten longest functions and the sentences of docs/semantics.md that no test names.
 *
 * `node scripts/check.ts STEP…` runs some of the steps; `--root FOLDER` looks at another tree.
 */
import { spawn, spawnSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { parseArgs } from "node:util"
import { checkChangesets } from "./Changesets.ts"
import { checkDocumented, publicEntries } from "./Documented.ts"
import { checkHouse, checkManifests, checkSecrets } from "./House.ts"
import { checkImports, readManifests } from "./Imports.ts"
import { longestFunctions } from "./Longest.ts"
import { citations, orphans, sentences, strays } from "./Semantics.ts"
import { type Finding, readSources, type Source } from "./Sources.ts"

/** What a step has to say: nothing wrong when `ok`. */
interface Outcome {
  readonly ok: boolean
  readonly output: string
}

interface Repository {
  readonly root: string
  readonly sources: () => ReadonlyArray<Source>
}

type Step = (repository: Repository) => Outcome | Promise<Outcome>

const run = (root: string, command: string, ...args: ReadonlyArray<string>): Promise<Outcome> =>
  new Promise((done) => {
    const bin = join(root, "node_modules/.bin", command)
    const child = spawn(bin, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] })
    let output = ""
    child.stdout.on("data", (chunk) => {
      output += chunk
    })
    child.stderr.on("data", (chunk) => {
      output += chunk
    })
    child.on("error", (error) =>
      done({ ok: false, output: `${command}: ${error.message}; run \`npm ci\` first` })
    )
    child.on("close", (code) => done({ ok: code === 0, output }))
  })

const inTurn = async (...commands: ReadonlyArray<() => Promise<Outcome>>): Promise<Outcome> => {
  let output = ""
  for (const command of commands) {
    const outcome = await command()
    output += outcome.output
    if (!outcome.ok) return { ok: false, output }
  }
  return { ok: true, output }
}

const report = (findings: ReadonlyArray<Finding>): Outcome => ({
  ok: findings.length === 0,
  output: findings.map(({ line, message, path }) => `${path}:${line} ${message}\n`).join("")
})

const semantics = (root: string): ReadonlyArray<string> => {
  const page = join(root, "docs/semantics.md")
  return existsSync(page) ? sentences(readFileSync(page, "utf8")) : []
}

/** The steps, those that take longest first: two run at a time. */
const steps: { readonly [name: string]: Step } = {
  // The build checks each package by its own settings: domain and policy have no types of Node.
  types: ({ root }) =>
    inTurn(
      () => run(root, "tsc", "-p", "tsconfig.json"),
      () => run(root, "tsc", "-b", "tsconfig.build.json")
    ),
  knip: ({ root }) => run(root, "knip", "--no-progress", "--no-config-hints"),
  lint: ({ root }) => run(root, "biome", "check", "--error-on-warnings", "--colors=off", "."),
  imports: ({ root, sources }) => report(checkImports(sources(), readManifests(root))),
  house: ({ root, sources }) =>
    report([...checkHouse(sources()), ...checkSecrets(root), ...checkManifests(root)]),
  surface: ({ root, sources }) => report(checkDocumented(sources(), publicEntries(root))),
  tests: ({ root, sources }) => report(strays(semantics(root), citations(sources()))),
  changesets: async ({ root }) => {
    const faults = report(checkChangesets(root))
    // Without a branch `main` there is nothing to compare with.
    const known = spawnSync("git", ["rev-parse", "--verify", "--quiet", "main"], { cwd: root }).status === 0
    return faults.ok && known ? run(root, "changeset", "status") : faults
  }
}

const print = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

const seconds = (since: number): string => `${((performance.now() - since) / 1000).toFixed(1)} s`

const runSteps = async (
  repository: Repository,
  names: ReadonlyArray<string>
): Promise<ReadonlyArray<string>> => {
  const waiting = [...names]
  const failed: Array<string> = []
  const worker = async (): Promise<void> => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const start = performance.now()
      const outcome = (await steps[name]?.(repository)) ?? { ok: false, output: "" }
      print(`${outcome.ok ? "ok    " : "FAILED"} ${name.padEnd(10)} ${seconds(start)}`)
      if (outcome.ok) continue
      failed.push(name)
      print(outcome.output.trimEnd().replace(/^/gm, "  "))
    }
  }
  await Promise.all([worker(), worker()])
  return failed
}

const printLongest = (sources: ReadonlyArray<Source>): void => {
  const own = sources.filter(({ path }) => /^(?:packages\/[^/]+\/src|examples|scripts)\//.test(path))
  print("\nThe ten longest functions, in lines:")
  for (const { line, lines, name, path } of longestFunctions(own).slice(0, 10)) {
    print(`  ${String(lines).padStart(4)}  ${name}  ${path}:${line}`)
  }
}

const printOrphans = (root: string, sources: ReadonlyArray<Source>): void => {
  const ids = semantics(root)
  const missing = orphans(ids, citations(sources))
  print(`\nSentences of docs/semantics.md that no test names: ${missing.length} of ${ids.length}`)
  if (missing.length > 0) print(`  ${missing.join(" ")}`)
}

const main = async (): Promise<number> => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { root: { type: "string" } }
  })
  const unknown = positionals.filter((name) => !Object.hasOwn(steps, name))
  if (unknown.length > 0) {
    print(`there is no step \`${unknown.join("`, `")}\`; there are: ${Object.keys(steps).join(", ")}`)
    return 2
  }
  const start = performance.now()
  const root = resolve(values.root ?? join(import.meta.dirname, ".."))
  let sources: ReadonlyArray<Source> | undefined
  const repository: Repository = {
    root,
    sources: () => {
      sources ??= readSources(root)
      return sources
    }
  }
  const failed = await runSteps(repository, positionals.length > 0 ? positionals : Object.keys(steps))
  if (positionals.length === 0) {
    printLongest(repository.sources())
    printOrphans(root, repository.sources())
  }
  print(failed.length === 0 ? `\nok, ${seconds(start)}` : `\nFAILED: ${failed.join(", ")}, ${seconds(start)}`)
  return failed.length === 0 ? 0 : 1
}

process.exitCode = await main()
