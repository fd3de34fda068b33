/**
 * What agents tell, applied: whether it came over Redis or over HTTP, it ends here (EVENT-5, EVENT-7).
 *
 * A batch is one transaction: ids are claimed, rows written, scores changed in the order of the batch, what is
 * to be told goes to the outbox. An entry that the database refuses, or that brings out a defect, is found by
 * halving the batch and refused alone; anything else that goes wrong fails the whole batch, which may then be
 * tried again.
 */
import { type Streams, Trust } from "@agion/domain"
import { Dlp } from "@agion/policy"
import { Cause, Context, Effect, Layer, Result } from "effect"
import { SqlClient, SqlError } from "effect/sql"
import * as AuditSql from "../audit/AuditSql.ts"
import { Changes } from "../changes/Changes.ts"
import { Names } from "../changes/Governance.ts"
import { Feedback } from "../feedback/Feedback.ts"
import * as FeedbackSql from "../feedback/FeedbackSql.ts"
import { Secrets } from "../keys/Secrets.ts"
import { Signing } from "../keys/Signing.ts"
import { Missions } from "../missions/Missions.ts"
import { Tenancy } from "../organizations/Tenancy.ts"
import { type Meters, meters } from "../telemetry/Meters.ts"
import { continued } from "../telemetry/Spans.ts"
import { modelsOf, TrustScores } from "../trust/TrustScores.ts"
import type { ScoreEvent } from "../trust/TrustSql.ts"
import * as LlmSql from "../usage/LlmSql.ts"
import * as Content from "./Content.ts"
import { bury } from "./DeadLetters.ts"
import * as Earned from "./Earned.ts"
import * as Effects from "./Effects.ts"
import { type Misunderstood, printable, type RawEntry, type StreamKind } from "./Incoming.ts"
import { refuseOutsiders } from "./Members.ts"
import { keyOf, type Outcome, type Placed, place, type Submission } from "./Placing.ts"
import * as Processed from "./Processed.ts"
import * as Violations from "./Violations.ts"

/** What became of an entry. */
export type Verdict =
  | { readonly _tag: "Accepted"; readonly eventId: string }
  | { readonly _tag: "Duplicate"; readonly eventId: string }
  | ({ readonly _tag: "Refused" } & Omit<Misunderstood, "raw">)

export interface IngestOptions<E> {
  /** Runs first in each transaction: fails when this process may not write any more. */
  readonly guard?: Effect.Effect<void, E, SqlClient.SqlClient>
  /** Refused entries go to the dead letters. */
  readonly deadLetters: boolean
}

export class Ingest extends Context.Service<
  Ingest,
  {
    /** Applies a batch; a verdict for each entry, in order. */
    readonly apply: <E = never>(
      batch: ReadonlyArray<Submission>,
      options: IngestOptions<E>
    ) => Effect.Effect<ReadonlyArray<Verdict>, E | SqlError.SqlError>
    /** Applies feedback whose execution became known; sets aside what has waited for longer than so many milliseconds. */
    readonly settleFeedback: (waitMillis: number) => Effect.Effect<void, SqlError.SqlError>
  }
>()("@agion/server/Ingest") {
  static readonly layer: Layer.Layer<
    Ingest,
    never,
    SqlClient.SqlClient | Changes | TrustScores | Feedback | Missions | Tenancy | Secrets | Signing
  > = Layer.suspend(() => Layer.effect(Ingest, make))
}

interface Parts {
  readonly sql: SqlClient.SqlClient
  readonly changes: Changes["Service"]
  readonly trust: TrustScores["Service"]
  readonly feedback: Feedback["Service"]
  readonly missions: Missions["Service"]
  readonly tenancy: Tenancy["Service"]
  readonly secrets: Secrets["Service"]
  readonly signing: Signing["Service"]
  readonly names: Streams.StreamNames
  readonly dlp: Dlp.Dlp
  readonly meters: Meters
}

