/**
 * Events on their way from Redis into scores: the platform's reader of trust events on PostgreSQL, beside a bare
 * XREADGROUP loop that reads and acks the same entries and does nothing with them.
 */
import { Streams } from "@agion/domain"
import { type Command, Redis, RedisClient } from "@agion/redis"
import { Effect, ManagedRuntime, Result } from "effect"

/** Events of one call, and entries of one read: the platform's batch. */
export const count = 20_000
const perRead = 1000

const stream = Streams.streamNames().trust
/** Where the platform does not read. */
const bareStream = `${stream}:bare`
const agents = 100

const command = (onto: string, event: number): Command => [
  "XADD",
  onto,
  "*",
  ...Object.entries({
    event_id: crypto.randomUUID(),
    ...Streams.toFields({
      organization_id: "bench",
      agent_id: `agent-${event % agents}`,
      event_type: "task_completed",
      severity: "positive",
      confidence: 1,
      context: { decision_id: crypto.randomUUID(), execution_id: `execution-${event >> 2}` },
      timestamp: "2026-11-26T10:00:00.000Z"
    })
  }).flat()
]

const pipelines = (onto: string, first: number): ReadonlyArray<ReadonlyArray<Command>> =>
  Array.from({ length: count / perRead }, (_, p) =>
    Array.from({ length: perRead }, (_, n) => command(onto, first + p * perRead + n))
  )

const fieldOf = (reply: unknown, name: string): unknown =>
  Array.isArray(reply) ? reply[reply.indexOf(name) + 1] : undefined

/** A Redis in which the platform reads, and what is measured there. */
export const make = (url: string) => {
  const runtime = ManagedRuntime.make(Redis.layer({ url, commandTimeout: "30 seconds" }))
  let written = 0
  let prepared: ReadonlyArray<ReadonlyArray<Command>> = []

  const send = async (commands: ReadonlyArray<Command>): Promise<ReadonlyArray<unknown>> => {
    const results = await runtime.runPromise(
      Effect.flatMap(RedisClient, (client) => client.pipeline(commands))
    )
    return results.map((result) => {
      if (Result.isFailure(result)) throw result.failure
      return result.success
    })
  }

  const write = async () => {
    for (const pipeline of prepared) await send(pipeline)
  }

  /** Entries that the platform's group has read and acked. */
  const acked = async (group: string): Promise<number> => {
    const [groups] = await send([["XINFO", "GROUPS", stream]])
    const own = Array.isArray(groups) ? groups.find((one) => fieldOf(one, "name") === group) : undefined
    return Number(fieldOf(own, "entries-read") ?? 0) - Number(fieldOf(own, "pending") ?? 0)
  }

  return {
    /** Makes the entries of the next call, outside of what is timed. */
    prepare: (onto: "platform" | "bare") => {
      prepared = pipelines(onto === "platform" ? stream : bareStream, written)
      written += count
    },
    /** Writes the entries and waits until the platform has acked them. */
    platform: async () => {
      const before = await acked("agion")
      const writing = write()
      while ((await acked("agion")) < before + count) await new Promise((resolve) => setTimeout(resolve, 5))
      await writing
    },
    /** Writes the same and acks it unseen. */
    bare: async () => {
      const reader = "bench"
      await send([["XGROUP", "CREATE", bareStream, reader, "$", "MKSTREAM"]]).catch(() => {})
      const writing = write()
      for (let seen = 0; seen < count; ) {
        const [reply] = await send([
          ["XREADGROUP", "GROUP", reader, reader, "COUNT", String(perRead), "STREAMS", bareStream, ">"]
        ])
        const entries = Array.isArray(reply) && Array.isArray(reply[0]) ? reply[0][1] : []
        if (!Array.isArray(entries) || entries.length === 0) continue
        await send([
          ["XACK", bareStream, reader, ...entries.map((entry: ReadonlyArray<string>) => entry[0] ?? "")]
        ])
        seen += entries.length
      }
      await writing
    },
    close: () => runtime.dispose()
  }
}
