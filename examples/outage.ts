/**
 * What an agent may do while its platform is away. Run it, kill the platform, and start it again.
 *
 * A call that was approved lately goes on as `stale`. One that was never asked about goes on as `degraded` when the
 * agent's trust is at least 70, and is refused below. (An agent that has just registered may ask how it stands by the
 * first record that it holds.) What is critical is refused. Nothing that happened meanwhile is lost.
 */
import { setTimeout as pause } from "node:timers/promises"
import { Agion, isDenied } from "@agion/sdk/promise"

const stop = new AbortController()
process.once("SIGTERM", () => stop.abort()).once("SIGINT", () => stop.abort())

await using agion = await Agion.connect()
const model = await agion.resource("acme-small")
const notes = await agion.resource("notes")
const ledger = await agion.resource("ledger")
// Degraded calls are judged by a resource's record: hold those that may be needed.
await agion.holdResources([notes, ledger])

const attempt = async (name: string, resource: string): Promise<string> => {
  const how = await agion
    .governed({ action: "query", resource, timeout: "10 seconds" }, async (call) => call.decision.mode)
    .catch((error: unknown) => {
      if (isDenied(error)) return `denied, ${error.reason}`
      throw error
    })
  console.log(`${name}: ${how}`)
  return how
}

while (!stop.signal.aborted) {
  const how = await attempt("acme-small", model)
  if (how === "stale") {
    await attempt("notes", notes)
    await attempt("ledger", ledger)
  }
  await pause(500, undefined, { signal: stop.signal }).catch(() => undefined)
}
await agion.flush()
const { events } = await agion.statistics()
console.log(`events sent: ${events.sent}, left for the next start: ${events.pending}`)