const make = Effect.gen(function* () {
  const sql = yield* SqlClient.SqlClient
  const parts: Parts = {
    sql,
    changes: yield* Changes,
    trust: yield* TrustScores,
    feedback: yield* Feedback,
    missions: yield* Missions,
    tenancy: yield* Tenancy,
    secrets: yield* Secrets,
    signing: yield* Signing,
    names: yield* Names,
    dlp: Dlp.make(),
    meters: yield* meters
  }
  const withSql = Effect.provideService(SqlClient.SqlClient, sql)
  return Ingest.of({
    apply: (batch, options) =>
      continued(
        "Ingest.apply",
        () => ({
          "agion.events.count": batch.length,
          ...(batch[0] === undefined ? {} : { "agion.stream.name": batch[0].raw.stream })
        }),
        () => batch.map(({ raw }) => raw.fields["traceparent"]),
        Effect.tap(withSql(halving(parts, batch, options)), (verdicts) =>
          Effect.sync(() => {
            for (const [i, { raw }] of batch.entries())
              parts.meters.count("agion.server.events", {
                "agion.stream.name": streamOf(parts, raw),
                "agion.events.result": (verdicts[i]?._tag ?? "Refused").toLowerCase()
              })
          })
        )
      ),
    settleFeedback: (waitMillis) => withSql(sql.withTransaction(settle(parts, waitMillis)))
  })
})

/** Each mission has a stream of messages: they count as one. */
const streamOf = (parts: Parts, raw: RawEntry): string =>
  raw.kind === "missionMessages" ? parts.names.missionMessages("*") : raw.stream

type Batch<E> = Effect.Effect<ReadonlyArray<Verdict>, E | SqlError.SqlError, SqlClient.SqlClient>

const halving = <E>(parts: Parts, batch: ReadonlyArray<Submission>, options: IngestOptions<E>): Batch<E> => {
  if (batch.length === 0) return Effect.succeed([])
  const whole = parts.sql.withTransaction(applyBatch(parts, batch, options))
  return Effect.catchCause(whole, (cause): Batch<E> => {
    const error = Cause.squash(cause)
    const fault = faultOf(cause, error)
    if (fault === undefined) return SqlError.isSqlError(error) ? Effect.fail(error) : Effect.failCause(cause)
    const [only] = batch
    if (batch.length === 1 && only !== undefined)
      return Effect.andThen(
        Effect.logWarning(`an entry of \`${only.raw.stream}\` could not be applied`, cause),
        refuseOne(parts, only, fault, options)
      )
    const middle = batch.length >> 1
    return Effect.zipWith(
      halving(parts, batch.slice(0, middle), options),
      halving(parts, batch.slice(middle), options),
      (first, second) => [...first, ...second]
    )
  })
}

/** Why an entry cannot be applied, whatever is tried; undefined for what is no entry's fault. */
const faultOf = (cause: Cause.Cause<unknown>, error: unknown): string | undefined => {
  if (Cause.hasInterrupts(cause)) return undefined
  if (SqlError.isSqlError(error))
    return isDataFault(error) ? "the database cannot hold a value of this entry" : undefined
  // A defect of ours must not hold up a stream for ever: the entry that brings it out is set aside.
  return Cause.hasDies(cause) ? "the platform could not apply this entry; its log says why" : undefined
}

/** Data exceptions, constraints and program limits; and what could not even be encoded. */
const isDataFault = (error: SqlError.SqlError): boolean => {
  const { cause } = error.reason
  if (typeof cause !== "object" || cause === null) return false
  const code = "code" in cause && typeof cause.code === "string" ? cause.code : ""
  return /^(21|22|23|54)/.test(code) || ("_tag" in cause && cause._tag === "PgTypesCodecError")
}

