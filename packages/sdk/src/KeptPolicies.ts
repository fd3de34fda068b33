/**
 * The last good policy bundle of an organization, kept in a folder, with the highest version that was in force
 * beside it: an older bundle that is put in its place is validly signed, and still not in force.
 *
 * **Gotchas**: who restores a platform to older policies removes these files from its agents.
 */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { Signed } from "@agion/domain"
import { Effect, Option, Schema } from "effect"
import { replace } from "./internal/AgentFolder.ts"
import type { SettingsShape } from "./Settings.ts"

/** What was in force last. */
const Mark = Schema.Struct({ version: Schema.Int, digest: Schema.String })
export type Mark = typeof Mark.Type

export interface KeptPolicies {
  /** Undefined: there is none that can be read. */
  readonly signed: Signed | undefined
  readonly mark: Mark | undefined
}

const SignedText = Schema.fromJsonString(Signed)
const MarkText = Schema.fromJsonString(Mark)

/** Where the last good bundle of an organization is kept; null: nowhere. */
export const fileOf = (settings: SettingsShape): string | null =>
  settings.directory === null
    ? null
    : join(settings.directory, `policies-${encodeURIComponent(settings.organizationId)}.json`)

const markOf = (file: string): string => file.replace(/\.json$/, ".version.json")

const read = (file: string): Promise<string> => readFile(file, "utf8").catch(() => "")

/** What an earlier run has kept. */
export const load = (file: string): Effect.Effect<KeptPolicies> =>
  Effect.promise(() => Promise.all([read(file), read(markOf(file))])).pipe(
    Effect.map(([signed, mark]) => ({
      signed: Option.getOrUndefined(Schema.decodeUnknownOption(SignedText)(signed)),
      mark: Option.getOrUndefined(Schema.decodeUnknownOption(MarkText)(mark))
    }))
  )

/** Keeps a bundle; a folder that cannot be written to is no reason to stop. */
export const keep = (file: string, signed: Signed, mark: Mark): Effect.Effect<void> =>
  Effect.promise(async () => {
    try {
      await replace(file, Schema.encodeSync(SignedText)(signed))
      // Last: between the two the bundle is newer than its mark, which is well.
      await replace(markOf(file), Schema.encodeSync(MarkText)(mark))
    } catch {
      // Kept in memory all the same.
    }
  })
