/**
 * Tells `governance-events` of decisions that deny, or that a policy held something against, and raises alerts
 * for critical denials and limits that were reached.
 *
 * Decisions wait in memory for the next pipeline; a check never waits for Redis. What does not fit while Redis is
 * away is counted and the count is logged. Alerts go through the outbox, each subject once a minute.
 */
import { Streams } from "@agion/domain"
import type { PermissionCheck } from "@agion/policy"
import { type Command, RedisClient } from "@agion/redis"
import { Clock, Context, Effect, Layer, Queue, Result } from "effect"
import { Changes } from "../changes/Changes.ts"
import * as Governance from "../changes/Governance.ts"
import * as Alerts from "../events/Alerts.ts"

/** A decision that is to be told. */
export interface Told {
  readonly organizationId: string
  readonly actorId: string
  readonly actorType: string
  readonly resourceId: string
  readonly resourceType: string
  readonly action: string
  readonly decisionId: string
  readonly decision: PermissionCheck.Decision
}

export class DecisionLog extends Context.Service<
  DecisionLog,
  {
    /** Keeps a decision for telling; cheap, never waits. */
    readonly note: (told: Told) => void
    /** Raises an alert unless the same one was raised within the last minute. */
    readonly alert: (alert: Alerts.Alert) => Effect.Effect<void>
    /** False where `alert` would do nothing. */
    readonly isDue: (alert: Alerts.Alert) => boolean
    /** Decisions that were dropped because Redis did not take them. */
    readonly dropped: () => number
  }
>()("@agion/server/DecisionLog") {
  static readonly layer = (): Layer.Layer<DecisionLog, never, Changes | RedisClient> =>
    Layer.effect(DecisionLog, make)
}

const capacity = 10_000
const batchSize = 500
const alertEveryMillis = 60_000

const make = Effect.gen(function* () {
  const changes = yield* Changes
  const client = yield* RedisClient
  const names = yield* Governance.Names
  const clock = yield* Clock.Clock
  const queue = yield* Queue.dropping<Streams.Fields>(capacity)
  const alerted = new Map<string, number>()
  let dropped = 0

  const send = (batch: ReadonlyArray<Streams.Fields>) => {
    const commands = batch.map(
      (fields): Command => ["XADD", names.governanceEvents, "*", ...Object.entries(fields).flat()]
    )
    return Effect.map(client.pipeline(commands), (results) => {
      dropped += results.filter(Result.isFailure).length
    })
  }

  const isDue = (raised: Alerts.Alert, now: number): boolean => {
    const last = alerted.get(alertKey(raised))
    return last === undefined || now - last >= alertEveryMillis
  }

  const alert: DecisionLog["Service"]["alert"] = (raised) => {
    const now = clock.currentTimeMillisUnsafe()
    if (!isDue(raised, now)) return Effect.void
    const key = alertKey(raised)
    if (alerted.size >= capacity) alerted.clear()
    alerted.set(key, now)
    return Effect.andThen(
      Alerts.log([raised]),
      Effect.catchCause(
        changes.publish(raised.organizationId, [Governance.alertRaised(names, now, raised)]),
        (cause) => Effect.logError("an alert could not be written", cause)
      )
    )
  }

  yield* Effect.forkScoped(
    Effect.forever(
      Effect.flatMap(Queue.takeBetween(queue, 1, batchSize), (batch) =>
        Effect.catchCause(send(batch), (cause) => Effect.logWarning("decisions were not told", cause))
      )
    )
  )

  return DecisionLog.of({
    note: (told) => {
      if (!Queue.offerUnsafe(queue, toFields(told, clock.currentTimeMillisUnsafe()))) dropped += 1
    },
    alert,
    isDue: (raised) => isDue(raised, clock.currentTimeMillisUnsafe()),
    dropped: () => dropped
  })
})

const alertKey = ({ organizationId, kind, subject }: Alerts.Alert): string =>
  `${organizationId}\0${kind}\0${subject}`

const toFields = (told: Told, now: number): Streams.Fields => {
  const { decision } = told
  const denial = decision.denial ?? decision.observed?.denial ?? null
  const subject = denial?.subjects[0] ?? decision.violations[0]?.subject ?? ""
  return Streams.toFields({
    event_id: Governance.uuidv7(now),
    event_type: "governance_decision",
    organization_id: told.organizationId,
    rule_id: subject,
    action: told.action,
    category: denial?.step ?? "policy",
    actor_id: told.actorId,
    actor_type: told.actorType,
    resource_id: told.resourceId,
    resource_type: told.resourceType,
    decision: decision.allowed ? "allow" : denial?.step === "dlp" ? "block" : "deny",
    reason: decision.reason,
    metadata: {
      decision_id: told.decisionId,
      observed: decision.observed !== null,
      violations: decision.violations.map(({ subject: id, name, level, blocks }) => ({
        id,
        name,
        level,
        blocks
      }))
    },
    timestamp: new Date(now).toISOString()
  })
}
