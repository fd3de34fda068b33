/**
 * What checks read of usage: copies of the database's own books, a second old at most, amended at once by what
 * this replica writes (FRESH-1). What was used is decided and kept by the database alone; requests leave the
 * window and days end by its clock, of which each copy keeps the distance to this machine's.
 */
import { ApiError, type UsageTracking } from "@agion/domain"
import { Cause, Clock, Effect, type Scope } from "effect"
import type { SqlError } from "effect/sql"
import type { Announced } from "../changes/Order.ts"
import { dying } from "../sql/Failure.ts"
import * as Copies from "./Copies.ts"
import type { Limits } from "./Limits.ts"
import {
  type Counted,
  countedAt,
  nothing,
  type Spend,
  type SpendState,
  shownAt,
  shownOf,
  spendAt,
  spendWith,
  type UsageState
} from "./UsageState.ts"

/** A permission's usage now. */
export interface Usage {
  readonly counted: Counted
  readonly shown: UsageTracking
}

/** An actor of an organization. */
export interface ActorKey {
  readonly organizationId: string
  readonly actorId: string
}

export interface UsagesOptions {
  /** Permissions that are kept, and as many of actors' days. Default: 100,000. */
  readonly maxEntries?: number
}

export interface Usages {
  /** What is known of a permission; undefined: it must be read. */
  readonly peek: (permissionId: string) => Usage | undefined
  /** What is known of an actor's day; undefined: it must be read. */
  readonly peekSpend: (actor: ActorKey) => Spend | undefined
  /** The usage of permissions, in order; reads what is not known. */
  readonly get: (
    permissionIds: ReadonlyArray<string>
  ) => Effect.Effect<ReadonlyArray<Usage>, ApiError.Unavailable>
  /** The days of actors, in order; reads what is not known. */
  readonly getSpends: (
    actors: ReadonlyArray<ActorKey>
  ) => Effect.Effect<ReadonlyArray<Spend>, ApiError.Unavailable>
  /** What the database answered to a write of this replica. */
  readonly written: (actor: ActorKey, permissionId: string, state: UsageState) => void
  /** Drops what a change makes untrue. */
  readonly hear: (announced: Announced) => void
  /** How much is kept. */
  readonly size: () => { readonly permissions: number; readonly spends: number }
}

/** Milliseconds from this machine's clock to the database's, and a state as of then. */
interface Timed<S> {
  readonly state: S
  readonly offset: number
}

interface UsageCopy extends Timed<UsageState> {
  /** The same while nothing changes, so that its text is made once. */
  readonly shown: UsageTracking
}

export const make = Effect.fnUntraced(function* (
  limits: Pick<Limits, "read" | "spends">,
  { maxEntries = 100_000 }: UsagesOptions = {}
): Effect.fn.Return<Usages, never, Scope.Scope> {
  const clock = yield* Clock.Clock

  // Measured when the answer is here: the database's clock is then a little ahead of what is kept, and a request
  // leaves the window rather late than early.
  const timed = <S extends { readonly now: number }>(state: S): Timed<S> => ({
    state,
    offset: state.now - clock.currentTimeMillisUnsafe()
  })
  const usageCopy = (state: UsageState): UsageCopy => ({ ...timed(state), shown: shownOf(state) })

  const usages = yield* Copies.make<UsageCopy, SqlError.SqlError>({
    read: (ids) =>
      Effect.map(limits.read(ids), (found) => ids.map((id) => usageCopy(found.get(id)?.state ?? nothing))),
    renew: (kept, read) =>
      kept.state.version === read.state.version && kept.state.dayStart === read.state.dayStart
        ? { ...read, shown: kept.shown }
        : read,
    weightOf: () => 1,
    maxWeight: maxEntries
  })
  const spends = yield* Copies.make<Timed<SpendState>, SqlError.SqlError>({
    read: (keys) => Effect.map(limits.spends(keys.map(actorOf)), (states) => states.map(timed)),
    renew: (_, read) => read,
    weightOf: ({ state }) => 1 + state.by.size,
    maxWeight: maxEntries
  })

  const usageOf = ({ state, offset, shown }: UsageCopy): Usage => {
    const at = clock.currentTimeMillisUnsafe() + offset
    return { counted: countedAt(state, at), shown: shownAt(state, shown, at) }
  }
  const spendNow = ({ state, offset }: Timed<SpendState>): Spend =>
    spendAt(state, clock.currentTimeMillisUnsafe() + offset)

  return {
    peek: (permissionId) => {
      const copy = usages.peek(permissionId)
      return copy === undefined ? undefined : usageOf(copy)
    },
    peekSpend: (actor) => {
      const copy = spends.peek(keyOf(actor))
      return copy === undefined ? undefined : spendNow(copy)
    },
    get: (ids) => Effect.map(refusing(usages.get(ids)), (copies) => copies.map(usageOf)),
    getSpends: (actors) =>
      Effect.map(refusing(spends.get(actors.map(keyOf))), (copies) => copies.map(spendNow)),
    written: (actor, permissionId, state) => {
      usages.amend(permissionId, (copy) => (copy.state.version >= state.version ? copy : usageCopy(state)))
      spends.amend(keyOf(actor), (copy) => {
        const amended = spendWith(copy.state, permissionId, state)
        if (amended === copy.state) return copy
        return amended === undefined ? undefined : { ...copy, state: amended }
      })
    },
    hear: ({ message }) => {
      // Another time zone has other days.
      if (message.kind !== "organization") return
      usages.drop()
      spends.drop()
    },
    size: () => ({ permissions: usages.weight(), spends: spends.weight() })
  }
})

const keyOf = ({ organizationId, actorId }: ActorKey): string => `${organizationId}\0${actorId}`

const actorOf = (key: string): ActorKey => {
  const at = key.indexOf("\0")
  return { organizationId: key.slice(0, at), actorId: key.slice(at + 1) }
}

const refusing = <A>(
  read: Effect.Effect<A, SqlError.SqlError | Cause.TimeoutError>
): Effect.Effect<A, ApiError.Unavailable> =>
  dying(
    Effect.catchIf(read, Cause.isTimeoutError, () =>
      Effect.fail(
        new ApiError.Unavailable({
          message: "what was used cannot be read from the database in time; try again"
        })
      )
    )
  )
