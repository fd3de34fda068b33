/**
 * The governed call: judged here, permitted by the platform, run, settled and told of (GOVERN-1 to GOVERN-6).
 *
 * ```ts
 * const answer = yield* governed("chat", modelId, { content: prompt, origin: "user" })((call) =>
 *   askModel(call.content)
 * )
 * ```
 *
 * DLP and the policies whose facts are held come first, then the permission; where it has limits, amounts are
 * reserved at the platform. Every end settles once and is told once: a success earns trust, a typed failure and
 * an exception cost some, an interruption nothing (TRUST-5). Denials are typed errors; `denialsAsValues` makes
 * values of them. Usage and events leave off the caller's path.
 *
 * **Gotchas**: content is scanned only when it is named in the options. What the call answers is scanned only
 * when it is a stream.
 */

import type { Wire } from "@agion/domain"
import type { PolicySet } from "@agion/policy"
import { Context, type Duration, Effect, type Exit, Layer, type Scope } from "effect"
import type { Decision } from "./Decision.ts"
import type { CallTimedOut, Denied, PolicyViolation } from "./Denials.ts"
import type { EventBuffer } from "./EventBuffer.ts"
import type { GovernanceHttp } from "./GovernanceHttp.ts"
import type { GovernedOptions, Usage } from "./internal/Call.ts"
import { live } from "./internal/Later.ts"
import type { PermissionCache } from "./PermissionCache.ts"
import type { PolicyEngine } from "./PolicyEngine.ts"
import type { Settings } from "./Settings.ts"
import type { TrustTracker } from "./TrustTracker.ts"

export type { GovernedOptions, Usage } from "./internal/Call.ts"

/** What a call knows of itself while it runs. */
export interface GovernedCall {
  /** The content as it may go on: redacted where DLP or a policy says so. */
  readonly content: string
  /** The arguments as they may go on. */
  readonly arguments: Wire.JsonObject
  /** What policies want redacted: content, arguments and a stream's text are. */
  readonly obligations: ReadonlyArray<PolicySet.Obligation>
  readonly decision: Decision
  /** What its events and the feedback on it name it by. */
  readonly executionId: string
  /**
   * Tells what was used so far; each call adds. An amount that is no number from 0 on is not added, and where nothing
   * else was said of it the estimate's stands for it; the log says so.
   */
  readonly report: (usage: Usage) => void
}

/** What is governed: an effect, or a function that is given what the call knows. */
export type Work<A, E, R> = Effect.Effect<A, E, R> | ((call: GovernedCall) => Effect.Effect<A, E, R>)

/** The error of a time-out, where one was asked for. */
export type TimeoutOf<O> = O extends { readonly timeout: Duration.Input } ? CallTimedOut : never

/** Takes no option that there is none of: content under a misspelt name would not be scanned. */
export type Known<O> = { readonly [name in Exclude<keyof O, keyof GovernedOptions<never>>]: never }

/** Governed calls. */
export class Governance extends Context.Service<
  Governance,
  {
    /** Runs an effect as a governed call. */
    readonly run: <A, O extends GovernedOptions<A> = GovernedOptions<A>>(
      action: string,
      resource: string,
      options?: O & Known<O>
    ) => <E, R>(work: Work<A, E, R>) => Effect.Effect<A, E | Denied | TimeoutOf<O>, R>
    /**
     * Opens a call whose end comes later, such as a stream's: permitted now, ended by `end`. When the scope
     * closes before, what has started is charged by its estimate and what has not is given back.
     */
    readonly open: (
      action: string,
      resource: string,
      options?: GovernedOptions<never>
    ) => Effect.Effect<OpenCall, Denied, Scope.Scope>
  }
>()("@agion/sdk/Governance") {
  /** Over the engine, the cache and the buffer that there are. */
  static readonly layer: Layer.Layer<
    Governance,
    never,
    Settings | GovernanceHttp | PolicyEngine | PermissionCache | TrustTracker | EventBuffer
  > = Layer.suspend(() => Layer.effect(Governance, Governance.make))

  /** What the layer holds, for parts that are put together without layers. */
  static readonly make: Effect.Effect<
    Governance["Service"],
    never,
    Settings | GovernanceHttp | PolicyEngine | PermissionCache | TrustTracker | EventBuffer | Scope.Scope
  > = Effect.flatMap(live, ({ Governance }) => Governance.make)
}

/** A call that is under way. */
export interface OpenCall extends GovernedCall {
  /** Here is only observed: what would block is redacted and goes on (POLICY-8). */
  readonly observing: boolean
  /** Its work has begun. */
  readonly start: () => void
  /** DLP blocked what it gave: its end is a violation (TRUST-5), and what was not reported is charged by the estimate. */
  readonly block: (error: PolicyViolation) => void
  /** Its work has ended so; nothing after the first `end` or `block` does anything. */
  readonly end: (exit: Exit.Exit<unknown, unknown>) => void
}
