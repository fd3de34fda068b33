/**
 * A governed call before it runs: what it says, what policies and DLP say of it here, and what the platform
 * must be told. Plain functions; `Governance` does the rest.
 */
import { type ContextFault, contextFault, type Denial, type PermissionType, type Wire } from "@agion/domain"
import type { Dlp, PolicySet } from "@agion/policy"
import type { PermissionCheck } from "@agion/policy/judgement"
import type { Duration, Tracer } from "effect"
import type { Decision } from "../Decision.ts"
import {
  ApprovalRequired,
  type Denied,
  GovernanceUnavailable,
  PermissionDenied,
  PolicyViolation
} from "../Denials.ts"
import type { CheckInput, PermissionCache } from "../PermissionCache.ts"
import { allHeld, type LocalVerdict, type PolicyEngine } from "../PolicyEngine.ts"
import type { Priced } from "../Prices.ts"
import type { SettingsShape } from "../Settings.ts"
import type { Telemetry } from "../Telemetry.ts"
import type { TrustTracker } from "../TrustTracker.ts"
import { bareFacts, bareUnheld, type CacheEntry, callOf, checkFacts } from "./CacheEntry.ts"
import { canonicalId } from "./CacheParts.ts"
import type { CheckedPriceOf } from "./PriceCheck.ts"

/** What a call used; what is left out was not said. */
export interface Usage {
  /** Default: `inputTokens` and `outputTokens` together, where one of them was said. */
  readonly tokens?: number
  readonly inputTokens?: number
  readonly outputTokens?: number
  /** US dollars. Absent: by `Prices`. */
  readonly costUsd?: number
}

/** What a program may say of a call. */
export interface GovernedOptions<A = never> {
  /** Default: `use`. */
  readonly permission?: PermissionType
  /** What the call sends: scanned by DLP, and visible to policies as `request.content`. */
  readonly content?: string
  /** Visible to policies as `request.arguments`, and scanned. */
  readonly arguments?: Wire.JsonObject
  /** Where the content comes from; a violation by what a user wrote costs no trust. Default: `agent`. */
  readonly origin?: "agent" | "user" | "tool"
  /** The tool's name; visible to policies as `request.tool`. */
  readonly tool?: string
  /** The model's name; visible to policies as `request.model`, and what `Prices` goes by. */
  readonly model?: string
  /** Further facts for policies, as `context.…`. */
  readonly context?: Wire.JsonObject
  /** Facts for policies, as `metadata.…`. */
  readonly metadata?: Wire.JsonObject
  /** What the call will use at most; reserved where the permission has limits. */
  readonly estimate?: Usage
  /**
   * What the call used, by what it answered. Where an amount is no number from 0 on, the estimate's stands for it, and
   * the log says so; without an amount the estimate stands.
   */
  readonly usage?: (value: A) => Usage | undefined
  /** The call is interrupted after this and counts as an exception (TRUST-5). */
  readonly timeout?: Duration.Input
  /**
   * What the call's events and the feedback on it name it by: 1 to 1,000 characters; another is refused. It is no
   * idempotency key: a call that names it again runs, reserves and is charged for itself. Default: a new UUIDv7.
   */
  readonly executionId?: string
}

/** The parts that every call reads. */
export interface CallParts {
  readonly settings: SettingsShape
  readonly engine: PolicyEngine["Service"]
  readonly cache: PermissionCache["Service"]
  readonly trust: TrustTracker["Service"]
  readonly priceOf: CheckedPriceOf
  readonly wallNow: () => number
  /** An id of now, or of a moment by `wallNow`. */
  readonly newId: (at?: number) => string
  readonly telemetry: Telemetry["Service"]
}

/** A call, judged here. */
export interface Call {
  readonly action: string
  readonly resource: string
  readonly options: GovernedOptions<never>
  /** What it will use at most, its tokens in one number; undefined: not said. */
  readonly estimate: Usage | undefined
  readonly input: CheckInput
  readonly executionId: string
  /** The content as it may go on. */
  readonly content: string
  readonly arguments: Wire.JsonObject
  /** Why it must not run; null: nothing local stands against it. */
  readonly refusal: Denied | null
  /** What was held against it and, where an organization only observes, would have refused it. */
  readonly violations: ReadonlyArray<PermissionCheck.Violation>
  /** Names of the policies that said something. */
  readonly policies: ReadonlyArray<string>
  /** What policies want redacted of it, beside what DLP redacts anyway. */
  readonly obligations: ReadonlyArray<PolicySet.Obligation>
  /** Local policies and DLP were overruled, because here is only observed. */
  readonly observed: boolean
  readonly sends: Wire.JsonObject | undefined
  readonly platformOnly: boolean
  /** The policy set by which it was judged: `PolicyEngine.generationUnsafe`. */
  readonly generation: number
  /** When it began, by the clock of `PermissionCache.nowUnsafe`. */
  readonly begunAt: number
  /** The span of the call; null: nobody looks. */
  span: Tracer.Span | null
}

