/** The keys that sign events: an agent's own, and those that other agents of the same folder have kept. */
import { createHmac } from "node:crypto"
import { readFileSync, statSync } from "node:fs"
import { Streams } from "@agion/domain"
import { Option, Redacted, Schema } from "effect"
import type { AwaitedKeys } from "../EventBuffer.ts"
import * as AgentFolder from "../internal/AgentFolder.ts"
import type { Registrar } from "../Registrar.ts"
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

/** A key as it is now, and whether it may still come; undefined: there is none. */
interface OwnKey {
  readonly key: () => Redacted.Redacted<string> | undefined
  readonly isAwaited: () => boolean
}

/** The keys of the agents of this process. */
export class OwnKeys implements AwaitedKeys {
  readonly alone?: string
  private agents = new Map<string, OwnKey>()
  private calls: Array<(agentId: string) => void> = []

  /** `alone`: the one agent that there will be. */
  constructor(alone?: string) {
    if (alone !== undefined) this.alone = alone
  }

  /** An agent whose key its registrations bring. */
  add(agentId: string, registrar: Registrar["Service"]): void {
    const isAwaited = () => !registrar.stateUnsafe().registered
    this.agents.set(agentId, { key: registrar.eventKeyUnsafe, isAwaited })
    registrar.whenAnsweredUnsafe(() => {
      for (const call of this.calls) call(agentId)
    })
  }

  /** It registers no more: what it left is signed with the key that it had, or waits for another start of it. */
  close(agentId: string): void {
    const last = this.agents.get(agentId)
    const [key, isAwaited] = [last?.key(), last?.isAwaited() === true]
    this.agents.set(agentId, { key: () => key, isAwaited: () => isAwaited })
  }

  readonly keyOf = (agentId: string): Redacted.Redacted<string> | undefined => this.agents.get(agentId)?.key()
  readonly has: AwaitedKeys["has"] = (agentId) => this.agents.get(agentId)?.isAwaited() === true
  readonly onAnswered: AwaitedKeys["onAnswered"] = (call) => {
    this.calls.push(call)
  }
}

/** A kept key, and by what a later one is told from it. */
interface Read {
  readonly at: string
  readonly key: Redacted.Redacted<string> | undefined
}

/** The key of an agent: the one that is known, else the one that it keeps. */
export const eventKeyOf = (settings: SettingsShape, known: OwnKeys) => {
  const kept = new Map<string, Read>()
  return (agentId: string): Redacted.Redacted<string> | undefined => {
    const own = known.keyOf(agentId)
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
