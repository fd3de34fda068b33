/**
 * What permissions have used: reported, reserved, settled. Each is decided in one statement, by the database under
 * the permission's lock and on its clock (LIMIT-1 to LIMIT-4). Costs are micro-dollars.
 */
import { Constraints } from "@agion/domain"
import { Effect, Schema } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import { array } from "../sql/Arrays.ts"
import {
  type Counted,
  nothing,
  type SpendState,
  type SpentBy,
  spendOf,
  type UsageState
} from "./UsageState.ts"

/** A usage as it is read: what counts, and all of it. */
export interface ReadUsage {
  readonly counted: Counted
  readonly state: UsageState
}

/** Whose permission it is and what limits it. */
export interface Who {
  readonly permissionId: string
  readonly organizationId: string
  readonly actorId: string
  readonly actorType: string
  readonly resourceId: string
  readonly permissionType: string
  readonly constraints: Constraints
}

/** For whom a caller may speak; null: for anybody. */
export interface Speaker {
  readonly organizationId: string | null
  readonly agentId: string | null
}

/** A usage has changed. */
export interface Counting {
  readonly before: Counted | undefined
  readonly after: Counted | undefined
  readonly state: UsageState
  readonly who: Who | undefined
}

export type Charged =
  | ({ readonly _tag: "Charged" } & Counting)
  /** The same was told before. */
  | { readonly _tag: "Duplicate" }
  | { readonly _tag: "Missing" }

/** What a reservation holds. */
export interface Held {
  readonly id: string
  readonly requests: number
  readonly tokens: number
  readonly costMicroUsd: number
  /** Epoch milliseconds. */
  readonly expiresAt: number
}

/**
 * The key was used before: its reservation was settled or released, has expired, or is of other amounts, or its call
 * was reported before the reservation arrived.
 */
export interface KeyUsed {
  readonly _tag: "KeyUsed"
  readonly why: "closed" | "expired" | "other"
  readonly held: Held
}

export type Reserved =
  | {
      readonly _tag: "Reserved"
      readonly before: Counted
      readonly held: Held
      readonly state: UsageState
    }
  /** The key was used before: the same reservation. */
  | { readonly _tag: "Existing"; readonly before: Counted; readonly held: Held }
  | KeyUsed
  | { readonly _tag: "Refused"; readonly limit: "rate" | "tokens" | "cost"; readonly before: Counted }
  | { readonly _tag: "Missing" }

export type Closed =
  | ({ readonly _tag: "Closed" } & Counting)
  /** It was closed before: settled or released. */
  | { readonly _tag: "Already"; readonly status: string }
  | { readonly _tag: "Missing" }

/** What a call asks of the limits of its permission; null limits are none. */
export interface ReserveCall {
  readonly permissionId: string
  readonly reservationId: string
  readonly idempotencyKey: string | null
  readonly requests: number
  readonly tokens: number | null
  readonly costMicroUsd: number | null
  readonly rateLimit: number | null
  readonly tokenLimit: number | null
  readonly costLimitMicroUsd: number | null
  readonly ttlMs: number
  /** False: counted, not enforced (POLICY-8). */
  readonly enforce: boolean
}

type Query<A> = Effect.Effect<A, SqlError.SqlError>

/** What a call used. */
export interface UsedByCall {
  /** The key of a reservation whose answer was lost. */
  readonly reservationKey: string | null
  readonly eventId: string | null
  readonly requests: number
  readonly tokens: number
  readonly costMicroUsd: number
  readonly occurredAt: string | null
}

