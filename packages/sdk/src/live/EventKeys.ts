/** The keys that sign events: an agent's own, and those that other agents of the same folder have kept. */
import { readFileSync } from "node:fs"
import { Option, Redacted, Schema } from "effect"
import * as AgentFolder from "../internal/AgentFolder.ts"
import type { SettingsShape } from "../Settings.ts"

/** The platform answers the key once: the next start reads it, and whoever sends what this one leaves behind. */
export const KeptKey = Schema.Struct({ eventKey: Schema.NonEmptyString })

const decode = Schema.decodeUnknownOption(Schema.fromJsonString(KeptKey))

/** A key as it is now; undefined: there is none. */
export type EventKey = () => Redacted.Redacted<string> | undefined

/** The key of an agent: the one that is known, else the one that it has kept. */
export const eventKeyOf =
  (settings: SettingsShape, known: Map<string, EventKey>) =>
  (agentId: string): Redacted.Redacted<string> | undefined => {
    const own = known.get(agentId)?.()
    if (own !== undefined) return own
    const kept = keptKey(AgentFolder.eventKeyFile(settings, agentId))
    if (kept !== undefined && !known.has(agentId)) known.set(agentId, () => kept)
    return kept
  }

/** Read at once: a batch of an earlier start is signed while it is sent. */
const keptKey = (file: string | null): Redacted.Redacted<string> | undefined => {
  try {
    const kept = file === null ? Option.none() : decode(readFileSync(file, "utf8"))
    return Option.getOrUndefined(Option.map(kept, ({ eventKey }) => Redacted.make(eventKey)))
  } catch {
    return undefined
  }
}
