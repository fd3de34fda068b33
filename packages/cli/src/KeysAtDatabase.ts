/** The services of keys over a database that the command opens itself. */
import type { ApiKey } from "@agion/domain"
import {
  ApiKeys,
  Database,
  type DatabaseOptions,
  migrate,
  rotateSigningKey,
  Secrets,
  type SecretsOptions
} from "@agion/server"
import { Effect, Layer } from "effect"
import type { SqlClient } from "effect/sql"
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
  /** A new signing key, signed by the one before it; answers its id. */
  readonly rotateSigning: Effect.Effect<string, CommandFailed>
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
    const context = yield* Effect.context<Secrets | SqlClient.SqlClient>()
    return yield* act({
      rotateSigning: Effect.mapError(Effect.provideContext(rotateSigningKey, context), failed),
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
        Layer.provideMerge(Layer.provideMerge(Layer.effectDiscard(migrate), Database.layer(target)))
      )
    ),
    Effect.mapError(failed)
  )
