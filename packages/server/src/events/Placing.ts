/**
 * Whose events they are, and whether they may count: the organization of each (contract 2.3), what a key may
 * speak for, and the signatures that an organization demands.
 */
import { Effect, Result } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { findExecutions } from "../feedback/FeedbackSql.ts"
import type { Secrets } from "../keys/Secrets.ts"
import type { Tenancy } from "../organizations/Tenancy.ts"
import type { Keep } from "./Content.ts"
import { agentOf, type Misunderstood, type RawEntry, type Understood, understand } from "./Incoming.ts"
import * as Processed from "./Processed.ts"
import { agentName, eventKeysOf, isSigned } from "./Signatures.ts"

/**
 * Who brought an entry over HTTP; null: it came over Redis. Without an organization: authentication is off. Without
 * an agent: an operator's key.
 */
export interface Bearer {
  readonly organizationId: string | null
  readonly agentId: string | null
}

/** An entry, and who brought it. */
export interface Submission {
  readonly raw: RawEntry
  readonly bearer: Bearer | null
}

/** Settings of an organization that events depend on. */
export interface EventSettings {
  readonly signed: boolean
  readonly llmContent: Keep
}

/** An event with its organization; null: it is not known yet (feedback on an unknown execution). */
export interface Placed {
  readonly event: Understood
  readonly organizationId: string | null
  readonly settings: EventSettings
  /** The agent that it is of or, of feedback, about, when its execution is known. */
  readonly agentId: string | null
  readonly bearer: Bearer | null
}

export type Outcome = Result.Result<Placed, Misunderstood>

interface Parts {
  readonly tenancy: Tenancy["Service"]
  readonly secrets: Secrets["Service"]
}

const noSettings: EventSettings = { signed: false, llmContent: "full" }

const refuse = (
  event: Understood,
  reason: string,
  code: Pick<Misunderstood, "code"> = {}
): Result.Result<never, Misunderstood> =>
  Result.fail({ raw: event.raw, eventId: event.eventId, reason, ...code })

/** Understands and places a batch; an answer for each entry, in order. */
export const place = (
  parts: Parts,
  submissions: ReadonlyArray<Submission>
): Effect.Effect<ReadonlyArray<Outcome>, SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const understood = submissions.map((submission) => bear(submission, understand(submission.raw)))
    const events = understood.flatMap((result) => (Result.isSuccess(result) ? [result.success] : []))
    const executions = yield* executionsOf(events)
    const homes = yield* homesOf(parts.tenancy, events)
    const places = new Map(events.map((event) => [event, placeOf(event, executions, homes)] as const))
    const settings = yield* settingsOf([...places.values()])
    const keys = yield* signersOf(parts.secrets, places, settings)
    const outcomes = understood.map((result, i): Outcome => {
      if (Result.isFailure(result)) return Result.fail(result.failure)
      const event = result.success
      const { organizationId, agentId } = places.get(event) ?? { organizationId: null, agentId: null }
      const own = (organizationId === null ? undefined : settings.get(organizationId)) ?? noSettings
      const bearer = submissions[i]?.bearer ?? null
      if (event.kind === "feedback" && bearer?.agentId != null && bearer.agentId === agentId)
        return refuse(event, "an agent cannot rate itself; the user's side does")
      return Result.succeed({ event, organizationId, agentId, settings: own, bearer })
    })
    return yield* refuseUnsigned(outcomes, keys)
  })

/**
 * Refuses what its organization demands a signature of and which has none. What was applied before is let through
 * as the repetition that it is: the platform's own entries come back unsigned.
 */
const refuseUnsigned = (outcomes: ReadonlyArray<Outcome>, keys: ReadonlyMap<string, ReadonlyArray<string>>) =>
  Effect.gen(function* () {
    const unsigned = outcomes.flatMap((outcome) =>
      Result.isSuccess(outcome) && needsSignature(outcome.success) && !isGenuine(outcome.success, keys)
        ? [outcome.success]
        : []
    )
    if (unsigned.length === 0) return outcomes
    const known = yield* Processed.known(unsigned.map(keyOf))
    const refused = new Set(unsigned.filter((_, i) => known[i] !== true))
    return outcomes.map((outcome): Outcome => {
      if (Result.isFailure(outcome) || !refused.has(outcome.success)) return outcome
      const { event } = outcome.success
      return event.kind === "feedback"
        ? refuse(
            event,
            "the organization demands signed events, and an agent's signature is no user's word: send feedback with an operator's key"
          )
        : refuse(event, "the organization demands signed events and this signature is missing or not valid", {
            code: "signature"
          })
    })
  })

