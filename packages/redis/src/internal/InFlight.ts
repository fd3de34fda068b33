/**
 * Which entries this process has handed to its callers and not seen acked: a
 * reader that comes back from a lost connection must not hand them out again.
 */

/** One reader's entries; `key` joins stream and id. */
type Held = Set<string>

const key = (entry: { readonly stream: string; readonly id: string }) => `${entry.stream}\0${entry.id}`

export class InFlight {
  readonly #readers = new Map<string, Set<Held>>()

  /** A new reader of the group: `take` says whether an entry is new to it. */
  open(group: string) {
    const held: Held = new Set()
    const readers = this.#readers.get(group) ?? new Set()
    this.#readers.set(group, readers.add(held))
    return {
      has: (entry: { readonly stream: string; readonly id: string }) => held.has(key(entry)),
      add: (entry: { readonly stream: string; readonly id: string }) => void held.add(key(entry)),
      close: () => {
        readers.delete(held)
        if (readers.size === 0) this.#readers.delete(group)
      }
    }
  }

  done(group: string, entries: ReadonlyArray<{ readonly stream: string; readonly id: string }>) {
    for (const held of this.#readers.get(group) ?? []) {
      for (const entry of entries) held.delete(key(entry))
    }
  }
}
