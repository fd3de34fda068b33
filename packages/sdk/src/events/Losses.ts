/** Events that were lost, by kind and reason, until somebody is told of them (EVENT-1). */
import type { WriteAheadStore } from "../WriteAheadStore.ts"

export class Losses {
  private store: WriteAheadStore
  private counts = new Map<string, number>()
  private toldDamage = 0
  private toldUnknown = 0

  constructor(store: WriteAheadStore) {
    this.store = store
  }

  /** Counts some of a kind. */
  add(kind: string, reason: string, count = 1): void {
    const key = `${kind}: ${reason}`
    this.counts.set(key, (this.counts.get(key) ?? 0) + count)
  }

  /** True while events were lost that nobody was told of. */
  get any(): boolean {
    const { damage, unknown } = this.store
    return this.counts.size > 0 || damage.records > this.toldDamage || unknown > this.toldUnknown
  }

  /** How many were lost since it was last told, by why; and what is to be done once that is told. */
  get untold(): { readonly counts: Readonly<Record<string, number>>; readonly told: () => void } {
    const { damage, unknown } = this.store
    const counts = Object.fromEntries(this.counts)
    if (damage.records > this.toldDamage) counts["unreadable in the file"] = damage.records - this.toldDamage
    if (unknown > this.toldUnknown)
      counts["of a later version, kept in `quarantine`"] = unknown - this.toldUnknown
    const told = () => {
      this.counts.clear()
      this.toldDamage = damage.records
      this.toldUnknown = unknown
    }
    return { counts, told }
  }
}
