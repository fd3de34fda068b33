/** What an agent keeps in its folder for its next start: one small file a value, readable by its owner alone. */
import { readFile, rename, rm, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { Effect, Option, Schema } from "effect"
import type { SettingsShape } from "../Settings.ts"
import { distinctName, draftOf } from "../WriteAheadFolder.ts"
import { makeFolder } from "./MakeFolder.ts"

/** A file in the agent's folder; null: it has none. `about` tells agents and organizations apart. */
export const fileOf = (
  settings: SettingsShape,
  name: string,
  ...about: ReadonlyArray<string>
): string | null =>
  settings.directory === null
    ? null
    : join(settings.directory, `${[name, ...about.map(encodeURIComponent)].join("-")}.json`)

/** The file of the key that signs an agent's events; null: it is not kept. */
export const eventKeyFile = (settings: SettingsShape, agentId: string): string | null =>
  settings.eventDirectory === null
    ? null
    : join(settings.eventDirectory, `event-key-${distinctName(agentId, agentId)}.json`)

/** What an earlier start has kept; undefined when there is none that can be read. */
export const load = <A>(
  file: string | null,
  schema: Schema.Codec<A, unknown>
): Effect.Effect<A | undefined> =>
  file === null
    ? Effect.succeed(undefined)
    : Effect.promise(() => readFile(file, "utf8").catch(() => "")).pipe(
        Effect.map((text) =>
          Option.getOrUndefined(Schema.decodeUnknownOption(Schema.fromJsonString(schema))(text))
        )
      )

/** Puts a text into a file, whole or not at all; two processes that do so at once do not mix theirs. */
export const replace = async (file: string, text: string): Promise<void> => {
  const draft = draftOf(file)
  try {
    await writeFile(draft, text, { mode: 0o600, flag: "wx" })
    await rename(draft, file)
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
}

/** Keeps a value in the place of the last one; a folder that cannot be written to is no reason to stop. */
export const keep = <A>(
  file: string | null,
  schema: Schema.Codec<A, unknown>,
  value: A
): Effect.Effect<void> =>
  file === null
    ? Effect.void
    : Effect.ignore(
        Effect.tryPromise(async () => {
          const text = Schema.encodeSync(Schema.fromJsonString(schema))(value)
          makeFolder(dirname(file))
          await replace(file, text)
        })
      )
