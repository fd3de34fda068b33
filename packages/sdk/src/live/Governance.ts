/** The work of `Governance`: judged, permitted, run, settled and told of. */
import { ActorId, ReservationId, ResourceId } from "@agion/domain"
import { PermissionCheck } from "@agion/policy/judgement"
import { Cause, type Context, Duration, Effect, Exit, Fiber, type Scope } from "effect"
import type { Decision } from "../Decision.ts"
import { CallTimedOut, type Denied, GovernanceUnavailable } from "../Denials.ts"
import { EventBuffer } from "../EventBuffer.ts"
import * as EventId from "../events/EventId.ts"
import { cleanJson } from "../events/Json.ts"
import { Governance, type GovernedCall, type Known, type TimeoutOf, type Work } from "../Governance.ts"
import {
  GovernanceHttp,
  type PlatformRefused,
  PlatformUnavailable,
  type ReserveAnswer
} from "../GovernanceHttp.ts"
import { callFault, invalid, missFault, usageFault } from "../Inputs.ts"
import { mostCounted, mostUsd } from "../internal/Amounts.ts"
import { behindAtMost, behindFor } from "../internal/CacheAsking.ts"
import { unsettled } from "../internal/CacheJudgement.ts"
import {
  type Call,
  costOf,
  type GovernedOptions,
  isOvertaken,
  judgeAgain,
  refusalOf,
  type Usage,
  unaskable
} from "../internal/Call.ts"
import {
  block,
  end,
  giveBack,
  type Held,
  type Permit,
  type Reporting,
  recordBefore,
  refused,
  release
} from "../internal/Outcome.ts"
import { checked } from "../internal/PriceCheck.ts"
import { PermissionCache } from "../PermissionCache.ts"
import { PolicyEngine } from "../PolicyEngine.ts"
import { Prices } from "../Prices.ts"
import { Settings } from "../Settings.ts"
import { Telemetry } from "../Telemetry.ts"
import { TrustTracker } from "../TrustTracker.ts"
import { decided, judgeTraced, spanned } from "../telemetry/Calls.ts"

/** Lets a part of an uninterruptible region be interrupted. */
type Restore = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>

interface Parts extends Reporting {
  readonly http: GovernanceHttp["Service"]
  readonly scope: Scope.Scope
}

const callOf = (parts: Parts, permit: Permit): GovernedCall => ({
  content: permit.call.content,
  arguments: permit.call.arguments,
  obligations: permit.call.obligations,
  decision: permit.decision,
  executionId: permit.call.executionId,
  report: (usage) => {
    permit.reported = addUsage(permit.reported, usage)
    note(parts, permit, usage)
  }
})

/** An amount that a program said; what is none counts as not said. */
const amount = (said: unknown, most = mostCounted): number | undefined =>
  typeof said === "number" && said >= 0 && said <= most ? said : undefined

const sum = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined ? b : b === undefined ? a : a + b

const isAmount = (said: unknown, most = mostCounted): boolean =>
  said === undefined || said === null || amount(said, most) !== undefined

const isCountOf = ({ inputTokens, outputTokens, tokens }: Usage): boolean =>
  amount(tokens) !== undefined || (isAmount(tokens) && isAmount(inputTokens) && isAmount(outputTokens))

/** Remembers which amounts are none, and says what is wrong with what was said. */
const note = (parts: Parts, permit: Permit, said: Usage | null): void => {
  if (said === null || said === undefined) return
  const fault = usageFault(said)
  if (fault === undefined) return
  permit.garbled = {
    tokens: permit.garbled?.tokens === true || !isCountOf(said),
    costUsd: permit.garbled?.costUsd === true || !isAmount(said.costUsd, mostUsd)
  }
  parts.onWarning(
    `what \`${permit.call.action}\` used was not said right, and the estimate stands for it: \`${fault.setting}\` ${fault.problem}`
  )
}

/** What was said so far and more; null: no amount was said, so the estimate stands (GOVERN-2). */
const addUsage = (before: Usage | null, more: Usage | null): Usage | null => {
  const input = amount(more?.inputTokens)
  const output = amount(more?.outputTokens)
  // Half a count is none, but adds to what was counted before.
  const isHalf = before?.tokens === undefined && more !== null && !isCountOf(more)
  const tokens = isHalf ? undefined : sum(before?.tokens, amount(more?.tokens) ?? sum(input, output))
  const inputTokens = sum(before?.inputTokens, input)
  const outputTokens = sum(before?.outputTokens, output)
  const costUsd = sum(before?.costUsd, amount(more?.costUsd, mostUsd))
  if (tokens === undefined && costUsd === undefined) return null
  return {
    ...(tokens === undefined ? {} : { tokens }),
    ...(inputTokens === undefined ? {} : { inputTokens }),
    ...(outputTokens === undefined ? {} : { outputTokens }),
    ...(costUsd === undefined ? {} : { costUsd })
  }
}

