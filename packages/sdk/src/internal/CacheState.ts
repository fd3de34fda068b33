/** The state of the permission cache, and what pushes do to it: plain functions, no effects. */
import type { EpochMessage } from "@agion/domain"
import type { PermissionCheck } from "@agion/policy"
import type { ActorTrust } from "../TrustTracker.ts"
import { Actors } from "./Actors.ts"
import type { CacheEntry } from "./CacheEntry.ts"
import { Heard } from "./CacheHeard.ts"
import { type EntryKey, EntryTable } from "./EntryTable.ts"
import { type OrganizationEpoch, onLost, onPush, unknownEpoch } from "./Epochs.ts"
import { SharedFacts } from "./HeldFacts.ts"

/** Why the platform was asked although there is a cache. */
export type MissReason = "absent" | "expired" | "unconfirmed" | "dropped" | "limits" | "context" | "trust"

/** Counts since the start; all of them rise but `size`. */
export interface Counters {
  hits: number
  misses: number
  /** Decisions on warm approvals while the platform was away. */
  stale: number
  /** Decisions on trust alone while the platform was away. */
  degraded: number
  /** Entries that went because the cache was full. */
  evicted: number
  /** Entries that pushes dropped. */
  invalidated: number
  /** Entries that were renewed ahead of their expiry or after a push. */
  refreshed: number
  readonly reasons: Record<MissReason, number>
}

/** A question that is under way; a push that names it meanwhile makes its answer worthless. */
export interface Flight {
  readonly organizationId: string
  readonly actorId: string
  readonly resourceId: string
  /** The latest epoch of the pushes that have named it since it was asked; null: none has. */
  tainted: number | null
  /** Its answer allows what a push speaks against that is newer. */
  contradicted?: boolean
}

/** A push of an epoch names a question that is under way. */
export const taint = (flight: Flight, epoch: number): void => {
  flight.tainted = Math.max(flight.tainted ?? epoch, epoch)
}

/** What questions and changes are about. */
export type Concern = Pick<Flight, "organizationId" | "actorId" | "resourceId">

/** A change that pushes have told of. */
export interface Change {
  readonly epoch: number
  readonly heardAt: number
  readonly concerns: (about: Concern) => boolean
}

/** Degraded mode of one actor (OUTAGE-2, OUTAGE-3). */
export interface DegradedState {
  open: boolean
  /** When degraded calls were let through, oldest first; of the last ones as many as the budget has. */
  readonly calls: Array<number>
}

export interface CacheState {
  readonly table: EntryTable<CacheEntry>
  readonly organizations: Map<string, OrganizationEpoch>
  /** Actors of organizations that nobody pushes to us. */
  readonly strangers: Actors
  readonly degraded: WeakMap<ActorTrust, DegradedState>
  /** Records of resources that are held beside entries. */
  readonly resources: Map<string, PermissionCheck.ResourceFacts>
  /** Resources whose records are to be held. */
  readonly wanted: Set<string>
  /** Those of them that are held from before any epoch was known: to be fetched again. */
  readonly early: Set<string>
  /** Called when records that are to be held are missing or early. */
  onRecordsDue: () => void
  readonly flights: Set<Flight>
  /** Changes that not every replica may have followed yet, oldest first. */
  readonly recent: Array<Change>
  readonly heard: Heard
  /** What entries have in common. */
  readonly shared: SharedFacts
  readonly counters: Counters
}

/** Nothing was counted. */
export const noCounts = (): Counters => ({
  hits: 0,
  misses: 0,
  stale: 0,
  degraded: 0,
  evicted: 0,
  invalidated: 0,
  refreshed: 0,
  reasons: { absent: 0, expired: 0, unconfirmed: 0, dropped: 0, limits: 0, context: 0, trust: 0 }
})

/** An empty cache of an agent. */
export const makeState = (
  capacity: number,
  own: { readonly organizationId: string; readonly agentId: string }
): CacheState => {
  const counters = noCounts()
  const resources: CacheState["resources"] = new Map()
  const wanted: CacheState["wanted"] = new Set()
  // Few caches are asked about any, and a process may have very many caches.
  let strangers: Actors | undefined
  return {
    table: new EntryTable<CacheEntry>(capacity, ({ resourceId }) => {
      counters.evicted++
      if (!wanted.has(resourceId)) resources.delete(resourceId)
    }),
    organizations: new Map(),
    get strangers() {
      strangers ??= new Actors()
      return strangers
    },
    degraded: new WeakMap(),
    resources,
    wanted,
    early: new Set(),
    onRecordsDue: () => {},
    flights: new Set(),
    recent: [],
    heard: new Heard(own.organizationId, own.agentId),
    shared: new SharedFacts(),
    counters
  }
}