const noArguments: Wire.JsonObject = {}
const noViolations: ReadonlyArray<PermissionCheck.Violation> = []
const noNames: ReadonlyArray<string> = []

const openData = (value: unknown): Priced["resourceData"] =>
  typeof value === "object" && value !== null ? { ...value } : undefined

/** US dollars of a usage: as said, else by price; undefined: none is known; null: the prices are at fault. */
export const costOf = (
  parts: CallParts,
  options: GovernedOptions<never>,
  usage: Usage,
  entry: CacheEntry | undefined
): number | undefined | null => {
  if (usage.costUsd !== undefined) return usage.costUsd
  if (usage.tokens === undefined) return undefined
  return parts.priceOf({
    tokens: usage.tokens,
    model: options.model,
    resourceData: openData(entry?.facts?.resource?.view["resource_data"])
  })
}

/** An estimate with its tokens in one whole number: programs divide characters, and what is reserved is whole. */
const estimateOf = (said: Usage | undefined): Usage | undefined => {
  if (said === undefined) return said
  const { inputTokens, outputTokens } = said
  const isParted = inputTokens !== undefined || outputTokens !== undefined
  const tokens = said.tokens ?? (isParted ? (inputTokens ?? 0) + (outputTokens ?? 0) : undefined)
  if (tokens === undefined || (tokens === said.tokens && Number.isInteger(tokens))) return said
  return { ...said, tokens: Math.ceil(tokens) }
}

/** The call in the words of the wire, without its content and arguments. */
const wordsOf = (
  action: string,
  options: GovernedOptions<never>,
  estimate: Usage | undefined,
  costUsd: number | undefined
): Record<string, Wire.JsonObject[string]> => {
  // Most calls say no more: a literal's shape outlives its objects, and so does what is compiled for it.
  const words: Record<string, Wire.JsonObject[string]> =
    options.context === undefined ? { action } : { ...options.context, action }
  if (options.origin !== undefined) words["origin"] = options.origin
  if (options.tool !== undefined) words["tool"] = options.tool
  if (options.model !== undefined) words["model"] = options.model
  if (estimate?.tokens !== undefined) words["request_tokens"] = estimate.tokens
  if (costUsd !== undefined) words["estimated_cost"] = costUsd
  return words
}

const selfOf = ({ settings, trust }: CallParts) => trust.actorUnsafe(settings.agentId, settings.actorType)

interface Scanned {
  readonly kinds: ReadonlyArray<string>
  readonly content: string
  readonly arguments: Wire.JsonObject
}

const notScanned: Scanned = { kinds: noNames, content: "", arguments: noArguments }

/** A call that brings what nobody could scan or limit. */
const malformed = (
  about: { readonly action: string; readonly resource: string },
  { name, expected }: ContextFault
): Denied =>
  new PermissionDenied({
    ...about,
    reason: `Invalid context: \`${name}\` must be ${expected}`,
    denial: {
      step: "permission",
      seen: null,
      needed: expected,
      retryAfterMs: null,
      remedy: "change_content",
      subjects: [name]
    },
    decisionId: ""
  })

/** An id that no record of the call could bear. */
const executionIdFault = (id: unknown): ContextFault | undefined =>
  id === undefined || (typeof id === "string" && id.length > 0 && id.length <= 1000)
    ? undefined
    : { name: "executionId", expected: "text of 1 to 1,000 characters" }