const refuse = (
  parts: Parts,
  call: Call,
  error: Denied,
  decision: Decision | null
): Effect.Effect<never, Denied> =>
  Effect.suspend(() => {
    decided(parts, call, decision, error)
    refused(parts, call, error, decision)
    return Effect.fail(error)
  })

/**
 * What the platform is told of a call. It takes no NUL and no half of a character, as a text has that was cut in the middle
 * of one: in their place stands U+FFFD.
 */
const sentOf = ({ sends }: Call) => (sends === undefined ? undefined : cleanJson(sends))

/** How long a reservation is held beyond a call's time-out, and for calls without one. */
const reservedFor = (call: Call): number => {
  const { timeout } = call.options
  const millis =
    timeout === undefined ? 600_000 : Duration.toMillis(Duration.fromInputUnsafe(timeout)) + 60_000
  return Math.min(86_400_000, Math.max(1000, Math.round(millis)))
}

/**
 * Reserves what the call will use; the answer is the check (LIMIT-6). One that a push made old is asked for anew, and one
 * that a push speaks against a little later; where one still does, nothing runs.
 */
const reserve = (
  parts: Parts,
  restore: Restore,
  call: Call,
  again = 1,
  waits = behindAtMost
): Effect.Effect<Permit, Denied> =>
  parts.cache.watching(call.input, (asked) => {
    const { settings } = parts
    const entry = parts.cache.heldUnsafe(call.input)
    const estimate = call.estimate ?? {}
    const sends = sentOf(call)
    const costUsd = costOf(parts, call.options, estimate, entry) ?? undefined
    // Of this message alone: another call of the same execution is charged for itself.
    const key = parts.newId()
    const lost: Held = { reservationId: null, key, tokens: estimate.tokens ?? 0, costUsd: costUsd ?? 0 }
    const asking = parts.http.reserve({
      organizationId: settings.organizationId,
      actorId: ActorId.make(settings.agentId),
      actorType: settings.actorType,
      resourceId: ResourceId.make(call.resource),
      permissionType: call.input.permissionType ?? "use",
      ...(sends === undefined ? {} : { context: sends }),
      fields: "entry",
      amounts: {
        requests: 1,
        ...(estimate.tokens === undefined ? {} : { tokens: estimate.tokens }),
        ...(costUsd === undefined ? {} : { costUsd })
      },
      ttlMs: reservedFor(call),
      idempotencyKey: key
    })
    return unabandoned(parts, restore, asking, call, key).pipe(
      Effect.matchEffect({
        onSuccess: (answer) => {
          const held = heldOf(answer, key)
          const decision = parts.cache.tookUnsafe(call.input, answer, asked)
          if (again > 0 && (asked.flight.tainted !== null || isOvertaken(parts, call)))
            return Effect.andThen(returned(parts, restore, held), anew(parts, restore, call, again - 1))
          if (asked.flight.contradicted !== true) return permitted(parts, call, decision, held)
          return waits > 0
            ? returned(parts, restore, held).pipe(
                Effect.andThen(restore(Effect.sleep(behindFor))),
                Effect.andThen(Effect.suspend(() => reserve(parts, restore, call, again, waits - 1)))
              )
            : unsettledCall(parts, restore, call, decision, held)
        },
        onFailure: (error) =>
          error instanceof PlatformUnavailable
            ? Effect.tapError(permitted(parts, call, parts.cache.outageUnsafe(call.input, true), lost), () =>
                Effect.sync(() => forget(parts, call, key, error))
              )
            : refuse(parts, call, unaskable(call, error), null)
      })
    )
  })

/** What pushes still speak against is given back, but where an organization only observes. */
const unsettledCall = (
  parts: Parts,
  restore: Restore,
  call: Call,
  allowed: Decision,
  held: Held | null
): Effect.Effect<Permit, Denied> => {
  const decision = unsettled(allowed)
  return decision.allowed
    ? permitted(parts, call, decision, held)
    : Effect.andThen(returned(parts, restore, held), permitted(parts, call, decision, null))
}

/** The answer was lost, and nothing will run: what the platform may hold is given back. An open breaker sent nothing. */
const forget = (parts: Parts, call: Call, key: string, error: PlatformUnavailable | null): void => {
  if (error?.kind === "breaker") return
  const permissionId = parts.cache.heldUnsafe(call.input)?.facts?.permissionId ?? null
  giveBack(parts, { reservationId: null, key }, permissionId)
}

