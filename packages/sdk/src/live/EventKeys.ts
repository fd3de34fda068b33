/** The keys that sign events: an agent's own, and those that other agents of the same folder have kept. */
import { createHmac } from "node:crypto"
import { readFileSync, statSync } from "node:fs"
import { Streams } from "@agion/domain"
import { Option, Redacted, Schema } from "effect"
import * as AgentFolder from "../internal/AgentFolder.ts"
import type { SettingsShape } from "../Settings.ts"

/** The platform answers the key once: the next start reads it, and whoever sends what this one leaves behind. */
export const KeptKey = Schema.Struct({ eventKey: Schema.NonEmptyString })

const decode = Schema.decodeUnknownOption(Schema.fromJsonString(KeptKey))

/** What an agent says of the key that it has, so that the platform can tell whether it is the present one. */
export const eventKeyIdOf = (key: Redacted.Redacted<string> | undefined): string =>
  key === undefined
    ? Streams.noEventKey
    : createHmac("sha256", Redacted.value(key))
        .update(Streams.eventKeyIdInput)
        .digest("base64url")
        .slice(0, Streams.eventKeyIdLength)

/** A key as it is now; undefined: there is none. */
export type EventKey = () => Redacted.Redacted<string> | undefined

/** A kept key, and by what a later one is told from it. */
interface Read {
  readonly at: string
  readonly key: Redacted.Redacted<string> | undefined
}

/** The key of an agent: the one that is known, else the one that it keeps. */
export const eventKeyOf = (settings: SettingsShape, known: ReadonlyMap<string, EventKey>) => {
  const kept = new Map<string, Read>()
  return (agentId: string): Redacted.Redacted<string> | undefined => {
    const own = known.get(agentId)?.()
    if (own !== undefined) return own
    const file = AgentFolder.eventKeyFile(settings, agentId)
    const at = file === null ? undefined : stateOf(file)
    if (file === null || at === undefined) {
      kept.delete(agentId)
      return undefined
    }
    const before = kept.get(agentId)
    if (before?.at === at) return before.key
    const key = keptKey(file)
    kept.set(agentId, { at, key })
    return key
  }
}

/** A file is replaced whole: another one has another number or time. */
const stateOf = (file: string): string | undefined => {
  try {
    const { ino, mtimeMs, size } = statSync(file)
    return `${ino} ${mtimeMs} ${size}`
  } catch {
    return undefined
  }
}

/** Read at once: a batch of an earlier start is signed while it is sent. */
const keptKey = (file: string): Redacted.Redacted<string> | undefined => {
  try {
    const kept = decode(readFileSync(file, "utf8"))
    return Option.getOrUndefined(Option.map(kept, ({ eventKey }) => Redacted.make(eventKey)))
  } catch {
    return undefined
  }
}
