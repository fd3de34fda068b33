/** What was used, as far as a check depends on it. */
import type { ApiError, UsageTracking } from "@agion/domain"
import { PermissionCheck } from "@agion/policy"
import { Effect } from "effect"
import { dying } from "../sql/Failure.ts"
import type { Asked } from "./Checks.ts"
import type { Limits } from "./Limits.ts"
import type { Known } from "./Snapshot.ts"
import type { Counted, Spend } from "./UsageState.ts"
import type * as Usages from "./Usages.ts"

/** The facts of a check, and the usage that its permission shows. */
export interface Used {
  readonly usage: PermissionCheck.Usage
  readonly shown: UsageTracking | undefined
}

/** Of a check that depends on nothing that was used. */
export const nothingUsed: Used = { usage: PermissionCheck.noUsage, shown: undefined }

export interface UsedFacts {
  /** Of several checks, in order; reads what is not known. */
  readonly of: (
    knowns: ReadonlyArray<Known>,
    asked: ReadonlyArray<Asked>
  ) => Effect.Effect<ReadonlyArray<Used>, ApiError.Unavailable>
  /** The same of one check at once; undefined: something must be read. */
  readonly now: (known: Known, asked: Asked) => Used | undefined
  /** What the actor has used today, by the database itself. */
  readonly spent: (known: Known) => Effect.Effect<Used>
}

export const make = (usages: Usages.Usages, limits: Limits): UsedFacts => {
  const of = Effect.fnUntraced(function* (knowns: ReadonlyArray<Known>, asked: ReadonlyArray<Asked>) {
    const limited = [...new Set(knowns.flatMap((known) => limitedId(known) ?? []))]
    const spending = new Map<string, Usages.ActorKey>()
    for (const [index, known] of knowns.entries())
      if (dependsOnSpend(known, asked[index])) spending.set(spendKey(known), actorKey(known))
    const [read, spent] = yield* Effect.all([
      limited.length === 0 ? noReads : usages.get(limited),
      spending.size === 0 ? noReads : usages.getSpends([...spending.values()])
    ])
    const byId = new Map(limited.map((id, index) => [id, read[index]]))
    const byActor = new Map([...spending.keys()].map((key, index) => [key, spent[index]]))
    return knowns.map((known): Used => usedOf(byId.get(limitedId(known) ?? ""), byActor.get(spendKey(known))))
  })

  const now = (known: Known, asked: Asked): Used | undefined => {
    const id = limitedId(known)
    const reads = dependsOnSpend(known, asked)
    if (id === undefined && !reads) return nothingUsed
    const usage = id === undefined ? undefined : usages.peek(id)
    const spend = reads ? usages.peekSpend(actorKey(known)) : undefined
    return (id !== undefined && usage === undefined) || (reads && spend === undefined)
      ? undefined
      : usedOf(usage, spend)
  }

  const spent = (known: Known) =>
    Effect.map(dying(limits.spends([actorKey(known)])), ([spend]) => usedOf(undefined, spend?.sum))

  return { of, now, spent }
}

const noReads = Effect.succeed([])

const actorKey = (known: Known): Usages.ActorKey => ({
  organizationId: known.organizationId,
  actorId: known.actor.id
})

const spendKey = (known: Known): string => `${known.organizationId}\0${known.actor.id}`

const dependsOnSpend = (known: Known, asked: Asked | undefined): boolean =>
  known.policies.readsSpend || asked?.fields === "entry"

/** The permission whose use counts, if one does. */
const limitedId = ({ permission }: Known): string | undefined =>
  permission !== null && PermissionCheck.needsReservation(permission.constraints) ? permission.id : undefined

const usedOf = (usage: Usages.Usage | undefined, spend: Spend | undefined): Used =>
  usage === undefined && spend === undefined
    ? nothingUsed
    : { usage: usageFacts(usage?.counted, spend), shown: usage?.shown }

// Spelled out: the shape of a copy goes with the last one at a full collection, and with it all that was compiled for it.
const usageFacts = (
  { windowRequests, dayRequests, dayTokens, dayCostMicroUsd }: Counted = PermissionCheck.noUsage,
  spend: Spend | undefined
): PermissionCheck.Usage => ({
  windowRequests,
  dayRequests,
  dayTokens,
  dayCostMicroUsd,
  actorRequestsToday: spend?.requests ?? 0,
  actorTokensToday: spend?.tokens ?? 0,
  actorCostUsdToday: (spend?.costMicroUsd ?? 0) / 1e6
})