/** A caller that goes away while the platform reserves, or an agent that closes, leaves nothing reserved behind. */
const unabandoned = (
  parts: Parts,
  restore: Restore,
  asking: Effect.Effect<ReserveAnswer, PlatformUnavailable | PlatformRefused>,
  call: Call,
  key: string
): Effect.Effect<ReserveAnswer, PlatformUnavailable | PlatformRefused> =>
  Effect.suspend(() => {
    let isAbandoned = false
    let isUndone = false
    let landed: Exit.Exit<ReserveAnswer, PlatformUnavailable | PlatformRefused> | undefined
    const undo = () => {
      if (landed === undefined || isUndone) return
      isUndone = true
      if (Exit.isSuccess(landed)) {
        const id = landed.value.result.reservation?.id
        if (id !== undefined) giveBack(parts, { reservationId: id, key }, null)
        return
      }
      const failed = Exit.findErrorOption(landed)
      if (failed._tag === "None") forget(parts, call, key, null)
      else if (failed.value instanceof PlatformUnavailable) forget(parts, call, key, failed.value)
    }
    const land = (exit: Exit.Exit<ReserveAnswer, PlatformUnavailable | PlatformRefused>) => {
      landed = exit
      // Without an error it was the scope that ended the question: nobody will run on its answer.
      const isEnded = Exit.isFailure(exit) && Exit.findErrorOption(exit)._tag === "None"
      if (isAbandoned || isEnded) undo()
    }
    // Also one that goes away once the answer is there, before it has heard of it.
    const leave = () => {
      isAbandoned = true
      undo()
    }
    return asking.pipe(
      Effect.onExit((exit) => Effect.sync(() => land(exit))),
      Effect.forkIn(parts.scope),
      Effect.flatMap((fiber) => Effect.onInterrupt(restore(Fiber.join(fiber)), () => Effect.sync(leave)))
    )
  })

const heldOf = ({ result: { reservation } }: ReserveAnswer, key: string): Held | null =>
  reservation === null
    ? null
    : {
        reservationId: reservation.id,
        key,
        tokens: reservation.amounts.tokens,
        costUsd: reservation.amounts.costUsd
      }

/** Judges and asks for a call anew, by what has changed. */
const anew = (parts: Parts, restore: Restore, call: Call, again: number): Effect.Effect<Permit, Denied> =>
  Effect.suspend(() => {
    const now = judgeAgain(parts, call)
    return now.refusal === null
      ? permission(parts, restore, now, again)
      : refuse(parts, now, now.refusal, null)
  })

/** Gives back at once what would stand in the way of asking anew; where that fails, as soon as it can be told. */
const returned = (parts: Parts, restore: Restore, held: Held | null): Effect.Effect<void> => {
  if (held === null || held.reservationId === null) return Effect.void
  const params = { id: ReservationId.make(held.reservationId) }
  return restore(parts.http.ask((api) => api.permissions.release({ params }))).pipe(
    Effect.onError(() => Effect.sync(() => giveBack(parts, held, null))),
    Effect.ignore
  )
}

/** A decision becomes a permit or a refusal. */
const permitted = (
  parts: Parts,
  call: Call,
  decision: Decision,
  held: Held | null
): Effect.Effect<Permit, Denied> => {
  if (!decision.allowed) return refuse(parts, call, refusalOf(call, decision), decision)
  if (
    (decision.mode === "stale" || decision.mode === "degraded") &&
    recordBefore(parts, call, decision) === "dropped"
  )
    return refuse(parts, call, unrecorded(call, decision), decision)
  return Effect.succeed(grant(parts, call, decision, held))
}

const grant = (parts: Parts, call: Call, decision: Decision, held: Held | null): Permit => {
  decided(parts, call, decision, null)
  return { call, decision, held, reported: null, garbled: null, started: false, ended: false }
}

const unrecorded = (call: Call, decision: Decision): Denied =>
  new GovernanceUnavailable({
    action: call.action,
    resource: call.resource,
    reason: "Platform unavailable: the decision could not be recorded",
    denial: null,
    decisionId: decision.decisionId,
    rule: "unrecorded"
  })

/** The agent, or its host, was closed: calls would run unseen. */
const isClosed = (parts: Parts): boolean => parts.scope.state._tag === "Closed"

const closed = (call: Call): Denied =>
  new GovernanceUnavailable({
    action: call.action,
    resource: call.resource,
    reason: "This agent is closed; connect again",
    denial: null,
    decisionId: "",
    rule: "closed"
  })

