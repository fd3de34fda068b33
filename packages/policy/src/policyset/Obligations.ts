/**
 * What a policy asks for beside its decision: kinds of content to be redacted.
 *
 * Whoever lets a call go on meets its obligations; a kind nobody knows is refused when a set is compiled.
 */
import { type Kind, kinds } from "../dlp/kinds.ts"
import type { Policy, PolicyRef } from "./Policy.ts"

/** What one policy wants done to a call that goes on. */
export interface Obligation {
  readonly policy: PolicyRef
  /** Kinds that DLP finds, each once. */
  readonly redact: ReadonlyArray<Kind>
}

/** The kinds that can be redacted. */
export const redactable: ReadonlyArray<string> = Object.keys(kinds)

const isKind = (name: string): name is Kind => Object.hasOwn(kinds, name)

const NONE: ReadonlyArray<Obligation> = Object.freeze([])

/** The obligations of the policies of a set, by their ids. */
export class Obligations {
  private readonly byId = new Map<string | number, Obligation>()

  constructor(policies: ReadonlyArray<Policy>) {
    for (const { actions, id, name, version } of policies) {
      const redact = [...new Set(actions?.redact)].filter(isKind)
      if (redact.length > 0) this.byId.set(id, { policy: { id, name, version }, redact })
    }
  }

  /** Those of some policies, in their order. */
  of(policies: ReadonlyArray<PolicyRef>): ReadonlyArray<Obligation> {
    if (this.byId.size === 0 || policies.length === 0) return NONE
    return policies.flatMap(({ id }) => this.byId.get(id) ?? [])
  }
}
