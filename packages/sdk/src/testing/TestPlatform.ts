/**
 * A platform in memory, for tests of agents: it decides by the same `PermissionCheck`, signs with a key of its
 * own, gives trust for events, and can be taken down.
 *
 * **Gotchas**: one organization; it keeps no history and knows no policies but those it is given.
 */
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto"
import {
  ActorId,
  type CheckEntry,
  type CheckRequest,
  type CheckResult,
  type EpochMessage,
  OrganizationId,
  Permission,
  PermissionId,
  type PermissionStatus,
  type PermissionType,
  type Policy,
  type PushedTrust,
  Resource,
  ResourceId,
  type Signed,
  SignedPayload,
  SigningKey,
  Trust,
  toBase64Url
} from "@agion/domain"
import { PermissionCheck, PolicyFacts, PolicySet, StoredPolicy } from "@agion/policy/judgement"
import { Context, Schema } from "effect"
import type { Hub } from "../Pushes.ts"

/** What a resource is made of; the rest has defaults. */
export type ResourceSeed = Partial<Omit<Resource, "id">> & { readonly id: string }

/** How the platform behaves towards the network. */
export type Fault =
  | { readonly _tag: "None" }
  /** Connections are refused. */
  | { readonly _tag: "Refuse" }
  /** Requests are never answered. */
  | { readonly _tag: "Hang" }
  /** Requests do their work, and their answers are lost. */
  | { readonly _tag: "Lose" }
  | { readonly _tag: "Status"; readonly status: number; readonly retryAfter?: string }
  /** 200 with something that is no answer. */
  | { readonly _tag: "Garble" }

/** A request that arrived. */
export interface Arrived {
  readonly method: string
  readonly path: string
  readonly body: unknown
}

/** What is reserved. */
export interface Reserved {
  readonly id: string
  readonly permissionId: string
  requests: number
  tokens: number
  costUsd: number
  state: "held" | "settled" | "released"
}

interface Actor {
  score: number
  suspended: boolean
}

interface Grant {
  permission: Permission
  /** Times of requests within the last minute, epoch milliseconds. */
  times: Array<number>
}

const noUsage = {
  totalRequests: 0,
  totalTokens: 0,
  totalCostUsd: 0,
  currentDayRequests: 0,
  currentDayTokens: 0,
  currentDayCostUsd: 0,
  lastUsedAt: null,
  currentDayStart: null
}

const encodePayload = Schema.encodeSync(Schema.fromJsonString(SignedPayload))
const encodeKey = Schema.encodeSync(Schema.toCodecJson(SigningKey))
const encodeEntry = new TextEncoder()