const isLimited = (parts: Parts, call: Call): boolean => {
  const constraints = parts.cache.heldUnsafe(call.input)?.facts?.constraints
  return constraints !== undefined && PermissionCheck.needsReservation(constraints)
}

/** Asks and reserves for a call that was judged; one that was refused is judged again by the organization's facts. */
const permit = (
  parts: Parts,
  restore: Restore,
  fiber: Fiber.Fiber<unknown, unknown>,
  call: Call
): Effect.Effect<Permit, Denied> => {
  const fault = missFault(call.resource, call.options)
  if (fault !== undefined) return Effect.die(invalid(fault))
  // Nothing keeps what it would tell.
  if (isClosed(parts)) return Effect.fail(closed(call))
  if (call.refusal === null) return permission(parts, restore, call)
  if (parts.cache.heldUnsafe(call.input)?.facts != null || parts.settings.enforcement === "observe")
    return refuse(parts, call, call.refusal, null)
  return Effect.flatMap(restore(meetOrganization(parts, call)), () => {
    const again = judgeTraced(fiber, parts, call.action, call.resource, {
      ...call.options,
      executionId: call.options.executionId ?? call.executionId
    })
    return again.refusal === null
      ? permission(parts, restore, again)
      : refuse(parts, again, again.refusal, null)
  })
}

/**
 * The permit of a call that memory allows and that holds nothing, without an effect: most calls end here. Anything
 * else is undefined, and counted by whoever decides it.
 */
const permitNow = (parts: Parts, call: Call): Permit | undefined => {
  if (
    call.refusal !== null ||
    call.platformOnly ||
    call.span !== null ||
    isClosed(parts) ||
    isLimited(parts, call)
  )
    return undefined
  const decision = parts.cache.hitJudgedUnsafe(call.input)
  return decision === undefined ? undefined : grant(parts, call, decision, null)
}

/** Whether the organization only observes comes with the first entry: nothing is refused here before (POLICY-8). */
const meetOrganization = (parts: Parts, call: Call): Effect.Effect<void> =>
  Effect.ignore(
    parts.cache.check({ resourceId: call.resource, permissionType: call.input.permissionType ?? "use" })
  )

const permission = (parts: Parts, restore: Restore, call: Call, again = 1): Effect.Effect<Permit, Denied> => {
  if (!parts.settings.governance || !isLimited(parts, call)) {
    const { input, platformOnly } = call
    const checked = restore(parts.cache.checkJudged(input, { sends: sentOf(call), platformOnly }))
    return Effect.matchEffect(checked, {
      onSuccess: (decision) => {
        const isAnswer = decision.allowed && decision.source !== "outage"
        if (isAnswer && again > 0 && isOvertaken(parts, call)) return anew(parts, restore, call, again - 1)
        // An answer that another call asked for says as little of the limits as one of its own.
        return isAnswer && isLimited(parts, call)
          ? reserve(parts, restore, call, again)
          : permitted(parts, call, decision, null)
      },
      onFailure: (error) => refuse(parts, call, unaskable(call, error), null)
    })
  }
  return reserve(parts, restore, call, again)
}

/** Runs the work of a permit and tells of its end; work that never started gives back what it held. */
const perform = <A, E, R>(
  parts: Parts,
  restore: Restore,
  granted: Permit,
  work: Work<A, E, R>,
  options: GovernedOptions<A>
): Effect.Effect<A, E | CallTimedOut, R> => {
  const effect = Effect.suspend(() => {
    granted.started = true
    return typeof work === "function" ? work(callOf(parts, granted)) : work
  })
  const { timeout } = options
  const timed: Effect.Effect<A, E | CallTimedOut, R> =
    timeout === undefined
      ? effect
      : Effect.timeoutOrElse(effect, {
          duration: timeout,
          orElse: () => Effect.fail(timedOut(granted.call, timeout))
        })
  return Effect.onExitPrimitive(restore(timed), (exit) => ending(parts, granted, exit, options))
}

/** Settles and tells at once, and leaves no effect to be run: it is on the way of every call. */
const ending = <A, E>(
  parts: Parts,
  granted: Permit,
  exit: Exit.Exit<A, E>,
  options: GovernedOptions<A>
): undefined => {
  if (granted.started)
    end(parts, granted, exit, Exit.isSuccess(exit) ? saidOf(parts, granted, exit.value, options) : null)
  else release(parts, granted)
}

