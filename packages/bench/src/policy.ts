/**
 * Policies: one expression, a hundred that apply, ten that apply among ten thousand, a thousand by type; a whole
 * check with DLP, and what each entry weighs.
 */
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { Cel, Dlp, PolicySet } from "@agion/policy"
import { build } from "esbuild"
import { Engine } from "json-rules-engine"
import { type Bench, floor, ours, peer, promise, type Result, type Suite, sync } from "./Bench.ts"
import {
  bufbuild,
  byHand,
  byHandIndexed,
  type Call,
  casbin,
  casl,
  cedar,
  celJsPeer,
  celOf,
  type Denies,
  marcbachmann,
  microsoft,
  type Rule
} from "./PolicyPeers.ts"

const RISKS = ["low", "medium", "high", "critical"]

const call = (i: number, type: string): Call => ({
  actor: { id: `bot-${i % 7}`, trust_score: (i * 37) % 101, tier: "verified" },
  resource: { id: `r-${i}`, resource_type: type, risk_level: RISKS[i % 4] ?? "low", status: "active" },
  request: { tokens: (i * 113) % 4_000, action: "use" },
  context: { hour: i % 24 },
  agent_id: `bot-${i % 7}`,
  action: "use"
})

/** Rules that deny now and then: about one call in ten meets one of a hundred. */
const rule = (i: number, type: string | undefined): Rule => ({
  type,
  trustBelow: 3 + (i % 12),
  risk: RISKS[i % 3] ?? "low",
  tokensAbove: 2_000 + 13 * (i % 100)
})

const setOf = (rules: ReadonlyArray<Rule>): PolicySet.PolicySet => {
  const made = PolicySet.compileSync(
    rules.map((r, i) => ({
      id: i,
      name: `rule ${i}`,
      enforcement: "deny",
      expr: celOf(r),
      scope: r.type === undefined ? undefined : { resourceTypes: [r.type] }
    }))
  )
  if (!made.ok) throw new Error(made.errors[0]?.message)
  return made.set
}

const byOurs = (rules: ReadonlyArray<Rule>): Denies => {
  const set = setOf(rules)
  return (c) => set.evaluate(c).decision === "deny"
}

/** Every engine must decide as the hand-written rules do, before anything is timed. */
const agree = (name: string, expected: Denies, got: Denies, calls: ReadonlyArray<Call>): void => {
  for (const c of calls) {
    if (expected(c) !== got(c)) throw new Error(`${name} decides otherwise on ${JSON.stringify(c)}`)
  }
}

const at = (calls: ReadonlyArray<Call>, i: number): Call => calls[i % calls.length] as Call

const p50 = (results: ReadonlyArray<Result>, name: string): number =>
  results.find((r) => r.name.endsWith(`: ${name}`))?.p50_ns ?? Number.NaN

const oneExpression = async (bench: Bench): Promise<void> => {
  const calls = Array.from({ length: 64 }, (_, i) => call(i, "database"))
  const r: Rule = { type: undefined, trustBelow: 90, risk: "high", tokensAbove: 100 }
  const made = Cel.condition(celOf(r))
  if (!made.ok) throw new Error("the expression does not compile")
  const hand = byHand([r])
  const peers: Readonly<Record<string, Denies>> = {
    "@marcbachmann/cel-js": marcbachmann([r]),
    "@bufbuild/cel": bufbuild([r]),
    "cel-js": celJsPeer([r])
  }
  for (const [name, f] of Object.entries(peers)) agree(name, hand, f, calls)
  agree("ours", hand, (c) => made.program.evaluate(c as never) === true, calls)
  const results = await bench.compare("one expression of three clauses", [
    floor(
      "by hand",
      sync((i) => hand(at(calls, i)))
    ),
    ours(
      "Cel",
      sync((i) => made.program.evaluate(at(calls, i) as never))
    ),
    ...Object.entries(peers).map(([name, f]) =>
      peer(
        name,
        sync((i) => f(at(calls, i)))
      )
    )
  ])
  const fastest = Math.min(...Object.keys(peers).map((name) => p50(results, name)))
  bench.note(`fastest other CEL library / ours: ${(fastest / p50(results, "Cel")).toFixed(1)} (to reach: 5)`)
}

const jsonRules = (rules: ReadonlyArray<Rule>): ((c: Call) => Promise<boolean>) => {
  const engine = new Engine(
    rules.map((r, i) => ({
      name: `rule ${i}`,
      conditions: {
        all: [
          { fact: "trust", operator: "lessThan", value: r.trustBelow },
          { fact: "risk", operator: "equal", value: r.risk },
          { fact: "tokens", operator: "greaterThan", value: r.tokensAbove }
        ]
      },
      event: { type: "deny" }
    }))
  )
  return async (c) => {
    const facts = { trust: c.actor.trust_score, risk: c.resource.risk_level, tokens: c.request.tokens }
    return (await engine.run(facts)).events.length > 0
  }
}

