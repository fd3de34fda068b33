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
import { createHmac, randomBytes } from "node:crypto"
import { Dlp, type PermissionCheck, PolicyFacts, PolicySet } from "@agion/policy/judgement"
import { Clock, Context, Effect, Exit, Layer, PubSub, Stream } from "effect"
import { Settings, type SettingsShape } from "./Settings.ts"
import { Telemetry } from "./Telemetry.ts"
import { within } from "./telemetry/Spans.ts"

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
    Layer.effect(PolicyEngine, make(options))

  /** With a set that the program brings, version 0; what does not compile is refused. Leave `PolicySync` out. */
  static readonly layerStatic = (
    policies: ReadonlyArray<PolicySet.Policy>,
    options: Dlp.Options = {}
  ): Layer.Layer<PolicyEngine, PolicySet.PolicyCompileErrors, Settings> =>
    Layer.effect(PolicyEngine, makeStatic(policies, options))

  /**
   * `check` decides and tells, and allows everything (POLICY-8). Loud. So does `layer` where the settings say
   * `observe`; governed calls go by the settings alone: `AgionSdk.layerObserve`.
   */
  static readonly layerObserve = (options: Dlp.Options = {}): Layer.Layer<PolicyEngine, never, Settings> =>
    Layer.effect(PolicyEngine, makeObserve(options))
}

/** Everything came with an entry. */
export const allHeld: Unheld = { actor: false, resource: false, usage: false, trust: false }

const trustFacts = ["actor.trust_score", "actor.tier"]
const partOf = (prefix: string) => PolicySet.platformFacts.filter((fact) => fact.startsWith(prefix))
const actorFacts = partOf("actor.").filter((fact) => !trustFacts.includes(fact))
const resourceFactNames = partOf("resource.")
/** What no answer brings: what the platform alone sees of a call. */
const neverHeld = ["context.client_ip", "context.environment"]
const contextFacts = partOf("context.").filter((fact) => !neverHeld.includes(fact))

/** The paths of what is not held. */
const unheldFacts = (unheld: Unheld): ReadonlyArray<string> => [
  ...(unheld.trust ? trustFacts : []),
  ...(unheld.actor ? actorFacts : []),
  ...(unheld.resource ? resourceFactNames : []),
  ...(unheld.usage ? contextFacts : [])
]

const keyOf = (unheld: Unheld): number =>
  (unheld.actor ? 1 : 0) | (unheld.resource ? 2 : 0) | (unheld.usage ? 4 : 0) | (unheld.trust ? 8 : 0)

const noNames: ReadonlyArray<string> = []
const noObligations: ReadonlyArray<PolicySet.Obligation> = []
const noVerdict: LocalVerdict = {
  verdict: { decision: "allow", reasons: [], evaluated: 0 },
  deferred: noNames,
  obligations: noObligations
}

/** Options with pseudonyms that hold as long as this process lives (DLP-4). */
const pseudonymous = (options: Dlp.Options): Dlp.Options => {
  const secret = randomBytes(32)
  return { keyedHash: (value) => createHmac("sha256", secret).update(value).digest("hex"), ...options }
}

/** DLP as configured, and with more kinds redacted; what blocks goes on blocking. */
const dlpsOf = (options: Dlp.Options) => {
  const dlp = Dlp.make(options)
  const hides = new Set(
    dlp.detectors.flatMap(({ action, kind }) => (action === "block" || action === "redact" ? kind : []))
  )
  const more = new Map<string, Dlp.Dlp>()
  const dlpFor = (obligations: ReadonlyArray<PolicySet.Obligation>): Dlp.Dlp => {
    const kinds = new Set(obligations.flatMap(({ redact }) => redact.filter((kind) => !hides.has(kind))))
    if (kinds.size === 0) return dlp
    const key = [...kinds].sort().join()
    const made =
      more.get(key) ??
      Dlp.make({
        ...options,
        kinds: { ...options.kinds, ...Object.fromEntries([...kinds].map((kind) => [kind, "redact"])) }
      })
    more.set(key, made)
    return made
  }
  return { dlp, dlpFor }
}