/** What is known of an organization's epoch; one object an organization, which entries hold on to. */
export const organizationOf = (state: CacheState, organizationId: string): OrganizationEpoch => {
  let organization = state.organizations.get(organizationId)
  if (organization === undefined) {
    organization = unknownEpoch()
    state.organizations.set(organizationId, organization)
  }
  return organization
}

/** Within so many milliseconds other replicas follow a change, or refuse to decide (FRESH-1). */
const followedAfter = 1000

/** The most changes that are kept for that long. */
const recentAtMost = 1000

/** A change has been heard of: what was asked before is worthless, and so is what a replica answers that is behind it. */
const changed = (state: CacheState, change: Change): void => {
  const { flights, recent } = state
  for (const flight of flights) if (change.concerns(flight)) taint(flight, change.epoch)
  recent.push(change)
  while (recent.length > recentAtMost || (recent[0] ?? change).heardAt <= change.heardAt - followedAfter)
    recent.shift()
}

/** True when an answer of an epoch is of a replica that had not followed yet a change that was heard of before. */
export const isBehind = (
  state: CacheState,
  about: Concern,
  epoch: number | null,
  askedAt: number
): boolean => {
  if (epoch === null) return false
  for (const change of state.recent)
    if (epoch < change.epoch && askedAt - change.heardAt < followedAfter && change.concerns(about))
      return true
  return false
}

/** Before any time; a whole number, as other expiries are. */
const expired = -1

/**
 * Something was missed: nothing of the organization is used again before it was asked for (FRESH-2). Records that are
 * to be held stay where this is the first epoch, since nothing is known to have been missed, until they are fetched again.
 */
export const forgetAll = (
  state: CacheState,
  organizationId: string,
  heardAt: number,
  isFirst = false
): void => {
  changed(state, {
    // Of the first epoch nothing is known to be behind.
    epoch: isFirst ? Number.NEGATIVE_INFINITY : (organizationOf(state, organizationId).epoch ?? 0),
    heardAt,
    concerns: (about) => about.organizationId === organizationId
  })
  for (const entry of state.table.of(organizationId)) {
    state.counters.invalidated++
    entry.expiresAt = expired
    if (entry.standing === "held") entry.standing = "forgotten"
  }
  for (const [id, { view }] of state.resources) {
    if (view["organization_id"] !== organizationId) continue
    if (isFirst && state.wanted.has(id)) state.early.add(id)
    else state.resources.delete(id)
  }
  if (state.wanted.size > 0) state.onRecordsDue()
}

/** A push has named entries: they are asked for again before anything is let through on them. */
const suspect = (
  state: CacheState,
  organizationId: string,
  actorId: string | undefined,
  names: (entry: CacheEntry) => boolean,
  dropped: Array<CacheEntry>
): void => {
  for (const entry of state.table.of(organizationId, actorId)) {
    if (!names(entry)) continue
    state.counters.invalidated++
    entry.expiresAt = expired
    entry.standing = "suspect"
    dropped.push(entry)
  }
}

/** [permission, actor, resource] for each. */
const namesPermission = (ids: ReadonlyArray<string>, about: Concern): boolean => {
  for (let i = 0; i + 2 < ids.length; i += 3)
    if (ids[i + 1] === about.actorId && ids[i + 2] === about.resourceId) return true
  return false
}

