/** The work of `PolicySync`: bundles asked for, verified, compiled and put in force. */
import { Policy, type PolicyBundle, type Signed } from "@agion/domain"
import { PolicySet, StoredPolicy } from "@agion/policy/judgement"
import { Clock, Duration, Effect, Option, Queue, Schema, Semaphore } from "effect"
import { GovernanceHttp } from "../GovernanceHttp.ts"
import { onPush, unknownEpoch } from "../internal/Epochs.ts"
import { outliving } from "../internal/Outliving.ts"
import { epochOf } from "../internal/PlatformCalls.ts"
import * as KeptPolicies from "../KeptPolicies.ts"
import { PlatformKeys } from "../PlatformKeys.ts"
import { PolicyEngine } from "../PolicyEngine.ts"
import { BundleRefused, PolicySync, type PolicySyncOptions, type PolicySyncState } from "../PolicySync.ts"
import { type Push, Pushes } from "../Pushes.ts"
import { Settings } from "../Settings.ts"
import { Telemetry } from "../Telemetry.ts"
import { within } from "../telemetry/Spans.ts"

/** What the payload of a bundle says. */
const BundleValue = Schema.Struct({
  version: Schema.Int,
  digest: Schema.String,
  policies: Schema.Array(Policy)
})
const decodeValue = Schema.decodeUnknownOption(BundleValue)

const refused = (reason: BundleRefused["reason"], detail: string) =>
  Effect.fail(new BundleRefused({ reason, detail }))

/** The same, as it changes. */
type State = { -readonly [K in keyof Omit<PolicySyncState, "ageMs" | "isOld">]: PolicySyncState[K] } & {
  /** Epoch milliseconds of the signature of a set from the directory. */
  signedAt: number | null
  /** The highest version that a push has told of; null: none. */
  announced: number | null
  /** Times that it was asked for since. */
  asked: number
  /** Reasons so far to believe that the platform has another set; the start is the first. */
  reasons: number
  /** How many of them there were when the last answer that was taken in was asked for. */
  settled: number
  /** The epoch that pushes have told of; undefined: none. */
  heard: number | undefined
  /** The epoch of the answer that settled them. */
  answered: number
  wasOld: boolean
  /** The set in force; undefined: none. */
  set: PolicySet.PolicySet | undefined
  /** What was in force last, in an earlier run too; undefined: nothing is known. */
  mark: KeptPolicies.Mark | undefined
}

const viewOf = (state: State, now: number, maxAgeMs: number): PolicySyncState => {
  const { fromDisk, problem, refused, syncedAt, version } = state
  const since = syncedAt ?? state.signedAt
  const ageMs = version === null || since === null ? null : Math.max(0, now - since)
  return { version, syncedAt, problem, refused, fromDisk, ageMs, isOld: ageMs !== null && ageMs > maxAgeMs }
}

/** Says once that the set in force has grown old, and once that it has been confirmed. */
const tellAge = (state: State, { ageMs, isOld, version }: PolicySyncState): Effect.Effect<void> => {
  if (isOld === state.wasOld) return Effect.void
  state.wasOld = isOld
  const age = Math.round((ageMs ?? 0) / 1000)
  return isOld
    ? Effect.logWarning(`policies of version ${version} were not confirmed for ${age} s; they stay in force`)
    : Effect.logInfo(`policies of version ${version} are confirmed`)
}

/** Whether the platform may have another set: a push told of more than it has answered yet, or its set was refused. */
const isDoubted = (state: State): boolean =>
  state.settled < state.reasons || (state.announced !== null && (state.version ?? -1) < state.announced)

const doubt = (state: State): void => {
  state.reasons++
  state.asked = 0
}

/** Milliseconds until the platform is asked again: sooner where the set in force is doubted. */
const waitOf = (state: State, pollMs: number): number =>
  isDoubted(state) ? Math.min(pollMs, 1000 * 2 ** Math.min(20, state.asked++)) : pollMs

