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

/** By what an agent names a key that it has. */
export const eventKeyId = (key: string): string =>
  createHmac("sha256", key)
    .update(Streams.eventKeyIdInput)
    .digest("base64url")
    .slice(0, Streams.eventKeyIdLength)

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

/**
 * The event keys of agents, by `agentName`: the present one, and the former while it is valid. Agents that have none,
 * or none that can be read, are left out.
 */
export const eventKeysOf = (
  secrets: Secrets["Service"],
  agents: ReadonlyArray<AgentKey>
): Effect.Effect<ReadonlyMap<string, ReadonlyArray<string>>, SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const keys = new Map<string, ReadonlyArray<string>>()
    if (agents.length === 0) return keys
    const sql = yield* SqlClient.SqlClient
    const rows = yield* sql<KeyRow>`
      SELECT scope, agent_id, event_key,
        CASE WHEN event_key_former_until > clock_timestamp() THEN event_key_former END AS former
      FROM agents
      WHERE agent_id = ANY(${agents.map((agent) => agent.agentId)}::text[]) AND event_key IS NOT NULL`
    for (const row of rows) {
      const present = yield* readable(secrets, row.event_key, "event_key", row)
      const former = yield* readable(secrets, row.former, "event_key_former", row)
      const valid = [present, former].filter((key) => key !== undefined)
      if (valid.length === 0) continue
      for (const agent of agents) {
        if (agent.agentId !== row.agent_id) continue
        // The organization's own record goes before one that holds everywhere.
        if (row.scope === agent.organizationId || (row.scope === "*" && !keys.has(agentName(agent))))
          keys.set(agentName(agent), valid)
      }
    }
    return keys
  })

interface KeyRow {
  readonly scope: string
  readonly agent_id: string
  readonly event_key: Uint8Array
  readonly former: Uint8Array | null
}

/** A key of an agent's record; undefined: there is none, or it cannot be read, which the log says. */
export const readable = (
  secrets: Secrets["Service"],
  secret: Uint8Array | null,
  column: "event_key" | "event_key_former",
  agent: Pick<KeyRow, "scope" | "agent_id">
): Effect.Effect<string | undefined, SqlError.SqlError> =>
  secret === null
    ? Effect.succeed(undefined)
    : secrets
        .decrypt(secret, contextOf("agents", column, agent.scope, agent.agent_id))
        .pipe(
          Effect.catchTag("SecretUnreadable", (error) => Effect.as(Effect.logError(error.message), undefined))
        )

/** The name of an agent in `eventKeysOf`'s answer. */
export const agentName = (agent: AgentKey): string => `${agent.organizationId}\0${agent.agentId}`