const hundred = async (bench: Bench): Promise<void> => {
  const calls = Array.from({ length: 64 }, (_, i) => call(i, "database"))
  const rules = Array.from({ length: 100 }, (_, i) => rule(i, undefined))
  const hand = byHand(rules)
  const set = byOurs(rules)
  const json = jsonRules(rules)
  const peers: Readonly<Record<string, Denies>> = {
    "@marcbachmann/cel-js": marcbachmann(rules),
    "@bufbuild/cel": bufbuild(rules),
    "cel-js": celJsPeer(rules),
    "@casl/ability": casl(rules),
    "@cedar-policy/cedar-wasm": cedar(rules, "hundred"),
    casbin: await casbin(rules),
    "@microsoft/agent-governance-sdk": microsoft(rules)
  }
  agree("ours", hand, set, calls)
  for (const [name, f] of Object.entries(peers)) agree(name, hand, f, calls)
  for (const c of calls)
    if ((await json(c)) !== hand(c)) throw new Error("json-rules-engine decides otherwise")
  const results = await bench.compare("100 policies that apply", [
    floor(
      "by hand",
      sync((i) => hand(at(calls, i)))
    ),
    ours(
      "PolicySet",
      sync((i) => set(at(calls, i)))
    ),
    ...Object.entries(peers).map(([name, f]) =>
      peer(
        name,
        sync((i) => f(at(calls, i)))
      )
    ),
    peer(
      "json-rules-engine",
      promise((i) => json(at(calls, i)))
    )
  ])
  bench.note(`100 policies: ${(p50(results, "PolicySet") / 1000).toFixed(2)} µs (to reach: 6)`)
}

const amongMany = async (bench: Bench): Promise<void> => {
  const calls = Array.from({ length: 64 }, (_, i) => call(i, "database"))
  const ten = Array.from({ length: 10 }, (_, i) => rule(i, "database"))
  const many = Array.from({ length: 10_000 }, (_, i) => rule(i, i < 10 ? "database" : `type-${i}`))
  const hand = byHandIndexed(ten)
  const [small, large] = [byOurs(ten), byOurs(many)]
  agree("10 of 10", hand, small, calls)
  agree("10 of 10,000", hand, large, calls)
  const results = await bench.compare("10 policies that apply", [
    floor(
      "by hand",
      sync((i) => hand(at(calls, i)))
    ),
    ours(
      "among 10",
      sync((i) => small(at(calls, i)))
    ),
    ours(
      "among 10,000",
      sync((i) => large(at(calls, i)))
    )
  ])
  const ratio = p50(results, "among 10,000") / p50(results, "among 10")
  bench.note(`among 10,000 / among 10: ${ratio.toFixed(2)} (to reach: 2)`)
}

const byType = async (bench: Bench): Promise<void> => {
  const types = Array.from({ length: 600 }, (_, i) => `type-${i}`)
  const rules = Array.from({ length: 1_000 }, (_, i) => rule(i, types[i % 600]))
  const calls = Array.from({ length: 256 }, (_, i) => call(i, types[(i * 7) % 600] ?? "type-0"))
  const hand = byHandIndexed(rules)
  const set = byOurs(rules)
  const peers: Readonly<Record<string, Denies>> = {
    "@marcbachmann/cel-js": marcbachmann(rules),
    "@casl/ability": casl(rules),
    "@cedar-policy/cedar-wasm": cedar(rules, "types"),
    casbin: await casbin(rules),
    "@microsoft/agent-governance-sdk": microsoft(rules)
  }
  agree("ours", hand, set, calls)
  for (const [name, f] of Object.entries(peers)) agree(name, hand, f, calls.slice(0, 64))
  const results = await bench.compare("1,000 policies by type, one or two apply", [
    floor(
      "by hand, indexed",
      sync((i) => hand(at(calls, i)))
    ),
    ours(
      "PolicySet",
      sync((i) => set(at(calls, i)))
    ),
    ...Object.entries(peers).map(([name, f]) =>
      peer(
        name,
        sync((i) => f(at(calls, i)))
      )
    )
  ])
  bench.note(`1,000 by type: ${(p50(results, "PolicySet") / 1000).toFixed(3)} µs (to reach: 0.5)`)
}

