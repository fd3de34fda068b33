/** The work of `PolicyEngine`: one set of policies and its detectors, for every agent of an organization. */
import { createHmac, randomBytes } from "node:crypto"
import { Dlp, PermissionCheck, PolicyFacts, PolicySet } from "@agion/policy/judgement"
import { Clock, Effect, Exit, PubSub, Stream } from "effect"
import { canonicalId } from "../internal/CacheParts.ts"
import { given } from "../internal/Given.ts"
import {
  type ActiveSet,
  type LocalVerdict,
  type PolicyChange,
  PolicyEngine,
  type PolicyJudgement,
  type PolicyQuery,
  type Unheld
} from "../PolicyEngine.ts"
import { Settings, type SettingsShape } from "../Settings.ts"
import { Telemetry } from "../Telemetry.ts"
import { within } from "../telemetry/Spans.ts"

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
  return { keyedHash: (value) => createHmac("sha256", secret).update(value).digest("hex"), ...given(options) }
}

/** DLP as configured, and with more kinds redacted; what blocks goes on blocking. */
const dlpsOf = (options: Dlp.Options) => {
  const dlp = Dlp.make(options)
  const hides = new Set(
    dlp.detectors.flatMap(({ action, kind }) => (action === "block" || action === "redact" ? kind : []))
  )
  const more = new Map<string, Dlp.Dlp>()
  const dlpFor = (obligations: ReadonlyArray<PolicySet.Obligation>): Dlp.Dlp => {
    if (obligations.length === 0) return dlp
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
  usage: PermissionCheck.noUsage,
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

/** An engine whose set somebody brings. */
export const make = Effect.fnUntraced(function* (options: Dlp.Options) {
  const settings = yield* Settings
  const { sampling } = yield* Telemetry.orSilent
  const { dlp, dlpFor } = dlpsOf(pseudonymous(options))
  const changes = yield* PubSub.sliding<PolicyChange>(64)
  let active: ActiveSet | null = null
  let generation = 0
  let isDoubted = false
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
    isCurrentUnsafe: () => generation > 0 && !isDoubted,
    doubtUnsafe: (doubted) => {
      isDoubted = doubted
    },
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
  return query.resource === undefined ? input : { ...input, resource: named(query.resource) }
}

/** With its id as the platform spells it. */
const named = (resource: PermissionCheck.View): PermissionCheck.View => {
  const { id } = resource
  return typeof id === "string" ? { ...resource, id: canonicalId(id) } : resource
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

/** An engine that decides and denies nothing. */
export const makeObserve = Effect.fnUntraced(function* (options: Dlp.Options) {
  yield* Effect.logWarning("the policy engine only observes: no check denies")
  return observing(yield* make(options))
})

/** An engine with the program's own set. */
export const makeStatic = Effect.fnUntraced(function* (
  policies: ReadonlyArray<PolicySet.Policy>,
  options: Dlp.Options
) {
  const set = yield* PolicySet.compile(policies)
  const engine = yield* make(options)
  engine.swapUnsafe({ set, version: 0, digest: "" }, yield* Clock.currentTimeMillis)
  return engine
})
