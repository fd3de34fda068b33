/** The bench measures what it is told, against one floor, and prints lines that can be read. */
import { spawnSync } from "node:child_process"
import { join } from "node:path"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import {
  fiber,
  floor,
  load,
  ours,
  peer,
  promise,
  type Result,
  runSuite,
  type Suite,
  sync
} from "../src/Bench.ts"
import { count, duration, percentile, summary, table } from "../src/Summary.ts"

const measure = async (suite: Suite) => {
  const results: Array<Result> = []
  const notes: Array<string> = []
  const listener = {
    result: (result: Result) => results.push(result),
    note: (_: string, text: string) => notes.push(text)
  }
  await runSuite(suite, listener, { quick: true })
  return { results, notes }
}

describe("a comparison", () => {
  it("calls every variant with rising numbers and relates it to the floor", async () => {
    const seen: Record<string, number> = {}
    const note = (name: string, i: number) => {
      assert.strictEqual(i, seen[name] ?? 0)
      seen[name] = i + 1
      return i
    }
    const { notes, results } = await measure({
      name: "trial",
      run: async (bench) => {
        bench.note("said")
        await bench.compare("calls", [
          floor(
            "sync",
            sync((i) => note("sync", i))
          ),
          ours(
            "fiber",
            fiber((i) => Effect.sync(() => note("fiber", i)))
          ),
          ours(
            "promise",
            promise(async (i) => note("promise", i))
          ),
          peer(
            "load",
            load(4, async (i) => note("load", i), { opsPerCall: 10 })
          )
        ])
      }
    })
    assert.deepStrictEqual(notes, ["said"])
    assert.deepStrictEqual(
      results.map(({ name }) => name),
      ["calls: sync", "calls: fiber", "calls: promise", "calls: load"]
    )
    const [base] = results
    assert.strictEqual(base?.ratio, 1)
    for (const result of results) {
      assert.isAbove(result.p50_ns, 0)
      assert.isAtLeast(result.p99_ns, result.p50_ns)
      assert.isAbove(result.ops_per_s, 0)
      assert.strictEqual(result.floor, base?.p50_ns)
      assert.strictEqual(result.ratio, result.p50_ns / result.floor)
    }
    assert.sameMembers(Object.keys(seen), ["sync", "fiber", "promise", "load"])
  })

  it("prepares each variant before each of its rounds, and makes as many batches as asked", async () => {
    const log: Array<string> = []
    await measure({
      name: "trial",
      run: async (bench) => {
        await bench.compare(
          "calls",
          [
            floor(
              "a",
              promise(async () => log.push("call a"))
            ),
            ours(
              "b",
              sync(() => log.push("call b"))
            )
          ],
          {
            batch: 1,
            batchesPerRound: 1,
            prepare: (name) => void log.push(`prepare ${name}`)
          }
        )
      }
    })
    assert.deepStrictEqual(log.slice(0, 4), ["prepare a", "call a", "prepare b", "call b"])
    assert.strictEqual(log.length, 12)
    for (let i = 0; i < log.length; i += 2) assert.strictEqual(log[i]?.slice(8), log[i + 1]?.slice(5))
  })

  it("needs exactly one floor", async () => {
    const run = (bench: Parameters<Suite["run"]>[0]) =>
      bench
        .compare("calls", [
          ours(
            "a",
            sync(() => 1)
          )
        ])
        .then(() => {})
    const failure = await measure({ name: "trial", run }).catch((error: unknown) => error)
    assert.include(String(failure), "needs exactly one floor")
  })

  it("fails when a call does", async () => {
    const suite: Suite = {
      name: "trial",
      run: async (bench) => {
        await bench.compare("calls", [
          floor(
            "a",
            fiber(() => Effect.fail("broken"))
          )
        ])
      }
    }
    assert.include(String(await measure(suite).catch((error: unknown) => error)), "broken")
  })
})

describe("figures", () => {
  it("take the nearest rank as percentile", () => {
    const values = Array.from({ length: 100 }, (_, i) => i + 1)
    assert.deepStrictEqual(
      [percentile(values, 0.5), percentile(values, 0.99), percentile([7], 0.99)],
      [50, 99, 7]
    )
  })

  it("sum operations over the time that they took", () => {
    const samples = [1, 2, 3].map((ns) => ({ ns, ops: 100, elapsed: 100 * ns }))
    assert.deepStrictEqual(summary(samples), { p50: 2, p99: 3, opsPerSecond: 3e11 / 600 })
  })

  it("are written for people", () => {
    assert.deepStrictEqual([9.44, 263, 4_123, 2_500_000, 3e9].map(duration), [
      "9.44 ns",
      "263 ns",
      "4.12 µs",
      "2.50 ms",
      "3.00 s"
    ])
    assert.strictEqual(count(1234567.4), "1,234,567")
    assert.deepStrictEqual(
      table([
        ["a", "b"],
        ["long", "1"]
      ]),
      ["a     b", "long  1"]
    )
  })
})

describe("the command", () => {
  it("tells which suites there are when it is asked for another", () => {
    const main = join(import.meta.dirname, "../src/main.ts")
    const { status, stderr } = spawnSync(process.execPath, ["--conditions=@agion/source", main, "nothing"], {
      encoding: "utf8"
    })
    assert.strictEqual(status, 2)
    assert.match(stderr, /^bench: there is no suite `nothing`; there are: /)
  })
})
