/**
 * Who sent an entry: HMAC-SHA-256 with the agent's `event_key` over the stream's name and the other fields,
 * asked for where an organization demands it.
 */
import { createHmac, timingSafeEqual } from "node:crypto"
import { Streams } from "@agion/domain"
import { Effect } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { contextOf, type Secrets } from "../keys/Secrets.ts"

/** The signature of an entry, base64url. */
export const signatureOf = (key: string, stream: string, fields: Streams.Fields): string =>
  createHmac("sha256", key).update(Streams.signatureInput(stream, fields)).digest("base64url")

/** True when the entry's signature was made with the key. */
export const isSigned = (key: string, stream: string, fields: Streams.Fields): boolean => {
  const given = Buffer.from(fields["signature"] ?? "", "base64url")
  const wanted = Buffer.from(signatureOf(key, stream, fields), "base64url")
  return given.length === wanted.length && timingSafeEqual(given, wanted)
}

/** An agent in an organization. */
export interface AgentKey {
  readonly organizationId: string
  readonly agentId: string
}

/** The event keys of agents, by `agentName`; agents that have none, or one that cannot be read, are left out. */
export const eventKeysOf = (
  secrets: Secrets["Service"],
  agents: ReadonlyArray<AgentKey>
): Effect.Effect<ReadonlyMap<string, string>, SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const keys = new Map<string, string>()
    if (agents.length === 0) return keys
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<{ scope: string; agent_id: string; event_key: Uint8Array }>`
      SELECT scope, agent_id, event_key FROM agents
      WHERE agent_id = ANY(${agents.map((agent) => agent.agentId)}::text[]) AND event_key IS NOT NULL`
    for (const row of rows) {
      const context = contextOf("agents", "event_key", row.scope, row.agent_id)
      const key = yield* secrets
        .decrypt(row.event_key, context)
        .pipe(
          Effect.catchTag("SecretUnreadable", (error) => Effect.as(Effect.logError(error.message), undefined))
        )
      if (key === undefined) continue
      for (const agent of agents) {
        if (agent.agentId !== row.agent_id) continue
        // The organization's own record goes before one that holds everywhere.
        if (row.scope === agent.organizationId || (row.scope === "*" && !keys.has(agentName(agent))))
          keys.set(agentName(agent), key)
      }
    }
    return keys
  })

/** The name of an agent in `eventKeysOf`'s answer. */
export const agentName = (agent: AgentKey): string => `${agent.organizationId}\0${agent.agentId}`
