/**
 * What policies and DLP say of a call, in this process and in microseconds.
 *
 * ```ts
 * const policies = yield* PolicyEngine
 * const judgement = yield* policies.check({ action: "chat", content: prompt, origin: "user" })
 * ```
 *
 * The set is `PolicySync`'s to bring; the detectors of DLP are there before it, and always (DLP-1). A policy
 * that reads a fact which only the platform holds is not evaluated here but listed as `deferred` (GOVERN-8);
 * what such a policy wants redacted is redacted all the same.
 *
 * **Gotchas**: `check` changes nothing and reports nothing; `governed` does.
 */
import type { Dlp, PermissionCheck, PolicySet } from "@agion/policy"
import { Context, Effect, Layer, type Stream } from "effect"
import { live } from "./internal/Later.ts"
import type { Settings, SettingsShape } from "./Settings.ts"

/** A set of policies in force. */
export interface ActiveSet {
  readonly set: PolicySet.PolicySet
  readonly version: number
  readonly digest: string
}

/** Another set is in force. */
export interface PolicyChange {
  readonly version: number
  readonly previousVersion: number | null
  /** How many policies are evaluated when they apply. */
  readonly policies: number
  /** Epoch milliseconds. */
  readonly at: number
}

/** A call as policies look at it; what is left out is not there. */
export interface PolicyQuery {
  readonly action: string
  readonly content?: string
  readonly arguments?: PermissionCheck.View
  readonly origin?: "agent" | "user" | "tool"
  readonly tool?: string
  readonly model?: string
  readonly tokens?: number
  readonly costUsd?: number
  readonly context?: PermissionCheck.View
  readonly metadata?: PermissionCheck.View
  /** The resource's fields as policies see them, snake_case; absent: policies that read them are deferred. */
  readonly resource?: PermissionCheck.View
  /** The actor's fields beside its id, snake_case; absent: policies that read them are deferred. */
  readonly actor?: PermissionCheck.View
}

/** What policies and DLP say. */
export interface PolicyJudgement {
  readonly allowed: boolean
  /** It is allowed only because here is observed. */
  readonly observed: boolean
  readonly decision: PolicySet.Decision | "block"
  /** Why, the strongest first; empty when allowed without a word. */
  readonly reasons: ReadonlyArray<string>
  readonly warnings: ReadonlyArray<string>
  /** The content as it may go on: redacted where DLP or a policy says so. */
  readonly content: string
  /** What policies want redacted; `content` is. */
  readonly obligations: ReadonlyArray<PolicySet.Obligation>
  readonly findings: ReadonlyArray<Dlp.Finding>
  /** Policies that only the platform can evaluate. */
  readonly deferred: ReadonlyArray<string>
  readonly policiesEvaluated: number
}

/** What is not known of a call here. */
export interface Unheld {
  readonly actor: boolean
  readonly resource: boolean
  readonly usage: boolean
  readonly trust: boolean
}

/** What local policies say of a call. */
export interface LocalVerdict {
  readonly verdict: PermissionCheck.PolicyVerdict
  readonly deferred: ReadonlyArray<string>
  /** Of the policies that decided something and of those that are deferred. */
  readonly obligations: ReadonlyArray<PolicySet.Obligation>
}

/** What `PolicyEngine` does. */
export interface PolicyEngineShape {
  /** Decides a question by local policies and DLP alone; a denial is an answer. */
  readonly check: (query: PolicyQuery) => Effect.Effect<PolicyJudgement>
  /** Clause by clause, why the policies that apply decide as they do. */
  readonly explain: (query: PolicyQuery) => Effect.Effect<PolicySet.Explanation>
  /** Every swap from now on. */
  readonly changes: Stream.Stream<PolicyChange>
  /** The version of the set in force; null: none has arrived. */
  readonly version: Effect.Effect<number | null>
  /** The detectors in force. */
  readonly dlp: Dlp.Dlp
  /** DLP that redacts what these want, too; `dlp` itself where that does so anyway. Never weaker than `dlp`. */
  readonly dlpFor: (obligations: ReadonlyArray<PolicySet.Obligation>) => Dlp.Dlp
  /** Rises with each swap; 0: no set has arrived. */
  readonly generationUnsafe: () => number
  /**
   * The set in force is what the platform has, as far as is known here. While it is not, what policies would say of a
   * call is the platform's to say; with the platform away the set in force goes on deciding.
   */
  readonly isCurrentUnsafe: () => boolean
  /** Says whether the platform may have another set than the one in force. */
  readonly doubtUnsafe: (isDoubted: boolean) => void
  /** The same set and detectors, asked about the calls of another agent of the organization. */
  readonly forAgent: (agent: SettingsShape) => PolicyEngineShape
  /** Puts a set in force, at once and whole (POLICY-7). */
  readonly swapUnsafe: (next: ActiveSet, at: number) => void
  /** Decides a governed call; what needs facts that are not held is `deferred` to the platform (GOVERN-8). */
  readonly judgeUnsafe: (
    facts: PermissionCheck.Facts,
    about: { readonly resourceId: string; readonly metadata: PermissionCheck.View; readonly unheld: Unheld }
  ) => LocalVerdict
}

/** Policies and DLP. */
export class PolicyEngine extends Context.Service<PolicyEngine, PolicyEngineShape>()(
  "@agion/sdk/PolicyEngine"
) {
  /** With DLP alone until a set is swapped in, which `PolicySync` does. */
  static readonly layer = (options: Dlp.Options = {}): Layer.Layer<PolicyEngine, never, Settings> =>
    Layer.effect(
      PolicyEngine,
      Effect.flatMap(live, ({ PolicyEngine }) => PolicyEngine.make(options))
    )

  /** With a set that the program brings, version 0; what does not compile is refused. Leave `PolicySync` out. */
  static readonly layerStatic = (
    policies: ReadonlyArray<PolicySet.Policy>,
    options: Dlp.Options = {}
  ): Layer.Layer<PolicyEngine, PolicySet.PolicyCompileErrors, Settings> =>
    Layer.effect(
      PolicyEngine,
      Effect.flatMap(live, ({ PolicyEngine }) => PolicyEngine.makeStatic(policies, options))
    )

  /**
   * `check` decides and tells, and allows everything (POLICY-8). Loud. So does `layer` where the settings say
   * `observe`; governed calls go by the settings alone: `AgionSdk.layerObserve`.
   */
  static readonly layerObserve = (options: Dlp.Options = {}): Layer.Layer<PolicyEngine, never, Settings> =>
    Layer.effect(
      PolicyEngine,
      Effect.flatMap(live, ({ PolicyEngine }) => PolicyEngine.makeObserve(options))
    )
}

/** Everything came with an entry. */
export const allHeld: Unheld = { actor: false, resource: false, usage: false, trust: false }
