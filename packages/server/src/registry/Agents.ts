/**
 * The registry of agents, and the kill switch in it: status `suspended` denies every check of the agent, in
 * every organization where something depends on it, from the answer on.
 *
 * Repeating a registration is fine: it refreshes the record and never changes a status that was set by hand. The
 * record of a suspended agent cannot be removed: the suspension is lifted by setting another status, and by
 * nothing else.
 */
import { randomBytes } from "node:crypto"
import { Context, Effect, Layer } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { Changes } from "../changes/Changes.ts"
import { eventKeyId, readable } from "../events/Signatures.ts"
import { contextOf, Secrets } from "../keys/Secrets.ts"
import { Tenancy } from "../organizations/Tenancy.ts"
import type { Page } from "../sql/page.ts"
import { ensureScores } from "../trust/TrustSql.ts"
import type { AgentFields, AgentRow, RegisteredRow } from "./AgentsSql.ts"
import * as AgentsSql from "./AgentsSql.ts"

type Sql<A> = Effect.Effect<A, SqlError.SqlError>

export interface Registration {
  readonly agentId: string
  /** The key's organization; null while authentication is off. */
  readonly keyOrganizationId: string | null
  /** The organization that the registration names; null: none. */
  readonly organizationId: string | null
  readonly fields: AgentFields
  /** Which event key the agent says that it has; null: it does not say. */
  readonly eventKeyId?: string | null
}

/** What registering answers. */
export interface Registered {
  readonly agent: RegisteredRow
  readonly eventKey: string | undefined
}

export class Agents extends Context.Service<
  Agents,
  {
    /**
     * Registers an agent and gives it a score. A new one also gets the key that signs its events; with a key of the
     * API so does one that says that it has no or another event key: that key speaks for the agent anyway.
     */
    readonly register: (registration: Registration) => Sql<Registered>
    /**
     * Replaces an agent's event key; answers until when the former one stays valid. Undefined: there is no such
     * record.
     */
    readonly rotateEventKey: (
      agentId: string,
      organizationId: string,
      overlapSeconds: number
    ) => Sql<{ readonly formerValidUntil: Date | null } | undefined>
    readonly find: (agentId: string, organizationId: string | null) => Sql<AgentRow | undefined>
    /**
     * Changes a record; undefined when there is none. The kill switch works on an agent that has never registered,
     * too: it makes a suspended record.
     */
    readonly update: (
      agentId: string,
      organizationId: string | null,
      fields: AgentFields
    ) => Sql<AgentRow | undefined>
    /** Deletes a record; a suspended agent keeps its own, or a new registration would lift the suspension. */
    readonly remove: (
      agentId: string,
      organizationId: string | null
    ) => Sql<"removed" | "missing" | "suspended">
    readonly list: (filter: {
      readonly keyOrganizationId: string | null
      readonly organizationId: string | null
      readonly status: string | undefined
      readonly limit: number
      readonly offset: number
    }) => Sql<Page<AgentRow>>
  }