/**
 * Whether a push is a reason to ask: new policies, a line that is back, or a change that was missed, on the line or, while
 * it was down, by the answer that was to make up for it.
 */
const hears = (state: State, organizationId: string) => {
  let epoch: number | null = null
  const organization = unknownEpoch()
  return (push: Push): boolean => {
    if (push._tag === "Lost") epoch = null
    if (push._tag === "Policies" && push.version !== null && push.version > (state.announced ?? -1)) {
      state.announced = push.version
    }
    if (push._tag !== "Epoch") return push._tag !== "Lost"
    if (push.organizationId !== organizationId) return false
    onPush(organization, push.message, 0)
    state.heard = organization.epoch
    const { kind, previous } = push.message
    const missed = epoch === null ? previous > state.answered : previous !== epoch
    epoch = push.message.epoch
    return missed || kind === "policy" || kind === "organization"
  }
}

/** Whether a set says something else than the one in force; a platform may encode the same policies anew. */
const isOther = (inForce: PolicySet.PolicySet | undefined, set: PolicySet.PolicySet): boolean => {
  if (inForce === undefined) return true
  const { added, changed, removed } = PolicySet.diff(inForce, set)
  return added.length + changed.length + removed.length > 0
}

/** Verifies, compiles beside, and swaps. */
const install = Effect.fnUntraced(function* (
  engine: PolicyEngine["Service"],
  state: State,
  signed: Signed,
  open: PlatformKeys["Service"]["open"]
) {
  const payload = yield* Effect.catchTag(open(signed), "SignatureRefused", (error) =>
    refused("signature", error.message)
  )
  const value = payload.kind === "bundle" ? Option.getOrUndefined(decodeValue(payload.value)) : undefined
  if (value === undefined) return yield* refused("unreadable", "its payload is no bundle")
  const { mark } = state
  if (mark !== undefined && value.version < mark.version)
    return yield* refused("older", `version ${value.version}, in force was ${mark.version}`)
  const set = yield* PolicySet.compile(StoredPolicy.toSetPolicies(value.policies)).pipe(
    Effect.catchTag("PolicyCompileErrors", (error) => refused("does not compile", error.message))
  )
  if (mark?.version === value.version && mark.digest !== value.digest && isOther(state.set, set))
    return yield* refused("other content", `version ${value.version} was in force with other policies`)
  const at = yield* Clock.currentTimeMillis
  state.version = value.version
  state.set = set
  state.mark = { version: value.version, digest: value.digest }
  engine.swapUnsafe({ set, version: value.version, digest: value.digest }, at)
  return payload
})

const signedOf = (bundle: PolicyBundle): Signed => ({
  payload: bundle.payload,
  keyId: bundle.keyId,
  signature: bundle.signature
})

