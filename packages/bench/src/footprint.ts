/**
 * What the SDK costs a program beside its calls: importing it, its size, memory for agents and entries, and what a
 * call of a model over loopback takes more when it is governed.
 *
 * Imports and agents of a host are of what `npm run build` left in `dist`, each in a process of its own; without it
 * they are of source, which Node strips of its types first.
 */
import { spawn, spawnSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import { once } from "node:events"
import { existsSync } from "node:fs"
import { createServer } from "node:http"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { AgionSdk, Governance, PermissionCache } from "@agion/sdk"
import { AgionTest, TestPlatform, testUuid } from "@agion/sdk/testing"
import { Context, Effect, Exit, Layer, ManagedRuntime, Scope } from "effect"
import { build } from "esbuild"
import { type Bench, type Call, floor, ours, peer, promise, type Suite } from "./Bench.ts"

const here = fileURLToPath(new URL("..", import.meta.url))
const isBuilt = existsSync(fileURLToPath(new URL("../../sdk/dist/index.js", import.meta.url)))

/** A fresh process that imports all of `modules`, and says how long that took. */
const importing = (...modules: ReadonlyArray<string>): Call =>
  running(modules.map((name) => `await import(${JSON.stringify(name)})`).join("\n"))

/** The work of layers, which the first that is built imports. */
const building = `const { Effect, Layer } = await import("effect")
const { PolicyEngine, Settings } = await import("@agion/sdk")
const settings = Settings.layer({ agentId: "agent-1", gatewayUrl: "http://127.0.0.1:1" })
await Effect.runPromise(Effect.scoped(Layer.build(PolicyEngine.layer().pipe(Layer.provide(settings)))))`

/** A fresh process that runs a few statements, and says how long that took. */
const running = (statements: string): Call => ({
  opsPerCall: 1,
  single: false,
  measure: (_first, _count, into) => {
    const script = `const start = performance.now()
${statements}
process.stdout.write(String((performance.now() - start) * 1e6))`
    const conditions = isBuilt ? [] : ["--conditions=@agion/source"]
    const child = spawnSync(process.execPath, [...conditions, "--input-type=module", "-e", script], {
      cwd: here,
      encoding: "utf8"
    })
    if (child.status !== 0) throw new Error(`a fresh process failed: ${child.stderr}\n${statements}`)
    const ns = Number(child.stdout)
    into.push({ ns, ops: 1, elapsed: ns })
    return ns
  }
})

const imports = async (bench: Bench): Promise<void> => {
  await bench.compare(
    "import in a fresh process",
    [
      floor(
        "Effect, Layer, Context and Schema by their paths",
        importing("effect/Effect", "effect/Layer", "effect/Context", "effect/Schema")
      ),
      peer("effect", importing("effect")),
      peer("effect and its HttpApi", importing("effect", "effect/http-api")),
      ours("@agion/sdk", importing("@agion/sdk")),
      ours("@agion/sdk, and the first layer built", running(building)),
      ours("@agion/sdk/promise", importing("@agion/sdk/promise")),
      ours("@agion/sdk/stream", importing("@agion/sdk/stream")),
      ours("@agion/sdk/testing", importing("@agion/sdk/testing"))
    ],
    { rounds: 7, batch: 1, batchesPerRound: 1 }
  )
  bench.note(`imports are of ${isBuilt ? "dist" : "source: there is no dist"}`)
}

/** What an entry carries, minified and gzipped: our packages, and nothing of others. */
const sizes = async (bench: Bench): Promise<void> => {
  for (const [name, file] of [
    ["@agion/sdk", "index.ts"],
    ["@agion/sdk/promise", "promise/index.ts"],
    ["@agion/sdk/testing", "testing/index.ts"]
  ] as const) {
    const { outputFiles } = await build({
      entryPoints: [fileURLToPath(new URL(`../../sdk/src/${file}`, import.meta.url))],
      bundle: true,
      minify: true,
      write: false,
      format: "esm",
      platform: "node",
      conditions: ["@agion/source"],
      external: ["effect", "effect/*", "@effect/*", "yaml", "re2js", "ioredis", "undici", "fengari*"]
    })
    const bytes = gzipSync(outputFiles[0]?.contents ?? "").length
    bench.note(`${name}: ${(bytes / 1000).toFixed(1)} KB minified and gzipped, without other packages`)
  }
}

const heap = async (): Promise<number> => {
  for (let i = 0; i < 4; i++) {
    ;(globalThis as { gc?: () => void }).gc?.()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return process.memoryUsage().heapUsed
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`

const entries = 10_000
const agents = 200

const memory = async (bench: Bench): Promise<void> => {
  const connections = ManagedRuntime.make(AgionTest.connections())
  const shared = await connections.context()
  const platform = Context.get(shared, TestPlatform)
  const agent = (n: number) =>
    AgionSdk.layerOver({ agentId: `agent-${n}`, gatewayUrl: "http://platform.test", directory: false }).pipe(
      Layer.provide(Layer.succeedContext(shared))
    )
  const runtime = ManagedRuntime.make(agent(0))
  const cache = await runtime.runPromise(PermissionCache)
  // Ids are flat strings, as they come out of JSON; those that are put together here are not.
  platform.nextId = () => randomUUID()
  const keys: ReadonlyArray<{ readonly resourceId: string }> = JSON.parse(
    JSON.stringify(Array.from({ length: entries }, (_, i) => ({ resourceId: testUuid(10_000 + i) })))
  )
  for (const { resourceId } of keys) {
    platform.resource({ id: resourceId })
    platform.grant("agent-0", resourceId)
  }
  // Another agent asks first: what is compiled and loaded by then is no entry's.
  const warm = ManagedRuntime.make(agent(1))
  await warm.runPromise(Effect.flatMap(PermissionCache, ({ preload }) => preload(keys.slice(0, 1000))))
  await warm.dispose()
  platform.arrived.length = 0
  const before = await heap()
  await runtime.runPromise(cache.preload(keys))
  platform.arrived.length = 0
  const after = await heap()
  const { size } = await runtime.runPromise(cache.statistics)
  bench.note(`${size} cached answers: ${megabytes(after - before)} of heap`)
  await runtime.dispose()

  const scope = await Effect.runPromise(Scope.make())
  const idle = await heap()
  const rss = process.memoryUsage().rss
  for (let n = 1; n <= agents; n++)
    await Effect.runPromise(Effect.asVoid(Layer.buildWithScope(agent(n), scope)))
  const each = ((await heap()) - idle) / agents
  const resident = (process.memoryUsage().rss - rss) / agents
  bench.note(
    `${agents} agents over the same connections: ${(each / 1000).toFixed(0)} KB of heap each, ${(resident / 1000).toFixed(0)} KB resident`
  )
  await Effect.runPromise(Scope.close(scope, Exit.void))
  await connections.dispose()
}

const hosted = 5000

/** Agents of one host in a process of their own, their platform in another, after a governed call each. */
const host = async (bench: Bench): Promise<void> => {
  const file = (name: string) => fileURLToPath(new URL(name, import.meta.url))
  const conditions = isBuilt ? [] : ["--conditions=@agion/source"]
  const platform = spawn(process.execPath, [...conditions, file("./hostedPlatform.ts"), `${hosted}`], {
    stdio: ["pipe", "pipe", "inherit"]
  })
  try {
    const [port] = await once(platform.stdout, "data")
    const child = spawn(
      process.execPath,
      [...conditions, "--expose-gc", file("./hostedAgents.ts"), String(port).trim(), `${hosted}`],
      { stdio: ["ignore", "pipe", "inherit"] }
    )
    let text = ""
    child.stdout.on("data", (part) => {
      text += String(part)
    })
    const [code] = await once(child, "close")
    if (code !== 0) throw new Error(`the agents of a host ended with ${code}`)
    const { after, before, idleMsPerSecond, sent } = JSON.parse(text)
    const each = (after.heapUsed - before.heapUsed) / (hosted - 1)
    bench.note(
      `${hosted} agents of one host (${isBuilt ? "dist" : "source"}) after a governed call each: ${megabytes(after.heapUsed)} of heap, ${(each / 1000).toFixed(0)} KB each, ${megabytes(after.rss)} resident (${megabytes(before.rss)} with the first alone); ${sent} events sent; idle they take ${idleMsPerSecond.toFixed(0)} ms of processor time a second`
    )
  } finally {
    platform.stdin.end()
    await once(platform, "exit")
  }
}

/** A model on loopback that answers at once, called with and without governance. */
const modelCalls = async (bench: Bench): Promise<void> => {
  const server = createServer((_, response) => response.end('{"text":"four"}'))
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("the model does not listen")
  const url = `http://127.0.0.1:${address.port}/`
  const ask = Effect.promise(async () => (await fetch(url)).text())
  const id = testUuid(5000)
  const runtime = ManagedRuntime.make(AgionTest.layer({ agentId: "agent-0" }))
  try {
    const platform = await runtime.runPromise(TestPlatform)
    platform.resource({ id })
    platform.grant("agent-0", id)
    const governance = await runtime.runPromise(Governance)
    const cache = await runtime.runPromise(PermissionCache)
    const governed = governance.run<string>("chat", id)(ask)
    const cold = Effect.andThen(cache.invalidate, governed)
    const prepare = () => platform.heartbeat()
    const results = await bench.compare(
      "a model over loopback",
      [
        floor(
          "called",
          promise(() => runtime.runPromise(ask))
        ),
        ours(
          "governed, the permission cached",
          promise(() => runtime.runPromise(governed))
        ),
        ours(
          "governed, nothing cached",
          promise(() => runtime.runPromise(cold))
        )
      ],
      { prepare }
    )
    const [bare, warm, first] = results.map((result) => result.p50_ns / 1e6)
    const more = (time = Number.NaN) => time - (bare ?? Number.NaN)
    bench.note(
      `governing took ${more(warm).toFixed(3)} ms more with the permission cached (${(more(warm) / 10).toFixed(3)} % of a call of 1 s) and ${more(first).toFixed(3)} ms with nothing cached, its platform in memory`
    )
  } finally {
    await runtime.dispose()
    server.close()
    server.closeAllConnections()
  }
}

export const suite: Suite = {
  name: "footprint",
  run: async (bench) => {
    await imports(bench)
    await sizes(bench)
    await memory(bench)
    await host(bench)
    await modelCalls(bench)
  }
}
