/**
 * `npm run bench` prints a table of every suite; `npm run bench -- NAME… --json` prints JSON lines of some.
 * `--quick` makes few and short rounds: it shows that a suite works, not what it measures.
 *
 * A suite is a file beside this one whose name starts with a small letter.
 */
import { readdirSync } from "node:fs"
import { parseArgs } from "node:util"
import { type Listener, type Result, runSuite, type Suite, type Variant } from "./Bench.ts"
import { count, duration, table } from "./Summary.ts"

const names = (): ReadonlyArray<string> =>
  readdirSync(import.meta.dirname)
    .filter((file) => /^[a-z][\w-]*\.ts$/.test(file) && file !== "main.ts")
    .map((file) => file.slice(0, -3))
    .sort()

const print = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

const round = (n: number): number => (n >= 100 ? Math.round(n) : Number(n.toPrecision(4)))

const jsonLines: Listener = {
  result: (result) => {
    const { p50_ns, p99_ns, ops_per_s, floor, ratio } = result
    print(
      JSON.stringify({
        suite: result.suite,
        name: result.name,
        p50_ns: round(p50_ns),
        p99_ns: round(p99_ns),
        ops_per_s: round(ops_per_s),
        floor: round(floor),
        ratio: round(ratio)
      })
    )
  },
  note: (suite, text) => {
    process.stderr.write(`${suite}: ${text}\n`)
  }
}

const row = (result: Result, role: Variant["role"]): ReadonlyArray<string> => [
  result.name,
  role,
  duration(result.p50_ns),
  duration(result.p99_ns),
  count(result.ops_per_s),
  result.ratio.toFixed(2)
]

const load = async (name: string): Promise<Suite> => {
  const module: { readonly suite?: Suite } = await import(`./${name}.ts`)
  if (module.suite === undefined) throw new Error(`\`packages/bench/src/${name}.ts\` exports no \`suite\``)
  return module.suite
}

const main = async (): Promise<void> => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { json: { type: "boolean" }, quick: { type: "boolean" } }
  })
  const known = names()
  const unknown = positionals.filter((name) => !known.includes(name))
  if (unknown.length > 0) {
    const list = known.join(", ") || "none"
    process.stderr.write(`bench: there is no suite \`${unknown.join("`, `")}\`; there are: ${list}\n`)
    process.exit(2)
  }
  for (const name of positionals.length > 0 ? positionals : known) {
    const rows: Array<ReadonlyArray<string>> = [[name, "", "p50", "p99", "ops/s", "ratio"]]
    const notes: Array<string> = []
    const tabular: Listener = {
      result: (result, role) => rows.push(row(result, role)),
      note: (_, text) => notes.push(text)
    }
    await runSuite(await load(name), values.json === true ? jsonLines : tabular, {
      quick: values.quick === true
    })
    if (values.json !== true) {
      for (const line of [...table(rows), ...notes.map((note) => `  ${note}`), ""]) print(line)
    }
  }
}

try {
  await main()
  // A suite may leave connections open; what was to be printed is printed.
  process.exit(0)
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  process.exit(1)
}