/** DLP over content and arguments; `kinds` are those that block. */
const scan = (dlp: Dlp.Dlp, options: GovernedOptions<never>): Scanned => {
  const content = options.content ?? ""
  if (content === "" && options.arguments === undefined) return notScanned
  const args = options.arguments ?? noArguments
  const text = content === "" ? undefined : dlp.scan(content)
  const values = options.arguments === undefined ? undefined : dlp.scanValue(args)
  const blocking = [...(text?.findings ?? []), ...(values?.findings ?? [])].filter(
    (finding) => finding.action === "block"
  )
  const truncated = values?.truncated === true ? ["arguments too large"] : noNames
  return {
    kinds: [...new Set([...blocking.map(({ kind }) => kind as string), ...truncated])],
    content: text === undefined || text.decision === "allow" ? content : dlp.redact(content, text.findings),
    arguments:
      values === undefined || values.decision === "allow" ? args : (dlp.redactValue(args) as Wire.JsonObject)
  }
}

/** A denial of a step that is decided here. */
const denialOf = (step: "policy" | "dlp", seen: string | null, subjects: ReadonlyArray<string>): Denial => ({
  step,
  seen,
  needed: null,
  retryAfterMs: null,
  // What a policy would allow only who wrote it knows.
  remedy: step === "dlp" ? "change_content" : null,
  subjects
})

const localRefusal = (
  about: { readonly action: string; readonly resource: string },
  local: LocalVerdict,
  kinds: ReadonlyArray<string>
): Denied | null => {
  const { decision, reasons } = local.verdict
  if (decision !== "deny" && decision !== "require_approval" && kinds.length === 0) return null
  const said = reasons.filter((reason) => reason.decision === decision)
  const subjects = said.map(({ id }) => String(id))
  const first = said[0]
  if (decision === "deny")
    return new PolicyViolation({
      ...about,
      reason: `Policy violation: ${first?.name ?? "unknown"}`,
      denial: denialOf("policy", first?.message ?? null, subjects),
      decisionId: "",
      subjects
    })
  if (kinds.length > 0)
    return new PolicyViolation({
      ...about,
      reason: `Content blocked: ${kinds.join(", ")}`,
      denial: denialOf("dlp", kinds.join(", "), kinds),
      decisionId: "",
      subjects: kinds
    })
  return new ApprovalRequired({
    ...about,
    reason: `Approval required: ${first?.name ?? "unknown"}`,
    denial: {
      ...denialOf("policy", first?.message ?? null, subjects),
      remedy: "request_approval",
      needed: "an approval"
    },
    decisionId: "",
    subjects
  })
}

const violationsOf = (
  local: LocalVerdict,
  kinds: ReadonlyArray<string>
): ReadonlyArray<PermissionCheck.Violation> => {
  if (local.verdict.reasons.length === 0 && kinds.length === 0) return noViolations
  const violations: Array<PermissionCheck.Violation> = []
  for (const { id, name, level, decision } of local.verdict.reasons)
    if (decision === "deny" || (decision === "warn" && level === "soft"))
      violations.push({ subject: String(id), name, level, blocks: decision === "deny" })
  for (const kind of kinds) violations.push({ subject: kind, name: kind, level: "hard", blocks: true })
  return violations
}