>()("@agion/server/Agents") {
  static readonly layer: Layer.Layer<Agents, never, SqlClient.SqlClient | Changes | Tenancy | Secrets> =
    Layer.suspend(() => Layer.effect(Agents, make))
}

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const changes = yield* Changes
  const tenancy = yield* Tenancy
  const secrets = yield* Secrets
  const withSql = Effect.provideService(SqlClient.SqlClient, sql)
  const within = <A, E>(effect: Effect.Effect<A, E, SqlClient.SqlClient>) =>
    withSql(sql.withTransaction(effect))

  /** Tells whoever may hold a decision about the agent; of the kill switch every organization. */
  const tell = Effect.fnUntraced(function* (agent: AgentRow, switched: boolean) {
    const change = { kind: "agent", ids: [agent.agent_id] } as const
    const general = agent.scope === AgentsSql.everywhere
    if (general && switched) return yield* changes.recordAll(change)
    const organizations = general ? yield* AgentsSql.organizationsOfAgent(agent.agent_id) : [agent.scope]
    for (const organizationId of organizations) yield* changes.record({ organizationId, ...change })
  })

  const register = Effect.fnUntraced(function* (registration: Registration) {
    const { agentId, keyOrganizationId, fields } = registration
    const scope = keyOrganizationId ?? AgentsSql.everywhere
    const named = keyOrganizationId ?? registration.organizationId
    const eventKey = newEventKey()
    const secret = yield* secrets.encrypt(eventKey, contextOf("agents", "event_key", scope, agentId))
    const before = yield* AgentsSql.findAgent(agentId, keyOrganizationId)
    const agent = yield* AgentsSql.upsertAgent(scope, agentId, named, fields, secret)
    if (named !== null) yield* tenancy.note(agentId, named)
    const home = named ?? (yield* tenancy.organizationsOf([agentId])).get(agentId)
    if (home !== undefined)
      yield* ensureScores([{ organizationId: home, entityType: "agent", entityId: agentId }])
    if (before === undefined || isDecisive(before, agent)) yield* tell(agent, isSwitched(before, agent))
    return { agent, eventKey: agent.keyed ? eventKey : yield* askedKey(registration, agent) }
  })

  /** The key that an agent has not and asks for; without authentication anybody could. */
  const askedKey = Effect.fnUntraced(function* (registration: Registration, agent: RegisteredRow) {
    const { eventKeyId: held, keyOrganizationId } = registration
    if (held == null || keyOrganizationId === null) return undefined
    const key = yield* readable(secrets, agent.event_key, "event_key", agent)
    return key === undefined || eventKeyId(key) === held ? undefined : key
  })

  const rotateEventKey = Effect.fnUntraced(function* (
    agentId: string,
    scope: string,
    overlapSeconds: number
  ) {
    const locked = yield* AgentsSql.lockEventKeys(scope, agentId)
    if (locked === undefined) return undefined
    // Its first registration makes one and answers it, whatever that says of keys.
    if (locked.present === null) return { formerValidUntil: null }
    const sealed = (key: string, column: string) =>
      secrets.encrypt(key, contextOf("agents", column, scope, agentId))
    const next = yield* sealed(newEventKey(), "event_key")
    // What nobody was given takes no place of the key that the agent has: an answer was lost, and it is asked again.
    const sameFormer = locked.unheard && overlapSeconds > 0
    const replaced = sameFormer
      ? undefined
      : yield* readable(secrets, locked.present, "event_key", { scope, agent_id: agentId })
    const former =
      replaced === undefined || overlapSeconds === 0 ? null : yield* sealed(replaced, "event_key_former")
    const formerValidUntil = yield* AgentsSql.replaceEventKey(scope, agentId, {
      next,
      former: sameFormer ? locked.former : former,
      sameFormer,
      overlapSeconds
    })
    return { formerValidUntil }
  })

  const suspendUnseen = Effect.fnUntraced(function* (agentId: string, organizationId: string | null) {
    const scope = organizationId ?? AgentsSql.everywhere
    const agent = yield* AgentsSql.insertSuspended(scope, agentId, organizationId)
    if (agent !== undefined) yield* tell(agent, true)
    return agent
  })

  return Agents.of({
    register: (registration) => within(register(registration)),
    rotateEventKey: (agentId, organizationId, overlapSeconds) =>
      within(rotateEventKey(agentId, organizationId, overlapSeconds)),
    find: (agentId, organizationId) => withSql(AgentsSql.findAgent(agentId, organizationId)),
    update: (agentId, organizationId, fields) =>
      within(
        Effect.gen(function* () {
          const found = yield* AgentsSql.findAgent(agentId, organizationId)
          if (found === undefined)
            return fields.status === AgentsSql.suspended
              ? yield* suspendUnseen(agentId, organizationId)
              : undefined
          const agent = yield* AgentsSql.updateAgent(found.scope, agentId, fields)
          if (agent !== undefined && isDecisive(found, agent)) yield* tell(agent, isSwitched(found, agent))
          return agent
        })
      ),
    remove: (agentId, organizationId) =>
      within(
        Effect.gen(function* () {
          const found = yield* AgentsSql.findAgent(agentId, organizationId)
          if (found === undefined) return "missing"
          if (!(yield* AgentsSql.deleteAgent(found.scope, agentId))) {
            const left = yield* AgentsSql.findAgent(agentId, found.scope)
            return left === undefined ? "missing" : "suspended"
          }
          yield* tell(found, false)
          return "removed"
        })
      ),
    list: ({ keyOrganizationId, ...filter }) =>
      withSql(AgentsSql.listAgents({ ...filter, scope: keyOrganizationId }))
  })
})

const newEventKey = () => randomBytes(32).toString("base64url")

/** True when a decision may depend on what changed: a policy reads capabilities and metadata, a check the status. */
const isDecisive = (before: AgentRow, after: AgentRow): boolean =>
  before.status !== after.status ||
  JSON.stringify([before.capabilities, before.metadata]) !==
    JSON.stringify([after.capabilities, after.metadata])

/** True when the agent was suspended or is so no more. */
const isSwitched = (before: AgentRow | undefined, after: AgentRow): boolean =>
  (before?.status === AgentsSql.suspended) !== (after.status === AgentsSql.suspended)
