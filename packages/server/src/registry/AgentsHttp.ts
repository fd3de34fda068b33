/** The routes of the registry of agents. */
import {
  ActorId,
  type Agent,
  ApiError,
  agentStatus,
  type RegisterAgent,
  type UpdateAgent,
  Wire
} from "@agion/domain"
import { Api, Caller, type CallerInfo } from "@agion/domain/api"
import { Effect } from "effect"
import { HttpApiBuilder } from "effect/http-api"
import { Tenancy } from "../organizations/Tenancy.ts"
import { Agents, type Registered } from "./Agents.ts"
import type { AgentFields, AgentRow } from "./AgentsSql.ts"

const iso = (date: Date): string => Wire.timestamp(date.getTime())

const toAgent = (row: AgentRow): Agent => ({
  id: ActorId.make(row.agent_id),
  agentId: ActorId.make(row.agent_id),
  containerId: row.container_id,
  name: row.name,
  type: row.type,
  version: row.version,
  framework: row.framework,
  model: row.model,
  owner: row.owner,
  capabilities: row.capabilities,
  endpoints: row.endpoints,
  status: row.status,
  metadata: row.metadata,
  organizationId: row.organization_id,
  lastSeenAt: row.last_seen_at === null ? null : iso(row.last_seen_at),
  registeredAt: iso(row.registered_at),
  createdAt: iso(row.created_at),
  updatedAt: iso(row.updated_at)
})

/** The record with what concerns the agent alone. */
const toRegistered = ({ agent, eventKey }: Registered): Agent => ({
  ...toAgent(agent),
  ...(eventKey === undefined ? {} : { eventKey }),
  ...(agent.events_refused_at === null
    ? {}
    : { refusedEvents: { count: agent.events_refused, lastAt: iso(agent.events_refused_at) } })
})

const fieldsOf = (caller: CallerInfo, payload: RegisterAgent | UpdateAgent): AgentFields => ({
  containerId: payload.containerId ?? null,
  name: payload.name ?? null,
  type: payload.type ?? null,
  version: payload.version ?? null,
  framework: payload.framework ?? null,
  model: payload.model ?? null,
  owner: payload.owner ?? null,
  capabilities: payload.capabilities ?? null,
  endpoints: payload.endpoints ?? null,
  metadata: payload.metadata ?? null,
  status: payload.status ?? null,
  bySelf: caller.agentId !== null
})

/** A day: longer than an agent is out of reach and still has events on the way. */
const defaultOverlap = 86_400

const missing = (agentId: string) =>
  new ApiError.NotFound({
    message: `there is no agent \`${agentId}\`; agents register with POST /agents/register`
  })

const ownRecord = (caller: CallerInfo, agentId: string) =>
  caller.agentId === null || caller.agentId === agentId
    ? Effect.void
    : Effect.fail(
        new ApiError.Forbidden({
          message: `the key belongs to agent \`${caller.agentId}\` and cannot change \`${agentId}\``
        })
      )

/** The handlers of group `agents`. */
export const layer = HttpApiBuilder.group(
  Api,
  "agents",
  Effect.fnUntraced(function* (handlers) {
    const agents = yield* Agents
    const tenancy = yield* Tenancy

    /** Says which organization an answer is about, so that it carries its epoch. */
    const about = (agent: AgentRow) =>
      Effect.flatMap(tenancy.organizationsOf([agent.agent_id]), (homes) =>
        tenancy.about(agent.organization_id ?? homes.get(agent.agent_id) ?? agent.scope)
      )

    return handlers.handleAll({
      register: Effect.fnUntraced(function* ({ payload }) {
        const caller = yield* Caller
        const agentId = payload.agentId ?? payload.name
        if (agentId == null)
          return yield* new ApiError.BadRequest({
            message: "`agent_id` or `name` is required; send one of them"
          })
        if (caller.agentId !== null && caller.agentId !== agentId)
          return yield* new ApiError.Forbidden({
            message: `the key belongs to agent \`${caller.agentId}\` and cannot register \`${agentId}\``
          })
        const named = yield* tenancy.filter(payload.organizationId)
        const registered = yield* Effect.orDie(
          agents.register({
            agentId,
            keyOrganizationId: caller.organizationId,
            organizationId: named,
            fields: fieldsOf(caller, payload),
            eventKeyId: payload.eventKeyId ?? null
          })
        )
        yield* about(registered.agent)
        return toRegistered(registered)
      }),
      list: Effect.fnUntraced(function* ({ query }) {
        const organizationId = yield* tenancy.filter(query.organizationId)
        const limit = query.limit ?? 100
        const offset = query.offset ?? 0
        const { rows, total } = yield* Effect.orDie(
          agents.list({
            keyOrganizationId: yield* tenancy.scope,
            organizationId,
            status: query.status,
            limit,
            offset
          })
        )
        return { agents: rows.map(toAgent), total, limit, offset }
      }),
      get: Effect.fnUntraced(function* ({ params }) {
        const agent = yield* Effect.orDie(agents.find(params.agentId, yield* tenancy.scope))
        if (agent === undefined) return yield* missing(params.agentId)
        yield* about(agent)
        return toAgent(agent)
      }),
      update: Effect.fnUntraced(function* ({ params, payload }) {
        const caller = yield* Caller
        yield* ownRecord(caller, params.agentId)
        if (caller.agentId !== null && payload.status != null)
          return yield* new ApiError.Forbidden({
            message: "an agent's key cannot set a status; ask an operator"
          })
        const agent = yield* Effect.orDie(
          agents.update(params.agentId, yield* tenancy.scope, {
            ...fieldsOf(caller, payload),
            status: payload.status == null ? null : agentStatus(payload.status)
          })
        )
        if (agent === undefined) return yield* missing(params.agentId)
        yield* about(agent)
        return toAgent(agent)
      }),
      remove: Effect.fnUntraced(function* ({ params }) {
        const removed = yield* Effect.orDie(agents.remove(params.agentId, yield* tenancy.scope))
        if (removed === "missing") return yield* missing(params.agentId)
        if (removed === "suspended")
          return yield* new ApiError.Conflict({
            message:
              `agent \`${params.agentId}\` is suspended, and only its record keeps it so; leave it, or lift the ` +
              "suspension with PUT status `active` and delete it then"
          })
      }),
      rotateEventKey: Effect.fnUntraced(function* ({ params, payload }) {
        const caller = yield* Caller
        if (caller.agentId !== null)
          return yield* new ApiError.Forbidden({
            message: "an agent's key cannot replace its event key; ask an operator"
          })
        if (caller.organizationId === null)
          return yield* new ApiError.Forbidden({
            message:
              "without authentication nobody knows which registration is the agent's, so that it could not be given a " +
              "new key; switch authentication on, or delete the agent: its next registration makes one"
          })
        const rotated = yield* Effect.orDie(
          agents.rotateEventKey(
            params.agentId,
            caller.organizationId,
            payload.overlapSeconds ?? defaultOverlap
          )
        )
        if (rotated === undefined) return yield* missing(params.agentId)
        const { formerValidUntil } = rotated
        return {
          agentId: params.agentId,
          formerValidUntil: formerValidUntil === null ? null : iso(formerValidUntil)
        }
      })
    })
  })
)