/** Judges a call by what is held here. Whatever is said of it names its resource as entries, pushes and policies do. */
export const judge = (
  parts: CallParts,
  action: string,
  resourceId: string,
  options: GovernedOptions<never>
): Call => {
  const { cache, engine, settings } = parts
  const begunAt = cache.nowUnsafe()
  const wallNow = parts.wallNow()
  const permission = options.permission ?? "use"
  const asked: CheckInput = { resourceId, permissionType: permission }
  const entry = cache.heldUnsafe(asked)
  const resource = entry?.resourceId ?? canonicalId(resourceId)
  const input = resource === resourceId ? asked : { ...asked, resourceId: resource }
  const held = entry?.facts ?? null
  const record = held === null ? cache.recordUnsafe(resource) : held.resource
  const estimate = estimateOf(options.estimate)
  const estimatedCost =
    estimate === undefined ? undefined : (costOf(parts, options, estimate, entry) ?? undefined)
  const words = wordsOf(action, options, estimate, estimatedCost)
  // Policies look at what the call brought, the platform is told what may leave.
  const full = withContent(words, options.content, options.arguments)
  const facts =
    entry === undefined || held === null
      ? bareFacts(selfOf(parts), callOf(permission, full), record, wallNow, settings.enforcement)
      : checkFacts(entry, held, callOf(permission, full), { now: begunAt, wallNow }, settings.enforcement)
  const unheld =
    held === null
      ? bareUnheld(selfOf(parts), record)
      : held.resource === null
        ? { ...allHeld, resource: true }
        : allHeld
  const local = engine.judgeUnsafe(facts, { resourceId: resource, metadata: options.metadata ?? {}, unheld })
  const idFault = executionIdFault(options.executionId)
  const fault =
    idFault ?? contextFault(options.metadata === undefined ? full : { ...full, metadata: options.metadata })
  const about = { action, resource }
  const scanned = fault === undefined ? scan(engine.dlpFor(local.obligations), options) : notScanned
  const refusal = fault === undefined ? localRefusal(about, local, scanned.kinds) : malformed(about, fault)
  const observing = facts.enforcement === "observe"
  const inScope = local.verdict.evaluated + local.deferred.length > 0
  const tells =
    held === null ||
    inScope ||
    estimatedCost !== undefined ||
    estimate !== undefined ||
    isUnsure(engine, entry, begunAt)
  return {
    action,
    resource,
    options,
    estimate,
    input: estimatedCost === undefined && estimate === undefined ? input : { ...input, context: words },
    executionId:
      idFault === undefined && options.executionId !== undefined ? options.executionId : parts.newId(wallNow),
    content: scanned.content,
    arguments: scanned.arguments,
    refusal: observing && idFault === undefined ? null : refusal,
    violations: violationsOf(local, scanned.kinds),
    policies: local.verdict.reasons.length === 0 ? noNames : local.verdict.reasons.map(({ name }) => name),
    obligations: local.obligations,
    observed: observing && idFault === undefined && refusal !== null,
    sends: tells ? withContent(words, scanned.content, scanned.arguments) : undefined,
    platformOnly: local.deferred.length > 0,
    generation: engine.generationUnsafe(),
    begunAt,
    span: null
  }
}

/**
 * Whether policies may have changed unheard: what the set in force says nothing of, the platform must see. Memory then
 * answers no call either, so that the platform is asked.
 */
const isUnsure = (engine: CallParts["engine"], entry: CacheEntry | undefined, now: number): boolean =>
  !engine.isCurrentUnsafe() ||
  (entry !== undefined && (!entry.allowed || now >= entry.organization.freshUntil))

/** Whether policies changed since a call was judged of which the platform saw no more than that it is made. */
export const isOvertaken = ({ engine }: CallParts, { generation, sends }: Call): boolean =>
  sends === undefined && (generation !== engine.generationUnsafe() || !engine.isCurrentUnsafe())

/** The call by what is held now. */
export const judgeAgain = (
  parts: CallParts,
  { action, executionId, options, resource, span }: Call
): Call => {
  const call = judge(parts, action, resource, { ...options, executionId })
  call.span = span
  return call
}

/** The words of a call with what it brings; the words themselves where it brings nothing. */
const withContent = (
  words: Readonly<Record<string, Wire.JsonObject[string]>>,
  content: string | undefined,
  args: Wire.JsonObject | undefined
): Readonly<Record<string, Wire.JsonObject[string]>> => {
  const hasContent = content !== undefined && content !== ""
  const hasArguments = args !== undefined && args !== noArguments
  if (!hasContent && !hasArguments) return words
  return { ...words, ...(hasContent ? { content } : {}), ...(hasArguments ? { arguments: args } : {}) }
}

/** A denial of the permission layer as its error. */
export const refusalOf = (call: Call, decision: Decision): Denied => {
  const { denial, reason, decisionId } = decision
  const about = { action: call.action, resource: call.resource, reason, denial, decisionId }
  const subjects = denial?.subjects ?? []
  if (decision.source === "outage" && denial?.step === "outage")
    return decision.rule === "known_denial" || decision.rule === "known_limit"
      ? new PermissionDenied(about)
      : new GovernanceUnavailable({ ...about, rule: decision.rule ?? "unknown" })
  switch (denial?.step) {
    case "dlp":
      return new PolicyViolation({ ...about, subjects })
    case "policy":
      return denial.remedy === "request_approval"
        ? new ApprovalRequired({ ...about, subjects })
        : new PolicyViolation({ ...about, subjects })
    default:
      return new PermissionDenied(about)
  }
}

/** The platform refuses to be asked: nothing can be decided. */
export const unaskable = (call: Call, error: Error): Denied =>
  new GovernanceUnavailable({
    action: call.action,
    resource: call.resource,
    reason: error.message,
    denial: null,
    decisionId: "",
    rule: "refused"
  })