/** The words of the wire for what a query says. */
const contextOf = (query: PolicyQuery): PermissionCheck.View => ({
  ...query.context,
  action: query.action,
  ...(query.content === undefined ? {} : { content: query.content }),
  ...(query.origin === undefined ? {} : { origin: query.origin }),
  ...(query.tool === undefined ? {} : { tool: query.tool }),
  ...(query.model === undefined ? {} : { model: query.model }),
  ...(query.arguments === undefined ? {} : { arguments: query.arguments })
})

const factsOf = (
  query: PolicyQuery,
  agentId: string,
  agentType: string,
  now: number
): PermissionCheck.Facts => ({
  now,
  timeZone: "UTC",
  enforcement: "enforce",
  actor: {
    id: agentId,
    type: agentType,
    suspended: false,
    trustScore: typeof query.actor?.["trust_score"] === "number" ? query.actor["trust_score"] : 0,
    view: query.actor ?? {}
  },
  resource: null,
  permission: null,
  usage: {
    windowRequests: 0,
    dayRequests: 0,
    dayTokens: 0,
    dayCostMicroUsd: 0,
    actorRequestsToday: 0,
    actorTokensToday: 0,
    actorCostUsdToday: 0
  },
  call: {
    permissionType: query.action,
    requests: 1,
    tokens: query.tokens ?? null,
    costMicroUsd: query.costUsd === undefined ? null : Math.round(query.costUsd * 1e6),
    context: contextOf(query)
  }
})

const unheldOf = (query: PolicyQuery): Unheld => ({
  actor: query.actor === undefined,
  resource: query.resource === undefined,
  usage: true,
  trust: query.actor?.["trust_score"] === undefined
})

const judgementOf = (dlp: Dlp.Dlp, query: PolicyQuery, local: LocalVerdict): PolicyJudgement => {
  const content = query.content ?? ""
  const scanned = dlp.scan(content)
  const scannedArguments = query.arguments === undefined ? undefined : dlp.scanValue(query.arguments)
  const blocked = scanned.decision === "block" || scannedArguments?.decision === "block"
  const findings = [...scanned.findings, ...(scannedArguments?.findings ?? [])]
  const kinds = [...new Set(findings.filter((finding) => finding.action === "block").map(({ kind }) => kind))]
  const { decision, reasons, evaluated } = local.verdict
  const denied = decision === "deny" || decision === "require_approval"
  return {
    allowed: !blocked && !denied,
    observed: false,
    decision: decision === "deny" ? "deny" : blocked ? "block" : decision,
    reasons: [
      ...reasons.filter((reason) => reason.decision === decision && denied).map(({ name }) => name),
      ...(blocked ? [`Content blocked: ${kinds.join(", ")}`] : [])
    ],
    warnings: reasons
      .filter((reason) => reason.decision === "warn")
      .map(({ name, message }) => `${name}: ${message}`),
    content: scanned.decision === "allow" ? content : dlp.redact(content, scanned.findings),
    obligations: local.obligations,
    findings,
    deferred: local.deferred,
    policiesEvaluated: evaluated
  }
}