/** The statements. */
export interface Limits {
  /**
   * Counts what a call used, once for each event id. With the key of a reservation, once for each key: closes the
   * reservation where it was made, and keeps a later request from making it where it was not.
   */
  readonly charge: (permissionId: string, usage: UsedByCall, speaker: Speaker) => Query<Charged>
  /** Decides calls that arrived together in their order, each as if alone; answered in order. */
  readonly reserve: (calls: ReadonlyArray<ReserveCall>) => Query<ReadonlyArray<Reserved>>
  /** Null amounts stay as estimated. */
  readonly settle: (
    reservationId: string,
    actual: { readonly tokens: number | null; readonly costMicroUsd: number | null },
    speaker: Speaker
  ) => Query<Closed>
  readonly release: (reservationId: string, speaker: Speaker) => Query<Closed>
  readonly read: (permissionIds: ReadonlyArray<string>) => Query<ReadonlyMap<string, ReadUsage>>
  /** What actors used today over all their permissions in an organization, in order. */
  readonly spends: (
    actors: ReadonlyArray<{ readonly organizationId: string; readonly actorId: string }>
  ) => Query<ReadonlyArray<SpendState>>
}

/** What the functions answer. */
interface Answer {
  readonly outcome: string
  readonly before?: Counted
  readonly after?: Counted
  readonly shown?: UsageState
  readonly who?: Omit<Who, "constraints"> & { readonly constraints: unknown }
}

/** A line of `agion_reserve_all`. */
interface ReservedRow {
  /** The call's place, from 1. */
  readonly call: number
  readonly outcome: string
  readonly used_window: number
  readonly used_requests: number
  readonly used_tokens: number
  readonly used_cost: number
  readonly held_id: string
  readonly held_requests: number
  readonly held_tokens: number
  readonly held_cost: number
  readonly held_until: number
  /** In the last line of a permission that changed. */
  readonly state: UsageState | null
}

/** The answers in the order of the calls. The lines of a permission stand together. */
const inOrder = (
  calls: ReadonlyArray<ReserveCall>,
  rows: ReadonlyArray<ReservedRow>
): ReadonlyArray<Reserved> => {
  const answers = calls.map((): Reserved => ({ _tag: "Missing" }))
  const states = new Map<string, UsageState>()
  const permissionOf = (row: ReservedRow): string => calls[row.call - 1]?.permissionId ?? ""
  for (const row of rows) if (row.state !== null) states.set(permissionOf(row), row.state)
  for (const row of rows) answers[row.call - 1] = toReserved(row, states.get(permissionOf(row)) ?? nothing)
  return answers
}

const toReserved = (row: ReservedRow, state: UsageState): Reserved => {
  const before: Counted = {
    windowRequests: row.used_window,
    dayRequests: row.used_requests,
    dayTokens: row.used_tokens,
    dayCostMicroUsd: row.used_cost
  }
  const held = (): Held => ({
    id: row.held_id,
    requests: row.held_requests,
    tokens: row.held_tokens,
    costMicroUsd: row.held_cost,
    expiresAt: row.held_until
  })
  switch (row.outcome) {
    case "reserved":
      return { _tag: "Reserved", before, held: held(), state }
    case "existing":
      return { _tag: "Existing", before, held: held() }
    case "closed":
    case "expired":
    case "other":
      return { _tag: "KeyUsed", why: row.outcome, held: held() }
    case "rate":
    case "tokens":
    case "cost":
      return { _tag: "Refused", limit: row.outcome, before }
    default:
      return { _tag: "Missing" }
  }
}

const decodeConstraints = Schema.decodeUnknownSync(Constraints)

const toCounting = ({ before, after, shown, who }: Answer): Counting => ({
  before,
  after,
  state: shown ?? nothing,
  who: who === undefined ? undefined : { ...who, constraints: decodeConstraints(who.constraints) }
})

const toCharged = (answer: Answer): Charged => {
  switch (answer.outcome) {
    case "charged":
    case "done":
      return { _tag: "Charged", ...toCounting(answer) }
    case "missing":
      return { _tag: "Missing" }
    default:
      return { _tag: "Duplicate" }
  }
}

