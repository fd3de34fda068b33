/** The facts of a call, what `PermissionCheck` says of them, and the names and signatures that go with it. */
import { Dlp, PermissionCheck, PolicyFacts } from "@agion/policy"
import { Clock, Effect } from "effect"
import { clientIp } from "../http/ClientIp.ts"
import { Signing } from "../keys/Signing.ts"
import type { Decided } from "./Answer.ts"
import type { Asked } from "./Checks.ts"
import type { Known } from "./Snapshot.ts"

/** Decides a call by what is known and what was used, now. */
export type Decide = (
  known: Known,
  asked: Asked,
  usage: PermissionCheck.Usage,
  call: PermissionCheck.Call
) => Decided

/** `environment` is what policies read as `context.environment`. */
export const make = (environment: string | undefined): Effect.Effect<Decide, never, Signing> =>
  Effect.gen(function* () {
    const signing = yield* Signing
    const clock = yield* Clock.Clock
    const content = contentJudge(Dlp.make())
    return (known, asked, usage, call) => {
      const now = clock.currentTimeMillisUnsafe()
      const facts = factsOf(known, asked, usage, call, now)
      const decision = PermissionCheck.decide(facts, {
        policies: policyJudge(known, asked, environment),
        content
      })
      // What observing let through was denied: it earns nothing (TRUST-6, POLICY-8).
      const allowed = decision.allowed && decision.observed?.allowed !== false
      const decisionId = signing.decisionId(known.organizationId, asked.actorId, allowed, now)
      const signed = signing.trustAt(
        known.organizationId,
        known.epoch,
        { entityId: asked.actorId, entityType: asked.actorType, score: known.trustScore },
        now
      )
      return { known, asked, usage, decision, decisionId, signed, now, permission: known.permission }
    }
  })

const factsOf = (
  known: Known,
  asked: Asked,
  usage: PermissionCheck.Usage,
  call: PermissionCheck.Call,
  now: number
): PermissionCheck.Facts => ({
  now,
  timeZone: known.settings.timeZone,
  enforcement: known.settings.enforcement,
  actor: {
    id: asked.actorId,
    type: asked.actorType,
    suspended: known.actor.status === "suspended",
    trustScore: known.trustScore,
    view: known.actor.view
  },
  resource: known.resource?.facts ?? null,
  permission: known.permission,
  usage,
  call
})

const policyJudge = (
  known: Known,
  asked: Asked,
  environment: string | undefined
): PermissionCheck.Judges["policies"] => {
  const { set } = known.policies
  if (set.size === 0) return null
  const attached = asked.context?.["metadata"]
  const metadata = isRecord(attached) ? attached : noContext
  return (facts) => {
    const surroundings = { clientIp: clientIp(asked.peer), environment }
    return PolicyFacts.verdictOf(
      set.evaluate(PolicyFacts.policyInput(facts, asked.resourceId, metadata, surroundings))
    )
  }
}

const noContext: PermissionCheck.View = {}

const isRecord = (value: unknown): value is PermissionCheck.View =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const clean: PermissionCheck.ContentVerdict = { decision: "allow", findings: [] }

/** Scans the content and the arguments that a call brings. */
const contentJudge =
  (dlp: Dlp.Dlp): PermissionCheck.Judges["content"] =>
  (facts) => {
    const { content, arguments: given } = facts.call.context
    const said = typeof content === "string" && content !== "" ? dlp.scan(content) : clean
    if (given === undefined || given === null || said.decision === "block") return said
    const passed = dlp.scanValue(given)
    if (passed.decision === "block" || said.decision === "allow") return passed
    return said
  }
