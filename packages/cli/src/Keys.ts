/**
 * What an operator does with keys at the database itself: the first key of the API, before there is any to ask
 * with, and a new key for the credentials at rest.
 *
 * **Gotchas**: whoever has the database's address needs no key; the address is the credential.
 */
import { join } from "node:path"
import { Config, Console, Effect, Option, Redacted } from "effect"
import { Command, Flag } from "effect/cli"
import type { Keys, Target } from "./KeysAtDatabase.ts"
import { CommandFailed } from "./Platform.ts"

/**
 * The keys of credentials at rest from the environment: `AGION_SECRET_KEY`, 32 bytes in base64, and
 * `AGION_PREVIOUS_SECRET_KEYS`, comma-separated, which may still read. Absent: kept with the data.
 */
export const secretKeys = Effect.gen(function* () {
  const key = yield* Config.option(Config.Redacted("AGION_SECRET_KEY"))
  const previous = yield* Config.option(Config.Redacted("AGION_PREVIOUS_SECRET_KEYS"))
  return {
    key: Option.getOrUndefined(key),
    previous: Option.match(previous, {
      onNone: () => [],
      onSome: (list) =>
        Redacted.value(list)
          .split(",")
          .map((text) => text.trim())
          .filter((text) => text !== "")
          .map((text) => Redacted.make(text))
    })
  }
})

const flags = {
  data: Flag.String("data").pipe(
    Flag.withDescription("Folder of an `agion dev` that is not running; default: DATABASE_URL"),
    Flag.optional
  ),
  json: Flag.Boolean("json").pipe(Flag.withDescription("Print JSON"), Flag.withDefault(false))
}

/** The server's code is imported when it is wanted: other commands start sooner without it. */
const atDatabase = Effect.fnUntraced(function* <A>(
  data: Option.Option<string>,
  act: (keys: Keys) => Effect.Effect<A, CommandFailed>
) {
  const url = yield* Config.option(Config.Redacted("DATABASE_URL"))
  const target: Target | undefined = Option.isSome(data)
    ? { _tag: "Directory", path: join(data.value, "database") }
    : Option.match(url, { onNone: () => undefined, onSome: (found) => ({ _tag: "Postgres", url: found }) })
  if (target === undefined)
    return yield* new CommandFailed({
      message: "which database? Set DATABASE_URL as for `agion serve`, or name a folder with --data"
    })
  const secrets = yield* secretKeys
  const { open } = yield* Effect.promise(() => import("./KeysAtDatabase.ts"))
  return yield* open(target, secrets, act)
})

const create = Command.make(
  "create",
  {
    ...flags,
    name: Flag.String("name").pipe(Flag.withDescription("What the key is for"), Flag.withDefault("operator")),
    organization: Flag.String("organization").pipe(
      Flag.withDescription("Organization that the key speaks for"),
      Flag.withFallbackConfig(Config.String("AGION_ORG_ID")),
      Flag.withDefault("default")
    ),
    agent: Flag.String("agent").pipe(
      Flag.withDescription("Agent that the key belongs to; absent: an operator's key"),
      Flag.optional
    )
  },
  Effect.fnUntraced(function* (options) {
    const made = yield* atDatabase(options.data, (keys) =>
      keys.create({
        organizationId: options.organization,
        name: options.name,
        agentId: Option.getOrNull(options.agent)
      })
    )
    yield* Console.log(
      options.json
        ? JSON.stringify({ id: made.id, organization_id: made.organizationId, key: made.key })
        : made.key
    )
  })
).pipe(
  Command.withDescription("Make a key of the API and print it, this once"),
  Command.withExamples([
    { command: "agion keys create --name ops", description: "The first key of a platform" },
    { command: "agion keys create --name helper --agent helper", description: "A key for one agent" }
  ])
)

const rotateSigning = Command.make(
  "rotate-signing",
  flags,
  Effect.fnUntraced(function* (options) {
    const keyId = yield* atDatabase(options.data, (found) => found.rotateSigning)
    yield* Console.log(
      options.json
        ? JSON.stringify({ key_id: keyId })
        : `platforms sign with key ${keyId} from their next start on; agents follow from the key before it`
    )
  })
).pipe(Command.withDescription("Make a new signing key, signed by the one before it"))

/** `agion keys create | rotate-signing`. */
export const keys = Command.make("keys").pipe(
  Command.withDescription("Keys of the API and of the platform, made at the database"),
  Command.withSubcommands([create, rotateSigning])
)

const rotate = Command.make(
  "rotate",
  flags,
  Effect.fnUntraced(function* (options) {
    const { keyId, changed } = yield* atDatabase(options.data, (found) => found.rotate)
    yield* Console.log(
      options.json
        ? JSON.stringify({ key_id: keyId, changed })
        : `${changed} secrets are now encrypted by key ${keyId}`
    )
  })
).pipe(Command.withDescription("Encrypt all stored credentials by a new key; again after it was broken off"))

/** `agion secrets rotate`. */
export const secrets = Command.make("secrets").pipe(
  Command.withDescription("The key that encrypts credentials at rest"),
  Command.withSubcommands([rotate])
)
