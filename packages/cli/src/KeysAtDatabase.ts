/** The services of keys over a database that the command opens itself. */
import type { ApiKey } from "@agion/domain"
import { ApiKeys, Database, type DatabaseOptions, migrate, Secrets, type SecretsOptions } from "@agion/server"
import { Effect, Layer } from "effect"
import { CommandFailed } from "./Platform.ts"

/** Where the data lives. */
export type Target = Exclude<DatabaseOptions, { readonly _tag: "Memory" }>

/** What can be done with keys. */
export interface Keys {
  readonly create: (options: {
    readonly organizationId: string
    readonly name: string
    readonly agentId: string | null
  }) => Effect.Effect<ApiKey, CommandFailed>
  readonly rotate: Effect.Effect<{ readonly keyId: string; readonly changed: number }, CommandFailed>
}

const failed = (error: unknown): CommandFailed => {
  if (error instanceof CommandFailed) return error
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  return new CommandFailed({ message: cause instanceof Error ? cause.message : String(cause) })
}

/** Opens the database, brings it to the present schema, and acts. */
export const open = <A>(
  target: Target,
  options: SecretsOptions,
  act: (keys: Keys) => Effect.Effect<A, CommandFailed>
): Effect.Effect<A, CommandFailed> =>
  Effect.gen(function* () {
    const apiKeys = yield* ApiKeys
    const secrets = yield* Secrets
    return yield* act({
      create: (wanted) => Effect.mapError(apiKeys.create(wanted), failed),
      rotate: Effect.mapError(
        Effect.flatMap(secrets.rotate, (changed) =>
          Effect.map(secrets.keyId, (keyId) => ({ keyId, changed }))
        ),
        failed
      )
    })
  }).pipe(
    Effect.provide(
      Layer.mergeAll(ApiKeys.layer, Secrets.layer(options)).pipe(
        Layer.provide(Layer.provideMerge(Layer.effectDiscard(migrate), Database.layer(target)))
      )
    ),
    Effect.mapError(failed)
  )
