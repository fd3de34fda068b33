/**
 * Why a governed call did not run: four typed errors with one shape, or one value that a model can read.
 *
 * ```ts
 * yield* call.pipe(Effect.catchTag("PermissionDenied", (denied) => Effect.logWarning(denied.message)))
 * const answer = yield* denialsAsValues(call)   // the answer, or { denied: true, message, … }
 * ```
 */
import { Denial } from "@agion/domain/denial"
import { Effect, Schema } from "effect"

const DenialSchema: Schema.Codec<typeof Denial.Type, typeof Denial.Encoded> = Denial

const fields = {
  action: Schema.String,
  /** The resource's id. */
  resource: Schema.String,
  /** The contract's reason. */
  reason: Schema.String,
  /** The step that denied, what was seen and needed, and what would allow it; null: not said. */
  denial: Schema.NullOr(DenialSchema),
  /** The platform's decision; empty when it never decided. */
  decisionId: Schema.String
}

interface Refused {
  readonly action: string
  readonly resource: string
  readonly reason: string
  readonly denial: typeof Denial.Type | null
}

const remedies: { readonly [remedy: string]: string } = {
  request_approval: "ask for a permission, or for an approval of this call",
  smaller_request: "ask for less",
  more_trust: "earn more trust, or use another resource",
  another_resource: "use another resource",
  wait: "wait and ask again",
  change_content: "take it out of the content",
  operator: "an operator must lift it"
}

const advice = (denial: typeof Denial.Type | null): string => {
  if (denial === null) return ""
  const remedy = denial.remedy === null ? undefined : remedies[denial.remedy]
  const wait = denial.retryAfterMs === null ? undefined : `possible again in ${seconds(denial.retryAfterMs)}`
  const seen = denial.seen === null || denial.step === "outage" ? undefined : `seen: ${denial.seen}`
  const needed = denial.needed === null || denial.step === "outage" ? undefined : `needed: ${denial.needed}`
  const facts = [seen, needed].filter((part) => part !== undefined).join(", ")
  const next = [remedy, wait].filter((part) => part !== undefined).join("; ")
  return `${facts === "" ? "" : ` (${facts})`}${next === "" ? "" : `; ${next}`}`
}

const seconds = (millis: number): string =>
  millis < 1000 ? `${Math.ceil(millis)} ms` : `${Math.ceil(millis / 1000)} s`

const told = (error: Refused): string =>
  `\`${error.action}\` on \`${error.resource}\` was denied: ${error.reason}${advice(error.denial)}`

/** A hard or critical policy, or DLP, forbids the call. */
export class PolicyViolation extends Schema.TaggedError<PolicyViolation>()("PolicyViolation", {
  ...fields,
  /** The policies, or the kinds of content. */
  subjects: Schema.Array(Schema.String)
}) {
  readonly code = "policy_violation"
  override get message() {
    return told(this)
  }
}

/** There is no permission for it, or a limit, the hours or trust stand against it. */
export class PermissionDenied extends Schema.TaggedError<PermissionDenied>()("PermissionDenied", fields) {
  readonly code = "permission_denied"
  override get message() {
    return told(this)
  }
}

/** A policy wants a person to approve this call. */
export class ApprovalRequired extends Schema.TaggedError<ApprovalRequired>()("ApprovalRequired", {
  ...fields,
  /** The policies that want it. */
  subjects: Schema.Array(Schema.String)
}) {
  readonly code = "approval_required"
  override get message() {
    return told(this)
  }
}

/** The platform is away, or refuses to be asked, and nothing that is held lets the call through. */
export class GovernanceUnavailable extends Schema.TaggedError<GovernanceUnavailable>()(
  "GovernanceUnavailable",
  {
    ...fields,
    /** The rule that decided. */
    rule: Schema.String
  }
) {
  readonly code = "governance_unavailable"
  override get message() {
    return told(this)
  }
}

/** The call ran longer than it was given. It was interrupted, and counts as an exception (TRUST-5). */
export class CallTimedOut extends Schema.TaggedError<CallTimedOut>()("CallTimedOut", {
  action: Schema.String,
  resource: Schema.String,
  afterMs: Schema.Number
}) {
  readonly code = "timed_out"
  override get message() {
    return `\`${this.action}\` on \`${this.resource}\` did not end within ${seconds(this.afterMs)}; give it more time, or ask for less`
  }
}

/** Every way in which a call is kept from running. */
export type Denied = PolicyViolation | PermissionDenied | ApprovalRequired | GovernanceUnavailable

/** True for the errors that say that a call was kept from running. */
export const isDenied = (error: unknown): error is Denied =>
  error instanceof PolicyViolation ||
  error instanceof PermissionDenied ||
  error instanceof ApprovalRequired ||
  error instanceof GovernanceUnavailable

/** A denial that a model can read. */
export interface DenialValue {
  readonly denied: true
  /** `argument_unreadable`: a tool was given what policies cannot see. */
  readonly code: Denied["code"] | "argument_unreadable"
  readonly message: string
  readonly reason: string
  /** Milliseconds; null: waiting alone does not help. */
  readonly retryAfterMs: number | null
  readonly remedy: string | null
}

/** A denial as a value. */
export const denialValue = (error: Denied): DenialValue => ({
  denied: true,
  code: error.code,
  message: error.message,
  reason: error.reason,
  retryAfterMs: error.denial?.retryAfterMs ?? null,
  remedy: error.denial?.remedy ?? null
})

/** Denials become values; other errors stay errors. */
export const denialsAsValues = <A, E, R>(
  call: Effect.Effect<A, E, R>
): Effect.Effect<A | DenialValue, Exclude<E, Denied>, R> =>
  Effect.catch(
    call,
    (error): Effect.Effect<DenialValue, Exclude<E, Denied>> =>
      isDenied(error) ? Effect.succeed(denialValue(error)) : Effect.fail(error as Exclude<E, Denied>)
  )