const toClosed = (answer: Answer): Closed => {
  if (answer.outcome === "missing") return { _tag: "Missing" }
  if (answer.outcome !== "done") return { _tag: "Already", status: answer.outcome }
  return { _tag: "Closed", ...toCounting(answer) }
}

export const make = (sql: SqlClient.SqlClient): Limits => {
  const answer = (rows: ReadonlyArray<{ readonly answer: Answer }>): Answer =>
    rows[0]?.answer ?? { outcome: "missing" }
  const amounts = (
    usage: UsedByCall,
    speaker: Speaker
  ) => sql`${usage.eventId}::text, ${usage.requests}::int8,
    ${usage.tokens}::int8, ${usage.costMicroUsd}::int8, ${usage.occurredAt}::timestamptz,
    ${speaker.organizationId}::text, ${speaker.agentId}::text`

  return {
    charge: (permissionId, usage, speaker) =>
      Effect.map(
        usage.reservationKey === null
          ? sql<{
              answer: Answer
            }>`SELECT agion_charge(${permissionId}::uuid, ${amounts(usage, speaker)}) AS answer`
          : sql<{ answer: Answer }>`SELECT agion_report(${permissionId}::uuid, ${usage.reservationKey}::text,
              ${amounts(usage, speaker)}) AS answer`,
        (rows) => toCharged(answer(rows))
      ),
    reserve: (calls) =>
      Effect.map(
        sql<ReservedRow>`
          SELECT call, outcome, used_window, used_requests, used_tokens, used_cost, held_id, held_requests, held_tokens,
            held_cost, held_until, state
          FROM agion_reserve_all(${calls.map((call) => call.permissionId)}::uuid[],
          ${calls.map((call) => call.reservationId)}::uuid[],
          ${array(calls.map((call) => call.idempotencyKey))}::text[],
          ${calls.map((call) => call.requests)}::int8[], ${array(calls.map((call) => call.tokens))}::int8[],
          ${array(calls.map((call) => call.costMicroUsd))}::int8[],
          ${array(calls.map((call) => call.rateLimit))}::int8[],
          ${array(calls.map((call) => call.tokenLimit))}::int8[],
          ${array(calls.map((call) => call.costLimitMicroUsd))}::int8[],
          ${calls.map((call) => call.ttlMs)}::int8[], ${calls.map((call) => call.enforce)}::bool[])`,
        (rows) => inOrder(calls, rows)
      ),
    settle: (reservationId, actual, speaker) =>
      Effect.map(
        sql<{ answer: Answer }>`SELECT agion_settle(${reservationId}::uuid, ${actual.tokens}::int8,
          ${actual.costMicroUsd}::int8, ${speaker.organizationId}::text, ${speaker.agentId}::text) AS answer`,
        (rows) => toClosed(answer(rows))
      ),
    release: (reservationId, speaker) =>
      Effect.map(
        sql<{ answer: Answer }>`SELECT agion_release(${reservationId}::uuid, ${speaker.organizationId}::text,
          ${speaker.agentId}::text) AS answer`,
        (rows) => toClosed(answer(rows))
      ),
    read: (permissionIds) =>
      Effect.map(
        sql<{ permission_id: string; facts: Counted; shown: UsageState }>`
          SELECT permission_id, facts, shown FROM agion_read_usage(${permissionIds}::uuid[])`,
        (rows) => new Map(rows.map((row) => [row.permission_id, { counted: row.facts, state: row.shown }]))
      ),
    spends: (actors) =>
      Effect.map(
        sql<{ spent: ReadonlyArray<SpentBy>; day_ends: number; now: number }>`
          SELECT spent, day_ends, now FROM agion_read_spends(${actors.map((one) => one.organizationId)}::text[],
            ${actors.map((one) => one.actorId)}::text[])`,
        (rows) =>
          rows.map((row) =>
            spendOf(new Map(row.spent.map((one) => [one.permissionId, one])), row.day_ends, row.now)
          )
      )
  }
}
