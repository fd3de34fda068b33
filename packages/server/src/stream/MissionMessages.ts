/**
 * New messages of missions, for those who listen: looked for several times a second, from where they stood when
 * the first of them connected.
 */
import { Effect, Exit } from "effect"
import type { SqlClient, SqlError } from "effect/sql"
import { type MissionNews, missionNews } from "./StreamSql.ts"

type Sql<A, E = never> = Effect.Effect<A, E, SqlClient.SqlClient>

export interface MissionMessages {
  /** Marks where the messages stand, unless somebody listens already; before a listener is answered. */
  readonly begin: Sql<void, SqlError.SqlError>
  /** Looks for messages for as long as it runs. */
  readonly follow: Sql<never>
}

interface Position {
  readonly last: number
  /** Numbers are given before the commit: what is read again is known by these. */
  readonly seen: ReadonlySet<number>
}

/** `tell` is called with each new message; without listeners nothing is looked for. */
export const make = (
  everyMillis: number,
  isHeard: () => boolean,
  tell: (message: MissionNews) => void
): MissionMessages => {
  let position: Position | undefined

  const read = (from: Position | undefined) =>
    Effect.map(missionNews(from?.last), ({ last, news }) => ({
      news,
      position: { last, seen: new Set(news.map(({ seq }) => seq)) }
    }))

  const look = Effect.gen(function* () {
    if (!isHeard()) position = undefined
    // Whoever listens first has yet to begin.
    if (position === undefined) return
    const { seen } = position
    const found = yield* Effect.exit(read(position))
    if (Exit.isFailure(found))
      return yield* Effect.logWarning("mission messages could not be read", found.cause)
    position = found.value.position
    for (const message of found.value.news) if (!seen.has(message.seq)) tell(message)
  })

  return {
    begin: Effect.suspend(() =>
      position === undefined
        ? Effect.map(read(undefined), (found) => {
            position ??= found.position
          })
        : Effect.void
    ),
    follow: Effect.forever(Effect.andThen(Effect.sleep(everyMillis), look))
  }
}