const prose = (
  "The quarterly report was approved by the finance team before lunch, and nobody asked for a refund. Our agent " +
  "summarised a 40-page contract; see https://example.com/docs/policy for details. On 26 November 2026 at 10:30 we " +
  'shipped 3 releases: the risk-based approach works, "as expected".\n\n'
)
  .repeat(8)
  .slice(0, 2045)

/** What an agent does before it asks: policies over the call, DLP over what it sends. */
const wholeCheck = async (bench: Bench): Promise<void> => {
  const rules = Array.from({ length: 100 }, (_, i) => rule(i, undefined))
  // No call sees the string of the one before.
  const calls = Array.from({ length: 64 }, (_, i) => {
    const one = call(i, "database")
    return { ...one, request: { ...one.request, content: `${prose} ${String.fromCharCode(97 + (i % 26))}.` } }
  })
  const [set, dlp, hand] = [setOf(rules), Dlp.make(), byHand(rules)]
  const whole = (c: (typeof calls)[number]): boolean =>
    set.evaluate(c).allowed && dlp.scan(c.request.content).decision !== "block"
  agree(
    "the whole check",
    (c) => !hand(c),
    (c) => whole(c as (typeof calls)[number]),
    calls
  )
  const next = (i: number) => calls[i % calls.length] as (typeof calls)[number]
  const results = await bench.compare("whole local check: 100 policies and DLP over 2 KB of clean prose", [
    floor(
      "the policies by hand",
      sync((i) => hand(next(i)))
    ),
    ours(
      "PolicySet and Dlp",
      sync((i) => [set.evaluate(next(i)).allowed, dlp.scan(next(i).request.content).decision])
    )
  ])
  const [p50, p99] = [results[1]?.p50_ns, results[1]?.p99_ns].map((ns) =>
    ((ns ?? Number.NaN) / 1000).toFixed(1)
  )
  bench.note(`whole local check: p50 ${p50} µs (to reach: 35), p99 ${p99} µs`)
}

const source = (file: string): string => fileURLToPath(new URL(`../../policy/src/${file}`, import.meta.url))

/** What a program that imports all of an entry carries, minified and gzipped, without effect, yaml, re2js and @agion/domain. */
const sizes = async (bench: Bench): Promise<void> => {
  const weigh = async (file: string): Promise<string> => {
    const { outputFiles } = await build({
      entryPoints: [source(file)],
      bundle: true,
      minify: true,
      write: false,
      format: "esm",
      platform: "neutral",
      conditions: ["@agion/source"],
      external: ["effect", "effect/*", "yaml", "re2js", "@agion/domain"]
    })
    return `${(gzipSync(outputFiles[0]?.contents ?? "").length / 1000).toFixed(1)} KB`
  }
  for (const [name, file] of [
    ["@agion/policy", "index.ts"],
    ["@agion/policy/engine", "engine.ts"],
    ["DLP alone", "Dlp.ts"]
  ] as const)
    bench.note(`${name}: ${await weigh(file)} minified and gzipped, without other packages`)
}

/** What 1,000 compiled policies take: time, and memory where the collector can be asked. */
const compiling = (bench: Bench): void => {
  const rules = Array.from({ length: 1_000 }, (_, i) => rule(i, `type-${i % 600}`))
  const times: Array<number> = []
  for (let i = 0; i < 7; i++) {
    // Processor time: what else runs on the machine does not count.
    const start = process.cpuUsage()
    setOf(rules)
    const { user, system } = process.cpuUsage(start)
    times.push((user + system) / 1_000)
  }
  const first = times[0] ?? Number.NaN
  times.sort((a, b) => a - b)
  bench.note(
    `1,000 policies compile in ${times[3]?.toFixed(0)} ms of processor time, the first time in this process ${first.toFixed(0)} ms (to reach: 100)`
  )
  const { gc } = globalThis as { readonly gc?: () => void }
  if (gc === undefined) return
  gc()
  const before = process.memoryUsage()
  const set = setOf(rules)
  gc()
  const after = process.memoryUsage()
  const bytes = after.heapUsed + after.arrayBuffers - before.heapUsed - before.arrayBuffers
  bench.note(`${set.size} compiled policies hold ${(bytes / 1e6).toFixed(2)} MB (to reach: 5)`)
}

export const suite: Suite = {
  name: "policy",
  run: async (bench) => {
    compiling(bench)
    await wholeCheck(bench)
    await oneExpression(bench)
    await hundred(bench)
    await amongMany(bench)
    await byType(bench)
    await sizes(bench)
    bench.note(
      "@open-policy-agent/opa-wasm is missing: its policies are compiled by the opa program, which no package of the registry carries"
    )
  }
}
