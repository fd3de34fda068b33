/** What a person needs in the first hour: who waits for approval, approve, deny, trust, suspend. */
import { ActorId, OrganizationId, Permission, PermissionId, Trust } from "@agion/domain"
import { Config, Console, Effect, Option, Schema } from "effect"
import { Argument, Command, Flag } from "effect/cli"
import { CommandFailed, flags, Platform, withPlatform } from "./Platform.ts"
import { printable, table } from "./Table.ts"

const by = Flag.String("by").pipe(
  Flag.withDescription("Who decides; never the one who requested"),
  Flag.withFallbackConfig(Config.String("USER")),
  Flag.withDefault("operator")
)

const organization = Flag.String("organization").pipe(
  Flag.withDescription("Organization; all of them when absent"),
  Flag.withFallbackConfig(Config.String("AGION_ORG_ID")),
  Flag.optional
)

const organizationId = (name: Option.Option<string>) =>
  Option.match(name, { onNone: () => ({}), onSome: (id) => ({ organizationId: OrganizationId.make(id) }) })

const id = Argument.String("id").pipe(
  Argument.withDescription("Id of the permission, as `agion approvals` lists it")
)

const permissionId = (text: string) =>
  Schema.decodeUnknownEffect(PermissionId)(text).pipe(
    Effect.mapError(
      () =>
        new CommandFailed({
          message: `\`${printable(text)}\` is no id of a permission; \`agion approvals\` lists them`
        })
    )
  )

const encodePermission = Schema.encodeSync(Permission)

/** `agion approvals`: what waits for a decision, oldest first. */
export const approvals = Command.make(
  "approvals",
  { ...flags, organization },
  Effect.fnUntraced(function* (options) {
    const { permissions } = yield* withPlatform(
      options,
      Platform.use((platform) =>
        platform.permissions.list({
          query: { status: "pending", limit: 1000, ...organizationId(options.organization) }
        })
      )
    )
    if (options.json) return yield* Console.log(JSON.stringify(permissions.map((p) => encodePermission(p))))
    if (permissions.length === 0) return yield* Console.log("Nothing waits for approval.")
    yield* Console.log(
      table(
        ["id", "actor", "wants to", "resource", "purpose", "requested by", "since"],
        permissions.map((p) => [
          p.id,
          `${p.actorType} ${p.actorId}`,
          p.permissionType,
          p.resourceId,
          p.purpose,
          p.requestedBy,
          p.requestedAt
        ])
      )
    )
  })
).pipe(Command.withDescription("List the permissions that wait for approval"))

const decided = (permission: Permission, json: boolean) =>
  Console.log(
    json
      ? JSON.stringify(encodePermission(permission))
      : `${permission.status}: ${printable(permission.actorId)} ${permission.permissionType} ${permission.resourceId}`
  )

/** `agion approve ID`. */
export const approve = Command.make(
  "approve",
  {
    ...flags,
    by,
    id,
    notes: Flag.String("notes").pipe(Flag.withDescription("Why"), Flag.optional)
  },
  Effect.fnUntraced(function* (options) {
    const target = yield* permissionId(options.id)
    const permission = yield* withPlatform(
      options,
      Platform.use((platform) =>
        platform.permissions.approve({
          params: { id: target },
          payload: { approvedBy: options.by, notes: Option.getOrNull(options.notes) }
        })
      )
    )
    yield* decided(permission, options.json)
  })
).pipe(Command.withDescription("Approve a permission"))

/** `agion deny ID`: denies what is pending, revokes what was approved. */
export const deny = Command.make(
  "deny",
  {
    ...flags,
    by,
    id,
    reason: Flag.String("reason").pipe(Flag.withDescription("Why"), Flag.withDefault("denied by an operator"))
  },
  Effect.fnUntraced(function* (options) {
    const target = yield* permissionId(options.id)
    const permission = yield* withPlatform(
      options,
      Effect.gen(function* () {
        const platform = yield* Platform
        const current = yield* platform.permissions.get({ params: { id: target } })
        return current.status === "approved" || current.status === "suspended"
          ? yield* platform.permissions.revoke({
              params: { id: target },
              payload: { revokedBy: options.by, reason: options.reason }
            })
          : yield* platform.permissions.deny({
              params: { id: target },
              payload: { deniedBy: options.by, reason: options.reason }
            })
      })
    )
    yield* decided(permission, options.json)
  })
).pipe(Command.withDescription("Deny a permission that waits, or revoke one that was approved"))