/** By what an event's repetition is known. Feedback of an agent's key uses up no id of feedback that counts. */
export const keyOf = ({ event, organizationId, agentId, bearer }: Placed): Processed.EventKey => ({
  organizationId: organizationId ?? "",
  agentId: agentId ?? "",
  eventId:
    event.kind === "feedback" && bearer?.agentId != null
      ? `key/${bearer.agentId}/${event.eventId}`
      : event.eventId,
  stream: event.raw.stream
})

/** A key of the organization says who speaks. */
const needsSignature = ({ settings, bearer }: Placed): boolean =>
  settings.signed && bearer?.organizationId == null

/** What a key may not speak for is refused; what names no organization gets the key's. */
const bear = (
  { bearer }: Submission,
  understood: Result.Result<Understood, Misunderstood>
): Result.Result<Understood, Misunderstood> => {
  if (Result.isFailure(understood) || bearer === null || bearer.organizationId === null) return understood
  const event = understood.success
  const named = event.value.organizationId ?? bearer.organizationId
  if (named !== bearer.organizationId)
    return refuse(event, `the key does not speak for organization \`${named}\``)
  const agent = event.kind === "feedback" ? undefined : agentOf(event)
  if (bearer.agentId !== null && agent !== undefined && agent !== bearer.agentId)
    return refuse(event, `the key belongs to agent \`${bearer.agentId}\` and not to \`${agent}\``)
  return Result.succeed({ ...event, value: { ...event.value, organizationId: named } } as Understood)
}

/** The executions that feedback without an agent names. */
const executionsOf = (events: ReadonlyArray<Understood>) =>
  findExecutions(
    events.flatMap((event) =>
      event.kind === "feedback" && event.value.agentId === undefined ? [event.value.executionId] : []
    )
  )

/** Where the agents of events without an organization were last seen. */
const homesOf = (tenancy: Tenancy["Service"], events: ReadonlyArray<Understood>) => {
  const agents = events.flatMap((event) => {
    const agent = event.value.organizationId === undefined ? agentOf(event) : undefined
    return agent === undefined ? [] : [agent]
  })
  return agents.length === 0
    ? Effect.succeed(new Map<string, string>())
    : tenancy.organizationsOf([...new Set(agents)])
}

const placeOf = (
  event: Understood,
  executions: Effect.Success<ReturnType<typeof findExecutions>>,
  homes: ReadonlyMap<string, string>
): { readonly organizationId: string | null; readonly agentId: string | null } => {
  const named = event.value.organizationId ?? null
  const agentId = agentOf(event) ?? null
  if (event.kind !== "feedback" || agentId !== null)
    return { organizationId: named ?? homes.get(agentId ?? "") ?? null, agentId }
  const known = executions.findLast(
    (execution) =>
      execution.executionId === event.value.executionId &&
      (named === null || execution.organizationId === named)
  )
  return { organizationId: named ?? known?.organizationId ?? null, agentId: known?.agentId ?? null }
}

/** The settings of organizations; of those that there are. */
export const settingsOf = (places: ReadonlyArray<{ readonly organizationId: string | null }>) =>
  Effect.gen(function* () {
    const ids = [
      ...new Set(places.flatMap((one) => (one.organizationId === null ? [] : [one.organizationId])))
    ]
    const sql = yield* SqlClient.SqlClient
    const rows =
      ids.length === 0
        ? []
        : yield* sql<{ id: string; event_signature: string; llm_content: string }>`
            SELECT id, event_signature, llm_content FROM organizations WHERE id = ANY(${ids}::text[])`
    return new Map(
      rows.map((row): readonly [string, EventSettings] => {
        const llmContent =
          row.llm_content === "none" || row.llm_content === "redacted" ? row.llm_content : "full"
        return [row.id, { signed: row.event_signature === "required", llmContent }]
      })
    )
  })

/** The keys of agents whose organization demands signatures. */
const signersOf = (
  secrets: Secrets["Service"],
  places: ReadonlyMap<
    Understood,
    { readonly organizationId: string | null; readonly agentId: string | null }
  >,
  settings: ReadonlyMap<string, EventSettings>
) =>
  eventKeysOf(
    secrets,
    [...places.values()].flatMap(({ organizationId, agentId }) =>
      organizationId !== null && agentId !== null && settings.get(organizationId)?.signed === true
        ? [{ organizationId, agentId }]
        : []
    )
  )

/** An agent rates nobody: feedback is never an agent's word. */
const isGenuine = (
  { event, organizationId, agentId }: Placed,
  keys: ReadonlyMap<string, ReadonlyArray<string>>
): boolean => {
  if (event.kind === "feedback" || organizationId === null || agentId === null) return false
  const valid = keys.get(agentName({ organizationId, agentId })) ?? []
  return valid.some((key) => isSigned(key, event.raw.stream, event.raw.sent ?? event.raw.fields))
}