/** What a call says that it used by its value; where `usage` throws it is charged by its estimate. */
const saidOf = <A>(parts: Parts, granted: Permit, value: A, options: GovernedOptions<A>): Usage | null => {
  try {
    const said = options.usage?.(value)
    if (said === undefined) return null
    note(parts, granted, said)
    return addUsage(granted.reported, said)
  } catch (error) {
    parts.onFault(error)
    granted.reported = null
    return null
  }
}

/** Ends an open call; one whose work never started gives back what it held. */
const over = (parts: Parts, granted: Permit, exit: Exit.Exit<unknown, unknown>): void => {
  if (granted.started) end(parts, granted, exit, granted.reported)
  else release(parts, granted)
}

const timedOut = (call: Call, timeout: Duration.Input): CallTimedOut =>
  new CallTimedOut({
    action: call.action,
    resource: call.resource,
    afterMs: Duration.toMillis(Duration.fromInputUnsafe(timeout))
  })

/** Says that the program's `usage` threw: the estimate stands for what it would have said. */
const faultLog = (context: Context.Context<never>) => (error: unknown) =>
  warn(context)("`usage` threw: the call is charged by its estimate", error)

const warn = (context: Context.Context<never>) => (message: string, thrown?: unknown) => {
  const causes = thrown === undefined ? [] : [Cause.die(thrown)]
  Effect.runForkWith(context)(Effect.logWarning(message, ...causes))
}

const noOptions: GovernedOptions<unknown> = {}

/** As the agent says, or its organization, of which the first entry tells. */
const isObserving = (parts: Parts, { input }: Call): boolean =>
  parts.settings.enforcement === "observe" ||
  parts.cache.heldUnsafe(input)?.facts?.actor.enforcement === "observe"

/** Most calls say no more than their action. */
const faultOf = (action: string, options: GovernedOptions<never>) =>
  typeof action === "string" &&
  action !== "" &&
  options.timeout === undefined &&
  options.context === undefined
    ? undefined
    : callFault(action, options)

/** Governed calls of one agent. */
export const make = Effect.gen(function* () {
  const clock = yield* Effect.clockWith(Effect.succeed)
  const wallNow = () => clock.currentTimeMillisUnsafe()
  const parts: Parts = {
    settings: yield* Settings,
    http: yield* GovernanceHttp,
    engine: yield* PolicyEngine,
    cache: yield* PermissionCache,
    trust: yield* TrustTracker,
    events: yield* EventBuffer,
    priceOf: checked(yield* Prices, warn(yield* Effect.context<never>())),
    scope: yield* Effect.scope,
    wallNow,
    newId: EventId.make(wallNow),
    violations: new Map(),
    onFault: faultLog(yield* Effect.context<never>()),
    onWarning: warn(yield* Effect.context<never>()),
    telemetry: yield* Telemetry.orSilent
  }
  const run =
    <A, O extends GovernedOptions<A>>(action: string, resource: string, options?: O & Known<O>) =>
    <E, R>(work: Work<A, E, R>): Effect.Effect<A, E | Denied | TimeoutOf<O>, R> => {
      const given: GovernedOptions<A> = options ?? noOptions
      const fault = faultOf(action, given)
      if (fault !== undefined) return Effect.die(invalid(fault))
      // Between the permit and the first step nothing may interrupt: a reservation would be left behind.
      const call = Effect.uninterruptibleMask((restore) =>
        Effect.withFiber((fiber) => {
          const judged = judgeTraced(fiber, parts, action, resource, given)
          const granted = permitNow(parts, judged)
          return granted !== undefined
            ? perform(parts, restore, granted, work, given)
            : Effect.flatMap(permit(parts, restore, fiber, judged), (later) =>
                perform(parts, restore, later, work, given)
              )
        })
      )
      return spanned(parts, "Governance.run", action, resource, given, call) as Effect.Effect<
        A,
        E | Denied | TimeoutOf<O>,
        R
      >
    }
  return Governance.of({
    run,
    open: (action, resource, options = noOptions) => {
      const fault = faultOf(action, options)
      if (fault !== undefined) return Effect.die(invalid(fault))
      return Effect.acquireRelease(
        spanned(
          parts,
          "Governance.open",
          action,
          resource,
          options,
          Effect.withFiber((fiber) =>
            permit(parts, Effect.interruptible, fiber, judgeTraced(fiber, parts, action, resource, options))
          )
        ),
        (granted) => Effect.sync(() => over(parts, granted, Exit.interrupt()))
      ).pipe(
        Effect.map((granted) => ({
          ...callOf(parts, granted),
          observing: isObserving(parts, granted.call),
          start: () => {
            granted.started = true
          },
          block: (error) => block(parts, granted, error),
          end: (exit) => over(parts, granted, exit)
        }))
      )
    }
  })
})