/** Entries to ask for again, of what a message names. */
const dropNamed = (
  state: CacheState,
  organizationId: string,
  message: EpochMessage,
  heardAt: number
): Array<CacheEntry> => {
  const dropped: Array<CacheEntry> = []
  const { epoch, ids, kind } = message
  const changes = (concerns: Change["concerns"]) => changed(state, { epoch, heardAt, concerns })
  // A change that names nothing may have changed anything.
  if (ids.length === 0 && kind !== "heartbeat") forgetAll(state, organizationId, heardAt)
  switch (kind) {
    case "heartbeat":
    case "config":
      return dropped
    case "permission":
      changes((about) => namesPermission(ids, about))
      for (let i = 0; i + 2 < ids.length; i += 3) {
        const [actorId, resourceId] = [ids[i + 1] ?? "", ids[i + 2] ?? ""]
        state.heard.moved(organizationId, actorId, resourceId, ids[i] ?? "")
        suspect(state, organizationId, actorId, (entry) => entry.resourceId === resourceId, dropped)
      }
      return dropped
    case "resource": {
      const named = new Set(ids)
      for (const id of named) state.resources.delete(id)
      changes((about) => named.has(about.resourceId))
      suspect(state, organizationId, undefined, (entry) => named.has(entry.resourceId), dropped)
      return dropped
    }
    case "agent":
      changes((about) => ids.includes(about.actorId))
      for (const actorId of ids) {
        state.heard.changed(organizationId, actorId, message.epoch)
        suspect(state, organizationId, actorId, () => true, dropped)
      }
      return dropped
    case "trust": {
      // A change of tier drops an actor's decisions; what they allow is compared with the new score (TRUST-9).
      const moved = message.trust?.flatMap((one) => (one.tierChanged ? one.actorId : [])) ?? ids
      if (moved.length > 0) changes((about) => moved.includes(about.actorId))
      for (const actorId of moved) expire(state, organizationId, actorId)
      return dropped
    }
    case "policy":
    case "organization":
      // Policies decide otherwise now; approvals are what they were.
      changes((about) => about.organizationId === organizationId)
      expire(state, organizationId)
      return dropped
  }
}

/** Entries of an organization, or of one of its actors, are decided anew; nothing is known against what they hold. */
const expire = (state: CacheState, organizationId: string, actorId?: string): void => {
  for (const entry of state.table.of(organizationId, actorId)) {
    state.counters.invalidated++
    entry.expiresAt = expired
  }
}

/** Takes in a push of what was so at `saidAt`; answers the entries that must be asked for again. */
export const takePush = (
  state: CacheState,
  organizationId: string,
  message: EpochMessage,
  saidAt: number,
  heardAt: number
): ReadonlyArray<CacheEntry> => {
  const organization = organizationOf(state, organizationId)
  const held = organization.epoch
  const effect = onPush(organization, message, saidAt)
  if (held !== undefined && (organization.epoch ?? held) < held) {
    // The platform's data went back, and no replica is ahead of it.
    state.recent.length = 0
    state.heard.wentBack(organizationId)
  }
  if (effect === "nothing") return []
  if (effect === "drop all") forgetAll(state, organizationId, heardAt, held === undefined)
  // What this push itself names is known to have changed.
  return dropNamed(state, organizationId, message, heardAt)
}

/** True where a call could go on by what is held, had no push named its permission: to be asked about. */
export const isUnasked = (state: CacheState, key: EntryKey): boolean => {
  const { actorId, actorType, organizationId, permissionType, resourceId } = key
  return (
    state.resources.has(resourceId) &&
    state.heard.hasMoved(organizationId, actorId, resourceId) &&
    state.table.find(organizationId, actorId, actorType, resourceId, permissionType) === undefined
  )
}

/**
 * A question about what a push has changed for the agent itself, where no entry is asked again for: about a
 * permission, or, to hear how the agent stands, about any resource. Undefined: nothing could go on without it.
 */
export const unaskedOf = (
  state: CacheState,
  own: Omit<EntryKey, "resourceId">,
  { ids, kind }: EpochMessage
): EntryKey | undefined => {
  if (kind === "agent" && ids.includes(own.actorId)) {
    const resourceId = state.resources.keys().next().value
    return resourceId === undefined ? undefined : { ...own, resourceId }
  }
  if (kind !== "permission") return undefined
  for (let i = 0; i + 2 < ids.length; i += 3) {
    const key = { ...own, resourceId: ids[i + 2] ?? "" }
    if (ids[i + 1] === own.actorId && isUnasked(state, key)) return key
  }
  return undefined
}

/** The line is down. */
export const takeLost = (state: CacheState, organizationId: string): void => {
  onLost(organizationOf(state, organizationId))
}

/** Notes a degraded call. More of them than the budget has say no more than that it is spent. */
export const noteDegraded = (degraded: DegradedState, budget: number, now: number): void => {
  degraded.open = true
  degraded.calls.push(now)
  while (degraded.calls.length > budget) degraded.calls.shift()
}

/** Degraded calls let through within the last five minutes. */
export const degradedOf = (state: CacheState, actor: ActorTrust, now: number): DegradedState => {
  let degraded = state.degraded.get(actor)
  if (degraded === undefined) {
    degraded = { open: false, calls: [] }
    state.degraded.set(actor, degraded)
  }
  while (degraded.calls.length > 0 && (degraded.calls[0] ?? now) <= now - 300_000) degraded.calls.shift()
  return degraded
}
