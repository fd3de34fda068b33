/** What an organization keeps of what was said in a conversation with a model. */
import type { Streams } from "@agion/domain"
import type { Dlp } from "@agion/policy"

/** What is kept: all of it, all but what the detectors find, or nothing. */
export type Keep = "full" | "redacted" | "none"

/** What was said in a conversation, by the field that holds it. */
const contentFields = ["system_prompt", "user_prompt", "conversation_history", "response_text"] as const

/** What is kept of a conversation, by field; null: nothing. */
export const contentOf = (dlp: Dlp.Dlp, fields: Streams.Fields, keep: Keep) => {
  if (keep === "none") return null
  const content: Record<string, string> = {}
  for (const name of contentFields) {
    const text = fields[name]
    if (text !== undefined) content[name] = keep === "redacted" ? dlp.redact(text) : text
  }
  return content
}

/** True for an entry that holds something of a conversation. */
export const hasContent = (fields: Streams.Fields): boolean =>
  contentFields.some((name) => fields[name] !== undefined)

/** The fields of an entry with no more of the conversation than is kept. */
export const keptFields = (dlp: Dlp.Dlp, fields: Streams.Fields, keep: Keep): Streams.Fields => {
  const kept: Record<string, string> = { ...fields }
  for (const name of contentFields) delete kept[name]
  return Object.assign(kept, contentOf(dlp, fields, keep))
}