/** A number as the text of a UUID. */
export const testUuid = (n: number): string => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`

/** The platform's state, and what a test may do to it. */
export class Platform {
  /** The organization of everything here. */
  readonly organizationId: string
  /** Every request that arrived, in order. */
  readonly arrived: Array<Arrived> = []
  /** Every reservation, by its id. */
  readonly reservations = new Map<string, Reserved>()
  /** Reservations and what was answered, by permission and idempotency key; of reported keys those never made. */
  readonly reservedBy = new Map<string, { readonly reserved: Reserved; readonly body: unknown }>()
  /** Events that arrived, in order, as the wire spells them. */
  readonly events: Array<{ readonly [name: string]: unknown }> = []
  /** Every resource, by its id. */
  readonly resources: Map<string, Resource> = new Map()
  /** How requests are answered from now on. */
  fault: Fault = { _tag: "None" }
  /** Pushes are sent; false: they are lost on the way. */
  pushing = true
  /** For how long pushes are on their way, milliseconds. What is due arrives as the next is sent. */
  pushDelayMs = 0
  /** `observe`: everything is decided and nothing blocked (POLICY-8). */
  enforcement: "enforce" | "observe" = "enforce"
  /** The organization's epoch; rises with every change. */
  epoch = 1
  /** The policies in force; `setPolicies` changes them. */
  policies: ReadonlyArray<Policy> = []
  /** The version of the bundle; rises with `setPolicies`. */
  policyVersion = 0
  readonly #hub: Hub
  readonly #onTheWay: Array<{ readonly message: EpochMessage; readonly dueAt: number }> = []
  readonly #grants = new Map<string, Grant>()
  readonly #actors = new Map<string, Actor>()
  readonly #seen = new Set<string>()
  readonly #signed = new Map<string, { readonly score: number; readonly signed: Signed }>()
  #voucher: Signed | null = null
  #key: { readonly keyId: string; readonly privateKey: KeyObject; readonly publicKey: string }
  #set: PolicySet.PolicySet | null = null
  #ids = 1000

  /** Epoch milliseconds. */
  readonly now: () => number

  constructor(hub: Hub, organizationId: string, now: () => number) {
    this.#hub = hub
    this.now = now
    this.organizationId = organizationId
    this.#key = makeKey("test-key-1")
  }

  /** The key that signs, as `GET /signing-keys` shows it. */
  get publicKey() {
    return { keyId: this.#key.keyId, publicKey: this.#key.publicKey }
  }

  /** The key as the wire lists it, with the voucher of the one before it, if that gave one. */
  get signingKey(): SigningKey {
    return listed(this.#key, this.iso(), this.#voucher)
  }

  /** Signs with another key from now on; `vouched`: the one before it signed it (OUTAGE-5). */
  rotateKey(keyId: string, vouched = false): void {
    const next = makeKey(keyId)
    const value = encodeKey(listed(next, this.iso(), null))
    this.#voucher = vouched ? this.sign("key", value) : null
    this.#key = next
  }

  /** `now` as text. */
  iso(): string {
    return new Date(this.now()).toISOString()
  }

  /** A UUID that nothing here has yet. */
  nextId(): string {
    return testUuid(++this.#ids)
  }

  /** Puts a resource there, or another in its place. */
  resource(seed: ResourceSeed): Resource {
    const made = Resource.make({
      organizationId: OrganizationId.make(this.organizationId),
      resourceType: "ai_model",
      parentResourceId: null,
      name: seed.id,
      description: null,
      resourceData: {},
      complianceLabels: [],
      dataResidency: null,
      trustTierRequired: 0,
      riskLevel: "low",
      status: "active",
      healthStatus: "healthy",
      healthCheckAt: null,
      healthMessage: null,
      tags: [],
      metadata: {},
      createdBy: null,
      updatedBy: null,
      createdAt: this.iso(),
      updatedAt: this.iso(),
      ...seed,
      id: ResourceId.make(seed.id)
    })
    const known = this.resources.has(seed.id)
    this.resources.set(seed.id, made)
    if (known) this.change("resource", [seed.id])
    return made
  }

  /** Approves a permission, with limits if wanted. */
  grant(
    actorId: string,
    resourceId: string,
    permissionType: PermissionType = "use",
    constraints: Permission["constraints"] = {},
    status: PermissionStatus = "approved"
  ): Permission {
    const key = grantKey(actorId, resourceId, permissionType)
    const known = this.#grants.get(key)?.permission
    const permission = Permission.make({
      id: known?.id ?? PermissionId.make(this.nextId()),
      actorId: ActorId.make(actorId),
      actorType: "agent",
      resourceId: ResourceId.make(resourceId),
      permissionType,
      status,
      purpose: "test",
      justification: null,
      constraints,
      usageTracking: known?.usageTracking ?? noUsage,
      requestedBy: null,
      requestedAt: this.iso(),
      approvedBy: "tester",
      approvedAt: this.iso(),
      approvalNotes: null,
      revokedBy: null,
      revokedAt: null,
      revocationReason: null,
      createdAt: this.iso(),
      updatedAt: this.iso()
    })
    this.#grants.set(key, { permission, times: [] })
    this.change("permission", [permission.id, actorId, resourceId])
    return permission
  }

  /** Revokes what was granted. */
  revoke(actorId: string, resourceId: string, permissionType: PermissionType = "use"): void {
    this.grant(actorId, resourceId, permissionType, {}, "revoked")
  }

  /** The kill switch. */
  suspend(actorId: string, suspended = true): void {
    this.actor(actorId).suspended = suspended
    this.change("agent", [actorId])
  }

  /** What is known of an actor, which begins at a trust of 40. */
  actor(actorId: string): Actor {
    let actor = this.#actors.get(actorId)
    if (actor === undefined) {
      actor = { score: Trust.initialScore, suspended: false }
      this.#actors.set(actorId, actor)
    }
    return actor
  }

  /** Puts a score where a test wants it. */
  trust(actorId: string, score: number): void {
    const actor = this.actor(actorId)
    const tierChanged = Trust.tierOf(actor.score) !== Trust.tierOf(score)
    actor.score = score
    this.change("trust", [actorId], (epoch) => [
      { actorId, actorType: "agent", score, tierChanged, signed: this.signedScore(actorId, epoch) }
    ])
  }

  /** Puts policies in force. */
  setPolicies(policies: ReadonlyArray<Policy>): void {
    const made = PolicySet.compileSync(StoredPolicy.toSetPolicies(policies))
    this.policies = policies
    this.policyVersion++
    this.#set = made.ok ? made.set : null
    this.change(
      "policy",
      policies.map(({ id }) => String(id))
    )
  }

  /** A change: the epoch rises and whoever listens is told. */
  change(
    kind: EpochMessage["kind"],
    ids: ReadonlyArray<string>,
    trust?: (epoch: number) => ReadonlyArray<PushedTrust>
  ): void {
    const previous = this.epoch
    this.epoch++
    this.#tell({
      previous,
      epoch: this.epoch,
      kind,
      ids,
      timestamp: this.iso(),
      ...(trust === undefined ? {} : { trust: trust(this.epoch) })
    })
  }

  /** The sign of life of every second. */
  heartbeat(): void {
    this.#tell({ previous: this.epoch, epoch: this.epoch, kind: "heartbeat", ids: [], timestamp: this.iso() })
  }

  #tell(message: EpochMessage): void {
    if (!this.pushing) return
    const { organizationId } = this
    const now = this.now()
    this.#onTheWay.push({ message, dueAt: now + this.pushDelayMs })
    while ((this.#onTheWay[0]?.dueAt ?? Number.POSITIVE_INFINITY) <= now) {
      const first = this.#onTheWay.shift()
      if (first !== undefined) this.#hub.tell({ _tag: "Epoch", organizationId, message: first.message })
    }
  }

  /** Tells of a version of the policies, as the channel of policy updates does. */
  announce(version: number): void {
    if (this.pushing) this.#hub.tell({ _tag: "Policies", version })
  }

  /** Cuts or mends the line of pushes. */
  line(up: boolean): void {
    this.pushing = up
    this.#hub.tell(up ? { _tag: "Up" } : { _tag: "Lost" })
  }

  /** Signs a value as the platform does, valid for `lifeMs` milliseconds from now. */
  sign(
    kind: SignedPayload["kind"],
    value: Schema.Json,
    epoch = this.epoch,
    lifeMs = 3_600_000,
    organizationId = this.organizationId
  ): Signed {
    const now = this.now()
    const text = encodePayload({
      kind,
      organizationId,
      epoch,
      issuedAt: new Date(now).toISOString(),
      expiresAt: new Date(now + lifeMs).toISOString(),
      value
    })
    const bytes = encodeEntry.encode(text)
    return {
      payload: toBase64Url(bytes),
      keyId: this.#key.keyId,
      signature: toBase64Url(sign(null, bytes, this.#key.privateKey))
    }
  }

  /** A signature is kept until its value or the key changes. */
  signedScore(actorId: string, epoch = this.epoch): Signed {
    const { score } = this.actor(actorId)
    const kept = this.#signed.get(actorId)
    if (kept !== undefined && kept.score === score && kept.signed.keyId === this.#key.keyId)
      return kept.signed
    const signed = this.sign("trust", { entity_id: actorId, entity_type: "agent", score }, epoch)
    this.#signed.set(actorId, { score, signed })
    return signed
  }

  /** The permission that `grant` made; null: none. */
  grantOf(actorId: string, resourceId: string, permissionType: string): Permission | null {
    return this.#grants.get(grantKey(actorId, resourceId, permissionType))?.permission ?? null
  }

  #times(permission: Permission | null): Array<number> {
    if (permission === null) return []
    const grant = this.#grants.get(
      grantKey(permission.actorId, permission.resourceId, permission.permissionType)
    )
    if (grant === undefined) return []
    grant.times = grant.times.filter((time) => time > this.now() - 60_000)
    return grant.times
  }

  /** Counts what a permission used. */
  use(permissionId: string, requests: number, tokens: number, costUsd: number): void {
    for (const grant of this.#grants.values()) {
      if (grant.permission.id !== permissionId) continue
      for (let i = 0; i < requests; i++) grant.times.push(this.now())
      const used = grant.permission.usageTracking
      grant.permission = {
        ...grant.permission,
        usageTracking: {
          ...used,
          currentDayRequests: used.currentDayRequests + requests,
          currentDayTokens: used.currentDayTokens + tokens,
          currentDayCostUsd: used.currentDayCostUsd + costUsd
        }
      }
    }
  }

  /** The facts of a check that an entry holds. */
  entryOf(actorId: string, permission: Permission | null, resource: Resource | null): CheckEntry {
    const used = permission?.usageTracking ?? noUsage
    return {
      resource,
      ancestorStatus: null,
      actor: {},
      agentStatus: this.actor(actorId).suspended ? "suspended" : "active",
      timeZone: "UTC",
      enforcement: this.enforcement,
      usage: {
        windowRequests: this.#times(permission).length,
        dayRequests: used.currentDayRequests,
        dayTokens: used.currentDayTokens,
        dayCostMicroUsd: PermissionCheck.microUsd(used.currentDayCostUsd),
        actorCostUsdToday: used.currentDayCostUsd,
        actorTokensToday: used.currentDayTokens,
        actorRequestsToday: used.currentDayRequests
      }
    }
  }

  /** Decides as the platform does. */
  check(request: CheckRequest): CheckResult {
    const resource = this.resources.get(request.resourceId) ?? null
    const permission = this.grantOf(request.actorId, request.resourceId, request.permissionType)
    const entry = this.entryOf(request.actorId, permission, resource)
    const facts = checkFacts(this.now(), request, entry, permission, this.actor(request.actorId).score)
    const set = this.#set
    const decision = PermissionCheck.decide(facts, {
      policies:
        set === null
          ? null
          : (seen) =>
              PolicyFacts.verdictOf(
                set.evaluate(PolicyFacts.policyInput(seen, request.resourceId, {}, noSurroundings))
              ),
      content: null
    })
    return {
      allowed: decision.allowed,
      reason: decision.reason,
      timestamp: this.iso(),
      permission: request.fields === "decision" ? null : permission,
      constraints: decision.remaining,
      metadata: {
        trustScoreChecked: decision.trustRequired,
        trustScore: decision.trustScore,
        policiesEvaluated: decision.policiesEvaluated,
        decisionId: this.nextId(),
        ...(decision.denial === null ? {} : { denial: decision.denial }),
        ...(decision.observed === null ? {} : { observed: decision.observed }),
        epoch: this.epoch,
        signed: this.signedScore(request.actorId)
      },
      ...(request.fields === "entry" ? { entry } : {})
    }
  }

  /** Takes in an event of an agent; the same id counts once. */
  event(event: { readonly [name: string]: unknown }): "accepted" | "duplicate" {
    const id = String(event["event_id"])
    if (this.#seen.has(id)) return "duplicate"
    this.#seen.add(id)
    this.events.push(event)
    const type = Schema.decodeUnknownOption(Trust.TrustEventType)(event["event_type"])
    const agentId = event["agent_id"]
    if (type._tag === "None" || typeof agentId !== "string") return "accepted"
    const context = typeof event["context"] === "string" ? parse(event["context"]) : event["context"]
    const points = Trust.worth(Trust.defaultModel, type.value, isRecord(context) ? context : {})
    if (points !== 0) this.trust(agentId, Trust.apply(this.actor(agentId).score, points))
    return "accepted"
  }
}

const isRecord = (value: unknown): value is { readonly [name: string]: unknown } =>
  typeof value === "object" && value !== null

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return {}
  }
}

const grantKey = (actorId: string, resourceId: string, permissionType: string): string =>
  JSON.stringify([actorId, resourceId, permissionType])

const makeKey = (keyId: string) => {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519")
  const jwk = publicKey.export({ format: "jwk" })
  return { keyId, privateKey, publicKey: jwk.x ?? "" }
}

const listed = (
  { keyId, publicKey }: ReturnType<typeof makeKey>,
  notBefore: string,
  signedBy: Signed | null
): SigningKey => ({
  keyId,
  algorithm: "Ed25519",
  publicKey,
  notBefore,
  ...(signedBy === null ? {} : { signedBy })
})

/** Nobody asks over a network. */
const noSurroundings: PolicyFacts.Surroundings = { clientIp: undefined, environment: undefined }

/** The facts of a request. */
const checkFacts = (
  now: number,
  request: CheckRequest,
  entry: CheckEntry,
  permission: Permission | null,
  trustScore: number
): PermissionCheck.Facts => {
  const context: PermissionCheck.View = request.context ?? {}
  const tokens = context["request_tokens"]
  const cost = context["estimated_cost"]
  return {
    now,
    timeZone: entry.timeZone,
    enforcement: entry.enforcement,
    actor: {
      id: request.actorId,
      type: request.actorType,
      suspended: entry.agentStatus === "suspended",
      trustScore,
      view: {}
    },
    resource: entry.resource === null ? null : PolicyFacts.resourceFacts(entry.resource, null),
    permission:
      permission === null
        ? null
        : { id: permission.id, status: permission.status, constraints: permission.constraints },
    usage: entry.usage,
    call: {
      permissionType: request.permissionType,
      requests: 1,
      tokens: typeof tokens === "number" ? tokens : null,
      costMicroUsd: typeof cost === "number" ? PermissionCheck.microUsd(cost) : null,
      context
    }
  }
}

/** The platform of a test. */
export class TestPlatform extends Context.Service<TestPlatform, Platform>()("@agion/sdk/TestPlatform") {}