const refuseOne = <E>(
  parts: Parts,
  { raw }: Submission,
  reason: string,
  options: IngestOptions<E>
): Batch<E> =>
  parts.sql.withTransaction(
    Effect.gen(function* () {
      if (options.guard !== undefined) yield* options.guard
      const given = raw.fields["event_id"]
      const eventId = given === undefined ? null : printable(given)
      if (options.deadLetters) yield* bury(parts, [{ raw, eventId, reason }])
      return [{ _tag: "Refused", eventId, reason } as const]
    })
  )

const applyBatch = Effect.fnUntraced(function* <E>(
  parts: Parts,
  batch: ReadonlyArray<Submission>,
  options: IngestOptions<E>
) {
  if (options.guard !== undefined) yield* options.guard
  const outcomes = yield* refuseOutsiders((yield* place(parts, batch)).map(checkRating))
  const fresh = yield* freshOf(outcomes)
  yield* applyFresh(parts, fresh)
  const refused = outcomes.flatMap((outcome) => (Result.isFailure(outcome) ? [outcome.failure] : []))
  if (options.deadLetters) yield* bury(parts, refused)
  const taken = new Set<Placed>(fresh)
  return outcomes.map((outcome): Verdict => {
    if (Result.isFailure(outcome)) {
      const { raw: _raw, ...why } = outcome.failure
      return { _tag: "Refused", ...why }
    }
    const { eventId } = outcome.success.event
    return { _tag: taken.has(outcome.success) ? "Accepted" : "Duplicate", eventId }
  })
})

const checkRating = (outcome: Outcome): Outcome => {
  if (Result.isFailure(outcome) || outcome.success.event.kind !== "feedback") return outcome
  const { event } = outcome.success
  if (Effects.starsOf(event.value.rating) !== undefined) return outcome
  return Result.fail({
    raw: event.raw,
    eventId: event.eventId,
    reason: "`rating` is not a whole number from 1 to 5"
  })
}

/** Claims the ids of what was understood; what was there before is left out. */
const freshOf = Effect.fnUntraced(function* (outcomes: ReadonlyArray<Outcome>) {
  const placed = outcomes.flatMap((outcome) => (Result.isSuccess(outcome) ? [outcome.success] : []))
  const fresh = yield* Processed.claim(placed.map(keyOf))
  return placed.filter((_, i) => fresh[i] === true)
})

const ofKind = <K extends StreamKind>(placed: ReadonlyArray<Placed>, kind: K): ReadonlyArray<Effects.Of<K>> =>
  placed.filter(
    (one): one is Placed & Effects.Of<K> => one.event.kind === kind && one.organizationId !== null
  )

/** Applies new events. Scores come last: telling of them locks the organization's row. */
const applyFresh = Effect.fnUntraced(function* (parts: Parts, placed: ReadonlyArray<Placed>) {
  if (placed.length === 0) return
  yield* AuditSql.insertAudit(ofKind(placed, "decisions").map(Effects.auditOf))
  yield* applyInteractions(parts, placed)
  yield* parts.missions.follow(ofKind(placed, "missions"))
  yield* parts.missions.receive(ofKind(placed, "missionMessages"))
  const rated = yield* applyFeedback(parts, placed)
  const executions = Effects.executionsIn(
    placed.flatMap(({ event, organizationId }) =>
      organizationId === null ? [] : [{ event, organizationId }]
    )
  )
  yield* FeedbackSql.noteExecutions(executions)
  const waited = executions.length === 0 ? [] : yield* takeKnown(parts)
  const earned = yield* scoreEvents(parts, placed)
  yield* parts.trust.apply([...earned, ...rated, ...waited])
})