/** `agion trust AGENT`: the score, its tier and how it came about. */
export const trust = Command.make(
  "trust",
  {
    ...flags,
    organization,
    agent: Argument.String("agent").pipe(Argument.withDescription("Id of the agent")),
    type: Flag.Literals("type", ["agent", "user", "service"]).pipe(
      Flag.withDescription("Kind of actor"),
      Flag.withDefault("agent" as const)
    ),
    limit: Flag.Int("limit").pipe(Flag.withDescription("Lines of history"), Flag.withDefault(10))
  },
  Effect.fnUntraced(function* (options) {
    const [score, history] = yield* withPlatform(
      options,
      Effect.gen(function* () {
        const platform = yield* Platform
        const params = { entityId: ActorId.make(options.agent) }
        const query = { entityType: options.type, ...organizationId(options.organization) }
        return [
          yield* platform.trust.score({ params, query }),
          yield* platform.trust.history({ params, query: { ...query, limit: options.limit } })
        ] as const
      })
    )
    const tier = Trust.tierOf(score.data.score)
    if (options.json)
      return yield* Console.log(
        JSON.stringify({
          entity_id: score.data.entityId,
          score: score.data.score,
          tier,
          events: history.data.events.map((event) => ({
            event_type: event.eventType,
            impact: event.impact,
            description: event.description,
            timestamp: event.timestamp
          }))
        })
      )
    yield* Console.log(`${printable(options.agent)}: ${score.data.score} (${tier})`)
    if (history.data.events.length > 0)
      yield* Console.log(
        table(
          ["when", "what", "impact", "description"],
          history.data.events.map((event) => [
            event.timestamp,
            event.eventType,
            event.impact > 0 ? `+${event.impact}` : event.impact,
            event.description
          ])
        )
      )
  })
).pipe(Command.withDescription("Show how far an actor is trusted, and why"))

const agentId = Argument.String("id").pipe(Argument.withDescription("Id of the agent"))

const setStatus = (name: string, status: string, description: string) =>
  Command.make(
    name,
    { ...flags, id: agentId },
    Effect.fnUntraced(function* (options) {
      const agent = yield* withPlatform(
        options,
        Platform.use((platform) =>
          platform.agents.update({ params: { agentId: ActorId.make(options.id) }, payload: { status } })
        )
      )
      yield* Console.log(
        options.json
          ? JSON.stringify({ agent_id: agent.agentId, status: agent.status })
          : `${printable(agent.agentId)} is ${printable(agent.status)}`
      )
    })
  ).pipe(Command.withDescription(description))

const listAgents = Command.make(
  "list",
  { ...flags, organization },
  Effect.fnUntraced(function* (options) {
    const { agents } = yield* withPlatform(
      options,
      Platform.use((platform) =>
        platform.agents.list({ query: { limit: 1000, ...organizationId(options.organization) } })
      )
    )
    if (options.json)
      return yield* Console.log(
        JSON.stringify(
          agents.map((agent) => ({
            agent_id: agent.agentId,
            name: agent.name,
            version: agent.version,
            status: agent.status,
            last_seen_at: agent.lastSeenAt
          }))
        )
      )
    yield* Console.log(
      agents.length === 0
        ? "No agent has registered."
        : table(
            ["id", "name", "version", "status", "last seen"],
            agents.map((agent) => [agent.agentId, agent.name, agent.version, agent.status, agent.lastSeenAt])
          )
    )
  })
).pipe(Command.withDescription("List the agents that have registered"))

/** `agion agents list | suspend ID | resume ID`. */
export const agents = Command.make("agents").pipe(
  Command.withDescription("The registry of agents, and its kill switch"),
  Command.withSubcommands([
    listAgents,
    setStatus("suspend", "suspended", "Deny every check of an agent at once, everywhere"),
    setStatus("resume", "active", "Take a suspension back")
  ])
)