const make = Effect.fnUntraced(function* (options: Dlp.Options) {
  const settings = yield* Settings
  const { sampling } = yield* Telemetry.orSilent
  const { dlp, dlpFor } = dlpsOf(pseudonymous(options))
  const changes = yield* PubSub.sliding<PolicyChange>(64)
  let active: ActiveSet | null = null
  let generation = 0
  /** Facts that the set in force reads and nobody here can hold. A set that the program brings is left to nobody. */
  let missing: ReadonlyArray<string> = noNames
  const masks = new Map<number, PolicySet.Unheld>()

  const maskOf = (set: PolicySet.PolicySet, unheld: Unheld): PolicySet.Unheld | undefined => {
    const key = keyOf(unheld)
    if (key === 0 && missing.length === 0) return undefined
    let mask = masks.get(key)
    if (mask === undefined) {
      mask = set.unheld([...unheldFacts(unheld), ...missing])
      masks.set(key, mask)
    }
    return mask
  }
  const evaluate = (input: PolicySet.PolicyInput, unheld: Unheld): LocalVerdict => {
    if (active === null || active.set.size === 0) return noVerdict
    const verdict = active.set.evaluate(input, { unheld: maskOf(active.set, unheld) })
    const { deferred } = verdict
    if (verdict.evaluated === 0 && deferred.length === 0) return noVerdict
    const later = active.set.obligations(deferred)
    return {
      verdict: PolicyFacts.verdictOf(verdict),
      deferred: deferred.length === 0 ? noNames : deferred.map(({ name }) => name),
      obligations: later.length === 0 ? verdict.obligations : [...verdict.obligations, ...later]
    }
  }
  const shared: Omit<PolicyEngine["Service"], "check" | "explain" | "forAgent"> = {
    changes: Stream.fromPubSub(changes),
    version: Effect.sync(() => active?.version ?? null),
    dlp,
    dlpFor,
    generationUnsafe: () => generation,
    swapUnsafe: (next, at) => {
      const previousVersion = active?.version ?? null
      masks.clear()
      active = next
      missing =
        next.version > 0 && next.set.unheld(neverHeld).mask.some((at) => at !== 0) ? neverHeld : noNames
      generation++
      PubSub.publishUnsafe(changes, { version: next.version, previousVersion, policies: next.set.size, at })
    },
    judgeUnsafe: (facts, about) =>
      active === null || active.set.size === 0
        ? noVerdict
        : evaluate(PolicyFacts.policyInput(facts, about.resourceId, about.metadata), about.unheld)
  }
  const judged = (agent: SettingsShape, query: PolicyQuery) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      const local = evaluate(inputOf(agent, query, now), unheldOf(query))
      return judgementOf(dlpFor(local.obligations), query, local)
    })
  const explained = (agent: SettingsShape, query: PolicyQuery) =>
    Effect.map(
      Clock.currentTimeMillis,
      (now) =>
        active?.set.explain(inputOf(agent, query, now), { unheld: maskOf(active.set, unheldOf(query)) }) ?? {
          policies: []
        }
    )
  const forAgent: PolicyEngine["Service"]["forAgent"] = (agent) => {
    const engine = PolicyEngine.of({
      ...shared,
      check: (query) => within(sampling, "PolicyEngine.check", judged(agent, query), { told: toldOf }),
      explain: (query) => explained(agent, query),
      forAgent
    })
    return agent.enforcement === "observe" ? observing(engine) : engine
  }
  return forAgent(settings)
})

const inputOf = (agent: SettingsShape, query: PolicyQuery, now: number): PolicySet.PolicyInput => {
  const facts = factsOf(query, agent.agentId, agent.actorType, now)
  const input = PolicyFacts.policyInput(facts, "", query.metadata ?? {})
  return query.resource === undefined ? input : { ...input, resource: query.resource }
}

/** What a span says of a judgement. */
const toldOf = (exit: Exit.Exit<PolicyJudgement>) =>
  Exit.isFailure(exit)
    ? {}
    : {
        "agion.decision.outcome": exit.value.decision,
        "agion.policy.evaluated": exit.value.policiesEvaluated,
        "agion.policy.deferred": exit.value.deferred.length
      }

/** Nothing is denied, and the judgement says what would have been; what would block is redacted already. */
const observing = (engine: PolicyEngine["Service"]): PolicyEngine["Service"] => ({
  ...engine,
  check: (query) =>
    Effect.map(engine.check(query), (judgement) =>
      judgement.allowed ? judgement : { ...judgement, allowed: true, observed: true }
    )
})

const makeObserve = Effect.fnUntraced(function* (options: Dlp.Options) {
  yield* Effect.logWarning("the policy engine only observes: no check denies")
  return observing(yield* make(options))
})

const makeStatic = Effect.fnUntraced(function* (
  policies: ReadonlyArray<PolicySet.Policy>,
  options: Dlp.Options
) {
  const set = yield* PolicySet.compile(policies)
  const engine = yield* make(options)
  engine.swapUnsafe({ set, version: 0, digest: "" }, yield* Clock.currentTimeMillis)
  return engine
})