/** Trust events in their order, worth what the organization's model says. */
const scoreEvents = Effect.fnUntraced(function* (parts: Parts, placed: ReadonlyArray<Placed>) {
  const events = yield* Violations.once(ofKind(placed, "trust"))
  if (events.length === 0) return []
  const models = yield* modelsOf([...new Set(events.map((event) => event.organizationId))])
  const modelOf = (organizationId: string) => models.get(organizationId) ?? Trust.defaultModel
  const demanding = new Set(placed.flatMap((one) => (one.settings.signed ? [one.organizationId] : [])))
  const gaining = events.filter(({ event, organizationId }) => {
    return demanding.has(organizationId) && Effects.worthOf(event, modelOf(organizationId)) > 0
  })
  const earned = yield* Earned.claim(parts.signing, gaining)
  const idle = new Set(gaining.filter((_, i) => earned[i] !== true))
  return events.map(
    (one): ScoreEvent => Effects.scoreEventOf(one, modelOf(one.organizationId), !idle.has(one))
  )
})

/** Feedback on known executions is stored; on others it waits. */
const applyFeedback = Effect.fnUntraced(function* (parts: Parts, placed: ReadonlyArray<Placed>) {
  const known = []
  const waiting = []
  for (const { event, organizationId, agentId, bearer } of placed) {
    if (event.kind !== "feedback") continue
    if (organizationId === null || agentId === null)
      waiting.push(Effects.waitingOf(event, organizationId, bearer))
    else known.push(Effects.feedbackOf({ event, organizationId }, agentId, bearer))
  }
  yield* FeedbackSql.insertWaiting(waiting)
  return yield* parts.feedback.record(known)
})

const applyInteractions = Effect.fnUntraced(function* (parts: Parts, placed: ReadonlyArray<Placed>) {
  const rows: Array<LlmSql.NewInteraction> = []
  for (const { event, organizationId, settings } of placed) {
    if (event.kind !== "llmInteractions" || organizationId === null) continue
    const content = Content.contentOf(parts.dlp, event.raw.fields, settings.llmContent)
    rows.push(Effects.interactionOf({ event, organizationId }, content))
    const fields: Record<string, string> = {
      ...Content.keptFields(parts.dlp, event.raw.fields, settings.llmContent),
      event_id: event.eventId,
      organization_id: organizationId
    }
    delete fields["signature"]
    yield* parts.changes.publish(organizationId, [
      { _tag: "Stream", name: parts.names.llmInteractionLogs, fields }
    ])
  }
  yield* LlmSql.insertInteractions(rows)
})

const batchOfWaiting = 1000

/** Takes feedback whose execution is known by now and stores it; answers its changes of score. */
const takeKnown = Effect.fnUntraced(function* (parts: Parts) {
  const known = yield* FeedbackSql.takeKnown(batchOfWaiting)
  if (known.length === 0) return []
  const outcomes = yield* place(parts, known.map(submissionOf))
  yield* bury(
    parts,
    outcomes.flatMap((outcome) => (Result.isFailure(outcome) ? [outcome.failure] : []))
  )
  const given = outcomes.flatMap((outcome) => {
    if (Result.isFailure(outcome)) return []
    const { event, organizationId, agentId, bearer } = outcome.success
    if (event.kind !== "feedback" || organizationId === null || agentId === null) return []
    return [Effects.feedbackOf({ event, organizationId }, agentId, bearer)]
  })
  return yield* parts.feedback.record(given)
})

const submissionOf = (waiting: FeedbackSql.Waiting): Submission => ({
  raw: {
    kind: "feedback",
    stream: waiting.stream,
    entryId: waiting.entryId,
    fields: {
      ...(waiting.organizationId === null ? {} : { organization_id: waiting.organizationId }),
      ...JSON.parse(waiting.fields)
    }
  },
  bearer: waiting.bearer
})

const settle = Effect.fnUntraced(function* (parts: Parts, waitMillis: number) {
  const changes = yield* takeKnown(parts)
  const expired = yield* FeedbackSql.takeExpired(waitMillis, batchOfWaiting)
  const dead = expired.map(
    (one): Misunderstood => ({
      raw: submissionOf(one).raw,
      eventId: one.eventId,
      reason: `nothing was told of execution \`${printable(one.executionId)}\` while the feedback waited`
    })
  )
  yield* bury(parts, dead)
  yield* parts.trust.apply(changes)
})