/** Keeps the set of an engine up to date. */
export const make = Effect.fnUntraced(function* (options: PolicySyncOptions) {
  const settings = yield* Settings
  const http = yield* GovernanceHttp
  const keys = yield* PlatformKeys
  const engine = yield* PolicyEngine
  const pushes = yield* Pushes
  const { sampling } = yield* Telemetry.orSilent
  const file = KeptPolicies.fileOf(settings)
  const pollMs = Duration.toMillis(options.poll ?? "30 seconds")
  const maxAgeMs = options.maxAge === undefined ? Number.POSITIVE_INFINITY : Duration.toMillis(options.maxAge)
  const clock = yield* Effect.clockWith(Effect.succeed)
  const state: State = {
    version: null,
    syncedAt: null,
    problem: null,
    refused: 0,
    fromDisk: false,
    signedAt: null,
    announced: null,
    asked: 0,
    reasons: 1,
    settled: 0,
    heard: undefined,
    answered: Number.POSITIVE_INFINITY,
    wasOld: false,
    set: undefined,
    mark: undefined
  }
  engine.doubtUnsafe(true)
  const stateUnsafe = () => viewOf(state, clock.currentTimeMillisUnsafe(), maxAgeMs)
  const wake = yield* Queue.sliding<void>(1)
  // Who asks waits for what is under way: two would keep two bundles under one name.
  const turn = yield* Semaphore.make(1)
  let etag: string | undefined

  const fetched = Effect.gen(function* () {
    const { heard, reasons } = state
    const [bundle, response] = yield* http.ask((api) =>
      api.policies.bundle({
        query: { organizationId: settings.organizationId, agentId: settings.agentId },
        headers: etag === undefined ? {} : { "if-none-match": etag },
        responseMode: "decoded-and-response"
      })
    )
    if (bundle !== undefined) {
      yield* install(engine, state, signedOf(bundle), keys.open)
      etag = response.headers["etag"]
      if (file !== null && state.mark !== undefined)
        yield* Effect.uninterruptible(KeptPolicies.keep(file, signedOf(bundle), state.mark))
    }
    state.problem = null
    const answered = epochOf(response.headers) ?? Number.POSITIVE_INFINITY
    // A replica that has not followed yet knows nothing of what the push told of (FRESH-1).
    if (heard !== undefined && answered < heard) return
    state.syncedAt = yield* Clock.currentTimeMillis
    state.settled = reasons
    state.answered = answered
    state.fromDisk = false
  })
  const traced = within(sampling, "PolicySync.sync", fetched, {
    told: () => ({ "agion.policy.version": state.version ?? undefined })
  })
  const sync = traced.pipe(
    Effect.catch((error) =>
      Effect.suspend(() => {
        const isNew = state.problem !== error.message
        state.problem = error.message
        // The same bundle is refused each time that it is asked for: it counts once.
        if (!(error instanceof BundleRefused && isNew)) return Effect.void
        doubt(state)
        state.refused++
        return Effect.logWarning(error.message)
      })
    ),
    Effect.andThen(
      Effect.suspend(() => {
        engine.doubtUnsafe(isDoubted(state))
        return tellAge(state, stateUnsafe())
      })
    ),
    Effect.map(() => state.version),
    turn.withPermits(1)
  )
  if (file !== null) {
    const kept = yield* KeptPolicies.load(file)
    state.mark = kept.mark
    if (kept.signed !== undefined) {
      const installed = yield* install(engine, state, kept.signed, keys.openKept).pipe(
        Effect.tapError((error) => Effect.logWarning(error.message)),
        Effect.option
      )
      state.fromDisk = Option.isSome(installed)
      state.signedAt = Option.isSome(installed) ? Date.parse(installed.value.issuedAt) : null
    }
  }
  const isNews = hears(state, settings.organizationId)
  const news = () => {
    doubt(state)
    engine.doubtUnsafe(true)
    Queue.offerUnsafe(wake, undefined)
  }
  let isPushed = false
  yield* pushes.listen((push) => {
    if (!isNews(push)) return
    isPushed = true
    news()
  })
  // Without a line only answers tell that something has changed (FRESH-3).
  yield* http.onEpoch((epoch) => {
    if (epoch > state.answered && pushes.lineUnsafe() !== "up") news()
  })
  const asked = Effect.suspend(() => {
    isPushed = false
    return sync
  })
  const pause = Effect.suspend(() => Effect.timeoutOption(Queue.take(wake), waitOf(state, pollMs)))
  // What was told before the platform is asked is answered by asking. In a busy organization every answer tells of it.
  yield* Queue.clear(wake).pipe(
    Effect.andThen(outliving("fetching policies")(asked)),
    Effect.andThen(pause),
    Effect.flatMap((woken) => (Option.isSome(woken) && !isPushed ? Effect.sleep("1 second") : Effect.void)),
    Effect.forever,
    Effect.forkScoped
  )
  return PolicySync.of({
    sync,
    state: Effect.sync(stateUnsafe),
    stateUnsafe
  })
})
