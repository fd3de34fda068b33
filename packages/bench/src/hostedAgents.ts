/** Many agents of one host after a governed call each: prints heap and resident memory as JSON. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { AgentHost, EventBuffer, Governance } from "@agion/sdk"
import { testUuid } from "@agion/sdk/testing"
import { Context, Effect, Exit, ManagedRuntime, Scope } from "effect"

const [port, count] = process.argv.slice(2).map(Number)
const agents = count ?? 0
const directory = mkdtempSync(join(tmpdir(), "agion-host-"))
const runtime = ManagedRuntime.make(AgentHost.layer({ gatewayUrl: `http://127.0.0.1:${port}`, directory }))

const memory = async () => {
  for (let i = 0; i < 6; i++) {
    ;(globalThis as { gc?: () => void }).gc?.()
    await new Promise((resolve) => setImmediate(resolve))
  }
  const { heapUsed, rss } = process.memoryUsage()
  return { heapUsed, rss }
}

const scope = await Effect.runPromise(Scope.make("parallel"))
const one = Effect.fnUntraced(function* (n: number) {
  const host = yield* AgentHost
  const context = yield* Scope.provide(host.connect({ agentId: `agent-${n}` }), scope)
  yield* Context.get(context, Governance).run("chat", testUuid(1))(Effect.void)
  return context
})

const first = await runtime.runPromise(one(0))
const before = await memory()
const from = process.cpuUsage()
await runtime.runPromise(
  Effect.forEach(
    Array.from({ length: agents - 1 }, (_, i) => i + 1),
    one,
    { concurrency: 16, discard: true }
  )
)
const cpu = process.cpuUsage(from)
await runtime.runPromise(Context.get(first, EventBuffer).flush())
await new Promise((resolve) => setTimeout(resolve, 6000))
const after = await memory()
const rest = process.cpuUsage()
await new Promise((resolve) => setTimeout(resolve, 5000))
const idle = process.cpuUsage(rest)
const events = await runtime.runPromise(Context.get(first, EventBuffer).statistics)
process.stdout.write(
  JSON.stringify({
    agents,
    before,
    after,
    startMs: (cpu.user + cpu.system) / 1000,
    idleMsPerSecond: (idle.user + idle.system) / 5000,
    sent: events.sent
  })
)
await Effect.runPromise(Scope.close(scope, Exit.void))
await runtime.dispose()
rmSync(directory, { recursive: true, force: true })
