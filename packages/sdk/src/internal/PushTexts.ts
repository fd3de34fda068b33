/** What the texts of pushes say, whatever line they came over. */
import { EpochText, Streams } from "@agion/domain"
import { Option, Schema } from "effect"
import type { Hub } from "../Pushes.ts"
import type { SettingsShape } from "../Settings.ts"

export const decodeEpoch = Schema.decodeUnknownOption(EpochText)
const decodePolicies = Schema.decodeUnknownOption(Streams.PolicyUpdated)

/** A message of the channel of epochs. */
export const epochPush = (hub: Hub, organizationId: string, text: string): void => {
  const message = decodeEpoch(text)
  if (Option.isNone(message)) hub.refuse()
  else hub.tell({ _tag: "Epoch", organizationId, message: message.value })
}

/** Whoever listens to policy updates asks for the set whatever the text says (contract, section 7). */
export const policiesPush = (hub: Hub, settings: SettingsShape, text: string): void => {
  const message = Option.getOrUndefined(decodePolicies(text))
  const organization = message?.organizationId
  if (organization != null && organization !== settings.organizationId) return
  hub.tell({ _tag: "Policies", version: message?.version ?? null })
}
